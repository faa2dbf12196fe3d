"""What a dataset and a table are, and the types that their columns have."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")
LAYERS = ("clean", "embeddings", "features", "indexes", "models", "releases", "reports")


@dataclass(frozen=True)
class Table:
    """One Parquet table of a dataset. `schema` fixes names and types; an empty table is an error unless allowed."""

    name: str
    schema: pa.Schema
    may_be_empty: bool = False


@dataclass(frozen=True)
class Dataset:
    """What one stage commits: its tables and (free-form) files live together under one manifest."""

    name: str
    layer: str
    tables: tuple[Table, ...] = ()

    def table(self, name: str) -> Table:
        """Return the declaration of one table; `KeyError` names the known ones."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(f"dataset {self.name!r} has no table {name!r}; it has {[t.name for t in self.tables]}")


def schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


STR, BOOL, I32, I64 = pa.string(), pa.bool_(), pa.int32(), pa.int64()


F32, F64 = pa.float32(), pa.float64()


VECTOR = pa.list_(F32)
