"""Whether what is live finds less than it used to: a figure of one day against those of the days before."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_EARLIER = 14
"""Days before that say what is usual, at most: the latest."""


def usual_rate(earlier_N: Sequence[float | None]) -> float | None:
    """Return the mean of the latest days that have a figure, oldest first; None if none has.

    >>> usual_rate([0.6, None, 0.8, float("nan")]), usual_rate([None])
    (0.7, None)
    """
    known = [rate for rate in earlier_N if not _is_missing(rate)][-MOST_EARLIER:]
    return math.fsum(known) / len(known) if known else None  # type: ignore[arg-type]


def has_dropped(high: float | None, earlier_N: Sequence[float | None]) -> bool:
    """Tell whether a day's whole interval, which ends at `high`, lies below what is usual.

    A day without a figure has not dropped, nor has one with nothing before it.

    >>> has_dropped(0.69, [0.6, 0.8]), has_dropped(0.71, [0.6, 0.8]), has_dropped(0.69, [])
    (True, False, False)
    """
    usual = usual_rate(earlier_N)
    return usual is not None and high is not None and high < usual  # NaN is below nothing


def _is_missing(rate: float | None) -> bool:
    return rate is None or math.isnan(rate)
