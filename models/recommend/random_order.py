"""A random order of all photos, another one for each visitor: what no method may fall below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.recommend.interactions import Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Recommender, Scorer, check_grown, check_log
from models.search.counter_random import joint_ids, uniforms

_STREAM = 0


@dataclass(frozen=True)
class RandomOrder(Recommender):
    """Scores that depend on seed, visitor and item alone, so that blocks and their order do not matter."""

    def fit(self, log: Interactions, items: ItemFeatures, *, seed: int) -> FittedRandomOrder:
        """Keep the seed."""
        check_log(log, items)
        return FittedRandomOrder(items.item_count, seed)


class FittedRandomOrder(Fitted):
    """A seed."""

    covers_new_items = True
    covers_empty_histories = True

    def __init__(self, item_count: int, seed: int) -> None:
        self._item_count, self._seed = item_count, seed

    @property
    def item_count(self) -> int:
        """I."""
        return self._item_count

    def with_items(self, items: ItemFeatures) -> FittedRandomOrder:
        """Return the same order with new items anywhere in it."""
        check_grown(items, self.item_count)
        return FittedRandomOrder(items.item_count, self._seed)

    def state(self) -> dict[str, Any]:
        """Return the number of items and the seed."""
        return {"item_count": self._item_count, "seed": self._seed}

    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer: hashes of who the visitor is and the item's number."""

        def scores(candidate_C: Ints) -> Floats:
            shape = histories.visitor_count, len(candidate_C)
            pair_M = joint_ids(np.repeat(histories.visitor_V, shape[1]), np.tile(candidate_C, shape[0]))
            return uniforms(self._seed, _STREAM, 0, pair_M, 1)[:, 0].astype(np.float32).reshape(shape)

        return scores
