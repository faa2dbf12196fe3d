"""Perceptual hashes of the corpus: of the bytes that an earlier run has hashed already, nothing is decoded again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.adapters.task_pool import TaskPool
from jobs.context import RunContext
from jobs.datasets.evaluation import SIMILAR, SimilarFacts
from jobs.errors import MissingInput
from jobs.evaluation.ranking_task import Task
from jobs.lake.manifest import Manifest
from models.images import DECODER_VERSION, ImageError, decode_image
from models.similar.picture_hash import HASH_VERSION, WORDS, Words, picture_hash

VERSION = f"{HASH_VERSION}:{DECODER_VERSION}"
"""Of what makes a hash of bytes; in the facts of a run, as only hashes of the same may be used again."""

_PICTURES = 1024  # of a task
_THREADS = 4  # of a task
_GONE = "gone"

log = logging.getLogger("nightlens.evaluate_similar")


def read_hashes(
    ctx: RunContext, images: Manifest, task: Task, pool: TaskPool
) -> tuple[Words, NDArray[np.bool_], pl.Series]:
    """Return the hashes of the corpus, shape (P, W), which photos have one, shape (P,), and the digests of their bytes.

    Tasks read what was not hashed before, some pictures each. `MissingInput` for an image that was there when the night
    ran and no longer is.
    """
    listed = ctx.lake.read_table(images, "images", ["photo_id", "uri", "sha256"]).unique("photo_id")
    photos = task.photos.select("photo_id").join(listed, on="photo_id", how="left", maintain_order="left")
    before = _hashed_before(ctx)
    photos = photos.join(before, on="sha256", how="left", maintain_order="left")
    is_missing_P = photos.select(pl.col("uri").is_not_null() & pl.col("picture_hash").is_null()).to_series()
    missing = photos["uri"].filter(is_missing_P).to_list()
    parts = [missing[start : start + _PICTURES] for start in range(0, len(missing), _PICTURES)]
    found = [one for part in pool.each(_hash_pictures, parts) for one in part]
    _report(missing, found, photos["uri"].count())
    hash_PW, has_hash_P = _from_texts(photos["picture_hash"])
    read = [words for words in found if not isinstance(words, str)]
    places = np.flatnonzero(is_missing_P.to_numpy())[[not isinstance(words, str) for words in found]]
    if read:
        hash_PW[places], has_hash_P[places] = np.stack(read), True
    return hash_PW, has_hash_P, photos["sha256"]


def to_texts(hash_PW: Words, has_hash_P: NDArray[np.bool_]) -> pl.Series:
    """Return hashes as 32 hexadecimal digits each, null where there is none.

    >>> to_texts(np.array([[1, 0, 0, 0, 0, 0, 0, 258]], np.uint16), np.array([True])).to_list()
    ['01000000000000000000000000000201']
    """
    digits, width = hash_PW.astype("<u2").tobytes().hex(), 4 * WORDS
    texts = (digits[start : start + width] for start in range(0, len(digits), width))
    known = (text if is_known else None for text, is_known in zip(texts, has_hash_P, strict=True))
    return pl.Series(list(known), dtype=pl.String)


def _from_texts(texts: pl.Series) -> tuple[Words, NDArray[np.bool_]]:
    """Return the hashes that `to_texts` wrote, zero where there is none, and where there is one."""
    digits = "".join(texts.fill_null("0" * 4 * WORDS))
    words = np.frombuffer(bytes.fromhex(digits), "<u2").astype(np.uint16)
    return words.reshape(-1, WORDS), texts.is_not_null().to_numpy()


def _hashed_before(ctx: RunContext) -> pl.DataFrame:
    """Return the hashes of the latest run of any night (sha256, picture_hash), by the digest of the picture's bytes."""
    runs = [run for run in ctx.lake.history(SIMILAR) if SimilarFacts.of(run).hash_version == VERSION]
    if not runs:
        return pl.DataFrame(schema={"sha256": pl.String, "picture_hash": pl.String})
    return ctx.lake.read_table(runs[-1], "pictures", ["sha256", "picture_hash"]).drop_nulls().unique("sha256")


def _hash_pictures(uris: Sequence[str]) -> list[Words | str]:
    """Return the hash of each picture, or the reason why it has none."""
    with ThreadPoolExecutor(_THREADS) as pool:  # decoders let go of the interpreter, and stores answer late
        return list(pool.map(_read_hash, uris))


def _read_hash(uri: str) -> Words | str:
    try:
        with fsspec.open(uri, "rb") as file:
            return picture_hash(decode_image(file.read()))
    except FileNotFoundError:
        return _GONE
    except ImageError as error:
        return error.reason


def _report(missing: Sequence[str], found: Sequence[Words | str], picture_count: int) -> None:
    """Log what was hashed and what could not be; `MissingInput` for an image that is gone."""
    failed = Counter(one for one in found if isinstance(one, str))
    if failed[_GONE]:
        uri = next(uri for uri, one in zip(missing, found, strict=True) if isinstance(one, str) and one == _GONE)
        raise MissingInput(
            "image_removed", f"the image {uri} is gone. Put it back, or run the stage fetch_images again.", uri=uri
        )
    log.info("pictures hashed: %d, known before: %d", len(found), picture_count - len(found))
    if failed:
        log.warning("pictures without a hash: %s", dict(failed))
