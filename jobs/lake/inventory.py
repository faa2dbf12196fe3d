"""What takes place in the lake, and its removal: runs, attempts, parts of stores. For housekeeping."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from jobs.datasets.schema import LAYERS
from jobs.lake.catalogue import Lake
from jobs.lake.files import POINTER
from jobs.lake.manifest import MANIFEST, Manifest, reference_of


def run_sizes(lake: Lake) -> dict[str, int]:
    """Return the bytes below the folder of every run, committed or not, by reference."""
    sizes: dict[str, int] = {}
    for path, byte_count in _files_of_runs(lake).items():
        reference = reference_of(path)
        sizes[reference] = sizes.get(reference, 0) + byte_count
    return sizes


def attempts(lake: Lake) -> dict[str, dict[str, int]]:
    """Return every attempt's files with their bytes, by the attempt's folder."""
    found: dict[str, dict[str, int]] = {}
    for path, byte_count in _files_of_runs(lake).items():
        if "/" in path[len(reference_of(path)) + 1 :]:  # a manifest, written or being written, is of no attempt
            found.setdefault(attempt_of(path), {})[path] = byte_count
    return found


def attempt_of(path: str) -> str:
    """Return the folder of the attempt that a file below the catalogue's root was written by."""
    reference = reference_of(path)
    return f"{reference}/{path[len(reference) + 1 :].split('/', 1)[0]}"


def last_written(lake: Lake, paths: Collection[str]) -> datetime:
    """Return when the latest of some files was written."""
    latest: datetime = max(lake.fs.modified(f"{lake.root}/{path}") for path in paths)
    return latest


def remove_attempt(lake: Lake, attempt: str) -> None:
    """Remove what an attempt has written."""
    lake.fs.rm(f"{lake.root}/{attempt}", recursive=True)


def stored(lake: Lake, name: str, depth: int) -> dict[tuple[str, ...], dict[str, int]]:
    """Return the files of a store with their bytes, by path below the catalogue's root, by the folders they are in.

    `depth` says how many folders below the store's own tell files apart.
    """
    folder = lake.store(name).folder
    found: dict[tuple[str, ...], dict[str, int]] = {}
    if lake.fs.exists(folder):
        for path, info in lake.fs.find(folder, detail=True).items():
            parts = path[len(folder) + 1 :].split("/")
            if len(parts) > depth:
                found.setdefault(tuple(parts[:depth]), {})[path[len(lake.root) + 1 :]] = info["size"]
    return found


def remove_files(lake: Lake, paths: Collection[str]) -> None:
    """Remove files, and of a local lake the folders that this leaves empty; those that are gone are no fault."""
    for path in paths:
        with suppress(FileNotFoundError):
            lake.fs.rm_file(f"{lake.root}/{path}")
    for folder in {Path(lake.root, path).parent for path in paths} if lake.is_local else ():
        with suppress(OSError):  # gone, or somebody has written there
            folder.rmdir()


def _files_of_runs(lake: Lake) -> dict[str, int]:
    """Return all files below the folders of runs, with their bytes, by path below the catalogue's root."""
    found: dict[str, int] = {}
    for layer in LAYERS:
        if lake.fs.exists(f"{lake.root}/{layer}"):
            infos = lake.fs.find(f"{lake.root}/{layer}", detail=True).items()
            paths = ((path[len(lake.root) + 1 :], info["size"]) for path, info in infos)
            found |= {path: size for path, size in paths if "/run_id=" in path}
    return found


def remove_run(lake: Lake, manifest: Manifest) -> None:
    """Remove a run: first what says that it is there, then its files. Files it links to are another run's."""
    folder = f"{lake.root}/{manifest.reference}"
    pointer = f"{folder.rsplit('/', 1)[0]}/{POINTER}"
    if lake.fs.exists(pointer) and lake.pointed_to(pointer) == manifest.run_id:
        lake.fs.rm_file(pointer)
    if lake.fs.exists(f"{folder}/{MANIFEST}"):
        lake.fs.rm_file(f"{folder}/{MANIFEST}")
    if lake.fs.exists(folder):
        lake.fs.rm(folder, recursive=True)
