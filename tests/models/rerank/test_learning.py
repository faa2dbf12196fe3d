"""The model: learns what can be learned, the same text each time, and does not push new photos down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rerank.booster import Booster
from models.rerank.features import FEATURES
from models.rerank.learning import FOLD_COUNT, Options, Reranker, Rows, Trained, folds, train
from models.rerank.loading import load_lightgbm
from tests.models.rerank.world import Asked, World

OPTIONS = Options(rounds=60, patience=20, learning_rate=0.1, seed=5)
CANDIDATES = 60


def rows_of(asked: Asked) -> Rows:
    visitor = np.arange(len(asked.target)) // 3
    parts = [
        Rows(matrix, found.place == asked.target[block][found.row], found.count, visitor[block], asked.target[block])
        for block, _, found, matrix in asked.blocks()
    ]
    return Rows.joined(parts).learnable()


def trained_on(asked: Asked, options: Options = OPTIONS) -> Trained:
    rows = rows_of(asked)
    return train(rows, folds(rows.visitor, 0) == 0, options)


class ByColumns:
    """In place of a reranker: a score by the features' columns."""

    def __init__(self, score: Callable[[dict[str, np.ndarray]], np.ndarray]) -> None:
        self.score = score

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        return np.nan_to_num(self.score(dict(zip(FEATURES, matrix.T, strict=True))), nan=-np.inf)


BY_VECTOR = ByColumns(lambda column: column["vector_score"])


def ranks(asked: Asked, reranker: object) -> np.ndarray:
    search = replace(asked.search, reranker=reranker)
    rank = np.empty(len(asked.target), dtype=int)
    for block, _, candidates, matrix in asked.blocks():
        rank[block] = search.order(candidates, matrix).ranks(
            np.arange(len(block)), asked.target[block], search.pictures
        )
    return rank


@pytest.fixture(scope="module")
def world() -> World:
    return World.of(11)


@pytest.fixture(scope="module")
def stages(world: World) -> tuple[Asked, Asked]:
    return world.asked(1500, vector_count=CANDIDATES), world.asked(1500, vector_count=CANDIDATES)


@pytest.fixture(scope="module")
def model(stages: tuple[Asked, Asked]) -> Trained:
    return trained_on(stages[0])


def hit_rate(rank: np.ndarray) -> float:
    return float((rank <= 10).mean())


def test_it_finds_more_and_does_not_push_new_photos_down(
    world: World, stages: tuple[Asked, Asked], model: Trained
) -> None:
    test = stages[1]
    is_new = world.available_at[test.target] >= world.cutoff
    assert is_new.sum() > 100
    before, after = ranks(test, BY_VECTOR), ranks(test, Reranker([model.text]))
    assert hit_rate(after) > hit_rate(before) + 0.05
    by_words = ranks(test, ByColumns(lambda c: c["keyword_score"]))
    assert hit_rate(after[is_new]) >= max(hit_rate(before[is_new]), hit_rate(by_words[is_new]))
    # what must not happen, to show that the measure would tell: a plain prior of popularity on the same candidates
    prior = ranks(test, ByColumns(lambda c: c["vector_score"] + 0.2 * np.nan_to_num(c["photo_conversions"])))
    assert hit_rate(prior[is_new]) < 0.5 * hit_rate(before[is_new])


def test_equal_rows_and_seed_give_an_equal_text(stages: tuple[Asked, Asked], model: Trained) -> None:
    assert trained_on(stages[0]).text == model.text
    assert trained_on(stages[0], Options(rounds=60, patience=20, learning_rate=0.1, seed=6)).text != model.text
    assert model.text.startswith("tree\n")


def test_the_best_round_is_kept_and_training_stops_after_it(
    stages: tuple[Asked, Asked],
) -> None:
    options = Options(rounds=400, patience=5, learning_rate=0.5, seed=5)
    found = trained_on(stages[0], options)
    held_out = found.curves["held_out"]
    assert len(held_out) == len(found.curves["training"]) < 400
    assert found.best_round == int(np.argmax(held_out)) + 1
    assert len(held_out) - found.best_round == 5
    assert found.text.count("\nTree=") == found.best_round


def test_a_model_that_is_read_back_says_what_it_looks_at(stages: tuple[Asked, Asked], model: Trained) -> None:
    reranker = Reranker([model.text])
    assert reranker.names == FEATURES
    importances = reranker.importances()
    assert tuple(importances) == FEATURES
    assert max(importances, key=lambda name: importances[name][0]).startswith(("vector_", "query_", "photo_"))
    assert importances["photo_aspect"] == (0.0, 0)  # the same for all photos here
    assert sum(split for _, split in importances.values()) > 0
    with pytest.raises(ValueError, match=f"{len(FEATURES)} features"):
        reranker.scores(np.zeros((3, 2), dtype=np.float32))
    assert reranker.scores(np.zeros((0, len(FEATURES)), dtype=np.float32)).shape == (0,)


def test_a_booster_gives_what_the_librarys_own_package_gives(stages: tuple[Asked, Asked], model: Trained) -> None:
    peer, own = load_lightgbm().Booster(model_str=model.text), Booster(model.text)
    matrix = rows_of(stages[1]).matrix[:500].copy()
    matrix[::7, ::3] = np.nan
    np.testing.assert_array_equal(own.scores(matrix, 1), peer.predict(matrix, num_threads=1))
    np.testing.assert_array_equal(own.scores(matrix[:, ::-1], 2), peer.predict(matrix[:, ::-1], num_threads=2))
    np.testing.assert_array_equal(own.contributions(matrix, 1), peer.predict(matrix, pred_contrib=True))
    assert list(own.names) == peer.feature_name()
    for kind in ("gain", "split"):
        np.testing.assert_array_equal(own.importances(kind), peer.feature_importance(kind))
    with pytest.raises(ValueError, match="LightGBM: "):
        Booster("no model")


def test_what_each_feature_adds_comes_to_the_score(stages: tuple[Asked, Asked], model: Trained) -> None:
    reranker = Reranker([model.text, trained_on(stages[0], Options(rounds=10, seed=6)).text])
    matrix = rows_of(stages[1]).matrix[:500]
    rest = reranker.scores(matrix) - reranker.contributions(matrix).sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-9)
    assert (reranker.contributions(matrix)[:, FEATURES.index("photo_aspect")] == 0).all()


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(0, 99))
def test_whole_visitors_are_held_out_and_never_all_of_them(visitors: list[int], seed: int) -> None:
    visitor = np.array(visitors)
    count = len(set(visitors))
    if count < 2:
        with pytest.raises(ValueError, match="1 visitors"):
            folds(visitor, seed)
        return
    fold = folds(visitor, seed)
    assert set(fold) == set(range(min(FOLD_COUNT, count)))
    parts = [set(visitor[fold == number]) for number in set(fold.tolist())]
    assert sum(len(part) for part in parts) == count
    assert max(len(part) for part in parts) - min(len(part) for part in parts) <= 1


def test_the_mean_of_the_folds_moves_less_with_the_seed_than_one_model(
    stages: tuple[Asked, Asked],
) -> None:
    few, test = rows_of(stages[0]), stages[1]
    few = few.of_searches(np.arange(len(few.count)) < 400)
    alone, together = [], []
    for seed in range(3):
        fold = folds(few.visitor, seed)
        options = Options(rounds=30, patience=10, seed=seed)
        texts = [train(few, fold == f, options).text for f in range(FOLD_COUNT)]
        alone.append(ranks(test, Reranker(texts[:1])))
        together.append(ranks(test, Reranker(texts)))
    moved_alone, moved = (np.abs(np.diff(np.minimum(rank, 100), axis=0)).mean() for rank in (alone, together))
    assert moved < 0.7 * moved_alone
    assert np.mean([hit_rate(rank) for rank in together]) > np.mean([hit_rate(rank) for rank in alone])


def test_searches_without_their_photo_teach_nothing() -> None:
    rows = Rows(
        np.zeros((5, 1), dtype=np.float32),
        np.array([0, 1, 0, 0, 0], dtype=bool),
        np.array([2, 3, 0]),
        np.array([7, 8, 9]),
        np.array([3, 3, 4]),
    )
    kept = rows.learnable()
    assert (kept.count.tolist(), kept.visitor.tolist(), len(kept.matrix)) == ([2], [7], 2)
    assert kept.ranks(np.array([1.0, 1.0])).tolist() == [2]  # the worst place among equals
    assert kept.ranks(np.array([1.0, 2.0])).tolist() == [1]
    with pytest.raises(ValueError, match="groups"):
        Rows(rows.matrix, rows.is_converted[:4], rows.count, rows.visitor, rows.photo)


def rows_for(photo_S: list[int], taken_before_S: list[float]) -> Rows:
    """Searches with two candidates each, of which the first is converted."""
    count = len(photo_S)
    matrix = np.ones((2 * count, len(FEATURES)), dtype=np.float32)
    matrix[::2, FEATURES.index("photo_conversions")] = taken_before_S
    return Rows(matrix, np.tile([True, False], count), np.full(count, 2), np.arange(count), np.array(photo_S))


def test_searches_for_photos_without_a_past_are_a_fifth_in_training_or_count_four_times() -> None:
    weight_S = rows_for([*range(80), 100, 100, 101], [2.0] * 80 + [np.nan, 0, 0]).weights()
    assert weight_S[:80].tolist() == [1] * 80
    np.testing.assert_allclose(weight_S[80:], 20 / 3)
    assert rows_for([1, 2, 3], [1, 0, 0]).weights().tolist() == [1, 4, 4]
    assert rows_for([*range(1000), 2000], [1.0] * 1000 + [0.0]).weights().max() == 20


def test_a_photo_without_a_past_counts_as_three_searches_at_most() -> None:
    crowd = rows_for([*range(800), *[1000] * 12, *range(1001, 1010)], [2.0] * 800 + [0.0] * 21)
    weight_S = crowd.weights()
    np.testing.assert_allclose(weight_S[800:812].sum(), 3 * weight_S[-1])
    np.testing.assert_allclose(weight_S[800:].sum(), 0.2 * weight_S.sum())
