"""What who searches took before, as the night of each release knows it. Nothing of it is in a release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jobs.datasets.features import SplitsFacts
from jobs.errors import MissingInput
from jobs.lake.catalogue import Lake
from jobs.releasing.reader import OpenRelease
from jobs.searching.query import Query
from models.rerank.live import Taken

Pasts = dict[str, tuple[Taken, ...]]
"""What was taken before of the photos of each release, oldest first, by role."""


def read_pasts(lake: Lake, sides: Mapping[str, OpenRelease], query: Query) -> Pasts:
    """Return the past of who searches, until the end of each release's night; empty if nobody is named.

    Raises `MissingInput` for a visitor of none of these nights, and for a photo that is in none of these releases.
    """
    pasts = {role: _of_release(release, _taken(lake, release, query)) for role, release in sides.items()}
    if query.visitor_id is not None and not any(pasts.values()):
        raise MissingInput(
            "no_such_visitor",
            "the visitor took no photo before in any of these releases. Give the id as it stands in the log, or photos "
            "taken before: --taken PHOTO_ID",
        )
    known = {taken.photo_id for past in pasts.values() for taken in past}
    if unknown := sorted(set(query.taken) - known):
        raise MissingInput(
            "no_such_photo",
            f"no photo {', '.join(map(repr, unknown))} in what is searched, so nobody can have taken it. Leave it out.",
            photo_ids=unknown,
        )
    return pasts


def past_notes(sides: Mapping[str, OpenRelease], pasts: Pasts, query: Query) -> Iterator[str]:
    """Give a sentence per release on the past that it is told."""
    if not query.has_past:
        return
    for role, past in pasts.items():
        if sides[role].live.reranker is None:
            yield f"The {role} orders by closeness alone: it does not read what was taken before."
        else:
            yield f"The {role} knows of {len(past)} conversions by who searches."


def _taken(lake: Lake, release: OpenRelease, query: Query) -> tuple[Taken, ...]:
    if query.visitor_id is None:
        return tuple(Taken(photo_id) for photo_id in query.taken)
    from jobs.reranking.tables import ALL_WINDOWS, read_taken  # loads scipy, which other searches can do without

    splits = lake.by_reference(release.description["runs"]["splits"]["reference"])
    found = read_taken(lake, splits, ALL_WINDOWS, SplitsFacts.of(splits).test_end, [query.visitor_id])
    return found.get(query.visitor_id, ())


def _of_release(release: OpenRelease, taken: tuple[Taken, ...]) -> tuple[Taken, ...]:
    places = release.live.catalogue.places([one.photo_id for one in taken])
    return tuple(one for one, place in zip(taken, places, strict=True) if place >= 0)
