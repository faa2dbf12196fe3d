"""Stage `split_temporal`: cut the conversion log into train, validation and test by time, and fix the corpus.

The windows are relative to the night's `as_of`, see `models.windows`. Facts: their four boundaries (ISO 8601,
half-open); `conversions`, the log's rows by where they went (they add up to the log); `photos_by_age`, the
corpus by the window in which a photo was submitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs import datasets
from jobs.context import RunContext
from jobs.errors import MissingInput
from jobs.lake import Manifest, StagedRun
from jobs.params import SplitTemporalParams
from jobs.spark import read_spark, spark_session
from jobs.sql import run_sql
from models.windows import Windows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

ROWS_PER_FILE = 2_000_000
_CONVERSION_ORDER = ("visitor_id", "converted_at", "query", "country", "photo_id")


def run(ctx: RunContext, params: SplitTemporalParams) -> Manifest:
    """Write the splits and the corpus; `MissingInput` if a window holds no conversion."""
    validated = ctx.read(datasets.VALIDATED)
    staged = ctx.begin(datasets.SPLITS, params, {"validated": validated})
    if staged.manifest is not None:
        return staged.manifest
    windows = Windows.before(ctx.as_of, **params.model_dump())
    with spark_session(ctx.settings, "split_temporal") as spark:
        views = {name: read_spark(spark, ctx.lake, validated, name) for name in ("conversions", "photos", "keywords")}
        conversions = _count_conversions(spark, views, windows)
        for name, (start, end) in windows.spans.items():
            rows = run_sql(spark, "split_window", views, window_start=start, window_end=end)
            _write(rows, staged, name, conversions[name], _CONVERSION_ORDER)
        corpus = run_sql(spark, "split_corpus", views, train_end=windows.train_end, test_end=windows.test_end)
        _write(corpus, staged, "photos", validated.row_counts["photos"], ("photo_id",))
        keywords = run_sql(spark, "split_keywords", views, test_end=windows.test_end)
        _write(keywords, staged, "photo_keywords", validated.row_counts["keywords"], ("photo_id", "keyword"))
        ages = run_sql(spark, "split_photo_ages", views, **windows.boundaries).collect()
    facts: dict[str, Any] = {name: boundary.isoformat() for name, boundary in windows.boundaries.items()}
    photos_by_age = dict.fromkeys(("before_train", *windows.spans), 0)
    photos_by_age |= {row["period"]: row["photo_count"] for row in ages}
    return staged.commit(facts | {"conversions": conversions, "photos_by_age": photos_by_age})


def _write(frame: DataFrame, staged: StagedRun, table: str, max_rows: int, order: tuple[str, ...]) -> None:
    """Write a frame whose rows are told apart by `order`, as the same bytes whatever order they come in.

    The number of files depends on the input's size only, and the file of a row on the first column's hash.
    """
    file_count = 1 + max_rows // ROWS_PER_FILE
    ordered = frame.repartition(file_count, order[0]).sortWithinPartitions(*order)
    ordered.write.option("compression", "zstd").parquet(staged.spark_table_uri(table))


def _count_conversions(spark: SparkSession, views: dict[str, DataFrame], windows: Windows) -> dict[str, int]:
    """Return the number of the log's rows by where they go; `MissingInput` if a window gets none."""
    periods = {row["period"]: row for row in run_sql(spark, "split_log_summary", views, **windows.boundaries).collect()}
    totals = {name: row["conversion_count"] for name, row in periods.items()}
    counts = {name: periods[name]["known_count"] if name in periods else 0 for name in windows.spans}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise MissingInput(_empty_windows_message(empty, windows, list(periods.values())))
    return {
        "before_train": totals.get("before_train", 0),
        **counts,
        "after_as_of": totals.get("after_as_of", 0),
        "photo_not_yet_submitted": sum(totals[name] - count for name, count in counts.items()),
    }


def _empty_windows_message(empty: list[str], windows: Windows, periods: list[Row]) -> str:
    first, last = min(row["first_at"] for row in periods), max(row["last_at"] for row in periods)
    wanted = "; ".join(f"{name} [{start:%Y-%m-%d}, {end:%Y-%m-%d})" for name, (start, end) in windows.spans.items())
    return (
        f"no usable conversion in the window of: {', '.join(empty)}. The log runs from {first} to {last} UTC "
        f"({sum(row['conversion_count'] for row in periods)} rows); the windows wanted are {wanted}. Choose another "
        f"run date (DATE=..., --run-date), such as {last[:10]}, or shorter windows (--test-days, "
        f"--validation-days, --train-days)."
    )
