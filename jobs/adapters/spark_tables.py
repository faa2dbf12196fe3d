"""Parquet between Spark and the lake: Spark's own on a file system, Arrow through fsspec on an object store.

What reads and writes the lake everywhere else reaches the object store as well, with the same credentials, so Spark
needs no connector of its own; an object appears whole or not at all, so neither does it need a commit protocol.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from pyspark.sql import DataFrame, SparkSession

    from jobs.lake.catalogue import Lake
    from jobs.lake.files import LakeFiles, Store
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun

ROWS_PER_FILE = 2_000_000
"""Tables of more rows are cut into more files."""
_ROWS_PER_GROUP = 131_072


def read_spark(spark: SparkSession, lake: Lake, manifest: Manifest, table: str) -> DataFrame:
    """Read one table of a committed run as a Spark frame."""
    if lake.is_local:
        return spark.read.parquet(*lake.spark_uris(manifest, table))
    uris = lake.table_uris(manifest, table)
    with lake.fs.open(uris[0], "rb") as file:
        schema = pq.read_schema(file)
    return _read_objects(spark, lake.fs, uris, schema.remove_metadata())


def read_parts(spark: SparkSession, store: Store, schema: pa.Schema) -> DataFrame:
    """Read the committed Parquet parts of a store; where there are none the frame is empty."""
    from pyspark.sql.pandas.types import from_arrow_schema

    if not store.names(".parquet"):
        return spark.createDataFrame(schema.empty_table())
    if store.lake.is_local:
        return spark.read.schema(from_arrow_schema(schema)).parquet(*store.spark_uris(".parquet"))
    return _read_objects(spark, store.lake.fs, store.uris(".parquet"), schema)


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
    write = partial(_write_object, fs=lake.fs, folder=folder, schema=schema)
    if not frame.mapInArrow(write, "written long").collect():  # a frame without rows may have no partitions
        _put_object([], lake.fs, f"{folder}/part-00000.parquet", schema)


def _read_objects(spark: SparkSession, fs: AbstractFileSystem, uris: list[str], schema: pa.Schema) -> DataFrame:
    """Return the rows of objects, each read by a task of its own."""
    from pyspark.sql.pandas.types import from_arrow_schema

    numbered = spark.createDataFrame(pa.table({"number": pa.array(range(len(uris)), pa.int32()), "uri": uris}))
    spread = numbered.repartitionById(len(uris), "number")
    return spread.mapInArrow(partial(_read_object, fs=fs, schema=schema), from_arrow_schema(schema))


def _read_object(
    batches: Iterator[pa.RecordBatch], fs: AbstractFileSystem, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for uri in batch.column("uri").to_pylist():
            with fs.open(uri, "rb") as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                for rows in parquet.iter_batches(columns=schema.names):
                    yield from pa.Table.from_batches([rows]).select(schema.names).cast(schema).to_batches()


def _write_object(
    batches: Iterator[pa.RecordBatch], fs: AbstractFileSystem, folder: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Write a partition's rows as one object named by its number: a task that is tried again replaces it."""
    from pyspark import TaskContext

    context: Any = TaskContext.get()
    count = _put_object(batches, fs, f"{folder}/part-{context.partitionId():05d}.parquet", schema)
    yield pa.record_batch({"written": pa.array([count], pa.int64())})


def _put_object(batches: Iterable[pa.RecordBatch], fs: AbstractFileSystem, path: str, schema: pa.Schema) -> int:
    """Write rows as one object, whole or not at all; return how many they are."""
    with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
        local, count = Path(temporary) / "part.parquet", 0
        with pq.ParquetWriter(local, schema, compression="zstd") as writer:
            for rows in _groups(batches, schema):
                writer.write_table(rows, row_group_size=_ROWS_PER_GROUP)
                count += len(rows)
        fs.put_file(str(local), path)
    return count


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Gather batches into tables of about a row group each."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(len(rows) for rows in held) >= _ROWS_PER_GROUP:
            yield pa.Table.from_batches(held).cast(schema)
            held = []
    if held:
        yield pa.Table.from_batches(held).cast(schema)
