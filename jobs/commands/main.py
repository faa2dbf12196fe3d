"""The command line: reads the environment and the clock once, builds the context, runs one stage or tool.

`python -m jobs --help` and `nightlens --help` are the same. Stage flags are made from the Params classes.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from jobs.adapters.mlflow_environment import configure_mlflow
from jobs.config.params.ablation import CompareVariantsParams, TrainVariantParams
from jobs.config.params.arms import COMPARED, FULL
from jobs.config.params.base import Params
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.params.night import NightParams
from jobs.config.params.presets import PRESETS
from jobs.config.params.release import CleanUpParams, RetentionParams
from jobs.config.settings import PROJECT_ROOT, NotifySettings, Settings
from jobs.context import RunContext
from jobs.errors import BadInput, LostWork, NightlensError, Rejected
from jobs.lake.catalogue import Lake
from jobs.nights.catalogue_name import catalogue_name
from jobs.nights.night_plan import NightPlan, check_report, describe, ensure_sample, parse_day, plan_night
from jobs.nights.stage_runner import run_stage
from jobs.runtime.code_version import stage_version
from jobs.runtime.error_translation import explain
from jobs.stages.registry import ALL, StageSpec, stage_params

log = logging.getLogger("nightlens.stage")
P = TypeVar("P", bound=Params)


def git_version(root: Path = PROJECT_ROOT) -> str:
    """Return the commit (with -dirty if the tree differs), or 'unknown' outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        asked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return asked.stdout.strip() or "unknown"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: the tools, then one sub-command per stage with one flag per field of its Params."""
    parser = argparse.ArgumentParser(
        prog="nightlens",
        description="Nightly pipeline for image search. The tools come first, then the stages in a night's order.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_tools(commands)
    for stage in ALL.values():
        _add_stage(commands, stage)
    return parser


def _add_tools(commands: Any) -> None:
    def tool(name: str, run: Any, summary: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(run=run)
        return sub

    night = tool("nightly", _nightly, "run a whole night through Airflow and sum it up")
    ablation = tool("ablation", _ablation, "compare variants of the search model on a night that has run")
    plan = tool("plan_night", _plan_night, "print what a night would be about, as JSON")
    check = tool("check_report", _check_report, "print where the report of a night is; status 2 if it is not published")
    retrain = NightParams.model_fields["retrain"]
    night.add_argument(
        "--retrain", default=retrain.default, choices=get_args(retrain.annotation), help=retrain.description
    )
    night.add_argument("--protocol", default="", choices=["", "windows", "80/20"], help="default: the preset's")
    ablation.add_argument("--variants", default="", help=f"comma-separated, of {', '.join(COMPARED)}; default: all")
    ablation.add_argument("--repeats", default="", help="trainings of each variant, with other seeds; default: 3")
    ablation.add_argument("--epochs", default="", help="passes each variant is trained for; default: the preset's")
    for sub in (plan, check):
        sub.add_argument("--scheduled-for", type=datetime.fromisoformat, help="time the run was scheduled for")
    retraining = tool("retraining", _retraining, "compare incremental with full training over consecutive nights")
    retraining.add_argument("--nights", type=int, default=10, help="nights that are compared; one more runs before")
    for sub in (night, ablation, plan, check, retraining):
        sub.add_argument("--dataset", default="", help="folder in the Unsplash layout; default: the sample")
        sub.add_argument("--catalogue", default="", help="name of the data set; default: the folder's name")
        sub.add_argument("--preset", default="auto", help="auto (default): 'sample' for the sample, else 'small'")
        sub.add_argument("--run-date", default="", help="last day used; default: the log's last complete day")
    sample = tool("make_sample", _make_sample, "generate the sample catalogue")
    sample.add_argument("--folder", type=Path, help="default: below the state folder, if it is not there yet")
    convert = tool("convert_catalogue", _convert_catalogue, "turn other sites' catalogues into one data set")
    convert.add_argument("--mapping", type=Path, required=True, help="TOML file that says what their columns mean")
    convert.add_argument("--out", type=Path, required=True, help="folder for the data set; new or empty")
    _add_compare_recommenders(tool)
    _add_compare_indexes(tool)
    up = tool("up", _up, "start Airflow and the MLflow server in the background")
    up.add_argument("--airflow-port", type=int, default=8080)
    up.add_argument("--mlflow-port", type=int, default=5000)
    up.add_argument("--dataset", default="", help="data set of scheduled nights; default: the sample")
    up.add_argument("--preset", default="", help="preset of scheduled nights")
    tool("down", _down, "stop them")
    tool("try_notifiers", _try_notifiers, "send a message on trial, as NIGHTLENS_NOTIFY says")
    lineage = tool("lineage", _lineage, "tell what a figure, a photo, a run or a release was made from")
    lineage.add_argument("kind", choices=["metric", "photo", "run", "release"])
    lineage.add_argument(
        "name",
        help="such as hit_rate@10, a photo's id, layer/dataset/.../run_id=..., or for a release its name as the ledger "
        "has it, its night, or 'published'",
    )
    lineage.add_argument("--catalogue", required=True)
    lineage.add_argument("--run-date", help="the night; needed for a metric or a photo")
    lineage.add_argument("--arm", default=FULL, help="of the metric")
    lineage.add_argument("--rows", type=Path, help="CSV file for all log rows behind a metric")
    forget = tool("forget", _forget, "remove a visitor from the lake and from later nights, and prove it")
    forget.add_argument("--catalogue", required=True)
    forget.add_argument("--visitor", required=True, help="the id as it stands in the log")
    clean = tool("clean_up", _clean_up, "remove runs, models, vectors and pages that are not kept; say how many bytes")
    clean.add_argument("--catalogue", default="", help="default: the name of the folder of --dataset")
    clean.add_argument("--dataset", default="", help="data set of the catalogue, for its name only")
    clean.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    _add_params(clean, CleanUpParams)
    _add_search(tool)
    _add_recommend(tool)
    _add_decisions(tool)


def _add_search(tool: Callable[..., argparse.ArgumentParser]) -> None:
    search = tool("search", _search, "show what a search finds in the published release and in the candidate")
    search.add_argument("query", nargs="?", help="words in any language; or give --image or --photo")
    search.add_argument("--image", type=Path, help="picture file to search for instead of words")
    search.add_argument("--photo", help="id of a photo of the corpus to search for instead of words")
    search.add_argument(
        "--near-duplicates",
        choices=["group", "drop", "show"],
        default="group",
        help="with a picture or photo: what is done with near duplicates; default: group",
    )
    search.add_argument("--catalogue", required=True)
    search.add_argument("--country", default="", help="where it is searched from: two letters, such as GB")
    search.add_argument("-k", type=int, default=10, help="how many photos; default: 10")
    search.add_argument("--run-date", default="", help="night of the candidate; default: the latest that has a release")
    search.add_argument("--open", action="store_true", help="open the page in a browser")


def _add_recommend(tool: Callable[..., argparse.ArgumentParser]) -> None:
    recommend = tool("recommend", _recommend, "show the next photos for a visitor, or for photos taken before")
    whom = recommend.add_mutually_exclusive_group(required=True)
    whom.add_argument("--visitor", help="the id as it stands in the log")
    whom.add_argument(
        "--photo", action="append", default=[], help="id of a photo taken before; several times, oldest first"
    )
    recommend.add_argument("--method", default="", help="default: that with the night's highest hit rate@10")
    recommend.add_argument("--count", type=int, default=10, help="how many photos; default: 10")
    recommend.add_argument("--catalogue", required=True)
    recommend.add_argument("--country", default="", help="two letters, such as GB; default: the visitor's last known")
    recommend.add_argument("--run-date", default="", help="the night; default: the latest that has recommendations")


def _add_compare_recommenders(tool: Callable[..., argparse.ArgumentParser]) -> None:
    compare = tool(
        "compare_recommenders", _compare_recommenders, "compare recommenders on a plain log, without pictures"
    )
    compare.add_argument("--log", type=Path, required=True, help="CSV, TSV or Parquet file, a row per interaction")
    compare.add_argument("--user-column", default="userId", help="default: userId, as in MovieLens")
    compare.add_argument("--item-column", default="movieId", help="default: movieId")
    compare.add_argument("--at-column", default="timestamp", help="seconds since 1970 or ISO 8601; default: timestamp")
    compare.add_argument("--rating-column", help="default: none, everything in the log was liked")
    compare.add_argument(
        "--liked-from", type=float, default=4.0, help="rating from which something was liked; default: 4"
    )
    compare.add_argument("--methods", default="", help="comma-separated; default: all that need no pictures")
    library = EvaluateRecommendersParams.model_fields["als_library"]
    compare.add_argument(
        "--als-library", default=library.default, choices=get_args(library.annotation), help=library.description
    )
    compare.add_argument("--protocols", default="", help="comma-separated, beside the temporal one; default: all")
    compare.add_argument("--max-users", type=int, default=5000, help="asked about by each protocol; default: 5000")
    compare.add_argument("--out", type=Path, help="JSON file for all figures")
    compare.add_argument("--seed", type=int, default=20251006)


def _add_compare_indexes(tool: Callable[..., argparse.ArgumentParser]) -> None:
    compare = tool("compare_indexes", _compare_indexes, "compare kinds of index on the photos of a night")
    compare.add_argument("--catalogue", required=True)
    compare.add_argument("--run-date", default="", help="the night; default: the latest that has an index")
    compare.add_argument("--kinds", default="", help="comma-separated; default: all that build_index can build")


def _add_params(sub: argparse.ArgumentParser, params: type[Params]) -> None:
    """Add a flag for each field of whole numbers."""
    for name, field in params.model_fields.items():
        sub.add_argument(f"--{name.replace('_', '-')}", dest=name, type=int, help=field.description)


def _add_decisions(tool: Callable[..., argparse.ArgumentParser]) -> None:
    """Add what changes what is live, and what belongs to it; each says who and why, for the promotion ledger."""
    review = tool("open_review", _open_review, "note that a candidate awaits review; print what the reviewer is shown")
    promote = tool("promote", _promote, "make a model version the champion and publish its release")
    reject = tool("reject", _reject, "note that a candidate was rejected; ends with status 2")
    rollback = tool("rollback", _rollback, "publish the release before this one, and make its model the champion")
    for sub in (review, promote, reject, rollback):
        sub.add_argument("--catalogue", required=True)
        sub.add_argument("--by", default="", help="who decides; default: the user of this machine")
    for sub in (promote, reject, rollback):
        sub.add_argument("--reason", default="", help="why; kept in the promotion ledger")
    for sub in (promote, reject):
        sub.add_argument("--version", required=True)
    for sub in (review, promote, reject):
        sub.add_argument("--run-date", default="", help="night of the release; default: the latest that has one")
    ledger = tool("ledger", _ledger, "print the promotion ledger, after checking that it is whole")
    collect = tool("collect_releases", _collect_releases, "remove releases that are not to be kept, and their indexes")
    for sub in (ledger, collect):
        sub.add_argument("--catalogue", required=True)
    _add_params(collect, RetentionParams)


def _add_stage(commands: Any, stage: StageSpec) -> None:
    sub = commands.add_parser(stage.name, help=stage.summary, description=stage.summary)
    sub.set_defaults(run=_run_stage)
    night = sub.add_argument_group("the night")
    night.add_argument("--dataset", required=True, help="folder in the Unsplash layout")
    night.add_argument("--catalogue", help="name of the data set in the lake; default: the folder's name")
    night.add_argument("--run-date", required=True, type=date.fromisoformat, help="last day used, YYYY-MM-DD")
    night.add_argument("--run-id", default="manual", help="name of the night, for the record")
    night.add_argument("--preset", default="small", choices=sorted(PRESETS))
    night.add_argument("--seed", type=int, default=20251006)
    group = sub.add_argument_group("parameters (default, and where empty: the preset's)")
    for name, field in stage.params.model_fields.items():
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"param_{name}", help=field.description, metavar="VALUE")


def stage_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the stage's parameters given on the command line; lists are comma-separated, empty is not given."""
    overrides: dict[str, Any] = {}
    for name, field in ALL[arguments.command].params.model_fields.items():
        value = getattr(arguments, f"param_{name}")
        if value:
            overrides[name] = value.split(",") if "tuple" in str(field.annotation) else value
    return overrides


def make_context(arguments: argparse.Namespace, settings: Settings) -> RunContext:
    """Return the context of a stage call."""
    stage = ALL[arguments.command]
    dataset = arguments.dataset if "://" in arguments.dataset else str(Path(arguments.dataset).absolute())
    return RunContext(
        settings=settings,
        catalogue=arguments.catalogue or catalogue_name(dataset),
        dataset_uri=dataset,
        run_date=arguments.run_date,
        run_id=arguments.run_id,
        started_at=datetime.now(UTC),
        code_version=stage_version(stage.module, stage.params.__module__, RunContext.__module__),
        git_version=git_version(),
        seed=arguments.seed,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    0, or for an error the user can act on, printed as one text, 2; 1 if the same call again may well succeed.
    """
    # Threads that wait spin, and where other work shares the cores take the time of the one waited for: not for long.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    configure_mlflow(os.environ)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("py4j", "httpx", "great_expectations", "alembic", "fsspec", "faiss.loader"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    arguments = build_parser().parse_args(argv)
    settings = None
    try:
        settings = Settings.from_environment(os.environ)
        arguments.run(arguments, settings)
    except NightlensError as error:
        return _print_error(arguments.command, error)
    except KeyboardInterrupt:
        print(f"nightlens {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        explained = None if settings is None else explain(error, settings)
        if explained is None:
            raise
        log.debug("what was behind it", exc_info=True)
        return _print_error(arguments.command, explained)
    return 0


def _print_error(command: str, error: NightlensError) -> int:
    """Print an error, as the last line unless it has several; return the exit status."""
    code = f" [{error.code}]" if error.code else ""
    print(f"nightlens {command}: {type(error).__name__}{code}: {error}", file=sys.stderr)
    return 1 if isinstance(error, LostWork) else 2


def _run_stage(arguments: argparse.Namespace, settings: Settings) -> None:
    stage = ALL[arguments.command]
    params = stage_params(stage.name, arguments.preset, stage_overrides(arguments))
    context = make_context(arguments, settings)
    log.info("%-18s %s", stage.name, stage.summary)
    begun = time.perf_counter()
    manifest = run_stage(context, stage.name, params)
    done_before = " (done before)" if manifest.started_at != context.started_at else ""
    part = "".join(f"{value} " for name, value in manifest.partition.items() if name != "run_date")
    rows = part + ", ".join(f"{name} {count:,}" for name, count in manifest.row_counts.items())
    log.info("%-18s %5.1f s%s  %s", stage.name, time.perf_counter() - begun, done_before, rows)
    told = {name: manifest.facts[name] for name in ("outcome", "sentence") if name in manifest.facts}  # for callbacks
    print(json.dumps({"run": manifest.reference, "rows": manifest.row_counts, **told}), flush=True)


def _nightly(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.adapters.local_services import airflow_environment, prepare_airflow
    from jobs.nights.dag_runner import run_night

    with ThreadPoolExecutor(1) as preparer:  # the first night makes the sample and Airflow's database side by side
        prepared = preparer.submit(prepare_airflow, settings, airflow_environment(settings))
        plan = _plan(arguments, settings)
        prepared.result()
    print(run_night(settings, plan, arguments.retrain, arguments.protocol))


def _retraining(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.nights.retraining_nights import compare_nights

    print(compare_nights(settings, _plan(arguments, settings), arguments.nights))


def _ablation(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.nights.dag_runner import run_ablation

    asked = {"variants": arguments.variants.split(",") if arguments.variants else None, "repeats": arguments.repeats}
    given = {name: value for name, value in asked.items() if value}
    params = stage_params("compare_variants", "small", given)  # refused here rather than after the trainings
    assert isinstance(params, CompareVariantsParams)
    training = stage_params("train_variant", "small", {"epochs": arguments.epochs} if arguments.epochs else {})
    assert isinstance(training, TrainVariantParams)
    epochs = training.epochs if arguments.epochs else None
    print(run_ablation(settings, _plan(arguments, settings), params.variants, params.repeats, epochs))


def _plan_night(arguments: argparse.Namespace, settings: Settings) -> None:
    print(describe(_plan(arguments, settings, arguments.scheduled_for)), flush=True)


def _check_report(arguments: argparse.Namespace, settings: Settings) -> None:
    print(check_report(settings, _plan(arguments, settings, arguments.scheduled_for)))


def _try_notifiers(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.adapters.notifications import Message, send

    notify = NotifySettings.from_environment(os.environ)
    trial = Message("trial", "Nightlens: a message on trial", f"Sent by {getpass.getuser()}.", "")
    if failed := send(notify, trial):
        raise BadInput(
            "message_not_sent", f"nothing was sent by {', '.join(failed)}; why is in the log above", channels=failed
        )
    print(f"sent by {', '.join(notify.notify)}")


def _plan(arguments: argparse.Namespace, settings: Settings, scheduled_for: datetime | None = None) -> NightPlan:
    return plan_night(
        settings,
        dataset=arguments.dataset,
        catalogue=arguments.catalogue,
        preset=arguments.preset,
        run_date=arguments.run_date,
        scheduled_for=scheduled_for,
    )


def _make_sample(arguments: argparse.Namespace, settings: Settings) -> None:
    if arguments.folder is None:
        print(ensure_sample(settings.state_dir))
        return
    from jobs.sample import make_sample

    make_sample(arguments.folder)
    print(arguments.folder)


def _convert_catalogue(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.catalogues.convert import REPORT, as_text, convert
    from jobs.catalogues.mapping import read_mapping

    print(as_text(convert(read_mapping(arguments.mapping), arguments.out)))
    print(f"\n{arguments.out / REPORT}")


def _compare_recommenders(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.recommending.external_log import METHODS, Columns, compare, read_log

    methods = arguments.methods.split(",") if arguments.methods else METHODS
    if unknown := [name for name in methods if name not in METHODS]:
        raise BadInput(
            "no_such_method",
            f"unknown without pictures: {', '.join(unknown)}; there are {', '.join(METHODS)}",
            methods=unknown,
        )
    given: dict[str, Any] = {"methods": methods, "max_visitor_count": arguments.max_users}
    given |= {"als_library": arguments.als_library}
    given |= {"protocols": arguments.protocols.split(",")} if arguments.protocols else {}
    given |= {"protocol_methods": methods} if arguments.methods else {}  # by default those that learn in seconds
    params = stage_params("evaluate_recommenders", "all-arms", given)
    assert isinstance(params, EvaluateRecommendersParams)
    names = (arguments.user_column, arguments.item_column, arguments.at_column, arguments.rating_column)
    world = read_log(arguments.log, Columns(*names, arguments.liked_from))
    print(compare(world, params, arguments.seed, settings, arguments.out))


def _compare_indexes(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.indexing.compare_kinds import compare_kinds

    kinds = arguments.kinds.split(",") if arguments.kinds else ()
    print(compare_kinds(settings, arguments.catalogue, _run_date(arguments), kinds))


def _up(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.adapters.local_services import start_services

    NotifySettings.from_environment(os.environ)  # what is wrong with them is said now, not in the night
    variables = {"nightlens_dataset": arguments.dataset, "nightlens_preset": arguments.preset}
    print(start_services(settings, arguments.airflow_port, arguments.mlflow_port, variables))


def _down(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.adapters.local_services import stop_services

    print(stop_services(settings))


def _lineage(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.housekeeping import lineage

    lake = Lake(settings.lake_uri, arguments.catalogue)
    if arguments.kind == "run":
        lines = lineage.of_run(lake, arguments.name)
    elif arguments.kind == "release":
        lines = lineage.of_release(lake, arguments.name)
    elif not arguments.run_date:
        raise BadInput(
            "no_run_date", f"say of which night the {arguments.kind} is: --run-date YYYY-MM-DD", kind=arguments.kind
        )
    elif arguments.kind == "photo":
        lines = lineage.of_photo(lake, arguments.run_date, arguments.name)
    else:
        metric, _, k = arguments.name.partition("@")
        if not k.isdecimal():
            raise BadInput(
                "no_cutoff",
                f"a metric is named with its cutoff, such as hit_rate@10, not {arguments.name!r}",
                metric=arguments.name,
            )
        lines = lineage.of_metric(lake, arguments.run_date, metric, int(k), arguments.arm, arguments.rows)
    print("\n".join(lines))


def _forget(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.housekeeping.forget_visitor import forget
    from jobs.ingest.rows import pseudonym

    key = settings.pseudonym_key.get_secret_value().encode()
    lake = Lake(settings.lake_uri, arguments.catalogue)
    print(forget(lake, pseudonym(arguments.visitor, key), arguments.visitor, datetime.now(UTC)).text())


def _search(arguments: argparse.Namespace, settings: Settings) -> None:
    import webbrowser

    from jobs.searching.query import make_query
    from jobs.searching.side_by_side import search, write_page
    from jobs.searching.table import render_table

    query = make_query(arguments.query, arguments.country, arguments.image, arguments.photo)
    results = search(settings, arguments.catalogue, query, arguments.k, _run_date(arguments), arguments.near_duplicates)
    print(render_table(results, shutil.get_terminal_size((120, 24)).columns))
    page = write_page(settings, results)
    print(f"\n{page}", flush=True)
    if arguments.open and not webbrowser.open(page.as_uri()):
        raise NightlensError(
            "no_browser", f"no browser could be started here: open {page.as_uri()} in one", page=page.as_uri()
        )


def _recommend(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.ingest.rows import pseudonym
    from jobs.recommending.recommend_for import recommend
    from jobs.recommending.terminal_table import RecommendationRequest, render_table

    key = settings.pseudonym_key.get_secret_value().encode()
    visitor_id = None if arguments.visitor is None else pseudonym(arguments.visitor, key)
    asked = RecommendationRequest(
        arguments.visitor or "", visitor_id, tuple(arguments.photo), arguments.country.upper()
    )
    found = recommend(
        settings, arguments.catalogue, asked, arguments.method or None, arguments.count, _run_date(arguments)
    )
    print(render_table(found, shutil.get_terminal_size((120, 24)).columns))


def _decision(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"by": arguments.by or getpass.getuser(), "reason": arguments.reason, "at": datetime.now(UTC)}


def _run_date(arguments: argparse.Namespace) -> date | None:
    return parse_day(arguments.run_date) if arguments.run_date else None


def _open_review(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.releasing.promotion import open_review

    by, at = arguments.by or getpass.getuser(), datetime.now(UTC)
    shown = open_review(settings, arguments.catalogue, by=by, at=at, run_date=_run_date(arguments))
    print(json.dumps(shown), flush=True)


def _promote(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.releasing.promotion import promote

    decision = _decision(arguments)
    print(promote(settings, arguments.catalogue, arguments.version, run_date=_run_date(arguments), **decision))


def _reject(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.releasing.promotion import reject

    decision = _decision(arguments)
    raise Rejected(
        "rejected",
        reject(settings, arguments.catalogue, arguments.version, run_date=_run_date(arguments), **decision),
        version=arguments.version,
    )


def _rollback(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.releasing.rollback import rollback

    print(rollback(settings, arguments.catalogue, **_decision(arguments)))


def _ledger(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.lake.catalogue import Lake
    from jobs.releasing.ledger import Ledger

    for entry in Ledger(Lake(settings.lake_uri, arguments.catalogue)).entries():
        print(entry.model_dump_json(exclude={"state"}))


def _collect_releases(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.lake.catalogue import Lake
    from jobs.releasing.release_retention import collect

    params = _params(arguments, RetentionParams)
    removed = collect(Lake(settings.lake_uri, arguments.catalogue), params, datetime.now(UTC))
    print("\n".join([*(f"removed {reference}" for reference in removed), f"{len(removed)} runs removed"]))


def _clean_up(arguments: argparse.Namespace, settings: Settings) -> None:
    from jobs.housekeeping.clean_up import clean_up

    if not (arguments.catalogue or arguments.dataset):
        raise BadInput("no_catalogue_named", "say which catalogue: --catalogue, or --dataset with its folder")
    catalogue = arguments.catalogue or catalogue_name(arguments.dataset)
    params, dry_run = _params(arguments, CleanUpParams), arguments.dry_run
    removed = clean_up(settings, catalogue, params, datetime.now(UTC), dry_run=dry_run)
    done = "would remove" if dry_run else "removed"
    lines = [f"{done} {one.what}  {one.byte_count:,} bytes" for one in removed]
    print("\n".join([*lines, f"{done} {len(removed)} things, {sum(one.byte_count for one in removed):,} bytes in all"]))


def _params(arguments: argparse.Namespace, params: type[P]) -> P:
    """Return the params of a tool as given, or `BadInput`."""
    given = {name: getattr(arguments, name) for name in params.model_fields}
    try:
        return params.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise BadInput(
            "bad_parameters",
            f"parameters of {arguments.command}: {faults}",
            command=arguments.command,
            parameters=[str(fault["loc"][0]) for fault in error.errors()],
        ) from error
