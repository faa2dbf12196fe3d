"""Candidate generation: the best photos of each search by one arm's exact scores. Only the choice, no reordering.

Shape letters: B searches of a block, P photos, K candidates per search, N candidates of all searches of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Floats, Ints


@dataclass(frozen=True)
class Candidates:
    """The candidates of B searches, one after another, best first; a search may have fewer than K or none."""

    row: Ints  # the search, 0..B-1, ascending
    place: Ints  # the photo
    score: NDArray[np.float32]
    rank: Ints  # 1 for the search's best
    count: Ints  # candidates of each search


def top_candidates(score_BP: Floats, k: int) -> Candidates:
    """Return the best k photos of each row by the rule for ties: of equal scores the earlier place first.

    NaN and -inf (not available, no vector) are never candidates. Exact: a candidate's rank is the photo's rank
    among all that are available.

    >>> found = top_candidates(np.array([[0.5, 0.9, 0.5], [np.nan, -np.inf, 0.1]]), 2)
    >>> found.row.tolist(), found.place.tolist(), found.rank.tolist()
    ([0, 0, 1], [1, 0, 2], [1, 2, 1])
    """
    cost_BP = np.where(np.isfinite(score_BP), -score_BP, np.inf)
    k = min(k, cost_BP.shape[1])
    bar_B1 = np.partition(cost_BP, k - 1, axis=1)[:, k - 1 : k]
    row, place = np.nonzero((cost_BP <= bar_B1) & np.isfinite(cost_BP))
    cost = cost_BP[row, place]
    order = np.lexsort((place, cost, row))
    row, place, cost = row[order], place[order], cost[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
    kept = rank <= k  # photos tied with the k-th may be more than there is room for
    row = row[kept]
    return Candidates(
        row=row,
        place=place[kept],
        score=-cost[kept].astype(np.float32),
        rank=rank[kept],
        count=np.bincount(row, minlength=len(cost_BP)),
    )
