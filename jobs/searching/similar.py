"""Searching with a picture: what the index finds, put through the business filter of similar photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import polars as pl
from PIL import Image

from jobs.datasets.clean import IMAGES
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.reader import OpenRelease
from jobs.searching.results import Similar
from models import serving
from models.images import ImageError, decode_image
from models.search.model import SearchModel
from models.similar.duplicates import MAX_BITS, NearDuplicates, Shown, arrange, near_duplicates
from models.similar.picture_hash import WORDS, different_bits, picture_hash

_SPARE = 20
"""Results asked for beyond those shown, as some are near duplicates."""


def read_photo(lake: Lake, release: OpenRelease, photo_id: str) -> dict[str, Any] | None:
    """Return a photo of a release's night as its model takes it, picture and keywords; None if the night has none.

    `BadInput` if it has no picture.
    """
    splits, images = _runs(lake, release)
    photos = lake.read_table(splits, "photos", ["photo_id"])
    if photo_id not in photos["photo_id"]:
        return None
    data = _read_bytes(lake, images, [photo_id]).get(photo_id)
    if data is None:
        raise BadInput(
            "photo_without_picture",
            f"photo {photo_id} has no picture to search with. Name another, or give a file: --image FILE",
            photo_id=photo_id,
        )
    keywords = lake.read_table(splits, "photo_keywords").filter(pl.col("photo_id") == photo_id)
    return {serving.IMAGE: data, serving.KEYWORDS: keywords.select("keyword", "confidence").to_dicts()}


def find_similar(
    lake: Lake,
    release: OpenRelease,
    row: dict[str, Any],
    k: int,
    *,
    photo_id: str | None,
    country: str,
    how: NearDuplicates,
) -> Similar:
    """Return the `k` photos that are most like a picture and may be shown.

    `row` is what the model takes; `photo_id` says which photo of the corpus it is, None for a file. Hidden photos the
    index leaves out by itself. As long as near duplicates leave too few, the search goes deeper.
    """
    assert isinstance(release.model, SearchModel)  # opened with pictures
    embedder = serving.Embedder(release.model)
    vector_1D = serving.Embedder(release.model, release.exemplars).predict(pd.DataFrame([row]))
    photo_count = release.live.index.description.photo_count
    _, images = _runs(lake, release)
    depth = k + _SPARE
    while True:
        found = release.similar(vector_1D, depth, [country])[0]
        shown = _arranged(
            embedder, row, found, _read_bytes(lake, images, [name for name, _ in found]), photo_id, k, how
        )
        if len(shown.places) == k or depth >= photo_count:
            break
        depth *= 4
    names = [name for name, _ in found]
    return Similar(
        found=[found[place] for place in shown.places],
        alike={
            names[place]: tuple(names[i] for i in more) for place, more in zip(shown.places, shown.alike, strict=True)
        },
        same=tuple(names[place] for place in shown.same),
    )


def _arranged(
    embedder: serving.Embedder,
    row: dict[str, Any],
    found: Sequence[tuple[str, float]],
    data: dict[str, bytes],
    photo_id: str | None,
    k: int,
    how: NearDuplicates,
) -> Shown:
    """Return which of the results are shown; the query stands for itself at the head of the list."""
    names = [name for name, _ in found]
    pictures = [_decoded(row[serving.IMAGE]), *(_decoded(data.get(name)) for name in names)]
    hash_NW = np.stack([np.zeros(WORDS, np.uint16) if one is None else picture_hash(one) for one in pictures])
    is_known_N = _has_close_hash(hash_NW, np.array([one is not None for one in pictures]))
    vector_ND = np.zeros((len(pictures), embedder.model.dim), np.float32)
    contents = [row[serving.IMAGE], *(data.get(name) for name in names)]
    if is_known_N.any():  # of pictures alone, without keywords: whether they are the same is not a matter of words
        chosen = [contents[place] for place in np.flatnonzero(is_known_N)]
        vector_ND[is_known_N] = embedder.predict(pd.DataFrame({serving.IMAGE: chosen}))
    group_N = near_duplicates(vector_ND, hash_NW, is_known_N)
    is_query_N = np.array([name == photo_id for name in names], dtype=np.bool_)
    return arrange(group_N[1:] - 1, is_query_N, np.zeros(len(names), np.bool_), -1, k, how)


def _has_close_hash(hash_NW: np.ndarray[Any, Any], is_known_N: np.ndarray[Any, Any]) -> Any:
    """Tell which pictures have nearly the same hash as another: only of these it matters what their vectors say."""
    bits_NN = different_bits(hash_NW[:, None], hash_NW[None])
    is_close_NN = (bits_NN <= MAX_BITS) & is_known_N[:, None] & is_known_N[None]
    np.fill_diagonal(is_close_NN, False)
    return is_close_NN.any(axis=1)


def _decoded(data: bytes | None) -> Image.Image | None:
    try:
        return None if data is None else decode_image(data)
    except ImageError:  # shown as such where the results are
        return None


def _runs(lake: Lake, release: OpenRelease) -> tuple[Manifest, Manifest]:
    splits = lake.by_reference(release.description["runs"]["splits"]["reference"])
    return splits, lake.current(IMAGES, release.name.partition)


def _read_bytes(lake: Lake, images: Manifest, photo_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the pictures that are there, by photo; one may be gone since the night."""
    known = lake.read_table(images, "images", ["photo_id", "uri"]).drop_nulls("uri")
    read = {}
    for photo_id, uri in known.filter(pl.col("photo_id").is_in(list(photo_ids))).iter_rows():
        try:
            with fsspec.open(uri, "rb") as file:
                read[photo_id] = file.read()
        except FileNotFoundError:
            continue
    return read
