"""Candidates are those of a plain sort: exact, by the one rule for ties, only what was there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.rerank import candidates as c


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_candidates_equal_a_plain_sort(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    score_BP = random.integers(0, 4, random.integers(1, 9, 2)).astype(np.float32)  # few values: many ties
    score_BP[random.random(score_BP.shape) < 0.2] = np.nan
    score_BP[random.random(score_BP.shape) < 0.1] = -np.inf
    found = c.top_candidates(score_BP, k)
    assert found.count.sum() == len(found.row)
    for row, score_P in enumerate(score_BP):
        expected = sorted(np.flatnonzero(np.isfinite(score_P)), key=lambda place: (-score_P[place], place))[:k]
        own = found.row == row
        assert found.place[own].tolist() == expected
        assert found.rank[own].tolist() == list(range(1, len(expected) + 1))
        assert found.score[own].tolist() == score_P[expected].tolist()
        assert found.count[row] == len(expected)
