"""Rankings by counts: what is most converted of late, and for the same query."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import baselines as b
from models.evaluation.ranking import Availability
from models.evaluation.sparse_scores import SparseScores


def order(scores: SparseScores, text: int) -> list[int]:
    return scores.best(text, 0, Availability(np.zeros(len(scores.base), np.int64)), len(scores.base))[0].tolist()


def test_a_conversion_counts_half_after_the_half_life() -> None:
    weight_N = b.popularity_weights(np.array([0, 1, 2]) * b.POPULARITY_HALF_LIFE_DAYS)
    assert weight_N.tolist() == pytest.approx([1, 0.5, 0.25])
    assert order(b.popularity(np.array([0.5, 1.5, 0.5])), text=7) == [1, 0, 2]


def test_the_photos_most_converted_for_the_query_come_first_and_then_the_popular_ones() -> None:
    text_N, photo_N, count_N = np.array([1, 0, 0]), np.array([4, 3, 1]), np.array([1, 1, 2])
    scores = b.most_converted(np.arange(3), text_N, photo_N, count_N, count_P=np.array([9, 2, 0, 1, 1]))
    assert order(scores, 0) == [1, 3, 0, 4, 2]
    assert order(scores, 1) == [4, 0, 1, 3, 2]
    assert order(scores, 2) == [0, 1, 3, 4, 2]


def test_no_popularity_outweighs_a_conversion_for_the_query() -> None:
    scores = b.most_converted(
        np.zeros(1, int), np.array([0]), np.array([1]), np.array([1]), count_P=np.array([10**6, 1])
    )
    assert order(scores, 0) == [1, 0]


def test_without_a_past_all_photos_are_alike() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    assert np.unique(b.popularity(np.zeros(4)).of_pairs(np.zeros(4, np.int64), np.arange(4))).size == 1
    assert order(b.most_converted(np.zeros(1, int), nobody, nobody, nobody, np.zeros(4, np.int64)), 0) == [0, 1, 2, 3]
