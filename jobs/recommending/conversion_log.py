"""The log that recommenders learn from and look histories up in, as the splits have it."""

from __future__ import annotations

import polars as pl

from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest

_WINDOWS = ("train", "validation", "test")
_COLUMNS = ["visitor_id", "visitor", "photo_id", "converted_at", "country"]
_SECOND = 1e6


def read_log(lake: Lake, splits: Manifest) -> pl.DataFrame:
    """Return the conversions of all windows, with the seconds since 1970 UTC in the column `at`."""
    rows = pl.concat([lake.read_table(splits, name, _COLUMNS) for name in _WINDOWS])
    return rows.with_columns(at=pl.col("converted_at").cast(pl.Int64) / _SECOND)
