"""Indexes measured on the same held-out queries: what each finds of exact search, how quickly, and at what size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.indexing.held_out_queries import Queries
from models import ann
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters, Estimates
from models.indexing.filling import Floats
from models.indexing.ids import Ints, hashed_ids
from models.indexing.measuring import ExactSearch, Latency, latency

CUTOFFS = 10, 100
_SECONDS = 3.0  # of calls for one latency, at most
_CALLS = 200


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
    measured: Sequence[Measured],
    photos: Iterable[tuple[list[str], Floats]],
    queries: Queries,
) -> list[Estimates]:
    """Return the recall of every index against exact search in all photos, one estimate per cutoff."""
    exact = ExactSearch(queries.vectors, CUTOFFS[-1], [ids_QK for one in measured for ids_QK in one.found])
    for photo_ids, photo_BD in photos:
        exact.add(hashed_ids(photo_ids), photo_BD)
    recall_Q = iter(exact.recall(number, k) for number, k in enumerate(CUTOFFS * len(measured)))
    by_index = {str(number): np.stack([next(recall_Q) for _ in CUTOFFS], axis=1) for number in range(len(measured))}
    card = Scorecard.of_values(by_index, Clusters.of(queries.words))
    return [card.estimates(index) for index in by_index]
