"""Weights are those of ridge regressions of every item on all others; the most liked items have some, no others."""

from __future__ import annotations

import numpy as np

from models.recommend.ease import Ease, FittedEase
from models.recommend.interactions import ItemFeatures
from tests.models.recommend.tastes import histories

ITEMS, VISITORS = 8, 30
FEATURES = ItemFeatures(np.zeros((ITEMS, 1), np.float32))


def taken() -> tuple[np.ndarray, list[tuple[int, int, float]]]:
    taken_VI = np.random.default_rng(0).random((VISITORS, ITEMS)) < np.linspace(0.2, 0.7, ITEMS)
    return taken_VI.astype(np.float64), [(int(v), int(i), 1.0) for v, i in zip(*np.nonzero(taken_VI), strict=True)]


def test_weights_are_ridge_regressions_on_all_other_items() -> None:
    taken_VI, rows = taken()
    dislikes = [(v, 0, -1.0) for v in np.flatnonzero(taken_VI[:, 0] == 0)]
    model = Ease(regularization=2.0).fit(histories(rows + rows + dislikes, VISITORS, ITEMS), FEATURES, seed=0)
    assert isinstance(model, FittedEase)
    for item in range(ITEMS):
        others_VJ = np.delete(taken_VI, item, axis=1)
        expected_J = np.linalg.solve(others_VJ.T @ others_VJ + 2.0 * np.eye(ITEMS - 1), others_VJ.T @ taken_VI[:, item])
        np.testing.assert_allclose(np.delete(model.weight_KK[:, item], item), expected_J, atol=1e-5)


def test_above_the_limit_the_most_liked_items_are_scored() -> None:
    taken_VI, rows = taken()
    model = Ease(item_limit=3).fit(histories(rows, VISITORS, ITEMS), FEATURES, seed=0)
    most_liked = np.sort(np.argsort(-taken_VI.sum(axis=0), kind="stable")[:3])
    probes = histories(
        [(0, int(most_liked[0]), 1.0), (1, int(np.setdiff1d(range(ITEMS), most_liked)[0]), 1.0)], 2, ITEMS
    )
    score_VC = model.scores(probes, np.arange(ITEMS))
    assert np.flatnonzero(np.isfinite(score_VC[0])).tolist() == most_liked.tolist()
    assert np.isinf(score_VC[1]).all()
