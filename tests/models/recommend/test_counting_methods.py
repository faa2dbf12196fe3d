"""Popularity counts what it says, and the random order is one for each visitor and fair."""

from __future__ import annotations

import numpy as np
import pytest

from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.item_knn import ItemKnn
from models.recommend.popularity import Popularity
from models.recommend.random_order import RandomOrder
from tests.models.recommend.tastes import AS_OF, DAY, histories, log_of

ITEMS = ItemFeatures(np.zeros((3, 1), np.float32))


def at_days(rows: list[tuple[int, int, float, float]], country_V: list[int]) -> Interactions:
    """A log of (visitor, item, days before the end, weight)."""
    visitor, item, days, weight = (np.array(column) for column in zip(*rows, strict=True))
    return log_of(visitor, item, AS_OF - days * DAY, weight, country_V, 3)


def scores(log: Interactions, country: int, prior_count: float) -> list[float]:
    model = Popularity(half_life_days=7.0, prior_count=prior_count).fit(log, ITEMS, seed=0)
    probe = log_of([], [], [], [], [country], 3)
    return model.scores(probe, np.arange(3))[0].round(4).tolist()


def test_likes_are_counted_by_age_and_country() -> None:
    log = at_days(
        [
            (0, 0, 0.001, 1.0),
            (0, 1, 7.0, 5.0),  # half, and one like whatever its weight
            (1, 0, 0.001, 1.0),
            (2, 0, 7.0, 1.0),
            (0, 2, 700.0, 1.0),  # as good as never
            (1, 2, 1.0, -1.0),  # disliked
        ],
        country_V=[1, 0, -1],
    )
    world = [2.5 / 3, 0.5 / 3, 0.0]
    assert scores(log, country=-1, prior_count=2.0) == pytest.approx(world, abs=2e-4)
    assert scores(log, country=1, prior_count=2.0) == pytest.approx(
        [(1 + 2 * world[0]) / 3.5, (0.5 + 2 * world[1]) / 3.5, 0.0], abs=2e-4
    )
    assert scores(log, country=0, prior_count=0.5) == pytest.approx(
        [(1 + 0.5 * world[0]) / 1.5, 0.5 * world[1] / 1.5, 0.0], abs=2e-4
    )
    assert scores(log, country=2, prior_count=2.0) == pytest.approx(world, abs=2e-4)


def test_a_random_order_is_fair_and_each_visitors_own() -> None:
    items = ItemFeatures(np.zeros((50, 1), np.float32))
    log = histories([], 400, 50)
    score_VC = RandomOrder().fit(log, items, seed=1).scores(log, np.arange(50))
    best = np.bincount(score_VC.argmax(axis=1), minlength=50)
    assert best.max() < 25  # 8 expected, standard deviation 2.8
    assert len(np.unique(score_VC[:, 0])) > 390
    assert abs(np.corrcoef(score_VC[0], score_VC[1])[0, 1]) < 0.5


def test_neighbours_of_what_is_disliked_are_taken_off_only_where_that_is_weighed() -> None:
    log = histories([(0, 0, 1.0), (0, 1, 1.0), (1, 1, 1.0), (1, 2, 1.0)], 2, 3)
    probe, like = histories([(0, 0, 1.0), (0, 2, -1.0)], 1, 3), histories([(0, 0, 1.0)], 1, 3)
    for dislike_weight, is_same in ((0.0, True), (1.0, False)):
        model = ItemKnn(dislike_weight=dislike_weight).fit(log, ITEMS, seed=0)
        assert (model.scores(probe, np.array([1])) == model.scores(like, np.array([1]))).all() == is_same
    only_dislikes = histories([(0, 2, -1.0)], 1, 3)
    assert np.isinf(ItemKnn().fit(log, ITEMS, seed=0).scores(only_dislikes, np.arange(3))).all()
