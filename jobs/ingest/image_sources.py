"""Where an image comes from: a file of the data set, an earlier download in the lake, or the network.

A photo_id only ever meets the names a listing gave: it is looked up, never joined to a path. Downloads are kept
in the lake under a hash of photo and address, never in the user's folder; the name also carries size and SHA-256,
so that a listing says what is there and an interrupted run goes on without reading anything again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.adapters.safe_download import Fetcher, FetchError, checked_url, sized_url
from models.images import ImageError, decode_image

if TYPE_CHECKING:
    from jobs.config.params.ingest import FetchImagesParams
    from jobs.lake.catalogue import Lake

FOLDERS = ("photos", "images", "")  # below the data set; "" is next to the tables
EXTENSIONS = ("jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp", "avif", "jp2")
Row = tuple[str, str, str | None, str | None, int | None, int | None, str | None]  # the columns of IMAGES.images


@dataclass(frozen=True)
class ImageFile:
    """An image as a listing shows it. `modified_ns` is None where the file system does not tell."""

    uri: str
    byte_count: int
    modified_ns: int | None


def list_images(dataset_uri: str) -> dict[str, ImageFile]:
    """Return the image files of a data set by the name before the extension, listing each folder once.

    Of several files for one photo the first folder of `FOLDERS` counts, then the first of `EXTENSIONS`.
    """
    fs, root = fsspec.url_to_fs(dataset_uri)
    found: dict[str, ImageFile] = {}
    for folder in FOLDERS:
        path = f"{root.rstrip('/')}/{folder}".rstrip("/")
        if not fs.isdir(path):
            continue
        ranked = []
        for entry in fs.ls(path, detail=True, refresh=True):
            stem, _, extension = entry["name"].rsplit("/", 1)[-1].rpartition(".")
            if stem and extension.lower() in EXTENSIONS and (entry["type"] == "file" or entry.get("islink")):
                ranked.append((EXTENSIONS.index(extension.lower()), stem, entry))
        for _, stem, entry in sorted(ranked, key=lambda item: (item[0], item[2]["name"])):
            uri = entry["name"] if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(entry["name"])
            found.setdefault(stem, ImageFile(uri, int(entry["size"] or 0), _modified_ns(entry)))
    return found


def _modified_ns(entry: dict[str, Any]) -> int | None:
    """Return when a listed file was changed. Links are not trusted: their time is not that of the file."""
    changed = next((entry[key] for key in ("mtime", "LastModified", "created", "updated") if entry.get(key)), None)
    if entry.get("islink") or changed is None:
        return None
    seconds = changed.timestamp() if isinstance(changed, datetime) else changed
    return int(seconds * 1_000_000_000) if isinstance(seconds, int | float) else None


def listing_digest(files: dict[str, ImageFile]) -> str:
    """Return a digest of what a listing showed; it changes when a file is added, removed or changed."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(repr((name, file.uri, file.byte_count, file.modified_ns)).encode())
    return digest.hexdigest()[:16]


class FetchedImages:
    """The downloads kept in the lake, in 16 folders by the first digit of their key; listed once, when made."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._names: dict[str, str] = {}
        for digit in "0123456789abcdef":
            for name in lake.store("images", digit).names(".img"):
                self._names.setdefault(name.split("-", 1)[0], name)

    def find(self, key: str) -> tuple[str, int, str] | None:
        """Return (uri, byte_count, sha256) of a download, or None."""
        name = self._names.get(key)
        return None if name is None else self._describe(name)

    def put(self, key: str, body: bytes) -> tuple[str, int, str]:
        """Keep a download and return its (uri, byte_count, sha256)."""
        name = f"{key}-{hashlib.sha256(body).hexdigest()}-{len(body)}.img"
        self._lake.store("images", key[0]).put(name, body)
        return self._describe(name)

    def _describe(self, name: str) -> tuple[str, int, str]:
        _, sha256, byte_count = name.removesuffix(".img").split("-")
        return self._lake.uri(f"{self._lake.store('images', name[0]).folder}/{name}"), int(byte_count), sha256


class ImageLocator:
    """Finds the image of one photo: in the data set, among earlier downloads, or on the network. Thread-safe."""

    def __init__(
        self,
        files: dict[str, ImageFile],
        known_hashes: dict[tuple[str, int, int], str],
        fetched: FetchedImages,
        fetcher: Fetcher,
        params: FetchImagesParams,
    ) -> None:
        self._files, self._known_hashes, self._fetched = files, known_hashes, fetched
        self._fetcher, self._params = fetcher, params
        self._downloads: list[str] = []  # appended to by several threads; list.append is atomic
        self._hashed: list[str] = []

    @property
    def downloaded_count(self) -> int:
        """How many images came over the network in this run."""
        return len(self._downloads)

    @property
    def hashed_count(self) -> int:
        """How many files of the data set were read to hash them."""
        return len(self._hashed)

    def find(self, photo: tuple[str, str | None]) -> Row:
        """Return the row of one (photo_id, image_url)."""
        photo_id, url = photo
        try:
            if (file := self._files.get(photo_id)) is not None:
                return self._present(photo_id, file)
            if not url:
                raise FetchError("missing", "no_url")
            checked_url(url)
            uri, byte_count, sha256 = self._fetch(photo_id, sized_url(url, self._params.width))
            return photo_id, "fetched", None, uri, byte_count, None, sha256
        except FetchError as error:
            return photo_id, error.status, error.reason, None, None, None, None

    def _present(self, photo_id: str, file: ImageFile) -> Row:
        if file.byte_count > self._params.max_bytes:
            raise FetchError("refused", "too_large")
        modified = file.modified_ns
        sha256 = None if modified is None else self._known_hashes.get((file.uri, file.byte_count, modified))
        byte_count = file.byte_count
        if sha256 is None:
            self._hashed.append(photo_id)
            try:
                with fsspec.open(file.uri, "rb") as opened:
                    body = opened.read(self._params.max_bytes + 1)
            except OSError as error:
                raise FetchError("failed", f"unreadable_{type(error).__name__}") from error
            sha256, byte_count = hashlib.sha256(body).hexdigest(), len(body)
        return photo_id, "present", None, file.uri, byte_count, modified, sha256

    def _fetch(self, photo_id: str, url: str) -> tuple[str, int, str]:
        key = hashlib.sha256(f"{photo_id}\0{url}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        found = self._fetched.find(key)
        if found is not None:
            return found
        body = self._fetcher.fetch(url)
        try:
            decode_image(body, self._params.max_pixels)
        except ImageError as error:
            raise FetchError("refused", error.reason) from error
        self._downloads.append(photo_id)
        return self._fetched.put(key, body)
