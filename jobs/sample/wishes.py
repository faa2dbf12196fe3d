"""What visitors search for: a wish is one or two labels, and its query the words for them.

A wish is drawn so that some photo already there fulfils it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from jobs.sample.countries import COUNTRIES, PLACES
from jobs.sample.drawing import KINDS
from jobs.sample.visitors import Visitor
from jobs.sample.words import HIDDEN, Label, lexicon
from jobs.sample.world import Photo

Wish = tuple[Label, ...]

TREND_STARTS = datetime.fromisoformat("2026-04-13T00:00:00+00:00")
TREND_DAYS = 14
TREND = ("rocket", "aeroplane", "kite", "hot_air_balloon", "balloons")
"""Things that fly are wanted more and more in the last two weeks."""

_FORMS: dict[tuple[str, ...], float] = {
    ("thing",): 0.46,
    ("colour", "thing"): 0.06,
    ("thing", "scene"): 0.07,
    ("scene",): 0.04,
    ("pattern",): 0.03,
    ("thing", "style"): 0.05,
    ("style", "scene"): 0.025,
    ("hidden",): 0.12,
    ("thing", "hidden"): 0.05,
    ("scene", "hidden"): 0.09,
}
_HIDDEN_WEIGHT = {"place": 1.5, "occasion": 1.2, "season": 0.8, "theme": 1.0, "brand": 1.0}


class Wishes:
    """Draws wishes. `photos` are in the order of submission."""

    def __init__(self, photos: Sequence[Photo], seed: int) -> None:
        self._rng = np.random.default_rng([seed, 3])
        holders: dict[Label, list[int]] = {}
        for number, photo in enumerate(photos):
            for label in photo.labels:
                holders.setdefault(label, []).append(number)
        self._holders = {label: np.array(numbers) for label, numbers in holders.items()}
        self._labels = [photo.labels for photo in photos]
        self._pools = {
            facet: sorted(label for label in holders if _facet(label) == facet)
            for facet in ("thing", "scene", "pattern", "style", "hidden")
        }
        self._interest = {facet: self._interest_in(pool) for facet, pool in self._pools.items()}
        self._is_rising = {facet: np.isin([name for _, name in pool], TREND) for facet, pool in self._pools.items()}
        self._weights: dict[tuple[str, str, tuple[str, ...]], np.ndarray] = {}
        self._found: dict[Wish, np.ndarray] = {}

    def _interest_in(self, pool: Sequence[Label]) -> np.ndarray:
        """Return how much the labels are searched: roughly as much as there are photos of them."""
        count = np.array([len(self._holders[label]) for label in pool], dtype=float)
        return count**1.1 * self._rng.lognormal(0, 0.4, len(pool))

    def holders(self, wish: Wish, present_count: int) -> np.ndarray:
        """Return the numbers of the first `present_count` photos that fulfil the wish."""
        found = self._found.get(wish)
        if found is None:
            found = self._holders[wish[0]]
            for label in wish[1:]:
                found = np.intersect1d(found, self._holders[label], assume_unique=True)
            self._found[wish] = found
        return found[: np.searchsorted(found, present_count)]

    def draw(self, visitor: Visitor, at: datetime, present_count: int) -> Wish:
        """Return what the visitor looks for; at least one of the first `present_count` photos fulfils it."""
        forms = list(_FORMS)
        share = np.array(list(_FORMS.values()))
        while True:
            form = forms[pick(share, self._rng)]
            lead = "thing" if "thing" in form else form[0]
            label = self._lead(lead, visitor, at)
            holders = self.holders((label,), present_count)
            if not len(holders):
                continue
            if len(form) == 1:
                return (label,)
            # the second word is one that some photo with the first one has
            example = self._labels[holders[int(self._rng.integers(len(holders)))]]
            wanted = next(facet for facet in form if facet != lead)
            seconds = [other for other in example if _facet(other) == wanted]
            if seconds:
                second = seconds[int(self._rng.integers(len(seconds)))]
                return (label, second) if form[0] == lead else (second, label)

    def _lead(self, facet: str, visitor: Visitor, at: datetime) -> Label:
        pool, key = self._pools[facet], (facet, visitor.country, visitor.groups)
        if key not in self._weights:
            self._weights[key] = self._interest[facet] * [self._appeal(label, visitor) for label in pool]
        days = (at - TREND_STARTS).total_seconds() / 86_400
        rise = 4 * max(0.0, days / TREND_DAYS)
        return pool[pick(self._weights[key] * (1 + rise * self._is_rising[facet]), self._rng)]

    def _appeal(self, label: Label, visitor: Visitor) -> float:
        facet, name = label
        if facet == "kind":
            kind = KINDS[name]
            # the readings of a word have names of their own, used more where they are at home
            own = 1.0 if not kind.homes else 0.5 if visitor.country in kind.homes else 0.06
            return own * (3.0 if kind.group in visitor.groups else 1.0)
        if facet == "place":
            return _HIDDEN_WEIGHT[facet] * (3.0 if PLACES[name].searched_from == visitor.country else 0.5)
        return _HIDDEN_WEIGHT.get(facet, 1.0)

    def query(self, wish: Wish, visitor: Visitor) -> str:
        """Return the words typed for a wish: the visitor's language, now and then a synonym, capitals or a slip."""
        language = "en" if self._rng.random() < visitor.english_share else COUNTRIES[visitor.country].language
        words = [self._word(lexicon()[label][language]) for label in wish]
        if language in {"fr", "es", "pt"} and wish[0][0] == "colour":
            words.reverse()
        return self._typed(" ".join(words))

    def _word(self, words: list[str]) -> str:
        if len(words) == 1 or self._rng.random() < 0.8:
            return words[0]
        return words[int(self._rng.integers(1, len(words)))]

    def _typed(self, query: str) -> str:
        chance = self._rng.random()
        if chance < 0.05:
            return query.capitalize()
        if chance < 0.06:
            return query.upper()
        if chance < 0.07:
            return query.replace(" ", "  ") + " "
        if chance < 0.09 and len(query) > 5 and query.isascii():
            slip = int(self._rng.integers(1, len(query) - 2))
            return query[:slip] + query[slip + 1] + query[slip] + query[slip + 2 :]
        return query


def pick(weights: np.ndarray, rng: np.random.Generator) -> int:
    """Return a position drawn with probability proportional to its weight."""
    total = np.cumsum(weights)
    return min(int(np.searchsorted(total, rng.random() * total[-1], side="right")), len(total) - 1)


def _facet(label: Label) -> str:
    if label[0] in {"kind", "concept"}:
        return "thing"
    return "hidden" if label[0] in HIDDEN else label[0]
