"""`nightlens lineage`: from a figure, a photo, a run or a release back to the bytes and log rows it comes from.

Every manifest names the runs it was made from; this walks them and checks nothing: what it prints is what was recorded.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, PhotoEmbeddingsFacts
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import SPLITS, SplitsFacts
from jobs.datasets.models import REGISTRATION, RegistrationFacts
from jobs.datasets.releases import RELEASE, ReleaseFacts
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.ledger import Ledger, State
from jobs.releasing.published_pointer import find_release, is_of, label_of, read_pointer
from jobs.releasing.reader import RELEASE_FILE

SHOWN = 5  # examples of what there is more of


def of_run(lake: Lake, reference: str) -> list[str]:
    """Return the tree of runs that a run was made from, as lines; each run is told once.

    Raises `MissingInput` if the lake has no such run.
    """
    return list(_tree(lake, lake.by_reference(reference), "", set()))


def of_metric(lake: Lake, run_date: str, metric: str, k: int, arm: str, rows_to: Path | None = None) -> list[str]:
    """Return what a figure of a night's report is the mean of, and what that was made from.

    It is of the challenger unless an `arm` is named. `rows_to` is a CSV file for the log rows behind the figure, one a
    row with the rank of its photo. Raises `BadInput` naming the arms and metrics there are if there is no such figure.
    """
    partition = {"run_date": run_date}
    evaluation = lake.current(EVALUATION, partition)
    arm = arm or EvaluationFacts.of(evaluation).verdict.challenger
    metrics = lake.read_table(evaluation, "metrics").filter(pl.col("segment_kind") == "all")
    found = metrics.filter((pl.col("arm") == arm) & (pl.col("metric") == metric) & (pl.col("k") == k))
    if found.is_empty():
        known = {name: sorted(map(str, metrics[name].unique())) for name in ("arm", "metric", "k")}
        raise BadInput(
            "no_such_figure",
            f"{evaluation.reference} has no {metric}@{k} of arm {arm!r}; it has {known}",
            metric=metric,
            k=k,
            arm=arm,
        )
    figure = found.row(0, named=True)
    rows = _log_rows(lake, evaluation, arm)
    lines = [
        f"{metric}@{k} of {arm}, night of {run_date}: {figure['value']:.6f} "
        f"({figure['low']:.4f} to {figure['high']:.4f}), the mean over {figure['query_count']:,} searches of "
        f"{figure['cluster_count']:,} visitors",
        "",
        f"log rows behind it: {len(rows):,}, such as",
        *(
            f"  {row['source_file']}:{row['source_line']}  {row['converted_at']:%Y-%m-%d %H:%M:%S}  "
            f"{row['query']!r} {row['country'] or '-'} -> photo {row['photo_id']}, rank {row['rank']}"
            for row in rows.head(SHOWN).iter_rows(named=True)
        ),
    ]
    if rows_to is not None:
        rows.write_csv(rows_to)
        lines.append(f"  all of them: {rows_to}")
    lines += ["", *_pictures(lake, evaluation), "", "made from"]
    return [*lines, *_tree(lake, evaluation, "", set())]


def of_photo(lake: Lake, run_date: str, photo_id: str) -> list[str]:
    """Return what a night knows of a photo: row, picture, windows, vectors, index.

    Raises `MissingInput` if the night does not have it, saying why: it is in quarantine, gone, or not there yet.
    """
    partition = {"run_date": run_date}
    validated, images, splits, embedded = (
        lake.current(dataset, partition) for dataset in (VALIDATED, IMAGES, SPLITS, PHOTO_EMBEDDINGS)
    )
    is_it = pl.col("photo_id") == photo_id
    photo = _rows(lake, validated, "photos", is_it)
    if photo.is_empty():
        raise MissingInput(
            "no_such_photo",
            f"the night of {run_date} has no photo {photo_id!r}: {_where_it_is(lake, validated, photo_id)}.",
            photo_ids=[photo_id],
        )
    lines = [f"photo {photo_id}, night of {run_date}"]
    lines += [f"  {name}: {value}" for name, value in photo.row(0, named=True).items() if value is not None]
    for picture in _rows(lake, images, "images", is_it).iter_rows(named=True):
        lines.append(f"picture: {picture['status']}, {picture['uri'] or picture['reason']}")
        if picture["sha256"] is not None:
            lines.append(f"  {picture['byte_count']:,} bytes, sha256 {picture['sha256']}")
    log = _rows(lake, validated, "conversions", is_it).sort("converted_at")
    lines.append(f"conversions: {len(log):,} rows of the log")
    lines += [f"  {row['source_file']}:{row['source_line']}  {row['query']!r}" for row in log.head(SHOWN).to_dicts()]
    for window in ("train", "validation", "test"):
        lines.append(f"  {window}: {len(_rows(lake, splits, window, is_it)):,} pairs")
    vectors = _rows(lake, embedded, "embeddings", is_it)
    for arm in vectors["arm"].sort():
        lines.append(f"vector: {arm}, model {PhotoEmbeddingsFacts.of(embedded).arms[arm].model_digest}")
    return [*lines, "", "made from", *_tree(lake, embedded, "", set())]


def _where_it_is(lake: Lake, validated: Manifest, photo_id: str) -> str:
    """Return in words why a night has no row of a photo."""
    cell = rf"(^|[\t,]){re.escape(photo_id)}($|[\t,])"  # records stand there as their fields, joined again
    bad = _rows(lake, validated, "quarantine", (pl.col("table") == "photos") & pl.col("record").str.contains(cell))
    if not bad.is_empty():
        row = bad.sort("source_file", "source_line").row(0, named=True)
        return f"it is in quarantine for {', '.join(row['reasons'])}, {row['source_file']}:{row['source_line']}"
    night = validated.partition["run_date"]
    runs = {run.partition["run_date"]: run for run in lake.history(VALIDATED)}
    has_it = [
        day for day, run in runs.items() if not _rows(lake, run, "photos", pl.col("photo_id") == photo_id).is_empty()
    ]
    if before := [day for day in has_it if day < night]:
        first_without = min(day for day in runs if day > before[-1])
        return f"it is gone since the night of {first_without}. The night of {before[-1]} was the last that had it"
    if has_it:
        return f"the night of {has_it[0]} is the first that has it"
    return f"no night of {lake.catalogue} has it, and the quarantine has no row of it"


def of_release(lake: Lake, name: str) -> list[str]:
    """Return what is in a release and what it was made from, down to the validated log.

    `name` is `<night>/<run id>` as the promotion ledger has it, a night (its current release), or `published`.
    Raises `BadInput` for another name, `MissingInput` if there is no such release.
    """
    release = _find_release(lake, name)
    described = json.loads(lake.read_file(release, RELEASE_FILE))
    model, index, splits = (described[part] for part in ("model", "index", "splits"))
    files = {part: described[part] for part in ("vocabulary", "config") if described[part] is not None}
    return [
        f"release {label_of(release)} of catalogue {described['catalogue']}: {_standing(lake, release)}",
        f"night: {described['run_date']}, nothing known at or after {described['as_of']}",
        f"registered: {_registered(lake, release)}",
        f"model: arm {model['arm']}, digest {model['digest']}, trained until {model['trained_until']}",
        f"index: {index['kind']}, {index['photo_count']:,} photos in {index['shard_count']} shards, "
        f"{index['bytes']:,} bytes, of model {index['model_digest']}",
        f"id map: {release.row_counts['ids']:,} rows",
        *(f"{part}: {found['file']}, sha256 {found['sha256']}" for part, found in files.items()),
        f"recommender: {_recommender(release)}",
        *(f"{window}: {moment}" for window, moment in splits.items()),
        *_log_of(lake, release),
        "",
        "made from",
        *_tree(lake, release, "", set()),
    ]


def _registered(lake: Lake, release: Manifest) -> str:
    """Return the version that a release is, in words."""
    for manifest in lake.history(REGISTRATION):
        if manifest.input_runs.get("release") == release.reference:
            return RegistrationFacts.of(manifest).in_words
    return "no version that the lake knows of"


def _recommender(release: Manifest) -> str:
    found = ReleaseFacts.of(release).recommender
    return f"none, {found.note}" if found.note else f"{found.method}, lists of {found.visitor_count:,} visitors"


def _find_release(lake: Lake, name: str) -> Manifest:
    if name == "published":
        pointer = read_pointer(lake)
        if pointer is None or pointer.release is None:
            raise MissingInput(
                "nothing_published", f"nothing is published below {lake.root}: promote a release", lake=str(lake.root)
            )
        found = find_release(lake, pointer.release)
        if found is None:
            raise MissingInput(
                "no_such_release",
                f"the release {pointer.release}, which is published, is gone from {lake.root}",
                release=str(pointer.release),
            )
        return found
    night, _, run_id = name.partition("/")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(/[0-9a-f]+)?", name):
        raise BadInput(
            "not_a_release_name",
            f"{name!r} names no release: write YYYY-MM-DD, YYYY-MM-DD/<run id>, or published",
            value=name,
        )
    if not run_id:
        return lake.current(RELEASE, {"run_date": night})
    release = lake.find(RELEASE, {"run_date": night}, run_id)
    if release is None:
        raise MissingInput(
            "no_such_release",
            f"the lake {lake.root} has no release {name}: it was never made, or is removed",
            release=name,
        )
    return release


def _standing(lake: Lake, release: Manifest) -> str:
    """Return whether a release is live, was, or waits to be."""
    entries = Ledger(lake).entries()
    state = entries[-1].state if entries else State()
    if is_of(state.release, release):
        return f"published since entry {state.since} of the promotion ledger"
    for number, name in enumerate(state.earlier, start=1):
        if is_of(name, release):
            return f"was published before, {number} back"
    about = [entry for entry in entries if is_of(entry.release, release)]
    return f"not published, {about[-1].kind} in entry {about[-1].number}" if about else "a candidate nobody decided on"


def _log_of(lake: Lake, release: Manifest) -> Iterator[str]:
    """Yield what is to be said of the validated log that is nearest."""
    logs = (one for one in _ancestors(lake, release) if one.dataset == VALIDATED.name)
    for validated in itertools.islice(logs, 1):
        rows = ", ".join(f"{name} {count:,}" for name, count in validated.row_counts.items())
        yield f"log: {validated.reference}: {rows}"
        for name, digest in sorted(validated.identity["sources"].items()):
            yield f"  from outside the lake: {name} {digest}"


def _ancestors(lake: Lake, manifest: Manifest) -> Iterator[Manifest]:
    """Yield the runs that a run was made from, each once, the nearest first."""
    waiting = [manifest]
    seen: set[str] = set()
    while waiting:
        for reference in waiting.pop(0).input_runs.values():
            if reference not in seen:
                seen.add(reference)
                waiting.append(lake.by_reference(reference))
                yield waiting[-1]


def _log_rows(lake: Lake, evaluation: Manifest, arm: str) -> pl.DataFrame:
    """Return the rows of the log that the evaluated searches stand for, with the rank of each one's photo."""
    searches = lake.read_table(evaluation, "queries")
    ranks = lake.read_table(evaluation, "ranks").filter(pl.col("arm") == arm).select("query_id", "rank")
    start, end = SplitsFacts.of(lake.by_reference(evaluation.input_runs["splits"])).windows["test"]
    log = _rows(
        lake,
        lake.by_reference(evaluation.input_runs["validated"]),
        "conversions",
        (pl.col("converted_at") >= start) & (pl.col("converted_at") < end),
    )
    columns = ["visitor_id", "query", "country", "photo_id"]
    joined = searches.join(ranks, on="query_id").join(log, on=columns, nulls_equal=True)
    wanted = ["query_id", "query", "country", "photo_id", "rank", "converted_at", "source_file", "source_line"]
    return joined.select(wanted).sort("source_file", "source_line")


def _pictures(lake: Lake, evaluation: Manifest) -> Iterator[str]:
    pictures = lake.read_table(lake.by_reference(evaluation.input_runs["images"]), "images").drop_nulls("sha256")
    yield f"pictures behind it: {len(pictures):,} files of {pictures['byte_count'].sum():,} bytes, such as"
    for row in pictures.sort("photo_id").head(SHOWN).iter_rows(named=True):
        yield f"  {row['uri']}  sha256 {row['sha256'][:16]}"


def _rows(lake: Lake, manifest: Manifest, table: str, wanted: pl.Expr) -> pl.DataFrame:
    return pl.scan_parquet(lake.table_uris(manifest, table)).filter(wanted).collect()


def _tree(lake: Lake, manifest: Manifest, indent: str, told: set[str]) -> Iterator[str]:
    """Yield a run and, deeper, those it was made from."""
    if manifest.reference in told:
        yield f"{indent}{manifest.reference} (above)"
        return
    told.add(manifest.reference)
    rows = ", ".join(f"{name} {count:,}" for name, count in manifest.row_counts.items())
    yield f"{indent}{manifest.reference}"
    yield f"{indent}  content {manifest.digest[:16]}, code {manifest.identity['code_version']}, {rows or 'files only'}"
    for name, digest in sorted(manifest.identity["sources"].items()):
        yield f"{indent}  from outside the lake: {name} {digest}"
    for reference in manifest.input_runs.values():
        yield from _tree(lake, lake.by_reference(reference), indent + "  ", told)
