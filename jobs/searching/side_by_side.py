"""`nightlens search`: what a search by words, a picture or a photo shows, in the published release and the candidate.

It is what a reviewer tries by hand. It reads releases as a site does, through their index, and changes nothing that is
live; a page of what it found is left beside the reports.

What only searches with a picture need is imported by them alone, and what is wrong is said before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.config.settings import Settings
from jobs.datasets.clean import IMAGES
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake, open_catalogue
from jobs.releasing.published_pointer import read_pointer
from jobs.releasing.reader import OpenRelease
from jobs.report.html_page import render_page, write_whole
from jobs.report.photos import Photo, read_photos, thumbnail
from jobs.searching.past import past_notes, read_pasts
from jobs.searching.query import Query
from jobs.searching.reasons import sentence
from jobs.searching.releases import CANDIDATE, CHAMPION, open_releases
from jobs.searching.results import Found, Results, Side, Similar, rank
from models.images import decode_image
from models.rerank.live import Asked, Taken

if TYPE_CHECKING:
    from models.similar.duplicates import NearDuplicates

MAX_PHOTOS = 100


def search(
    settings: Settings,
    catalogue: str,
    query: Query,
    k: int,
    run_date: date | None = None,
    near_duplicates: NearDuplicates = "group",
) -> Results:
    """Return the K best photos of the champion and, beside them, of the candidate of a night (default: the latest).

    Where it is searched with a picture, `near_duplicates` of it and of one another are grouped, dropped or shown.

    Raises `MissingInput` for a catalogue, night or photo that is not there, or if there is no release at all,
    `BadInput` for a K out of range or a release that cannot be opened or whose model and index do not belong together.
    """
    if not 1 <= k <= MAX_PHOTOS:
        raise BadInput(
            "count_out_of_range", f"-k {k}: from 1 to {MAX_PHOTOS} photos can be shown", count=k, most=MAX_PHOTOS
        )
    lake = open_catalogue(settings.lake_uri, catalogue)
    opened = open_releases(lake, run_date, with_pictures=not query.is_words)
    is_published = read_pointer(lake) is not None
    sides = _distinct(opened)
    pasts = read_pasts(lake, sides, query)
    rows = {role: _row(lake, release, query) for role, release in sides.items()}
    similar = {
        role: _find(lake, sides[role], row, query, pasts[role], k, near_duplicates)
        for role, row in rows.items()
        if row is not None
    }
    if not similar:
        raise MissingInput(
            "no_such_photo",
            f"no photo {query.title!r} in {_listed(sides)} of {catalogue}. Search with another.",
            photo_ids=[query.title],
        )
    found = {role: one.found for role, (one, _) in similar.items()}
    photos = {role: _photos(lake, sides[role], found[role]) for role in similar}
    alike = {role: one.alike for role, (one, _) in similar.items()}
    hits = rank(found, photos, alike, {role: why for role, (_, why) in similar.items()})
    return Results(
        catalogue=catalogue,
        query=query,
        picture=None if query.is_words else _thumbnail(rows.values()),
        notes=(
            *_notes(opened, query, is_published),
            *past_notes(sides, pasts, query),
            *(f"The {role} does not have the photo." for role in sides if role not in found),
        ),
        sides=tuple(Side(role, _label(sides[role]), hits[role], one.same) for role, (one, _) in similar.items()),
    )


def _row(lake: Lake, release: OpenRelease, query: Query) -> dict[str, Any] | None:
    """Return what the model is given of a picture or photo; empty for words, None for a photo that is not there."""
    if query.is_words:
        return {}
    from jobs.searching.similar import read_photo
    from models import serving

    if query.photo_id is not None:
        return read_photo(lake, release, query.photo_id)
    return {serving.IMAGE: query.image}


def _thumbnail(rows: Iterable[dict[str, Any] | None]) -> str:
    """Return a thumbnail of the search's picture, from the first release that has it."""
    from models import serving

    return next(thumbnail(decode_image(row[serving.IMAGE])) for row in rows if row is not None)


def _find(
    lake: Lake,
    release: OpenRelease,
    row: dict[str, Any],
    query: Query,
    taken: tuple[Taken, ...],
    k: int,
    near_duplicates: NearDuplicates,
) -> tuple[Similar, dict[str, str]]:
    """Return what a release finds, and of a search by words why, by photo."""
    if query.is_words:
        (found,) = release.search([Asked(query.title, query.country, taken=taken)], k, with_reasons=True)
        why = {one.photo_id: sentence(one.reason) for one in found if one.reason}
        return Similar([(one.photo_id, one.score) for one in found], {}, ()), why
    from jobs.searching.similar import find_similar

    asked: dict[str, Any] = {"photo_id": query.photo_id, "country": query.country, "how": near_duplicates}
    return find_similar(lake, release, row, k, **asked), {}


def _listed(roles: Iterable[str]) -> str:
    return " or ".join(roles)


def write_page(settings: Settings, results: Results) -> Path:
    """Write the results as a page that needs nothing else; return where it is."""
    page = settings.report_dir / results.catalogue / "searches" / f"{results.query.slug}.html"
    write_whole(page, render_page("search.html.j2", results=results).encode())
    return page.absolute()


def _distinct(opened: dict[str, OpenRelease]) -> dict[str, OpenRelease]:
    """Return the releases by role, a candidate that is the champion left out."""
    if opened.get(CHAMPION) is opened.get(CANDIDATE):
        return {CHAMPION: opened[CHAMPION]}
    return opened


def _notes(opened: dict[str, OpenRelease], query: Query, is_published: bool) -> tuple[str, ...]:
    champion, candidate = opened.get(CHAMPION), opened.get(CANDIDATE)
    notes = []
    if champion is None:
        notes.append(
            "What is published was made by an earlier version and cannot be searched: the candidate is shown alone."
            if is_published
            else "Nothing is published yet: there is no champion, and the candidate is shown alone."
        )
    elif candidate is None:
        notes.append("No night has a candidate: the champion is shown alone.")
    elif champion is candidate:
        notes.append("The candidate is the champion, the release that is published: there is nothing to compare.")
    elif champion.description["model"]["digest"] == candidate.description["model"]["digest"]:
        notes.append("Champion and candidate are the same model: they differ in the photos and counts of their nights.")
    else:
        notes.append("Scores of two models do not compare, places do.")
    if query.is_words:
        notes += [
            f"The {role} counts conversions until {one.counts_until:%Y-%m-%d %H:%M} UTC."
            for role, one in _distinct(opened).items()
            if one.live.reranker is not None
        ]
    if query.country and query.is_words:
        notes += [f"The {role} does not read the country." for role, one in _distinct(opened).items() if _is_deaf(one)]
    return tuple(notes)


def _is_deaf(release: OpenRelease) -> bool:
    return release.live.reranker is None and release.model is not None and not release.model.uses_country


def _label(release: OpenRelease) -> str:
    return f"version {release.name.version} of {release.name.run_date}"


def _photos(lake: Lake, release: OpenRelease, found: Found) -> dict[str, Photo]:
    """Return what was found with the words and images of the release's night; an image may be gone since."""
    splits = lake.by_reference(release.description["runs"]["splits"]["reference"])
    images = lake.current(IMAGES, release.name.partition)
    return read_photos(lake, splits, images, [photo_id for photo_id, _ in found], may_be_gone=True)
