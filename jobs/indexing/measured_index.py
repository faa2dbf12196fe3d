"""Indexes measured on the same held-out queries: what each finds of exact search, how quickly, and at what size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np

from jobs.adapters.task_pool import task_pool
from jobs.config.settings import Settings
from jobs.embedding.arm_vectors import batches_of_file, files_of_arm
from jobs.indexing.held_out_queries import Queries
from jobs.indexing.shard_workers import matrix
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import FileInfo, Manifest
from models import ann
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters, Estimates
from models.indexing.filling import Floats
from models.indexing.ids import Ints, hashed_ids
from models.indexing.measuring import ExactScores, ExactSearch, Latency, latency

CUTOFFS = 10, 100
_SECONDS = 3.0  # of calls for one latency, at most
_CALLS = 200
_PHOTOS = 16_384  # of a file in memory at a time


@dataclass(frozen=True)
class Measured:
    """What an index found, for each cutoff in a search for so many, and what a search takes.

    A search for 100 is more thorough than one for ten: its first ten are not what a search for ten finds.
    """

    found: tuple[Ints, ...]
    single: Latency
    batch: Latency
    bytes_per_vector: float


def measure(index: ann.ShardedIndex, query_QD: Floats, batch_size: int) -> Measured:
    """Search for every cutoff; then measure searches for the ten best, one by one and in batches."""

    def for_ten(query_BD: Floats) -> Ints:
        return index.search_ids(query_BD, CUTOFFS[0])[0]

    return Measured(
        tuple(index.search_ids(query_QD, k)[0] for k in CUTOFFS),
        latency(for_ten, query_QD, 1, least_calls=_CALLS, max_seconds=_SECONDS),
        latency(for_ten, query_QD, batch_size, least_calls=_CALLS // 10, max_seconds=_SECONDS),
        round(index.description.byte_count / index.description.photo_count, 2),
    )


def recalls(
    settings: Settings,
    lake: Lake,
    embeddings: Manifest,
    arm: str,
    measured: Sequence[Measured],
    queries: Queries,
) -> list[Estimates]:
    """Return the recall of every index against exact search in all photos of an arm, one estimate per cutoff.

    A task compares one file of vectors with the queries, and what it returns has no size of the corpus.
    """
    files = files_of_arm(lake, embeddings, arm)
    found = tuple(ids_QK for one in measured for ids_QK in one.found)
    compare = partial(_scores_of_file, lake, arm, ExactSearch(queries.vectors, CUTOFFS[-1], found))
    with task_pool(settings, "verify_index", sum(info.row_count or 0 for info in files)) as pool:
        exact = reduce(add, pool.each(compare, files))
    recall_Q = iter(exact.recall(found, number, k) for number, k in enumerate(CUTOFFS * len(measured)))
    by_index = {str(number): np.stack([next(recall_Q) for _ in CUTOFFS], axis=1) for number in range(len(measured))}
    card = Scorecard.of_values(by_index, Clusters.of(queries.words))
    return [card.estimates(index) for index in by_index]


def _scores_of_file(lake: Lake, arm: str, search: ExactSearch, info: FileInfo) -> ExactScores:
    """Compare the queries with an arm's photos in one file, of which a part is in memory at a time."""
    batches = batches_of_file(lake, info, arm, ["photo_id", "vector"], _PHOTOS)
    return search.scores((hashed_ids(rows["photo_id"].to_pylist()), matrix(rows["vector"])) for rows in batches)
