"""Scorecards: the same means as the metrics, differences paired, seeds counted where a training was repeated."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.metrics import columns, rank_metrics
from models.evaluation.scorecard import RepeatedScorecard, Scorecard
from models.evaluation.statistics import Clusters
from tests.models.search_logs import zipf_log

AT = columns().index(("hit_rate", 10))


def ranks(seed: int, count: int = 300, chance: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).geometric(chance, count)


def clusters(count: int = 300, seed: int = 2) -> Clusters:
    log = zipf_log(np.random.default_rng(seed), count, 50)
    return Clusters.of(log.visitor_Q, log.query_Q)


def test_ranks_and_their_metrics_give_the_same_scorecard() -> None:
    by_rank = Scorecard.of({"a": ranks(0), "b": ranks(1)}, clusters())
    values = {"a": rank_metrics(ranks(0)), "b": rank_metrics(ranks(1))}
    by_value = Scorecard.of_values(values, clusters())
    np.testing.assert_allclose(by_rank.means, by_value.means)
    np.testing.assert_allclose(by_rank.covariances, by_value.covariances)
    np.testing.assert_array_equal(by_rank.highest, rank_metrics([1])[0])
    assert by_rank.value("a", "recall", 10) == pytest.approx((ranks(0) <= 10).mean())
    assert (by_rank.query_count, by_rank.cluster_counts) == (300, clusters().counts)


def test_a_paired_difference_is_surer_than_its_arms() -> None:
    mostly = np.where(np.random.default_rng(3).random(3000) < 0.1, ranks(1, 3000), ranks(0, 3000))
    card = Scorecard.of({"a": ranks(0, 3000), "b": mostly}, clusters(3000))
    assert card.difference("a", "b").error[AT] < 0.7 * card.estimates("a").error[AT]
    same = card.difference("a", "a")
    assert (same.value == 0).all()
    assert (same.p_value == 1).all()


def test_intervals_keep_within_what_is_possible() -> None:
    few = Clusters.of(np.arange(8) % 3, np.arange(8) % 4)
    card = Scorecard.of({"a": ranks(0, 8), "b": ranks(1, 8)}, few)
    alone, less = card.estimates("a"), card.difference("a", "b")
    assert (alone.low >= 0).all()
    assert (alone.high <= card.highest).all()
    assert (np.abs([less.low, less.high]) <= card.highest).all()
    assert (less.low < 0).all()
    assert (less.high > 0).all()


def retrained(random: np.random.Generator, hit_Q: np.ndarray, spread: float) -> np.ndarray:
    """Ranks of one training: the hits of the arm, of which a seed turns some, more or fewer by chance."""
    share = min(max(0.5 + random.normal(0, spread), 0), 1)
    is_turned_Q = random.random(len(hit_Q)) < 0.1
    return np.where(np.where(is_turned_Q, random.random(len(hit_Q)) < share, hit_Q), 1, 99)


def test_identical_variants_with_other_seeds_are_rarely_called_different() -> None:
    random, of_seeds, of_searches = np.random.default_rng(6), 0, 0
    for _ in range(150):
        log = zipf_log(random, 2000, 200)
        together = Clusters.of(log.visitor_Q, log.query_Q)
        hit_Q = random.random(2000) < 0.6
        runs = {arm: [retrained(random, hit_Q, 0.1) for _ in range(3)] for arm in ("a", "b")}
        card = RepeatedScorecard.of(runs, together)
        of_seeds += card.difference("a", "b").p_value[AT] < 0.05
        of_searches += card.of_means.difference("a", "b").p_value[AT] < 0.05
    assert of_seeds / 150 <= 0.09
    assert of_searches / 150 > 0.2  # what taking the seeds as fixed would claim


def test_what_was_not_trained_has_no_seed_and_what_was_trained_once_varies_like_the_others() -> None:
    several = [ranks(seed) for seed in range(5)]
    card = RepeatedScorecard.of({"zero": [ranks(9)], "full": several, "once": [ranks(8)]}, clusters(), ["zero"])
    plain = card.of_means
    np.testing.assert_array_equal(card.estimates("zero").error, plain.estimates("zero").error)
    seeds = np.var(card.repeat_means["full"][:, AT], ddof=1)
    for arm, share in (("full", 1 / 5), ("once", 1)):
        added = card.estimates(arm).error[AT] ** 2 - plain.estimates(arm).error[AT] ** 2
        assert added == pytest.approx(share * seeds)
    added = card.difference("once", "full").error[AT] ** 2 - plain.difference("once", "full").error[AT] ** 2
    assert added == pytest.approx(1.2 * seeds)


def test_seeds_that_nobody_repeated_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="trained twice"):
        RepeatedScorecard.of({"a": [ranks(0)], "b": [ranks(1)]}, clusters())
