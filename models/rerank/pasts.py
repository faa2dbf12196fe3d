"""What visitors took before a search: photos, and the words they took them for. Only looking up.

Shape letters: N photos that visitors took, K pairs of a visitor and a photo that are looked up, Q visitors asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.keyword_match import spans

LATEST = 50
"""How many of a visitor's photos are kept: the latest."""
TAKEN, TAKEN_FOR_QUERY = 1.0, 2.0
UNKNOWN = np.uint64(0)
"""Stands for a query that is not known; it equals none."""


@dataclass(frozen=True)
class Pasts:
    """The latest photos that visitors took, by visitor and place. Visitors are numbers from 0 on.

    `key` is visitor * photo_count + place and ascends; it repeats where a photo was taken for several queries.
    """

    key: Ints  # (N,)
    query: NDArray[np.uint64]  # (N,) `token_ids` of what was asked, or `UNKNOWN`
    photo_count: int

    @classmethod
    def of(
        cls, visitor_N: Ints, place_N: Ints, query_N: NDArray[np.uint64], at_N: Ints, cutoff: int, photo_count: int
    ) -> Pasts:
        """Keep what was taken strictly before the cutoff, of each visitor the latest."""
        before = np.flatnonzero(at_N < cutoff)
        latest_first = before[np.lexsort((place_N[before], -at_N[before], visitor_N[before]))]
        visitor = visitor_N[latest_first]
        latest_first = latest_first[np.arange(len(visitor)) - np.searchsorted(visitor, visitor) < LATEST]
        key = visitor_N[latest_first] * photo_count + place_N[latest_first]
        order = np.argsort(key, kind="stable")
        return cls(key[order], query_N[latest_first][order], photo_count)

    def taken(self, visitor_K: Ints, place_K: Ints, query_K: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Return `TAKEN` where the visitor took the photo, `TAKEN_FOR_QUERY` where for this very query, shape (K,).

        NaN where it is not known that the visitor took it; visitor -1 is nobody.
        """
        key_K = np.where(visitor_K >= 0, visitor_K * self.photo_count + place_K, -1)
        first_K = np.searchsorted(self.key, key_K)
        count_K = np.searchsorted(self.key, key_K, side="right") - first_K
        found = np.flatnonzero(count_K)
        pair_N = np.repeat(found, count_K[found])
        is_same_N = self.query[spans(first_K[found], count_K[found])] == query_K[pair_N]
        is_same_N &= query_K[pair_N] != UNKNOWN
        taken_K = np.full(len(key_K), np.nan)
        taken_K[found] = TAKEN
        taken_K[pair_N[is_same_N]] = TAKEN_FOR_QUERY
        return taken_K

    def of_visitors(self, visitor_Q: Ints) -> tuple[Ints, Ints]:
        """Return the photos that each visitor took: the row in `visitor_Q`, ascending, and the place; some twice."""
        start_Q, end_Q = (np.searchsorted(self.key, (visitor_Q + past) * self.photo_count) for past in (0, 1))
        count_Q = np.where(visitor_Q >= 0, end_Q - start_Q, 0)
        row_N = np.repeat(np.arange(len(visitor_Q)), count_Q)
        return row_N, self.key[spans(start_Q, count_Q)] - visitor_Q[row_N] * self.photo_count


NOBODYS = Pasts(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), 0)
"""What is known where no visitor is."""
