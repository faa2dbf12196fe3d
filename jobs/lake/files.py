"""Files of the lake, written whole or not at all and checked when they are read; stores of parts that outlive a run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import fsspec
import pyarrow as pa
from pydantic import ValidationError

from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import FileInfo, Manifest, partition_path

POINTER = "current.json"


_CATALOGUE = re.compile("[a-z0-9][a-z0-9_-]{0,62}")


class LakeFiles:
    """The files of one catalogue under `root_uri` (a folder or any fsspec URL)."""

    def __init__(self, root_uri: str, catalogue: str) -> None:
        """Open nothing yet; `BadInput` for a name that no catalogue can have, such as one that leads elsewhere."""
        if not _CATALOGUE.fullmatch(catalogue):
            raise BadInput(
                "bad_catalogue_name",
                f"{catalogue!r} is no name of a catalogue: it has 1 to 63 small letters, digits, - and _, of which the "
                f"first is a letter or a digit",
                catalogue=catalogue,
            )
        self.root_uri, self.catalogue = root_uri, catalogue
        self.fs, root = fsspec.url_to_fs(root_uri, use_listings_cache=False)  # others write as well
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.root = f"{root.rstrip('/')}/{catalogue}"
        self._verified: set[FileInfo] = set()  # found whole: a stage reads a table more than once

    def read_manifest(self, path: str) -> Manifest | None:
        """Return the manifest in a file, None if there is no file; `BadInput` if it is damaged."""
        try:
            return Manifest.model_validate_json(self.fs.cat_file(path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise BadInput(
                "damaged_manifest",
                f"{path} is damaged ({error.error_count()} errors). Delete it and rerun the stage.",
                path=path,
            ) from error

    def uri(self, path: str) -> str:
        """Return a path of this lake as a URI other tools open (a plain path when local)."""
        return path if self.is_local else str(self.fs.unstrip_protocol(path))

    def spark_uri(self, path: str) -> str:
        """Return a path of a local lake as Spark spells it."""
        return f"file://{path}"

    def verify(self, info: FileInfo) -> None:
        """Raise unless a file is, byte for byte, what was committed: `BadInput`, or `MissingInput` if it is gone."""
        path, digest = f"{self.root}/{info.path}", hashlib.sha256()
        try:
            with self.fs.open(path, "rb") as file:
                _update(digest, file, None)
        except FileNotFoundError as error:
            raise MissingInput(
                "stored_file_gone", f"{path} is gone, its run was committed with it. {_mend(path)}", path=path
            ) from error
        if digest.hexdigest() != info.sha256:
            raise BadInput(
                "stored_file_changed",
                f"{path} is not the file that was committed: its SHA-256 differs. {_mend(path)}",
                path=path,
            )

    def _whole(self, info: FileInfo) -> str:
        """Return the path of a file that others are to open, on a local lake after checking it.

        Object stores check what they hold; it is not fetched twice for that.
        """
        if self.is_local and info not in self._verified:
            self.verify(info)
            self._verified.add(info)
        return f"{self.root}/{info.path}"

    @contextmanager
    def open_whole(self, info: FileInfo) -> Iterator[IO[bytes]]:
        """Open a file that is, byte for byte, the one that was committed."""
        with self.fs.open(self._whole(info), "rb") as file:
            yield file

    def file_info(self, manifest: Manifest, name: str) -> FileInfo:
        """Return what a manifest says of a file; `MissingInput` names the files there are."""
        if name not in manifest.files:
            raise MissingInput(
                "not_in_run",
                f"{manifest.reference} has no file {name!r}; it has {sorted(manifest.files)}",
                run=manifest.reference,
                name=name,
            )
        return manifest.files[name]

    def file_path(self, manifest: Manifest, name: str) -> str:
        """Return where a file of a run is."""
        return f"{self.root}/{self.file_info(manifest, name).path}"

    def point_to(self, manifest: Manifest) -> None:
        """Make a committed run the current one of its partition."""
        folder = f"{self.root}/{partition_path(manifest.layer, manifest.dataset, manifest.partition)}"
        self.put(f"{folder}/{POINTER}", json.dumps({"run_id": manifest.run_id}).encode())

    def made_current_at(self, manifest: Manifest) -> datetime:
        """Return when the current run of a partition became that, by the clock of the file system."""
        folder = f"{self.root}/{partition_path(manifest.layer, manifest.dataset, manifest.partition)}"
        return _aware(self.fs.modified(f"{folder}/{POINTER}"))

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

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        """Give a local file to write; it is at `path`, whole, when the block ends well, and else nowhere."""
        if self.is_local:
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                yield fresh
                fresh.replace(target)
            finally:
                fresh.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
            fresh = Path(folder) / "file"
            yield fresh
            self.fs.put_file(str(fresh), path)

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

    def store(self, *names: str) -> Store:
        """Return a content-addressed store (embeddings, checkpoints): parts that outlive one run."""
        return Store(self, "/".join([self.root, "store", *names]))


class Store:
    """A folder of parts that are committed one by one: a part is there whole or not at all."""

    def __init__(self, lake: LakeFiles, folder: str) -> None:
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

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """Open one part; what a damaged one does to its reader is `BadInput`."""
        path = f"{self.folder}/{name}"
        with self.lake.fs.open(path, "rb") as file:
            try:
                yield file
            except (pa.ArrowException, ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # the disk's own, not Arrow's
                    raise
                raise BadInput(
                    "stored_part_damaged",
                    f"{path} is damaged: its checksum differs, or it is cut. Delete that file and run the same command "
                    f"again, which computes its rows anew.",
                    path=path,
                ) from error

    def modified_at(self, name: str) -> datetime:
        """Return when one part was written, by the clock of the file system."""
        return _aware(self.lake.fs.modified(f"{self.folder}/{name}"))

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

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every committed part by its name."""
        self.lake.fs.invalidate_cache(self.folder)  # others write here too
        if not self.lake.fs.exists(self.folder):
            return {}
        found = {one["name"].rsplit("/", 1)[1]: int(one["size"]) for one in self.lake.fs.ls(self.folder, detail=True)}
        return {name: size for name, size in found.items() if not name.startswith(".")}

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


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _mend(path: str) -> str:
    """Return what to do about a damaged file of a run."""
    run = re.sub(r"(/run_id=[^/]+)/.*", r"\1", path)
    if run == path:
        return (
            "If nightlens forget was cut off, run it again. Else restore the file from a copy, or delete it and the "
            "folder of each run that has it, and rerun the stage that made them."
        )
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
