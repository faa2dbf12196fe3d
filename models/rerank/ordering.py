"""The final order of a search: candidates by the reranker, business filters last, then the base arm's order.

Shape letters: B searches, N candidates of all searches, P photos, G groups of searches that are shown the same photos.

Below the candidates the base arm's order goes on, so every photo has a rank, and ties follow the one rule (see
`models.evaluation.ranking`): of equal scores the earlier place first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.rerank.candidates import Candidates


@dataclass(frozen=True)
class Filters:
    """Photos that must not be shown: those hidden (removed, private), and all but the best of equal pictures.

    `is_hidden_GP` has a row for every group of searches, such as those from one country. `picture_P` numbers the
    pictures: photos with the same number are the same; -1 is a picture of its own.
    """

    is_hidden: NDArray[np.bool_]
    picture: Ints

    def shown(self, row_N: Ints, place_N: Ints, group_N: Ints) -> NDArray[np.bool_]:
        """Tell which of the photos, listed per search in their final order, are shown, shape (N,).

        >>> filters = Filters(np.array([[False, True, False, False]]), np.array([7, -1, 7, -1]))
        >>> filters.shown(np.zeros(4, dtype=int), np.array([2, 1, 0, 3]), np.zeros(4, dtype=int)).tolist()
        [True, False, False, True]
        """
        is_shown_N = ~self.is_hidden[group_N, place_N]
        left = np.flatnonzero(is_shown_N & (self.picture[place_N] >= 0))
        key = row_N[left] * (self.picture.max(initial=0) + 1) + self.picture[place_N[left]]
        _, first = np.unique(key, return_index=True)
        is_shown_N[left] = np.isin(np.arange(len(left)), first)
        return is_shown_N


@dataclass(frozen=True)
class Shown:
    """The candidates that are shown, search by search, best first, and how many of each search are not."""

    row: Ints
    place: Ints
    hidden: Ints


def reorder(candidates: Candidates, score_N: NDArray[np.float64], filters: Filters, group_B: Ints) -> Shown:
    """Return the candidates in the order of their new scores, filters applied last."""
    order = np.lexsort((candidates.place, -score_N, candidates.row))
    row_N, place_N = candidates.row[order], candidates.place[order]
    is_shown_N = filters.shown(row_N, place_N, group_B[row_N])
    hidden_B = np.bincount(row_N[~is_shown_N], minlength=len(candidates.count))
    return Shown(row_N[is_shown_N], place_N[is_shown_N], hidden_B)


def final_ranks(
    candidates: Candidates, shown: Shown, target_B: Ints, base_rank_B: Ints, available_B: Ints
) -> NDArray[np.int32]:
    """Return the rank of each search's target, shape (B,), 1 for the best.

    `base_rank_B` is its exact rank by the base arm, `available_B` the number of photos there were. A target below
    the candidates moves up by as many places as candidates are hidden. A target that is hidden itself is not found:
    it ranks last.
    """
    rank_B = base_rank_B - shown.hidden
    was_candidate = candidates.place == target_B[candidates.row]
    rank_B[candidates.row[was_candidate]] = available_B[candidates.row[was_candidate]]
    rank_N = np.arange(len(shown.row)) - np.searchsorted(shown.row, shown.row) + 1
    found = shown.place == target_B[shown.row]
    rank_B[shown.row[found]] = rank_N[found]
    return rank_B.astype(np.int32)
