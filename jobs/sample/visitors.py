"""The visitors of the sample: most come once, a few all the time; each has a country, languages and a taste."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from jobs.sample.countries import COUNTRIES
from jobs.sample.drawing import COLOURS, SCENES
from jobs.sample.world import LOG_END, LOG_START

GROUPS = ("animal", "plant", "food", "vehicle", "building", "thing")
_MOST_CONVERSIONS = 60
_BY_HOUR = np.array([2, 1, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 10, 11, 11, 10, 9, 8, 8, 8, 7, 5, 3], dtype=float)
_BY_WEEKDAY = np.array([1.1, 1.15, 1.15, 1.1, 0.95, 0.7, 0.8])
_GROWTH_PER_DAY = 0.004


@dataclass(frozen=True)
class Visitor:
    """One visitor. `likes` adds to the worth of photos with these visible names, `groups` are searched more often."""

    visitor_id: str
    country: str
    english_share: float
    device: str
    likes: dict[str, float]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Visit:
    """A visitor's next conversion. `is_more_of_the_same`: the query of the conversion before, another photo."""

    at: datetime
    visitor: Visitor
    is_more_of_the_same: bool


def make_visits(count: int, seed: int) -> list[Visit]:
    """Return `count` visits in the order of time; no two at the same millisecond."""
    rng = np.random.default_rng([seed, 2])
    visits: list[Visit] = []
    while len(visits) < count:
        visitor = _visitor(rng)
        # a power law: P(n) ~ n^-1.9, cut at the most active visitor
        left = min(_MOST_CONVERSIONS, int((1 - rng.random()) ** (-1 / 0.9)), count - len(visits))
        while left:
            session = min(left, int(rng.geometric(0.6)))
            at = _moment(visitor.country, rng)
            for step in range(session):
                visits.append(Visit(at, visitor, step > 0 and rng.random() < 0.3))
                at = min(at + timedelta(milliseconds=int(rng.integers(20_000, 240_000))), LOG_END)
            left -= session
    return _apart(sorted(visits, key=lambda visit: visit.at))


def _apart(visits: list[Visit]) -> list[Visit]:
    """Move visits that fall on one millisecond apart, and into the log."""
    latest = LOG_END
    apart = []
    for visit in reversed(visits):
        latest = min(visit.at, latest - timedelta(milliseconds=1))
        apart.append(Visit(latest, visit.visitor, visit.is_more_of_the_same))
    return apart[::-1]


def _visitor(rng: np.random.Generator) -> Visitor:
    country = str(rng.choice(list(COUNTRIES), p=[country.share for country in COUNTRIES.values()]))
    # people keep to one language: most of a country search in their own, some in English, some in both
    mean = COUNTRIES[country].english_share
    scenes, colours = rng.choice(list(SCENES), 2, replace=False), rng.choice(list(COLOURS), 2, replace=False)
    return Visitor(
        visitor_id=str(uuid.UUID(bytes=rng.bytes(16), version=4)),
        country=country,
        english_share=1.0 if mean == 1 else float(rng.beta(mean, 1 - mean)),
        device=str(rng.choice(["desktop", "mobile", "tablet"], p=[0.56, 0.38, 0.06])),
        likes={str(name): 1.2 for name in (*scenes, *colours)},
        groups=tuple(str(group) for group in rng.choice(GROUPS, 2, replace=False)),
    )


def _moment(country: str, rng: np.random.Generator) -> datetime:
    """Return a moment of the log: more searches later in the log, on weekdays, and in the country's daytime."""
    days = (LOG_END - LOG_START).days
    day_numbers = np.arange(days)
    weight = _BY_WEEKDAY[(LOG_START.weekday() + day_numbers) % 7] * (1 + _GROWTH_PER_DAY * day_numbers)
    day = int(rng.choice(days, p=weight / weight.sum()))
    hour = (int(rng.choice(24, p=_BY_HOUR / _BY_HOUR.sum())) - COUNTRIES[country].utc_offset) % 24
    return LOG_START + timedelta(days=day, hours=hour, milliseconds=int(rng.integers(3_600_000)))
