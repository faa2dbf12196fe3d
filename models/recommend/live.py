"""A released recommender: from what visitors took to what to show them next, by what a night's method learned.

Shape letters: V visitors, K places, I photos as the method numbers them, P photos of the release, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.ann import Visibility
from models.indexing.ids import hashed_ids
from models.recommend.interactions import NONE, Bools, Floats, Interactions, Ints
from models.recommend.interface import Fitted
from models.recommend.lists import filled_lists
from models.text import normalise_country


@dataclass(frozen=True, eq=False)
class NumberedPhotos:
    """The photos as methods number them: ids, ascending, and the unit rows by which lists are made less alike.

    `vector_ID` has no row where lists are not made so.
    """

    id_I: Ints
    vector_ID: Floats

    @classmethod
    def of(cls, photo_ids: Sequence[str], vector_ID: Floats) -> NumberedPhotos:
        """Return the photos, which stand in `tie_order`: by that their ids ascend."""
        return cls(hashed_ids(photo_ids), vector_ID)


@dataclass(frozen=True, eq=False)
class ShownPhotos:
    """The photos that a release has: names in UTF-8, ids, ascending, and the number of each one's picture, all [P]."""

    names: NDArray[np.bytes_]
    ids: Ints
    pictures: Ints


@dataclass(frozen=True, eq=False)
class LiveRecommender:
    """What recommends in one release. Threads may share it.

    `popularity` serves visitors without a past, and fills up what `method` leaves empty; it may be the method itself.
    `codes` number the countries. Lists are made less alike by `diversity` from the `pool_count` best.
    """

    method: Fitted
    popularity: Fitted
    numbered: NumberedPhotos
    shown: ShownPhotos
    visibility: Visibility
    codes: Mapping[str, int]
    diversity: float
    pool_count: int

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int,
        countries: Sequence[str] | None = None,
        taken_at: Sequence[Sequence[float]] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Return the best k photos of each history as (photo_id, score), best first; fewer if there are no more.

        Histories are photos that were taken, oldest first; those that the method does not know are passed over.
        `taken_at` are the seconds since 1970 when, by default one right after the other. `countries` are the visitors',
        "" if not known. Left out are photos hidden there, and pictures that the visitor has; of equal pictures the
        first is shown. Only the order of scores within a visitor means anything. Raises ValueError for a k below 1, and
        for countries or times of other histories.
        """
        asked = [""] * len(histories) if countries is None else [*map(normalise_country, countries)]
        if k < 1 or len(asked) != len(histories):
            raise ValueError(f"{k} photos for {len(histories)} histories of {len(asked)} countries")
        item_VK, score_VK = self.lists(self._interactions(histories, asked, taken_at), asked, k)
        name_VK = self.shown.names[self._places[item_VK]]  # of what fills rows up, any
        return [
            [(name.decode(), score) for name, score, item in zip(*row, strict=True) if item != NONE]
            for row in zip(name_VK.tolist(), score_VK.tolist(), item_VK.tolist(), strict=True)
        ]

    def lists(self, histories: Interactions, countries: Sequence[str], k: int) -> tuple[Ints, Floats]:
        """Return what `recommend` does as numbers and scores, [V, K]; -1 and -inf fill the rows up.

        Countries are in their normal form.
        """
        item_VK = np.full((histories.visitor_count, k), NONE, np.int64)
        score_VK = np.full(item_VK.shape, -np.inf, np.float32)
        group_V = np.array([one if one in self.visibility.hidden_in else "" for one in countries])
        for country in np.unique(group_V):
            hidden = self.visibility.hidden_for(str(country))
            candidates = np.flatnonzero(self._is_shown & ~np.isin(self.numbered.id_I, hidden))
            if not len(candidates):
                continue
            rows = np.flatnonzero(group_V == country)
            item_VK[rows], score_VK[rows], _ = filled_lists(
                self.method,
                self.popularity,
                histories.take(rows),
                k,
                diversity=self.diversity,
                pool_count=self.pool_count,
                vectors=lambda: self.numbered.vector_ID,
                candidates=candidates,
                picture_I=self._pictures,
            )
        return item_VK, score_VK

    @cached_property
    def _places(self) -> Ints:
        """Where among the release's photos each would stand, [I]."""
        return np.searchsorted(self.shown.ids, self.numbered.id_I).clip(max=len(self.shown.ids) - 1)

    @cached_property
    def _is_shown(self) -> Bools:
        return np.asarray(self.shown.ids[self._places] == self.numbered.id_I)

    @cached_property
    def _pictures(self) -> Ints:
        """The number of each photo's picture, [I]; a photo that the release does not have is one of its own."""
        own_I = len(self.shown.ids) + np.arange(len(self.numbered.id_I))
        return np.where(self._is_shown, self.shown.pictures[self._places], own_I)

    def _interactions(
        self, histories: Sequence[Sequence[str]], countries: Sequence[str], taken_at: Sequence[Sequence[float]] | None
    ) -> Interactions:
        times = [range(len(one)) for one in histories] if taken_at is None else taken_at
        if [*map(len, times)] != [*map(len, histories)]:
            raise ValueError(f"times of {len(times)} histories, {len(histories)} histories, or of other lengths")
        visitor_N = np.repeat(np.arange(len(histories)), [len(one) for one in histories])
        id_N = hashed_ids(photo_id for one in histories for photo_id in one)
        at_N = np.array([at for one in times for at in one], np.float64)
        item_N = np.searchsorted(self.numbered.id_I, id_N).clip(max=len(self.numbered.id_I) - 1)
        is_known_N = self.numbered.id_I[item_N] == id_N
        return Interactions.of(
            visitor_N[is_known_N],
            item_N[is_known_N],
            at_N[is_known_N],
            np.ones(np.count_nonzero(is_known_N), np.float32),
            np.array([self.codes.get(country, NONE) for country in countries], np.int32),
            item_count=len(self.numbered.id_I),
            as_of=at_N.max(initial=0.0) + 1,
        )
