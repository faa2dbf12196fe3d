"""Columns and instants as the integers that ranking works on."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from models.evaluation.ranking import Ints

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """Return an instant as the tables' integers are: microseconds since 1970, UTC."""
    return (instant - _EPOCH) // _EPOCH.resolution


def integers(column: pl.Series) -> Ints:
    """Return a column as int64; instants become microseconds."""
    return column.cast(pl.Int64).to_numpy()
