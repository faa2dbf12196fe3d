"""Windows adjoin, end at as_of, are half-open to the microsecond, and know no row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from models.windows import SPLIT_NAMES, Windows

DAYS = st.integers(1, 1000)
AS_OF = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
TICK = timedelta(microseconds=1)


@given(AS_OF, DAYS, DAYS, DAYS)
def test_windows_adjoin_and_end_at_as_of(as_of: datetime, test: int, validation: int, train: int) -> None:
    windows = Windows.before(as_of, test_days=test, validation_days=validation, train_days=train)
    assert tuple(windows.spans) == SPLIT_NAMES
    spans = list(windows.spans.values())
    assert [end - start for start, end in spans] == [timedelta(days=days) for days in (train, validation, test)]
    assert spans[0][1] == spans[1][0]
    assert spans[1][1] == spans[2][0]
    assert spans[2][1] == as_of


@given(AS_OF, DAYS, DAYS, DAYS, st.integers(-1100, 1), st.sampled_from((-TICK, timedelta(0), TICK)))
def test_every_instant_lies_in_at_most_one_window(
    as_of: datetime, test: int, validation: int, train: int, day: int, tick: timedelta
) -> None:
    windows = Windows.before(as_of, test_days=test, validation_days=validation, train_days=train)
    instant = as_of + timedelta(days=day) + tick
    holders = [name for name, (start, end) in windows.spans.items() if start <= instant < end]
    assert len(holders) == (windows.train_start <= instant < as_of)


def test_boundaries_are_utc_whatever_zone_as_of_is_given_in() -> None:
    as_of = datetime(2025, 3, 30, 12, tzinfo=timezone(timedelta(hours=2)))  # a day on which clocks change there
    windows = Windows.before(as_of, test_days=1, validation_days=1, train_days=1)
    assert [boundary.isoformat() for boundary in windows.boundaries.values()] == [
        "2025-03-27T10:00:00+00:00",
        "2025-03-28T10:00:00+00:00",
        "2025-03-29T10:00:00+00:00",
        "2025-03-30T10:00:00+00:00",
    ]
