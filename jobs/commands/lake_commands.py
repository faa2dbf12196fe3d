"""Commands that look into the lake, or remove from it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from jobs.commands.options import Catalogue, Environment, RunDate, command, given_values, now, parse_run_date
from jobs.config.params.release import CleanUpParams
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake, open_catalogue
from jobs.nights.catalogue_name import catalogue_name


@command("Look up")
def lineage(
    environment: Environment,
    kind: Annotated[Literal["metric", "photo", "run", "release"], Argument(help="what is asked about")],
    name: Annotated[
        str,
        Argument(
            help="such as hit_rate@10, a photo's id, layer/dataset/.../run_id=..., or for a release its name as the "
            "ledger has it, its night, or 'published'"
        ),
    ],
    catalogue: Catalogue,
    run_date: Annotated[str, Option(help="the night; needed for a metric or a photo")] = "",
    arm: Annotated[str, Option(help="of the metric; default: the challenger, the night's whole search")] = "",
    rows: Annotated[Path | None, Option(help="CSV file for all log rows behind a metric")] = None,
) -> None:
    """Tell what a figure, a photo, a run or a release was made from."""
    from jobs.housekeeping import lineage

    lake = Lake(environment.settings.lake_uri, catalogue)
    if kind == "run":
        lines = lineage.of_run(lake, name)
    elif kind == "release":
        lines = lineage.of_release(lake, name)
    elif not run_date:
        raise BadInput("no_run_date", f"say of which night the {kind} is: --run-date YYYY-MM-DD", kind=kind)
    elif kind == "photo":
        lines = lineage.of_photo(lake, run_date, name)
    else:
        metric, _, k = name.partition("@")
        if not k.isdecimal():
            raise BadInput(
                "no_cutoff", f"a metric is named with its cutoff, such as hit_rate@10, not {name!r}", metric=name
            )
        lines = lineage.of_metric(lake, run_date, metric, int(k), arm, rows)
    print("\n".join(lines))


@command("Look up")
def quarantine(
    environment: Environment,
    catalogue: Catalogue,
    run_date: RunDate = "",
    table: Annotated[str, Option(help="only rows of this table, such as photos")] = "",
    reason: Annotated[str, Option(help="only rows with this reason, as the counts name it")] = "",
    limit: Annotated[int, Option(min=0, help="rows that are shown, at most; all are counted")] = 20,
) -> None:
    """Show the rows that validation kept out of a night, also of one that it refused."""
    from jobs.housekeeping.quarantine import read_quarantine, render_table, render_tsv

    lake = open_catalogue(environment.settings.lake_uri, catalogue)
    found = read_quarantine(lake, parse_run_date(run_date), table, reason, limit)
    if sys.stdout.isatty():
        print(render_table(found, shutil.get_terminal_size((120, 24)).columns))
        return
    print(found.heading, file=sys.stderr)
    print(render_tsv(found))


@command("Tidy")
def forget(
    environment: Environment,
    catalogue: Catalogue,
    visitor: Annotated[str, Option(help="the id as it stands in the log")],
) -> None:
    """Remove a visitor from the lake and from later nights, and prove it."""
    from jobs.housekeeping import forget_visitor

    lake = Lake(environment.settings.lake_uri, catalogue)
    print(forget_visitor.forget(lake, visitor, environment.pseudonym, now()).text())


@command("Tidy", CleanUpParams)
def clean_up(
    environment: Environment,
    catalogue: Annotated[str, Option(help="default: the name of the folder of --dataset")] = "",
    dataset: Annotated[str, Option(help="data set of the catalogue, for its name only")] = "",
    dry_run: Annotated[bool, Option("--dry-run", help="only say what would be removed")] = False,
    **given: str,
) -> None:
    """Remove runs, models, vectors and pages that are not kept; say how many bytes."""
    from jobs.housekeeping import clean_up

    if not (catalogue or dataset):
        raise BadInput("no_catalogue_named", "say which catalogue: --catalogue, or --dataset with its folder")
    params = CleanUpParams.checked("clean_up", given_values(CleanUpParams, given))
    name = catalogue or catalogue_name(dataset)
    if catalogue:  # a folder's name is one's own before any night has run
        open_catalogue(environment.settings.lake_uri, catalogue)
    removed = clean_up.clean_up(environment.settings, name, params, now(), dry_run=dry_run)
    done = "would remove" if dry_run else "removed"
    lines = [f"{done} {one.what}  {one.byte_count:,} bytes" for one in removed]
    print("\n".join([*lines, f"{done} {len(removed)} things, {sum(one.byte_count for one in removed):,} bytes in all"]))
