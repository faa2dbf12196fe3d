"""By what photos look like and what is written of them: the cosine to the mean of what a visitor liked.

Whether lists are to be less alike is a matter of `models.recommend.diversity`, for this method as for any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.ragged import unit_rows
from models.recommend.interactions import Floats, Interactions, ItemFeatures
from models.recommend.mean_embedding import weighted_means
from models.recommend.untrained import VectorRecommender


@dataclass(frozen=True)
class Content(VectorRecommender):
    """Image and text vector side by side, compared by cosine."""

    def vectors(self, items: ItemFeatures) -> Floats:
        """Return image and text vectors side by side, float32 [I, D + E]."""
        return items.content()

    def represent(self, histories: Interactions, item_ID: Floats) -> Floats:
        """Return the direction of the mean of what each visitor liked, by weight, float32 [V, D + E]."""
        return unit_rows(weighted_means(histories, np.maximum(histories.weight_N, 0), item_ID))
