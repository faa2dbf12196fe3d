"""The pixel cache under its limit, batches with pictures that fail, and the hit rate of early stopping."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.images import decode_image
from models.search.data import PhotoPixels, TrainingData
from models.search.errors import ModelError
from models.search.keywords import KeywordVocabulary
from models.search.validation import FEWEST_UNSEEN, HIT_RATE, UNSEEN_HIT_RATE, ValidationSet, hit_rates, hits
from tests.errors import raises
from tests.models.search.conftest import COLOURS, URIS, WORDS, colour_png, png, small_model

BYTES_PER_PHOTO = 3 * 16 * 16


class Source:
    """Counts the reads of each picture; some are broken."""

    def __init__(self, *broken: str) -> None:
        self.reads: Counter[str] = Counter()
        self.broken = broken
        self.lock = threading.Lock()

    def __call__(self, uri: str) -> bytes:
        with self.lock:
            self.reads[uri] += 1
        return colour_png(uri)[:45] if uri in self.broken else colour_png(uri)


def test_a_photo_is_decoded_once_and_comes_back_in_the_order_asked_for(
    make_pixels: Callable[..., PhotoPixels],
) -> None:
    source = Source()
    pixels = make_pixels(read=source)
    asked = np.array([5, 0, 5, 7])
    first, is_good = pixels.fetch(asked)
    again, _ = pixels.fetch(asked)
    assert is_good.all()
    assert torch.equal(first, again)
    assert max(source.reads.values()) <= 2  # twice only if asked for twice before it was known
    assert torch.equal(first[0], first[2])
    red = torch.tensor(COLOURS["red"], dtype=torch.uint8).view(3, 1, 1).expand(3, 16, 16)
    assert torch.equal(first[1], red)


def test_past_the_limit_the_longest_unused_makes_room(make_pixels: Callable[..., PhotoPixels]) -> None:
    source = Source()
    pixels = make_pixels(read=source, byte_limit=3 * BYTES_PER_PHOTO + 100)
    for photo in (0, 1, 2, 0, 3, 0, 1):
        got, _ = pixels.fetch(np.array([photo]))
        assert torch.equal(got[0], small_model().preprocess(decode_image(colour_png(URIS[photo]))))
    assert [source.reads[URIS[photo]] for photo in range(4)] == [1, 2, 1, 1]  # 1 had to go for 3
    everything, is_good = pixels.fetch(np.arange(len(URIS)))  # more than there is room for
    assert is_good.all()
    assert len({bytes(picture.numpy().tobytes()) for picture in everything}) == len(URIS)


def test_no_room_for_a_single_photo_is_an_error(make_pixels: Callable[..., PhotoPixels]) -> None:
    with raises(ModelError, "no_room_for_pixels", byte_limit=BYTES_PER_PHOTO - 1):
        make_pixels(byte_limit=BYTES_PER_PHOTO - 1)


def test_a_broken_picture_is_reported_with_its_reason_and_tried_once(make_pixels: Callable[..., PhotoPixels]) -> None:
    source = Source("red/1")
    pixels = make_pixels(read=source)
    for _ in range(2):
        got, is_good = pixels.fetch(np.array([0, 1, 2]))
        assert is_good.tolist() == [True, False, True]
        assert not got[1].any()
    assert pixels.failures == {1: "truncated"}
    assert source.reads["red/1"] == 1


def test_a_batch_leaves_out_pairs_whose_picture_is_broken(
    make_pixels: Callable[..., PhotoPixels], make_data: Callable[..., TrainingData]
) -> None:
    model = small_model(vocabulary=KeywordVocabulary(("red",), 2))
    data = make_data(model, pixels=make_pixels(read=Source("red/1", "blue/0")))
    rows = np.array([0, 1, 2, 6, 9, 0])  # red/0 red/1 red/2 blue/0 yellow/0 red/0
    batch = data.batch(rows)
    assert batch.pair_count == 4
    assert batch.pairs.dense()[0].tolist() == [
        [2, 0],
        [1, 0],
        [0, 1],
    ]  # photos red/0, red/2, yellow/0; texts red, yellow
    assert len(batch.pixels) == len(batch.tokens) + 1 == 3
    assert torch.equal(batch.tokens, model.tokenize(["red", "yellow"]))
    assert batch.keywords is not None
    assert batch.keywords.starts.tolist() == [0, 2, 4, 6]


def test_a_batch_without_any_picture_is_an_error(
    make_pixels: Callable[..., PhotoPixels], make_data: Callable[..., TrainingData]
) -> None:
    data = make_data(small_model(), pixels=make_pixels(read=lambda uri: b"nonsense"))
    with raises(ModelError, "no_picture_decoded", reasons=["not_an_image"]):
        data.batch(np.array([0, 1]))


@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_hit_rate_is_that_of_a_plain_ranking(make_validation: Callable[..., ValidationSet], k: int) -> None:
    model = small_model(seed=2)
    validation = make_validation(model)
    with torch.inference_mode():
        photos = model.compose_photos(
            model.encode_images(validation.pixels.fetch(validation.photos)[0]), [[]] * len(URIS)
        )
        scores = (model.encode_queries(WORDS) @ photos.T).numpy()
    ranked = np.argsort(-scores, axis=1)
    expected = np.mean(
        [photo in ranked[word, :k] for word, photo in zip(validation.texts, validation.targets, strict=True)]
    )
    assert hits(model, validation, k, batch_size=5).mean() == pytest.approx(expected)


@pytest.mark.parametrize("unseen_count", [0, FEWEST_UNSEEN - 1, FEWEST_UNSEEN])
def test_unseen_photos_have_a_hit_rate_of_their_own_if_they_are_enough(
    make_validation: Callable[..., ValidationSet], unseen_count: int
) -> None:
    model = small_model(seed=2)
    validation = make_validation(model)
    found = hits(model, validation)
    expected = {HIT_RATE: found.mean()}
    if unseen_count == FEWEST_UNSEEN:
        expected[UNSEEN_HIT_RATE] = found[-unseen_count:].mean()
    is_unseen = np.arange(len(found)) >= len(found) - unseen_count
    assert hit_rates(model, replace(validation, is_unseen=is_unseen)) == pytest.approx(expected)
    assert hit_rates(model, validation).keys() == {HIT_RATE}


def test_a_constant_scorer_hits_nothing(
    make_pixels: Callable[..., PhotoPixels], make_validation: Callable[..., ValidationSet]
) -> None:
    model = small_model()
    same = make_pixels(read=lambda uri: png((9, 9, 9)))
    assert not hits(model, make_validation(model, same)).any()


def test_a_target_that_cannot_be_decoded_is_a_miss(
    make_pixels: Callable[..., PhotoPixels], make_validation: Callable[..., ValidationSet]
) -> None:
    model = small_model()
    half = make_pixels(read=lambda uri: b"" if uri.endswith("/0") else colour_png(uri))
    assert hits(model, make_validation(model, half), k=len(URIS)).mean() == pytest.approx(2 / 3)
