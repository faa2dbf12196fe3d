"""Folding in equals the normal equations, and what is fitted is the objective's minimum from either side."""

from __future__ import annotations

import numpy as np
import pytest

from models.recommend.als import Als, FittedAls, Objective
from models.recommend.interactions import Interactions, ItemFeatures
from tests.models.recommend.tastes import histories

ITEMS, FACTORS = 20, 5


def log(seed: int, visitors: int, per_visitor: int) -> Interactions:
    random = np.random.default_rng(seed)
    rows = [
        (visitor, int(item), float(random.choice([-1.0, 0.5, 1.0, 2.0])))
        for visitor in range(visitors)
        for item in random.permutation(ITEMS)[:per_visitor]
    ]
    return histories(rows, visitors, ITEMS)


def normal_equations(factor_ID: np.ndarray, weight_I: np.ndarray, objective: Objective) -> np.ndarray:
    """Written out: Y' C Y + lambda on the left, Y' C p on the right."""
    confidence_I = 1 + objective.alpha * np.abs(weight_I)
    preference_I = (weight_I > 0).astype(np.float64)
    left_DD = factor_ID.T @ (confidence_I[:, None] * factor_ID) + objective.regularization * np.eye(FACTORS)
    return np.linalg.solve(left_DD, factor_ID.T @ (confidence_I * preference_I))


@pytest.mark.parametrize(
    "objective", [Objective(dislike_weight=1.0), Objective(regularization=1.0, alpha=0.5, dislike_weight=0.5)]
)
def test_folding_in_equals_the_normal_equations(objective: Objective) -> None:
    factor_ID = np.random.default_rng(0).normal(size=(ITEMS, FACTORS)).astype(np.float32)
    probes = log(1, visitors=8, per_visitor=6)
    found_VD = FittedAls(factor_ID, objective).represent(probes)
    weight_VI = probes.matrix(probes.weights(objective.dislike_weight)).toarray()
    for found_D, weight_I in zip(found_VD, weight_VI, strict=True):
        np.testing.assert_allclose(found_D, normal_equations(factor_ID, weight_I, objective), rtol=1e-3, atol=1e-4)


def test_items_without_factors_have_no_part_in_folding_in() -> None:
    factor_ID = np.random.default_rng(0).normal(size=(ITEMS, FACTORS)).astype(np.float32)
    factor_ID[3] = 0
    model = FittedAls(factor_ID, Objective())
    with_it, without_it = histories([(0, 3, 1.0), (0, 4, 1.0)], 1, ITEMS), histories([(0, 4, 1.0)], 1, ITEMS)
    np.testing.assert_array_equal(model.represent(with_it), model.represent(without_it))


def test_a_like_and_a_dislike_of_one_item_cancel() -> None:
    factor_ID = np.random.default_rng(0).normal(size=(ITEMS, FACTORS)).astype(np.float32)
    model = FittedAls(factor_ID, Objective(dislike_weight=1.0))
    both, neither = [(0, 3, 1.0), (0, 4, 1.0), (0, 3, -1.0)], [(0, 4, 1.0)]
    np.testing.assert_array_equal(
        model.represent(histories(both, 1, ITEMS)), model.represent(histories(neither, 1, ITEMS))
    )


def test_the_fitted_items_are_the_minimum_for_their_visitors() -> None:
    training, objective = (
        log(2, visitors=60, per_visitor=7),
        Objective(regularization=0.5, alpha=2.0, dislike_weight=1.0),
    )
    items = ItemFeatures(np.zeros((ITEMS, 2), np.float32))
    model = Als(factor_count=FACTORS, pass_count=200, objective=objective).fit(training, items, seed=0)
    visitor_VD = model.represent(training).astype(np.float64)
    weight_VI = training.matrix(training.weight_N).toarray()
    for item in range(ITEMS):
        right_D = normal_equations(visitor_VD, weight_VI[:, item], objective)
        np.testing.assert_allclose(model.item_ID[item], right_D, rtol=0.02, atol=0.02)


def test_dislikes_say_nothing_unless_they_are_weighed() -> None:
    factor_ID = np.random.default_rng(0).normal(size=(ITEMS, FACTORS)).astype(np.float32)
    both, like = (histories(rows, 1, ITEMS) for rows in ([(0, 4, 1.0), (0, 3, -1.0)], [(0, 4, 1.0)]))
    for dislike_weight, is_same in ((0.0, True), (0.5, False)):
        model = FittedAls(factor_ID, Objective(dislike_weight=dislike_weight))
        assert np.array_equal(model.represent(both), model.represent(like)) == is_same
