"""Commands that show what searches and recommendations find."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from jobs.commands.options import Catalogue, Environment, RunDate, command, parse_run_date
from jobs.config.params.evaluation import RECOMMENDER_PROTOCOLS, EvaluateRecommendersParams
from jobs.errors import BadInput, MissingInput, NightlensError
from models.text import normalise_country

Count = Annotated[int, Option(help="how many photos")]
ALS_LIBRARY = EvaluateRecommendersParams.model_fields["als_library"]


@command("Look up")
def search(
    environment: Environment,
    catalogue: Catalogue,
    query: Annotated[str | None, Argument(help="words in any language; or give --image or --photo")] = None,
    image: Annotated[Path | None, Option(help="picture file to search for instead of words")] = None,
    photo: Annotated[str | None, Option(help="id of a photo of the corpus to search for instead of words")] = None,
    near_duplicates: Annotated[
        Literal["group", "drop", "show"], Option(help="with a picture or photo: what is done with near duplicates")
    ] = "group",
    country: Annotated[str, Option(help="where it is searched from: two letters, such as GB")] = "",
    visitor: Annotated[str | None, Option(help="who searches by words: the id as it stands in the log")] = None,
    taken: Annotated[list[str] | None, Option(help="instead of --visitor: id of a photo taken before; several")] = None,
    k: Annotated[int, Option("-k", help="how many photos")] = 10,
    run_date: RunDate = "",
    with_reasons: Annotated[bool, Option("--why", help="say of each photo who named it and what moved it")] = False,
    is_opened: Annotated[bool, Option("--open", help="open the page in a browser")] = False,
) -> None:
    """Show what a search finds in the published release and in the candidate."""
    import webbrowser

    from jobs.lake.catalogue import open_catalogue
    from jobs.searching.query import make_query

    visitor_id = None if visitor is None else environment.pseudonym(visitor)
    asked = make_query(query, country, image, photo, visitor_id, tuple(taken or ()))
    if with_reasons and not asked.is_words:
        raise BadInput("why_of_words_only", "--why says why words find a photo: leave it out, or search by words")
    settings, day = environment.settings, parse_run_date(run_date)
    open_catalogue(settings.lake_uri, catalogue)  # what is wrong is said before the models' libraries are loaded
    from jobs.searching import side_by_side
    from jobs.searching.table import render_table

    results = side_by_side.search(settings, catalogue, asked, k, day, near_duplicates)
    print(render_table(results, shutil.get_terminal_size((120, 24)).columns, with_reasons))
    page = side_by_side.write_page(settings, results)
    print(f"\n{page}", flush=True)
    if is_opened and not webbrowser.open(page.as_uri()):
        raise NightlensError(
            "no_browser", f"no browser could be started here: open {page.as_uri()} in one", page=page.as_uri()
        )


@command("Look up")
def compare_indexes(
    environment: Environment,
    catalogue: Catalogue,
    kinds: Annotated[str, Option(help="comma-separated; default: all that there are")] = "",
    run_date: RunDate = "",
) -> None:
    """Build indexes of further kinds from a night's photos and compare them with its own; commits nothing."""
    from jobs.indexing.compare_kinds import compare_kinds

    named = kinds.split(",") if kinds else ()
    print(compare_kinds(environment.settings, catalogue, parse_run_date(run_date), named))


@command("Look up")
def recommend(
    environment: Environment,
    catalogue: Catalogue,
    visitor: Annotated[str | None, Option(help="the id as it stands in the log")] = None,
    photo: Annotated[list[str] | None, Option(help="id of a photo taken before; several times, oldest first")] = None,
    method: Annotated[str, Option(help="default: that with the night's highest hit rate@10")] = "",
    count: Annotated[int, Option(help="how many photos")] = 10,
    country: Annotated[str, Option(help="two letters, such as GB; default: the visitor's last known")] = "",
    run_date: RunDate = "",
) -> None:
    """Show the next photos for a visitor, or for photos taken before."""
    from jobs.recommending import recommend_for
    from jobs.recommending.terminal_table import RecommendationRequest, render_table

    if (visitor is None) == (not photo):
        raise typer.BadParameter("give a visitor or photos, and not both", param_hint="--visitor or --photo")
    visitor_id = None if visitor is None else environment.pseudonym(visitor)
    asked = RecommendationRequest(visitor or "", visitor_id, tuple(photo or ()), normalise_country(country))
    day = parse_run_date(run_date)
    found = recommend_for.recommend(environment.settings, catalogue, asked, method or None, count, day)
    print(render_table(found, shutil.get_terminal_size((120, 24)).columns))


@command("Run")
def compare_recommenders(
    environment: Environment,
    log: Annotated[Path, Option(help="text with , ; tab | or ::, also compressed, or Parquet; a row per interaction")],
    user_column: Annotated[str, Option(help="its name, or its number from 1 in a file without a header")] = "userId",
    item_column: Annotated[str, Option(help="likewise")] = "movieId",
    at_column: Annotated[
        str, Option(help="likewise; ISO 8601, or a number since 1970 in s, ms, us or ns. A log may have no times")
    ] = "timestamp",
    rating_column: Annotated[
        str | None,
        Option(
            help="likewise; a rating from --liked-from on was liked, a lower one was not: methods may learn from it, "
            "and it is never right. Default: that of MovieLens' u.data, ratings.dat and ratings.csv, else none, and "
            "everything in the log was liked"
        ),
    ] = None,
    liked_from: Annotated[float, Option(help="the lowest rating that is a like, where there are ratings")] = 4.0,
    methods: Annotated[str, Option(help="comma-separated; default: all that need no pictures")] = "",
    als_library: Annotated[str, Option(help=ALS_LIBRARY.description)] = ALS_LIBRARY.default,
    protocols: Annotated[str, Option(help="comma-separated, beside the temporal one; default: all")] = "",
    max_users: Annotated[int, Option(help="asked about by each protocol")] = 5000,
    out: Annotated[Path | None, Option(help="JSON file for all figures")] = None,
    seed: int = 20251006,
) -> None:
    """Compare recommenders on a plain log, without pictures."""
    from jobs.recommending.external_log import METHODS, PASSES, Columns, compare, read_log

    names = methods.split(",") if methods else METHODS
    if unknown := [name for name in names if name not in METHODS]:
        raise BadInput(
            "no_such_method",
            f"unknown without pictures: {', '.join(unknown)}; there are {', '.join(METHODS)}",
            methods=unknown,
        )
    given: dict[str, Any] = PASSES | {"methods": names, "max_visitor_count": max_users, "als_library": als_library}
    given["protocols"] = protocols.split(",") if protocols else RECOMMENDER_PROTOCOLS
    given |= {"protocol_methods": names} if methods else {}  # by default those that learn in seconds
    params = EvaluateRecommendersParams.checked("compare_recommenders", given)
    if out is not None and not out.absolute().parent.is_dir():
        raise MissingInput("no_such_folder", f"no folder {out.parent} for --out: make it first", folder=out.parent)
    world = read_log(log, Columns(user_column, item_column, at_column, rating_column, liked_from))
    table, figures = compare(world, params, seed, environment.settings)
    print(table)
    if out is not None:
        out.write_text(figures, encoding="utf-8")
