"""Scorecards: the same means as the metrics, differences paired, slices of few visitors never sure of themselves."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import scorecard as s
from models.evaluation.metrics import columns, rank_metrics


def ranks(seed: int, count: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).geometric(0.05, count)


def card_of(visitor_count: int, count: int = 300) -> s.Scorecard:
    visitor_Q = np.arange(count) % visitor_count
    return s.Scorecard.of({"a": ranks(0, count), "b": ranks(1, count)}, visitor_Q, 300, [1])


def test_ranks_and_their_metrics_give_the_same_scorecard() -> None:
    visitor_Q = np.random.default_rng(2).integers(0, 70, 300)
    by_rank = s.Scorecard.of({"a": ranks(0), "b": ranks(1)}, visitor_Q, 200, [3])
    values = {"a": rank_metrics(ranks(0)), "b": rank_metrics(ranks(1))}
    by_value = s.Scorecard.of_values(values, visitor_Q, 200, [3])
    np.testing.assert_allclose(by_rank.means, by_value.means)
    np.testing.assert_allclose(by_rank.resampled_means, by_value.resampled_means)
    assert by_rank.value("a", "recall", 10) == pytest.approx((ranks(0) <= 10).mean())
    assert (by_rank.query_count, by_rank.cluster_count) == (300, len(np.unique(visitor_Q)))


def test_a_difference_comes_with_p_value_and_what_could_have_been_found() -> None:
    card = card_of(100)
    difference = card.difference("a", "b")
    at = columns().index(("hit_rate", 10))
    resampled = card.resampled_means[:, 0, at] - card.resampled_means[:, 1, at]
    assert difference.detectable[at] == pytest.approx(2.8016 * resampled.std(ddof=1), rel=1e-4)
    beyond = min((resampled <= 0).sum(), (resampled >= 0).sum())
    assert difference.p_value[at] == pytest.approx(min(1, 2 * (beyond + 1) / 301))
    same = card.difference("a", "a")
    assert (same.p_value == 1).all()
    assert (same.detectable == 0).all()


def test_slices_of_many_visitors_keep_the_bootstrap() -> None:
    card = card_of(100)
    for cautious, plain in (
        (card.cautious("a"), card.estimates("a")),
        (card.cautious("a", "b"), card.difference("a", "b")),
    ):
        np.testing.assert_array_equal(cautious.low, plain.low)
        np.testing.assert_array_equal(cautious.high, plain.high)


def test_slices_of_few_visitors_have_wide_intervals_within_what_is_possible() -> None:
    highest = rank_metrics([1])[0]
    for visitor_count in (1, 4):
        card = card_of(visitor_count, count=8)
        found, plain = card.cautious("a", highest=highest), card.estimates("a")
        assert (found.low >= 0).all()
        assert (found.high <= highest).all()
        assert (found.high - found.low >= plain.high - plain.low).all()
        assert found.high[0] - found.low[0] > 0.5  # hit rate@1
        difference = card.cautious("a", "b", highest)
        assert (difference.low >= -highest).all()
        assert (difference.high <= highest).all()
        assert (difference.low < 0).all()
        assert (difference.high > 0).all()


def test_no_hit_among_a_few_visitors_is_not_certainty() -> None:
    nothing = np.full(20, 99)
    card = s.Scorecard.of({"a": nothing}, np.arange(20), 100, [1])
    assert card.estimates("a").high.max() == 0
    assert card.cautious("a").high[0] == pytest.approx(0.304, abs=1e-3)
