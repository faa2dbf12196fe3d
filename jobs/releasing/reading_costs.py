"""What a release costs whoever reads it: time to open, bytes, memory, time of searches, measured as a site would."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import psutil
from numpy.typing import NDArray

from jobs.datasets.releases import ReadingCosts, ReleaseName
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.reader import INDEX, SEARCH, OpenRelease, open_release
from jobs.runtime.peak_memory import PeakMemory
from models.rerank.live import Asked
from models.rerank.loading import load_library
from models.serving import embed_queries

_K = 10


def measure(lake: Lake, release: Manifest, opened: OpenRelease, searches: Sequence[Asked]) -> ReadingCosts:
    """Return what a release, opened with its model, costs where it is asked some searches.

    Memory is that of a process of its own which is given the searches' vectors.
    """
    assert opened.model is not None, "open the release with its model"
    latencies = _latencies(opened, searches)
    p50, p99 = (round(float(np.percentile(latencies, q)), 3) for q in (50, 99))
    vectors = embed_queries(opened.model, [(one.words, one.country) for one in searches])
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        asked = lake.root_uri, lake.catalogue, opened.name, release.digest, searches, vectors
        memory_mb = process.submit(memory_of_reader, *asked).result()
    return ReadingCosts(
        open_seconds=round(_seconds(lambda: open_release(lake, opened.name, release.digest)), 3),
        bytes_per_photo=round(_mapped_bytes(release) / release.row_counts["ids"], 1),
        memory_mb=memory_mb,
        latency_p50_milliseconds=p50,
        latency_p99_milliseconds=p99,
        batch_searches_per_second=round(len(searches) / _seconds(lambda: opened.search(searches, _K)), 1),
    )


def memory_of_reader(
    root_uri: str,
    catalogue: str,
    name: ReleaseName,
    digest: str,
    searches: Sequence[Asked],
    vectors: NDArray[np.float32],
) -> float:
    """Return by how many MiB this process grows, at its peak, to open a release and to search it one by one."""
    load_library()  # libraries are not the release's
    lake, before = Lake(root_uri, catalogue), psutil.Process().memory_info().rss
    with PeakMemory() as memory:
        release = open_release(lake, name, digest)
        for number, one in enumerate(searches):
            release.search([one], _K, vectors=vectors[number : number + 1])
    grown: int = memory.peak_bytes - before
    return round(grown / 2**20, 1)


def _latencies(release: OpenRelease, searches: Sequence[Asked]) -> NDArray[np.float64]:
    """Return the milliseconds of each search made by itself, words in, photos out, after one that warms up."""
    release.search(searches[:1], _K)
    return 1000 * np.array([_seconds(partial(release.search, [asked], _K)) for asked in searches])


def _mapped_bytes(release: Manifest) -> int:
    return sum(info.byte_count for name, info in release.files.items() if name.startswith((f"{INDEX}/", f"{SEARCH}/")))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
