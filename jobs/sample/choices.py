"""Which photo a visitor takes: the simulator's probabilities, and the log drawn from them.

The worth of a photo for a wish is a sum of logits: its popularity, the country's reading of the word, the country's
taste, its newness, and the visitor's own taste; its place on the result page, ranked by all but the last, weighs
too. `Market.worth` without a visitor is what a perfect model could know: ranked by it, the log gives the ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from jobs.sample.countries import COUNTRIES
from jobs.sample.drawing import KINDS
from jobs.sample.visitors import Visit, Visitor
from jobs.sample.wishes import Wish, Wishes, pick
from jobs.sample.world import LOG_END, Photo

_POPULARITY, _AT_HOME, _NEW, _NEW_DAYS = 0.7, 4.5, 0.8, 9.0
PLACE_EXPONENT = 0.25
"""A photo at place n of the results is looked at, and taken, n ** -0.25 times as often as it would be at the first."""
_AGAIN_SHARE = 0.15  # of the visits that stay with a query: the same download once more


@dataclass(frozen=True)
class Conversion:
    """One search that ended in a download. `photo` is the photo's number, `wish` what was meant by the query.

    `position` is the place of the photo among the results, from 1.
    """

    at: datetime
    query: str
    photo: int
    visitor: Visitor
    orientation: str
    ordering: str
    wish: Wish
    position: int


class Market:
    """The photos and what they are worth to whom."""

    def __init__(self, photos: Sequence[Photo], seed: int) -> None:
        self.photos = photos
        self.wishes = Wishes(photos, seed)
        self._submitted = np.array([photo.submitted_at.timestamp() for photo in photos])
        self._popularity = _POPULARITY * np.array([photo.popularity for photo in photos])
        names = sorted({name for photo in photos for _, name in photo.visible})
        self._column = {name: column for column, name in enumerate(names)}
        self._shows = np.zeros((len(photos), len(names)))
        for number, photo in enumerate(photos):
            self._shows[number, [self._column[name] for _, name in photo.visible]] = 1.0
        everything = np.arange(len(photos))
        self._taste = {code: self._liking(country.likes, everything) for code, country in COUNTRIES.items()}
        homes = [kind.homes if (kind := KINDS.get(photo.look.subject)) else frozenset() for photo in photos]
        self._at_home = {code: _AT_HOME * np.array([code in home for home in homes]) for code in COUNTRIES}

    def _liking(self, likes: dict[str, float], numbers: np.ndarray) -> np.ndarray:
        weights = np.zeros(len(self._column))
        for name in likes.keys() & self._column.keys():
            weights[self._column[name]] = likes[name]
        return np.asarray(self._shows[numbers] @ weights)

    def present_count(self, at: datetime) -> int:
        """Return how many photos were submitted before `at`; they are the first ones."""
        return int(np.searchsorted(self._submitted, at.timestamp()))

    def worth(self, wish: Wish, country: str, at: datetime, ordering: str = "popular") -> tuple[np.ndarray, np.ndarray]:
        """Return the photos that fulfil the wish, as numbers, and their worth to the country's people in logits."""
        found, worth, rank = self.ranked(wish, country, at, ordering)
        return found, worth - PLACE_EXPONENT * np.log(rank)

    def ranked(
        self, wish: Wish, country: str, at: datetime, ordering: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the photos that fulfil the wish, as numbers, their worth wherever they stand, and their places."""
        found = self.wishes.holders(wish, self.present_count(at))
        age_days = (at.timestamp() - self._submitted[found]) / 86_400
        newness = _NEW * (3.0 if ordering == "recent" else 1.0) * np.exp(-age_days / _NEW_DAYS)
        worth = self._lasting_worth(wish, country, found) + newness
        rank = np.empty(len(found))
        rank[np.argsort(-worth, kind="stable")] = np.arange(1, len(found) + 1)
        return found, worth, rank

    def _lasting_worth(self, wish: Wish, country: str, found: np.ndarray) -> np.ndarray:
        worth = self._popularity[found] + self._taste[country][found]
        has_readings = any(facet == "concept" for facet, _ in wish)
        return np.asarray(worth + self._at_home[country][found] if has_readings else worth)

    def appeal(self, wish: Wish, visitor: Visitor, found: np.ndarray) -> np.ndarray:
        """Return the worth of photos to a visitor, in logits, that no day and no place changes."""
        return np.asarray(self._lasting_worth(wish, visitor.country, found) + self.personal(found, visitor))

    def personal(self, found: np.ndarray, visitor: Visitor) -> np.ndarray:
        """Return what the visitor's own taste adds to the worth of the photos."""
        return self._liking(visitor.likes, found)


def make_conversions(market: Market, visits: Sequence[Visit], seed: int) -> list[Conversion]:
    """Return one conversion per visit, in the order of time."""
    rng = np.random.default_rng([seed, 4])
    latest: dict[str, Conversion] = {}
    log = []
    for visit in visits:
        before = latest.get(visit.visitor.visitor_id)
        conversion = _conversion(market, visit, before, rng)
        latest[visit.visitor.visitor_id] = conversion
        log.append(conversion)
    return log


def _conversion(market: Market, visit: Visit, before: Conversion | None, rng: np.random.Generator) -> Conversion:
    at, visitor = visit.at, visit.visitor
    if before and visit.is_more_of_the_same:
        wish, query = before.wish, before.query
    else:
        wish = market.wishes.draw(visitor, at, market.present_count(at))
        query = market.wishes.query(wish, visitor)
    ordering = "recent" if rng.random() < 0.12 else "popular"
    found, worth, rank = market.ranked(wish, visitor.country, at, ordering)
    worth = worth - PLACE_EXPONENT * np.log(rank) + market.personal(found, visitor)
    photo = int(found[pick(np.exp(worth - worth.max()), rng)])
    if before and visit.is_more_of_the_same and rng.random() < _AGAIN_SHARE:
        photo = before.photo
    look = market.photos[photo].look
    shape = "landscape" if look.width > look.height else "portrait" if look.width < look.height else "all"
    orientation = shape if rng.random() < 0.12 else "all"
    return Conversion(at, query, photo, visitor, orientation, ordering, wish, int(rank[found == photo][0]))


def ceiling(market: Market, log: Sequence[Conversion], k: int = 10, days: int = 7) -> float:
    """Return the hit rate at `k` of the simulator's own ranking over the last days, not knowing the visitor.

    No model can be expected to do better: the ranking knows what each query means, every label and popularity.
    """
    recent = [conversion for conversion in log if conversion.at >= LOG_END - timedelta(days=days)]
    hits = 0
    for conversion in recent:
        found, worth = market.worth(conversion.wish, conversion.visitor.country, conversion.at)
        hits += conversion.photo in found[np.argsort(-worth, kind="stable")[:k]]
    return hits / len(recent)
