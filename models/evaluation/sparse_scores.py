"""Exact ranks by scores that differ from text to text for few photos: counts and keyword match. No vectors.

Every photo has a score that is the same for all texts; for a text some photos score more. So most of what is ahead of a
photo is counted once, in one sorted order, and a text costs as much as it has photos of its own.

Shape letters: P photos, U texts, N targets or pairs, E photos of a text, X special photos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.evaluation.counting import Targets, arranged
from models.evaluation.ranking import Availability, Bools, Floats, Ints, alike

_CELLS = 4_000_000


class More(Protocol):
    """What some photos score more for a text."""

    def __call__(self, text: int) -> tuple[Ints, NDArray[Any]]:
        """Return the places of these photos, ascending, shape (E,), and what is added to their scores."""


@dataclass(frozen=True)
class SparseScores:
    """The scores of an arm: `base` of every photo, shape (P,), and more of some."""

    base: Floats
    more: More

    def of_pairs(self, text_N: Ints, place_N: Ints) -> Floats:
        """Return the scores of pairs of a text and a photo, shape (N,)."""
        score_N = self.base[place_N].copy()
        for text, rows in _by_text(text_N):
            score_N[rows] = self._of(text, place_N[rows])
        return score_N

    def count_ahead(self, targets: Targets, is_special_P: Bools, availability: Availability) -> Ints:
        """Return how many photos are listed ahead of each target, shape (N,); see `counting.count_ahead`."""
        place_P, regular_count, of_special = arranged(np.arange(len(self.base)), is_special_P, availability)
        regular, special = place_P[:regular_count], place_P[regular_count:]
        # what is regular does not depend on the instant
        of_pair_N, first = alike(targets.text, targets.place, np.zeros(len(targets.text), dtype=np.int64))
        pairs = targets.of(first)
        ahead_F, ahead_N = _Order(self.base[regular], regular).ahead(pairs), np.zeros(len(of_pair_N), dtype=np.int64)
        rows_of = dict(_by_text(targets.text)) if len(special) else {}
        for text, rows in _by_text(pairs.text):
            place_E, more_E = self.more(text)
            if len(special):
                here = targets.of(rows_of[text])
                score_X = _added(self.base[special], special, place_E, more_E)
                ahead_N[rows_of[text]] = _special_ahead(score_X, special, here, of_special)
            is_regular_E = ~is_special_P[place_E]
            place_E, more_E = place_E[is_regular_E], more_E[is_regular_E]
            base_E = self.base[place_E]
            here = pairs.of(rows)
            ahead_F[rows] += _ahead(base_E + more_E, place_E, here) - _ahead(base_E, place_E, here)
        return ahead_N + ahead_F[of_pair_N]

    def best(self, text: int, asked_at: int, availability: Availability, k: int) -> tuple[Ints, Floats]:
        """Return the places and scores of the best k photos that a search lists, best first."""
        place_P = np.flatnonzero(availability.shown(np.array([text]), np.array([asked_at]))[0])
        score_P = self._of(text, place_P)
        order = np.lexsort((place_P, -score_P))
        _, first = np.unique(availability.pictures[place_P[order]], return_index=True)
        order = order[np.sort(first)[:k]]
        return place_P[order], score_P[order]

    def _of(self, text: int, place_N: Ints) -> Floats:
        return _added(self.base[place_N], place_N, *self.more(text))


def _added(base_N: Floats, place_N: Ints, place_E: Ints, more_E: Floats) -> Floats:
    """Return the scores of photos by place, shape (N,), with what some of them score more."""
    at_N = np.searchsorted(place_E, place_N).clip(max=max(0, len(place_E) - 1))
    is_there_N = place_E[at_N] == place_N if len(place_E) else np.zeros(len(place_N), np.bool_)
    score_N = base_N.copy()
    score_N[is_there_N] += more_E[at_N[is_there_N]]
    return score_N


def _ahead(score_E: Floats, place_E: Ints, targets: Targets) -> Ints:
    """Return how many of the photos of a text are ahead of each target."""
    ahead_N, step = np.zeros(len(targets.text), dtype=np.int64), max(1, _CELLS // max(1, len(score_E)))
    for start in range(0, len(ahead_N) if len(score_E) else 0, step):
        rows = slice(start, start + step)
        is_ahead_NE = _is_ahead(score_E, place_E, targets.of(rows))
        ahead_N[rows] = np.fromiter(map(np.count_nonzero, is_ahead_NE), dtype=np.int64, count=len(is_ahead_NE))
    return ahead_N


def _is_ahead(score_E: Floats, place_E: Ints, targets: Targets) -> Bools:
    bar_N1 = targets.score[:, None]
    is_ahead_NE: Bools = (score_E > bar_N1) | ((score_E == bar_N1) & (place_E < targets.place[:, None]))
    return is_ahead_NE


def _special_ahead(score_X: Floats, special: Ints, targets: Targets, availability: Availability) -> Ints:
    """Return how many pictures of special photos are listed ahead of each target."""
    starts = np.flatnonzero(np.diff(availability.pictures, prepend=-1))
    parts, step = [np.zeros(0, dtype=np.int64)], max(1, _CELLS // len(special))
    for start in range(0, len(targets.text), step):
        here = targets.of(slice(start, start + step))
        is_ahead_NX = _is_ahead(score_X, special, here)
        is_ahead_NX &= availability.shown(here.text, here.asked_at)
        parts.append(np.logical_or.reduceat(is_ahead_NX, starts, axis=1).sum(axis=1))
    return np.concatenate(parts)


class _Order:
    """Photos in their order: by score, the highest first, and then by place."""

    def __init__(self, score_S: Floats, place_S: Ints) -> None:
        self._level, level_S = np.unique(-score_S, return_inverse=True)
        self._width = int(place_S.max(initial=0)) + 1
        self._key = np.sort(level_S * self._width + place_S)

    def ahead(self, targets: Targets) -> Ints:
        """Return how many of the photos are ahead of each target."""
        level_N = np.searchsorted(self._level, -targets.score)
        found_N = self._level[level_N.clip(max=max(0, len(self._level) - 1))] if len(self._level) else targets.score
        is_tied_N = (found_N == -targets.score) & (level_N < len(self._level))
        within_N = np.where(is_tied_N, targets.place.clip(max=self._width), 0)
        return np.searchsorted(self._key, level_N * self._width + within_N)


def _by_text(text_N: Ints) -> Iterator[tuple[int, Ints]]:
    """Give each text and its rows."""
    order = np.argsort(text_N, kind="stable")
    texts, starts = np.unique(text_N[order], return_index=True)
    yield from zip(texts.tolist(), np.split(order, starts)[1:], strict=True)
