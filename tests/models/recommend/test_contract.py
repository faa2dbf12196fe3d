"""What every method of recommendation keeps to, on a world of two tastes whose right answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from models.recommend.als import Als
from models.recommend.graphsage import GraphSage
from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.interface import Fitted, Recommender, TooLittleToLearn
from models.recommend.methods import METHODS
from models.recommend.protocols import Trial
from models.recommend.sasrec import SasRec
from models.recommend.saving import load, save
from models.recommend.topk import top_k
from models.recommend.training import Training
from models.recommend.two_tower import TwoTower
from tests.errors import raises
from tests.models.recommend.tastes import ITEMS, NEW, Tastes, histories, permuted, world

SMALL: dict[str, Callable[[], Recommender]] = METHODS | {
    "als": lambda: Als(factor_count=2),
    "sasrec": lambda: SasRec(dim=16, dropout=0.0, training=Training(15, 8, 0.01)),
    "two_tower": lambda: TwoTower(dim=16, hidden_dim=16, training=Training(15, 32, 0.01)),
    "graphsage": lambda: GraphSage(dim=16, training=Training(10, 32, 0.01)),
}
TASTELESS = {"random", "popularity"}
DRAWN = {"random", "als", "sasrec", "two_tower", "graphsage"}
"""Methods that draw random numbers, so that the numbers of items are more than names to them."""
ALL = np.arange(ITEMS)
TRAINED = ["sasrec", "two_tower", "graphsage"]
SCORES_EMPTY_HISTORIES = {"random", "popularity", "two_tower", "graphsage"}


KNOW_NO_NEW_ITEMS = {"item_knn", "als", "ease"}


@pytest.fixture(scope="module", params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    """The name of every method in turn, or, parametrized indirectly, of some."""
    return request.param


@pytest.fixture(scope="module")
def fitted(name: str, tastes: Tastes) -> Fitted:
    return SMALL[name]().fit(tastes.log, tastes.items, seed=0)


def assert_own_taste_first(tastes: Tastes, score_VC: np.ndarray, item_C: np.ndarray) -> None:
    """Every unseen item of a probe's taste is above every item of the other."""
    for visitor, score_C in enumerate(score_VC):
        seen = tastes.probes.item_N[tastes.probes.history(visitor)]
        is_own_C = tastes.own(visitor, item_C)
        assert score_C[is_own_C & ~np.isin(item_C, seen)].min() > score_C[~is_own_C].max(), visitor


@pytest.mark.parametrize("name", [name for name in SMALL if name not in TASTELESS], indirect=True)
def test_what_resembles_the_history_comes_first(tastes: Tastes, fitted: Fitted) -> None:
    assert_own_taste_first(tastes, fitted.scores(tastes.probes, ALL), ALL)


def test_scores_are_float32_by_visitor_and_candidate_and_finite(tastes: Tastes, fitted: Fitted) -> None:
    score_VC = fitted.scores(tastes.probes, ALL[:5])
    assert score_VC.shape == (6, 5)
    assert score_VC.dtype == np.float32
    assert np.isfinite(score_VC).all()


def test_new_items_are_scored_or_declared_not_to_be(name: str, tastes: Tastes, fitted: Fitted) -> None:
    grown = fitted.with_items(tastes.grown, ALL)
    score_VC = grown.scores(tastes.probes, np.arange(ITEMS + NEW))
    assert np.isfinite(score_VC[:, :ITEMS]).all()
    if name not in KNOW_NO_NEW_ITEMS:
        assert np.isfinite(score_VC[:, ITEMS:]).all()
        if name not in TASTELESS:
            assert_own_taste_first(tastes, score_VC, np.arange(ITEMS + NEW))
    else:
        assert (score_VC[:, ITEMS:] == -np.inf).all()
        np.testing.assert_allclose(score_VC[:, :ITEMS], fitted.scores(tastes.probes, ALL), atol=1e-6)


def test_new_items_may_have_any_numbers(name: str, tastes: Tastes, fitted: Fitted) -> None:
    number_J = np.random.default_rng(4).permutation(ITEMS + NEW)
    log, items = permuted(tastes.log, tastes.grown, number_J)
    probes, _ = permuted(tastes.probes, tastes.grown, number_J)
    pool_I = np.sort(number_J[:ITEMS])
    learned = Trial(log, probes, probes, pool_I).learn(SMALL[name](), items, seed=0)
    score_VC, expected_VC = (
        one.scores(histories, candidate_C)
        for one, histories, candidate_C in (
            (learned, probes, number_J),
            (fitted.with_items(tastes.grown, ALL), tastes.probes, np.arange(ITEMS + NEW)),
        )
    )
    assert np.isfinite(score_VC).tolist() == np.isfinite(expected_VC).tolist()
    if name not in DRAWN:
        np.testing.assert_allclose(score_VC, expected_VC, atol=1e-6)
    elif name not in TASTELESS:
        assert_own_taste_first(tastes, score_VC[:, :ITEMS], ALL)


def test_an_item_that_nobody_took_in_training_is_as_a_new_one(name: str, tastes: Tastes) -> None:
    untaken = tastes.log.where(tastes.log.item_N != 5)
    model = SMALL[name]().fit(untaken, tastes.items, seed=0)
    score_VC = model.scores(tastes.probes, np.delete(ALL, 5))
    assert np.isfinite(score_VC).all()
    assert np.isfinite(model.scores(tastes.probes, np.array([5]))).all() == (name not in KNOW_NO_NEW_ITEMS)


def test_a_history_of_new_items_is_served_by_what_covers_them(name: str, tastes: Tastes, fitted: Fitted) -> None:
    grown = fitted.with_items(tastes.grown, ALL)
    probe = histories([(0, ITEMS, 1.0), (1, ITEMS + 1, 1.0)], 2, ITEMS + NEW)
    score_VC = grown.scores(probe, ALL)
    assert np.isfinite(score_VC).all() == (name not in KNOW_NO_NEW_ITEMS)
    if name not in KNOW_NO_NEW_ITEMS | TASTELESS:
        assert score_VC[0, ::2].mean() > score_VC[0, 1::2].mean()
        assert score_VC[1, 1::2].mean() > score_VC[1, ::2].mean()


def test_an_empty_history_has_all_scores_or_none(name: str, tastes: Tastes, fitted: Fitted) -> None:
    probe = histories([(1, 3, 1.0)], 3)
    score_VC = fitted.scores(probe, ALL)
    assert np.isfinite(score_VC[1]).all()
    for visitor in (0, 2):
        assert np.isfinite(score_VC[visitor]).all() == (name in SCORES_EMPTY_HISTORIES)
        assert np.isfinite(score_VC[visitor]).any() == (name in SCORES_EMPTY_HISTORIES)


def test_no_visitors_have_no_scores(fitted: Fitted) -> None:
    assert fitted.scores(histories([], 0), ALL).shape == (0, ITEMS)


def test_a_country_never_seen_is_as_an_unknown_one(tastes: Tastes, fitted: Fitted) -> None:
    nowhere, elsewhere = (dataclasses.replace(tastes.probes, country_V=np.full(6, code, np.int32)) for code in (-1, 99))
    score_VC = fitted.scores(nowhere, ALL)
    assert np.isfinite(score_VC).all()
    np.testing.assert_array_equal(score_VC, fitted.scores(elsewhere, ALL))


def test_what_was_seen_is_left_out(tastes: Tastes, fitted: Fitted) -> None:
    best = top_k(fitted, tastes.probes, ITEMS)
    for visitor, item_K in enumerate(best.item_VK):
        seen = tastes.probes.item_N[tastes.probes.history(visitor)]
        assert sorted(item_K[item_K >= 0]) == np.setdiff1d(ALL, seen).tolist()
    assert (best.scored_V == ITEMS - 3).all()


def test_the_seed_decides(name: str, tastes: Tastes, fitted: Fitted) -> None:
    score_VC = fitted.scores(tastes.probes, ALL)
    again, other = (SMALL[name]().fit(tastes.log, tastes.items, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.scores(tastes.probes, ALL), score_VC)
    assert np.array_equal(other.scores(tastes.probes, ALL), score_VC) == (name not in DRAWN)


def test_the_numbers_of_items_are_names(name: str, tastes: Tastes, fitted: Fitted) -> None:
    number_I = np.random.default_rng(3).permutation(ITEMS)
    log, items = permuted(tastes.log, tastes.items, number_I)
    probes, _ = permuted(tastes.probes, tastes.items, number_I)
    score_VC = SMALL[name]().fit(log, items, seed=0).scores(probes, number_I)
    if name not in DRAWN:
        np.testing.assert_allclose(score_VC, fitted.scores(tastes.probes, ALL), atol=1e-6)
    elif name not in TASTELESS:
        assert_own_taste_first(tastes, score_VC, ALL)


def test_blocks_score_as_all_at_once(tastes: Tastes, fitted: Fitted) -> None:
    whole_VC = fitted.scores(tastes.probes, ALL)
    for visitors in (np.array([4, 1]), np.array([0]), np.array([5, 3, 2])):
        block = tastes.probes.take(visitors)
        for candidate_C in (ALL[:1], ALL[7:3:-1]):
            np.testing.assert_allclose(fitted.scores(block, candidate_C), whole_VC[visitors][:, candidate_C], atol=1e-5)


def test_nothing_handed_over_is_changed(name: str, tastes: Tastes) -> None:
    before = world()
    SMALL[name]().fit(tastes.log, tastes.items, seed=0).with_items(tastes.grown, ALL).scores(tastes.probes, ALL)
    for ours, theirs in ((tastes.log, before.log), (tastes.probes, before.probes)):
        for field in dataclasses.fields(Interactions):
            np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name), field.name)
    for mine, yours in ((tastes.items, before.items), (tastes.grown, before.grown)):
        np.testing.assert_array_equal(mine.image_ID, yours.image_ID)
        np.testing.assert_array_equal(mine.text_IE, yours.text_IE)
        np.testing.assert_array_equal(mine.keyword_rows().rows, yours.keyword_rows().rows)
        np.testing.assert_array_equal(mine.keyword_rows().weights, yours.keyword_rows().weights)


def test_what_does_not_fit_is_refused(name: str, tastes: Tastes, fitted: Fitted) -> None:
    with pytest.raises(ValueError, match=r"log .*12 .*features .*16"):
        SMALL[name]().fit(tastes.log, tastes.grown, seed=0)
    with pytest.raises(ValueError, match=r"histories .*16 .*12"):
        fitted.scores(histories([(0, ITEMS, 1.0)], 1, ITEMS + NEW), ALL)
    with pytest.raises(ValueError, match="candidates 3 to 12"):
        fitted.scores(tastes.probes, np.array([3, 12]))
    with pytest.raises(ValueError, match=r"items 0 to 11 .* 11"):
        fitted.with_items(ItemFeatures(tastes.items.image_ID[:11]), ALL)
    with pytest.raises(ValueError, match=r"11 different .*12"):
        fitted.with_items(tastes.grown, np.arange(ITEMS).clip(max=10))


def test_what_is_saved_scores_the_same_to_the_bit(tastes: Tastes, fitted: Fitted, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    save(fitted, tmp_path / "learned")
    opened = load(tmp_path / "learned")
    assert {path.suffix for path in (tmp_path / "learned").iterdir()} == {".json", ".safetensors"}
    assert torch.equal(torch.random.get_rng_state(), before)
    assert type(opened) is type(fitted)
    empty = histories([(1, 3, 1.0)], 3)
    for probes in (tastes.probes, empty):
        np.testing.assert_array_equal(opened.scores(probes, ALL), fitted.scores(probes, ALL))
    grown, expected = (one.with_items(tastes.grown, ALL) for one in (opened, fitted))
    every = np.arange(ITEMS + NEW)
    np.testing.assert_array_equal(grown.scores(tastes.probes, every), expected.scores(tastes.probes, every))


@pytest.mark.parametrize("name", TRAINED, indirect=True)
def test_training_gets_better_and_says_how(name: str, fitted: Fitted) -> None:
    curve = fitted.loss_curve  # type: ignore[attr-defined]
    assert curve.shape == (SMALL[name]().training.pass_count,)  # type: ignore[attr-defined]
    assert curve[-1] < 0.8 * curve[0]  # SASRec cannot tell which photo of the own taste is next


@pytest.mark.parametrize("name", ["als", "ease", *TRAINED], indirect=True)
def test_a_log_without_likes_teaches_nothing(name: str, tastes: Tastes) -> None:
    with raises(TooLittleToLearn, "nothing_to_learn_from"):
        SMALL[name]().fit(tastes.log.where(tastes.log.weight_N < 0), tastes.items, seed=0)
