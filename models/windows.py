"""Time windows of a night: where training ends and the test begins. Instants only; no rows, no clock.

All windows are half-open, [start, end), in UTC, and adjoin: train, then validation, then test, which ends at
the night's `as_of`. They are cut by days, so a busy one moves no boundary (`before`), or at instants that were found
in a log (`at`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

SPLIT_NAMES = ("train", "validation", "test")
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
"""Later than any row: photos submitted before it are all photos."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(microseconds: int) -> datetime:
    """Return the instant so many microseconds after 1970, UTC.

    >>> instant(1_500_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return _EPOCH + timedelta(microseconds=microseconds)


def in_words(boundary: datetime) -> str:
    """Return a boundary as people read it: the day, with the time of day where it is not midnight.

    >>> in_words(datetime(2025, 1, 2, tzinfo=UTC)), in_words(datetime(2025, 1, 2, 3, 4, 5, 6000, tzinfo=UTC))
    ('2025-01-02', '2025-01-02 03:04:05')
    """
    return f"{boundary:%Y-%m-%d}" if boundary.time() == time() else f"{boundary:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Windows:
    """The three windows by their four boundaries; the end of each is the start of the next."""

    train_start: datetime
    train_end: datetime
    validation_end: datetime
    test_end: datetime

    @classmethod
    def before(cls, as_of: datetime, *, test_days: int, validation_days: int, train_days: int) -> Windows:
        """Return the windows that end at `as_of` (exclusive, timezone-aware); days are of 24 hours.

        >>> night = Windows.before(datetime(2025, 1, 11, tzinfo=UTC), test_days=2, validation_days=1, train_days=5)
        >>> [boundary.day for boundary in night.boundaries.values()]
        [3, 8, 9, 11]
        """
        test_end = as_of.astimezone(UTC)
        validation_end = test_end - timedelta(days=test_days)
        train_end = validation_end - timedelta(days=validation_days)
        return cls(train_end - timedelta(days=train_days), train_end, validation_end, test_end)

    @classmethod
    def at(cls, as_of: datetime, *, train_start: datetime, train_end: datetime, validation_end: datetime) -> Windows:
        """Return the windows between instants of a log (timezone-aware) that end at `as_of` (exclusive).

        Windows may be empty. `ValueError` if the instants are not in order.

        >>> at = lambda day: datetime(2025, 1, day, tzinfo=UTC)
        >>> night = Windows.at(at(9), train_start=at(1), train_end=at(5), validation_end=at(5))
        >>> [boundary.day for boundary in night.boundaries.values()]
        [1, 5, 5, 9]
        """
        edges = [edge.astimezone(UTC) for edge in (train_start, train_end, validation_end, as_of)]
        if any(earlier > later for earlier, later in pairwise(edges)):
            raise ValueError(f"boundaries are not in order: {', '.join(edge.isoformat() for edge in edges)}")
        return cls(*edges)

    def held_back(self, days: int) -> Windows:
        """Return the windows of a night that ends where this test begins and tests on its own last `days` days.

        Training and validation end as many days earlier than here.

        >>> next_day = Windows.before(datetime(2025, 2, 1, tzinfo=UTC), test_days=1, validation_days=3, train_days=5)
        >>> night = Windows.before(next_day.validation_end, test_days=7, validation_days=3, train_days=5)
        >>> next_day.held_back(7) == night
        True
        """
        start, train_end, end = (edge - timedelta(days=days) for edge in list(self.boundaries.values())[:3])
        return Windows(start, train_end, end, self.validation_end)

    @property
    def boundaries(self) -> dict[str, datetime]:
        """The four boundaries by name, earliest first."""
        return {edge.name: getattr(self, edge.name) for edge in fields(self)}

    @property
    def spans(self) -> dict[str, tuple[datetime, datetime]]:
        """Start (inclusive) and end (exclusive) of each window by its name, earliest first."""
        edges = list(self.boundaries.values())
        return dict(zip(SPLIT_NAMES, pairwise(edges), strict=True))
