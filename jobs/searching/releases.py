"""In which releases is searched: the one that is published, and the candidate of a night."""

from __future__ import annotations

from datetime import date

from jobs.datasets.models import REGISTRATION, RegistrationFacts
from jobs.datasets.releases import ReleaseName
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.published_pointer import name_of, read_pointer
from jobs.releasing.reader import OLDER_VERSION, UNUSABLE, OpenRelease, ReleaseReader, open_release

CHAMPION, CANDIDATE = "champion", "candidate"


def open_releases(lake: Lake, run_date: date | None, with_pictures: bool = False) -> dict[str, OpenRelease]:
    """Return what is published and the candidate of a night (by default the latest) with their models, by role.

    The models read words, and `with_pictures` pictures as well.

    The champion is absent if nothing is published yet that this version can read; both are one object if the candidate
    is what is published.
    Raises `MissingInput` if there is neither or the night has none, `BadInput` if one cannot be opened.
    """
    pointer = read_pointer(lake)
    is_published = pointer is not None and pointer.release is not None
    found = _candidate(lake, run_date)
    if found is None and not is_published:
        raise MissingInput(
            "no_night_yet",
            f"there is no release below {lake.root} to search in. Run a night to its end: make nightly",
            lake=str(lake.root),
        )
    opened = _champion(lake, with_pictures, found is None) if is_published else {}
    if found is not None:
        is_champion = CHAMPION in opened and opened[CHAMPION].name == found
        opened[CANDIDATE] = opened[CHAMPION] if is_champion else _open(lake, found, with_pictures)
    return opened


def _champion(lake: Lake, with_pictures: bool, is_alone: bool) -> dict[str, OpenRelease]:
    """Return the published release; beside a candidate one that an earlier version made is left out."""
    try:
        return {CHAMPION: ReleaseReader(lake, with_model=True, with_pictures=with_pictures).current}
    except BadInput as error:
        if is_alone or error.code != OLDER_VERSION:
            raise
        return {}


def _candidate(lake: Lake, run_date: date | None) -> ReleaseName | None:
    """Return what was registered last, of a night or of all."""
    registered = {manifest.partition["run_date"]: manifest for manifest in lake.history(REGISTRATION)}
    releases = {night: name for night, manifest in registered.items() if (name := _release_of(lake, manifest))}
    if run_date is None:
        return releases[max(releases)] if releases else None
    if run_date.isoformat() not in releases:
        nights = ", ".join(releases) or "none"
        raise MissingInput(
            "no_such_night",
            f"the night of {run_date} has no registered release below {lake.root}. Nights that have one: {nights}.",
            run_date=run_date.isoformat(),
            nights=list(releases),
        )
    return releases[run_date.isoformat()]


def _release_of(lake: Lake, registration: Manifest) -> ReleaseName | None:
    """Return what a registration registered; None if it is gone, or an earlier version registered a model alone."""
    try:
        release = lake.by_reference(registration.input_runs.get("release", ""))
    except MissingInput:
        return None
    return name_of(release, RegistrationFacts.of(registration).version)


def _open(lake: Lake, name: ReleaseName, with_pictures: bool) -> OpenRelease:
    try:
        return open_release(lake, name, with_model=True, with_pictures=with_pictures)
    except UNUSABLE as error:
        raise BadInput(
            "unusable_release",
            f"the candidate {name} cannot be opened: {error}. Run that night again, or take another: "
            f"--run-date YYYY-MM-DD",
            release=str(name),
        ) from error
