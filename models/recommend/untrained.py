"""What the methods share that only compare vectors which are there already: nothing of them is trained.

Shape letters: V visitors, I items, R interests of a visitor, D dimensions.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from models.recommend.interactions import Floats, Interactions, ItemFeatures
from models.recommend.interface import FittedVectors, Recommender, check_grown, check_log


class VectorRecommender(Recommender):
    """A method that makes a visitor's interests from the vectors of the visitor's items."""

    def vectors(self, items: ItemFeatures) -> Floats:
        """Return the vectors of the items, unit rows or zero, float32 [I, D]: those of the images."""
        return items.image_ID

    @abstractmethod
    def represent(self, histories: Interactions, item_ID: Floats) -> Floats:
        """Return the interests of the visitors, float32 [V, R, D]; zeros where there is none."""

    def fit(self, log: Interactions, items: ItemFeatures, *, seed: int) -> FittedUntrained:
        """Look at the items only."""
        check_log(log, items)
        return FittedUntrained(self, self.vectors(items))


class FittedUntrained(FittedVectors):
    """The method over the items of a catalogue."""

    covers_new_items = True
    covers_empty_histories = False

    def __init__(self, method: VectorRecommender, item_ID: Floats) -> None:
        super().__init__(item_ID)
        self._method = method

    def with_items(self, items: ItemFeatures) -> FittedUntrained:
        """Return the same over other items."""
        check_grown(items, self.item_count)
        return FittedUntrained(self._method, self._method.vectors(items))

    def state(self) -> dict[str, Any]:
        """Return the method with its parameters, and the vectors."""
        return {"method": self._method, "item_ID": self.item_ID}

    def represent(self, histories: Interactions) -> Floats:
        """Return what the method makes of the histories."""
        return self._method.represent(histories, self.item_ID)
