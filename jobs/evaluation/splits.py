"""What the committed splits say of their windows and protocol."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from jobs.datasets.features import SplitsFacts
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Ints

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ranked_searches(splits: Manifest) -> int:
    """Return how many searches of the test window are ranked at most."""
    return SplitsFacts.of(splits).max_ranked_searches


def protocol_of(splits: Manifest) -> str:
    """Return the protocol of the splits."""
    return SplitsFacts.of(splits).protocol


def takes_all_photos(splits: Manifest) -> bool:
    """Tell whether every photo is a candidate for every query, or only those there when it was asked."""
    return SplitsFacts.of(splits).takes_all_photos


def window_bounds(splits: Manifest, window: str) -> tuple[datetime, datetime]:
    """Return start (inclusive) and end (exclusive) of the window `train`, `validation` or `test`."""
    return SplitsFacts.of(splits).windows[window]


def microseconds(instant: datetime) -> int:
    """Return an instant as the tables' integers are: microseconds since 1970, UTC."""
    return (instant - _EPOCH) // _EPOCH.resolution


def integers(column: pl.Series) -> Ints:
    """Return a column as int64; instants become microseconds."""
    return column.cast(pl.Int64).to_numpy()
