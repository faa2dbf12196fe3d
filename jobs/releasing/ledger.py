"""The promotion ledger of a catalogue: what became live, who decided it, when, why and on which figures.

It is append-only: one file per entry, numbered, each with the digest of the one before. It lies in the lake, apart
from MLflow, whose aliases keep no history. An entry also holds the state after it, so the last one says what is to
be live; alias and pointer follow it (see `jobs.releasing.published_pointer`). Writers may be many: a
number is taken once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.datasets.releases import ReleaseName
from jobs.errors import BadInput, LostWork
from jobs.lake.catalogue import Lake

Kind = Literal["review_opened", "promoted", "rejected", "rolled_back", "moved_outside"]
_TRIES = 1000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class State(_Frozen):
    """What is live after an entry: the champion's version, the published release, those before it, latest first.

    `since` is the number of the entry that made it so. Champion and release part only when the alias was moved
    outside.
    """

    since: int = 0
    champion: int | None = None
    release: ReleaseName | None = None
    earlier: tuple[ReleaseName, ...] = ()

    def promoted(self, release: ReleaseName) -> State:
        """Return the state with another release live; the one that was is the first to roll back to."""
        passed = () if self.release in (None, release) else (self.release,)
        rest = (one for one in self.earlier if one not in (release, self.release))
        earlier = tuple(one for one in (*passed, *rest) if one is not None)
        return State(champion=release.version, release=release, earlier=earlier)

    def rolled_back(self) -> State:
        """Return the state with the release before this one live again."""
        return State(champion=self.earlier[0].version, release=self.earlier[0], earlier=self.earlier[1:])


class _Told(_Frozen):
    """What is told of a decision. `after_night` is the last night that had run by then: later nights know of it.

    `version` and `release` are what it is about, `figures` those that it rested on.
    """

    kind: Kind
    at: datetime
    by: str
    reason: str
    version: int | None
    release: ReleaseName | None
    after_night: date | None
    figures: dict[str, Any] = Field(default_factory=dict)


class Draft(_Told):
    """What a writer knows of an entry; the ledger adds number, digest and, where nothing changes, the state."""

    state: State | None = None  # None: nothing changes


class Entry(_Told):
    """One entry of the ledger, and what is live from then on."""

    number: int
    state: State
    previous_sha256: str


class Ledger:
    """The ledger in a lake."""

    def __init__(self, lake: Lake) -> None:
        self._store = lake.store("ledger")
        self._checked: list[Entry] = []  # what this object has read: entries never change
        self._digest = ""

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first; `BadInput` if one is missing or was changed."""
        names = self._store.names(".json")
        for number, name in enumerate(names[len(self._checked) :], start=len(self._checked) + 1):
            data = self._read(name)
            entry = _parse(name, data)
            if entry.number != number or name != _name(number) or entry.previous_sha256 != self._digest:
                raise BadInput(
                    "damaged_ledger",
                    f"the promotion ledger in {self._store.folder} is broken at {name}: an entry before it was "
                    f"changed or removed. Restore the folder from a copy.",
                    entry=name,
                )
            self._checked.append(entry)
            self._digest = _sha256(data)
        return list(self._checked)

    def entry(self, number: int) -> Entry:
        """Return one entry."""
        return _parse(_name(number), self._read(_name(number)))

    def head(self) -> Entry | None:
        """Return the last entry."""
        names = self._store.names(".json")
        return _parse(names[-1], self._read(names[-1])) if names else None

    def state(self) -> State:
        """Return what is to be live."""
        head = self.head()
        return State() if head is None else head.state

    def append(self, draft: Callable[[State], Draft | None]) -> Entry | None:
        """Add what `draft` makes of the state as it is; None if it makes nothing.

        If another writer comes in between, `draft` is asked again with the new state.
        """
        for _ in range(_TRIES):
            names = self._store.names(".json")
            last = self._read(names[-1]) if names else b""
            before = _parse(names[-1], last).state if names else State()
            made = draft(before)
            if made is None:
                return None
            number = len(names) + 1
            after = before if made.state is None else made.state.model_copy(update={"since": number})
            entry = Entry(
                **(dict(made) | {"state": after}), number=number, previous_sha256=_sha256(last) if names else ""
            )
            if self._store.create(_name(number), entry.model_dump_json(indent=1).encode()):
                return entry
        raise LostWork(
            "ledger_busy",
            f"the promotion ledger in {self._store.folder} is being written by others: try again",
            folder=self._store.folder,
        )

    def _read(self, name: str) -> bytes:
        data = self._store.get(name)
        if data is None:
            raise BadInput(
                "damaged_ledger",
                f"entry {name} of the promotion ledger in {self._store.folder} is gone: restore it",
                entry=name,
            )
        return data


def as_of(entries: list[Entry], run_date: date) -> State:
    """Return what was live when the night of `run_date` ran: the state after the last entry it could know of."""
    known = [entry.state for entry in entries if entry.after_night is None or entry.after_night < run_date]
    return known[-1] if known else State()


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _parse(name: str, data: bytes) -> Entry:
    try:
        return Entry.model_validate_json(data)
    except ValidationError as error:
        raise BadInput(
            "damaged_ledger", f"entry {name} of the promotion ledger is damaged: restore it from a copy", entry=name
        ) from error
