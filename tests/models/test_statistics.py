"""The visitor bootstrap: right coverage, clusters respected, differences paired, the same for the same seed."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

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


def test_nobody_to_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="no visitor"):
        s.bootstrap_means(np.zeros((0, 1)), np.zeros(0), 100, seed=0)


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(s).failed == 0
