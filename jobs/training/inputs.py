"""What both training stages read: the photos of the splits with their images and keywords, as the models want them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fsspec
import numpy as np
import polars as pl
import torch

from jobs.adapters.task_pool import core_count
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import BASE_MODEL
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models.search.data import Indices, PhotoPixels
from models.search.errors import ModelError
from models.search.model import SearchModel

PIXEL_CACHE_BYTES = 4_000_000_000
_READERS_PER_CORE = 2  # threads: one waits for a picture's bytes while another decodes


@contextmanager
def model_errors_of(stage: str) -> Iterator[None]:
    """Pass on what the models say as an error of the night."""
    try:
        yield
    except ModelError as error:
        raise BadInput(error.code, f"{stage}: {error}", **error.named | {"stage": stage}) from error


def training_device() -> str:
    """Return where to train: the first GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def read_photos(
    lake: Lake,
    splits: Manifest,
    images: Manifest,
    shards: Collection[int] | None = None,
    also: pl.Series | None = None,
) -> pl.DataFrame:
    """Return the corpus's photos that have an image, by photo_id, numbered in `photo` (int64).

    Of all `shards` or of some, and those of other shards whose ids are in `also`. Columns: those of `splits.photos`,
    shard, uri, and the lists keywords and confidences. Raises `MissingInput` if the whole corpus has no image.
    """
    with_image = lake.read_table(images, "images", ["photo_id", "uri"]).drop_nulls("uri")
    photos = _of_shards(lake, splits, "photos", shards, also).join(with_image, on="photo_id")
    if shards is None and photos.is_empty():
        raise MissingInput(
            "no_photo_with_image",
            f"no photo of {splits.reference} has an image in {images.reference}. Look at the reasons in that table "
            f"and run fetch_images again.",
            run=splits.reference,
        )
    words = _of_shards(lake, splits, "photo_keywords", shards, also).sort("photo_id", "keyword")
    lists = words.group_by("photo_id").agg(
        pl.col("keyword").alias("keywords"), pl.col("confidence").alias("confidences")
    )
    numbered = photos.sort("photo_id").with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("photo"))
    return numbered.join(lists, on="photo_id", how="left", maintain_order="left")


def _of_shards(
    lake: Lake, splits: Manifest, table: str, shards: Collection[int] | None, also: pl.Series | None
) -> pl.DataFrame:
    """Return rows of some shards of a table of photos, and those of other shards whose ids are in `also`."""
    rows = lake.read_shards(splits, table, shards)
    if shards is None or also is None:
        return rows
    others = (shard for shard in range(SplitsFacts.of(splits).shard_count) if shard not in shards)
    wanted = pl.col("photo_id").is_in(also.implode())
    return pl.concat([rows, *(lake.read_shards(splits, table, [shard]).filter(wanted) for shard in others)])


def keyword_lists(photos: pl.DataFrame) -> list[list[tuple[str, float]]]:
    """Return every photo's keywords with their confidences."""
    columns = photos["keywords"].to_list(), photos["confidences"].to_list()
    return [list(zip(names or [], values or [], strict=True)) for names, values in zip(*columns, strict=True)]


@contextmanager
def open_pixels(photos: pl.DataFrame, model: SearchModel, scratch: Path) -> Iterator[PhotoPixels]:
    """Give the photos' pixels at the model's size; `scratch` is a folder on a disk with room for them."""
    scratch.mkdir(parents=True, exist_ok=True)
    threads = _READERS_PER_CORE * core_count()
    pixels = PhotoPixels(photos["uri"].to_list(), _read, model.preprocess, scratch, PIXEL_CACHE_BYTES, threads)
    try:
        yield pixels
    finally:
        pixels.close()


def index_texts(model: SearchModel, texts: Sequence[str]) -> tuple[torch.Tensor, Indices]:
    """Return the tokens of the different texts (int32 [T, L]) and, for each text, which of them it is."""
    different, index = np.unique(np.array(texts, dtype=object), return_inverse=True)
    return model.tokenize(different.tolist()).int(), index.astype(np.int64)


def text_ids(texts: Sequence[str]) -> Indices:
    """Return a number for every text that is the same in every process, int64 [T]."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, np.int64)


def curve_rows(arm: str, curves: Sequence[tuple[int, str, float]]) -> pl.DataFrame:
    """Return training curves (step, name, value) as rows of the tables `curves`."""
    rows = [(arm, step, name, value) for step, name, value in curves]
    return pl.DataFrame(rows, schema=BASE_MODEL.table("curves").schema.names, orient="row")


def save_model(staged: StagedRun, arm: str, model: SearchModel) -> None:
    """Write a model as the files `<arm>/**` of a run."""
    with staged.local_folder(arm) as folder:
        model.save(folder)


def _read(uri: str) -> bytes:
    with fsspec.open(uri, "rb") as file:
        data: bytes = file.read()
    return data
