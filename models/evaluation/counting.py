"""Exact ranks by counting: how many photos of a block are ahead of a target. The counts of blocks add up.

The score of a text and a photo is their dot product, summed in double precision and rounded once (`exact_scores`): it
does not depend on which photos are computed beside, nor on the machine. A block is scored by one product in single
precision, which is right but for a known error; what lies within that error of a target's score is scored exactly. So
the ranks are the same however photos and texts are cut into blocks, on a processor or a GPU.

Shape letters: U texts, N targets, S photos of a block, R targets of a tile, C photos of a tile, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.exact_scores import Matrix, exact_scores, product_error
from models.evaluation.ranking import NOT_FOUND, Availability, Bools, Ints, alike

Product = Callable[[Matrix, Matrix], Matrix]
"""The dot products of texts and photos in single precision, shape (R, C) from (R, D) and (C, D)."""


def float_product(query_RD: Matrix, photo_CD: Matrix) -> Matrix:
    """Return the dot products by the processor."""
    score_RC: Matrix = query_RD @ photo_CD.T
    return score_RC


TILE_TEXTS, TILE_PHOTOS = 256, 4096
"""Scores of a tile are small enough to stay in the processor's cache while they are compared."""
_PAIRS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Targets:
    """The photos that searches look for: the text of the search, its instant, and the photo's score and place.

    A photo with the same score and an earlier place is ahead. Searches for one text lie side by side.
    """

    text: Ints
    asked_at: Ints
    score: Matrix
    place: Ints

    def of(self, kept: Ints | slice) -> Targets:
        """Return some of the targets."""
        return Targets(*(getattr(self, field.name)[kept] for field in fields(self)))


@dataclass(frozen=True)
class Lookups:
    """Q searches and the photo that each looks for, as D different ones, in the order of their texts.

    To rank a photo takes the scores of the M photos that show its picture: `text`, `place` and, for each of the D,
    `start` in these.
    """

    of_search: Ints  # (Q,) which of the D
    text: Ints  # (M,)
    place: Ints  # (M,)
    start: Ints  # (D,)
    target: Ints  # (D,)
    asked_at: Ints  # (D,)
    availability: Availability

    @classmethod
    def of(cls, text_Q: Ints, target_Q: Ints, asked_at_Q: Ints, availability: Availability) -> Lookups:
        """Return the lookups of searches; `ValueError` if one is for a photo that was not there yet."""
        late = availability.since[target_Q] > asked_at_Q
        if late.any():
            raise ValueError(f"{late.sum()} of {len(late)} targets were not available when they were asked for")
        of_search, first_D = alike(text_Q, target_Q, availability.states(asked_at_Q))
        target_D = target_Q[first_D]
        place_M, count_D = availability.same_picture(target_D)
        start_D = np.cumsum(count_D) - count_D
        return cls(
            of_search,
            np.repeat(text_Q[first_D], count_D),
            place_M,
            start_D,
            target_D,
            asked_at_Q[first_D],
            availability,
        )

    def targets(self, score_M: NDArray[Any]) -> Targets:
        """Return what to count by: of each picture the best photo that the search may show, of equals the first."""
        row_M = np.repeat(np.arange(len(self.start)), np.diff(self.start, append=len(self.text)))
        is_hidden_M = ~self.availability.shows(self.place, self.text, self.asked_at[row_M])
        best = np.lexsort((self.place, -score_M, is_hidden_M, row_M))[self.start]
        return Targets(self.text[self.start], self.asked_at, score_M[best], self.place[best])

    def ranks(self, ahead_D: Ints) -> NDArray[np.int32]:
        """Return the rank of the photo of each search, shape (Q,); `NOT_FOUND` where it was hidden by then."""
        is_shown_D = self.availability.shows(self.target, self.text[self.start], self.asked_at)
        rank_D: NDArray[np.int32] = np.where(is_shown_D, 1 + ahead_D, NOT_FOUND).astype(np.int32)
        return rank_D[self.of_search]


@dataclass(frozen=True)
class Block:
    """Photos by place. A photo whose row holds no vector (NaN) is behind all that have one.

    Those from `special` on are not candidates of every search, or share their picture: photos of one picture are in one
    block, side by side. `availability` is of these alone, by column.
    """

    vector: Matrix
    place: Ints
    special: int
    availability: Availability


def arranged(place_S: Ints, is_special_P: Bools, availability: Availability) -> tuple[Ints, int, Availability]:
    """Return photos in the order of a `Block`, how many of them are regular, and the availability of the others."""
    special = place_S[is_special_P[place_S]]
    special = special[np.lexsort((special, availability.pictures[special]))]
    regular = np.sort(place_S[~is_special_P[place_S]])
    return np.concatenate([regular, special]), len(regular), availability.only(special)


def rank_by_vectors(
    query_UD: Matrix,
    photo_PD: Matrix,
    has_vector_P: Bools,
    searches: tuple[Ints, Ints, Ints],
    availability: Availability,
) -> NDArray[np.int32]:
    """Return the rank of each search's photo among all its candidates, shape (Q,), where all vectors are at hand.

    `searches` are the texts, the places of the photos and the instants, each of shape (Q,).
    """
    lookups = Lookups.of(*searches, availability)
    vector_PD = np.where(has_vector_P[:, None], photo_PD, np.float32(np.nan))
    targets = lookups.targets(scores_of_pairs(query_UD, vector_PD, lookups.text, lookups.place))
    is_special_P = availability.special(int(searches[2].min(initial=0)))
    place_P, regular_count, of_special = arranged(np.arange(len(photo_PD)), is_special_P, availability)
    block = Block(vector_PD[place_P], place_P, regular_count, of_special)
    return lookups.ranks(count_ahead(query_UD, block, targets))


def scores_of_pairs(query_UD: Matrix, photo_SD: Matrix, text_N: Ints, column_N: Ints) -> Matrix:
    """Return the exact scores of pairs of a text and a photo, shape (N,); -inf for a photo without a vector."""
    score_N = np.empty(len(text_N), dtype=np.float32)
    for start in range(0, len(text_N), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        score_N[pairs] = exact_scores(query_UD[text_N[pairs]], photo_SD[column_N[pairs]])
    return np.where(np.isnan(score_N), np.float32(-np.inf), score_N)


def count_ahead(query_UD: Matrix, block: Block, targets: Targets, product: Product = float_product) -> Ints:
    """Return how many of a block's photos are listed ahead of each target, shape (N,).

    A picture that several photos show counts once.
    """
    special = slice(block.special, None)
    # what is regular does not depend on the instant
    of_pair_N, first = alike(targets.text, targets.place, np.zeros(len(targets.text), dtype=np.int64))
    ahead_F, pairs = np.zeros(len(first), dtype=np.int64), targets.of(first)
    regular = block.vector[: block.special], block.place[: block.special]
    for rows, _, is_ahead_RC in _tiles(query_UD, *regular, pairs, TILE_PHOTOS, product):
        ahead_F[rows] += _counts(is_ahead_RC)
    ahead_N = ahead_F[of_pair_N]
    availability = block.availability
    starts = np.flatnonzero(np.diff(availability.pictures, prepend=-1))
    width = max(1, len(block.place) - block.special)
    for rows, _, is_ahead_RC in _tiles(query_UD, block.vector[special], block.place[special], targets, width, product):
        is_ahead_RC &= availability.shown(targets.text[rows], targets.asked_at[rows])
        ahead_N[rows] += np.logical_or.reduceat(is_ahead_RC, starts, axis=1).sum(axis=1)
    return ahead_N


def _tiles(
    query_UD: Matrix, photo_SD: Matrix, place_S: Ints, targets: Targets, width: int, product: Product
) -> Iterator[tuple[slice, slice, Bools]]:
    """Give rows of targets, columns of photos, and which of these are ahead of which target, shape (R, C)."""
    if not len(targets.text) or not len(place_S):
        return
    has_vector_S = ~np.isnan(photo_SD[:, 0])
    error = float(product_error(query_UD, photo_SD).max(initial=0))
    texts, start_T = np.unique(targets.text, return_index=True)
    end_T = np.append(start_T[1:], len(targets.text))
    tile_count = max(1, TILE_TEXTS * TILE_PHOTOS // max(width, TILE_PHOTOS))
    for first in range(0, len(texts), tile_count):
        tile = slice(first, first + tile_count)
        for start in range(0, len(place_S), width):
            columns = slice(start, start + width)
            photos = _Photos(photo_SD[columns], place_S[columns], has_vector_S[columns])
            score_TC = photos.scores(query_UD[texts[tile]], product)
            begin, end = start_T[tile][0], end_T[tile][-1]
            for row in range(begin, end, tile_count):
                rows = slice(row, min(end, row + tile_count))
                of_text_R = np.searchsorted(texts[tile], targets.text[rows])
                score_RC = score_TC if len(of_text_R) == len(score_TC) == end - begin else score_TC[of_text_R]
                yield rows, columns, _ahead(score_RC, error, query_UD, photos, targets.of(rows))


@dataclass(frozen=True)
class _Photos:
    vector: Matrix
    place: Ints
    has_vector: Bools

    def scores(self, query_TD: Matrix, product: Product) -> Matrix:
        """Return the scores in single precision, shape (T, C); -inf for a photo without a vector."""
        if not self.has_vector.any():
            return np.full((len(query_TD), len(self.place)), -np.inf, dtype=np.float32)
        score_TC = product(query_TD, self.vector)
        if not self.has_vector.all():
            score_TC[:, ~self.has_vector] = -np.inf
        return score_TC


def _ahead(score_RC: Matrix, error: float, query_UD: Matrix, photos: _Photos, targets: Targets) -> Bools:
    """Tell which photos are ahead of each target, shape (R, C): near ones by exact scores, equal ones by place."""
    bar_R1 = targets.score[:, None].astype(np.float64)
    above_R1 = np.nextafter((bar_R1 + error).astype(np.float32), np.float32(np.inf))
    below_R1 = np.nextafter((bar_R1 - error).astype(np.float32), np.float32(-np.inf))
    is_ahead_RC = score_RC > above_R1
    is_near_RC = score_RC >= below_R1
    is_near_RC ^= is_ahead_RC
    row_M, column_M = np.divmod(np.flatnonzero(is_near_RC), is_near_RC.shape[1])
    for start in range(0, len(row_M), _PAIRS_AT_ONCE):
        row, column = row_M[start : start + _PAIRS_AT_ONCE], column_M[start : start + _PAIRS_AT_ONCE]
        score = scores_of_pairs(query_UD, photos.vector, targets.text[row], column)
        bar = targets.score[row]
        is_ahead_RC[row, column] = (score > bar) | ((score == bar) & (photos.place[column] < targets.place[row]))
    return is_ahead_RC


def _counts(is_ahead_RC: Bools) -> Ints:
    return np.fromiter(map(np.count_nonzero, is_ahead_RC), dtype=np.int64, count=len(is_ahead_RC))


def best_listed(
    query_BD: Matrix, block: Block, text_B: Ints, asked_at_B: Ints, k: int, product: Product = float_product
) -> list[tuple[Ints, Matrix]]:
    """Return the places and exact scores of the best k photos of a block that each search lists, best first.

    For a few searches, given by their vectors, texts and instants. A photo without a vector is not listed.
    """
    if not len(block.place):
        return [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))] * len(query_BD)
    score_BS = product(query_BD, block.vector)
    score_BS[:, np.isnan(block.vector[:, 0])] = -np.inf
    score_BS[:, block.special :][~block.availability.shown(text_B, asked_at_B)] = -np.inf
    picture_S = np.concatenate([np.arange(block.special), block.special + block.availability.pictures])
    starts = np.flatnonzero(np.diff(picture_S, prepend=-1))
    error = float(product_error(query_BD, block.vector).max(initial=0))
    found = []
    for query_D, score_S in zip(query_BD, score_BS, strict=True):
        of_picture_E = np.maximum.reduceat(score_S, starts)
        bar = np.partition(of_picture_E, -k)[-k] - 2 * error if k < len(starts) else -np.inf
        column = np.flatnonzero((score_S >= bar) & (score_S > -np.inf))
        score = exact_scores(query_D, block.vector[column])
        order = np.lexsort((block.place[column], -score))
        _, first = np.unique(picture_S[column[order]], return_index=True)
        order = order[np.sort(first)[:k]]
        found.append((block.place[column[order]], score[order]))
    return found


def merged(parts: Sequence[tuple[Ints, Matrix]], k: int) -> tuple[Ints, Matrix]:
    """Return the best k of what several blocks list for one search, best first, and of equals the earlier place."""
    place, score = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.lexsort((place, -score))[:k]
    return place[order], score[order]
