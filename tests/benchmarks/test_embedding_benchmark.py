"""Embedding through the stage's worker function against the bare forward pass of the same model.

    pytest -m benchmark tests/benchmarks/test_embedding_benchmark.py -s

The bare pass has its pixels in memory, in batches of the same size; the worker also reads the files, checks their
SHA-256, decodes and resizes them, and commits parts. Both run on one torch thread, as a Spark task on a CPU does,
by turns, and the best of each counts. Decoding runs beside the model, so the ratio depends on free cores.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.embedding import EmbedPhotosParams
from jobs.datasets.models import SEARCH_MODELS
from jobs.embedding import workers
from jobs.embedding.encode_job import EncodeJob, ModelSource
from models.images import decode_image
from models.search.model import build_tiny_model
from tests.conftest import Contexts
from tests.jobs.embedding_fixtures import commit_models, write_pictures

IMAGE_COUNT, ROUNDS = 4_000, 3
MOST_TIMES_SLOWER = 4.0


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    workers._models.clear()


@pytest.mark.benchmark
def test_the_worker_against_the_bare_forward_pass(make_context: Contexts, tmp_path: Path) -> None:
    ctx, params = make_context(), EmbedPhotosParams()
    model = build_tiny_model()
    commit_models(ctx, {ZERO_SHOT: model})
    paths = list(write_pictures(tmp_path / "photos", IMAGE_COUNT, side=72).values())
    contents = [path.read_bytes() for path in paths]
    rows = pa.RecordBatch.from_pylist(
        [
            {
                "part": number // params.part_size,
                "key": f"{number:08}",
                "uri": str(path),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for number, (path, data) in enumerate(zip(paths, contents, strict=True))
        ]
    )
    pixels_NCHW = torch.stack([model.preprocess(decode_image(data)) for data in contents])
    manifest = ctx.read(SEARCH_MODELS).model_dump_json()
    source = ModelSource(ctx.settings.lake_uri, ctx.catalogue, manifest, ZERO_SHOT)
    workers.cached_model(source, "cpu")

    bare, worker, decoding = [], [], []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        for batch_BCHW in pixels_NCHW.split(params.batch_size):
            workers.encode_pixels(model, batch_BCHW, "cpu", "float32")
        bare.append(time.perf_counter() - begun)
        job = EncodeJob(source, ("photo_vectors", str(number)), "float32", params.batch_size)
        begun = time.perf_counter()
        assert sum(batch.num_rows for batch in workers.embed_photos([rows], job)) == 0
        worker.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        for data in contents:
            model.preprocess(decode_image(data))
        decoding.append(time.perf_counter() - begun)

    ratio = min(worker) / min(bare)
    print(f"\n{IMAGE_COUNT} pictures of 72 x 72 pixels, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, seconds in (("bare forward pass", bare), ("decoding alone", decoding), ("worker", worker)):
        print(f"{name:>18}: {min(seconds):6.2f} s, {IMAGE_COUNT / min(seconds):7.0f} images/s")
    print(f"{'ratio':>18}: {ratio:.2f}")
    assert ratio < MOST_TIMES_SLOWER
