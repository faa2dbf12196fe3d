"""Maximal marginal relevance: equal to its definition written as loops, and what the trade-off does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ragged import unit_rows
from models.recommend.diversity import diversified, maximal_marginal_relevance
from models.recommend.interactions import NONE


def plain(relevance: list[float], vectors: np.ndarray, k: int, trade_off: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        left = [i for i in range(len(relevance)) if i not in chosen]
        gain = {
            i: trade_off * relevance[i]
            - (1 - trade_off) * max([float(vectors[i] @ vectors[j]) for j in chosen] or [0.0])
            for i in left
        }
        chosen.append(max(left, key=lambda i: gain[i]))
    return chosen


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_it_equals_the_definition(seed: int, trade_off: float) -> None:
    random = np.random.default_rng(seed)
    relevance_VP = random.random((3, 8))
    vector_VPD = unit_rows(random.normal(size=(24, 4))).reshape(3, 8, 4).astype(np.float64)
    found = maximal_marginal_relevance(relevance_VP, vector_VPD, 5, trade_off)
    expected = [plain(list(r), v, 5, trade_off) for r, v in zip(relevance_VP, vector_VPD, strict=True)]
    assert found.tolist() == expected


def test_a_trade_off_of_one_changes_nothing_and_scores_of_any_scale_count_alike() -> None:
    random = np.random.default_rng(0)
    vector_ID = unit_rows(random.normal(size=(30, 4)))
    pool_VP = np.array([random.permutation(30)[:10] for _ in range(4)])
    score_VP = -np.sort(-random.random((4, 10)), axis=1).astype(np.float32)
    assert diversified(pool_VP, score_VP, vector_ID, 10, 1.0)[0].tolist() == pool_VP.tolist()
    mixed, _ = diversified(pool_VP, score_VP, vector_ID, 6, 0.5)
    assert mixed.tolist() != pool_VP[:, :6].tolist()
    assert diversified(pool_VP, 50 * score_VP - 7, vector_ID, 6, 0.5)[0].tolist() == mixed.tolist()


def test_places_that_are_not_filled_stay_so_and_equal_scores_are_none() -> None:
    vector_ID = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    pool = np.array([[0, 1, 2, NONE], [2, NONE, NONE, NONE], [NONE] * 4])
    score = np.array([[1.0, 1.0, 1.0, -np.inf], [0.5] + [-np.inf] * 3, [-np.inf] * 4], np.float32)
    item_VK, own_VK = diversified(pool, score, vector_ID, 4, 0.5)
    assert item_VK.tolist() == [[0, 2, 1, NONE], [2, NONE, NONE, NONE], [NONE] * 4]
    assert own_VK.tolist() == score.tolist()


@pytest.mark.parametrize(("k", "trade_off"), [(5, 0.5), (2, 1.1), (2, -0.1)])
def test_what_cannot_be_is_refused(k: int, trade_off: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        diversified(np.array([[0, 1]]), np.ones((1, 2), np.float32), np.eye(2, dtype=np.float32), k, trade_off)
