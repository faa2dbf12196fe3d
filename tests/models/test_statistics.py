"""The visitor bootstrap: right coverage, clusters respected, differences paired, the same for the same seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import statistics as s


def correlated(random: np.random.Generator, visitor_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits (Q, 1) of visitors who convert 1 to 9 times and have a hit rate of their own; the true mean is 0.5."""
    count_V = random.integers(1, 10, visitor_count)
    visitor_Q = np.repeat(np.arange(visitor_count), count_V)
    rate_V = random.beta(0.5, 0.5, visitor_count)
    return (random.random(len(visitor_Q)) < rate_V[visitor_Q]).astype(float)[:, None], visitor_Q


def width(value_QM: np.ndarray, visitor_Q: np.ndarray, resample_count: int = 1000) -> float:
    low_M, high_M = s.interval(s.bootstrap_means(*s.cluster_sums(value_QM, visitor_Q), resample_count, seed=1))
    return float(high_M[0] - low_M[0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = naive_covered = 0
    for _ in range(300):
        value_QM, visitor_Q = correlated(random, 80)
        for is_clustered in (True, False):
            clusters = visitor_Q if is_clustered else np.arange(len(visitor_Q))
            low_M, high_M = s.interval(s.bootstrap_means(*s.cluster_sums(value_QM, clusters), 300, seed=2))
            inside = low_M[0] <= 0.5 <= high_M[0]
            covered += inside and is_clustered
            naive_covered += inside and not is_clustered
    assert 0.90 <= covered / 300 <= 0.99
    assert naive_covered / 300 < 0.85  # what ignoring the visitors would claim to be 95 %


def test_the_interval_is_wider_than_one_that_ignores_the_visitors() -> None:
    value_QM, visitor_Q = correlated(np.random.default_rng(3), 400)
    assert width(value_QM, visitor_Q) > 1.3 * width(value_QM, np.arange(len(visitor_Q)))


def test_one_query_per_visitor_equals_the_textbook() -> None:
    value_QM = np.random.default_rng(4).random((500, 1))
    textbook = 2 * 1.96 * value_QM.std() / np.sqrt(500)
    assert width(value_QM, np.arange(500), 4000) == pytest.approx(textbook, rel=0.06)


def test_a_resample_is_divided_by_its_own_number_of_queries() -> None:
    _, visitor_Q = correlated(np.random.default_rng(13), 30)
    mean_BM = s.bootstrap_means(*s.cluster_sums(np.ones((len(visitor_Q), 1)), visitor_Q), 100, seed=14)
    np.testing.assert_allclose(mean_BM, 1.0)


def test_a_paired_difference_is_surer_than_an_unpaired_one() -> None:
    random = np.random.default_rng(5)
    hit_Q1, visitor_Q = correlated(random, 400)
    other_Q1 = np.where(random.random(hit_Q1.shape) < 0.1, 1 - hit_Q1, hit_Q1)  # another arm that mostly agrees
    sum_VM, count_V = s.cluster_sums(np.hstack([hit_Q1, other_Q1]), visitor_Q)
    mean_BM = s.bootstrap_means(sum_VM, count_V, 1000, seed=6)
    other_B = s.bootstrap_means(sum_VM, count_V, 1000, seed=7)[:, 1]
    assert (mean_BM[:, 0] - mean_BM[:, 1]).std() < 0.7 * (mean_BM[:, 0] - other_B).std()


def test_columns_share_the_resamples_whatever_else_is_computed() -> None:
    value_QM, visitor_Q = correlated(np.random.default_rng(8), 50)
    sum_VM, count_V = s.cluster_sums(np.hstack([value_QM, value_QM, 2 * value_QM]), visitor_Q)
    mean_BM = s.bootstrap_means(sum_VM, count_V, 200, seed=9)
    np.testing.assert_array_equal(mean_BM[:, 0], mean_BM[:, 1])
    np.testing.assert_allclose(2 * mean_BM[:, 0], mean_BM[:, 2])
    np.testing.assert_allclose(mean_BM[:, :1], s.bootstrap_means(sum_VM[:, :1], count_V, 200, seed=9))


def test_the_seed_decides_and_the_block_size_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sum_VM, count_V = s.cluster_sums(*correlated(np.random.default_rng(10), 33))
    whole = s.bootstrap_means(sum_VM, count_V, 101, seed=[1, 2])
    np.testing.assert_array_equal(whole, s.bootstrap_means(sum_VM, count_V, 101, seed=[1, 2]))
    assert not np.array_equal(whole, s.bootstrap_means(sum_VM, count_V, 101, seed=[1, 3]))
    monkeypatch.setattr(s, "_CELLS_PER_BLOCK", 33 * 7)
    np.testing.assert_array_equal(whole, s.bootstrap_means(sum_VM, count_V, 101, seed=[1, 2]))


def test_the_order_of_the_queries_does_not_matter() -> None:
    value_QM, visitor_Q = correlated(np.random.default_rng(11), 40)
    order_Q = np.random.default_rng(12).permutation(len(visitor_Q))
    for one, other in zip(
        s.cluster_sums(value_QM, visitor_Q), s.cluster_sums(value_QM[order_Q], visitor_Q[order_Q]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_surely_better_arm_is_called_so() -> None:
    difference_BM = np.array([[0.1, -0.1, 0.0]] * 10)
    assert s.probability_better(difference_BM).tolist() == [1.0, 0.0, 0.5]


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    random = np.random.default_rng(15)
    p_values = []
    for _ in range(400):
        difference_QM = random.normal(size=(60, 1))
        mean_BM = s.bootstrap_means(*s.cluster_sums(difference_QM, np.arange(60)), 400, seed=16)
        p_values.append(s.p_value(mean_BM)[0])
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


@given(st.lists(st.integers(-5, 5), min_size=100, max_size=300), st.integers(-5, 5))
def test_a_p_value_is_two_sided_and_agrees_with_the_interval(values: list[int], shift: int) -> None:
    difference_BM = np.array(values, dtype=float)[:, None] + shift
    p = s.p_value(difference_BM)
    np.testing.assert_array_equal(p, s.p_value(-difference_BM))
    assert 0 < p[0] <= 1
    low_M, high_M = s.interval(difference_BM)
    if p[0] < 0.05:
        assert low_M[0] > 0 or high_M[0] < 0
    # The end of an interval may lie between two resamples, and one is added to the counts of p: two of them in all.
    if p[0] > 0.05 + 2 * 2 / (len(values) + 1):
        assert low_M[0] <= 0 <= high_M[0]


def closed_testing(p_values: list[float]) -> list[float]:
    """Adjusted p by definition: the largest Bonferroni p of all intersections of hypotheses that a comparison is in."""
    every = range(len(p_values))
    subsets = [set(c) for size in range(1, len(p_values) + 1) for c in itertools.combinations(every, size)]
    bonferroni = [(subset, min(1.0, len(subset) * min(p_values[i] for i in subset))) for subset in subsets]
    return [max(p for subset, p in bonferroni if i in subset) for i in every]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_equals_closed_testing(p_values: list[float]) -> None:
    adjusted = s.holm(p_values)
    np.testing.assert_allclose(adjusted, closed_testing(p_values))
    assert (adjusted >= np.array(p_values)).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], alpha: float) -> None:
    rejected = [False] * len(p_values)
    for step, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[i] * (len(p_values) - step) > alpha:
            break
        rejected[i] = True
    assert (s.holm(p_values) <= alpha).tolist() == rejected


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="p-values"):
            s.holm([0.5, wrong])


def test_an_effect_of_the_detectable_size_is_detected_four_times_in_five() -> None:
    random = np.random.default_rng(17)
    effect = float(s.minimum_detectable_effect(random.normal(0, 0.1, (100_000, 1)))[0])
    assert effect == pytest.approx(0.28016, rel=0.01)
    found = np.abs(random.normal(effect, 0.1, 20_000)) > 1.959964 * 0.1
    assert found.mean() == pytest.approx(0.8, abs=0.015)
    strong = s.minimum_detectable_effect(random.normal(0, 0.1, (100_000, 1)), power=0.99)
    assert strong[0] == pytest.approx((1.96 + 2.326) * 0.1, rel=0.01)


def test_an_interval_of_few_visitors_holds_the_truth() -> None:
    random = np.random.default_rng(18)
    for count in (1, 3, 8):
        half = s.hoeffding_half_width(count)
        for rate in (0.02, 0.5):
            misses = np.abs((random.random((4000, count)) < rate).mean(axis=1) - rate) > half
            assert misses.mean() <= 0.05
    assert s.hoeffding_half_width(8, span=2.0) == 2 * s.hoeffding_half_width(8)


def test_one_busy_visitor_makes_few_of_many() -> None:
    assert s.effective_count([1] * 50) == pytest.approx(50)
    assert s.effective_count([1] * 49 + [500]) < 1.3


def test_nobody_to_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="visitor"):
        s.bootstrap_means(np.zeros((0, 1)), np.zeros(0), 100, seed=0)
