"""The shift between two samples: its worked example, its symmetries, a closed form, and how often it errs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models import gates
from models.evaluation import drift
from tests.models.test_gates import GOOD, LIMITS

seeds = st.integers(0, 2**32 - 1)


def samples(seed: int, count: int = 60, other: int = 60, dim: int = 4, by: float = 0.0) -> tuple[np.ndarray, ...]:
    """Two normal samples, the second shifted in the first dimension."""
    random = np.random.default_rng(seed)
    x_ND, y_MD = random.normal(size=(count, dim)), random.normal(size=(other, dim))
    y_MD[:, 0] += by
    return x_ND, y_MD


def plain_mmd_squared(x_ND: np.ndarray, y_MD: np.ndarray, bandwidth: float) -> float:
    """Lemma 6 word for word, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * bandwidth**2))

    n, m = len(x_ND), len(y_MD)
    within_x = sum(k(x_ND[i], x_ND[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y_MD[i], y_MD[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(x, y) for x in x_ND for y in y_MD) / (n * m)


def test_a_tiny_example_worked_by_hand() -> None:
    k = {d: math.exp(-(d**2) / 4.5) for d in (1, 2, 3)}
    by_hand = k[1] + k[1] - 2 * (k[2] + k[3] + k[1] + k[2]) / 4
    assert drift.mmd_squared([[0.0], [1.0]], [[2.0], [3.0]]) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(0.7223, abs=5e-5)


@settings(deadline=None)
@given(seeds, st.integers(2, 9), st.integers(2, 9), st.floats(0.1, 10))
def test_it_equals_the_sum_over_pairs(seed: int, count: int, other: int, bandwidth: float) -> None:
    x_ND, y_MD = samples(seed, count, other, 3, by=0.5)
    assert drift.mmd_squared(x_ND, y_MD, bandwidth) == pytest.approx(plain_mmd_squared(x_ND, y_MD, bandwidth))
    assert drift.embedding_shift(x_ND, y_MD, 5, seed).mmd_squared == pytest.approx(drift.mmd_squared(x_ND, y_MD))


@settings(deadline=None)
@given(seeds, st.floats(-3, 3))
def test_it_is_symmetric_and_does_not_know_an_order(seed: int, by: float) -> None:
    x_ND, y_MD = samples(seed, 12, 20, by=by)
    found = drift.mmd_squared(x_ND, y_MD)
    assert drift.mmd_squared(y_MD, x_ND) == pytest.approx(found, abs=1e-12)
    assert drift.mmd_squared(x_ND[::-1], np.roll(y_MD, 7, axis=0)) == pytest.approx(found, abs=1e-12)


@settings(deadline=None)
@given(seeds, st.floats(-100, 100), st.floats(0.01, 100))
def test_where_the_origin_is_and_how_long_a_unit_is_do_not_matter(seed: int, by: float, scale: float) -> None:
    x_ND, y_MD = samples(seed, 12, 20, by=1.0)
    moved = drift.mmd_squared(scale * x_ND + by, scale * y_MD + by)
    assert moved == pytest.approx(drift.mmd_squared(x_ND, y_MD), abs=1e-6)


points = arrays(np.float64, st.tuples(st.integers(2, 8), st.just(2)), elements=st.floats(-1, 1, width=32))


@settings(deadline=None)
@given(points, points)
def test_it_is_bounded_whatever_the_rows(x_ND: np.ndarray, y_MD: np.ndarray) -> None:
    found = drift.embedding_shift(x_ND + 2, y_MD + 2, 20, 0)
    assert -2 <= found.low <= found.high <= 2
    assert -2 <= found.mmd_squared <= 2
    assert 1 / 21 <= found.p_value <= 1


def test_equal_samples_are_no_shift_and_never_surprising() -> None:
    x_ND, _ = samples(1)
    found = drift.embedding_shift(x_ND, x_ND, 200, 0)
    assert -0.05 < found.mmd_squared <= 0
    assert found.p_value > 0.9
    assert found.mean_cosine == pytest.approx(1)
    alike = np.ones((5, 3))
    assert drift.embedding_shift(alike, alike, 50, 0).mmd_squared == 0
    assert drift.embedding_shift(alike, alike, 50, 0).p_value == 1


def test_without_a_shift_the_estimate_is_0_on_average_and_p_is_uniform() -> None:
    found = [drift.embedding_shift(*samples(seed, 30, 40), 99, seed) for seed in range(300)]
    assert np.mean([one.mmd_squared for one in found]) == pytest.approx(0, abs=0.002)
    p_values = np.sort([one.p_value for one in found])
    furthest = np.abs(p_values - np.arange(1, 301) / 300).max()  # Kolmogorov and Smirnov; 1 % is passed at 0.094
    assert furthest < 0.094
    assert np.mean([one.low <= 0 <= one.high for one in found]) >= 0.95


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_shift_of_a_deviation_is_found(seed: int) -> None:
    found = drift.embedding_shift(*samples(seed, 100, 100, by=1.5), 99, seed)
    assert found.p_value == 0.01
    assert 0 < found.low < found.mmd_squared < found.high
    assert found.mmd_squared > max(0.05, drift.mmd_squared(*samples(seed, 100, 100)))


def test_it_sees_a_spread_that_the_means_do_not() -> None:
    x_ND, y_MD = samples(5, 150, 150)
    found = drift.embedding_shift(x_ND + 5, 2 * y_MD + 5, 99, 0)
    assert found.mean_cosine > 0.99
    assert found.p_value == 0.01


@pytest.mark.parametrize("by", [0.5, 1.0, 2.0])
def test_estimate_and_interval_are_those_of_the_closed_form(by: float) -> None:
    """E k(x, y) of normal x and y a distance `by` apart is (s^2 / (s^2 + 2))^(D/2) exp(-by^2 / (2 (s^2 + 2)))."""
    bandwidth, dim = 2.0, 3
    at_0 = (bandwidth**2 / (bandwidth**2 + 2)) ** (dim / 2)
    truth = 2 * at_0 * (1 - math.exp(-(by**2) / (2 * (bandwidth**2 + 2))))
    values = [drift.mmd_squared(*samples(seed, 80, 50, dim, by), bandwidth) for seed in range(300)]
    assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / math.sqrt(300))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    found = [drift.embedding_shift(*samples(seed, 60, 60, 3, 1.0), 200, seed) for seed in range(200)]
    truth = np.mean([one.mmd_squared for one in found])  # it is unbiased
    assert 0.90 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.995


def test_the_figure_does_not_depend_on_the_dimension() -> None:
    """The rule of thumb for a limit: 0.3 times the share of the variance by which the means lie apart."""
    for dim in (64, 512):
        x_ND, y_MD = samples(dim, 600, 600, dim, by=math.sqrt(dim / 3))
        assert drift.mmd_squared(x_ND, y_MD) == pytest.approx(0.1, abs=0.02)


@settings(deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_figures(seed: int) -> None:
    assert drift.embedding_shift(*samples(1), 20, [seed, 2]) == drift.embedding_shift(*samples(1), 20, [seed, 2])


def test_what_cannot_be_compared_is_refused() -> None:
    rows_ND = np.ones((3, 2))
    with pytest.raises(ValueError, match="length"):
        drift.mmd_squared(rows_ND, np.ones((3, 4)))
    with pytest.raises(ValueError, match="rows"):
        drift.embedding_shift(rows_ND, rows_ND[:1], 10, 0)
    with pytest.raises(ValueError, match="direction"):
        drift.mean_cosine([[1.0], [-1.0]], [[1.0]])


def test_queries_asked_again_and_again_leave_a_bandwidth() -> None:
    rows_PD = np.ones((10, 2))
    assert drift.embedding_shift(rows_PD, rows_PD, 1, 0).bandwidth == 1
    rows_PD[0, 0] = 4.0
    assert drift.embedding_shift(rows_PD, rows_PD[1:], 1, 0).bandwidth == 3


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1e6)), st.floats(-100, 100), st.floats(0.1, 10))
def test_a_trend_follows_what_is_added_and_multiplied(value_T: np.ndarray, slope: float, scale: float) -> None:
    found, start = drift.theil_sen(value_T)
    tilted, tilted_start = drift.theil_sen(scale * value_T + slope * np.arange(len(value_T)))
    if len(value_T) > 1:
        assert tilted == pytest.approx(scale * found + slope, abs=1e-4)
    assert tilted_start == pytest.approx(scale * start, abs=1e-2)


def test_a_quarter_of_bad_days_moves_no_trend() -> None:
    value_T = 100.0 + 2 * np.arange(40)
    value_T[::4] = 0
    assert drift.theil_sen(value_T)[0] == pytest.approx(2, abs=0.3)
    with pytest.raises(ValueError, match="value"):
        drift.theil_sen([])


def test_the_size_of_a_log_makes_no_drift_of_a_difference_that_only_a_large_log_can_see() -> None:
    """Two million searches make a tenth of a point significant; the gate asks how far, and its limits are shares."""
    count, before, after = 2_000_000, 0.050, 0.051
    random = np.random.default_rng(5)
    asked, earlier = (random.random(count) < share for share in (after, before))
    deviations = (asked.mean() - earlier.mean()) / math.sqrt(2 * before * (1 - before) / count)
    assert deviations > 4  # one in ten thousand by chance
    per_day = random.poisson(count / 56, 56)
    per_day[-7:] = random.poisson(0.99 * count / 56, 7)
    dropped = drift.weekly_trend(per_day)
    assert dropped.drop is not None
    assert dropped.drop * per_day[:-7].mean() / math.sqrt(per_day[:-7].mean() / 7) > 4
    # of vectors a sample is compared, never all
    shift = drift.embedding_shift(*samples(1, 1500, 1500, by=0.4), resample_count=200, seed=1)
    assert shift.p_value < 0.01
    found = gates.Drift(
        float(asked.mean()), float(asked.mean()), dropped.drop, {"searches": gates.Distance(*moved(shift))}, ""
    )
    assert gates.judge(replace(GOOD, drift=found), LIMITS).outcome == gates.PASS
    # a drift that matters is told from a thousandth of the log as from all of it
    for rows in (2_000, count):
        unseen = float((random.random(rows) < 0.95).mean())
        halved = drift.weekly_trend([*random.poisson(rows / 56, 49), *random.poisson(0.4 * rows / 56, 7)])
        far = drift.embedding_shift(*samples(2, 200, 200, by=2.0), resample_count=50, seed=1)
        found = gates.Drift(unseen, unseen, halved.drop, {"searches": gates.Distance(*moved(far))}, "")
        assert len(gates.judge(replace(GOOD, drift=found), LIMITS).reasons) == 4


def moved(shift: drift.Shift) -> tuple[float, float, float]:
    return shift.mmd_squared, shift.low, shift.high
