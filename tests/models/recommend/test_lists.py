"""Lists with equal pictures once: those of the whole order gone through by hand, however deep that goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recommend.interactions import NONE
from models.recommend.lists import best_lists
from tests.models.recommend.tastes import histories
from tests.models.recommend.test_topk import Table


@given(st.integers(0, 10_000), st.integers(1, 9), st.booleans(), st.integers(1, 30))
def test_of_equal_pictures_the_first_is_listed_and_none_that_is_had(
    seed: int, k: int, excludes_seen: bool, pictures: int
) -> None:
    random = np.random.default_rng(seed)
    visitors, items = 3, 30
    score_VI = random.choice([-1.0, 0.5, 2.0, -np.inf], (visitors, items)).astype(np.float32)
    rows = [(int(random.integers(0, visitors)), int(random.integers(0, items)), 1.0) for _ in range(6)]
    log = histories(rows, visitors, items)
    candidates = np.sort(random.permutation(items)[:25])
    picture_I = random.integers(0, pictures, items)
    item_VK, score_VK = best_lists(
        Table(score_VI),
        log,
        k,
        diversity=0.0,
        pool_count=0,
        vectors=lambda: pytest.fail("no vectors are needed"),
        candidates=candidates,
        excludes_seen=excludes_seen,
        picture_I=picture_I,
    )
    for visitor in range(visitors):
        had = set(picture_I[log.item_N[log.history(visitor)]].tolist()) if excludes_seen else set()
        listed = []
        for item in sorted(candidates.tolist(), key=lambda i: (-score_VI[visitor, i], i)):
            if score_VI[visitor, item] > -np.inf and picture_I[item] not in had:
                had.add(int(picture_I[item]))
                listed.append(item)
        listed = listed[:k] + [NONE] * (k - len(listed))
        assert item_VK[visitor].tolist() == listed
        expected = [-np.inf if item == NONE else score_VI[visitor, item] for item in listed]
        assert score_VK[visitor].tolist() == expected


def test_lists_less_alike_are_chosen_from_pictures_that_differ() -> None:
    score_VI = np.array([[9.0, 8.0, 7.0, 6.0]])
    vector_ID = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]
    found, scores = best_lists(
        Table(score_VI),
        histories([], 1, 4),
        2,
        diversity=0.5,
        pool_count=3,
        vectors=lambda: vector_ID,
        picture_I=np.array([5, 5, 6, 7]),
    )
    assert found.tolist() == [[0, 3]]  # 1 is the picture of 0, and 2 is all too like it
    assert scores.tolist() == [[9.0, 6.0]]
