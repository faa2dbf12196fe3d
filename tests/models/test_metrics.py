"""Metrics against ir-measures, against each other, and as properties."""

from __future__ import annotations

import doctest

import ir_measures as ir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import metrics as m

CUTOFFS = (1, 3, 5, 10, 25)


def oracle(measure: object, relevance_QK: np.ndarray, judged: list[list[int]]) -> np.ndarray:
    """Value per query by ir-measures. Photo i of a query is at position i; scores are integers, so none tie.

    Photos judged but not in the list follow after it in `judged`.
    """
    depth = relevance_QK.shape[1]
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


@pytest.mark.parametrize("k", CUTOFFS)
def test_several_relevant_photos_equal_the_oracle(k: int) -> None:
    relevance_QK, judged, count_Q = several_relevant(top_gain=1, seed=k)
    np.testing.assert_allclose(m.hit_rate(relevance_QK, k), oracle(ir.Success @ k, relevance_QK, judged))
    np.testing.assert_allclose(m.average_precision(relevance_QK, count_Q, k), oracle(ir.AP @ k, relevance_QK, judged))
    np.testing.assert_allclose(m.reciprocal_rank(relevance_QK, k), oracle(ir.RR @ k, relevance_QK, judged))
    ideal_QK = m.judged_of_counts(count_Q, k)
    np.testing.assert_allclose(m.ndcg(relevance_QK, ideal_QK, k), oracle(ir.nDCG @ k, relevance_QK, judged))


@pytest.mark.parametrize("k", CUTOFFS)
def test_graded_ndcg_equals_the_oracle(k: int) -> None:
    gain_QK, judged, _ = several_relevant(top_gain=5, seed=100 + k)
    np.testing.assert_allclose(m.ndcg(gain_QK, padded(judged), k), oracle(ir.nDCG @ k, gain_QK, judged))


def test_one_relevant_photo_equals_the_oracle_and_the_list_form() -> None:
    rank_Q = np.random.default_rng(0).integers(1, 41, 200)
    relevance_QK = (rank_Q[:, None] == np.arange(1, 31)).astype(int)
    judged = [[*row.tolist(), int(rank > 30)] for row, rank in zip(relevance_QK, rank_Q, strict=True)]
    one_Q = np.ones(200, dtype=int)
    value_QM = m.rank_metrics(rank_Q, CUTOFFS)
    measures = {"hit_rate": ir.Success, "map": ir.AP, "mrr": ir.RR, "ndcg": ir.nDCG}
    listed = {
        "hit_rate": lambda k: m.hit_rate(relevance_QK, k),
        "map": lambda k: m.average_precision(relevance_QK, one_Q, k),
        "mrr": lambda k: m.reciprocal_rank(relevance_QK, k),
        "ndcg": lambda k: m.ndcg(relevance_QK, m.judged_of_counts(one_Q, k), k),
    }
    for column, (metric, k) in enumerate(m.columns(CUTOFFS)):
        np.testing.assert_allclose(value_QM[:, column], oracle(measures[metric] @ k, relevance_QK, judged), err_msg=k)
        np.testing.assert_allclose(value_QM[:, column], listed[metric](k), err_msg=f"{metric}@{k}")


def test_the_worked_example_of_graded_ndcg() -> None:
    gains = [[0, 5, 1, 4, 2]]
    assert m.dcg(gains, 5)[0] == pytest.approx(6.151, abs=5e-4)
    assert m.dcg([[5, 4, 2, 1, 0]], 5)[0] == pytest.approx(8.954, abs=5e-4)
    assert m.ndcg(gains, gains, 5)[0] == pytest.approx(0.687, abs=5e-4)


def test_values_by_hand() -> None:
    relevance = [[1, 0, 1, 0, 0, 1]]
    assert m.average_precision(relevance, [4], 5)[0] == pytest.approx((1 + 2 / 3) / 4)
    assert m.average_precision([[0, 0]], [0], 2)[0] == 0
    assert m.ndcg([[0, 0]], [[0, 0]], 2)[0] == 0
    assert m.ndcg([[-1, 2]], [[-1, 2]], 2)[0] == pytest.approx(1 / np.log2(3))  # a negative relevance gains nothing


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="ranks start at 1, found 0"):
        m.rank_metrics([3, 0])
    with pytest.raises(ValueError, match="more relevant photos than it has"):
        m.average_precision([[1, 1]], [1], 2)


def test_no_query_gives_no_row() -> None:
    assert m.rank_metrics(np.array([], dtype=int)).shape == (0, 16)


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
                m.ndcg(gain_QK, judged_QI, k),
            ]
        )
        for k in range(1, 9)
    }
    values = np.stack(list(by_k.values()))
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-12
    assert (np.diff(values[:, :3], axis=0) >= -1e-12).all()  # all but nDCG, whose ideal grows with k too


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_metrics_of_one_relevant_photo_are_bounded_and_monotone(ranks: list[int]) -> None:
    value_QMC = m.rank_metrics(ranks).reshape(len(ranks), len(m.METRICS), len(m.CUTOFFS))
    assert value_QMC.min() >= 0
    assert value_QMC.max() <= 1
    assert (np.diff(value_QMC, axis=2) >= 0).all()  # in k
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


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(m).failed == 0
