"""What a recommender learns from and scores by: the log of interactions and the features of items. No method, no file.

Shape letters: N interactions, V visitors, I items, K keywords of all items together, B slices that are looked at,
L places of a padded history, D and E dimensions of vectors. A 1 behind a letter is one more: start_V1 is [V + 1].

The log is kept grouped by visitor and in time order, as compressed rows: a visitor's history is a slice, an instant
cuts every history at once, and a row costs 20 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from models.ragged import ragged_rows, unit_rows
from models.search.keywords import RaggedKeywords

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

NONE = -1
"""Fills a padded history up; as a country, one that is not known."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """Histories of V visitors as of one instant; `of` makes them from a log in any order.

    Weights tell how much an interaction says: positive liked, negative disliked, never 0. What a kind of interaction
    weighs, such as a download against a look, the caller decides. A country is a code from 0, `NONE` where it is not
    known. `visitor_V` is who the visitors are, any number each. Raises ValueError for arrays that do not fit.
    """

    item_N: Ints
    at_N: npt.NDArray[np.float64]  # seconds UTC, ascending within a visitor
    weight_N: Floats
    start_V1: Ints  # visitor v has the rows start_V1[v]:start_V1[v + 1]
    country_V: npt.NDArray[np.int32]
    visitor_V: Ints
    item_count: int
    as_of: float  # every interaction came before

    def __post_init__(self) -> None:
        """Check types, lengths and ranges."""
        expected = {
            "item_N": np.int64,
            "at_N": np.float64,
            "weight_N": np.float32,
            "start_V1": np.int64,
            "country_V": np.int32,
            "visitor_V": np.int64,
        }
        for name, kind in expected.items():
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != kind:
                raise ValueError(f"{name} is {array.dtype} with {array.ndim} axes, needed is {np.dtype(kind)} with 1")
        if not len(self.item_N) == len(self.at_N) == len(self.weight_N) == self.start_V1[-1]:
            raise ValueError(
                f"{len(self.item_N)} items, {len(self.at_N)} times and {len(self.weight_N)} weights for "
                f"{self.start_V1[-1]} interactions"
            )
        if not len(self.country_V) == len(self.visitor_V) == self.visitor_count:
            raise ValueError(
                f"{len(self.country_V)} countries and {len(self.visitor_V)} names for {self.visitor_count} visitors"
            )
        if self.start_V1[0] != 0 or (np.diff(self.start_V1) < 0).any():
            raise ValueError("start_V1 has to rise from 0")
        check_range(self.item_N, self.item_count, "item")
        if (self.country_V < NONE).any():
            raise ValueError(f"country {self.country_V.min()} is no code: they count from 0, {NONE} is unknown")
        if not np.isfinite(self.weight_N).all() or (self.weight_N == 0).any():
            raise ValueError("a weight is 0 or not finite: leave out what says nothing")
        if not (self.at_N < self.as_of).all():
            raise ValueError(f"an interaction is not before as_of={self.as_of}: cut the log with `before`")
        is_later_N = np.diff(self.at_N, prepend=-np.inf) >= 0
        is_later_N[self.start_V1[:-1][self.start_V1[:-1] < len(self.at_N)]] = True
        if not is_later_N.all():
            raise ValueError("a history is not in time order: make it with `Interactions.of`")

    @classmethod
    def of(
        cls,
        visitor_N: Ints,
        item_N: Ints,
        at_N: npt.NDArray[np.float64],
        weight_N: Floats,
        country_V: npt.NDArray[np.int32],
        *,
        item_count: int,
        as_of: float,
    ) -> Interactions:
        """Group a log by visitor, a number from 0 to V - 1 where V is the number of countries.

        Rows at the same instant are ordered by item, so that the same rows give the same histories in whatever order
        they come.
        """
        check_range(visitor_N, len(country_V), "visitor")
        order = np.lexsort((item_N, at_N, visitor_N))
        start_V1 = np.zeros(len(country_V) + 1, np.int64)
        np.cumsum(np.bincount(visitor_N, minlength=len(country_V)), out=start_V1[1:])
        return cls(
            item_N[order],
            at_N[order],
            weight_N[order],
            start_V1,
            country_V,
            np.arange(len(country_V), dtype=np.int64),
            item_count,
            as_of,
        )

    @property
    def visitor_count(self) -> int:
        """V."""
        return len(self.start_V1) - 1

    @property
    def country_count(self) -> int:
        """How many codes of countries there may be: one more than the highest."""
        return int(self.country_V.max(initial=NONE)) + 1

    def row_visitors(self) -> Ints:
        """Return the place of each interaction's visitor; made anew each time, since it is seldom needed."""
        return np.repeat(np.arange(self.visitor_count), np.diff(self.start_V1))

    def history(self, visitor: int) -> slice:
        """Return where a visitor's interactions are, oldest first."""
        return slice(int(self.start_V1[visitor]), int(self.start_V1[visitor + 1]))

    def where(self, is_kept_N: Bools) -> Interactions:
        """Return the interactions that are kept, of the same visitors."""
        kept_N1 = np.zeros(len(is_kept_N) + 1, np.int64)
        np.cumsum(is_kept_N, out=kept_N1[1:])
        return replace(
            self,
            item_N=self.item_N[is_kept_N],
            at_N=self.at_N[is_kept_N],
            weight_N=self.weight_N[is_kept_N],
            start_V1=kept_N1[self.start_V1],
        )

    def before(self, as_of: float) -> Interactions:
        """Return what was known at an instant: the interactions strictly before it."""
        return replace(self.where(self.at_N < as_of), as_of=as_of)

    def liked(self) -> Interactions:
        """Return the interactions with a positive weight."""
        return self.where(self.weight_N > 0)

    def weights(self, dislike_weight: float) -> Floats:
        """Return the weights, those of what is disliked times a number, float32 [N]; 0 lets it say nothing."""
        return np.where(self.weight_N < 0, np.float32(dislike_weight) * self.weight_N, self.weight_N)

    def recent(self, count: int) -> Interactions:
        """Return the latest `count` interactions of every visitor."""
        first_N = np.repeat(self.start_V1[1:] - count, np.diff(self.start_V1))
        return self.where(np.arange(len(self.item_N)) >= first_N)

    def take(self, visitors: Ints) -> Interactions:
        """Return the histories of some visitors, in the order asked for."""
        row, start_V1 = ragged_rows(self.start_V1[visitors], self.start_V1[visitors + 1])
        return replace(
            self,
            item_N=self.item_N[row],
            at_N=self.at_N[row],
            weight_N=self.weight_N[row],
            start_V1=start_V1,
            country_V=self.country_V[visitors],
            visitor_V=self.visitor_V[visitors],
        )

    def of_items(self, item_J: Ints) -> Interactions:
        """Return the same over a catalogue of some items, ascending: what was item_J[j] is number j there.

        Raises ValueError for an interaction with an item that is not among them.
        """
        place_N = np.searchsorted(item_J, self.item_N)
        is_there_N = place_N < len(item_J)
        is_there_N[is_there_N] = item_J[place_N[is_there_N]] == self.item_N[is_there_N]
        if not is_there_N.all():
            raise ValueError(f"{np.count_nonzero(~is_there_N)} interactions are with items of another catalogue")
        return replace(self, item_N=place_N, item_count=len(item_J))

    def decayed(self, half_life_days: float) -> Floats:
        """Return how much each interaction weighs by its age, in (0, 1], float32 [N]: 2 ** -(age / half life).

        The age is counted back from the visitor's latest interaction, so that somebody long away still has a taste.
        """
        latest_N = np.repeat(self.at_N[self._last_rows()], np.diff(self.start_V1)[np.diff(self.start_V1) > 0])
        return np.exp2((self.at_N - latest_N) / (86_400 * half_life_days)).astype(np.float32)

    def _last_rows(self) -> Ints:
        return self.start_V1[1:][np.diff(self.start_V1) > 0] - 1

    def matrix(self, value_N: npt.NDArray[Any]) -> csr_array:
        """Return values as a sparse matrix [V, I], those of the same visitor and item summed."""
        # scipy gives indices of 32 bits where they suffice, and its own copy of what it may then sum in place
        shape = (self.visitor_count, self.item_count)
        matrix = csr_array((value_N, self.item_N, self.start_V1), shape=shape, copy=True)
        matrix.sum_duplicates()
        return matrix

    def last(self, length: int) -> Ints:
        """Return each visitor's latest items, oldest first, int64 [V, L], filled up with `NONE` at the end."""
        return self.latest(self.start_V1[:-1], self.start_V1[1:], length)

    def latest(self, first_B: Ints, end_B: Ints, length: int) -> Ints:
        """Return the latest items of slices of rows, as `last` does: int64 [B, L]."""
        first_B = np.maximum(first_B, end_B - length)
        row_BL = first_B[:, None] + np.arange(length)
        is_there_BL = row_BL < end_B[:, None]
        item_BL = np.full(row_BL.shape, NONE, np.int64)
        item_BL[is_there_BL] = self.item_N[row_BL[is_there_BL]]
        return item_BL


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """What is known of I items, whoever took them. Rows are unit vectors, or zero for an item without one.

    Keywords are ids below `keyword_count`, of a vocabulary that the caller keeps. Raises ValueError for arrays that
    do not fit.
    """

    image_ID: Floats
    text_IE: Floats | None = None
    keywords: RaggedKeywords | None = None
    keyword_count: int = 0

    def __post_init__(self) -> None:
        """Check types, lengths and ranges."""
        for name, vectors in (("image_ID", self.image_ID), ("text_IE", self.text_IE)):
            if vectors is None:
                continue
            if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(self.image_ID):
                raise ValueError(f"{name} is {vectors.dtype} {vectors.shape}, needed is float32 [items, dimensions]")
            squared_I = np.einsum("id,id->i", vectors, vectors)
            if not ((np.abs(squared_I - 1) < 1e-2) | (squared_I == 0)).all():  # half precision keeps three digits
                raise ValueError(
                    f"a row of {name} is neither a unit vector nor zero: normalise it, or say it is missing"
                )
        if self.keywords is None:
            return
        if len(self.keywords.starts) != self.item_count + 1:
            raise ValueError(f"keywords of {len(self.keywords.starts) - 1} items for {self.item_count} items")
        check_range(self.keywords.rows, self.keyword_count, "keyword")

    @property
    def item_count(self) -> int:
        """I."""
        return len(self.image_ID)

    @property
    def content_dim(self) -> int:
        """D + E."""
        return sum(vectors.shape[1] for vectors in (self.image_ID, self.text_IE) if vectors is not None)

    def content(self) -> Floats:
        """Return image and text vector side by side as one unit vector, float32 [I, D + E]; zero if there is neither.

        Where both are there each gives half of a dot product; where one is missing the other gives it all.
        """
        content = self.image_ID if self.text_IE is None else np.hstack([self.image_ID, self.text_IE])
        return unit_rows(content)

    def take(self, item_J: Ints) -> ItemFeatures:
        """Return what is known of some items, in the order asked for."""
        return ItemFeatures(
            self.image_ID[item_J],
            None if self.text_IE is None else self.text_IE[item_J],
            None if self.keywords is None else self.keywords.take(item_J),
            self.keyword_count,
        )

    def keyword_rows(self) -> RaggedKeywords:
        """Return the keywords, none of any item if there are none."""
        if self.keywords is not None:
            return self.keywords
        return RaggedKeywords(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(self.item_count + 1, np.int64))


def has_vector(vectors_ND: npt.NDArray[Any]) -> Bools:
    """Tell which rows are there: those that are not zero, [N].

    >>> has_vector(np.array([[0.0, 1.0], [0.0, 0.0]])).tolist()
    [True, False]
    """
    return np.asarray(vectors_ND.any(axis=1))


def check_range(code_N: npt.NDArray[Any], count: int, what: str) -> None:
    """Raise ValueError if a code is not in 0 to count - 1."""
    if len(code_N) and not (code_N.min() >= 0 and code_N.max() < count):
        raise ValueError(f"{what}s {code_N.min()} to {code_N.max()} are not all within the {count} that there are")
