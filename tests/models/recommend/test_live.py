"""A released recommender: what it leaves out, whom popularity serves, and what it does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.ann import Visibility
from models.evaluation.ranking import tie_order
from models.indexing.ids import hashed_ids
from models.recommend.interactions import Ints
from models.recommend.item_knn import ItemKnn
from models.recommend.live import LiveRecommender, NumberedPhotos, ShownPhotos
from models.recommend.mean_embedding import MeanEmbedding
from models.recommend.popularity import Popularity
from tests.models.recommend.tastes import ITEMS, Tastes

NAMES = [f"photo-{number}" for number in range(ITEMS)]
ORDERED = [NAMES[place] for place in tie_order(NAMES)]
"""The photo that the method knows by each number; even numbers are of one taste."""


def live(tastes: Tastes, method: Any = None, **changes: Any) -> LiveRecommender:
    popularity = Popularity().fit(tastes.log, tastes.items, seed=0)
    made = LiveRecommender(
        method=popularity if method is None else method.fit(tastes.log, tastes.items, seed=0),
        popularity=popularity,
        numbered=NumberedPhotos.of(ORDERED, np.zeros((0, 0), np.float32)),
        shown=shown(ORDERED, np.arange(ITEMS)),
        visibility=Visibility(),
        codes={"GB": 0, "DE": 1, "JP": 2},
        diversity=0.0,
        pool_count=0,
    )
    return replace(made, **changes)


def shown(names: list[str], pictures: Ints) -> ShownPhotos:
    return ShownPhotos(np.array([name.encode() for name in names]), hashed_ids(names), pictures)


def photos(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[photo_id for photo_id, _ in one] for one in found]


def test_each_history_gets_its_taste_without_what_was_taken_best_first(tastes: Tastes) -> None:
    found = live(tastes, MeanEmbedding()).recommend([[ORDERED[0], ORDERED[2]], [ORDERED[1]]], 4)
    assert {ORDERED.index(name) for name in photos(found)[0]} == {4, 6, 8, 10}
    assert {ORDERED.index(name) % 2 for name in photos(found)[1]} == {1}
    assert ORDERED[1] not in photos(found)[1]
    for one in found:
        assert [score for _, score in one] == sorted((score for _, score in one), reverse=True)


def test_hidden_photos_are_left_out_everywhere_or_where_they_are_hidden(tastes: Tastes) -> None:
    visibility = Visibility.of([ORDERED[4]], {"JP": [ORDERED[6]]})
    made = live(tastes, MeanEmbedding(), visibility=visibility)
    past = [[ORDERED[0]]] * 3
    found = photos(made.recommend(past, ITEMS, ["jp", "GB", ""]))
    everywhere = set(ORDERED) - {ORDERED[0], ORDERED[4]}
    assert [set(one) for one in found] == [everywhere - {ORDERED[6]}, everywhere, everywhere]
    hidden = live(tastes, visibility=Visibility.of(ORDERED))
    assert hidden.recommend([[], [ORDERED[0]]], 3) == [[], []]


def test_a_picture_is_shown_once_and_not_to_who_has_it(tastes: Tastes) -> None:
    pictures = np.arange(ITEMS)
    pictures[[2, 4, 6]] = 2
    made = live(tastes, MeanEmbedding(), shown=shown(ORDERED, pictures))
    one, other = photos(made.recommend([[ORDERED[0]], [ORDERED[2]]], ITEMS))
    assert len({ORDERED[2], ORDERED[4], ORDERED[6]} & set(one)) == 1
    assert len(one) == ITEMS - 3
    assert not {ORDERED[2], ORDERED[4], ORDERED[6]} & set(other)


def test_popularity_serves_who_has_no_past_and_whom_the_method_finds_nothing_for(tastes: Tastes) -> None:
    by_method, by_popularity = live(tastes, ItemKnn()), live(tastes)
    histories = [[], ["a photo of another site"], [ORDERED[0]]]
    found = by_method.recommend(histories, 5, ["GB", "DE", ""])
    popular = by_popularity.recommend(histories, 5, ["GB", "DE", ""])
    assert found[:2] == popular[:2]
    assert len(found[0]) == 5
    assert found[2] != popular[2]
    nobody = tastes.log.where(np.zeros(len(tastes.log.item_N), np.bool_))  # nothing goes with anything
    silent = replace(by_popularity, method=ItemKnn().fit(nobody, tastes.items, seed=0))
    assert silent.recommend(histories, 5, ["GB", "DE", ""]) == popular


def test_what_was_taken_and_is_not_in_the_release_counts_and_is_not_shown(tastes: Tastes) -> None:
    kept = ORDERED[:4] + ORDERED[5:]
    made = live(tastes, MeanEmbedding(), shown=shown(kept, np.arange(ITEMS - 1)))
    (found,) = photos(made.recommend([[ORDERED[4]]], ITEMS))
    assert set(found) == set(kept)
    assert {ORDERED.index(name) % 2 for name in found[:5]} == {0}


def test_times_count_where_the_method_reads_them(tastes: Tastes) -> None:
    made = live(tastes, MeanEmbedding(half_life_days=1.0))
    history = [ORDERED[0], ORDERED[1]]
    at_once, long_ago = (
        made.recommend([history], 1, taken_at=[times])[0][0] for times in ([0.0, 1.0], [0.0, 86_400 * 30.0])
    )
    assert made.recommend([history], 1)[0][0] == at_once
    assert ORDERED.index(long_ago[0]) % 2 == 1  # the first is forgotten
    assert made.recommend([history[::-1]], 1, taken_at=[[86_400 * 30.0, 0.0]])[0][0] == long_ago


def test_what_makes_no_sense_is_refused(tastes: Tastes) -> None:
    made = live(tastes)
    assert made.recommend([], 3) == []
    with pytest.raises(ValueError, match="0 photos"):
        made.recommend([[]], 0)
    with pytest.raises(ValueError, match="2 countries"):
        made.recommend([[]], 1, ["GB", "DE"])
    with pytest.raises(ValueError, match="times"):
        made.recommend([[ORDERED[0]]], 1, taken_at=[[]])
