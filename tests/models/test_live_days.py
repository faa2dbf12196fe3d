"""Whether what is live has dropped: below what is usual with its whole interval, and only where both are known."""

from __future__ import annotations

import math

import pytest

from models.evaluation.live_days import MOST_EARLIER, has_dropped, usual_rate

NAN = math.nan


@pytest.mark.parametrize(
    ("earlier", "usual"),
    [
        ([], None),
        ([None, NAN], None),
        ([0.5], 0.5),
        ([0.4, None, 0.6, NAN], 0.5),
        (
            [0.0] * 3 + [None] + [0.7] * MOST_EARLIER,
            0.7,
        ),  # the latest count, and a day without a figure is none of them
        ([0.0] * 3 + [0.7] * 7 + [None] * 5 + [0.7] * 7, 0.7),
    ],
)
def test_usual_is_the_mean_of_the_latest_days_that_have_a_figure(
    earlier: list[float | None], usual: float | None
) -> None:
    assert usual_rate(earlier) == (None if usual is None else pytest.approx(usual))


@pytest.mark.parametrize(
    ("high", "earlier", "is_drop"),
    [
        (0.59, [0.6], True),
        (0.6, [0.6], False),
        (0.61, [0.5, 0.7], False),
        (0.59, [0.5, 0.7], True),
        (0.59, [], False),
        (0.59, [None, NAN], False),
        (NAN, [0.6], False),
        (None, [0.6], False),
        (None, [], False),
        (0.0, [0.0], False),
    ],
)
def test_a_drop_is_an_interval_that_lies_wholly_below(
    high: float | None, earlier: list[float | None], is_drop: bool
) -> None:
    assert has_dropped(high, earlier) is is_drop
