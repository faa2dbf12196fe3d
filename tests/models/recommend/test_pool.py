"""What methods learn of: the photos that were there, and no others, whatever a method draws or counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.ragged import unit_rows
from models.recommend import training
from models.recommend.graphsage import GraphSage
from models.recommend.interactions import Bools, Interactions, Ints, ItemFeatures
from models.recommend.interface import Recommender, TooLittleToLearn
from models.recommend.judging import COLUMNS, visitor_metrics
from models.recommend.methods import METHODS
from models.recommend.popularity import Popularity
from models.recommend.protocols import Trial, leave_cold, temporal
from models.recommend.sasrec import SasRec
from models.recommend.topk import top_k
from models.recommend.training import KnownPairs, Training
from models.recommend.two_tower import TwoTower
from tests.errors import raises
from tests.models.recommend.tastes import log_of

HIT = COLUMNS.index(("hit_rate", 10))
ONE_PASS = Training(pass_count=1, batch_size=256)
DRAWING = {
    "two_tower": TwoTower(dim=8, hidden_dim=8, training=ONE_PASS),
    "graphsage": GraphSage(dim=8, training=ONE_PASS),
}
QUICK = DRAWING | {"sasrec": SasRec(dim=8, training=ONE_PASS)}


def growing_world(seed: int = 0) -> tuple[Interactions, ItemFeatures, np.ndarray]:
    """The world of issue 19: half of the photos come at time 100, when the test begins, and are taken as others are.

    Of ten tastes every visitor has one; the photos of a taste look alike, old ones and new ones too.
    """
    random = np.random.default_rng(seed)
    tastes, photos, visitors = 10, 200, 150
    look_ID = unit_rows(np.eye(tastes)[np.arange(photos) % tastes] + 0.25 * random.normal(size=(photos, tastes)))
    available_at = np.where(random.permutation(photos) < photos // 2, 0.0, 100.0)
    rows = []
    for visitor in range(visitors):
        own = np.flatnonzero(np.arange(photos) % tastes == visitor % tastes)
        rows += [(visitor, random.choice(own[available_at[own] == 0]), at) for at in random.uniform(1, 100, 6)]
        rows += [(visitor, random.choice(own), at) for at in random.uniform(101, 110, 4)]
    visitor, item, at = zip(*rows, strict=True)
    log = log_of(visitor, item, at, np.ones(len(rows)), np.zeros(visitors), photos, 200.0)
    return log, ItemFeatures(look_ID), available_at


def hit_rates(trial: Trial, items: ItemFeatures, method: Recommender, is_new_I: Bools) -> tuple[float, float]:
    """Hit rates at 10 on all that is right, and on what is new."""
    fitted = trial.learn(method, items, seed=0)
    item_VK = top_k(fitted, trial.histories, 100).item_VK
    new = trial.truth.where(is_new_I[trial.truth.item_N])
    asked = np.flatnonzero(np.diff(new.start_V1))
    return (
        float(visitor_metrics(item_VK, trial.truth)[:, HIT].mean()),
        float(visitor_metrics(item_VK[asked], new.take(asked))[:, HIT].mean()),
    )


def test_photos_of_the_future_are_found_if_nothing_was_learned_against_them() -> None:
    log, items, available_at = growing_world()
    trial = temporal(log, 100.0, available_at, log.country_V)
    leaking = replace(trial, pool_J=np.arange(log.item_count))
    two_towers = TwoTower(dim=16, hidden_dim=32, training=Training(20, 128, 0.01, negative_count=8))
    (sound, sound_new), (leaked, leaked_new) = (
        hit_rates(one, items, two_towers, available_at > 0) for one in (trial, leaking)
    )
    assert sound > leaked
    assert sound_new > 1.4 * leaked_new


@pytest.mark.parametrize("name", DRAWING)
def test_no_negative_is_a_photo_that_was_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log, items, available_at = growing_world()
    drawn, negatives = [], KnownPairs.negatives

    def watched(self: KnownPairs, visitor_B: Ints, count: int, random: np.random.Generator) -> tuple[Ints, Bools]:
        item_BN, is_negative_BN = negatives(self, visitor_B, count, random)
        drawn.append(item_BN[is_negative_BN])
        return item_BN, is_negative_BN

    monkeypatch.setattr(training.KnownPairs, "negatives", watched)
    for trial in (temporal(log, 100.0, available_at, log.country_V), leave_cold(log, seed=1)):
        drawn.clear()
        trial.learn(DRAWING[name], items, seed=0)
        found = np.unique(trial.pool_J[np.concatenate(drawn)])
        assert set(found.tolist()) <= set(trial.pool_J.tolist())
        assert len(found) > 0.9 * len(trial.pool_J)


@pytest.mark.parametrize("name", METHODS)
def test_what_becomes_of_later_photos_changes_nothing_that_is_learned(name: str) -> None:
    log, items, available_at = growing_world()
    trial = temporal(log, 100.0, available_at, log.country_V)
    other_ID = items.image_ID.copy()
    other_ID[available_at > 0] = np.roll(other_ID[available_at > 0], 1, axis=1)
    method = QUICK.get(name) or METHODS[name]()
    here, there = (trial.learn(method, one, seed=0) for one in (items, replace(items, image_ID=other_ID)))
    asked = trial.histories.take(np.arange(5))
    np.testing.assert_array_equal(here.scores(asked, trial.pool_J), there.scores(asked, trial.pool_J))


def test_a_sampler_that_reaches_beyond_the_pool_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    log, items, available_at = growing_world()

    def planted(self: KnownPairs, visitor_B: Ints, count: int, random: np.random.Generator) -> tuple[Ints, Bools]:
        item_BN = random.integers(0, log.item_count, (len(visitor_B), count))
        return item_BN, ~self.has(visitor_B[:, None], item_BN)

    monkeypatch.setattr(training.KnownPairs, "negatives", planted)
    trial = temporal(log, 100.0, available_at, log.country_V)
    for method in DRAWING.values():
        with pytest.raises(IndexError):
            trial.learn(method, items, seed=0)


def test_a_log_of_photos_outside_of_the_pool_is_refused() -> None:
    log, items, available_at = growing_world()
    trial = temporal(log, 100.0, available_at, log.country_V)
    with pytest.raises(ValueError, match="another catalogue"):
        replace(trial, pool_J=trial.pool_J[1:]).learn(Popularity(), items, seed=0)
    with raises(TooLittleToLearn, "nothing_to_learn_from"):
        replace(trial, pool_J=trial.pool_J[:0]).learn(Popularity(), items, seed=0)
