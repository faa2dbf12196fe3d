"""What Spark's workers do when they embed: load the model once, decode ahead of it, commit part by part.

Workers import this module, so the models they load stay in its memory from task to task. Shapes: B batch,
D embedding dimension, C H W channels and pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from PIL import Image

from jobs.embedding.encode_job import EncodeJob, ModelSource
from jobs.lake.vector_store import CHANGED, UNREADABLE, Encoded, Row, commit_parts, vector_array
from models.images import ImageError, decode_image
from models.search.model import SearchModel

DECODE_CHUNK = 16  # pictures per task of a decoding thread
BATCHES_AHEAD = 3  # decoded or being decoded while the model works
MODELS_KEPT = 2  # per worker process


# -- models in worker processes --------------------------------------------------------------------------

_models: dict[tuple[ModelSource, str], SearchModel] = {}


def pick_device(resources: Mapping[str, Any]) -> str:
    """Return the torch device for what Spark assigned to a task: its first GPU, else the CPU.

    >>> pick_device({})
    'cpu'
    """
    gpu = resources.get("gpu")
    return f"cuda:{gpu.addresses[0]}" if gpu is not None and gpu.addresses else "cpu"


def prepare_task() -> str:
    """Return the device of this Spark task; on a CPU, keep torch to the cores the task was given."""
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        return "cpu"
    device = pick_device(context.resources())
    if device == "cpu":
        torch.set_num_threads(max(1, context.cpus()))
    return device


def cached_model(source: ModelSource, device: str) -> SearchModel:
    """Return a model, loaded once per process; the one used longest ago makes room for another."""
    model = _models.pop((source, device), None)
    if model is None:
        while len(_models) >= MODELS_KEPT:
            del _models[next(iter(_models))]
        model = source.load(device)
    _models[source, device] = model
    return model


# -- the worker functions --------------------------------------------------------------------------------


def embed_photos(batches: Iterable[pa.RecordBatch], job: EncodeJob) -> Iterator[pa.RecordBatch]:
    """Embed images (columns part, key, uri, sha256; sorted by part and key) into the store, part by part.

    Gives back (key, reason) of those that have no vector.
    """
    device = prepare_task()
    model = cached_model(job.source, device)
    rows = (
        Row(*values)
        for batch in batches
        for values in zip(*(batch.column(n).to_pylist() for n in ("part", "key", "uri", "sha256")), strict=True)
    )
    thread_count = 2 if device == "cpu" else min(16, os.cpu_count() or 2)
    with ThreadPoolExecutor(thread_count, thread_name_prefix="decode") as pool:
        encoded = (
            Encoded(rows_B, encode_pixels(model, pixels_BCHW, device, job.precision), reasons)
            for rows_B, pixels_BCHW, reasons in decode_ahead(cut_batches(rows, job.batch_size), model.preprocess, pool)
        )
        yield from commit_parts(encoded, job.store)


def embed_queries(batches: Iterable[pa.RecordBatch], job: EncodeJob) -> Iterator[pa.RecordBatch]:
    """Embed texts (columns part, key, text; sorted by part and key) into the store, part by part."""
    device = prepare_task()
    model = cached_model(job.source, device)
    rows = (
        Row(*values)
        for batch in batches
        for values in zip(*(batch.column(n).to_pylist() for n in ("part", "key", "text")), strict=True)
    )
    encoded = (
        Encoded(
            rows_B, encode_texts(model, [row.content for row in rows_B], device, job.precision), [None] * len(rows_B)
        )
        for rows_B in cut_batches(rows, job.batch_size)
    )
    yield from commit_parts(encoded, job.store)


def compose_photos(batches: Iterable[pa.RecordBatch], source: ModelSource, arm: str) -> Iterator[pa.RecordBatch]:
    """Turn stored features and keywords (columns photo_id, vector, keywords) into the arm's unit vectors."""
    prepare_task()
    model = cached_model(source, "cpu")
    for batch in batches:
        if batch.num_rows == 0:
            continue
        features_BD, keywords = _features_and_keywords(batch)
        with torch.inference_mode():
            unit_BD = model.compose_photos(torch.tensor(features_BD), keywords).numpy()
        yield pa.RecordBatch.from_arrays(
            [pa.array([arm] * batch.num_rows), batch.column("photo_id"), vector_array(unit_BD)],
            names=["arm", "photo_id", "vector"],
        )


def describe_exemplars(batches: Iterable[pa.RecordBatch], source: ModelSource, arm: str) -> Iterator[pa.RecordBatch]:
    """Give stored features (columns photo_id, vector, keywords) with what the arm's keywords add to them."""
    prepare_task()
    model = cached_model(source, "cpu")
    for batch in batches:
        if batch.num_rows == 0:
            continue
        features_BD, keywords = _features_and_keywords(batch)
        with torch.inference_mode():
            keyword_BD = model.encode_keywords(keywords).numpy()
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([arm] * batch.num_rows),
                batch.column("photo_id"),
                vector_array(features_BD),
                vector_array(keyword_BD),
            ],
            names=["arm", "photo_id", "feature", "keyword_vector"],
        )


def _features_and_keywords(batch: pa.RecordBatch) -> tuple[npt.NDArray[np.float32], list[list[tuple[str, float]]]]:
    features_BD = batch.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
    keywords = [
        [(entry["keyword"], entry["confidence"]) for entry in entries or ()]
        for entries in batch.column("keywords").to_pylist()
    ]
    return features_BD, keywords


def cut_batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Cut sorted rows into batches of `size`; the last one of a part may be smaller, none reaches into the next."""
    for _, of_part in itertools.groupby(rows, key=lambda row: row.part):
        while batch := list(itertools.islice(of_part, size)):
            yield batch


def decode_ahead(
    batches: Iterable[list[Row]], preprocess: Callable[[Any], torch.Tensor], pool: ThreadPoolExecutor
) -> Iterator[tuple[list[Row], torch.Tensor, list[str | None]]]:
    """Give every batch with its pixels [B, C, H, W], a few batches being decoded while the caller works on one.

    Rows without pixels have a reason and zeros in their place.
    """
    empty = torch.zeros_like(preprocess(Image.new("RGB", (8, 8))))
    waiting: deque[tuple[list[Row], list[Future[Decoded]]]] = deque()
    for rows in batches:
        chunks = [rows[start : start + DECODE_CHUNK] for start in range(0, len(rows), DECODE_CHUNK)]
        waiting.append((rows, [pool.submit(_decode, chunk, preprocess) for chunk in chunks]))
        if len(waiting) >= BATCHES_AHEAD:
            yield _collect(*waiting.popleft(), empty)
    while waiting:
        yield _collect(*waiting.popleft(), empty)


Decoded = list[tuple["torch.Tensor | None", "str | None"]]


def _decode(rows: list[Row], preprocess: Callable[[Any], torch.Tensor]) -> Decoded:
    results: Decoded = []
    for row in rows:
        try:
            data = read_bytes(row.content)
            if hashlib.sha256(data).hexdigest() != row.sha256:
                results.append((None, CHANGED))
                continue
            results.append((preprocess(decode_image(data)), None))
        except ImageError as error:
            results.append((None, error.reason))
        except OSError:
            results.append((None, UNREADABLE))
    return results


def _collect(
    rows: list[Row], futures: list[Future[Decoded]], empty: torch.Tensor
) -> tuple[list[Row], torch.Tensor, list[str | None]]:
    decoded = [result for future in futures for result in future.result()]
    pixels_BCHW = torch.stack([empty if pixels is None else pixels for pixels, _ in decoded])
    return rows, pixels_BCHW, [reason for _, reason in decoded]


def read_bytes(uri: str) -> bytes:
    """Return the bytes of a file or an object."""
    if "://" not in uri:
        return Path(uri).read_bytes()
    with fsspec.open(uri, "rb") as file:
        return bytes(file.read())


@torch.inference_mode()
def encode_pixels(
    model: SearchModel, pixels_BCHW: torch.Tensor, device: str, precision: str
) -> npt.NDArray[np.float32]:
    """Return raw image features, float32 [B, D], of a batch from `model.preprocess`."""
    with _autocast(device, precision):
        return _to_numpy(model.encode_images(pixels_BCHW.to(device, non_blocking=True)))


@torch.inference_mode()
def encode_texts(model: SearchModel, texts: list[str], device: str, precision: str) -> npt.NDArray[np.float32]:
    """Return unit text vectors, float32 [B, D]."""
    with _autocast(device, precision):
        return _to_numpy(model.encode_queries(texts))


def _autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    if precision == "float32":
        return contextlib.nullcontext()
    if device == "cpu":
        raise ValueError("bfloat16 is for GPUs; the stage should have asked for float32")
    return torch.autocast("cuda", torch.bfloat16)


def _to_numpy(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
