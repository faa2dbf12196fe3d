"""The two towers and the sequence model: what they may look at, and what they do with what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.recommend.graphsage import GraphSage
from models.recommend.interactions import NONE, ItemFeatures
from models.recommend.interface import Recommender
from models.recommend.sasrec import FittedSasRec, SasRec, SasRecNetwork
from models.recommend.saving import load, save
from models.recommend.training import Training
from models.recommend.two_tower import TwoTower, mean_features
from tests.models.recommend.tastes import ITEMS, Tastes, histories

ONE_PASS = Training(1, 64)


def test_a_place_sees_what_came_before_and_nothing_later() -> None:
    torch.manual_seed(0)
    network = SasRecNetwork(SasRec(dim=8, length=6), feature_count=3).eval()
    item_BLD = torch.randn(2, 6, 8)
    before = network(item_BLD)
    changed = item_BLD.clone()
    changed[:, 3] = torch.randn(2, 8)
    after = network(changed)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.isclose(after[:, 3:], before[:, 3:]).all(dim=2).any()


def test_the_order_of_a_history_matters_to_the_sequence_model(tastes: Tastes) -> None:
    model = SasRec(dim=8, training=ONE_PASS).fit(tastes.log, tastes.items, seed=0)
    there = histories([(0, 0, 1.0), (0, 3, 1.0), (0, 4, 1.0)], 1)
    back = histories([(0, 4, 1.0), (0, 3, 1.0), (0, 0, 1.0)], 1)
    assert not np.allclose(model.represent(there), model.represent(back), atol=1e-4)


def test_the_sequence_model_predicts_each_item_from_those_before() -> None:
    # photos follow one another round a ring; only the order tells which comes next
    rows = [(visitor, (visitor + step) % ITEMS, 1.0) for visitor in range(ITEMS) for step in range(8)]
    items = ItemFeatures(np.eye(ITEMS, dtype=np.float32))
    method = SasRec(dim=24, dropout=0.0, training=Training(150, 12, 0.01))
    model = method.fit(histories(rows, ITEMS), items, seed=0)
    probe = histories([(0, 4, 1.0), (0, 5, 1.0), (0, 6, 1.0)], 1)
    score_C = model.scores(probe, np.arange(ITEMS))[0]
    assert score_C.argmax() == 7


def test_the_mean_of_features_leaves_out_what_is_filled_up() -> None:
    feature_IF = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    found = mean_features(np.array([[0, 1, NONE], [NONE, NONE, NONE], [1, 1, 0]]), feature_IF)
    torch.testing.assert_close(found, torch.tensor([[2.0, 1.0], [0.0, 0.0], [7 / 3, 4 / 3]]))


def test_the_country_alone_serves_a_visitor_without_history(tastes: Tastes) -> None:
    # two countries of one taste each
    log = replace(tastes.log, country_V=(np.arange(tastes.log.visitor_count) % 2).astype(np.int32))
    model = TwoTower(dim=16, hidden_dim=16, training=Training(40, 32, 0.01)).fit(log, tastes.items, seed=0)
    newcomers = replace(histories([], 2), country_V=np.array([0, 1], np.int32))
    score_VC = model.scores(newcomers, np.arange(ITEMS))
    assert score_VC[0, ::2].min() > score_VC[0, 1::2].max()
    assert score_VC[1, 1::2].min() > score_VC[1, ::2].max()


def test_keywords_alone_place_a_photo_without_vectors(tastes: Tastes) -> None:
    assert tastes.grown.text_IE is not None
    image_ID, text_IE = tastes.grown.image_ID.copy(), tastes.grown.text_IE.copy()
    image_ID[ITEMS:], text_IE[ITEMS:] = 0, 0
    grown = ItemFeatures(image_ID, text_IE, tastes.grown.keywords, 3)
    model = TwoTower(dim=16, hidden_dim=16, training=Training(40, 32, 0.01)).fit(tastes.log, tastes.items, seed=0)
    score_VC = model.with_items(grown, np.arange(ITEMS)).scores(tastes.probes, np.arange(ITEMS, ITEMS + 4))
    for visitor, score_C in enumerate(score_VC):
        own = np.arange(4) % 2 == visitor % 2
        assert score_C[own].min() > score_C[~own].max()


@pytest.mark.parametrize("method", [TwoTower(training=ONE_PASS), GraphSage(training=ONE_PASS)])
def test_another_vocabulary_is_refused(tastes: Tastes, method: Recommender) -> None:
    model = method.fit(tastes.log, tastes.items, seed=0)
    with pytest.raises(ValueError, match=r"vocabulary .*4 .*3"):
        model.with_items(replace(tastes.items, keyword_count=4), np.arange(ITEMS))


def test_a_photo_of_which_nothing_is_known_is_not_scored(tastes: Tastes) -> None:
    assert tastes.items.text_IE is not None
    image_ID, text_IE = tastes.items.image_ID.copy(), tastes.items.text_IE.copy()
    image_ID[5], text_IE[5] = 0, 0
    bare = ItemFeatures(image_ID, text_IE)
    for method in (TwoTower(training=ONE_PASS), SasRec(dim=8, training=ONE_PASS)):
        score_VC = method.fit(tastes.log, bare, seed=0).scores(tastes.probes, np.arange(ITEMS))
        assert (score_VC[:, 5] == -np.inf).all()
        assert np.isfinite(np.delete(score_VC, 5, axis=1)).all()


def test_longer_histories_than_the_model_has_places_for_are_cut(tastes: Tastes) -> None:
    model = SasRec(dim=8, length=3, training=ONE_PASS).fit(tastes.log, tastes.items, seed=0)
    assert isinstance(model, FittedSasRec)
    long = histories([(0, item, 1.0) for item in (7, 1, 3, 5)], 1)
    short = histories([(0, item, 1.0) for item in (1, 3, 5)], 1)
    np.testing.assert_allclose(model.represent(long), model.represent(short), atol=1e-6)


@pytest.mark.parametrize(
    "method",
    [
        SasRec(dim=16, dropout=0.0, training=Training(30, 8, 0.01)),
        TwoTower(dim=16, hidden_dim=16, training=Training(15, 32, 0.01)),
        GraphSage(dim=16, training=Training(60, 32, 0.02, patience=60)),
    ],
)
def test_items_without_features_are_learned_rows(tastes: Tastes, method: Recommender, tmp_path: Path) -> None:
    untaken = tastes.log.where(tastes.log.item_N != 5)
    model = method.fit(untaken, ItemFeatures(np.zeros((ITEMS, 0), np.float32)), seed=0)
    number_I = np.arange(ITEMS)[::-1] + 1  # the new item comes first, the others are turned round
    grown = model.with_items(ItemFeatures(np.zeros((ITEMS + 1, 0), np.float32)), number_I)
    save(grown, tmp_path)
    probes = replace(tastes.probes, item_N=number_I[tastes.probes.item_N], item_count=ITEMS + 1)
    score_VC = load(tmp_path).scores(probes, number_I)
    known = np.delete(np.arange(ITEMS), 5)
    np.testing.assert_allclose(score_VC, model.scores(tastes.probes, np.arange(ITEMS)), atol=1e-4)
    assert np.isfinite(score_VC[:, known]).all()
    assert (score_VC[:, 5] == -np.inf).all()  # nobody took it
    assert (grown.scores(probes, np.array([0])) == -np.inf).all()
    for visitor, score_C in enumerate(score_VC[:, known]):
        own = known % 2 == visitor % 2
        assert score_C[own].mean() > score_C[~own].mean()
