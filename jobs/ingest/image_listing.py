"""The image files of a data set, listed in a stream into Parquet files: no process holds all names as objects.

A file is found by its key: the stem that its photo's file has by `file_stem`.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from jobs.adapters.file_listing import entries
from jobs.datasets.schema import I32, I64, STR, schema
from jobs.ingest.photo_files import EXTENSIONS, MAX_STEM_BYTES, file_stem

FOLDERS = ("photos", "images", "")  # below the data set; "" is next to the tables
HEIC_EXTENSIONS = ("heic", "heif")  # listed to say that they cannot be read
_EXTENSIONS = EXTENSIONS + HEIC_EXTENSIONS
_NAMED_AS_IT_IS = 1000  # added to the place of a file that is named otherwise than `file_stem` says
_ROWS_PER_PART = 65_536
_ODD = r"""[\x00-\x1f\x7f/\\:*?"<>|%]|^\.|[. ]$"""  # of the ids without it, `file_stem` changes only long ones

LISTING = schema(
    key=STR,
    place=I32,  # of the files of one key the first counts, then the first uri
    uri=STR,
    byte_count=I64,
    modified_ns=I64,  # null where the file system does not tell
)
Entry = tuple[str, int, str, int, int | None]
"""Stem, place, uri, size and time of a file."""


class Listing:
    """What a data set's folders showed: Parquet files in a temporary folder, which goes when this object does.

    `digest` changes when a file is added, removed or changed, and does not depend on the order of the listing.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nightlens-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._parts: list[Path] = []
        self._sum = 0  # of SHA-256, modulo 2**256
        self.row_count = 0

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._sum:064x}"[:16]

    @property
    def parts(self) -> list[Path]:
        """The files, of `LISTING`."""
        return list(self._parts)

    def frame(self) -> pl.DataFrame:
        """Return all rows."""
        nothing = pl.DataFrame(LISTING.empty_table())
        return pl.concat([nothing, *(pl.read_parquet(part) for part in self.parts)])

    def add(self, rows: list[Entry]) -> None:
        """Write some more files down."""
        for row in rows:
            self._sum += int.from_bytes(hashlib.sha256(repr(row).encode()).digest(), "big")
        self._sum %= 2**256
        self.row_count += len(rows)
        columns = ["stem", "place", "uri", "byte_count", "modified_ns"]
        types = dict(pl.DataFrame(LISTING.empty_table()).schema)
        frame = pl.DataFrame(rows, {"stem": pl.String} | {name: types[name] for name in columns[1:]}, orient="row")
        is_escaped = frame["stem"].str.contains("%", literal=True)
        keys = frame["stem"].zip_with(is_escaped, file_stems(frame["stem"]))
        named_otherwise = (keys != frame["stem"]).cast(pl.Int32) * _NAMED_AS_IT_IS
        frame = frame.with_columns(key=keys, place=pl.col("place") + named_otherwise).select(LISTING.names)
        path = self._folder / f"part-{len(self._parts):05d}.parquet"
        frame.write_parquet(path, compression="zstd")
        self._parts.append(path)


def list_images(dataset_uri: str) -> Listing:
    """List the image files of a data set, each folder once.

    Of several files for one photo the first folder of `FOLDERS` counts, then the first of `EXTENSIONS`, then the name.
    """
    listing, files = Listing(), _image_files(dataset_uri)
    while rows := list(islice(files, _ROWS_PER_PART)):
        listing.add(rows)
    return listing


def file_stems(photo_ids: pl.Series) -> pl.Series:
    """Return `file_stem` of every id; only ids that it changes are looked at one by one."""
    changed = (photo_ids.str.contains(_ODD) | (photo_ids.str.len_bytes() > MAX_STEM_BYTES)).arg_true()
    stems = [file_stem(photo_id) for photo_id in photo_ids.gather(changed)]
    return photo_ids.clone().scatter(changed, pl.Series(stems, dtype=pl.String)) if stems else photo_ids


def _image_files(dataset_uri: str) -> Iterator[Entry]:
    fs, root = fsspec.url_to_fs(dataset_uri)
    for number, folder in enumerate(FOLDERS):
        path = f"{root.rstrip('/')}/{folder}".rstrip("/")
        if not fs.isdir(path):
            continue
        for entry in entries(fs, path):
            stem, _, extension = entry["name"].rsplit("/", 1)[-1].rpartition(".")
            place = _place(stem, extension.lower(), entry)
            if place is not None:
                uri = entry["name"] if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(entry["name"])
                yield stem, 100 * number + place, uri, int(entry["size"] or 0), _modified_ns(entry)


def _place(stem: str, extension: str, entry: dict[str, Any]) -> int | None:
    """Return the place of a file among those of its stem in one folder; None if it can be no photo's picture."""
    if not stem or extension not in _EXTENSIONS or not (entry["type"] == "file" or entry.get("islink")):
        return None
    try:
        stem.encode()
    except UnicodeEncodeError:  # a name that is no text; ids are
        return None
    return _EXTENSIONS.index(extension)


def _modified_ns(entry: dict[str, Any]) -> int | None:
    """Return when a listed file was changed. Links are not trusted: their time is not that of the file."""
    if entry.get("islink"):
        return None
    changed = entry.get("mtime") or entry.get("LastModified") or entry.get("created") or entry.get("updated")
    seconds = changed.timestamp() if isinstance(changed, datetime) else changed
    return int(seconds * 1_000_000_000) if isinstance(seconds, int | float) else None
