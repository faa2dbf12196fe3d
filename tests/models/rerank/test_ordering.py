"""The final order against a plain loop: candidates by the new scores, then the base arm's order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.ranking import NOT_FOUND, Availability
from models.rerank.candidates import top_candidates
from models.rerank.ordering import final_scores


def plain_ranks(score_BP, new_BP, k, picture, target_B):  # type: ignore[no-untyped-def]
    ranks = []
    for score_P, new_P, target in zip(score_BP, new_BP, target_B, strict=True):
        there = [p for p in range(len(score_P)) if not np.isnan(score_P[p])]
        by_base = sorted(there, key=lambda p: (-score_P[p], p))
        scored = [p for p in by_base if np.isfinite(score_P[p])]
        head = sorted(scored[:k], key=lambda p: (-new_P[p], p))
        pictures = [picture[p] if picture[p] >= 0 else -1 - p for p in head + [p for p in by_base if p not in head]]
        own = picture[target] if picture[target] >= 0 else -1 - target
        ranks.append(list(dict.fromkeys(pictures)).index(own) + 1 if target in there else NOT_FOUND)
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
    picture = random.integers(-1, 3, photos)
    found = top_candidates(score_BP, k)
    final_BP = final_scores(score_BP, found, new_BP[found.row, found.place])
    ranks = Availability(np.zeros(photos, dtype=np.int64), picture=picture).ranks(final_BP, target_B)
    assert ranks.tolist() == plain_ranks(score_BP, new_BP, k, picture, target_B)


def test_equal_scores_stand_in_the_order_of_places() -> None:
    score_BP = np.array([[0.1, 0.2, 0.3]])
    final_BP = final_scores(score_BP, top_candidates(score_BP, 3), np.zeros(3))
    assert np.argsort(-final_BP[0]).tolist() == [0, 1, 2]


def test_of_equal_pictures_the_better_is_shown_and_each_is_found_there() -> None:
    score_BP = np.array([[0.1, 0.2, 0.3, 0.0]])
    final_BP = final_scores(score_BP, top_candidates(score_BP, 3), np.array([1.0, 2.0, 3.0]))  # of the places 2, 1, 0
    availability = Availability(np.zeros(4, dtype=np.int64), picture=np.array([5, 5, -1, -1]))
    assert [int(availability.ranks(final_BP, np.array([t]))[0]) for t in range(4)] == [1, 1, 2, 3]
