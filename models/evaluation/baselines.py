"""Rankings by counts of past conversions. Pure; times are the caller's.

Shape letters: N past conversions, U distinct query texts, P photos.

What "past" is, the caller decides: the evaluation hands over everything before the test window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Floats, Ints
from models.evaluation.sparse_scores import SparseScores

POPULARITY_HALF_LIFE_DAYS = 3.0
"""In which a conversion's part in popularity halves: the best of 1 to 60 days on a validation window, see DECISIONS."""


def popularity_weights(age_days_N: Floats) -> NDArray[np.float64]:
    """Return what each past conversion counts, shape (N,): 2^(-age / half-life), its age as of the first query.

    What is popular now is a stronger baseline than what has been (Ji, Sun, Zhang and Li, 2020,
    https://doi.org/10.1145/3397271.3401233). Damping the sums would not change their order.
    """
    return np.exp2(-np.asarray(age_days_N, dtype=np.float64) / POPULARITY_HALF_LIFE_DAYS)


def popularity(weight_P: Floats) -> SparseScores:
    """Return the scores of the photos most converted of late, whatever the query; weights are summed by photo."""
    return SparseScores(weight_P, Nothing())


@dataclass(frozen=True)
class Nothing:
    """No photo scores more for any text."""

    def __call__(self, text: int) -> tuple[Ints, Ints]:
        """Return no photo."""
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def most_converted(query_U: Ints, query_N: Ints, photo_N: Ints, count_N: Ints, count_P: Ints) -> SparseScores:
    """Return the scores of the photos most converted for the same query, ties and unseen queries by popularity.

    `query_U` is the number of each text's query, which texts of several countries share. `count_N` are the past
    conversions of a photo for a query, of which each is there once, and `count_P` those of a photo for any. One more
    conversion for the query outweighs any difference in popularity: the score is count * L + the popularity's rank
    among its L distinct values.
    """
    levels, level_P = np.unique(count_P, return_inverse=True)
    order = np.lexsort((photo_N, query_N))
    more = CountsByQuery(query_U, query_N[order], photo_N[order], count_N[order] * float(len(levels)))
    return SparseScores(level_P.astype(np.float64), more)


@dataclass(frozen=True)
class CountsByQuery:
    """What photos score for queries, by query and then by photo; `query_U` is the query of each text."""

    query_U: Ints
    query_N: Ints
    photo_N: Ints
    score_N: Floats

    def __call__(self, text: int) -> tuple[Ints, Floats]:
        """Return the photos of a text and their scores."""
        found = slice(*np.searchsorted(self.query_N, (self.query_U[text], self.query_U[text] + 1)))
        return self.photo_N[found], self.score_N[found]
