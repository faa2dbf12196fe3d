"""`nightlens lineage`: from a figure, a photo or a run of the lake back to the bytes and log rows it comes from.

Every manifest names the runs it was made from; this walks them and checks nothing: what it prints is what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jobs import datasets
from jobs.errors import BadInput, MissingInput
from jobs.lake import Lake, Manifest

SHOWN = 5  # examples of what there is more of


def of_run(lake: Lake, reference: str) -> list[str]:
    """Return the tree of runs that a run was made from, as lines; each run is told once.

    Raises `MissingInput` if the lake has no such run.
    """
    return list(_tree(lake, lake.by_reference(reference), "", set()))


def of_metric(lake: Lake, run_date: str, metric: str, k: int, arm: str, rows_to: Path | None = None) -> list[str]:
    """Return what a figure of a night's report is the mean of, and what that was made from.

    `rows_to` is a CSV file for the log rows behind the figure, one a row with the rank of its photo. Raises `BadInput`
    naming the arms and metrics there are if there is no such figure.
    """
    partition = {"run_date": run_date}
    evaluation = lake.current(datasets.EVALUATION, partition)
    metrics = lake.read_table(evaluation, "metrics").filter(pl.col("segment_kind") == "all")
    found = metrics.filter((pl.col("arm") == arm) & (pl.col("metric") == metric) & (pl.col("k") == k))
    if found.is_empty():
        known = {name: sorted(map(str, metrics[name].unique())) for name in ("arm", "metric", "k")}
        raise BadInput(f"{evaluation.reference} has no {metric}@{k} of arm {arm!r}; it has {known}")
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
    """Return what a night knows of a photo: row, picture, windows, vectors, index. Raises `MissingInput` if nothing."""
    partition = {"run_date": run_date}
    validated, images, splits, embedded = (
        lake.current(dataset, partition)
        for dataset in (datasets.VALIDATED, datasets.IMAGES, datasets.SPLITS, datasets.PHOTO_EMBEDDINGS)
    )
    is_it = pl.col("photo_id") == photo_id
    photo = _rows(lake, validated, "photos", is_it)
    if photo.is_empty():
        raise MissingInput(f"{validated.reference} has no photo {photo_id!r}; look in its quarantine")
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
        lines.append(f"vector: {arm}, model {embedded.facts['arms'][arm]['model_digest']}")
    return [*lines, "", "made from", *_tree(lake, embedded, "", set())]


def _log_rows(lake: Lake, evaluation: Manifest, arm: str) -> pl.DataFrame:
    """Return the rows of the log that the evaluated searches stand for, with the rank of each one's photo."""
    searches = lake.read_table(evaluation, "queries")
    ranks = lake.read_table(evaluation, "ranks").filter(pl.col("arm") == arm).select("query_id", "rank")
    facts = lake.by_reference(evaluation.input_runs["splits"]).facts
    start, end = (pl.lit(facts[name]).str.to_datetime(time_zone="UTC") for name in ("validation_end", "test_end"))
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
