"""What the methods share that only compare vectors which are there already: nothing of them is trained.

Shape letters: V visitors, I items, D dimensions.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from models.recommend.interactions import Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import FittedVectors, Recommender


class VectorRecommender(Recommender):
    """A method that makes a visitor's vector from the vectors of the visitor's items."""

    def vectors(self, items: ItemFeatures) -> Floats:
        """Return the vectors of the items, unit rows or zero, float32 [I, D]: those of the images."""
        return items.image_ID

    @abstractmethod
    def represent(self, histories: Interactions, item_ID: Floats) -> Floats:
        """Return the vectors of the visitors, float32 [V, D]; zeros where there is none."""

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedUntrained:
        return FittedUntrained(self, self.vectors(items))


@dataclass(eq=False)
class FittedUntrained(FittedVectors):
    """The method over the items of a catalogue."""

    method: VectorRecommender
    item_ID: Floats

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedUntrained:
        return FittedUntrained(self.method, self.method.vectors(items))

    def represent(self, histories: Interactions) -> Floats:
        """Return what the method makes of the histories."""
        return self.method.represent(histories, self.item_ID)
