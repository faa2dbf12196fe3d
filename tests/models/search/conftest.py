"""A toy catalogue the smallest model can learn: plain colours, each with a word."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.search.data import PhotoPixels, TrainingData
from models.search.keywords import KeywordVocabulary, RaggedKeywords
from models.search.model import SearchModel, build_tiny_model, extend_model
from models.search.training import Hooks
from models.search.validation import ValidationSet

COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 200, 20),
    "blue": (20, 20, 220),
    "yellow": (230, 230, 20),
    "black": (40, 40, 40),
    "white": (250, 250, 250),
    "purple": (140, 20, 140),
    "orange": (250, 140, 0),
}
WORDS = list(COLOURS)
PHOTOS_PER_COLOUR = 3


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (10, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def colour_png(uri: str) -> bytes:
    """Return the picture "colour/number": the colour, a little darker with every number."""
    colour, number = uri.split("/")
    red, green, blue = COLOURS[colour]
    shade = 1 - 0.08 * int(number)
    return png((int(red * shade), int(green * shade), int(blue * shade)))


def small_model(seed: int = 0, vocabulary: KeywordVocabulary | None = None) -> SearchModel:
    return extend_model(_model(seed), uses_country=False, vocabulary=vocabulary)


@cache
def _model(seed: int) -> SearchModel:
    """A model whose few tokens are learned from the colours: those of CLIP are most of the time of a step."""
    return build_tiny_model(
        seed=seed,
        texts=WORDS * 2,
        image_size=16,
        patch_size=8,
        vision_width=32,
        vision_layers=1,
        text_width=32,
        text_layers=1,
        embed_dim=16,
    )


class Interrupted(Exception):
    """A training that was broken off."""


def dying_hooks(store: dict[str, bytes], after: int = 1, **others: Any) -> Hooks:
    """Return hooks that keep the last checkpoint in `store` and die with the one of this number."""
    saved = itertools.count(1)

    def save(blob: bytes) -> None:
        store["last"] = blob
        if next(saved) == after:
            raise Interrupted

    return Hooks(load_checkpoint=lambda: store.get("last"), save_checkpoint=save, **others)


URIS = [f"{colour}/{number}" for colour in WORDS for number in range(PHOTOS_PER_COLOUR)]


@pytest.fixture
def make_pixels(tmp_path: Path) -> Callable[..., PhotoPixels]:
    def make(
        uris: list[str] | None = None, read: Callable[[str], bytes] = colour_png, byte_limit: int = 10**6
    ) -> PhotoPixels:
        return PhotoPixels(uris or URIS, read, small_model().preprocess, tmp_path, byte_limit, thread_count=2)

    return make


@pytest.fixture
def make_data(make_pixels: Callable[..., PhotoPixels]) -> Callable[..., TrainingData]:
    """Return a factory of pairs (photo, its colour's word), each photo `repeats` times."""

    def make(model: SearchModel, repeats: int = 4, pixels: PhotoPixels | None = None) -> TrainingData:
        photos = np.tile(np.arange(len(URIS)), repeats)
        keywords = None
        if model.vocabulary is not None:
            own = [[(uri.split("/")[0], 0.9), (f"shade {uri[-1]}", 0.5)] for uri in URIS]
            keywords = RaggedKeywords.encode(model.vocabulary, own)
        texts = photos // PHOTOS_PER_COLOUR
        return TrainingData(photos, texts, model.tokenize(WORDS).int(), pixels or make_pixels(), keywords)

    return make


@pytest.fixture
def make_validation(make_pixels: Callable[..., PhotoPixels]) -> Callable[..., ValidationSet]:
    """Return a factory of one query per photo: its colour's word."""

    def make(model: SearchModel, pixels: PhotoPixels | None = None) -> ValidationSet:
        photos = np.arange(len(URIS))
        return ValidationSet(
            photos, model.tokenize(WORDS).int(), photos // PHOTOS_PER_COLOUR, photos, pixels or make_pixels()
        )

    return make
