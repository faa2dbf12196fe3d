"""Sampling: nothing lost, rare photos more often, and known positives as a plain loop finds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.search.sampling import KnownPositives, draw_pairs, merge_pairs

PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=40)


@given(PAIRS, st.sets(st.integers(0, 8)), st.sets(st.integers(0, 8)))
def test_known_combinations_of_a_batch(pairs: list[tuple[int, int]], photos: set[int], texts: set[int]) -> None:
    photo_P, text_P = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    known = KnownPositives.of(photo_P, text_P, photo_count=9)
    photo_U, text_V = np.array(sorted(photos), np.int64), np.array(sorted(texts), np.int64)
    found = known.among(photo_U, text_V)
    expected = {(photo, text) for photo, text in pairs if photo in photos and text in texts}
    assert found.shape == (2, len(expected))
    assert {(int(photo_U[u]), int(text_V[v])) for u, v in found.T} == expected


@given(PAIRS)
def test_merged_pairs_are_each_there_once(pairs: list[tuple[int, int]]) -> None:
    photo_P, text_P = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    photos, texts, weights = merge_pairs(photo_P, text_P)
    merged = list(zip(photos.tolist(), texts.tolist(), strict=True))
    assert merged == sorted(set(pairs))
    counts = np.exp(weights - 1)
    assert np.allclose(counts, [pairs.count(pair) for pair in merged], rtol=1e-5)


def test_without_an_exponent_a_pass_sees_every_pair_once() -> None:
    order = draw_pairs(np.array([0, 0, 0, 1]), 0.0, np.random.default_rng(1))
    assert sorted(order.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(("exponent", "share"), [(1.0, 1 / 2), (0.5, 10 / (10 + 1900**0.5))])
def test_an_exponent_evens_out_how_often_photos_come(exponent: float, share: float) -> None:
    photo_P = np.array([0] * 1900 + [1] * 100)
    order = draw_pairs(photo_P, exponent, np.random.default_rng(2))
    assert len(order) == len(photo_P)
    assert (photo_P[order] == 1).mean() == pytest.approx(share, abs=0.05)
