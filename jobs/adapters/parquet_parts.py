"""Parquet files of the lake from batches of rows: the same rows in the same order are the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.lake.files import LakeFiles

ROWS_PER_FILE = 2_000_000
"""Tables of more rows are cut into more files."""
SHARD = "_shard"
"""The column that says which file a row goes to."""
_ROWS_PER_GROUP = 131_072


def write_part(batches: Iterable[pa.RecordBatch], lake: LakeFiles, path: str, schema: pa.Schema) -> int:
    """Write rows as one file, whole or not at all; return how many they are.

    Columns are cast to the schema where that loses nothing. How the rows are cut into batches changes nothing.
    """
    count = 0
    with lake.writing(path) as local, pq.ParquetWriter(local, schema, compression="zstd") as writer:
        for rows in _groups(batches, schema):
            writer.write_table(rows, row_group_size=_ROWS_PER_GROUP)
            count += len(rows)
    return count


def write_shards(batches: Iterable[pa.RecordBatch], lake: LakeFiles, folder: str, schema: pa.Schema) -> int:
    """Write rows that are ordered by `SHARD`, those of one shard as the file of its number; return how many they are.

    A shard without rows gets no file.
    """
    count = 0
    for shard, parts in groupby(_runs(batches), key=lambda run: run[0]):
        rows = (part for _, part in parts)
        count += write_part(rows, lake, part_path(folder, shard), schema)
    return count


def part_path(folder: str, number: int) -> str:
    """Return the path of a table's file of this number."""
    return f"{folder}/part-{number:05d}.parquet"


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield batches cut into runs of one shard."""
    for batch in batches:
        lengths = pc.run_end_encode(batch[SHARD], run_end_type=pa.int32())
        start = 0
        for shard, end in zip(lengths.values.to_pylist(), lengths.run_ends.to_pylist(), strict=True):
            yield shard, batch.slice(start, end - start)
            start = end


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Gather batches into tables of a row group each, but for the last; every column is one piece."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch)
        while count >= _ROWS_PER_GROUP:
            rows = pa.Table.from_batches(held)
            yield _as_declared(rows.slice(0, _ROWS_PER_GROUP), schema)
            rest = rows.slice(_ROWS_PER_GROUP)
            held, count = rest.to_batches(), len(rest)
    if count:
        yield _as_declared(pa.Table.from_batches(held), schema)


def _as_declared(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema).combine_chunks()
