"""Hard negatives: against brute force, never a known positive, and nothing too near the positive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from models.search.negatives import NONE, HardNegatives, mine, passed_over
from models.search.sampling import KnownPositives


def unit(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def mined(texts: torch.Tensor, photos: torch.Tensor, text_P: Any, photo_P: Any, **options: Any) -> HardNegatives:
    known = KnownPositives.of(np.array(photo_P, np.int64), np.array(text_P, np.int64), len(photos))
    pairs = np.array(text_P, np.int64), np.array(photo_P, np.int64)
    return mine(texts, photos, *pairs, known, np.arange(len(texts)), **options)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 60), st.integers(1, 12), st.integers(0, 99))
def test_the_nearest_photos_nobody_took(texts: int, photos: int, pairs: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    text_P, photo_P = rng.integers(0, texts, pairs), rng.integers(0, photos, pairs)
    text_TD, photo_ND = unit(texts, seed), unit(photos, seed + 1)
    found = mined(text_TD, photo_ND, text_P, photo_P, k=k, max_share=0.9, block=7)
    score_TN = (text_TD @ photo_ND.T).numpy()
    for text in range(texts):
        free = [n for n in range(photos) if n not in set(photo_P[text_P == text])]
        best = sorted(free, key=lambda n: -score_TN[text, n])[:k]
        row = found.photos[text]
        assert row[row != NONE].tolist() == best
        assert np.allclose(found.scores[text][row != NONE], score_TN[text, best], atol=1e-6)
    positive_P = score_TN[text_P, photo_P]
    assert np.allclose(found.limits, np.where(positive_P > 0, 0.9, 1.1) * positive_P, atol=1e-6)


def test_a_positive_of_one_text_is_no_negative_of_another_of_its_group() -> None:
    known = KnownPositives.of(np.array([2]), np.array([0]), photo_count=3)  # photo 2, group 0
    nothing = np.array([], np.int64)
    found = mine(unit(3, 0), unit(3, 1), nothing, nothing, known, np.array([0, 1, 0]), k=3, max_share=1.0)
    assert [2 in row for row in found.photos] == [False, True, False]


def test_photos_without_a_vector_are_no_candidates() -> None:
    photo_ND = unit(4, 1)
    photo_ND[2] = float("nan")
    found = mined(unit(2, 0), photo_ND, [0], [1], k=4, max_share=1.0)
    assert sorted(found.photos[0].tolist()) == [NONE, NONE, 0, 3]
    assert sorted(found.photos[1].tolist()) == [NONE, 0, 1, 3]


def test_what_scores_nearly_as_high_as_the_positive_is_left_alone() -> None:
    limits = np.array([0.64, -0.12, 0.96, 2.0], np.float32)
    found = HardNegatives(np.array([[5, 6, 7, NONE]]), np.array([[0.9, 0.6, 0.1, -np.inf]], np.float32), limits)
    rng = np.random.default_rng(0)

    def draw(rows: list[int], count: int = 10) -> list[int]:
        return found.draw(np.zeros(len(rows), np.int64), np.array(rows), count, rng).tolist()

    assert draw([0]) == [6, 7]
    assert draw([1]) == []
    assert draw([0, 2]) == [5, 6, 7]
    assert len(draw([3], count=2)) == 2


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_share"):
        mined(unit(1, 0), unit(1, 1), [], [], k=1, max_share=1.5)


def test_what_was_passed_over_is_a_negative_of_its_text_the_most_looked_at_first() -> None:
    #      text photo looks: photo 1 of text 0 twice, photo 4 is a known positive of the group of texts 0 and 2
    rows = [(0, 1, 1.0), (0, 2, 1.5), (0, 1, 1.0), (0, 4, 9.0), (2, 4, 9.0), (2, 3, 0.5)]
    text_R, photo_R = (np.array([row[column] for row in rows]) for column in (0, 1))
    looks_R = np.array([row[2] for row in rows])
    groups = np.array([70, 80, 70])
    known = KnownPositives.of(np.array([4, 0]), np.array([70, 80]), 5)
    found = passed_over(text_R, photo_R, looks_R, known, groups, pair_count=2, k=10)
    assert found.photos.tolist() == [[1, 2], [NONE, NONE], [3, NONE]]
    drawn = found.draw(np.array([0, 1]), np.array([0, 1]), 5, np.random.default_rng(0))
    assert drawn.tolist() == [1, 2]
    best = passed_over(text_R, photo_R, looks_R, known, groups, pair_count=2, k=1)
    assert best.photos.tolist() == [[1], [NONE], [3]]


def test_nothing_passed_over_gives_no_negative() -> None:
    nothing = np.zeros(0, np.int64)
    known = KnownPositives.of(np.array([0]), np.array([5]), 1)
    found = passed_over(nothing, nothing, np.zeros(0), known, np.array([5, 6]), pair_count=1, k=3)
    assert found.photos.tolist() == [[NONE], [NONE]]
    assert len(found.draw(np.array([0]), np.array([0]), 4, np.random.default_rng(0))) == 0
