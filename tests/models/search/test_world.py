"""Two processes that hold half of the photos each learn what one learns that holds all.

The processes train every case and write what came of it; each test compares one case with a training in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from models.search.data import PhotoPixels, TrainingData
from models.search.errors import ModelError
from models.search.keywords import KeywordVocabulary, RaggedKeywords
from models.search.model import SearchModel
from models.search.negatives import HardNegatives
from models.search.options import TrainingConfig
from models.search.partners import CoConverted
from models.search.sampling import KnownPositives, merge_pairs
from models.search.training import Hooks, TrainingResult, train
from models.search.validation import photo_vectors, text_vectors
from models.search.world import World
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
from tests.models.search.ranks import in_ranks

pytestmark = pytest.mark.integration

RANKS, SHARDS = 2, 4
CONFIG = TrainingConfig(
    epochs=2, batch_size=24, learning_rate=2e-3, seed=5, evaluations_per_epoch=2, pairs_per_epoch=170
)
CASES: dict[str, dict[str, Any]] = {
    "sigmoid": {},
    "softmax": {"loss": "softmax", "mask_known_positives": False},
    "images": {"augment": ("crop", "flip", "colour"), "two_views_weight": 0.3, "partner_weight": 0.4},
    "in pieces": {
        "encode_chunk": 5,
        "loss_chunk": 3,
        "average_decay": 0.5,
        "two_views_weight": 0.2,
        "partner_weight": 0.2,
    },
}
VOCABULARY = KeywordVocabulary(tuple(sorted(WORDS)), hash_rows=4)
SEED = 3


def log() -> tuple[np.ndarray, np.ndarray]:
    """Return what was taken: every photo for its colour and its neighbour's, some of them often."""
    photos = np.arange(len(URIS))
    own, neighbour = photos // PHOTOS_PER_COLOUR, (photos // PHOTOS_PER_COLOUR + 1) % len(WORDS)
    repeats = 1 + photos % 5
    photo_P = np.concatenate([np.repeat(photos, repeats), photos[::2]])
    return photo_P, np.concatenate([np.repeat(own, repeats), neighbour[::2]])


def data_of(shards: set[int], model: SearchModel, folder: Path) -> TrainingData:
    """Return what a process knows that holds some of the shards: photos, texts and numbers of its own."""
    held = np.array([photo for photo in range(len(URIS)) if photo % SHARDS in shards])
    photo_P, text_P = log()
    is_held = np.isin(photo_P, held)
    texts = np.unique(text_P[is_held])
    photo_P, text_P = np.searchsorted(held, photo_P[is_held]), np.searchsorted(texts, text_P[is_held])
    text_ids = (texts * 7919 + 5) * 10**9
    known = KnownPositives.of(photo_P, text_ids[text_P], len(held))
    photos, pair_texts, weights = merge_pairs(photo_P, text_P)
    uris = [URIS[photo] for photo in held]
    keywords = [[(uri.split("/")[0], 0.9), (f"shade {uri[-1]}", 0.5)] for uri in uris]
    return TrainingData(
        photos,
        pair_texts,
        model.tokenize([WORDS[text] for text in texts]).int(),
        PhotoPixels(uris, colour_png, model.preprocess, folder, 10**6, thread_count=1),
        RaggedKeywords.encode(VOCABULARY, keywords),
        weights=weights,
        known=known,
        popularity_correction=0.7,
        photo_ids=held * 10**10 + 3,
        text_ids=text_ids,
        is_flippable=held % 7 > 0,
        queries=np.arange(len(texts)),
        co_converted=CoConverted.of(photo_P, text_P, held % SHARDS, held * 10**10 + 3),
        shards=held % SHARDS,
        shard_count=SHARDS,
    )


def train_case(
    name: str, shards: set[int], world: World, folder: Path, hooks: Hooks | None = None
) -> tuple[SearchModel, TrainingResult]:
    model = small_model(seed=SEED if world.is_first else SEED + 1, vocabulary=VOCABULARY)  # the first one's counts
    data = data_of(shards, model, folder)
    data = replace(data, popularity_sums=tuple(world.total(data.own_popularity_sums())))
    rates = iter([0.1, 0.3, 0.2, 0.4, 0.35])
    hooks = Hooks(validate=lambda _: next(rates)) if hooks is None else hooks
    return model, train(model, data, replace(CONFIG, **CASES[name]), hooks, world=world)


def run_rank(rank: int, folder: Path) -> dict[Any, Any]:
    shards, world, found = {rank, rank + 2}, World.joined("cpu"), {}
    for name in CASES:
        model, result = train_case(name, shards, world, folder)
        found[name] = model.state_dict(), vars(result)
    model = small_model(vocabulary=VOCABULARY)
    hard = HardNegatives(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), np.ones(1, np.float32))
    try:
        train(model, data_of(shards, model, folder), replace(CONFIG, hard_share=0.5), Hooks(), hard, world)
    except ModelError as error:
        found["hard"] = error.code
    store: dict[str, bytes] = {}
    # only the first saves, then everybody dies; all go on from what it saved
    dying = dying_hooks(store, validate=lambda _: 0.5)
    config = replace(CONFIG, checkpoint_seconds=0.0)
    data = data_of(shards, model, folder)
    with suppress(Interrupted):
        train(small_model(SEED, VOCABULARY), data, config, dying, world=Dying(rank, RANKS))
    blobs: list[Any] = [store.get("last")]
    dist.broadcast_object_list(blobs, src=0)
    again = small_model(SEED + 5, VOCABULARY)
    result = train(again, data, config, Hooks(lambda _: 0.5, load_checkpoint=lambda: blobs[0]), world=world)
    found["resumed"] = again.state_dict(), vars(result)
    unbroken = small_model(SEED, VOCABULARY)
    result = train(unbroken, data, config, Hooks(lambda _: 0.5), world=world)
    found["unbroken"] = unbroken.state_dict(), vars(result)
    return found


def vectors(model: SearchModel, data: TrainingData) -> torch.Tensor:
    """Return the vectors of all photos and texts."""
    photos = photo_vectors(model, np.arange(len(data.pixels)), data.pixels, data.keywords)
    return torch.cat([photos, text_vectors(model, data.tokens)])


class Dying(World):
    """A world in which those that do not save die after a step."""

    def sum_gradients(self, parameters: Any) -> None:
        super().sum_gradients(parameters)
        if not self.is_first:
            raise Interrupted


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_ranks(run_rank, RANKS, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_learns(name: str, ranks: list[dict[str, Any]], tmp_path: Path) -> None:
    model, result = train_case(name, set(range(SHARDS)), World(), tmp_path)
    assert model.keyword_encoder is not None
    (own, facts), (other, _) = (rank[name] for rank in ranks)
    assert all(torch.equal(own[key], other[key]) for key in own)
    assert [row[:2] for row in facts["curves"]] == [row[:2] for row in result.curves]
    assert len(result.curves) > 40
    for (_, curve, found), (*_, value) in zip(facts["curves"], result.curves, strict=True):
        assert found == pytest.approx(value, rel=2e-3, abs=1e-4), curve
    data = data_of(set(range(SHARDS)), model, tmp_path)
    expected = [vectors(model, data), model.keyword_encoder.bag.weight.detach().clone()]
    model.load_state_dict(own)
    found = [vectors(model, data), model.keyword_encoder.bag.weight.detach()]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    same = ("steps", "pairs_seen", "best_hit_rate", "best_step", "stopped_because")
    assert [facts[key] for key in same] == [getattr(result, key) for key in same]


def test_a_broken_off_training_goes_on_in_all_processes(ranks: list[dict[str, Any]]) -> None:
    (resumed, result), (other, _) = (rank["resumed"] for rank in ranks)
    unbroken, expected = ranks[0]["unbroken"]
    assert all(torch.equal(resumed[key], other[key]) for key in resumed)
    assert all(torch.equal(resumed[key], unbroken[key]) for key in resumed)
    assert result["curves"] == expected["curves"]


def test_hard_negatives_need_one_process(ranks: list[dict[str, Any]]) -> None:
    assert all(rank["hard"] == "hard_negatives_need_one_process" for rank in ranks)


@pytest.mark.quick
def test_a_process_without_pairs_is_told(make_data: Callable[..., TrainingData]) -> None:
    data = make_data(small_model())
    with raises(ModelError, "batch_without_pairs"):
        data.batch(np.zeros(0, np.int64))
