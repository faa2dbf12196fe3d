"""ALS by Spark finds what `implicit` finds: the same minimum where the objectives are one, lists as good where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.context import RunContext
from jobs.recommending.als_spark import SparkAls
from models.recommend.als import Als, FittedAls, Objective
from models.recommend.interactions import NONE, Interactions, ItemFeatures
from models.recommend.interface import TooLittleToLearn
from models.recommend.topk import top_k
from tests.conftest import Contexts
from tests.errors import raises

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ITEMS, TASTES = 200, 4
FEATURES = ItemFeatures(np.zeros((ITEMS, 2), np.float32))


def log_of(rows: list[tuple[int, int, float]]) -> Interactions:
    visitor_N, item_N, weight_N = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions.of(
        visitor_N,
        item_N,
        np.arange(len(rows), dtype=np.float64),
        weight_N.astype(np.float32),
        np.full(visitor_N.max() + 1, NONE, np.int32),
        item_count=ITEMS,
        as_of=1e9,
    )


def regular_log() -> Interactions:
    """Every visitor likes 10 items of the own taste, every item is liked by 20 visitors."""
    per_taste = ITEMS // TASTES
    return log_of(
        [
            (visitor, (visitor // TASTES * 3 + place) % per_taste * TASTES + visitor % TASTES, 1.0)
            for visitor in range(400)
            for place in range(10)
        ]
    )


def uneven_log() -> Interactions:
    """Visitors with few and many likes, popular and rare items, some strays, some dislikes; 400 like nothing at all."""
    random, rows = np.random.default_rng(0), []
    popularity = 1 / np.arange(1, ITEMS // TASTES + 1)
    for visitor in range(400):
        own = np.arange(visitor % TASTES, ITEMS, TASTES)
        count = min(len(own) // 2, 3 + random.poisson(8 * random.gamma(1.0)))
        liked = random.choice(own, count, replace=False, p=popularity / popularity.sum())
        rows += [(visitor, int(item), 1.0) for item in [*liked, *random.integers(0, ITEMS, 2)]]
        rows += [(visitor, int(random.integers(0, ITEMS)), -1.0)]
    return log_of([*rows, (400, 7, -1.0)])


def value(model: FittedAls, log: Interactions) -> float:
    """The objective written out, with visitors that are best for these items."""
    objective = model.objective
    user_VD, item_ID = (one.astype(np.float64) for one in (model.represent(log), model.item_ID))
    weight_VI = objective.weights(log).toarray()
    error_VI = (1 + objective.alpha * np.abs(weight_VI)) * ((weight_VI > 0) - user_VD @ item_ID.T) ** 2
    return float(error_VI.sum() + objective.regularization * ((user_VD**2).sum() + (item_ID**2).sum()))


def both(context: RunContext, log: Interactions, **how: Any) -> tuple[FittedAls, FittedAls]:
    als = Als(**how)
    ours, theirs = als.fit(log, FEATURES, seed=0), SparkAls(context.settings, als).fit(log, FEATURES, seed=0)
    return ours, theirs


def test_where_all_have_equally_many_likes_the_minimum_is_the_same(make_context: Contexts, spark: object) -> None:
    log = regular_log()
    counts = np.bincount(log.item_N), np.diff(log.start_V1)
    assert [set(count.tolist()) for count in counts] == [{20}, {10}]
    ours, theirs = both(
        make_context(), log, factor_count=8, pass_count=30, objective=Objective(20.0, alpha=5.0, dislike_weight=1.0)
    )
    assert value(theirs, log) == pytest.approx(value(ours, log), rel=0.005)
    lengths = [np.linalg.norm(model.item_ID, axis=1).mean() for model in (ours, theirs)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.02)


def test_on_an_uneven_log_lists_are_alike_and_as_good(make_context: Contexts, spark: object) -> None:
    log = uneven_log()
    known = log.where(np.arange(len(log.item_N)) % 5 > 0)
    held = log.where((np.arange(len(log.item_N)) % 5 == 0) & (log.weight_N > 0))
    models = both(make_context(), known, factor_count=8)
    lists = [top_k(model, known, 10).item_VK for model in models]
    alike = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*lists, strict=True)][:400])
    assert alike > 0.6
    recalls = [
        np.mean([item in one[visitor] for visitor, item in zip(held.row_visitors(), held.item_N, strict=True)])
        for one in lists
    ]
    assert recalls[1] == pytest.approx(recalls[0], abs=0.05)
    assert (models[1].item_ID.any(axis=1) <= (np.bincount(known.item_N, minlength=ITEMS) > 0)).all()
    assert (lists[1][400] == NONE).all() == (lists[0][400] == NONE).all()


def test_a_log_without_a_like_is_too_little(make_context: Contexts) -> None:
    with raises(TooLittleToLearn, "nothing_to_learn_from"):
        SparkAls(make_context().settings).fit(log_of([(0, 1, -1.0)]), FEATURES, seed=0)
