"""The newest day against the days before: worked examples, plain versions, and how often it errs in simulated logs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from models.evaluation import drift

seeds = st.integers(0, 2**32 - 1)
DAYS, QUERIES, DIM = 10, 400, 32
P = 0.01 / 3
"""What the gate asks of each of three tests."""


def vectors_of_queries(random: np.random.Generator) -> np.ndarray:
    """Unit vectors of queries that lie in forty groups, the n-th asked in proportion to 1 / n."""
    rows_QD = random.normal(size=(40, DIM))[random.integers(0, 40, QUERIES)] + 0.5 * random.normal(size=(QUERIES, DIM))
    return rows_QD / np.linalg.norm(rows_QD, axis=1, keepdims=True)


def log_of_days(
    seed: int, per_day: int, *, weekend: float = 0.0, daily: float = 0.0, changed: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Searches of ten days, Zipf-distributed: weekends have other favourites, days their own; the newest may change."""
    random = np.random.default_rng(seed)
    usual_QD, other_QD = vectors_of_queries(random), vectors_of_queries(random)
    week_Q, weekend_Q, other_Q = (random.permutation(1 / np.arange(1.0, QUERIES + 1)) for _ in range(3))
    first, rows, periods = int(random.integers(7)), [], np.repeat(np.arange(DAYS), per_day)
    for day in range(DAYS):
        share = weekend if (first + day) % 7 < 2 else 0.0
        chance_Q = ((1 - share) * week_Q + share * weekend_Q) * np.exp(daily * random.normal(size=QUERIES))
        asked = usual_QD[random.choice(QUERIES, per_day, p=chance_Q / chance_Q.sum())]
        is_other = random.random(per_day) < (0.0 if day else changed)
        asked[is_other] = other_QD[random.choice(QUERIES, int(is_other.sum()), p=other_Q / other_Q.sum())]
        rows.append(asked)
    return np.concatenate(rows), periods


def share_below(p: float, seeds: range, per_day: int, **choices: float) -> float:
    found = [drift.newest_against_past(*log_of_days(seed, per_day, **choices), 399, seed).p_value for seed in seeds]
    return float(np.mean(np.array(found) < p))


@pytest.mark.parametrize("choices", [{}, {"weekend": 0.5}, {"weekend": 0.3, "daily": 0.5}, {"daily": 1.0}])
def test_nights_on_which_nothing_moved_seldom_fail(choices: dict[str, float]) -> None:
    """Equal days, days of a week, and days each with favourites of their own; .05 is what a night may come to."""
    assert share_below(P, range(60), 25, **choices) <= 0.05


def test_half_of_a_days_searches_wholly_different_are_nearly_always_found() -> None:
    """The windows of two nights share six days of seven, so they saw a twelfth of them: too little for any limit."""
    assert share_below(P, range(8), 200, changed=0.5) >= 7 / 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_day", "choices", "at_least", "at_most"),
    [
        (300, {}, 0.0, 0.03),
        (300, {"weekend": 0.5}, 0.0, 0.03),
        (300, {"weekend": 0.3, "daily": 0.5}, 0.0, 0.05),
        (300, {"changed": 0.5}, 0.95, 1.0),
        (300, {"weekend": 0.3, "changed": 0.5}, 0.8, 1.0),
    ],
)
def test_error_and_power_at_the_size_of_a_night(
    per_day: int, choices: dict[str, float], at_least: float, at_most: float
) -> None:
    assert at_least <= share_below(P, range(200), per_day, **choices) <= at_most


def plain_mmd_squared(x_ND: np.ndarray, y_MD: np.ndarray, bandwidth: float) -> float:
    """Equation 5 word for word, pair by pair."""

    def mean(a_ND: np.ndarray, b_ND: np.ndarray) -> float:
        return float(np.mean([[math.exp(-((a - b) ** 2).sum() / (2 * bandwidth**2)) for a in a_ND] for b in b_ND]))

    return mean(x_ND, x_ND) + mean(y_MD, y_MD) - 2 * mean(x_ND, y_MD)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 6))
def test_it_equals_the_sum_over_pairs(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rows_PD, period_P = random.normal(size=(5 * count, 3)), np.repeat(np.arange(5), count)
    found = drift.newest_against_past(rows_PD, period_P, 19, 0)
    distances = np.linalg.norm(rows_PD[:, None] - rows_PD, axis=2)[np.triu_indices(5 * count, k=1)]
    half = float(np.median(distances)) / 2
    past = [
        plain_mmd_squared(rows_PD[period_P == day], rows_PD[(period_P != day) & (period_P > 0)], half)
        for day in range(1, 5)
    ]
    assert found.mmd_squared == pytest.approx(plain_mmd_squared(rows_PD[period_P == 0], rows_PD[period_P > 0], half))
    assert (found.usual, found.furthest) == (pytest.approx(np.mean(past)), pytest.approx(max(past)))
    assert 0 <= found.p_value <= 1
    assert found.p_value >= drift.surprise(found.mmd_squared ** (1 / 3), np.cbrt(past)) - 1e-6


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(-100, 100), st.floats(0.01, 100))
def test_where_the_origin_is_and_how_long_a_unit_is_do_not_matter(seed: int, by: float, scale: float) -> None:
    rows_PD, period_P = np.random.default_rng(seed).normal(size=(40, 4)), np.repeat(np.arange(8), 5)
    one, other = (drift.newest_against_past(rows, period_P, 19, 0) for rows in (rows_PD, scale * rows_PD + by))
    assert other.mmd_squared == pytest.approx(one.mmd_squared, abs=1e-6)
    assert other.p_value == pytest.approx(one.p_value, abs=0.06)


def test_queries_asked_again_and_again_leave_a_bandwidth() -> None:
    rows_PD, period_P = np.ones((10, 2)), np.repeat(np.arange(5), 2)
    equal = drift.newest_against_past(rows_PD, period_P, 19, 0)
    assert (equal.mmd_squared, equal.p_value) == (0.0, 1.0)
    rows_PD[0, 0] = 4.0
    assert drift.newest_against_past(rows_PD, period_P, 19, 0).mmd_squared == pytest.approx((1 - math.exp(-2)) / 2)


@pytest.mark.parametrize("periods", [[0, 1, 2, 3], [1, 2, 3, 4, 5], []])
def test_too_few_periods_or_no_newest_are_refused(periods: list[int]) -> None:
    with pytest.raises(ValueError, match="period 0"):
        drift.newest_against_past(np.ones((len(periods), 2)), np.array(periods), 19, 0)


@settings(deadline=None)
@given(arrays(np.float64, st.integers(4, 20), elements=st.floats(-100, 100)), st.floats(-200, 200))
def test_a_surprise_is_the_t_test_of_one_value_against_the_others(past_N: np.ndarray, value: float) -> None:
    """Scipy's test of two samples with one variance, the second of one value, is the same test."""
    if past_N.std() > 1e-3:
        expected = stats.ttest_ind([value], past_N, alternative="greater").pvalue
        assert drift.surprise(value, past_N) == pytest.approx(expected, abs=1e-9)
    assert drift.surprise(value, past_N) <= drift.surprise(value - 1, past_N)


def test_what_never_varied_is_a_surprise_as_soon_as_it_does_and_nan_is_refused() -> None:
    assert drift.surprise(1.0, [1.0] * 5) == 1
    assert drift.surprise(1.1, [1.0] * 5) == 0
    for value, past in ((np.nan, [1.0] * 5), (1.0, [1.0, np.nan, 1.0, 1.0]), (1.0, [1.0] * 3)):
        with pytest.raises(ValueError, match="finite"):
            drift.surprise(value, past)


def counts_of_days(seed: int, mean: float, days: int = 56) -> np.ndarray:
    """Poisson counts of a site whose weekends are half as busy, and which grows by half in that time."""
    day = np.arange(days)
    level = mean * (1 + 0.5 * day / days) * np.where(day % 7 < 2, 0.5, 1.0)
    return np.random.default_rng(seed).poisson(level).astype(float)


def test_a_hole_within_the_last_days_is_found_though_the_weeks_mean_hides_it() -> None:
    for seed in range(20):
        count_T = counts_of_days(seed, 60)
        count_T[-3:-1] *= 0.3
        low = drift.lowest_day(count_T)
        assert low is not None
        assert low.p_value < P
        assert low.days_before_last in (1, 2)
        drop = drift.weekly_trend(count_T).drop
        assert drop is not None
        assert drop < 0.5
        assert low.count < 0.5 * low.usual


@pytest.mark.parametrize("mean", [2, 20, 200])
def test_weekends_and_chance_are_no_hole(mean: float) -> None:
    found = [drift.lowest_day(counts_of_days(seed, mean)) for seed in range(200)]
    assert np.mean([low is not None and low.p_value < P and low.count < 0.5 * low.usual for low in found]) <= 0.01
    assert np.mean([low is not None and low.p_value < 0.05 for low in found]) <= 0.1


def test_a_short_log_has_no_lowest_day() -> None:
    assert drift.lowest_day([10.0] * 24) is None
    assert drift.lowest_day([10.0] * 25) == drift.LowDay(6, 10.0, 10.0, 1.0)
    assert drift.lowest_day([0.0] * 30) == drift.LowDay(6, 0.0, 0.0, 1.0)
    assert drift.lowest_day([]) is None


def test_a_quarter_of_bad_days_moves_no_trend_and_few_days_have_none() -> None:
    value_T = 100.0 + 2 * np.arange(40)
    value_T[::4] = 0
    line_T = drift.weekly_trend(value_T).line_T
    assert np.diff(line_T) == pytest.approx(2, abs=0.3)
    assert drift.weekly_trend([5.0]).line_T.tolist() == [5.0]
    with pytest.raises(ValueError, match="no day"):
        drift.weekly_trend([])
