"""For whom is recommended, what, and how it is shown on a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Column

from jobs.runtime.terminal import printable, table_lines

_SHOWN_OF_HISTORY = 6
_SCORE = 10
_MAX_WORDS = 80
"""How many cells a description may have."""


@dataclass(frozen=True)
class RecommendationRequest:
    """Whom to recommend to.

    `visitor` is the id as in the log and `visitor_id` its pseudonym; without one, `photo_ids` were taken, oldest first.
    `country` is "" if none is given.
    """

    visitor: str
    visitor_id: str | None
    photo_ids: tuple[str, ...]
    country: str = ""


@dataclass(frozen=True)
class Recommendation:
    """A photo to be shown, with the score that the method gave it."""

    photo_id: str
    score: float
    words: str


@dataclass(frozen=True)
class Recommended:
    """Photos, best first, by a method of a night; `history` is what was taken before, latest first."""

    catalogue: str
    run_date: str
    asked: RecommendationRequest
    method: str
    notes: tuple[str, ...]
    history: tuple[str, ...]
    photos: tuple[Recommendation, ...]


def render_table(found: Recommended, width: int) -> str:
    """Return the table; descriptions get what is left of `width` cells."""
    before = ", ".join(map(printable, found.history[:_SHOWN_OF_HISTORY]))
    more = len(found.history) - _SHOWN_OF_HISTORY
    columns = [
        Column("#", justify="right", no_wrap=True, min_width=3),
        Column("photo", no_wrap=True),
        Column("score", justify="right", no_wrap=True, min_width=_SCORE),
        Column("description", max_width=_MAX_WORDS),
    ]
    rows = (
        (str(place), one.photo_id, f"{one.score:.4g}", one.words) for place, one in enumerate(found.photos, start=1)
    )
    lines = [
        f"for {_whom(found.asked)} in {found.catalogue}, by {found.method} of the night of {found.run_date}",
        f"had before, latest first: {before}{f' and {more} more' if more > 0 else ''}",
        *found.notes,
        "",
        *table_lines(columns, rows, width),
    ]
    return "\n".join(lines)


def _whom(asked: RecommendationRequest) -> str:
    who = "photos given by hand" if asked.visitor_id is None else f"visitor {printable(asked.visitor)}"
    return f"{who}{f' from {asked.country}' if asked.country else ''}"
