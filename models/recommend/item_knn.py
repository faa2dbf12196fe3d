"""Neighbourhoods of items: photos liked by the same visitors as those that a visitor liked.

Shape letters: V visitors, C candidates, I items, B items of a block, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse import csc_array, csr_array, vstack

from models.recommend.interactions import Bools, Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Recommender, Scorer

_PAIRS_PER_BLOCK = 2_000_000
"""Products of two likes that are summed at a time, or those of one item where it alone has more."""


@dataclass(frozen=True)
class ItemKnn(Recommender):
    """Cosine of two items' visitors by what is liked, the `neighbour_count` highest kept for each item.

    A visitor's likes are pairs of one another, so their number grows with the square of a history. Of each the latest
    `history_count` count (an interaction cut of 500, by which hardly anything is lost: Schelter, Boden and Markl, 2012,
    https://doi.org/10.1145/2365952.2365984), and a history weighs as a vector of length 1, whatever its length, so that
    who likes everything says little of any two (Deshpande and Karypis, 2004, https://doi.org/10.1145/963770.963776).
    A visitor's own dislikes count `dislike_weight` times as much as likes, against their neighbours.
    """

    neighbour_count: int = 100
    history_count: int = 500
    dislike_weight: float = 0.0

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedItemKnn:
        liked = log.liked().recent(self.history_count)
        taken_VI = liked.matrix(np.ones(len(liked.item_N), np.float32))
        count_V = np.diff(taken_VI.indptr)
        taken_VI.data = np.repeat(count_V[count_V > 0] ** -0.5, count_V[count_V > 0])
        return FittedItemKnn(
            cosines(taken_VI, self.neighbour_count),
            np.bincount(liked.item_N, minlength=log.item_count) > 0,
            self.dislike_weight,
        )


def cosines(taken_VI: csr_array, neighbour_count: int) -> csr_array:
    """Return the highest cosines between columns, sparse float32 [I, I], a row for each item, 0 with itself.

    Sarwar, Karypis, Konstan and Riedl, 2001, https://doi.org/10.1145/371920.372071. Of equal cosines at the last place
    those of the lowest items are kept.

    Of two visitors one took items 0 and 1, the other item 1 only: the cosine is 1 / sqrt(1 * 2).

    >>> cosines(csr_array(np.array([[1.0, 1.0], [0.0, 1.0]])), 1).toarray().round(3).tolist()
    [[0.0, 0.7070000171661377], [0.7070000171661377, 0.0]]
    """
    unit_VI = csr_array(taken_VI, dtype=np.float32, copy=True)
    length_I = np.sqrt(np.bincount(unit_VI.indices, unit_VI.data**2, minlength=unit_VI.shape[1]))
    unit_VI.data /= length_I[unit_VI.indices]
    by_item_IV = unit_VI.T.tocsr()
    product_count_I = np.add.reduceat(
        np.append(np.diff(unit_VI.indptr)[by_item_IV.indices], 0), by_item_IV.indptr[:-1]
    ) * (np.diff(by_item_IV.indptr) > 0)
    starts = np.flatnonzero(np.diff(np.cumsum(product_count_I) // _PAIRS_PER_BLOCK, prepend=-1))
    blocks = [
        _highest((by_item_IV[start:end] @ unit_VI).tocsr(), start, neighbour_count)
        for start, end in pairwise([*starts.tolist(), unit_VI.shape[1]])
    ]
    return csr_array(vstack(blocks, format="csr"))


def _highest(cosine_BI: csr_array, start: int, count: int) -> csr_array:
    """Return the `count` highest of each row, without that of the item itself; the first row is item `start`."""
    row_M = np.repeat(np.arange(cosine_BI.shape[0]), np.diff(cosine_BI.indptr))
    is_other_M = cosine_BI.indices != row_M + start
    row_M, column_M, value_M = row_M[is_other_M], cosine_BI.indices[is_other_M], cosine_BI.data[is_other_M]
    order = np.lexsort((column_M, -value_M, row_M))
    row_M, column_M, value_M = row_M[order], column_M[order], value_M[order]
    is_kept_M = np.arange(len(row_M)) - np.searchsorted(row_M, row_M) < count
    return csr_array((value_M[is_kept_M], (row_M[is_kept_M], column_M[is_kept_M])), shape=cosine_BI.shape)


@dataclass(eq=False)
class FittedItemKnn(Fitted):
    """Neighbours of items, and which items anybody liked."""

    cosine_II: csr_array
    is_known_I: Bools
    dislike_weight: float = 0.0

    @property
    def item_count(self) -> int:
        """I."""
        return len(self.is_known_I)

    @cached_property
    def _by_candidate(self) -> csc_array:
        return self.cosine_II.tocsc()

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedItemKnn:
        count, pairs = items.item_count, self.cosine_II.tocoo()
        place_2E = tuple(number_I[end_E] for end_E in pairs.coords)
        is_known_I = np.zeros(count, np.bool_)
        is_known_I[number_I] = self.is_known_I
        return FittedItemKnn(csr_array((pairs.data, place_2E), shape=(count, count)), is_known_I, self.dislike_weight)

    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer: the cosines of what a visitor took, by weight, those of disliked items taken off.

        A visitor is not served if nothing that counts in the history was liked by anybody in training.
        """
        weight_VI = histories.matrix(histories.weights(self.dislike_weight))
        weight_VI.resize((histories.visitor_count, self.item_count))
        knows_V = (abs(weight_VI) @ self.is_known_I.astype(np.float32)) > 0

        def scores(candidate_C: Ints) -> Floats:
            score_VC: Floats = (weight_VI @ self._by_candidate[:, candidate_C]).toarray().astype(np.float32)
            score_VC[~knows_V] = -np.inf
            score_VC[:, ~self.is_known_I[candidate_C]] = -np.inf
            return score_VC

        return scores
