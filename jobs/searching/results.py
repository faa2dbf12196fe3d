"""What a search found, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.report.photos import Photo
from jobs.searching.query import Query


@dataclass(frozen=True)
class Hit:
    """A photo at its place. `is_only_here` if the other release does not show it.

    `alike` are the ids of near duplicates that are grouped with it. `why` says what put it there, if that is known.
    """

    place: int
    photo: Photo
    score: float
    is_only_here: bool
    alike: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Side:
    """What one release found, best first. `same` are the ids of photos that are the very picture searched with."""

    role: str
    label: str
    hits: tuple[Hit, ...]
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """A search in one release, or in two. `notes` are sentences on what was compared with what."""

    catalogue: str
    query: Query
    picture: str | None  # of a search with a picture or a photo, as a data URI
    notes: tuple[str, ...]
    sides: tuple[Side, ...]

    @property
    def shown_count(self) -> int:
        """How many photos are shown of the side that has most."""
        return max(len(side.hits) for side in self.sides)

    @property
    def summary(self) -> str:
        """How much two sides have in common; of one side, how much it found."""
        if len(self.sides) == 1:
            return f"photos found: {self.shown_count}"
        shared = sum(not hit.is_only_here for hit in self.sides[0].hits)
        return f"photos in common: {shared} of {self.shown_count}"


Found = list[tuple[str, float]]
"""What an index returns for one query: (photo_id, score), best first."""


@dataclass(frozen=True)
class Similar:
    """What one release finds, best first; of a search with a picture also what is grouped, and what is the picture."""

    found: Found
    alike: dict[str, tuple[str, ...]]
    same: tuple[str, ...]


def rank(
    found: Mapping[str, Found],
    photos: Mapping[str, Mapping[str, Photo]],
    alike: Mapping[str, Mapping[str, tuple[str, ...]]],
    why: Mapping[str, Mapping[str, str]],
) -> dict[str, tuple[Hit, ...]]:
    """Return what was found, by role, as hits that know whether the other side has them too."""
    ids = {role: {photo_id for photo_id, _ in hits} for role, hits in found.items()}
    return {
        role: tuple(
            Hit(
                place,
                photos[role][photo_id],
                score,
                len(ids) > 1 and any(photo_id not in one for one in ids.values()),
                alike[role].get(photo_id, ()),
                why[role].get(photo_id, ""),
            )
            for place, (photo_id, score) in enumerate(hits, start=1)
        )
        for role, hits in found.items()
    }
