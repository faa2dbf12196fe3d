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

from models.search.counter_random import uniforms
from models.search.data import PhotoPixels, TrainingData
from models.search.errors import ModelError
from models.search.keywords import KeywordVocabulary, RaggedKeywords
from models.search.model import SearchModel
from models.search.negatives import NONE, Candidates, HardNegatives, Shown, mine, passed_over
from models.search.options import TrainingConfig
from models.search.partners import CoConverted
from models.search.sampling import KnownPositives, merge_pairs
from models.search.training import Hooks, TrainingResult, train
from models.search.validation import HIT_RATE, photo_vectors, text_vectors
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
    "hard": {"hard_share": 1.0},
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


def vector(ids: np.ndarray) -> torch.Tensor:
    """Return small whole numbers for ids: many are equally near, and products are exact."""
    return torch.from_numpy((uniforms(0, 0, 0, ids, 4) * 3).round().astype(np.float32))


def mined(data: TrainingData, world: World, **sizes: int) -> HardNegatives:
    held = np.arange(len(data.pixels))
    ids = data.ids_of_photos(held)
    photos = Candidates(held, ids, lambda some: vector(ids[some]))
    texts = np.arange(len(data.tokens))
    assert data.known is not None
    return mine(
        vector(data.ids_of_texts(texts)),
        photos,
        data.texts,
        data.photos,
        data.known,
        data.ids_of_groups(texts),
        k=5,
        max_share=0.9,
        world=world,
        **sizes,
    )


def seen(data: TrainingData, world: World) -> HardNegatives:
    """Return what was passed over: for every text every third photo, also for texts that another process holds."""
    held, texts = np.arange(len(data.pixels)), (np.arange(len(WORDS)) * 7919 + 5) * 10**9
    photos, text_ids = (cells.reshape(-1) for cells in np.meshgrid(held, texts))
    ids = data.ids_of_photos(photos)
    is_shown = (ids // 10**10 + text_ids // 10**9) % 3 == 0
    photos, text_ids, ids = photos[is_shown], text_ids[is_shown], ids[is_shown]
    assert data.known is not None
    shown = Shown(text_ids, text_ids, photos, ids, 1.0 + ids // 10**10 % 4)
    own = data.ids_of_texts(np.arange(len(data.tokens)))
    return passed_over(shown, data.known, own, pair_count=len(data), k=3, world=world)


def train_case(
    name: str, shards: set[int], world: World, folder: Path, hooks: Hooks | None = None
) -> tuple[SearchModel, TrainingResult]:
    model = small_model(seed=SEED if world.is_first else SEED + 1, vocabulary=VOCABULARY)  # the first one's counts
    data = data_of(shards, model, folder)
    data = replace(data, popularity_sums=tuple(world.total(data.own_popularity_sums())))
    rates = iter([0.1, 0.3, 0.2, 0.4, 0.35])
    hooks = Hooks(validate=lambda _: {HIT_RATE: next(rates)}) if hooks is None else hooks
    hard = mined(data, world) if "hard_share" in CASES[name] else None
    return model, train(model, data, replace(CONFIG, **CASES[name]), hooks, hard, world)


def run_rank(rank: int, folder: Path) -> dict[Any, Any]:
    shards, world, found = {rank, rank + 2}, World.joined("cpu"), {}
    for name in CASES:
        model, result = train_case(name, shards, world, folder)
        found[name] = model.state_dict(), vars(result)
    data = data_of({3} if rank else {0, 1, 2}, small_model(), folder)  # one has more blocks of photos
    found["negatives"] = data.text_ids, limits_of(data, mined(data, world)), negatives(data, world)
    data = data_of(shards, small_model(vocabulary=VOCABULARY), folder)
    store: dict[str, bytes] = {}
    # only the first saves, then everybody dies; all go on from what it saved
    dying = dying_hooks(store, validate=lambda _: {HIT_RATE: 0.5})
    config = replace(CONFIG, checkpoint_seconds=0.0)
    with suppress(Interrupted):
        train(small_model(SEED, VOCABULARY), data, config, dying, world=Dying(rank, RANKS))
    blobs: list[Any] = [store.get("last")]
    dist.broadcast_object_list(blobs, src=0)
    again = small_model(SEED + 5, VOCABULARY)
    result = train(again, data, config, Hooks(lambda _: {HIT_RATE: 0.5}, load_checkpoint=lambda: blobs[0]), world=world)
    found["resumed"] = again.state_dict(), vars(result)
    unbroken = small_model(SEED, VOCABULARY)
    result = train(unbroken, data, config, Hooks(lambda _: {HIT_RATE: 0.5}), world=world)
    found["unbroken"] = unbroken.state_dict(), vars(result)
    return found


def negatives(data: TrainingData, world: World) -> list[HardNegatives]:
    """Return what is mined, in small blocks, and what was passed over."""
    return [mined(data, world, photo_block=5, text_block=3), seen(data, world)]


def limits_of(data: TrainingData, hard: HardNegatives) -> dict[tuple[int, int], float]:
    """Return the limit of every pair by the ids of its photo and text."""
    ids = data.ids_of_photos(data.photos).tolist(), data.ids_of_texts(data.texts).tolist()
    return dict(zip(zip(*ids, strict=True), hard.limits.tolist(), strict=True))


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


def test_two_processes_find_the_hard_negatives_that_one_finds(ranks: list[dict[str, Any]], tmp_path: Path) -> None:
    data = data_of(set(range(SHARDS)), small_model(), tmp_path)
    assert data.text_ids is not None
    whole = mined(data, World()), seen(data, World())
    limits: dict[tuple[int, int], float] = {}
    for rank in ranks:
        text_ids, own_limits, found = rank["negatives"]
        limits |= own_limits
        own = np.searchsorted(data.text_ids, text_ids)
        for one, other in zip(found, whole, strict=True):
            assert one.photos.tolist() == other.photos[own].tolist()
            assert one.scores.tolist() == other.scores[own].tolist()
            assert (one.photos != NONE).any(axis=1).all()
    assert limits == limits_of(data, whole[0])


@pytest.mark.quick
def test_a_process_without_pairs_is_told(make_data: Callable[..., TrainingData]) -> None:
    data = make_data(small_model())
    with raises(ModelError, "batch_without_pairs"):
        data.batch(np.zeros(0, np.int64))
