"""What the committed splits say of their windows and protocol."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import polars as pl

from jobs.config.params.ingest import EIGHTY_TWENTY, WINDOWS
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Ints

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ranked_searches(splits: Manifest) -> int | None:
    """Return how many searches of the test window are ranked at most; None for splits made before there was a limit."""
    limit: int | None = splits.facts.get("max_ranked_searches")
    return limit


def protocol_of(splits: Manifest) -> str:
    """Return the protocol of the splits; those made before there was a choice are cut by days."""
    return str(splits.facts.get("protocol", WINDOWS))


def takes_all_photos(splits: Manifest) -> bool:
    """Tell whether every photo is a candidate for every query, or only those there when it was asked."""
    return protocol_of(splits) == EIGHTY_TWENTY


def window_bounds(splits: Manifest, window: str) -> tuple[datetime, datetime]:
    """Return start (inclusive) and end (exclusive) of the window `train`, `validation` or `test`."""
    ends = ("train_start", "train_end", "validation_end", "test_end")
    start, end = dict(zip(("train", "validation", "test"), itertools.pairwise(ends), strict=True))[window]
    return datetime.fromisoformat(splits.facts[start]), datetime.fromisoformat(splits.facts[end])


def microseconds(instant: datetime) -> int:
    """Return an instant as the tables' integers are: microseconds since 1970, UTC."""
    return (instant - _EPOCH) // _EPOCH.resolution


def integers(column: pl.Series) -> Ints:
    """Return a column as int64; instants become microseconds."""
    return column.cast(pl.Int64).to_numpy()
