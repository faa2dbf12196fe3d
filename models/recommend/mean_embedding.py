"""One vector per visitor: the mean of what was liked less the mean of what was disliked.

Shape letters: N interactions, V visitors, I items, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.recommend.interactions import Floats, Interactions, has_vector
from models.recommend.untrained import VectorRecommender


@dataclass(frozen=True)
class MeanEmbedding(VectorRecommender):
    """E = liked_weight * mean of the liked - disliked_weight * mean of the disliked.

    Within each mean an item weighs what the interaction weighs (its kind), halved every `half_life_days` (its age).
    """

    liked_weight: float = 1.0
    disliked_weight: float = 0.5
    half_life_days: float = 30.0

    def represent(self, histories: Interactions, item_ID: Floats) -> Floats:
        """Return the vectors of the visitors, float32 [V, D]."""
        weight_N = histories.weight_N * histories.decayed(self.half_life_days)
        liked_VD = weighted_means(histories, np.maximum(weight_N, 0), item_ID)
        disliked_VD = weighted_means(histories, np.maximum(-weight_N, 0), item_ID)
        return self.liked_weight * liked_VD - self.disliked_weight * disliked_VD


def weighted_means(histories: Interactions, weight_N: Floats, item_ID: Floats) -> Floats:
    """Return sum(w e) / sum(w) over each history, float32 [V, D]; zeros where no weight is.

    An item without a vector has no part in it.
    """
    weight_N = weight_N * has_vector(item_ID)[histories.item_N]
    sum_VD = histories.matrix(weight_N) @ item_ID[: histories.item_count]
    row_N = histories.row_visitors()
    total_V1 = np.bincount(row_N, weight_N, minlength=histories.visitor_count)[:, None]
    mean_VD: Floats = np.divide(sum_VD, total_V1, out=np.zeros_like(sum_VD), where=total_V1 > 0)
    return mean_VD
