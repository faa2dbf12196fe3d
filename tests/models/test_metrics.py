"""Metrics against ir-measures, against each other, and as properties."""

from __future__ import annotations

import math

import ir_measures as ir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import metrics as m

CUTOFFS = (1, 3, 5, 10, 25)
MEASURES = {"hit_rate": ir.Success, "map": ir.AP, "mrr": ir.RR, "ndcg": ir.nDCG, "precision": ir.P, "recall": ir.R}


def oracle(measure: object, relevance_QK: np.ndarray, judged: list[list[int]], depth: int | None = None) -> np.ndarray:
    """Value per query by ir-measures. Photo i of a query is at position i; scores are integers, so none tie.

    Photos judged but not in the list follow after it in `judged`. `depth` cuts the list, for a measure without cutoff.
    """
    depth = depth or relevance_QK.shape[1]
    qrels = {f"{q:06}": {f"d{i}": int(gain) for i, gain in enumerate(row)} for q, row in enumerate(judged)}
    run = {f"{q:06}": {f"d{i}": depth - i for i in range(depth)} for q in range(len(relevance_QK))}
    found = {value.query_id: value.value for value in ir.iter_calc([measure], qrels, run)}
    return np.array([found[f"{q:06}"] for q in range(len(relevance_QK))])


def several_relevant(top_gain: int, seed: int) -> tuple[np.ndarray, list[list[int]], np.ndarray]:
    """Ranked gains (60 queries, 30 positions), the same plus up to 6 judged photos that were not found, counts."""
    rng = np.random.default_rng(seed)
    gain_QK = rng.integers(0, top_gain + 1, (60, 30)) * (rng.random((60, 30)) < 0.2)
    missed = [rng.integers(0, top_gain + 1, rng.integers(0, 7)).tolist() for _ in range(60)]
    judged = [[*row.tolist(), *extra] for row, extra in zip(gain_QK, missed, strict=True)]
    return gain_QK, judged, np.array([sum(gain > 0 for gain in row) for row in judged])


def padded(judged: list[list[int]]) -> np.ndarray:
    width = max(map(len, judged))
    return np.array([row + [0] * (width - len(row)) for row in judged])


@pytest.mark.parametrize("top_gain", [1, 5])
def test_several_relevant_photos_equal_the_oracle(top_gain: int) -> None:
    gain_QK, judged, count_Q = several_relevant(top_gain, seed=7)
    judged_QI = padded(judged) if top_gain > 1 else m.judged_of_counts(count_Q, max(CUTOFFS))
    value_QM = m.list_metrics(gain_QK, judged_QI, count_Q, CUTOFFS)
    for column, (metric, k) in enumerate(m.columns(CUTOFFS)):
        measure, depth = (ir.SetF, k) if metric == "f1" else (MEASURES[metric] @ k, None)
        np.testing.assert_allclose(
            value_QM[:, column], oracle(measure, gain_QK, judged, depth), err_msg=f"{metric}@{k}"
        )


judgement_lists = st.lists(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 6)), min_size=1, max_size=8, unique_by=lambda pair: pair[0]),
    min_size=1,
    max_size=6,
)


@given(judgement_lists, st.randoms(use_true_random=False))
def test_metrics_from_the_ranks_of_judged_photos_equal_those_of_the_lists(
    judgements: list[list[tuple[int, int]]], random: object
) -> None:
    rows = [(query, rank, gain) for query, pairs in enumerate(judgements) for rank, gain in pairs]
    random.shuffle(rows)  # type: ignore[attr-defined]
    query_N, rank_N, gain_N = np.array(rows).T
    gain_QK = m.gains_at_ranks(query_N, rank_N, gain_N, len(judgements), 25)
    plain_QK = [[dict(pairs).get(place, 0) for place in range(1, 26)] for pairs in judgements]
    assert gain_QK.tolist() == plain_QK
    ideal_QK = m.gains_at_ranks(query_N, m.best_ranks(query_N, gain_N), gain_N, len(judgements), 25)
    judged = [sorted((gain for _, gain in pairs), reverse=True) for pairs in judgements]
    assert [[gain for gain in row if gain] for row in ideal_QK.tolist()] == judged
    count_Q = np.bincount(query_N)
    value_QM = m.list_metrics(gain_QK, ideal_QK, count_Q)
    deep = np.array([[dict(pairs).get(place, 0) for place in range(1, 41)] for pairs in judgements])
    np.testing.assert_allclose(value_QM, m.list_metrics(deep, padded(judged), count_Q), atol=1e-12)
    assert value_QM.min() >= 0
    assert value_QM.max() <= 1 + 1e-12


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_one_judged_photo_a_query_is_the_same_by_either_form(ranks: list[int]) -> None:
    one_Q = np.ones(len(ranks), dtype=int)
    gain_QK = m.gains_at_ranks(np.arange(len(ranks)), ranks, one_Q, len(ranks), 25)
    np.testing.assert_allclose(m.list_metrics(gain_QK, one_Q[:, None], one_Q), m.rank_metrics(ranks))


def test_one_relevant_photo_equals_the_oracle() -> None:
    rank_Q = np.random.default_rng(0).integers(1, 41, 200)
    relevance_QK = (rank_Q[:, None] == np.arange(1, 31)).astype(int)
    judged = [[*row.tolist(), int(rank > 30)] for row, rank in zip(relevance_QK, rank_Q, strict=True)]
    value_QM = m.rank_metrics(rank_Q, CUTOFFS)
    for column, (metric, k) in enumerate(m.columns(CUTOFFS)):
        if metric != "f1":
            expected = oracle(MEASURES[metric] @ k, relevance_QK, judged)
            np.testing.assert_allclose(value_QM[:, column], expected, err_msg=f"{metric}@{k}")


def test_the_worked_example_is_of_linear_gain_over_the_logarithm_of_the_place() -> None:
    gains = [[0, 5, 1, 4, 2]]
    by_hand = sum(gain / math.log2(place + 1) for place, gain in enumerate(gains[0], start=1))
    assert m.dcg(gains, 5)[0] == pytest.approx(by_hand)
    assert by_hand == pytest.approx(6.151, abs=5e-4)
    assert m.dcg([[5, 4, 2, 1, 0]], 5)[0] == pytest.approx(8.954, abs=5e-4)
    assert m.ndcg(gains, gains, 5)[0] == pytest.approx(0.687, abs=5e-4)


def test_values_by_hand() -> None:
    relevance = [[1, 0, 1, 0, 0, 1]]
    assert m.average_precision(relevance, [4], 5)[0] == pytest.approx((1 + 2 / 3) / 4)
    assert m.average_precision([[0, 0]], [0], 2)[0] == 0
    assert m.ndcg([[0, 0]], [[0, 0]], 2)[0] == 0
    assert m.precision([[1, 1]], 5)[0] == pytest.approx(2 / 5)  # a short list is not excused
    assert m.recall([[0, 0]], [0], 2)[0] == m.f1([[0, 0]], [0], 2)[0] == 0
    assert m.ndcg([[-1, 2]], [[-1, 2]], 2)[0] == pytest.approx(1 / np.log2(3))  # a negative relevance gains nothing


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="ranks"):
        m.rank_metrics([3, 0])
    for metric in (m.average_precision, m.recall, m.f1):
        with pytest.raises(ValueError, match="relevant photos"):
            metric([[1, 1]], [1], 2)
    with pytest.raises(ValueError, match="2 positions"):
        m.list_metrics([[1, 1]], [[1, 1]], [2], cutoffs=[1, 5])
    with pytest.raises(ValueError, match="ranks"):
        m.gains_at_ranks([0], [0], [1], 1, 5)
    with pytest.raises(ValueError, match="rank"):
        m.gains_at_ranks([0, 0], [2, 2], [1, 1], 1, 5)


def test_no_query_gives_no_row() -> None:
    assert m.rank_metrics(np.array([], dtype=int)).shape == (0, 28)
    nothing = np.array([], dtype=int)
    assert m.gains_at_ranks(nothing, nothing, nothing, 2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert m.best_ranks(nothing, nothing).shape == (0,)


ranked_lists = st.lists(st.lists(st.integers(0, 4), min_size=8, max_size=8), min_size=1, max_size=6)


@given(ranked_lists, st.integers(0, 3))
def test_metrics_are_bounded_and_monotone_where_they_should_be(rows: list[list[int]], missed_count: int) -> None:
    gain_QK = np.array(rows)
    count_Q = (gain_QK > 0).sum(axis=1) + missed_count
    judged_QI = np.hstack([gain_QK, np.full((len(rows), missed_count), 4)])
    by_k = {
        k: np.stack(
            [
                m.hit_rate(gain_QK, k),
                m.reciprocal_rank(gain_QK, k),
                m.average_precision(gain_QK, count_Q, k),
                m.recall(gain_QK, count_Q, k),
                m.ndcg(gain_QK, judged_QI, k),
                m.precision(gain_QK, k),
                m.f1(gain_QK, count_Q, k),
            ]
        )
        for k in range(1, 9)
    }
    values = np.stack(list(by_k.values()))
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-12
    assert (np.diff(values[:, :4], axis=0) >= -1e-12).all()  # all but nDCG, whose ideal grows with k too, and what
    # divides by k; but one more place can only add hits
    hits = values[:, 5] * np.arange(1, 9)[:, None]
    assert (np.diff(hits, axis=0) >= -1e-12).all()
    np.testing.assert_allclose(
        values[:, 6] * (values[:, 5] + values[:, 3]), 2 * values[:, 5] * values[:, 3], atol=1e-12
    )


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_metrics_of_one_relevant_photo_are_bounded_and_monotone(ranks: list[int]) -> None:
    value_QMC = m.rank_metrics(ranks).reshape(len(ranks), len(m.METRICS), len(m.CUTOFFS))
    assert value_QMC.min() >= 0
    assert value_QMC.max() <= 1
    by_metric = dict(zip(m.METRICS, value_QMC.transpose(1, 0, 2), strict=True))
    for metric in ("hit_rate", "map", "mrr", "ndcg", "recall"):
        assert (np.diff(by_metric[metric], axis=1) >= 0).all(), metric  # in k
    best_first = m.rank_metrics(np.sort(ranks))
    assert (np.diff(best_first, axis=0) <= 0).all()  # in the rank


@given(ranked_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_queries_does_not_matter(rows: list[list[int]], random: object) -> None:
    gain_QK = np.array(rows)
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(m.ndcg(gain_QK, gain_QK, 5)[order], m.ndcg(gain_QK[order], gain_QK[order], 5))
    count_Q = (gain_QK > 0).sum(axis=1)
    np.testing.assert_array_equal(
        m.average_precision(gain_QK, count_Q, 5)[order], m.average_precision(gain_QK[order], count_Q[order], 5)
    )
