"""Coverage, diversity and novelty against their definitions as loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.beyond_accuracy import coverage, diversity, novelty


def lists(seed: int) -> tuple[np.ndarray, np.random.Generator]:
    random = np.random.default_rng(seed)
    item_VK = np.array([random.permutation(12)[:5] for _ in range(4)])
    for row, count in zip(item_VK, random.integers(0, 6, 4), strict=True):
        row[count:] = -1
    return item_VK, random


@given(st.integers(0, 1000))
def test_they_equal_their_definitions(seed: int) -> None:
    item_VK, random = lists(seed)
    vector_ID = random.normal(size=(12, 3))
    vector_ID /= np.linalg.norm(vector_ID, axis=1, keepdims=True)
    taken_I = random.integers(0, 21, 12)
    filled = [[item for item in row if item >= 0] for row in item_VK.tolist()]
    assert coverage(item_VK, 12) == len({item for row in filled for item in row}) / 12
    for row, far, new in zip(
        filled, diversity(item_VK, vector_ID), novelty(item_VK, taken_I, visitor_count=20), strict=True
    ):
        pairs = [1 - vector_ID[a] @ vector_ID[b] for a, b in itertools.combinations(row, 2)]
        np.testing.assert_allclose(far, np.mean(pairs) if pairs else np.nan, atol=1e-12)
        bits = [-np.log2((taken_I[item] + 1) / 21) for item in row]
        np.testing.assert_allclose(new, np.mean(bits) if bits else np.nan)


def test_interactions_in_place_of_visitors_are_refused() -> None:
    with pytest.raises(ValueError, match="9 of 8 visitors"):
        novelty([[0]], [9], visitor_count=8)
