"""Linear weights between items in closed form: each item's likes told from all others of the same visitor.

EASE (Steck, 2019, https://doi.org/10.1145/3308558.3313710).

Shape letters: V visitors, C candidates, I items, K items that weights are learned of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import inv

from models.recommend.interactions import NONE, Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Recommender, Scorer, TooLittleToLearn


@dataclass(frozen=True)
class Ease(Recommender):
    """The `item_limit` most liked items; what is beyond is not scored.

    The Gram matrix of K items and its inverse are dense, of 64 bits: 16 K^2 bytes and work of K^3.
    """

    regularization: float = 100.0
    item_limit: int = 6000

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedEase:
        liked = log.liked()
        if not len(liked.item_N):
            raise TooLittleToLearn("nothing_to_learn_from", "the log has nothing to learn from: nothing in it is liked")
        count_I = np.bincount(liked.item_N, minlength=log.item_count)
        most_liked = np.argsort(-count_I, kind="stable")[: self.item_limit]
        item_K = np.sort(most_liked[count_I[most_liked] > 0])
        return FittedEase(_weights(liked, item_K, self.regularization), item_K, log.item_count)


def _weights(liked: Interactions, item_K: Ints, regularization: float) -> Floats:
    """Return the weights, from a row's item to a column's, float32 [K, K], 0 from an item to itself."""
    taken_VI = liked.matrix(np.ones(len(liked.item_N)))
    taken_VI.data[:] = 1
    taken_VK = taken_VI[:, item_K]
    gram_KK = (taken_VK.T @ taken_VK).toarray()
    gram_KK[np.diag_indices(len(item_K))] += regularization
    inverse_KK = inv(gram_KK, overwrite_a=True)
    weight_KK: Floats = (inverse_KK / -np.diag(inverse_KK)).astype(np.float32)
    np.fill_diagonal(weight_KK, 0)
    return weight_KK


@dataclass(eq=False)
class FittedEase(Fitted):
    """Weights between items, and which items they are of, ascending in the log that was learned."""

    weight_KK: Floats
    item_K: Ints
    catalogue_size: int

    @property
    def item_count(self) -> int:
        """I."""
        return self.catalogue_size

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedEase:
        return replace(self, item_K=number_I[self.item_K], catalogue_size=items.item_count)

    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer: the weights of what a visitor liked, summed.

        A visitor is not served if no weight is known of anything liked.
        """
        liked = histories.liked()
        taken_VI = liked.matrix(np.ones(len(liked.item_N), np.float32))
        taken_VI.data[:] = 1
        taken_VI.resize((histories.visitor_count, self.item_count))
        taken_VK = taken_VI[:, self.item_K]
        is_unserved_V = np.diff(taken_VK.indptr) == 0
        place_I = np.full(self.item_count, NONE, np.int64)
        place_I[self.item_K] = np.arange(len(self.item_K))

        def scores(candidate_C: Ints) -> Floats:
            place_C = place_I[candidate_C]
            score_VC: Floats = taken_VK @ self.weight_KK[:, place_C]
            score_VC[is_unserved_V] = -np.inf
            score_VC[:, place_C == NONE] = -np.inf
            return score_VC

        return scores
