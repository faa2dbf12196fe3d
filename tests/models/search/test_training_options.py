"""What an arm may choose: each option does what it says, repeats itself, and survives an interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.search import objective
from models.search.data import TrainingData
from models.search.errors import ModelError
from models.search.negatives import NONE, HardNegatives
from models.search.options import TrainingConfig
from models.search.partners import CoConverted
from models.search.sampling import KnownPositives
from models.search.training import Hooks, train
from tests.errors import raises
from tests.models.search.conftest import PHOTOS_PER_COLOUR, URIS, WORDS, Interrupted, dying_hooks, small_model

CONFIG = TrainingConfig(epochs=1, batch_size=16, learning_rate=2e-3, seed=5, evaluations_per_epoch=2)
MakeData = Callable[..., TrainingData]


def digest(make_data: MakeData, hard: HardNegatives | None = None, **changes: Any) -> str:
    model = small_model()
    train(model, make_data(model), replace(CONFIG, **changes), Hooks(), hard)
    return model.digest


def other_colours(data: TrainingData) -> HardNegatives:
    """For every colour the photos of the next one."""
    photos = np.arange(len(URIS)).reshape(len(WORDS), PHOTOS_PER_COLOUR)
    photos = np.roll(photos, -1, axis=0)
    scores = np.zeros(photos.shape, np.float32)
    return HardNegatives(photos, scores, np.ones(len(data), np.float32))


def test_memory_options_learn_the_same(make_data: MakeData) -> None:
    curves = []
    for options in ({}, {"encode_chunk": 5, "loss_chunk": 3, "checkpoint_activations": True}):
        model = small_model()
        config = replace(CONFIG, learning_rate=1e-4, **options)
        curves.append(train(model, make_data(model), config, Hooks()).curves)
    losses = [[value for _, name, value in curve if name == "loss"] for curve in curves]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][0] != losses[0][-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "softmax"},
        {"mask_known_positives": False},
        {"average_decay": 0.9},
        {"layer_decay": 0.5},
        {"augment": ("crop", "flip", "colour", "grey")},
        {"two_views_weight": 0.5},
        {"frozen": "image"},
    ],
)
def test_an_option_changes_what_is_learned_the_same_way_each_time(make_data: MakeData, changes: dict[str, Any]) -> None:
    found = digest(make_data, **changes)
    assert found == digest(make_data, **changes) != digest(make_data)


def test_a_frozen_tower_stays(make_data: MakeData) -> None:
    before, model = small_model(), small_model()
    train(model, make_data(model), replace(CONFIG, frozen="image"), Hooks())
    assert model.image_digest == before.image_digest
    assert model.text_digest != before.text_digest
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_hard_negatives_are_in_the_batches_more_and_more(make_data: MakeData) -> None:
    model = small_model()
    data = make_data(model)
    counts: list[int] = []

    class Watched(TrainingData):
        def batch(self, *rest: Any, hard_photos: Any = None, **options: Any) -> Any:
            counts.append(len(hard_photos))
            made = TrainingData.batch(self, *rest, hard_photos=hard_photos, **options)
            assert made.pairs.extra_photo_U is not None
            assert int(made.pairs.extra_photo_U.sum()) == len(hard_photos)
            return made

    config = replace(CONFIG, hard_share=0.5)
    train(model, Watched(**vars(data)), config, Hooks(), other_colours(data))
    steps = counts[1:]  # the first look is for the bias
    assert steps[0] == 0
    assert steps[-1] == 8
    assert sorted(steps) == steps
    assert model.digest == digest(make_data, hard_share=0.5, hard=other_colours(data)) != digest(make_data)


def test_a_sampler_that_reaches_beyond_the_training_window_stops_the_training(make_data: MakeData) -> None:
    model = small_model()
    data = make_data(model)
    is_in_pool = np.ones(len(data.pixels), np.bool_)
    pooled = replace(data, is_in_pool=is_in_pool)
    train(model, pooled, replace(CONFIG, hard_share=0.5), Hooks(), other_colours(data))
    planted = int(other_colours(data).photos[0, 0])
    is_in_pool[planted] = False
    kept = np.flatnonzero(data.photos != planted)
    later = replace(pooled, photos=data.photos[kept], texts=data.texts[kept], weights=None)
    with raises(ModelError, "photo_outside_pool"):
        train(small_model(), later, replace(CONFIG, hard_share=0.5), Hooks(), other_colours(later))


def test_hard_negatives_need_a_share_and_a_share_needs_them(make_data: MakeData) -> None:
    with raises(ModelError, "hard_share_without_negatives"):
        digest(make_data, hard_share=0.5)
    with raises(ModelError, "loss_unknown", loss="mse"):
        digest(make_data, loss="mse")


def test_averaged_weights_survive_an_interruption(make_data: MakeData) -> None:
    store: dict[str, bytes] = {}
    config = replace(CONFIG, average_decay=0.95, checkpoint_seconds=0.0)
    hooks, model = dying_hooks(store, after=3), small_model()
    with pytest.raises(Interrupted):
        train(model, make_data(model), config, hooks)
    again = small_model()
    train(again, make_data(again), config, hooks)
    assert again.digest == digest(make_data, average_decay=0.95, checkpoint_seconds=1e9)


def test_known_positives_of_the_log_are_no_negatives(make_data: MakeData) -> None:
    data = make_data(small_model())
    known = KnownPositives.of(np.array([0, 5]), np.array([0, 1]), len(URIS))  # photo 5 was taken for group 1
    groups = np.array([0, 1, 1, *range(3, len(WORDS))])  # texts 1 and 2 are one query
    rows = np.array([np.flatnonzero(data.texts == text)[0] for text in (0, 1, 2)])  # photos 0, 3 and 6
    with_known = replace(data, known=known, group_ids=groups)
    batch = with_known.batch(rows, hard_photos=np.array([5]))
    assert batch.pairs.masked_2M is not None
    photos = np.array([0, 3, 5, 6])
    found = {(int(photos[u]), v) for u, v in batch.pairs.masked_2M.T.tolist()}
    assert found == {(0, 0), (5, 1), (5, 2)}
    _, negative_UV = batch.pairs.dense()
    assert negative_UV[2].tolist() == [1.0, 0.0, 0.0]
    assert NONE not in batch.pairs.photo_P


def with_partners(data: TrainingData) -> TrainingData:
    shards, photo_ids = np.zeros(len(URIS), np.int64), np.arange(len(URIS))
    return replace(
        data, queries=np.arange(len(WORDS)), co_converted=CoConverted.of(data.photos, data.texts, shards, photo_ids)
    )


def test_partners_were_taken_for_the_same_query_and_are_nothing_to_the_texts(make_data: MakeData) -> None:
    data = with_partners(make_data(small_model()))
    rows = np.arange(5)  # the photos 0 to 4: all of the first colour, two of the second
    batch = data.batch(rows, with_partners=True)
    assert batch.partners is not None
    photos = batch.photos[batch.partners.numpy()]
    assert sorted(photos[0].tolist()) == [0, 1, 2, 3, 4]
    assert (photos[0] // PHOTOS_PER_COLOUR == photos[1] // PHOTOS_PER_COLOUR).all()
    assert (photos[0] != photos[1]).all()
    is_extra = batch.pairs.photo_weights == 0
    assert batch.photos[is_extra.numpy()].tolist() in ([], [5])
    with raises(ModelError, "partners_unknown"):
        replace(data, co_converted=None).batch(rows, with_partners=True)


@pytest.mark.parametrize("options", [{"two_views_weight": 0.5}, {"partner_weight": 0.5}])
@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_losses_among_photos_are_learned_and_the_same_in_pieces(
    make_data: MakeData, options: dict[str, Any], loss: str
) -> None:
    curves = []
    for more in ({}, options, options | {"encode_chunk": 5, "loss_chunk": 3}):
        model = small_model()
        config = replace(CONFIG, loss=loss, learning_rate=1e-4, **more)
        curves.append(train(model, with_partners(make_data(model)), config, Hooks()).curves)
    plain, whole, pieces = ([value for _, name, value in curve if name == "loss"] for curve in curves)
    assert whole == pytest.approx(pieces, rel=1e-3)
    assert min(np.array(whole) - np.array(plain)) > 0.1


def test_pictures_are_augmented_in_training_only(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    original = objective.augment

    def watched(pixels: Any, photo_ids: Any, is_flippable: Any, kinds: Any, *, seed: int, step: int, view: int) -> Any:
        seen.append((step, view))
        assert is_flippable.tolist() == (photo_ids % 2 == 0).tolist()
        return original(pixels, photo_ids, is_flippable, kinds, seed=seed, step=step, view=view)

    monkeypatch.setattr(objective, "augment", watched)
    model = small_model()
    data = replace(make_data(model), is_flippable=np.arange(len(URIS)) % 2 == 0)
    config = replace(CONFIG, augment=("flip",), two_views_weight=0.1)
    result = train(model, data, config, Hooks())
    assert seen == [(step, view) for step in range(result.steps) for view in (0, 1)]


def test_an_unknown_augmentation_is_named(make_data: MakeData) -> None:
    with raises(ModelError, "augmentation_unknown", unknown=["blur"]):
        digest(make_data, augment=("blur",))
