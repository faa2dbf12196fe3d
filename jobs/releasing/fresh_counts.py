"""Counts of conversions since a release's night, beside the release: files, and the pointer that says which count.

Each refresh writes whole arrays under a new name, which then never change: readers map them, and processes share them.
One small file, written whole, says which are current and to which release they belong. They are made and removed by
`jobs.releasing.refresh_counts`. Whoever reads serves the release itself where they are missing, damaged or another's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.datasets.releases import ReleaseName
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.files import Store
from jobs.lake.manifest import FileInfo, Manifest
from jobs.releasing.published_pointer import key_of, published
from models.arrays import open_arrays, save_arrays
from models.rerank.tables import Counts

POINTER = "counts.json"
FOLDER = "counts"


class CountsPointer(BaseModel):
    """Which counts are current, of which release (by its name and the digest of its content), and until when they go.

    `until` is the instant of the latest conversion in them; `conversion_count` are those on top of the release's own.
    `source` tells the log and rules that they were made by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: ReleaseName
    digest: str
    name: str
    files: dict[str, FileInfo]
    until: datetime
    conversion_count: int
    source: str


def said(lake: Lake) -> bytes | None:
    """Return what the pointer's file holds, None if there is none: it tells whether anything changed."""
    return published(lake).get(POINTER)


def parse(data: bytes | None) -> CountsPointer | None:
    """Return the pointer; `BadInput` if its file is damaged."""
    try:
        return None if data is None else CountsPointer.model_validate_json(data)
    except ValidationError as error:
        raise BadInput(
            "damaged_pointer",
            f"{POINTER} beside the published release is damaged: the next refresh_counts writes it again",
            path=POINTER,
        ) from error


def current(lake: Lake) -> CountsPointer | None:
    """Return what is current; None if there is nothing that can be read."""
    with suppress(BadInput):
        return parse(said(lake))
    return None


def open_counts(lake: Lake, pointer: CountsPointer) -> Counts:
    """Map the counts, after checking them; errors as of `Lake.verify` if they are changed or gone."""
    for info in pointer.files.values():
        lake.verify(info)
    with _local_folder(lake, pointer) as folder:  # what is mapped outlives it
        return open_arrays(Counts, folder)


def write_counts(lake: Lake, name: str, counts: Counts) -> dict[str, FileInfo]:
    """Write counts under a new name; return their files."""
    store = _store(lake, name)
    with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
        save_arrays(counts, Path(folder))
        names = sorted(path.name for path in Path(folder).iterdir())
        for one in names:
            store.put(one, Path(folder, one).read_bytes())
    return {one: lake.measure(f"{store.folder}/{one}", None) for one in names}


def point_to(lake: Lake, pointer: CountsPointer) -> None:
    """Let readers follow to these counts."""
    published(lake).put(POINTER, pointer.model_dump_json(indent=1).encode())


def remove_but(lake: Lake, kept: list[str]) -> None:
    """Remove all counts but those of some names."""
    for name in set(lake.store("published", FOLDER).names()).difference(kept):
        with suppress(FileNotFoundError):  # another removes it too
            _store(lake, name).clear()


def drop_counts(lake: Lake) -> None:
    """Remove the pointer and all counts: readers serve the release's own until they are made again."""
    if said(lake) is not None:
        published(lake).remove(POINTER)
    remove_but(lake, [])


def is_of(name: str, release: ReleaseName | Manifest) -> bool:
    """Tell whether counts of this name are of a release."""
    return name.startswith(f"{key_of(release)}.")


def new_name(release: ReleaseName, until: datetime, unique: str) -> str:
    """Return the name of further counts: it says of which release they are."""
    return f"{key_of(release)}.{until:%Y%m%dT%H%M%S}.{unique}"


def _store(lake: Lake, name: str) -> Store:
    return lake.store("published", FOLDER, name)


@contextmanager
def _local_folder(lake: Lake, pointer: CountsPointer) -> Iterator[Path]:
    store = _store(lake, pointer.name)
    if lake.is_local:
        yield Path(store.folder)
        return
    with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
        for one in pointer.files:
            lake.fs.get_file(f"{store.folder}/{one}", f"{folder}/{one}")
        yield Path(folder)
