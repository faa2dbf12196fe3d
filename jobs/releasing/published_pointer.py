"""What is live: the published pointer and MLflow's alias `champion`, both made to follow the promotion ledger.

A change is one entry in the ledger; then the alias moves, and last the pointer, one small file that is written
whole. Whoever finds the pointer behind the ledger finishes what another began (`settle`), so a killed promotion is
completed by the next one to come along. Readers look at the pointer alone.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.config.settings import Settings
from jobs.datasets.models import CHAMPION
from jobs.datasets.releases import RELEASE, ReleaseName
from jobs.errors import BadInput, LostWork, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from jobs.releasing.ledger import Draft, Ledger, State

POINTER = "current.json"
_TRIES, _PAUSE_SECONDS = 200, 0.05


class Pointer(BaseModel):
    """What is published: a release, the digest of its content, and the ledger's entry that made it so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: int
    release: ReleaseName | None
    digest: str


def published(lake: Lake) -> Store:
    """Return the folder of the pointer."""
    return lake.store("published")


def read_pointer(lake: Lake) -> Pointer | None:
    """Return what is published, or None if nothing ever was."""
    data = published(lake).get(POINTER)
    if data is None:
        return None
    try:
        return Pointer.model_validate_json(data)
    except ValidationError as error:
        raise BadInput(
            "damaged_pointer",
            f"{published(lake).folder}/{POINTER} is damaged. Delete it: the next promotion, rollback or night writes "
            f"it again from the ledger.",
            path=f"{published(lake).folder}/{POINTER}",
        ) from error


def name_of(release: Manifest, version: int) -> ReleaseName:
    """Return the name of a release that is registered as a version."""
    run_date = date.fromisoformat(release.partition["run_date"])
    return ReleaseName(run_date=run_date, run_id=release.run_id, version=version)


def label_of(release: Manifest) -> str:
    """Return what a release is called, as a name is spelled."""
    return f"{release.partition['run_date']}/{release.run_id}"


def is_of(name: ReleaseName | None, release: Manifest) -> bool:
    """Tell whether a name is that of a release."""
    return str(name) == label_of(release)


def find_release(lake: Lake, name: ReleaseName) -> Manifest | None:
    """Return the manifest of a release, or None if it is gone."""
    return lake.find(RELEASE, name.partition, name.run_id)


def settle(settings: Settings, lake: Lake) -> State:
    """Make alias and pointer what the ledger says and return that.

    With several at it, the last to look sees what the last entry says.
    """
    from jobs.adapters import mlflow_registry

    ledger = Ledger(lake)
    state = ledger.state()
    while not is_settled(lake, state):
        if ledger.entry(state.since).kind != "moved_outside":  # then the alias is what was followed
            mlflow_registry.move_champion(settings, lake.catalogue, state.champion)
        _write_pointer(lake, state)
        state = ledger.state()
    return state


def reconcile(settings: Settings, lake: Lake, at: datetime) -> State:
    """Settle, and if the alias was moved in MLflow itself, note that in the ledger and follow it; return what is live.

    What is published does not move: an alias names a model, not an index of its photos.
    """
    from jobs.adapters import mlflow_registry

    state = settle(settings, lake)
    alias = mlflow_registry.resolve_alias(settings, lake.catalogue, mlflow_registry.CHAMPION)
    found = None if alias is None else alias.number
    if found == state.champion:
        return state

    def draft(now: State) -> Draft | None:
        if now != state:  # a promotion is under way: what was found is no longer what it would be held against
            return None
        return Draft(
            kind="moved_outside",
            at=at,
            by="unknown",
            reason=f"alias {mlflow_registry.CHAMPION} was moved in MLflow "
            f"from {_spell(state.champion)} to {_spell(found)}",
            version=found,
            release=state.release,
            after_night=last_night(lake),
            state=state.model_copy(update={"champion": found}),
        )

    Ledger(lake).append(draft)
    return settle(settings, lake)


def _spell(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def last_night(lake: Lake) -> date | None:
    """Return the latest night that has asked for the champion, or None if none has."""
    nights = [date.fromisoformat(manifest.partition["run_date"]) for manifest in lake.history(CHAMPION)]
    return max(nights, default=None)


def is_settled(lake: Lake, state: State) -> bool:
    """Tell whether the pointer is what a state says."""
    pointer = read_pointer(lake)
    return (0 if pointer is None else pointer.entry) == state.since


def _write_pointer(lake: Lake, state: State) -> None:
    digest = ""
    if state.release is not None:
        release = find_release(lake, state.release)
        if release is None:
            raise MissingInput(
                "no_such_release",
                f"the release {state.release}, live by the promotion ledger, is gone from {lake.root}",
                release=str(state.release),
            )
        digest = release.digest
    pointer = Pointer(entry=state.since, release=state.release, digest=digest)
    published(lake).put(POINTER, pointer.model_dump_json(indent=1).encode())


def follow_content(lake: Lake, before: Manifest, after: Manifest) -> None:
    """Let the pointer say what a release is now, if that is published: a visitor's rows were taken out of it.

    To be called before the release's manifest is replaced, so that a call that was cut short can be made again.
    """
    pointer = read_pointer(lake)
    if pointer is not None and is_of(pointer.release, before) and pointer.digest == before.digest:
        renewed = pointer.model_copy(update={"digest": after.digest})
        published(lake).put(POINTER, renewed.model_dump_json(indent=1).encode())


# -- publishing against collecting ------------------------------------------------------------------------
# Each side first says what it is about to do, then looks whether the other has: at least one of two sees the other.


def claims(lake: Lake) -> Store:
    """Return the folder in which those who publish a release say so."""
    return lake.store("published", "claims")


def doomed(lake: Lake) -> Store:
    """Return the folder in which the collector says what it removes."""
    return lake.store("published", "doomed")


def key_of(release: ReleaseName | Manifest) -> str:
    """Return how a release is called in both folders."""
    return f"{release.partition['run_date']}-{release.run_id}"


@contextmanager
def claimed(lake: Lake, name: ReleaseName) -> Iterator[None]:
    """Keep a release from being collected while it is published.

    Raises `LostWork` if it is being collected, `MissingInput` if it is gone. A claim that a killed process left
    behind keeps its release until it is published again.
    """
    claim = f"{key_of(name)}.{uuid.uuid4().hex}"
    for _ in range(_TRIES):
        claims(lake).put(claim, b"")
        if doomed(lake).get(key_of(name)) is None:
            break
        claims(lake).remove(claim)
        time.sleep(_PAUSE_SECONDS)
    else:
        raise LostWork(
            "release_being_removed",
            f"the release {name} is being removed from the lake, or its removal was cut off: take another",
            release=str(name),
        )
    try:
        if find_release(lake, name) is None:
            raise MissingInput(
                "no_such_release",
                f"the release {name} is no longer in the lake: rerun make_release for {name.run_date}",
                release=str(name),
            )
        yield
    finally:
        claims(lake).remove(claim)
