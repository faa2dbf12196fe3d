"""Queries by Spark, for tables that do not fit one machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F  # noqa: N812

from jobs.adapters.parquet_parts import SHARD, part_path, write_part, write_shards
from jobs.adapters.spark_session import spark_session
from jobs.adapters.spark_tables import read_objects, read_spark
from jobs.adapters.sql_files import run_sql
from jobs.adapters.task_pool import SparkPool
from jobs.config.settings import Settings
from jobs.lake.catalogue import Lake
from jobs.lake.files import LakeFiles
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@contextmanager
def spark_engine(settings: Settings, name: str, row_count: int) -> Iterator[SparkEngine]:
    """Give an engine on the session of a stage whose tables have so many rows."""
    with spark_session(settings, name, row_count) as spark:
        engine = SparkEngine(spark)
        try:
            yield engine
        finally:
            engine.let_go()


class SparkEngine(SparkPool):
    """A `QueryEngine` whose frames are Spark's."""

    def __init__(self, spark: SparkSession) -> None:
        super().__init__(spark)
        self._kept: list[DataFrame] = []

    def table(self, lake: Lake, manifest: Manifest, table: str) -> DataFrame:
        """Return a table of a committed run."""
        return read_spark(self._spark, lake, manifest, table)

    def files(self, uris: Sequence[str], columns: Sequence[str]) -> DataFrame:
        """Return the rows of Parquet files, and in `unit` the index of the file."""
        fs, path = fsspec.url_to_fs(uris[0], use_listings_cache=False)
        with fs.open(path, "rb") as file:
            schema = pq.read_schema(file).remove_metadata()
        wanted = pa.schema([schema.field(name) for name in columns])
        return read_objects(self._spark, fs, uris, wanted, number="unit")

    def frame(self, rows: pl.DataFrame) -> DataFrame:
        """Return rows that are in memory."""
        return self._spark.createDataFrame(rows.to_arrow())

    def run(self, name: str, views: Mapping[str, DataFrame], **markers: Any) -> DataFrame:
        """Run `sql/<name>.sql`."""
        bound = {marker: _bound(value) for marker, value in markers.items()}
        return run_sql(self._spark, name, dict(views), **bound)

    def select(self, frame: DataFrame, *expressions: str) -> DataFrame:
        """Return what expressions make of the rows."""
        return frame.selectExpr(*expressions)

    def where(self, frame: DataFrame, condition: str) -> DataFrame:
        """Return the rows that meet a condition."""
        return frame.where(condition)

    def union(self, frames: Sequence[DataFrame]) -> DataFrame:
        """Return the rows of frames."""
        return reduce(lambda one, other: one.unionAll(other), frames)

    def keep(self, frame: DataFrame) -> DataFrame:
        """Compute the rows once."""
        self._kept.append(frame.persist())
        return self._kept[-1]

    def let_go(self) -> None:
        """Forget what was kept."""
        while self._kept:
            self._kept.pop().unpersist()

    def collect(self, frame: DataFrame) -> pl.DataFrame:
        """Return the rows."""
        return pl.DataFrame(pl.from_arrow(frame.toArrow()))

    def write(
        self, frame: DataFrame, staged: StagedRun, table: str, file_count: int, by: str, order: Sequence[str]
    ) -> None:
        """Write the rows as a table of a run, each file by a task of its own."""
        schema, folder = staged.dataset.table(table).schema, staged.table_folder(table)
        digest = F.conv(F.substr(F.md5(F.col(by).cast("string")), F.lit(1), F.lit(8)), 16, 10)
        shard = F.coalesce(digest.cast("bigint") % file_count, F.lit(0)).cast("int")
        spread = frame.withColumn(SHARD, shard).repartitionById(file_count, SHARD).sortWithinPartitions(SHARD, *order)
        write = partial(_write, lake=staged.lake, folder=folder, schema=schema)
        written = spread.select(*schema.names, SHARD).mapInArrow(write, "written long").collect()
        if not sum(row["written"] for row in written):
            write_part([], staged.lake, part_path(folder, 0), schema)


def _write(
    batches: Iterator[pa.RecordBatch], lake: LakeFiles, folder: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Write a partition's rows as files named by their numbers: a task that is tried again replaces them."""
    yield pa.record_batch({"written": pa.array([write_shards(batches, lake, folder, schema)], pa.int64())})


def _bound(value: Any) -> Any:
    """Return a value as Spark binds it."""
    if not isinstance(value, dict):
        return value
    return F.create_map(*(F.lit(one) for pair in value.items() for one in pair))
