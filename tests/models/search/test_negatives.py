"""Hard negatives: against brute force, never a known positive, and nothing too near the positive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from models.search.negatives import NONE, Candidates, HardNegatives, Shown, draw, mine, passed_over
from models.search.sampling import KnownPositives


def unit(count: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def candidates(photo_ND: torch.Tensor, ids: Any = None) -> Candidates:
    positions = np.arange(len(photo_ND))
    return Candidates(positions, positions if ids is None else ids, lambda some: photo_ND[some])


def mined(texts: torch.Tensor, photos: torch.Tensor, text_P: Any, photo_P: Any, **options: Any) -> HardNegatives:
    known = KnownPositives.of(np.array(photo_P, np.int64), np.array(text_P, np.int64), len(photos))
    pairs = np.array(text_P, np.int64), np.array(photo_P, np.int64)
    return mine(texts, candidates(photos), *pairs, known, np.arange(len(texts)), **options)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 60), st.integers(1, 12), st.integers(0, 99))
def test_the_nearest_photos_nobody_took(texts: int, photos: int, pairs: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    text_P, photo_P = rng.integers(0, texts, pairs), rng.integers(0, photos, pairs)
    text_TD, photo_ND = unit(texts, seed), unit(photos, seed + 1)
    found = mined(text_TD, photo_ND, text_P, photo_P, k=k, max_share=0.9, photo_block=5, text_block=7)
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
    found = mine(unit(3, 0), candidates(unit(3, 1)), nothing, nothing, known, np.array([0, 1, 0]), k=3, max_share=1.0)
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

    def allowed(rows: list[int]) -> list[int]:
        return found.allowed(np.zeros(len(rows), np.int64), np.array(rows)).tolist()

    assert allowed([0]) == [6, 7]
    assert allowed([1]) == []
    assert allowed([0, 2]) == [5, 6, 7]


def test_what_is_drawn_from_parts_is_drawn_from_the_whole() -> None:
    ids = np.arange(0, 5000, 5)
    whole = draw(ids, 40, seed=3, step=7)
    parts = [draw(part, 40, seed=3, step=7) for part in (ids[:100], ids[100:])]
    assert draw(np.unique(np.concatenate(parts)), 40, seed=3, step=7).tolist() == whole.tolist()
    assert (np.diff(whole) > 0).all()
    assert draw(ids, 40, seed=3, step=8).tolist() != whole.tolist()
    assert draw(ids[:5], 40, seed=3, step=7).tolist() == ids[:5].tolist()
    drawn = np.bincount(np.concatenate([draw(ids, 100, seed=3, step=step) // 5 for step in range(200)]))
    assert drawn.mean() == 20
    assert drawn.std() == pytest.approx((200 * 0.1 * 0.9) ** 0.5, rel=0.1)  # as often as chance has it


def test_of_equally_near_photos_those_of_lower_ids_are_taken() -> None:
    photo_ND = torch.eye(4)[[0, 1, 0, 0, 2, 0, 0]]
    ids = np.array([70, 10, 30, 60, 20, 50, 40])
    nothing = np.array([], np.int64)
    known = KnownPositives.of(np.array([2]), np.array([0]), len(ids))  # the photo of id 30
    for photo_block in (2, 3, 100):
        found = mine(
            torch.eye(4)[:1],
            candidates(photo_ND, ids),
            nothing,
            nothing,
            known,
            np.array([0]),
            k=3,
            max_share=1.0,
            photo_block=photo_block,
        )
        assert found.photos.tolist() == [[40, 50, 60]]


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_share"):
        mined(unit(1, 0), unit(1, 1), [], [], k=1, max_share=1.5)


TEXT_IDS = np.array([700, 300, 500])
PHOTO_IDS = np.array([15, 11, 12, 13, 14])


def shown(rows: list[tuple[int, int, float]], groups: dict[int, int]) -> Shown:
    """Return rows of a text's id, a photo's position and looks."""
    texts, photos = (np.array([row[column] for row in rows], np.int64) for column in (0, 1))
    of_texts = np.array([groups[text] for text in texts.tolist()], np.int64)
    return Shown(texts, of_texts, photos, PHOTO_IDS[photos], np.array([row[2] for row in rows], np.float64))


def test_what_was_passed_over_is_a_negative_of_its_text_the_most_looked_at_first() -> None:
    # photo 1 of text 700 twice, photo 4 is a known positive of the group of texts 700 and 500, 900 is no text here
    rows = [(700, 1, 1.0), (700, 2, 1.5), (700, 1, 1.0), (700, 4, 9.0), (500, 4, 9.0), (500, 3, 0.5), (900, 3, 5.0)]
    seen = shown(rows, {700: 70, 300: 80, 500: 70, 900: 90})
    known = KnownPositives.of(np.array([4, 0]), np.array([70, 80]), 5)
    found = passed_over(seen, known, TEXT_IDS, pair_count=2, k=10)
    assert found.photos.tolist() == [[11, 12], [NONE, NONE], [13, NONE]]
    assert found.allowed(np.array([0, 1]), np.array([0, 1])).tolist() == [11, 12]
    best = passed_over(seen, known, TEXT_IDS, pair_count=2, k=1)
    assert best.photos.tolist() == [[11], [NONE], [13]]


def test_nothing_passed_over_gives_no_negative() -> None:
    known = KnownPositives.of(np.array([0]), np.array([5]), 1)
    found = passed_over(shown([], {}), known, TEXT_IDS[:2], pair_count=1, k=3)
    assert found.photos.tolist() == [[NONE], [NONE]]
    assert len(found.allowed(np.array([0]), np.array([0]))) == 0
