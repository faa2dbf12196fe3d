"""The backtest: the day after a night asks that night's release, made with days held back and refitted without."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from jobs.datasets.models import EventsCheck
from jobs.datasets.schema import BOOL, F64, I32, I64, STR, Dataset, Facts, Instant, Table, schema

HELD_BACK, RERANKER_REFITTED, REFITTED = "held_back", "reranker_refitted", "refitted"
"""A release as a night makes it, one with a newer reranker by the same tower, one with both newer."""


class FitFacts(Facts):
    """What one release has learned from: its tower and its reranker from nothing at or after these instants.

    `selected_until` is until when searches had a part in choosing the tower's weights. `check` is of the conversions
    that the release counts.
    """

    tower_trained_until: Instant
    tower_selected_until: Instant
    reranker_trained_until: Instant
    check: EventsCheck


class NextDayFacts(Facts):
    """The releases by arm, asked the run date's searches. Seconds are what the refitted tower and reranker took."""

    MEASURED: ClassVar[frozenset[str]] = frozenset({"tower_seconds", "reranker_seconds"})

    held_back_days: int
    validation_days: int
    search_count: int
    fits: dict[str, FitFacts]
    tower_seconds: float
    reranker_seconds: float


NEXT_DAY = Dataset(
    "next_day",
    "models",
    (
        Table("ranks", schema(query_id=I64, arm=STR, rank=I32)),
        Table("searches", schema(query_id=I64, is_new=BOOL)),  # of a photo that the tower held back has not seen
    ),
    NextDayFacts,
)


class BacktestFacts(Facts):
    """Run dates of the days that asked, and whether refitting is better: the interval of the difference is above 0.

    Both are compared with the release that was held back: tower and reranker refitted, and the reranker alone.
    """

    days: tuple[date, ...]
    is_refitting_better: bool
    is_reranker_better: bool


_SEARCHES = {"day": STR, "photos": STR, "query_count": I64}  # a run date or "all"; all photos, new or known ones
BACKTEST = Dataset(
    "backtest",
    "reports",
    (
        Table("rates", schema(**_SEARCHES, arm=STR, value=F64, low=F64, high=F64)),  # hit rate@10
        Table(
            "differences",
            schema(**_SEARCHES, arm=STR, baseline=STR, difference=F64, low=F64, high=F64, p_value=F64, detectable=F64),
        ),
    ),
    BacktestFacts,
)
"""The partition is the last day. Files: backtest.md."""
