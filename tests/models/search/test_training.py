"""The training loop: it learns, repeats itself, resumes to the same result, and stops when it should."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from models.search.data import TrainingData
from models.search.errors import ModelError
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel
from models.search.options import TrainingConfig
from models.search.training import Hooks, TrainingResult, finished_training, train
from models.search.validation import HIT_RATE, UNSEEN_HIT_RATE, ValidationSet, hit_rates, hits
from tests.errors import raises
from tests.models.search.conftest import (
    PHOTOS_PER_COLOUR,
    URIS,
    WORDS,
    Interrupted,
    colour_png,
    dying_hooks,
    small_model,
)

CONFIG = TrainingConfig(epochs=2, batch_size=16, learning_rate=2e-3, seed=5, evaluations_per_epoch=2)
VOCABULARY = KeywordVocabulary(("red", "green", "blue"), hash_rows=4)
MakeData = Callable[..., TrainingData]


def keep_last(store: dict[str, bytes]) -> Hooks:
    return Hooks(load_checkpoint=lambda: store.get("last"), save_checkpoint=lambda blob: store.update(last=blob))


def facts(result: TrainingResult) -> dict[str, Any]:
    """All of a result but its durations."""
    return {**vars(result), "seconds": None}


def test_it_learns_what_can_be_learned(make_data: MakeData, make_validation: Callable[..., ValidationSet]) -> None:
    model = small_model()
    validation = make_validation(model)
    before = hits(model, validation, k=PHOTOS_PER_COLOUR).mean()
    result = train(model, make_data(model), replace(CONFIG, epochs=30, learning_rate=1e-3), Hooks())
    losses = [value for _, name, value in result.curves if name == "loss"]
    assert losses[-1] < losses[0] / 2
    assert hits(model, validation, k=PHOTOS_PER_COLOUR).mean() > max(0.85, before)
    assert not model.training


def test_equal_seeds_give_equal_models_and_others_do_not(make_data: MakeData) -> None:
    digests = []
    for seed in (5, 5, 6):
        model = small_model(vocabulary=VOCABULARY)
        train(model, make_data(model), replace(CONFIG, seed=seed), Hooks())
        digests.append(model.digest)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("interrupted_after", [1, 4, 7])
def test_an_interrupted_training_goes_on_to_the_very_same_model(
    make_data: MakeData, make_validation: Callable[..., ValidationSet], interrupted_after: int
) -> None:
    config = replace(CONFIG, checkpoint_seconds=0.0)
    validation = make_validation(small_model())

    def run(hooks: Hooks) -> tuple[SearchModel, TrainingResult]:
        model = small_model(vocabulary=VOCABULARY)
        torch.manual_seed(interrupted_after)  # the outside's random state plays no part
        hooks = replace(hooks, validate=lambda current: hit_rates(current, validation))
        return model, train(model, make_data(model), config, hooks)

    unbroken, expected = run(Hooks())
    store: dict[str, bytes] = {}
    with pytest.raises(Interrupted):
        run(dying_hooks(store, interrupted_after))
    resumed, result = run(keep_last(store))
    assert resumed.digest == unbroken.digest
    assert facts(result) == facts(expected)
    assert result.seconds > 0


@pytest.mark.parametrize("validates", [False, True])
def test_a_finished_training_is_not_repeated(make_data: MakeData, validates: bool) -> None:
    store: dict[str, bytes] = {}
    hooks = keep_last(store)
    if validates:
        hooks = replace(hooks, validate=lambda model: {HIT_RATE: 0.5})
    first = small_model()
    expected = train(first, make_data(first), CONFIG, hooks)
    again = small_model()

    def fail(model: SearchModel) -> dict[str, float]:
        raise AssertionError("validated again")

    result = train(again, make_data(again), CONFIG, replace(hooks, validate=fail))
    assert again.digest == first.digest
    assert result == expected


@pytest.mark.parametrize("options", [{}, {"average_decay": 0.5}])
def test_what_a_training_came_to_is_in_its_last_checkpoint(make_data: MakeData, options: dict[str, Any]) -> None:
    for validate in (None, lambda model: {HIT_RATE: 0.5}):
        store: dict[str, bytes] = {}
        first, again = small_model(), small_model(seed=1)
        result = train(
            first, make_data(first), replace(CONFIG, **options), replace(keep_last(store), validate=validate)
        )
        assert finished_training(again, store["last"]) == result
        assert again.digest == first.digest
    with raises(ModelError, "checkpoint_of_other_model"):
        finished_training(small_model(vocabulary=VOCABULARY), store["last"])


def test_a_training_that_is_not_over_has_no_result(make_data: MakeData) -> None:
    store: dict[str, bytes] = {}
    model = small_model()
    with pytest.raises(Interrupted):
        train(model, make_data(model), replace(CONFIG, checkpoint_seconds=0.0), dying_hooks(store))
    with raises(ModelError, "training_not_over", steps=1):
        finished_training(model, store["last"])


def test_the_checkpoint_of_another_training_is_refused(make_data: MakeData) -> None:
    store: dict[str, bytes] = {}
    model = small_model()
    train(model, make_data(model), CONFIG, keep_last(store))
    with raises(ModelError, "checkpoint_of_other_training"):
        train(model, make_data(model), replace(CONFIG, learning_rate=1.0), keep_last(store))


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best_weights(make_data: MakeData) -> None:
    rates = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])
    digests: list[str] = []

    def validate(model: SearchModel) -> dict[str, float]:
        assert not model.training
        digests.append(model.digest)
        rate = next(rates)
        return {HIT_RATE: rate, UNSEEN_HIT_RATE: 1 - rate}  # what is found of unseen photos stops nothing

    model = small_model()
    config = replace(CONFIG, epochs=9, patience=3)
    result = train(model, make_data(model), config, Hooks(validate=validate))
    assert [value for _, name, value in result.curves if name == HIT_RATE] == [0.1, 0.5, 0.4, 0.5, 0.3]
    unseen = [value for _, name, value in result.curves if name == UNSEEN_HIT_RATE]
    assert unseen == pytest.approx([0.9, 0.5, 0.6, 0.5, 0.7])
    assert (result.best_hit_rate, result.best_step, result.steps) == (0.5, 3, 12)  # 6 steps per pass, 2 validations
    assert result.stopped_because == "no better validation in 3"
    assert model.digest == digests[1]
    assert len(set(digests)) == 5


def test_an_epoch_can_be_of_another_number_of_pairs(make_data: MakeData) -> None:
    model = small_model()
    result = train(model, make_data(model), replace(CONFIG, pairs_per_epoch=3 * 16 + 5, epochs=3), Hooks())
    assert (result.steps, result.pairs_seen) == (9, 9 * 16)


def test_every_pass_sees_every_pair_once_in_another_order(make_data: MakeData) -> None:
    model = small_model()
    data = make_data(model)
    seen: list[list[int]] = []
    original = TrainingData.batch

    class Watched(TrainingData):
        def batch(self, rows: Any, *rest: Any, **options: Any) -> Any:
            seen.append(rows.tolist())
            return original(self, rows, *rest, **options)

    train(model, Watched(**vars(data)), CONFIG, Hooks())
    first, second = ([row for rows in batches for row in rows] for batches in (seen[1:7], seen[7:13]))
    assert seen[0] == seen[1]  # the first batch is also looked at for the bias
    assert sorted(first) == sorted(second) == list(range(len(data)))
    assert first != second


def test_the_mean_logit_starts_near_minus_the_log_of_the_batch(make_data: MakeData) -> None:
    model = small_model()
    train(model, make_data(model), replace(CONFIG, learning_rate=1e-12), Hooks())
    pixels = torch.stack([model.preprocess(Image.open(io.BytesIO(colour_png(uri))).convert("RGB")) for uri in URIS])
    with torch.no_grad():
        photo_vectors = model.combine(model.encode_images(pixels), None)
        cosine = (photo_vectors @ model.encode_queries(WORDS).T).mean()
    logit = model.network.logit_scale.exp() * cosine + model.network.logit_bias
    assert logit.item() == pytest.approx(-math.log(16), abs=1.5)


def test_a_loss_that_explodes_is_an_error(make_data: MakeData) -> None:
    model = small_model()
    with raises(ModelError, "loss_not_finite") as caught:
        train(model, make_data(model), replace(CONFIG, learning_rate=1e30), Hooks())
    assert caught.value.named["step"] >= 0


def test_progress_is_reported_with_rate_and_time_left(make_data: MakeData) -> None:
    lines: list[str] = []
    model = small_model()
    train(model, make_data(model), replace(CONFIG, report_seconds=0.0), Hooks(report=lines.append))
    assert len(lines) == 12
    assert lines[0].startswith("step 1/12 (epoch 1/2)")
    assert "pairs/s" in lines[0]
    assert lines[0].endswith("s left")
    assert lines[-1].endswith("all epochs done")


def test_the_keyword_encoder_is_trained(make_data: MakeData) -> None:
    model = small_model(vocabulary=VOCABULARY)
    train(model, make_data(model), CONFIG, Hooks())
    assert model.keyword_encoder is not None
    assert model.keyword_encoder.bag.weight.detach()[: len(VOCABULARY.keywords)].abs().sum(dim=1).min() > 0


def test_training_without_pairs_is_an_error(make_data: MakeData) -> None:
    model = small_model()
    with raises(ModelError, "no_pairs_to_train_on"):
        train(model, make_data(model, repeats=0), CONFIG, Hooks())
