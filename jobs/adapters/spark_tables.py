"""Parquet between Spark and the lake: Spark's own on a file system, Arrow through fsspec on an object store.

What reads and writes the lake everywhere else reaches the object store as well, with the same credentials, so Spark
needs no connector of its own; an object appears whole or not at all, so neither does it need a commit protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.adapters.parquet_parts import part_path, write_part

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from pyspark.sql import DataFrame, SparkSession

    from jobs.lake.catalogue import Lake
    from jobs.lake.files import LakeFiles, Store
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun


def read_spark(spark: SparkSession, lake: Lake, manifest: Manifest, table: str) -> DataFrame:
    """Read one table of a committed run as a Spark frame."""
    if lake.is_local:
        return spark.read.parquet(*lake.spark_uris(manifest, table))
    uris = lake.table_uris(manifest, table)
    with lake.fs.open(uris[0], "rb") as file:
        schema = pq.read_schema(file)
    return read_objects(spark, lake.fs, uris, schema.remove_metadata())


def read_parts(spark: SparkSession, store: Store, schema: pa.Schema) -> DataFrame:
    """Read the committed Parquet parts of a store; where there are none the frame is empty."""
    from pyspark.sql.pandas.types import from_arrow_schema

    if not store.names(".parquet"):
        return spark.createDataFrame(schema.empty_table())
    if store.lake.is_local:
        return spark.read.schema(from_arrow_schema(schema)).parquet(*store.spark_uris(".parquet"))
    return read_objects(spark, store.lake.fs, store.uris(".parquet"), schema)


def write_spark(frame: DataFrame, staged: StagedRun, table: str) -> None:
    """Write a frame as a declared table of a run, one file per partition, rows in their order."""
    write_parts(frame, staged.lake, staged.table_folder(table))


def write_parts(frame: DataFrame, lake: LakeFiles, folder: str) -> None:
    """Write a frame as Parquet files into a folder of the lake that does not exist yet."""
    if lake.is_local:
        frame.write.option("compression", "zstd").parquet(lake.spark_uri(folder))
        return
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = to_arrow_schema(frame.schema, timezone="UTC")
    write = partial(_write_object, lake=lake, folder=folder, schema=schema)
    if not frame.mapInArrow(write, "written long").collect():  # a frame without rows may have no partitions
        write_part([], lake, part_path(folder, 0), schema)


def read_objects(
    spark: SparkSession, fs: AbstractFileSystem, uris: Sequence[str], schema: pa.Schema, number: str = ""
) -> DataFrame:
    """Return the rows of Parquet files, each read by a task of its own.

    `number` is the name of a further column (int32) for the index of the file among them; without one there is none.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    numbered = spark.createDataFrame(pa.table({"number": pa.array(range(len(uris)), pa.int32()), "uri": list(uris)}))
    spread = numbered.repartitionById(len(uris), "number")
    found = schema.append(pa.field(number, pa.int32())) if number else schema
    return spread.mapInArrow(partial(_read_object, fs=fs, schema=schema, number=number), from_arrow_schema(found))


def _read_object(
    batches: Iterator[pa.RecordBatch], fs: AbstractFileSystem, schema: pa.Schema, number: str
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for place, uri in zip(batch["number"].to_pylist(), batch["uri"].to_pylist(), strict=True):
            with fs.open(uri, "rb") as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                for rows in parquet.iter_batches(columns=schema.names):
                    found = pa.Table.from_batches([rows]).select(schema.names).cast(schema)
                    if number:
                        found = found.append_column(number, pa.array([place] * len(found), pa.int32()))
                    yield from found.to_batches()


def _write_object(
    batches: Iterator[pa.RecordBatch], lake: LakeFiles, folder: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Write a partition's rows as one object named by its number: a task that is tried again replaces it."""
    from pyspark import TaskContext

    context: Any = TaskContext.get()
    count = write_part(batches, lake, part_path(folder, context.partitionId()), schema)
    yield pa.record_batch({"written": pa.array([count], pa.int64())})
