"""The best photos by blocks against one sort of all scores, whatever the blocks; and what that takes."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation import topk_merge
from models.evaluation.exact_scores import exact_scores
from models.evaluation.topk_merge import Top, best, block_top, merge, nothing
from tests.growth import peak_bytes


def plain(query_QD: np.ndarray, photo_PD: np.ndarray, place_P: np.ndarray, k: int) -> Top:
    """All scores in double precision, sorted as a whole."""
    score_QP = (query_QD.astype(np.float64)[:, None] * photo_PD).sum(axis=2).astype(np.float32)
    place_QK, score_QK = nothing(len(query_QD), k)
    for row, score_P in enumerate(score_QP):
        order = np.lexsort((place_P, -score_P))[:k]
        place_QK[row, : len(order)], score_QK[row, : len(order)] = place_P[order], score_P[order]
    return place_QK, score_QK


def world(rng: np.random.Generator, count: int, kinds: int, dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Queries and photos of which many are the same or differ by the last bits alone."""
    photo_PD = rng.normal(size=(kinds, dim))[rng.integers(0, kinds, count)]
    photo_PD = photo_PD + rng.integers(0, 2, (count, dim)) * 1e-7
    query_QD = rng.normal(size=(4, dim))
    return tuple((m / np.linalg.norm(m, axis=1, keepdims=True)).astype(np.float32) for m in (query_QD, photo_PD))


def equal(one: Top, other: Top) -> bool:
    return all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 60), st.integers(1, 12), st.integers(1, 5))
def test_the_best_are_those_of_one_sort_however_photos_are_cut(
    seed: int, count: int, kinds: int, k: int, blocks: int
) -> None:
    rng = np.random.default_rng(seed)
    query_QD, photo_PD = world(rng, count, kinds)
    place_P = rng.permutation(count) + 7
    expected = plain(query_QD, photo_PD, place_P, k)
    with pytest.MonkeyPatch.context() as patched:
        for name, number in (("_QUERIES", 3), ("_PHOTOS", 8), ("_FIRST", 4), ("_MOST_OPEN", 6)):
            patched.setattr(topk_merge, name, number)
        assert equal(block_top(query_QD, photo_PD, place_P, k), expected)
        parts = np.array_split(rng.permutation(count), blocks)
        tops = [block_top(query_QD, photo_PD[part], place_P[part], k) for part in parts]
    assert equal(reduce(lambda one, other: merge(one, other, k), tops), expected)


def test_products_that_rounding_puts_in_a_wrong_order_are_put_right() -> None:
    rng = np.random.default_rng(4)
    query_QD = rng.normal(size=(20, 512)).astype(np.float32)
    query_QD /= np.linalg.norm(query_QD, axis=1, keepdims=True)
    photo_PD = np.repeat(query_QD[:1], 3000, axis=0) + rng.normal(size=(3000, 512)).astype(np.float32) * np.float32(
        1e-6
    )
    expected = plain(query_QD, photo_PD, np.arange(3000), 10)
    by_product = np.argsort(-(query_QD @ photo_PD.T), axis=1, kind="stable")[:, :10]
    assert not np.array_equal(by_product, expected[0])
    assert equal(block_top(query_QD, photo_PD, np.arange(3000), 10), expected)


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 25))
def test_a_place_counts_once_with_its_best_score(seed: int, width: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    place_QW, score_QW = rng.integers(0, 8, (3, width)), rng.choice([-np.inf, 0, 1, 2], (3, width)).astype(np.float32)
    place_QK, score_QK = best(place_QW, score_QW, k)
    for places, scores, found, values in zip(place_QW, score_QW, place_QK, score_QK, strict=True):
        once: dict[int, float] = {}
        for place, score in zip(places.tolist(), scores.tolist(), strict=True):
            once[place] = max(score, once.get(place, -np.inf))
        rows = sorted(((-score, place) for place, score in once.items() if score > -np.inf))[:k]
        missing = k - len(rows)
        assert found.tolist() == [place for _, place in rows] + [-1] * missing
        assert values.tolist() == [-score for score, _ in rows] + [-np.inf] * missing


def test_a_score_does_not_depend_on_what_is_scored_beside_it() -> None:
    query_QD, photo_PD = world(np.random.default_rng(2), 50, 50, 300)
    together = exact_scores(query_QD[0], photo_PD)
    alone = [exact_scores(query_QD[0], photo_PD[[place]])[0] for place in range(50)]
    assert together.tolist() == alone


def test_memory_does_not_grow_with_equal_photos() -> None:
    query_QD = np.ones((100, 1), np.float32)

    def peak(count: int) -> int:
        photo_PD, place_P = np.ones((count, 1), np.float32), np.arange(count)
        return peak_bytes(lambda: block_top(query_QD, photo_PD, place_P, 10))

    assert peak(40_000) < 1.5 * peak(20_000)
