"""Clustered standard errors: right coverage for searches that hang together by visitor and by query."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from models.evaluation import statistics as s
from tests.models.search_logs import Log, differences, zipf_log


def found(value_Q: np.ndarray, *cluster_Q: np.ndarray, lowest: float = -1.0, highest: float = 1.0) -> s.Estimates:
    """The estimate of the mean of values, shape (1,)."""
    clusters = s.Clusters.of(*cluster_Q)
    variance_D1 = clusters.covariances(value_Q[:, None])[:, 0]
    return s.estimates([value_Q.mean()], variance_D1, clusters.effective_counts, lowest, highest)


def is_missed(one: s.Estimates, truth: float = 0.0) -> bool:
    return not one.low[0] <= truth <= one.high[0]


@pytest.mark.parametrize(
    ("search_count", "query_count", "query_spread"),
    [(1000, 300, 0.0), (1000, 300, 0.05), (3000, 600, 0.05), (3000, 600, 0.1), (3000, 10, 0.1)],
)
def test_equal_arms_are_called_different_in_about_one_night_of_twenty(
    search_count: int, query_count: int, query_spread: float
) -> None:
    random, misses, of_visitors_only = np.random.default_rng(1), 0, 0
    for _ in range(200):
        log = zipf_log(random, search_count, query_count)
        value_Q = differences(random, log, query_spread=query_spread)
        misses += is_missed(found(value_Q, log.visitor_Q, log.query_Q))
        of_visitors_only += is_missed(found(value_Q, log.visitor_Q))
    assert misses / 200 <= 0.095  # 95 % within what 200 nights can tell
    if query_spread == 0.1:
        assert misses / 200 >= 0.01  # and not by being needlessly wide
        assert of_visitors_only / 200 > 0.3  # what taking the queries as fixed would claim


def test_the_interval_of_a_rate_covers_it() -> None:
    random, misses = np.random.default_rng(0), 0
    for _ in range(400):
        count_V = random.integers(1, 10, 80)
        visitor_Q = np.repeat(np.arange(80), count_V)
        hit_Q = random.random(len(visitor_Q)) < random.beta(0.5, 0.5, 80)[visitor_Q]
        misses += is_missed(found(hit_Q.astype(float), visitor_Q, lowest=0.0), truth=0.5)
    assert 0.02 <= misses / 400 <= 0.08


def test_one_search_per_visitor_equals_the_textbook() -> None:
    value_Q = np.random.default_rng(4).random(2000)
    one = found(value_Q, np.arange(2000), lowest=0.0)
    assert one.error[0] == pytest.approx(value_Q.std(ddof=1) / np.sqrt(2000), rel=0.005)
    assert one.high[0] - one.low[0] == pytest.approx(2 * norm.isf(0.025) * one.error[0], rel=0.005)


def test_two_ways_are_added_and_what_both_have_is_taken_off() -> None:
    value_Q = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    visitor_Q, query_Q = np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 1, 0, 0, 1, 1, 0])

    def jackknife(cluster_Q: np.ndarray) -> float:
        names = np.unique(cluster_Q)
        lost = [value_Q[cluster_Q != name].mean() - value_Q.mean() for name in names]
        return (len(names) - 1) / len(names) * float(np.square(lost).sum())

    expected = [jackknife(one) for one in (visitor_Q, query_Q, 10 * visitor_Q + query_Q)]
    np.testing.assert_allclose(s.Clusters.of(visitor_Q, query_Q).covariances(value_Q[:, None]).ravel(), expected)


def test_a_difference_has_the_variance_that_the_covariance_of_its_arms_gives() -> None:
    random = np.random.default_rng(5)
    log = zipf_log(random, 500, 40)
    value_QA = random.random((500, 2))
    clusters = s.Clusters.of(log.visitor_Q, log.query_Q)
    of = clusters.covariances(value_QA)
    alone = clusters.covariances(value_QA[:, :1] - value_QA[:, 1:])
    np.testing.assert_allclose(of[:, 0, 0] + of[:, 1, 1] - 2 * of[:, 0, 1], alone[:, 0, 0])


def test_names_and_order_of_clusters_do_not_matter() -> None:
    random = np.random.default_rng(11)
    log = zipf_log(random, 400, 30)
    value_Q = differences(random, log, query_spread=0.1)
    order_Q = random.permutation(400)
    names_V, names_U = random.permutation(10_000), random.permutation(30)
    other = Log(names_V[log.visitor_Q][order_Q], names_U[log.query_Q][order_Q])
    one, renamed = found(value_Q, log.visitor_Q, log.query_Q), found(value_Q[order_Q], other.visitor_Q, other.query_Q)
    np.testing.assert_allclose([one.low, one.high, one.p_value], [renamed.low, renamed.high, renamed.p_value])


def test_one_visitor_or_one_query_shows_nothing() -> None:
    better = np.ones(50)
    for visitor_Q, query_Q in ((np.zeros(50), np.arange(50)), (np.arange(50), np.zeros(50))):
        one = found(better, visitor_Q, query_Q)
        assert (one.low[0], one.high[0], one.p_value[0], one.detectable[0]) == (-1.0, 1.0, 1.0, 2.0)


def test_a_few_equal_values_are_no_certainty() -> None:
    none_of_20 = found(np.zeros(20), np.arange(20), lowest=0.0)
    assert none_of_20.low[0] == 0
    assert 0.08 < none_of_20.high[0] < 0.2  # the rule of three says 0.15
    random = np.random.default_rng(18)
    for rate, count in ((0.02, 8), (0.5, 8), (0.1, 30)):
        misses = [
            is_missed(found((random.random(count) < rate).astype(float), np.arange(count), lowest=0.0), truth=rate)
            for _ in range(400)
        ]
        assert np.mean(misses) <= 0.08


@given(
    st.lists(st.integers(-1, 1), min_size=4, max_size=40),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 20]),
)
def test_interval_and_p_value_never_disagree(values: list[int], visitors: int, queries: int, family: int) -> None:
    number_Q = np.arange(len(values))
    one = found(np.array(values, dtype=float), number_Q % visitors, number_Q // 2 % queries).among(family)
    assert np.isfinite([one.low[0], one.high[0], one.p_value[0], one.detectable[0]]).all()
    assert -1 <= one.low[0] <= one.value[0] <= one.high[0] <= 1
    if abs(one.p_value[0] - 0.05) > 1e-9:
        assert (one.p_value[0] < 0.05) == (one.low[0] > 0 or one.high[0] < 0)


def test_among_many_equal_comparisons_one_is_wrong_in_one_family_of_twenty_at_most() -> None:
    random, wrong = np.random.default_rng(21), 0
    for _ in range(300):
        log = zipf_log(random, 600, 60)
        value_QF = np.column_stack([differences(random, log) for _ in range(20)])
        clusters = s.Clusters.of(log.visitor_Q, log.query_Q)
        variance_DF = np.diagonal(clusters.covariances(value_QF), axis1=1, axis2=2)
        family = s.estimates(value_QF.mean(axis=0), variance_DF, clusters.effective_counts, -1.0, 1.0).among(20)
        wrong += (family.p_value < 0.05).any()
    assert wrong / 300 <= 0.08


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five() -> None:
    random = np.random.default_rng(17)
    log = zipf_log(random, 4000, 400)
    size = float(
        np.mean([found(differences(random, log), log.visitor_Q, log.query_Q).detectable[0] for _ in range(50)])
    )
    hits = [found(differences(random, log, mean=size), log.visitor_Q, log.query_Q).low[0] > 0 for _ in range(300)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.09)


def test_a_further_variance_widens_the_interval() -> None:
    one = found(np.tile([0.0, 1.0], 200), np.arange(400), lowest=0.0)
    wider = one.less_sure([0.01], 4)
    assert wider.error[0] == pytest.approx(np.sqrt(one.error[0] ** 2 + 0.01))
    assert 4 < wider.freedom[0] < 6
    assert wider.high[0] - wider.low[0] > 4 * (one.high[0] - one.low[0])


def test_one_busy_visitor_makes_few_of_many() -> None:
    assert s.effective_count([1] * 50) == pytest.approx(50)
    assert s.effective_count([1] * 49 + [500]) < 1.3


def test_nothing_to_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        s.Clusters.of(np.zeros(0))
