"""What every method of recommendation is: something that fits a log, and then scores items for histories.

Shape letters: V visitors, C candidates, I items, D dimensions.

Histories are handed over when scores are asked for, so that a visitor who was never seen in training is served as any
other. What a method cannot score is -inf, never a guess: an item it knows nothing of, every item for a visitor it
knows nothing of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from models.errors import CodedError
from models.recommend.interactions import Floats, Interactions, Ints, ItemFeatures, check_range, has_vector

Scorer = Callable[[Ints], Floats]
"""Scores of candidates, given by their numbers [C], for the visitors that it was made for, float32 [V, C]. Not NaN."""
VISITORS_AT_ONCE = 4096
"""Histories that a network encodes at a time."""


class TooLittleToLearn(CodedError, ValueError):
    """What `fit` says of a log that has nothing, or too little, for its method."""


class Recommender(ABC):
    """A method with its parameters."""

    def fit(self, log: Interactions, items: ItemFeatures, *, seed: int) -> Fitted:
        """Learn from a log and from what is known of its items; neither is changed.

        The same arguments give the same scores. Raises ValueError if log and items do not fit, `TooLittleToLearn` if
        there is nothing to learn from.
        """
        if log.item_count != items.item_count:
            raise ValueError(f"a log of {log.item_count} items, features of {items.item_count}")
        return self._learned(log, items, seed)

    @abstractmethod
    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> Fitted:
        """Do what `fit` says, log and items being of the same items."""


class Fitted(ABC):
    """What a method has learned, over a catalogue of items: a data class with fields that `saving` knows."""

    reads_histories: ClassVar[bool] = True
    """Whether scores depend on what a visitor took."""

    @property
    @abstractmethod
    def item_count(self) -> int:
        """The number of items that can be asked for."""

    @property
    def keyword_count(self) -> int | None:
        """The size of the vocabulary that was learned, None if other keywords do no harm."""
        return None

    def with_items(self, items: ItemFeatures, number_I: Ints) -> Fitted:
        """Return the same over a grown catalogue, in which the items of before have the numbers `number_I`, [I].

        Nothing is trained. Raises ValueError for numbers that are not one for every item of before, and for keywords of
        another vocabulary than in training where they count.
        """
        if len(np.unique(number_I)) != self.item_count:
            raise ValueError(f"{len(np.unique(number_I))} different numbers for the {self.item_count} items of before")
        check_range(number_I, items.item_count, "item")
        if self.keyword_count not in (None, items.keyword_count):
            raise ValueError(f"a vocabulary of {items.keyword_count} keywords, trained was one of {self.keyword_count}")
        return self._over(items, number_I)

    @abstractmethod
    def _over(self, items: ItemFeatures, number_I: Ints) -> Fitted:
        """Do what `with_items` says, numbers and keywords being right."""

    @abstractmethod
    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer for these visitors: what depends on them alone is computed once."""

    def scores(self, histories: Interactions, candidate_C: Ints) -> Floats:
        """Return the scores of candidates for visitors, float32 [V, C]; -inf for what cannot be scored.

        Higher is better, and only the order within a visitor means anything. All are held at once: for more than fits
        see `models.recommend.topk`.
        """
        check_histories(histories, self.item_count)
        check_range(candidate_C, self.item_count, "candidate")
        return self.scorer(histories)(candidate_C)


class FittedVectors(Fitted):
    """A method whose score is the dot product of an item's vector with the visitor's.

    An item, or a visitor, whose vector is zero is one that nothing is known of.
    """

    item_ID: Floats

    @property
    def item_count(self) -> int:
        """I."""
        return len(self.item_ID)

    @abstractmethod
    def represent(self, histories: Interactions) -> Floats:
        """Return the vectors of the visitors, float32 [V, D]; zeros where there is none."""

    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer by dot products, -inf where one of the two vectors is zero."""
        blocks = range(0, max(1, histories.visitor_count), VISITORS_AT_ONCE)
        ends = [min(start + VISITORS_AT_ONCE, histories.visitor_count) for start in blocks]
        parts = [self.represent(histories.take(np.arange(start, end))) for start, end in zip(blocks, ends, strict=True)]
        visitor_VD, item_ID = np.concatenate(parts), self.item_ID
        has_vector_V, has_vector_I = has_vector(visitor_VD), has_vector(item_ID)

        def scores(candidate_C: Ints) -> Floats:
            score_VC: Floats = visitor_VD @ item_ID[candidate_C].T
            score_VC[~has_vector_V] = -np.inf
            score_VC[:, ~has_vector_I[candidate_C]] = -np.inf
            return score_VC

        return scores


def check_histories(histories: Interactions, item_count: int) -> None:
    """Raise ValueError if histories are of more items than are known."""
    if histories.item_count > item_count:
        raise ValueError(
            f"histories of {histories.item_count} items for a model of {item_count}: hand the new ones to `with_items`"
        )


def with_zero_rows(item_ID: Floats, items: ItemFeatures, number_I: Ints) -> Floats:
    """Return the vectors of a grown catalogue: new items have none."""
    grown_ID: npt.NDArray[np.float32] = np.zeros((items.item_count, item_ID.shape[1]), np.float32)
    grown_ID[number_I] = item_ID
    return grown_ID
