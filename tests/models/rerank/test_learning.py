"""The model: learns what can be learned, the same text each time, and does not push new photos down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rerank.learning import FOLD_COUNT, Options, Reranker, Rows, Trained, folds, train
from models.rerank.ordering import final_scores
from models.rerank.rows import SecondStage
from tests.models.rerank.world import World

OPTIONS = Options(rounds=60, patience=20, learning_rate=0.1, seed=5)
CANDIDATES = 60


def rows_of(stage: SecondStage) -> Rows:
    visitor = np.arange(len(stage.target)) // 3
    return Rows.joined(
        [
            Rows(block.matrix, block.is_converted, block.candidates.count, visitor[block.searches])
            for block in stage.blocks(CANDIDATES)
        ]
    ).learnable()


def trained_on(stage: SecondStage, options: Options = OPTIONS) -> Trained:
    rows = rows_of(stage)
    held_out = folds(rows.visitor, 0) == 0
    return train(rows.of_searches(~held_out), rows.of_searches(held_out), stage.names, options)


def ranks(stage: SecondStage, score: object) -> tuple[np.ndarray, np.ndarray]:
    before, after = (np.empty(len(stage.target), dtype=int) for _ in range(2))
    for block in stage.blocks(CANDIDATES):
        target = stage.target[block.searches]
        final = final_scores(block.scores, block.candidates, score(block.matrix))  # type: ignore[operator]
        before[block.searches] = stage.availability.ranks(block.scores, target)
        after[block.searches] = stage.availability.ranks(final, target)
    return before, after


@pytest.fixture(scope="module")
def world() -> World:
    return World.of(11)


@pytest.fixture(scope="module")
def stages(world: World) -> tuple[SecondStage, SecondStage]:
    return world.stage(1500), world.stage(1500)


@pytest.fixture(scope="module")
def model(stages: tuple[SecondStage, SecondStage]) -> Trained:
    return trained_on(stages[0])


def hit_rate(rank: np.ndarray) -> float:
    return float((rank <= 10).mean())


def test_it_finds_more_and_does_not_push_new_photos_down(
    world: World, stages: tuple[SecondStage, SecondStage], model: Trained
) -> None:
    test = stages[1]
    is_new = world.available_at[test.target] >= world.cutoff
    assert is_new.sum() > 100
    before, after = ranks(test, Reranker([model.text]).scores)
    assert hit_rate(after) > hit_rate(before) + 0.05
    assert hit_rate(after[is_new]) >= hit_rate(before[is_new]) - 0.02
    # what must not happen, to show that the measure would tell: a plain prior of popularity on the same candidates
    score, count = test.names.index("base_score"), test.names.index("photo_conversions")
    _, prior = ranks(test, lambda matrix: matrix[:, score] + 0.2 * np.nan_to_num(matrix[:, count]))
    assert hit_rate(prior[is_new]) < 0.5 * hit_rate(before[is_new])


def test_equal_rows_and_seed_give_an_equal_text(stages: tuple[SecondStage, SecondStage], model: Trained) -> None:
    assert trained_on(stages[0]).text == model.text
    assert trained_on(stages[0], Options(rounds=60, patience=20, learning_rate=0.1, seed=6)).text != model.text
    assert model.text.startswith("tree\n")


def test_the_best_round_is_kept_and_training_stops_after_it(
    stages: tuple[SecondStage, SecondStage],
) -> None:
    options = Options(rounds=400, patience=5, learning_rate=0.5, seed=5)
    found = trained_on(stages[0], options)
    held_out = found.curves["held_out"]
    assert len(held_out) == len(found.curves["training"]) < 400
    assert found.best_round == int(np.argmax(held_out)) + 1
    assert len(held_out) - found.best_round == 5
    assert found.text.count("\nTree=") == found.best_round


def test_a_model_that_is_read_back_says_what_it_looks_at(
    stages: tuple[SecondStage, SecondStage], model: Trained
) -> None:
    reranker = Reranker([model.text])
    assert reranker.names == stages[0].names
    importances = reranker.importances()
    assert list(importances) == stages[0].names
    assert max(importances, key=lambda name: importances[name][0]).startswith(("base_", "query_", "photo_"))
    assert importances["photo_aspect"] == (0.0, 0)  # the same for all photos here
    assert sum(split for _, split in importances.values()) > 0
    with pytest.raises(ValueError, match="28 features"):
        reranker.scores(np.zeros((3, 2), dtype=np.float32))
    assert reranker.scores(np.zeros((0, 28), dtype=np.float32)).shape == (0,)


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
    stages: tuple[SecondStage, SecondStage],
) -> None:
    few, test = rows_of(stages[0]), stages[1]
    few = few.of_searches(np.arange(len(few.count)) < 400)
    alone, together = [], []
    for seed in range(4):
        fold = folds(few.visitor, seed)
        options = Options(rounds=60, patience=10, seed=seed)
        texts = [
            train(few.of_searches(fold != f), few.of_searches(fold == f), test.names, options).text
            for f in range(FOLD_COUNT)
        ]
        alone.append(hit_rate(ranks(test, Reranker(texts[:1]).scores)[1]))
        together.append(hit_rate(ranks(test, Reranker(texts).scores)[1]))
    assert np.std(together) < np.std(alone)
    assert np.mean(together) > np.mean(alone)


def test_searches_without_their_photo_teach_nothing() -> None:
    rows = Rows(
        np.zeros((5, 1), dtype=np.float32),
        np.array([0, 1, 0, 0, 0], dtype=bool),
        np.array([2, 3, 0]),
        np.array([7, 8, 9]),
    )
    kept = rows.learnable()
    assert (kept.count.tolist(), kept.visitor.tolist(), len(kept.matrix)) == ([2], [7], 2)
    assert kept.ranks(np.array([1.0, 1.0])).tolist() == [2]  # the worst place among equals
    assert kept.ranks(np.array([1.0, 2.0])).tolist() == [1]
    with pytest.raises(ValueError, match="groups"):
        Rows(rows.matrix, rows.is_converted[:4], rows.count, rows.visitor)
