"""Arrays that tasks read while a run is written: a folder of its attempt, mapped into the memory of each process."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from jobs.lake.files import LakeFiles
from jobs.lake.staged_run import WorkerOutput
from models.arrays import open_arrays, save_arrays

T = TypeVar("T")


@dataclass(frozen=True)
class Shared(Generic[T]):
    """A dataclass of arrays in a folder of the lake; it can be sent to tasks."""

    kind: type[T]
    lake_uri: str
    catalogue: str
    folder: str

    @property
    def lake(self) -> LakeFiles:
        """The lake of the folder."""
        return LakeFiles(self.lake_uri, self.catalogue)

    def open(self) -> T:
        """Return the arrays, mapped: of a lake in an object store a process copies the latest few once."""
        found: T = _open(self)
        return found


@dataclass(frozen=True)
class Scratch:
    """A folder of a run being written, for what its tasks share."""

    lake_uri: str
    catalogue: str
    folder: str

    def put(self, value: T) -> Shared[T]:
        """Write a dataclass of arrays (see `models.arrays`), to be opened by tasks."""
        given = Shared(type(value), self.lake_uri, self.catalogue, f"{self.folder}/{uuid.uuid4().hex[:12]}")
        if given.lake.is_local:
            Path(given.folder).mkdir(parents=True)
            save_arrays(value, Path(given.folder))
            return given
        with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
            save_arrays(value, Path(temporary))
            for path in Path(temporary).iterdir():
                given.lake.fs.put_file(str(path), f"{given.folder}/{path.name}")
        return given

    @contextmanager
    def lent(self, value: T) -> Iterator[Shared[T]]:
        """Give a dataclass of arrays to tasks until the block ends."""
        given = self.put(value)
        try:
            yield given
        finally:
            _remove(given.lake, given.folder)


@contextmanager
def scratch(output: WorkerOutput) -> Iterator[Scratch]:
    """Give a folder of a run; it is gone at the end."""
    folder = f"{output.attempt}/scratch/{uuid.uuid4().hex[:12]}"
    try:
        yield Scratch(output.lake_uri, output.catalogue, folder)
    finally:
        _remove(LakeFiles(output.lake_uri, output.catalogue), folder)


def _remove(lake: LakeFiles, folder: str) -> None:
    if lake.is_local:
        shutil.rmtree(folder, ignore_errors=True)
    elif lake.fs.exists(folder):
        lake.fs.rm(folder, recursive=True)


@lru_cache(maxsize=4)
def _open(shared: Shared[T]) -> T:
    lake = shared.lake
    if lake.is_local:
        return open_arrays(shared.kind, Path(shared.folder))
    with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
        for path in lake.fs.ls(shared.folder, detail=False):
            lake.fs.get_file(path, f"{temporary}/{path.rsplit('/', 1)[1]}")
        return open_arrays(shared.kind, Path(temporary))
