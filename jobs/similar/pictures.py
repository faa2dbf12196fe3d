"""Perceptual hashes of the corpus: of the bytes that an earlier run has hashed already, nothing is decoded again."""

from __future__ import annotations

import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.context import RunContext
from jobs.datasets.evaluation import SIMILAR, SimilarFacts
from jobs.errors import MissingInput
from jobs.evaluation.ranking_task import Task
from jobs.lake.manifest import Manifest
from models.images import DECODER_VERSION, ImageError, decode_image
from models.similar.picture_hash import HASH_VERSION, WORDS, Words, picture_hash

VERSION = f"{HASH_VERSION}:{DECODER_VERSION}"
"""Of what makes a hash of bytes; in the facts of a run, as only hashes of the same may be used again."""

log = logging.getLogger("nightlens.evaluate_similar")


def read_hashes(ctx: RunContext, images: Manifest, task: Task) -> tuple[Words, NDArray[np.bool_], pl.Series]:
    """Return the hashes of the corpus, shape (P, W), which photos have one, shape (P,), and the digests of their bytes.

    `MissingInput` for an image that was there when the night ran and no longer is.
    """
    known = ctx.lake.read_table(images, "images", ["photo_id", "uri", "sha256"]).unique("photo_id")
    photos = task.photos.select("photo_id").join(known, on="photo_id", how="left", maintain_order="left")
    hashes = _hashed_before(ctx)
    missing = photos.drop_nulls("uri").filter(pl.col("sha256").is_null() | ~pl.col("sha256").is_in(list(hashes)))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # decoders let go of the interpreter
        by_photo = dict(zip(missing["photo_id"], pool.map(_read_hash, missing["uri"]), strict=True))
    failed = Counter(found for found in by_photo.values() if isinstance(found, str))
    log.info("pictures hashed: %d, known before: %d", len(by_photo), photos["uri"].count() - len(by_photo))
    if failed:
        log.warning("pictures without a hash: %s", dict(failed))
    hash_PW = np.zeros((len(photos), WORDS), np.uint16)
    has_hash_P = np.zeros(len(photos), np.bool_)
    for place, (photo_id, sha256) in enumerate(photos.select("photo_id", "sha256").iter_rows()):
        words = by_photo.get(photo_id, hashes.get(sha256))
        if words is not None and not isinstance(words, str):
            hash_PW[place], has_hash_P[place] = words, True
    return hash_PW, has_hash_P, photos["sha256"]


def to_text(words_W: Words) -> str:
    """Return a hash as 32 hexadecimal digits.

    >>> to_text(np.array([1, 0, 0, 0, 0, 0, 0, 258], np.uint16))
    '01000000000000000000000000000201'
    """
    return words_W.astype("<u2").tobytes().hex()


def from_text(text: str) -> Words:
    """Return the hash that `to_text` wrote."""
    return np.frombuffer(bytes.fromhex(text), "<u2").astype(np.uint16)


def _hashed_before(ctx: RunContext) -> dict[str, Words]:
    """Return the hashes of the latest run of any night, by the digest of the picture's bytes."""
    runs = [run for run in ctx.lake.history(SIMILAR) if SimilarFacts.of(run).hash_version == VERSION]
    if not runs:
        return {}
    rows = ctx.lake.read_table(runs[-1], "pictures", ["sha256", "picture_hash"]).drop_nulls()
    return {sha256: from_text(text) for sha256, text in rows.iter_rows()}


def _read_hash(uri: str) -> Words | str:
    """Return a picture's hash, or the reason why it has none."""
    try:
        with fsspec.open(uri, "rb") as file:
            return picture_hash(decode_image(file.read()))
    except FileNotFoundError as error:
        raise MissingInput(
            "image_removed", f"the image {uri} is gone. Put it back, or run the stage fetch_images again.", uri=uri
        ) from error
    except ImageError as error:
        return error.reason
