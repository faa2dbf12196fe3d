"""The final order against a plain loop: candidates by the new scores, filters last, then the base arm's order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.ranking import ranks_in
from models.rerank import ordering as o
from models.rerank.candidates import top_candidates


def plain_ranks(score_BP, new_BP, k, hidden_BP, picture, target_B):  # type: ignore[no-untyped-def]
    ranks = []
    for score_P, new_P, hidden, target in zip(score_BP, new_BP, hidden_BP, target_B, strict=True):
        there = [p for p in range(len(score_P)) if not np.isnan(score_P[p])]
        by_base = sorted(there, key=lambda p: (-score_P[p], p))
        scored = [p for p in by_base if np.isfinite(score_P[p])]
        head = sorted(scored[:k], key=lambda p: (-new_P[p], p))
        shown: list[int] = []
        for p in head:
            twin = picture[p] >= 0 and any(picture[q] == picture[p] for q in shown)
            if not hidden[p] and not twin:
                shown.append(p)
        final = shown + [p for p in by_base if p not in head]
        ranks.append(final.index(target) + 1 if target in final else len(there))
    return ranks


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_ranks_equal_a_plain_loop(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    searches, photos = random.integers(1, 8, 2)
    score_BP = random.integers(0, 4, (searches, photos)).astype(np.float32)
    new_BP = random.integers(0, 3, (searches, photos)).astype(np.float64)
    target_B = random.integers(0, photos, searches)
    missing = random.random(score_BP.shape)
    score_BP[missing < 0.1] = -np.inf
    score_BP[missing > 0.8] = np.nan
    score_BP[np.arange(searches), target_B] = 2.0
    is_hidden_GP, picture = random.random((3, photos)) < 0.2, random.integers(-1, 3, photos)
    group_B = random.integers(0, 3, searches)
    found = top_candidates(score_BP, k)
    filters = o.Filters(is_hidden_GP, picture)
    shown = o.reorder(found, new_BP[found.row, found.place], filters, group_B)
    available = (~np.isnan(score_BP)).sum(axis=1)
    base_rank = ranks_in(score_BP, target_B).astype(np.int64)
    ranks = o.final_ranks(found, shown, target_B, base_rank, available)
    assert ranks.tolist() == plain_ranks(score_BP, new_BP, k, is_hidden_GP[group_B], picture, target_B)


def test_equal_scores_stand_in_the_order_of_places() -> None:
    found = top_candidates(np.array([[0.1, 0.2, 0.3]]), 3)
    nothing = o.Filters(np.zeros((1, 3), dtype=bool), np.full(3, -1))
    assert o.reorder(found, np.zeros(3), nothing, np.zeros(1, dtype=int)).place.tolist() == [0, 1, 2]


def test_of_equal_pictures_the_better_is_shown_and_the_other_is_not_found() -> None:
    found = top_candidates(np.array([[0.1, 0.2, 0.3, 0.0]]), 3)
    filters = o.Filters(np.zeros((1, 4), dtype=bool), np.array([5, 5, -1, -1]))
    shown = o.reorder(found, np.array([1.0, 2.0, 3.0]), filters, np.zeros(1, dtype=int))  # scores of the places 2, 1, 0
    assert shown.place.tolist() == [0, 2]
    rank = [
        int(o.final_ranks(found, shown, np.array([t]), np.array([b]), np.array([4]))[0])
        for t, b in ((0, 3), (1, 2), (2, 1), (3, 4))
    ]
    assert rank == [1, 4, 2, 3]
