"""How unlike what was usual the newest day is: by the vectors of its rows, and by its count. Numbers in, numbers out.

A day is held against the days before it, none of which it shares a row with, and what is usual is how those differ from
one another. What does not belong here: whose vectors these are. All are of one model: vectors of two have nothing to do
with one another, and no figure of this module would tell.

Shape letters: P rows of all periods, G periods of which the first is the newest, D embedding dimension, R divisions of
the rows into two samples, N past values, T days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

FEWEST_PAST = 4
"""Past periods, or values, that say what is usual, at least."""
_TOLERANCE = 1e-12
"""Two sums of the same kernel values in another order may differ by rounding; they count as equal."""
_WEEK, _WEEKS_BEFORE = 7, 4


def surprise(value: float, past_N: ArrayLike) -> float:
    """Return how probable it is that a further value lies as far above the past ones as `value`: a one-sided p.

    It is Student's t of a further value of a normal distribution (prediction interval: Hahn and Meeker, "Statistical
    Intervals", 1991, section 4.7), so that few past values suffice for a small p, which their ranks could not give.
    Fewer than `FEWEST_PAST` of them, and what is not finite, raise `ValueError`.

    >>> surprise(2.0, [1.0, 2.0, 3.0, 2.0]), round(surprise(5.0, [1.0, 2.0, 3.0, 2.0]), 3)
    (0.5, 0.023)
    """
    past_N = np.asarray(past_N, dtype=np.float64)
    if len(past_N) < FEWEST_PAST or not np.isfinite([value, *past_N]).all():
        raise ValueError(f"{FEWEST_PAST} finite values of before are wanted at least, found {past_N} before {value}")
    above, spread = value - past_N.mean(), past_N.std(ddof=1) * np.sqrt(1 + 1 / len(past_N))
    if spread <= _TOLERANCE:
        return 0.0 if above > _TOLERANCE else 1.0
    return float(stats.t.sf(above / spread, len(past_N) - 1))


@dataclass(frozen=True)
class Newest:
    """How far the newest period's vectors lie from those of the periods before, see `newest_against_past`."""

    mmd_squared: float
    usual: float
    furthest: float
    p_value: float


def newest_against_past(rows_PD: ArrayLike, period_P: ArrayLike, resample_count: int, seed: int | list[int]) -> Newest:
    """Return how unlike the past periods the newest is, period 0 of `period_P`; the others have any numbers above.

    `mmd_squared` is the distance between the rows of the newest period and those of all others. `usual` and `furthest`
    are the mean and the largest of the same distance of each past period from the other past periods.

    `p_value` is the larger of two, for either alone errs. One is the share of `resample_count` random divisions of all
    rows into samples of these sizes that are at least as far apart, with one added to both counts (Davison and Hinkley,
    1997, section 4.3): it takes every day for alike. The other is the `surprise` among the past periods, which know how
    days differ: of cube roots, which make sums of squares nearly normal (Wilson and Hilferty, 1931).

    The distance is the squared maximum mean discrepancy (Gretton and others, 2012, "A Kernel Two-Sample Test", Journal
    of Machine Learning Research 13, equation 5): the mean kernel value of two rows of X, plus that of Y, less twice
    that of a row of X and one of Y. It lies between 0 and 2, and above 0 by chance, the more so the fewer rows there
    are: so periods are to have equally many. Fewer than `FEWEST_PAST` past periods raise `ValueError`.
    """
    rows_PD, period_P = np.asarray(rows_PD, dtype=np.float64), np.asarray(period_P)
    periods = np.unique(period_P)
    if len(periods) <= FEWEST_PAST or periods[0] != 0:
        raise ValueError(f"period 0 and {FEWEST_PAST} others are wanted at least, found {periods}")
    kernel_PP = gaussian_kernel(rows_PD)
    is_of_GP = (periods[:, None] == period_P).astype(np.float64)
    against_GP = 1 - is_of_GP
    against_GP[1:] -= is_of_GP[0]  # past periods are held against one another
    found, *past = mmd_squared(kernel_PP, is_of_GP, against_GP)
    dealt_RP = np.random.default_rng(seed).permuted(np.tile(is_of_GP[0], (resample_count, 1)), axis=1)
    further = int((mmd_squared(kernel_PP, dealt_RP, 1 - dealt_RP) >= found - _TOLERANCE).sum())
    by_chance = (1 + further) / (1 + resample_count)
    p_value = max(by_chance, surprise(float(np.cbrt(found)), np.cbrt(past)))
    return Newest(float(found), float(np.mean(past)), float(max(past)), p_value)


def gaussian_kernel(rows_PD: Floats) -> Floats:
    """Return exp(-|x - y|^2 / (2 b^2)) of all pairs of rows, b being half of their median distance, shape (P, P).

    The median (Gretton and others, 2012, section 8) is wide for rows that lie in groups; half of it sees more of a
    change of groups. Where more than half of the pairs are of equal rows, the other distances count; where all are, b
    is 1.
    """
    rows_PD = rows_PD - rows_PD.mean(axis=0)  # less is lost to rounding near 0
    norm_P = (rows_PD**2).sum(axis=1)
    distance_PP = np.maximum(norm_P[:, None] + norm_P - 2 * rows_PD @ rows_PD.T, 0.0)
    np.fill_diagonal(distance_PP, 0.0)
    distances = np.sqrt(distance_PP[np.triu_indices(len(distance_PP), k=1)])
    apart = distances[distances > 1e-7]
    bandwidth = 1.0 if len(apart) == 0 else np.median(distances if 2 * len(apart) > len(distances) else apart) / 2
    return np.asarray(np.exp(distance_PP / (-2 * bandwidth**2)))


def mmd_squared(kernel_PP: Floats, is_x_RP: Floats, is_y_RP: Floats) -> Floats:
    """Return the distance between the rows of X and of Y for each division, shape (R,), see `newest_against_past`.

    `is_x_RP` and `is_y_RP` are 1 for the rows of each sample and else 0. No sample is empty.

    >>> float(mmd_squared(np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))[0])
    1.0
    """
    x_kernel_RP, x_R, y_R = is_x_RP @ kernel_PP, is_x_RP.sum(axis=1), is_y_RP.sum(axis=1)
    within_x_R = (x_kernel_RP * is_x_RP).sum(axis=1) / x_R**2
    within_y_R = ((is_y_RP @ kernel_PP) * is_y_RP).sum(axis=1) / y_R**2
    across_R = (x_kernel_RP * is_y_RP).sum(axis=1) / (x_R * y_R)
    return np.asarray(np.maximum(0.0, within_x_R + within_y_R - 2 * across_R))


@dataclass(frozen=True)
class Trend:
    """Where a daily count is going: the last week against all days before it, and the line through all days.

    `drop` is the share by which the last week's mean lies below that of the days before, negative if above. `per_week`
    is what the line gains in a week, relative to its mean. Both and `before` are None without a week before the last.
    """

    last_week: float
    before: float | None
    drop: float | None
    per_week: float | None
    line_T: Floats


def weekly_trend(count_T: ArrayLike) -> Trend:
    """Return the trend of the counts of consecutive days, oldest first, at least one.

    The line's slope is the median of the slopes of all pairs of days (Theil, 1950; Sen, 1968), so that up to 29 % of
    them may be anything, and it passes through the median of what is left after the slope.

    >>> trend = weekly_trend([10] * 14 + [5] * 7)
    >>> trend.last_week, trend.before, trend.drop, trend.per_week
    (5.0, 10.0, 0.5, 0.0)
    """
    count_T = np.asarray(count_T, dtype=np.float64)
    if len(count_T) == 0:
        raise ValueError("no day to lay a line through")
    earlier, later = np.triu_indices(len(count_T), k=1)
    slope = float(np.median((count_T[later] - count_T[earlier]) / (later - earlier))) if len(earlier) else 0.0
    day_T = np.arange(len(count_T))
    line_T: Floats = np.asarray(np.median(count_T - slope * day_T) + slope * day_T, dtype=np.float64)
    last_week, middle = float(count_T[-_WEEK:].mean()), float(line_T.mean())
    if len(count_T) < 2 * _WEEK:
        return Trend(last_week, None, None, None, line_T)
    before = float(count_T[:-_WEEK].mean())
    drop, per_week = 1 - last_week / before if before else None, _WEEK * slope / middle if middle > 0 else None
    return Trend(last_week, before, drop, per_week, line_T)


@dataclass(frozen=True)
class LowDay:
    """The day of the last week with the most surprising lack: days before the last, its count, and what is usual.

    `p_value` is adjusted for the seven days that were looked at.
    """

    days_before_last: int
    count: float
    usual: float
    p_value: float


def lowest_day(count_T: ArrayLike) -> LowDay | None:
    """Return the lowest of the last seven days as measured by its own weekday; None of fewer than 25 days.

    `count_T` are the counts of consecutive days, oldest first. What is usual for a day is the median of the same
    weekday in the four weeks before, of two at least. Lacks are differences of square roots, which scatter alike for
    large and small counts (Anscombe, 1948); those of the days before the last week say which ones are no surprise.

    >>> lowest_day([10, 12, 11, 9, 10, 4, 3] * 5 + [10, 12, 2, 9, 10, 4, 3])
    LowDay(days_before_last=4, count=2.0, usual=11.0, p_value=0.0)
    """
    count_T = np.asarray(count_T, dtype=np.float64)
    days = np.arange(2 * _WEEK, len(count_T))
    if len(days) < _WEEK + FEWEST_PAST:
        return None
    usual_T = np.array([np.median(count_T[day - _WEEK :: -_WEEK][:_WEEKS_BEFORE]) for day in days])
    lack_T = np.sqrt(usual_T) - np.sqrt(count_T[days])
    chance = [surprise(lack, lack_T[:-_WEEK]) for lack in lack_T[-_WEEK:]]
    lowest = min(range(_WEEK), key=lambda day: (chance[day], -lack_T[day - _WEEK]))
    p_value = min(1.0, _WEEK * chance[lowest])
    return LowDay(_WEEK - 1 - lowest, float(count_T[lowest - _WEEK]), float(usual_T[lowest - _WEEK]), p_value)
