"""Where an image comes from: a file of the data set, an earlier download in the lake, or the network.

A photo_id only ever meets the names a listing gave: it is looked up, never joined to a path. Downloads are kept
in the lake under a hash of photo and address, never in the user's folder; the name also carries size and SHA-256,
so that a listing says what is there and an interrupted run goes on without reading anything again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.adapters.safe_download import Fetcher, FetchError, checked_url, sized_url
from jobs.ingest.photo_files import EXTENSIONS, file_stem
from models.images import DECODER_VERSION, ImageError, check_image

if TYPE_CHECKING:
    from jobs.config.params.ingest import FetchImagesParams
    from jobs.lake.catalogue import Lake

FOLDERS = ("photos", "images", "")  # below the data set; "" is next to the tables
UNREADABLE = "unreadable_"  # how reasons begin that say the system did not give the bytes
HEIC_EXTENSIONS = ("heic", "heif")  # listed to say that they cannot be read
Row = tuple[str, str, str | None, str | None, int | None, str | None]  # the columns of IMAGES.images


@dataclass(frozen=True)
class ImageFile:
    """An image as a listing shows it. `modified_ns` is None where the file system does not tell."""

    uri: str
    byte_count: int
    modified_ns: int | None


class LocalFile(NamedTuple):
    """What was found of a photo's file in the data set: a row of IMAGES.files. `reason` is None for a good picture."""

    photo_id: str
    uri: str
    byte_count: int
    modified_ns: int | None
    sha256: str | None
    reason: str | None

    @property
    def status(self) -> str:
        """The status of a photo that has only this file, which is no picture."""
        return "failed" if (self.reason or "").startswith(UNREADABLE) else "refused"


Known = dict[tuple[str, int, int], tuple[str, str | None]]
"""SHA-256 and reason of files by place, size and time."""


def picture_rules(params: FetchImagesParams) -> str:
    """Return what a verdict about a file depends on besides its bytes."""
    return f"{DECODER_VERSION}:{params.max_pixels}"


def list_images(dataset_uri: str) -> dict[str, ImageFile]:
    """Return the image files of a data set by the name before the extension, listing each folder once.

    Of several files for one photo the first folder of `FOLDERS` counts, then the first of `EXTENSIONS`.
    """
    fs, root = fsspec.url_to_fs(dataset_uri)
    extensions = EXTENSIONS + HEIC_EXTENSIONS
    found: dict[str, ImageFile] = {}
    for folder in FOLDERS:
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
    """Finds the image of one photo: in the data set, among earlier downloads, or on the network. Thread-safe.

    A file of the data set that is no picture counts for nothing where the photo's address gives one.
    """

    def __init__(
        self,
        files: dict[str, ImageFile],
        known: Known,
        fetched: FetchedImages,
        fetcher: Fetcher,
        params: FetchImagesParams,
    ) -> None:
        self._files, self._known, self._fetched = files, known, fetched
        self._fetcher, self._params = fetcher, params
        self._downloads: list[str] = []  # appended to by several threads; list.append is atomic
        self._hashed: list[str] = []
        self._local: list[LocalFile] = []

    @property
    def downloaded_count(self) -> int:
        """How many images came over the network in this run."""
        return len(self._downloads)

    @property
    def hashed_count(self) -> int:
        """How many files of the data set were read to hash and to decode them."""
        return len(self._hashed)

    @property
    def local_files(self) -> list[LocalFile]:
        """What was found of the data set's files, in the order of the photos."""
        return sorted(self._local)

    def _file_of(self, photo_id: str) -> ImageFile | None:
        """Return the photo's file, under its id as `file_stem` writes it or as it is; the latter is no other's stem."""
        return self._files.get(file_stem(photo_id)) or (None if "%" in photo_id else self._files.get(photo_id))

    def find(self, photo: tuple[str, str | None]) -> Row:
        """Return the row of one (photo_id, image_url)."""
        photo_id, url = photo
        local = None if (file := self._file_of(photo_id)) is None else self._look(photo_id, file)
        if local is not None and local.reason is None:
            return photo_id, "present", None, local.uri, local.byte_count, local.sha256
        try:
            if not url:
                raise FetchError("missing", "no_url")
            checked_url(url)
            uri, byte_count, sha256 = self._fetch(photo_id, sized_url(url, self._params.width))
            return photo_id, "fetched", None, uri, byte_count, sha256
        except FetchError as error:
            if local is None:
                return photo_id, error.status, error.reason, None, None, None
            return photo_id, local.status, local.reason, None, None, None

    def _look(self, photo_id: str, file: ImageFile) -> LocalFile:
        """Return what a file of the data set is: known from an earlier night if it did not change, or read now."""
        found = LocalFile(photo_id, file.uri, file.byte_count, file.modified_ns, None, "too_large")
        modified = file.modified_ns
        known = None if modified is None else self._known.get((file.uri, file.byte_count, modified))
        if file.byte_count <= self._params.max_bytes:
            found = self._read(found) if known is None else found._replace(sha256=known[0], reason=known[1])
        self._local.append(found)
        return found

    def _read(self, file: LocalFile) -> LocalFile:
        self._hashed.append(file.photo_id)
        try:
            with fsspec.open(file.uri, "rb") as opened:
                body = opened.read(self._params.max_bytes + 1)
        except OSError as error:
            return file._replace(reason=f"{UNREADABLE}{type(error).__name__}")
        file = file._replace(byte_count=len(body), sha256=hashlib.sha256(body).hexdigest(), reason=None)
        try:
            check_image(body, self._params.max_pixels)
        except ImageError as error:
            return file._replace(reason=error.reason)
        return file

    def _fetch(self, photo_id: str, url: str) -> tuple[str, int, str]:
        key = hashlib.sha256(f"{photo_id}\0{url}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        found = self._fetched.find(key)
        if found is not None:
            return found
        body = self._fetcher.fetch(url)
        try:
            check_image(body, self._params.max_pixels)
        except ImageError as error:
            raise FetchError("refused", error.reason) from error
        self._downloads.append(photo_id)
        return self._fetched.put(key, body)
