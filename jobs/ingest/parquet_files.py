"""Parquet files as tables of texts, spelled as a file of text would spell them. Knows no table by name.

Columns of lists, maps and structs are left out: no table of the layout has one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import BadInput

ENDING = "parquet"


@dataclass(frozen=True)
class Group:
    """Row groups of a file, one after another: the first, how many, the number of the first row and of rows."""

    first: int
    count: int
    first_row: int
    row_count: int


def is_parquet(name: str) -> bool:
    """Tell by its name whether a file is Parquet."""
    return name.lower().endswith(f".{ENDING}")


def read_names(uri: str) -> tuple[str, ...]:
    """Return the names of the columns that can be read, in small letters; `BadInput` if the file is no Parquet."""
    with _opened(uri) as file:
        return tuple(field.name.lower() for field in _read_fields(file.schema_arrow))


def groups(uri: str, byte_count: int) -> list[Group]:
    """Return a file cut into row groups of about `byte_count` together, uncompressed, that have rows."""
    found: list[Group] = []
    with _opened(uri) as file:
        size = row = 0
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            if found and size + group.total_byte_size <= byte_count:
                last = found.pop()
                found.append(Group(last.first, last.count + 1, last.first_row, last.row_count + group.num_rows))
                size += group.total_byte_size
            else:
                found.append(Group(number, 1, row, group.num_rows))
                size = group.total_byte_size
            row += group.num_rows
    return [group for group in found if group.row_count]


def read_texts(uri: str, first: int, count: int, names: list[str] | None = None) -> pl.DataFrame:
    """Return the texts of some row groups by column, null where there is none. Bytes that are no text become U+FFFD."""
    with _opened(uri) as file:
        fields = _read_fields(file.schema_arrow)
        wanted = [field.name for field in fields if names is None or field.name.lower() in names]
        rows = file.read_row_groups(list(range(first, first + count)), columns=wanted).select(wanted)
    return pl.DataFrame({name.lower(): _as_text(rows[name]) for name in wanted})


def read_first_texts(uri: str, count: int, names: Collection[str]) -> pl.DataFrame:
    """Return the texts of at most the first `count` rows in some of the columns, as `read_texts` does."""
    with _opened(uri) as file:
        wanted = [field.name for field in _read_fields(file.schema_arrow) if field.name.lower() in names]
        rows = pa.Table.from_batches(islice(file.iter_batches(count, columns=wanted), 1), _only(file, wanted))
    return pl.DataFrame({name.lower(): _as_text(rows[name]) for name in wanted})


def _only(file: pq.ParquetFile, names: Collection[str]) -> pa.Schema:
    return pa.schema([field for field in file.schema_arrow if field.name in names])


def _read_fields(schema: pa.Schema) -> list[pa.Field]:
    return [field for field in schema if not pa.types.is_nested(field.type)]


class _opened:  # noqa: N801 - reads as a function does
    """Opens a Parquet file; what a broken one does to its reader is `BadInput`."""

    def __init__(self, uri: str) -> None:
        fs, self._path = fsspec.url_to_fs(uri)
        self._file = fs.open(self._path, "rb")

    def __enter__(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._file)
        except (pa.ArrowException, OSError) as error:
            self._file.close()
            raise self._refused(error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(error, pa.ArrowException | OSError):
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> BadInput:
        return BadInput(
            "unreadable_file",
            f"{self._path} cannot be read as Parquet: {error}. It is cut or broken: copy it anew",
            path=self._path,
        )


def _as_text(column: pa.ChunkedArray) -> pl.Series:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
        return pl.Series([None if one is None else str(UUID(bytes=one)) for one in column.to_pylist()], dtype=pl.String)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary())
    elif pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))  # the same instants: a zone may be "+05:30"
    elif pa.types.is_duration(column.type) or pa.types.is_decimal256(column.type):
        column = column.cast(pa.string())  # Polars has no text for them
    values = pl.Series(pl.from_arrow(column))
    if values.dtype == pl.Binary:
        decoded = [None if one is None else one.decode(errors="replace") for one in values.to_list()]
        values = pl.Series(decoded, dtype=pl.String)
    elif isinstance(values.dtype, pl.Datetime):
        values = values.dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
    elif values.dtype.is_float() and ((values % 1 == 0) | values.is_null()).all() and values.abs().lt(2**53).all():
        values = values.cast(pl.Int64)  # whole numbers with gaps, as pandas writes them
    return values.cast(pl.String).replace("", None)
