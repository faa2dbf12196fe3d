"""The lake: immutable runs of datasets on a local folder or an object store.

Layout: ``<root>/<catalogue>/<layer>/<dataset>/<partition>=<value>/run_id=<id>/``. A run's data is written
below its folder first and ``manifest.json`` last; without a manifest the run does not exist. ``run_id`` is a
digest of what the run was made from (inputs, params, code, seed), so the same work has the same name and is
done once. ``current.json`` beside the runs is a small pointer that is swapped whole. Nothing here relies on
renaming folders. This is the only module that joins paths of the lake.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.datasets import ALL, Dataset, Table
from jobs.errors import BadInput, MissingInput, NightlensError
from jobs.usage import Meter

MANIFEST = "manifest.json"
POINTER = "current.json"
LAYERS = sorted({dataset.layer for dataset in ALL})


def fingerprint(identity: dict[str, Any]) -> str:
    """Return 16 hex digits that name `identity` (a JSON-like dict, order of keys irrelevant).

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class FileInfo(BaseModel):
    """One file of a run. `path` is relative to the catalogue's root, so a run may point into an older one.

    `pages_sha256` is of a Parquet file's pages, all that is before its footer: Java writes some lists of the footer
    in an order that changes from process to process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    byte_count: int
    sha256: str
    pages_sha256: str | None = None
    row_count: int | None = None

    @property
    def content_sha256(self) -> str:
        """What equal content has in common."""
        return self.pages_sha256 or self.sha256


class TableInfo(BaseModel):
    """One table of a run: its Parquet files in order, the number of rows, and the schema found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: list[FileInfo]
    row_count: int
    columns: dict[str, str]


class Manifest(BaseModel):
    """What a committed run consists of and what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    layer: str
    partition: dict[str, str]
    run_id: str
    identity: dict[str, Any]
    input_runs: dict[str, str]
    tables: dict[str, TableInfo]
    files: dict[str, FileInfo]
    facts: dict[str, Any]
    night: str
    git_version: str
    started_at: datetime
    duration_seconds: float
    cpu_seconds: float | None = None  # None: committed before this was measured
    gpu_seconds: float | None = None

    @property
    def own_bytes(self) -> int:
        """Bytes of the run's own files; what it links to is another run's."""
        return sum(info.byte_count for info in self._infos if info.path.startswith(f"{self.reference}/"))

    @property
    def paths(self) -> list[str]:
        """Where the run's files are below the catalogue's root, linked ones as well."""
        return [info.path for info in self._infos]

    @property
    def _infos(self) -> list[FileInfo]:
        return [*self.files.values(), *(info for table in self.tables.values() for info in table.files)]

    @property
    def reference(self) -> str:
        """`layer/dataset/partition/run_id`, readable and unique in the catalogue."""
        return f"{_partition_path(self.layer, self.dataset, self.partition)}/run_id={self.run_id}"

    @property
    def digest(self) -> str:
        """Digest of the content: every table's pages and file's bytes, not names, durations or times."""
        content = {
            "tables": {name: sorted(f.content_sha256 for f in t.files) for name, t in self.tables.items()},
            "files": {name: f.sha256 for name, f in self.files.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def params(self) -> dict[str, Any]:
        """The parameters the run was made with."""
        params: dict[str, Any] = self.identity["params"]
        return params

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows per table."""
        return {name: table.row_count for name, table in self.tables.items()}


def _shard_number(path: str) -> int:
    """Return the number of a file among those of its table.

    >>> _shard_number("tables/train/part-00012-6d2c.c000.zstd.parquet")
    12
    """
    return int(path.rsplit("/", 1)[1].removeprefix("part-")[:5])


def reference_of(path: str) -> str:
    """Return the reference of the run in whose folder a file is.

    >>> reference_of("clean/images/run_date=2025-12-28/run_id=1f/0a/files/x")
    'clean/images/run_date=2025-12-28/run_id=1f'
    """
    before, _, after = path.partition("/run_id=")
    return f"{before}/run_id={after.split('/', 1)[0]}"


def _partition_path(layer: str, dataset: str, partition: dict[str, str]) -> str:
    return "/".join([layer, dataset, *(f"{key}={value}" for key, value in partition.items())])


def catalogues(root_uri: str) -> list[str]:
    """Return the names of the catalogues that a lake has, in order."""
    fs, root = fsspec.url_to_fs(root_uri, use_listings_cache=False)
    if not fs.exists(root):
        return []
    entries = fs.ls(root, detail=True)
    return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")


def existing(root_uri: str, catalogue: str) -> Lake:
    """Return the lake of a catalogue that is there already; `MissingInput` names those there are."""
    known = catalogues(root_uri)
    if catalogue not in known:
        there = f"There are: {', '.join(known)}." if known else "There is none yet: run a night (make nightly)."
        raise MissingInput(f"no catalogue {catalogue!r} in the lake {root_uri}. {there}")
    return Lake(root_uri, catalogue)


class Lake:
    """Runs of one catalogue under `root_uri` (a folder or any fsspec URL)."""

    def __init__(self, root_uri: str, catalogue: str) -> None:
        self.root_uri, self.catalogue = root_uri, catalogue
        self.fs, root = fsspec.url_to_fs(root_uri, use_listings_cache=False)  # others write as well
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.root = f"{root.rstrip('/')}/{catalogue}"
        self._verified: set[FileInfo] = set()  # found whole: a stage reads a table more than once

    # -- reading ---------------------------------------------------------------------------------------

    def current(self, dataset: Dataset, partition: dict[str, str]) -> Manifest:
        """Return the manifest `current.json` points to; `MissingInput` says which stage is to be run."""
        folder = _partition_path(dataset.layer, dataset.name, partition)
        pointer = f"{self.root}/{folder}/{POINTER}"
        if not self.fs.exists(pointer):
            raise MissingInput(
                f"no committed run of {dataset.name!r} for {partition} below {self.root}. "
                f"Run the stage that makes it first (nightlens --help lists the stages in order)."
            )
        run_id = self._pointed_to(pointer)
        manifest = self.find(dataset, partition, run_id)
        if manifest is None:
            raise BadInput(f"{pointer} points to run {run_id!r}, which has no readable manifest. Rerun the stage.")
        return manifest

    def find(self, dataset: Dataset, partition: dict[str, str], run_id: str) -> Manifest | None:
        """Return one run's manifest, or None if the run was never committed."""
        folder = _partition_path(dataset.layer, dataset.name, partition)
        return self.read_manifest(f"{self.root}/{folder}/run_id={run_id}/{MANIFEST}")

    def by_reference(self, reference: str) -> Manifest:
        """Return the manifest of a run by its reference, as manifests name their inputs; `MissingInput` if none."""
        manifest = self.read_manifest(f"{self.root}/{reference}/{MANIFEST}")
        if manifest is None:
            raise MissingInput(f"the lake {self.root} has no run {reference!r}: it was never committed, or is removed")
        return manifest

    def history(self, dataset: Dataset) -> list[Manifest]:
        """Return the current manifest of every partition of a dataset, by partition value, oldest first."""
        pattern = f"{self.root}/{dataset.layer}/{dataset.name}/*/{POINTER}"
        manifests = []
        for pointer in sorted(self.fs.glob(pattern)):
            folder = pointer.rsplit("/", 1)[0]
            manifest = self.read_manifest(f"{folder}/run_id={self._pointed_to(pointer)}/{MANIFEST}")
            if manifest is not None:
                manifests.append(manifest)
        return manifests

    def _pointed_to(self, pointer: str) -> str:
        """Return the run that a `current.json` names."""
        try:
            return str(json.loads(self.fs.cat_file(pointer))["run_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{pointer} is damaged. Delete it and rerun the stage, which writes it again.") from error

    def read_manifest(self, path: str) -> Manifest | None:
        """Return the manifest in a file, None if there is no file; `BadInput` if it is damaged."""
        try:
            return Manifest.model_validate_json(self.fs.cat_file(path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise BadInput(
                f"{path} is damaged ({error.error_count()} errors). Delete it and rerun the stage."
            ) from error

    def uri(self, path: str) -> str:
        """Return a path of this lake as a URI other tools open (a plain path when local)."""
        return path if self.is_local else str(self.fs.unstrip_protocol(path))

    def spark_uri(self, path: str) -> str:
        """Return a path of a local lake as Spark spells it."""
        return f"file://{path}"

    def table_uris(self, manifest: Manifest, table: str) -> list[str]:
        """Return the Parquet files of a table, in order, as URIs."""
        return [self.uri(self._whole(info)) for info in self._table(manifest, table).files]

    def spark_uris(self, manifest: Manifest, table: str) -> list[str]:
        """Return the Parquet files of a table of a local lake as Spark spells them."""
        return [self.spark_uri(self._whole(info)) for info in self._table(manifest, table).files]

    def read_table(self, manifest: Manifest, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a whole table into memory. For tables that may be large use `table_uris` and a lazy scan."""
        parts = []
        for info in self._table(manifest, table).files:
            with self._open(info) as file:
                parts.append(pq.read_table(file, columns=columns))
        return pl.DataFrame(pl.from_arrow(pa.concat_tables(parts)))

    def read_shards(
        self, manifest: Manifest, table: str, shards: Collection[int] | None = None, columns: list[str] | None = None
    ) -> pl.DataFrame:
        """Read some of a table's files, or all, into memory; the column `shard` (int64) says which a row is from.

        Shards are numbered as the writer numbered its files, `part-<number>...`. Of files of other shards only the
        footer is read.
        """
        parts = []
        for info in self._table(manifest, table).files:
            shard = _shard_number(info.path)
            if shards is None or shard in shards:
                with self._open(info) as file:
                    rows = pq.read_table(file, columns=columns)
            else:  # its footer only, for the types
                with self.fs.open(f"{self.root}/{info.path}", "rb") as file:
                    rows = pq.read_schema(file).empty_table()
                rows = rows if columns is None else rows.select(columns)
            parts.append(rows.append_column("shard", pa.array([shard] * len(rows), pa.int64())))
        return pl.DataFrame(pl.from_arrow(pa.concat_tables(parts)))

    def verify(self, info: FileInfo) -> None:
        """Raise unless a file is, byte for byte, what was committed: `BadInput`, or `MissingInput` if it is gone."""
        path, digest = f"{self.root}/{info.path}", hashlib.sha256()
        try:
            with self.fs.open(path, "rb") as file:
                _update(digest, file, None)
        except FileNotFoundError as error:
            raise MissingInput(f"{path} is gone, its run was committed with it. {_mend(path)}") from error
        if digest.hexdigest() != info.sha256:
            raise BadInput(f"{path} is not the file that was committed: its SHA-256 differs. {_mend(path)}")

    def _whole(self, info: FileInfo) -> str:
        """Return the path of a file that others are to open, on a local lake after checking it.

        Object stores check what they hold; it is not fetched twice for that.
        """
        if self.is_local and info not in self._verified:
            self.verify(info)
            self._verified.add(info)
        return f"{self.root}/{info.path}"

    @contextmanager
    def _open(self, info: FileInfo) -> Iterator[IO[bytes]]:
        """Open a file that is, byte for byte, the one that was committed."""
        with self.fs.open(self._whole(info), "rb") as file:
            yield file

    def read_file(self, manifest: Manifest, name: str) -> bytes:
        """Return one file of a run; `MissingInput` names the files there are."""
        return bytes(self.fs.cat_file(self._whole(self._file(manifest, name))))

    def file_path(self, manifest: Manifest, name: str) -> str:
        """Return where a file of a run is."""
        return f"{self.root}/{self._file(manifest, name).path}"

    @contextmanager
    def local_folder(self, manifest: Manifest, prefix: str) -> Iterator[Path]:
        """Give the files of a run below `prefix/` as a local folder; treat it as read-only.

        A folder of a local lake is handed out as it is, or, if its files are of several runs, as a temporary folder of
        links; files of an object store are copied to one.
        """
        names = [name for name in manifest.files if name.startswith(f"{prefix}/")]
        if not names:
            raise MissingInput(f"{manifest.reference} has no files below {prefix!r}; it has {sorted(manifest.files)}")
        paths = {name: f"{self.root}/{manifest.files[name].path}" for name in names}
        folders = {path.removesuffix(name.removeprefix(f"{prefix}/")) for name, path in paths.items()}
        if self.is_local and len(folders) == 1 and not folders & set(paths.values()):
            yield Path(folders.pop())
            return
        with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
            for name, path in paths.items():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if self.is_local:
                    target.symlink_to(path)
                else:
                    self.fs.get_file(path, str(target))
            yield Path(folder) / prefix

    def _table(self, manifest: Manifest, table: str) -> TableInfo:
        if table not in manifest.tables:
            raise MissingInput(f"{manifest.reference} has no table {table!r}; it has {sorted(manifest.tables)}")
        return manifest.tables[table]

    def _file(self, manifest: Manifest, name: str) -> FileInfo:
        if name not in manifest.files:
            raise MissingInput(f"{manifest.reference} has no file {name!r}; it has {sorted(manifest.files)}")
        return manifest.files[name]

    # -- writing ---------------------------------------------------------------------------------------

    def begin(
        self,
        dataset: Dataset,
        partition: dict[str, str],
        *,
        run_id: str,
        identity: dict[str, Any],
        input_runs: dict[str, str],
        started_at: datetime,
        night: str,
        git_version: str,
    ) -> StagedRun:
        """Open a run for writing; if it was committed before, make it current and say so in `.manifest`."""
        record = {
            "dataset": dataset.name,
            "layer": dataset.layer,
            "partition": partition,
            "run_id": run_id,
            "identity": identity,
            "input_runs": input_runs,
            "started_at": started_at,
            "night": night,
            "git_version": git_version,
        }
        manifest = self.find(dataset, partition, run_id)
        if manifest is not None:
            self.point_to(manifest)
        return StagedRun(self, dataset, record, manifest)

    def point_to(self, manifest: Manifest) -> None:
        """Make a committed run the current one of its partition."""
        folder = f"{self.root}/{_partition_path(manifest.layer, manifest.dataset, manifest.partition)}"
        self.put(f"{folder}/{POINTER}", json.dumps({"run_id": manifest.run_id}).encode())

    def put(self, path: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        if not self.is_local:
            self.fs.pipe_file(path, data)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(target)
        except OSError as error:
            error.filename = path  # a write that fails does not say of what
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise

    def measure(self, path: str, row_count: int | None) -> FileInfo:
        """Return what a manifest says of a file; of a Parquet file its digest of the pages as well."""
        digest, pages_sha256 = hashlib.sha256(), None
        with self.fs.open(path, "rb") as file:
            if row_count is not None:
                _update(digest, file, _footer_start(file))
                pages_sha256 = digest.hexdigest()
            _update(digest, file, None)
        return FileInfo(
            path=path[len(self.root) + 1 :],
            byte_count=self.fs.size(path),
            sha256=digest.hexdigest(),
            pages_sha256=pages_sha256,
            row_count=row_count,
        )

    def create(self, path: str, data: bytes) -> bool:
        """Write a file whole unless there is one; tell whether it was written. Of several writers one succeeds."""
        if not self.is_local:
            try:
                self.fs.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            return True
        target = Path(path)
        fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        self.put(str(fresh), data)
        try:
            target.hardlink_to(fresh)
        except FileExistsError:
            return False
        finally:
            fresh.unlink()
        return True

    def manifests(self, dataset: Dataset | None = None) -> Iterator[Manifest]:
        """Yield the manifest of every committed run of a dataset, or of all."""
        for path in self._paths_of(f"run_id=*/{MANIFEST}", dataset):
            manifest = self.read_manifest(path)
            if manifest is not None:
                yield manifest

    def pointed(self) -> set[str]:
        """Return the references of the runs that are current, of every dataset and partition."""
        found = set()
        for path in self._paths_of(POINTER):
            folder = path[len(self.root) + 1 :].rsplit("/", 1)[0]
            found.add(f"{folder}/run_id={json.loads(self.fs.cat_file(path))['run_id']}")
        return found

    def _paths_of(self, name: str, dataset: Dataset | None = None) -> Iterator[str]:
        """Yield the paths of files of this name (a pattern) in the partitions of a dataset, or of all."""
        places = [f"{layer}/*" for layer in LAYERS] if dataset is None else [f"{dataset.layer}/{dataset.name}"]
        for place in places:
            for partition in ("*", "*/*/*"):  # a night, or also variant and repeat
                yield from sorted(self.fs.glob(f"{self.root}/{place}/{partition}/{name}"))

    # -- what takes place ------------------------------------------------------------------------------

    def run_sizes(self) -> dict[str, int]:
        """Return the bytes below the folder of every run, committed or not, by reference."""
        sizes: dict[str, int] = {}
        for path, byte_count in self._files_of_runs().items():
            reference = reference_of(path)
            sizes[reference] = sizes.get(reference, 0) + byte_count
        return sizes

    def attempts(self) -> dict[str, dict[str, int]]:
        """Return every attempt's files with their bytes, by the attempt's folder."""
        found: dict[str, dict[str, int]] = {}
        for path, byte_count in self._files_of_runs().items():
            if "/" in path[len(reference_of(path)) + 1 :]:  # a manifest, written or being written, is of no attempt
                found.setdefault(self.attempt_of(path), {})[path] = byte_count
        return found

    def attempt_of(self, path: str) -> str:
        """Return the folder of the attempt that a file below the catalogue's root was written by."""
        reference = reference_of(path)
        return f"{reference}/{path[len(reference) + 1 :].split('/', 1)[0]}"

    def last_written(self, paths: Collection[str]) -> datetime:
        """Return when the latest of some files was written."""
        latest: datetime = max(self.fs.modified(f"{self.root}/{path}") for path in paths)
        return latest

    def remove_attempt(self, attempt: str) -> None:
        """Remove what an attempt has written."""
        self.fs.rm(f"{self.root}/{attempt}", recursive=True)

    def stored(self, name: str, depth: int) -> dict[tuple[str, ...], dict[str, int]]:
        """Return the files of a store with their bytes, by path below the catalogue's root, by the folders they are in.

        `depth` says how many folders below the store's own tell files apart.
        """
        folder = self.store(name).folder
        found: dict[tuple[str, ...], dict[str, int]] = {}
        if self.fs.exists(folder):
            for path, info in self.fs.find(folder, detail=True).items():
                parts = path[len(folder) + 1 :].split("/")
                if len(parts) > depth:
                    found.setdefault(tuple(parts[:depth]), {})[path[len(self.root) + 1 :]] = info["size"]
        return found

    def remove_files(self, paths: Collection[str]) -> None:
        """Remove files, and of a local lake the folders that this leaves empty; those that are gone are no fault."""
        for path in paths:
            with suppress(FileNotFoundError):
                self.fs.rm_file(f"{self.root}/{path}")
        for folder in {Path(self.root, path).parent for path in paths} if self.is_local else ():
            with suppress(OSError):  # gone, or somebody has written there
                folder.rmdir()

    def _files_of_runs(self) -> dict[str, int]:
        """Return all files below the folders of runs, with their bytes, by path below the catalogue's root."""
        found: dict[str, int] = {}
        for layer in LAYERS:
            if self.fs.exists(f"{self.root}/{layer}"):
                infos = self.fs.find(f"{self.root}/{layer}", detail=True).items()
                paths = ((path[len(self.root) + 1 :], info["size"]) for path, info in infos)
                found |= {path: size for path, size in paths if "/run_id=" in path}
        return found

    def remove(self, manifest: Manifest) -> None:
        """Remove a run: first what says that it is there, then its files. Files it links to are another run's."""
        folder = f"{self.root}/{manifest.reference}"
        pointer = f"{folder.rsplit('/', 1)[0]}/{POINTER}"
        if self.fs.exists(pointer) and self._pointed_to(pointer) == manifest.run_id:
            self.fs.rm_file(pointer)
        if self.fs.exists(f"{folder}/{MANIFEST}"):
            self.fs.rm_file(f"{folder}/{MANIFEST}")
        if self.fs.exists(folder):
            self.fs.rm(folder, recursive=True)

    def store(self, *names: str) -> Store:
        """Return a content-addressed store (embeddings, checkpoints): parts that outlive one run."""
        return Store(self, "/".join([self.root, "store", *names]))


class Store:
    """A folder of parts that are committed one by one: a part is there whole or not at all."""

    def __init__(self, lake: Lake, folder: str) -> None:
        self.lake = lake
        self.folder = folder

    def put(self, name: str, data: bytes) -> None:
        """Commit one part; an equal name replaces it."""
        self.lake.put(f"{self.folder}/{name}", data)

    def create(self, name: str, data: bytes) -> bool:
        """Commit one part unless there is one of this name; tell whether it was committed."""
        return self.lake.create(f"{self.folder}/{name}", data)

    def get(self, name: str) -> bytes | None:
        """Return one part, or None if it is not there."""
        try:
            return bytes(self.lake.fs.cat_file(f"{self.folder}/{name}"))
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove one part."""
        self.lake.fs.rm_file(f"{self.folder}/{name}")

    def names(self, suffix: str = "") -> list[str]:
        """Return the names of the committed parts, sorted; unfinished ones start with a dot and are left out."""
        self.lake.fs.invalidate_cache(self.folder)  # others write here too
        if not self.lake.fs.exists(self.folder):
            return []
        names = (path.rsplit("/", 1)[1] for path in self.lake.fs.ls(self.folder, detail=False))
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith("."))

    def uris(self, suffix: str = "") -> list[str]:
        """Return the committed parts as URIs."""
        return [self.lake.uri(f"{self.folder}/{name}") for name in self.names(suffix)]

    def spark_uris(self, suffix: str = "") -> list[str]:
        """Return the committed parts of a local lake as Spark spells them."""
        return [self.lake.spark_uri(f"{self.folder}/{name}") for name in self.names(suffix)]

    def clear(self) -> None:
        """Remove every part, when they are no longer of use."""
        if self.lake.fs.exists(self.folder):
            self.lake.fs.rm(self.folder, recursive=True)


def _mend(path: str) -> str:
    """Return what to do about a damaged file of a run."""
    run = re.sub(r"(/run_id=[^/]+)/.*", r"\1", path)
    return (
        f"If nightlens forget was cut off, run it again. Else restore the file from a copy, or delete the folder {run} "
        f"and rerun the stage that made it."
    )


def _footer_start(file: IO[bytes]) -> int:
    """Return where a Parquet file's pages end; the file is left at its beginning."""
    end = file.seek(-8, os.SEEK_END)  # the footer's length and the magic number
    start = end - int.from_bytes(file.read(4), "little")
    file.seek(0)
    return start


def _update(digest: hashlib._Hash, file: IO[bytes], stop: int | None) -> None:
    """Digest a file from where it is up to `stop`, or to its end."""
    while block := file.read(1 << 20 if stop is None else min(1 << 20, stop - file.tell())):
        digest.update(block)


@dataclass(frozen=True)
class Place:
    """Where worker processes put files of a run being written; it can be sent to them."""

    lake_uri: str
    catalogue: str
    attempt: str

    @contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """Give a temporary local folder; its files become `prefix/...` of the run when the block ends well.

        Each is there whole or not at all, and one of an earlier try is replaced, so a task may be tried again.
        """
        lake = Lake(self.lake_uri, self.catalogue)
        scratch = None
        if lake.is_local:  # where its files need only be renamed
            scratch = f"{self.attempt}/scratch"
            Path(scratch).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="nightlens-", dir=scratch) as temporary:
            yield Path(temporary)
            for path in sorted(Path(temporary).iterdir()):
                target = self.path(f"{prefix}/{path.name}")
                if lake.is_local:
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                    path.replace(target)
                else:
                    lake.fs.put_file(str(path), target)

    def path(self, name: str) -> str:
        """Return where a file of the run is."""
        return f"{self.attempt}/files/{name}"

    def read(self, path: str) -> bytes:
        """Return a file of the lake, of this run or of another."""
        return bytes(Lake(self.lake_uri, self.catalogue).fs.cat_file(path))


class StagedRun:
    """A run being written. Its files lie below an attempt folder of their own, so two writers never mix."""

    def __init__(self, lake: Lake, dataset: Dataset, record: dict[str, Any], manifest: Manifest | None) -> None:
        self.lake = lake
        self.dataset = dataset
        self.manifest = manifest
        self.run_id: str = record["run_id"]
        self._record = record
        self._begun = time.perf_counter()
        self._meter = Meter()
        if manifest is not None:  # there is nothing to do
            self._meter.stop()
        folder = _partition_path(dataset.layer, dataset.name, record["partition"])
        self._run_folder = f"{lake.root}/{folder}/run_id={self.run_id}"
        self._attempt = f"{self._run_folder}/{uuid.uuid4().hex[:12]}"
        self._linked_files: dict[str, FileInfo] = {}
        self._linked_tables: dict[str, TableInfo] = {}

    def table_folder(self, table: str) -> str:
        """Return the folder of the lake that a declared table's Parquet files are written into."""
        return f"{self._attempt}/tables/{self.dataset.table(table).name}"

    def write_table(self, table: str, frame: pl.DataFrame, shard: int = 0) -> None:
        """Write a table, or a shard of it: columns in the declared order and cast to the declared types where safe."""
        declared = self.dataset.table(table)
        missing = set(declared.schema.names) - set(frame.columns)
        if missing or set(frame.columns) - set(declared.schema.names):
            raise NightlensError(
                f"{self.dataset.name}.{table}: columns are {frame.columns}, declared are {declared.schema.names}"
            )
        arrow = frame.select(declared.schema.names).to_arrow().cast(declared.schema)
        buffer = io.BytesIO()
        pq.write_table(arrow, buffer, compression="zstd")
        self.lake.put(f"{self._attempt}/tables/{table}/part-{shard:05d}.parquet", buffer.getvalue())

    def write_file(self, name: str, data: bytes) -> None:
        """Write one file; `name` may hold slashes."""
        self.lake.put(f"{self._attempt}/files/{name}", data)

    @contextmanager
    def local_folder(self, prefix: str) -> Iterator[Path]:
        """Give a local folder to write into; its files become `prefix/...` of the run when the block ends."""
        if self.lake.is_local:
            folder = Path(f"{self._attempt}/files/{prefix}")
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
            yield Path(temporary)
            for path in sorted(Path(temporary).rglob("*")):
                if path.is_file():
                    name = path.relative_to(temporary).as_posix()
                    self.lake.fs.put_file(str(path), f"{self._attempt}/files/{prefix}/{name}")

    @property
    def place(self) -> Place:
        """Where worker processes put files of this run."""
        return Place(self.lake.root_uri, self.lake.catalogue, self._attempt)

    def link_file(self, manifest: Manifest, name: str) -> None:
        """Take over one file of a committed run without copying it."""
        self._linked_files[name] = self.lake._file(manifest, name)

    def link_files(self, manifest: Manifest, prefix: str, new_prefix: str | None = None) -> None:
        """Take over the files below `prefix/` of a committed run without copying them."""
        target = prefix if new_prefix is None else new_prefix
        names = [name for name in manifest.files if name.startswith(f"{prefix}/")]
        if not names:
            raise MissingInput(f"{manifest.reference} has no files below {prefix!r}")
        for name in names:
            self._linked_files[target + name[len(prefix) :]] = manifest.files[name]

    def link_table(self, manifest: Manifest, table: str) -> None:
        """Take over a table of a committed run without copying it."""
        self._linked_tables[self.dataset.table(table).name] = manifest.tables[table]

    def commit(self, facts: dict[str, Any] | None = None) -> Manifest:
        """Check every declared table (present, schema, rows), then write the manifest and swap the pointer.

        Raises `NightlensError` and commits nothing if a table is missing, empty or of another schema. If
        another writer committed the same run first, its manifest is returned and this attempt is dropped.
        """
        tables = {table.name: self._table_info(table) for table in self.dataset.tables}
        files = self._file_infos() | self._linked_files
        cpu_seconds, gpu_seconds = self._meter.stop()
        manifest = Manifest(
            **self._record,
            tables=tables,
            files=files,
            facts=facts or {},
            duration_seconds=round(time.perf_counter() - self._begun, 3),
            cpu_seconds=cpu_seconds,
            gpu_seconds=gpu_seconds,
        )
        path, winner = f"{self._run_folder}/{MANIFEST}", manifest
        while not self.lake.create(path, manifest.model_dump_json(indent=1).encode()):
            found = self.lake.read_manifest(path)
            if found is not None:  # else it was removed just now
                winner = found
                self.abandon()
                break
        self.lake.point_to(winner)
        self.manifest = winner
        return winner

    def abandon(self) -> None:
        """Remove what this attempt wrote."""
        self._meter.stop()
        if self.lake.is_local:
            shutil.rmtree(self._attempt, ignore_errors=True)
        elif self.lake.fs.exists(self._attempt):
            self.lake.fs.rm(self._attempt, recursive=True)

    def _table_info(self, table: Table) -> TableInfo:
        if table.name in self._linked_tables:
            return self._linked_tables[table.name]
        where = f"{self.dataset.name}.{table.name}"
        folder = f"{self._attempt}/tables/{table.name}"
        paths = sorted(self.lake.fs.glob(f"{folder}/**/*.parquet")) if self.lake.fs.exists(folder) else []
        if not paths:
            raise NightlensError(f"{where} was not written; nothing is committed")
        infos, schema, row_count = [], None, 0
        for path in paths:
            with self.lake.fs.open(path, "rb") as file:
                metadata = pq.read_metadata(file)
            schema = metadata.schema.to_arrow_schema()
            _check_schema(where, schema, table.schema)
            if metadata.num_rows == 0 and len(paths) > 1:
                continue  # Spark writes empty parts; one is kept when the whole table is empty
            infos.append(self.lake.measure(path, metadata.num_rows))
            row_count += metadata.num_rows
        if row_count == 0 and not table.may_be_empty:
            raise MissingInput(f"{where} came out empty; nothing is committed. Look at the rows of its inputs.")
        if not infos:
            infos = [self.lake.measure(paths[0], 0)]
        assert schema is not None
        return TableInfo(files=infos, row_count=row_count, columns={f.name: str(f.type) for f in schema})

    def _file_infos(self) -> dict[str, FileInfo]:
        folder = f"{self._attempt}/files"
        if not self.lake.fs.exists(folder):
            return {}
        return {path[len(folder) + 1 :]: self.lake.measure(path, None) for path in sorted(self.lake.fs.find(folder))}

    @cached_property
    def checkpoints(self) -> Store:
        """Where a long stage keeps what a rerun of the very same run resumes from; clear it after commit."""
        return self.lake.store("checkpoints", self.dataset.name, self.run_id)


def _check_schema(where: str, found: pa.Schema, declared: pa.Schema) -> None:
    found_types = {field.name: field.type for field in found}
    declared_types = {field.name: field.type for field in declared}
    if found_types.keys() != declared_types.keys() or any(
        not _same_type(found_types[name], kind) for name, kind in declared_types.items()
    ):
        raise NightlensError(
            f"{where}: schema is { ({n: str(t) for n, t in found_types.items()}) }, "
            f"declared is { ({n: str(t) for n, t in declared_types.items()}) }; nothing is committed"
        )


def _same_type(found: pa.DataType, declared: pa.DataType) -> bool:
    """Types are equal up to the name of a list's element and its nullability, which writers spell differently."""
    if pa.types.is_list(declared):
        return pa.types.is_list(found) and _same_type(found.value_type, declared.value_type)
    return bool(found.equals(declared))
