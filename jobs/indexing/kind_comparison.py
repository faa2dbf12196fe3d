"""Indexes measured beside one another on the same queries: the published one, and other kinds of the same photos."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.config.params.index import TREE, VerifyIndexParams
from jobs.indexing import kind_trial
from models import ann
from models.indexing.filling import Floats
from models.indexing.ids import Ints, hashed_ids
from models.indexing.measuring import Latency, latency
from models.indexing.tree import TreeIndex

CUTOFFS = 10, 100
Search = Callable[[Floats, int], Ints]
Photos = Iterable[tuple[list[str], Floats]]

_SECONDS = 3.0  # of calls for one latency, at most
_CALLS = 200


@dataclass(frozen=True)
class Measured:
    """What an index found, for each cutoff in a search for so many, and what searching and building it takes.

    A search for 100 is more thorough than one for ten: its first ten are not what a search for ten finds.
    """

    kind: str
    found: tuple[Ints, ...]
    single: Latency
    batch: Latency
    byte_count: int
    build: dict[str, float]

    def facts(self, photo_count: int) -> dict[str, Any]:
        """Return its figures but the recall."""
        return {
            "kind": self.kind,
            "single_p50_ms": self.single.p50_ms,
            "single_p99_ms": self.single.p99_ms,
            "batch_p50_ms": self.batch.p50_ms,
            "batch_p99_ms": self.batch.p99_ms,
            "bytes_per_vector": round(self.byte_count / photo_count, 2),
            **self.build,
        }


def measure(
    kind: str,
    search: Search,
    query_QD: Floats,
    batch_size: int,
    byte_count: int,
    build: dict[str, float] | None = None,
) -> Measured:
    """Search for every cutoff; then measure searches for the ten best, one by one and in batches."""

    def for_ten(query_BD: Floats) -> Ints:
        return search(query_BD, CUTOFFS[0])

    return Measured(
        kind,
        tuple(search(query_QD, k) for k in CUTOFFS),
        latency(for_ten, query_QD, 1, least_calls=_CALLS, max_seconds=_SECONDS),
        latency(for_ten, query_QD, batch_size, least_calls=_CALLS // 10, max_seconds=_SECONDS),
        byte_count,
        build or {},
    )


def searching(index: ann.ShardedIndex) -> Search:
    """Return a search of an index that gives ids only."""
    return lambda query_QD, k: index.search_ids(query_QD, k)[0]


def compare(kinds: Iterable[str], photos: Photos, query_QD: Floats, batch_size: int, seed: int) -> Iterator[Measured]:
    """Build each kind from the photos in a process of its own, and yield what it is like."""
    with tempfile.TemporaryDirectory(prefix="nightlens-") as name:
        folder = Path(name)
        blocks = list(photos)
        photo_ids = [photo_id for names, _ in blocks for photo_id in names]
        kind_trial.write_photos(folder, np.concatenate([vectors for _, vectors in blocks]), photo_ids)
        for kind in kinds:
            build = kind_trial.try_kind(folder, kind, seed)
            if kind == TREE:
                trees = TreeIndex(folder / kind, query_QD.shape[1], hashed_ids(photo_ids))
                yield measure(kind, trees.search_ids, query_QD, batch_size, trees.byte_count, build)
                continue
            with ann.ShardedIndex.open(folder / kind, kind_trial.MODEL_DIGEST, is_trusted=True) as index:
                yield measure(kind, searching(index), query_QD, batch_size, index.description.byte_count, build)


def to_compare(params: VerifyIndexParams, photo_count: int) -> tuple[list[str], str]:
    """Return the kinds that are built to compare with, and what is left out and why."""
    if not params.compare_kinds:
        return [], "No kinds were asked for (compare_kinds of verify_index)."
    if photo_count > params.compare_photo_count:
        return [], (
            f"Other kinds are built to compare with for up to {params.compare_photo_count:,} photos "
            f"(compare_photo_count of verify_index)."
        )
    missing = {kind: kind_trial.missing_package(kind) for kind in params.compare_kinds}
    return [kind for kind in params.compare_kinds if not missing[kind]], " ".join(filter(None, missing.values()))
