"""Lists with equal pictures once, as gone through by hand however deep that goes; what fills them up, and for whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recommend.interactions import NONE, ItemFeatures
from models.recommend.lists import best_lists, filled_lists
from models.recommend.methods import METHODS
from models.recommend.popularity import Popularity
from tests.models.recommend.tastes import histories, world
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


@given(st.integers(0, 10_000), st.integers(1, 12), st.booleans(), st.integers(3, 30))
def test_own_places_stay_as_they_are_and_popularity_goes_on_without_what_is_listed_or_had(
    seed: int, k: int, excludes_seen: bool, pictures: int
) -> None:
    random = np.random.default_rng(seed)
    visitors, items = 4, 14
    score_VI = random.choice([0.5, 2.0, -np.inf, -np.inf], (visitors, items)).astype(np.float32)
    rows = [(int(random.integers(1, visitors)), int(random.integers(0, items)), 1.0) for _ in range(6)]
    log = histories(rows, visitors, items)  # the first has no past
    popularity = Popularity().fit(log, ItemFeatures(np.eye(items, dtype=np.float32)), seed=0)
    picture_I = random.integers(0, pictures, items)
    how = {"diversity": 0.0, "pool_count": 0, "vectors": None, "excludes_seen": excludes_seen, "picture_I": picture_I}
    own_VK, own_score_VK = best_lists(Table(score_VI), log, k, **how)
    popular_VI, _ = best_lists(popularity, log, items, **how | {"excludes_seen": False, "picture_I": None})
    item_VK, score_VK, own_V = filled_lists(Table(score_VI), popularity, log, k, **how)
    for visitor in range(visitors):
        past = log.item_N[log.history(visitor)]
        own = own_VK[visitor][own_VK[visitor] != NONE].tolist() if len(past) else []
        assert own_V[visitor] == len(own)
        assert score_VK[visitor, : len(own)].tolist() == own_score_VK[visitor, : len(own)].tolist()
        shown = {int(picture) for picture in picture_I[own]} | set(picture_I[past].tolist() if excludes_seen else [])
        more = []
        for item in popular_VI[visitor].tolist():
            if picture_I[item] not in shown:
                shown.add(int(picture_I[item]))
                more.append(item)
        expected = [*own, *more][:k]
        assert item_VK[visitor].tolist() == expected + [NONE] * (k - len(expected))
        scores = score_VK[visitor, : len(expected)]
        assert np.isfinite(scores).all()
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_who_has_no_past_gets_the_popular_list_of_the_country_from_every_method(name: str) -> None:
    tastes = world()
    popularity = Popularity(prior_count=1.0).fit(tastes.log, tastes.items, seed=0)
    nobody = replace(histories([], 3), country_V=np.arange(3, dtype=np.int32))
    how = {"diversity": 0.0, "pool_count": 0, "vectors": None}
    popular, _ = best_lists(popularity, nobody, 5, **how)
    assert len({tuple(row) for row in popular.tolist()}) > 1  # by country
    fitted = METHODS[name]().fit(tastes.log, tastes.items, seed=0)
    item_VK, _, own_V = filled_lists(fitted, popularity, nobody, 5, **how)
    if name in ("random", "popularity"):  # which read no histories
        assert own_V.tolist() == [5, 5, 5]
    else:
        np.testing.assert_array_equal(item_VK, popular)
        assert own_V.tolist() == [0, 0, 0]
