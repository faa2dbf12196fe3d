"""Finding the images of more photos than one process holds: the functions of `image_sources` in tasks of Spark.

Every step that costs more than a join is kept in the run's checkpoints before the next one reads it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from jobs.adapters.parquet_parts import ROWS_PER_FILE
from jobs.adapters.spark_session import spark_session
from jobs.adapters.spark_tables import read_parts, read_spark, write_parts, write_spark
from jobs.adapters.sql_files import run_sql
from jobs.datasets.clean import IMAGES
from jobs.ingest.image_listing import LISTING
from jobs.ingest.image_sources import (
    DOWNLOADS,
    FETCHED,
    FOUND,
    LOOKED,
    PHOTOS,
    RESULTS,
    SUMMARY,
    FetchedImages,
    FetchJob,
    fetch,
    files_of,
    images_of,
    look,
    results,
    summary,
    summed,
    with_keys,
)
from jobs.runtime.progress import timed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.context import Inputs, RunContext
    from jobs.ingest.image_listing import Listing
    from jobs.lake.catalogue import Lake
    from jobs.lake.files import Store
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens.fetch_images")
_TASKS_PER_CORE = 4  # that look at files: Spark would put rows of few bytes into one task, though their files take long
Work = Callable[[Iterator[pl.DataFrame]], Iterable[pl.DataFrame]]
"""What a task makes of the frames of its part."""


def find_in_spark(
    ctx: RunContext,
    job: FetchJob,
    inputs: Inputs,
    staged: StagedRun,
    listing: Listing,
    last: Manifest | None,
    check: Callable[[pl.DataFrame], None],
) -> pl.DataFrame:
    """Write both tables, if `check` lets the summary pass, and return the summary."""
    with spark_session(ctx.settings, "fetch_images") as spark:
        photos = read_spark(spark, ctx.lake, inputs["validated"], "photos").select("photo_id", "image_url")
        views = {
            "photos": _mapped(photos, partial(map, with_keys), PHOTOS),
            "listing": _stored_listing(spark, _store(ctx.lake, staged, "listing"), listing),
            "last_files": spark.createDataFrame(IMAGES.table("files").schema.empty_table())
            if last is None
            else read_spark(spark, ctx.lake, last, "files"),
        }
        found = run_sql(spark, "photos_with_files", views)
        done = _mapped(_sources(spark, job, staged, found), partial(map, results), RESULTS)
        parts = _mapped(done, _summed_part, SUMMARY).toArrow()
        counts = summed(pl.DataFrame(pl.from_arrow(parts)))
        check(counts)
        row_count = int(counts["count"].sum())
        for table, of in (("images", images_of), ("files", files_of)):
            rows = _mapped(done, partial(map, of), IMAGES.table(table).schema)
            by_id = rows.repartitionByRange(math.ceil(row_count / ROWS_PER_FILE), "photo_id")
            write_spark(by_id.sortWithinPartitions("photo_id"), staged, table)
    return counts


def _sources(spark: SparkSession, job: FetchJob, staged: StagedRun, found: DataFrame) -> DataFrame:
    """Return `FETCHED` of all photos.

    `--concurrency` is that of all tasks together: as many tasks download as there is room for, and share it. A task
    that reads files of the data set has its share of it as well, and at least one thread.
    """
    core_count = spark.sparkContext.defaultParallelism
    keep = partial(_kept, spark, job.lake, staged)
    reading = partial(map, partial(look, job=job, thread_count=max(1, job.params.concurrency // core_count)))
    spread = found.select(FOUND.names).repartition(_TASKS_PER_CORE * core_count)
    looked = keep("looked", _mapped(spread, reading, LOOKED), LOOKED)
    digits = spark.createDataFrame(pa.table({"digit": list(FetchedImages.DIGITS)}))
    listed = _mapped(digits.repartition(len(FetchedImages.DIGITS)), partial(_downloads, job), DOWNLOADS)
    asked = looked.filter("download_key IS NOT NULL").join(keep("downloads", listed, DOWNLOADS), "download_key", "left")
    task_count = min(job.params.concurrency, core_count)
    fetching = partial(_fetch_part, job, job.params.concurrency // task_count)
    missing = asked.filter("download_uri IS NULL").repartition(task_count)
    fetched = keep("fetched", _mapped(missing, fetching, FETCHED), FETCHED)
    settled = looked.filter("download_key IS NULL"), asked.filter("download_uri IS NOT NULL")
    return fetched.unionByName(settled[0], allowMissingColumns=True).unionByName(settled[1], allowMissingColumns=True)


def _fetch_part(job: FetchJob, thread_count: int, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    return fetch((row for frame in frames for row in frame.iter_rows(named=True)), job, thread_count)


def _downloads(job: FetchJob, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    store = FetchedImages(job.lake)
    return (store.table(digit) for frame in frames for digit in frame["digit"])


def _summed_part(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    parts = [summary(frame) for frame in frames]
    if parts:
        yield summed(pl.concat(parts))


def _store(lake: Lake, staged: StagedRun, name: str) -> Store:
    return lake.store("checkpoints", staged.dataset.name, staged.run_id, name)


def _stored_listing(spark: SparkSession, store: Store, listing: Listing) -> DataFrame:
    """Put a listing where the tasks can read it."""
    store.clear()
    for part in listing.parts:
        store.put(part.name, part.read_bytes())
    return read_parts(spark, store, LISTING)


def _kept(
    spark: SparkSession, lake: Lake, staged: StagedRun, name: str, frame: DataFrame, schema: pa.Schema
) -> DataFrame:
    """Write a frame into the run's checkpoints and return it as it is read from there."""
    store = _store(lake, staged, name)
    store.clear()
    with timed(log, {}, f"photos and images: {name}"):
        write_parts(frame, lake, store.folder)
    return read_parts(spark, store, schema)


def _mapped(frame: DataFrame, work: Work, schema: pa.Schema) -> DataFrame:
    """Return what the tasks make of their parts."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return frame.mapInArrow(partial(_map_part, work=work, schema=schema), from_arrow_schema(schema))


def _map_part(batches: Iterator[pa.RecordBatch], work: Work, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for frame in work(pl.DataFrame(pl.from_arrow(batch)) for batch in batches):
        yield from frame.select(schema.names).to_arrow().cast(schema).to_batches()
