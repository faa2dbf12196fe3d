"""Windows adjoin, end at as_of, are half-open to the microsecond, and in order wherever a log cuts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.windows import END_OF_TIME, SPLIT_NAMES, Windows, instant

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


@given(st.lists(AS_OF, min_size=4, max_size=4).map(sorted))
def test_windows_at_instants_of_a_log_adjoin_and_may_be_empty(edges: list[datetime]) -> None:
    first, train_end, validation_end, as_of = edges
    windows = Windows.at(as_of, train_start=first, train_end=train_end, validation_end=validation_end)
    assert list(windows.boundaries.values()) == edges
    start, end = Windows.at(as_of, train_start=first, train_end=train_end, validation_end=train_end).spans["validation"]
    assert start == end == train_end
    assert as_of < END_OF_TIME


def test_boundaries_out_of_order_are_refused() -> None:
    day = [datetime(2025, 1, number, tzinfo=UTC) for number in range(1, 5)]
    for first, train_end, validation_end, as_of in ([1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]):
        with pytest.raises(ValueError, match="2025-01-0"):
            Windows.at(day[as_of], train_start=day[first], train_end=day[train_end], validation_end=day[validation_end])


@given(AS_OF)
def test_an_instant_comes_back_from_its_microseconds(at: datetime) -> None:
    assert instant((at - datetime(1970, 1, 1, tzinfo=UTC)) // TICK) == at
