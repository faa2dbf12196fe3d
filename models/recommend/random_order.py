"""A random order of all photos, another one for each visitor: what no method may fall below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.recommend.interactions import Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Recommender, Scorer
from models.search.counter_random import joint_ids, uniforms

_STREAM = 0


@dataclass(frozen=True)
class RandomOrder(Recommender):
    """Scores that depend on seed, visitor and item alone, so that blocks and their order do not matter."""

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedRandomOrder:
        return FittedRandomOrder(items.item_count, seed)


@dataclass(eq=False)
class FittedRandomOrder(Fitted):
    """A seed; new items come anywhere in the order."""

    reads_histories = False

    item_count: int = 0
    seed: int = 0

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedRandomOrder:
        return FittedRandomOrder(items.item_count, self.seed)

    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer: hashes of who the visitor is and the item's number."""

        def scores(candidate_C: Ints) -> Floats:
            shape = histories.visitor_count, len(candidate_C)
            pair_M = joint_ids(np.repeat(histories.visitor_V, shape[1]), np.tile(candidate_C, shape[0]))
            return uniforms(self.seed, _STREAM, 0, pair_M, 1)[:, 0].astype(np.float32).reshape(shape)

        return scores
