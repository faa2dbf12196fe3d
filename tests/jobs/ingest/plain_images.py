"""What `fetch_images` finds, photo by photo: a listing in a dict, and nothing taken over by columns.

The plain version that the columns of `jobs.ingest.image_sources` are held to.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.adapters.safe_download import Fetcher, FetchError, Limits, checked_url, each_completed, sized_url
from jobs.config.params.ingest import FetchImagesParams
from jobs.context import RunContext
from jobs.ingest.photo_files import EXTENSIONS, file_stem
from models.images import ImageError, check_image

Known = dict[tuple[str, int, int | None], tuple[str, str | None]]
"""SHA-256 and reason by uri, size and time, as `known_files` gives it."""


class PlainFile(NamedTuple):
    """A row of the table `files`."""

    photo_id: str
    uri: str
    byte_count: int
    modified_ns: int | None
    sha256: str | None
    reason: str | None


def list_plainly(dataset_uri: str) -> dict[str, tuple[str, int, int | None]]:
    """Return uri, size and time of the file that counts, by stem."""
    fs, root = fsspec.url_to_fs(dataset_uri)
    extensions = (*EXTENSIONS, "heic", "heif")
    found: dict[str, tuple[str, int, int | None]] = {}
    for folder in ("photos", "images", ""):
        path = f"{root.rstrip('/')}/{folder}".rstrip("/")
        if not fs.isdir(path):
            continue
        ranked = []
        for entry in fs.ls(path, detail=True, refresh=True):
            stem, _, extension = entry["name"].rsplit("/", 1)[-1].rpartition(".")
            if stem and extension.lower() in extensions and (entry["type"] == "file" or entry.get("islink")):
                ranked.append((extensions.index(extension.lower()), stem, entry))
        for _, stem, entry in sorted(ranked, key=lambda item: (item[0], item[2]["name"])):
            uri = entry["name"] if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(entry["name"])
            found.setdefault(stem, (uri, int(entry["size"] or 0), _modified_ns(entry)))
    return found


def _modified_ns(entry: dict[str, Any]) -> int | None:
    changed = next((entry[key] for key in ("mtime", "LastModified", "created", "updated") if entry.get(key)), None)
    if entry.get("islink") or changed is None:
        return None
    return int((changed.timestamp() if isinstance(changed, datetime) else changed) * 1_000_000_000)


@dataclass
class PlainLocator:
    """Finds the image of one photo after another."""

    files: dict[str, tuple[str, int, int | None]]
    known: Known
    downloads: dict[str, tuple[str, int, str]]
    fetcher: Fetcher
    params: FetchImagesParams
    hashed: list[str] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    local: list[PlainFile] = field(default_factory=list)

    def find(self, photo: tuple[str, str | None]) -> tuple[Any, ...]:
        """Return photo_id, status, reason, uri, byte_count and sha256; a download's uri is its key."""
        photo_id, url = photo
        file = self.files.get(file_stem(photo_id)) or (None if "%" in photo_id else self.files.get(photo_id))
        local = None if file is None else self._look(photo_id, *file)
        if local is not None and local.reason is None:
            return photo_id, "present", None, local.uri, local.byte_count, local.sha256
        try:
            if not url:
                raise FetchError("missing", "no_url")
            checked_url(url)
            return photo_id, "fetched", None, *self._fetch(photo_id, sized_url(url, self.params.width))
        except FetchError as error:
            if local is None:
                return photo_id, error.status, error.reason, None, None, None
            status = "failed" if (local.reason or "").startswith("unreadable_") else "refused"
            return photo_id, status, local.reason, None, None, None

    def _look(self, photo_id: str, uri: str, byte_count: int, modified_ns: int | None) -> PlainFile:
        found = PlainFile(photo_id, uri, byte_count, modified_ns, None, "too_large")
        if byte_count <= self.params.max_bytes:
            known = self.known.get((uri, byte_count, modified_ns)) if modified_ns is not None else None
            found = self._read(found) if known is None else found._replace(sha256=known[0], reason=known[1])
        self.local.append(found)
        return found

    def _read(self, file: PlainFile) -> PlainFile:
        self.hashed.append(file.photo_id)
        try:
            with fsspec.open(file.uri, "rb") as opened:
                body = opened.read(self.params.max_bytes + 1)
        except OSError as error:
            return file._replace(reason=f"unreadable_{type(error).__name__}")
        file = file._replace(byte_count=len(body), sha256=hashlib.sha256(body).hexdigest(), reason=None)
        try:
            check_image(body, self.params.max_pixels)
        except ImageError as error:
            return file._replace(reason=error.reason)
        return file

    def _fetch(self, photo_id: str, url: str) -> tuple[str, int, str]:
        key = hashlib.sha256(f"{photo_id}\0{url}".encode()).hexdigest()[:32]
        if key not in self.downloads:
            body = self.fetcher.fetch(url)
            try:
                check_image(body, self.params.max_pixels)
            except ImageError as error:
                raise FetchError("refused", error.reason) from error
            self.downloaded.append(photo_id)
            self.downloads[key] = key, len(body), hashlib.sha256(body).hexdigest()
        return self.downloads[key]


def find_plainly(
    ctx: RunContext,
    params: FetchImagesParams,
    urls: dict[str, str | None],
    known: Known,
    downloads: dict[str, tuple[str, int, str]],
) -> tuple[list[tuple[Any, ...]], PlainLocator]:
    """Return the rows of all photos in the order of their ids, and what found them."""
    limits = Limits(
        params.max_bytes,
        params.timeout_seconds,
        params.retry_count,
        params.concurrency,
        ctx.settings.allow_private_addresses,
        ctx.seed,
    )
    with Fetcher(limits) as fetcher:
        locator = PlainLocator(list_plainly(ctx.dataset_uri), known, downloads, fetcher, params)
        rows = sorted(each_completed(locator.find, urls.items(), params.concurrency))
    return rows, locator
