"""Hard negatives: against brute force, never a known positive, and nothing too near the positive."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from models.search.negatives import NONE, HardNegatives, mine


def unit(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 60), st.integers(1, 12), st.integers(0, 99))
def test_the_nearest_photos_nobody_took(texts: int, photos: int, pairs: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    text_P, photo_P = rng.integers(0, texts, pairs), rng.integers(0, photos, pairs)
    text_TD, photo_ND = unit(texts, seed), unit(photos, seed + 1)
    found = mine(text_TD, photo_ND, text_P, photo_P, k=k, max_share=0.9, block=7)
    score_TN = (text_TD @ photo_ND.T).numpy()
    for text in range(texts):
        free = [n for n in range(photos) if n not in set(photo_P[text_P == text])]
        best = sorted(free, key=lambda n: -score_TN[text, n])[:k]
        row = found.photos[text]
        assert row[row != NONE].tolist() == best
        assert np.allclose(found.scores[text][row != NONE], score_TN[text, best], atol=1e-6)


def test_photos_without_a_vector_are_no_candidates() -> None:
    photo_ND = unit(4, 1)
    photo_ND[2] = float("nan")
    found = mine(unit(2, 0), photo_ND, np.array([0]), np.array([1]), k=4, max_share=1.0)
    assert sorted(found.photos[0].tolist()) == [NONE, NONE, 0, 3]
    assert sorted(found.photos[1].tolist()) == [NONE, 0, 1, 3]


def test_what_scores_nearly_as_high_as_the_positive_is_left_alone() -> None:
    mined = HardNegatives(np.array([[5, 6, 7, NONE]]), np.array([[0.9, 0.6, 0.1, -np.inf]], np.float32), 0.8)
    rng = np.random.default_rng(0)
    assert mined.draw(np.array([0]), np.array([0.8], np.float32), 10, rng).tolist() == [6, 7]
    assert mined.draw(np.array([0]), np.array([-0.1], np.float32), 10, rng).tolist() == []
    assert mined.draw(np.array([0, 0]), np.array([0.8, 1.2], np.float32), 10, rng).tolist() == [5, 6, 7]
    assert len(mined.draw(np.array([0]), np.array([2.0], np.float32), 2, rng)) == 2


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_share"):
        mine(unit(1, 0), unit(1, 1), np.array([], np.int64), np.array([], np.int64), k=1, max_share=1.5)
