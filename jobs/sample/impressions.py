"""What visitors of the sample were shown and passed over or clicked: lists that ended without a download.

A click follows the position-based model: the place is looked at, with probability n ** -PLACE_EXPONENT at place n, and
what is looked at appeals, with a probability that neither place nor day changes. The site made the lists by two
rankings, which differ in how they favour what is new, and shuffled some, so that a photo stands at several places for
one query: without that nobody could tell a good place from a good photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from jobs.sample.choices import PLACE_EXPONENT, Conversion, Market
from jobs.sample.visitors import Visitor
from jobs.sample.world import LOG_START

SHUFFLED = "shuffled"
ARMS = {"popular": 0.4, "recent": 0.4, SHUFFLED: 0.2}
"""How lists were made, with their shares. Shuffled is the first page of `popular`."""
LIST_SHARE = 0.2  # lists per conversion of the log
_PLACES = 12
_BY_PHOTO_SHARE = 0.1  # of the lists: asked for by a photo, "more like this"
_MOST_CLICKED, _HALF = 0.6, 1.5  # probability of a click on what could not appeal more; the logits at which it is half
_DWELL_LOG_MEAN, _DWELL_LOG_SCALE = 2.2, 0.8


@dataclass(frozen=True)
class Impression:
    """A photo at a place of a list. `query_photo` is the photo asked with; such lists have no query and no id.

    `dwell_seconds` is how long a clicked photo was looked at, None where there was no click.
    """

    at: datetime
    visitor: Visitor
    query_id: str
    query: str
    query_photo: int | None
    photo: int
    position: int
    arm: str
    dwell_seconds: float | None


def make_impressions(
    market: Market, log: Sequence[Conversion], seed: int, list_share: float = LIST_SHARE
) -> list[Impression]:
    """Return the impressions in the order of time: lists seen by visitors shortly before one of their downloads."""
    rng = np.random.default_rng([seed, 9])
    chosen = np.sort(rng.choice(len(log), max(1, int(len(log) * list_share)), replace=False))
    lists = [_list(market, log[row], number, rng) for number, row in enumerate(chosen.tolist())]
    return [shown for one in sorted(lists, key=lambda one: one[0].at if one else LOG_START) for shown in one]


def _list(market: Market, after: Conversion, number: int, rng: np.random.Generator) -> list[Impression]:
    at = max(LOG_START, after.at - timedelta(milliseconds=int(rng.integers(10_000, 90_000))))
    arm = str(rng.choice(list(ARMS), p=list(ARMS.values())))
    asked_with = after.photo if rng.random() < _BY_PHOTO_SHARE else None
    wish = after.wish if asked_with is None else market.photos[after.photo].visible[:1]
    found, _, rank = market.ranked(wish, after.visitor.country, at, "popular" if arm == SHUFFLED else arm)
    shown = found[np.argsort(rank)]
    shown = shown[shown != asked_with][:_PLACES]
    shown = rng.permutation(shown) if arm == SHUFFLED else shown
    appeal = market.appeal(wish, after.visitor, shown)
    examined = np.arange(1.0, len(shown) + 1) ** -PLACE_EXPONENT
    is_clicked = rng.random(len(shown)) < examined * _MOST_CLICKED / (1 + np.exp(_HALF - appeal))
    dwell = rng.lognormal(_DWELL_LOG_MEAN, _DWELL_LOG_SCALE, len(shown))
    return [
        Impression(
            at=at,
            visitor=after.visitor,
            query_id="" if asked_with is not None else f"s{number:06d}",
            query="" if asked_with is not None else after.query,
            query_photo=asked_with,
            photo=int(photo),
            position=position,
            arm=arm,
            dwell_seconds=float(seconds) if clicked else None,
        )
        for position, (photo, clicked, seconds) in enumerate(zip(shown, is_clicked, dwell, strict=True), start=1)
    ]
