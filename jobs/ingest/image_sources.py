"""Where an image comes from: a file of the data set, an earlier download in the lake, or the network.

Every function takes some of the photos as rows, all of a small night or a part of a large one. What is known and
unchanged is taken over by columns. Only the other photos go through code that looks at one of them at a time.

A photo_id only ever meets the names a listing gave: it is looked up, never joined to a path. Downloads are kept
in the lake under a hash of photo and address, never in the user's folder; the name also carries size and SHA-256,
so that a listing says what is there and an interrupted run goes on without reading anything again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from jobs.adapters.safe_download import PLAIN_URL, Fetcher, FetchError, Limits, checked_url, each_completed, sized_url
from jobs.datasets.schema import BOOL, I64, STR, schema
from jobs.ingest.image_listing import file_stems
from models.images import DECODER_VERSION, ImageError, check_image

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from jobs.config.params.ingest import FetchImagesParams
    from jobs.lake.catalogue import Lake

UNREADABLE = "unreadable_"  # how reasons begin that say the system did not give the bytes
EXAMPLE_COUNT = 3  # per reason, where too many photos are without an image
_ROWS_PER_FRAME = 256
Row = dict[str, Any]

PHOTOS = schema(photo_id=STR, image_url=STR, key=STR)
"""Photos with the stem that their file in the data set has."""
_FILE = schema(
    photo_id=STR, file_uri=STR, file_byte_count=I64, file_modified_ns=I64, file_sha256=STR, file_reason=STR
)  # the photo's file in the data set; the reason is null for a picture, and for what was not looked at
FOUND = pa.schema([*_FILE, *schema(image_url=STR, is_known=BOOL)])
"""What `sql/photos_with_files.sql` gives."""
LOOKED = pa.schema([*_FILE, *schema(is_hashed=BOOL, address=STR, download_key=STR, error_status=STR, error_reason=STR)])
"""The photos after the stage read every file. A photo without a picture has an address, or an error instead."""
DOWNLOADS = schema(download_key=STR, download_uri=STR, download_byte_count=I64, download_sha256=STR)
"""What earlier nights have downloaded."""
FETCHED = pa.schema([*LOOKED, *list(DOWNLOADS)[1:], *schema(is_downloaded=BOOL)])
"""Photos with their download."""
RESULTS = pa.schema(
    [
        *_FILE,
        *schema(status=STR, reason=STR, uri=STR, byte_count=I64, sha256=STR, is_hashed=BOOL, is_downloaded=BOOL),
    ]
)
"""What became of every photo."""
SUMMARY = schema(
    **{"status": STR, "reason": STR, "count": I64, "byte_count": I64, "hashed_count": I64, "downloaded_count": I64},
    examples=pa.list_(STR),
)
"""Counts by status and reason."""


@dataclass(frozen=True)
class FetchJob:
    """What looking and fetching depend on; it can be sent to workers. `fs` is that of the data set."""

    params: FetchImagesParams
    limits: Limits
    lake: Lake
    fs: AbstractFileSystem


def picture_rules(params: FetchImagesParams) -> str:
    """Return what a verdict about a file depends on besides its bytes."""
    return f"{DECODER_VERSION}:{params.max_pixels}"


def cast(frame: pl.DataFrame, declared: pa.Schema) -> pl.DataFrame:
    """Return the declared columns in their order; those that are not there are null."""
    types = pl.DataFrame(declared.empty_table()).schema
    columns = [pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in types]
    return frame.select(column.cast(kind) for column, kind in zip(columns, types.values(), strict=True))


def with_keys(photos: pl.DataFrame) -> pl.DataFrame:
    """Return `PHOTOS` of photo_id and image_url."""
    return cast(photos.with_columns(key=file_stems(photos["photo_id"])), PHOTOS)


def to_read(params: FetchImagesParams) -> pl.Expr:
    """Say which photos of `FOUND` have a file that has to be read."""
    return (pl.col("file_byte_count") <= params.max_bytes) & ~pl.col("is_known").fill_null(False)


def look(
    found: pl.DataFrame, job: FetchJob, thread_count: int, advance: Callable[[], object] = lambda: None
) -> pl.DataFrame:
    """Return `LOOKED` of `FOUND`: read, digest and decode the files that are not known, `thread_count` at a time."""
    fits = pl.col("file_byte_count") <= job.params.max_bytes
    rows = found.with_columns(
        is_hashed=to_read(job.params).fill_null(False),
        file_sha256=pl.when(fits).then("file_sha256"),
        file_reason=pl.when(~fits).then(pl.lit("too_large")).otherwise("file_reason"),
    )
    new = rows.filter("is_hashed")
    read = _each(partial(_read, job), new.iter_rows(named=True), thread_count, advance, rows.schema)
    rows = pl.concat([rows.filter(~pl.col("is_hashed")), *read])
    has_picture = pl.col("file_uri").is_not_null() & pl.col("file_reason").is_null()
    pictures, others = rows.filter(has_picture), rows.filter(~has_picture)
    return pl.concat([cast(pictures, LOOKED), cast(_with_address(others, job.params.width), LOOKED)])


def _each(
    work: Callable[[Row], Row],
    rows: Iterable[Row],
    thread_count: int,
    advance: Callable[[], object],
    columns: pl.Schema,
) -> Iterator[pl.DataFrame]:
    """Give what `work` makes of every row as frames, in the order in which it is done."""
    done = each_completed(work, rows, thread_count)
    while some := list(islice(done, _ROWS_PER_FRAME)):
        for _ in some:
            advance()
        yield pl.DataFrame(some, columns)


def _read(job: FetchJob, row: Row) -> Row:
    try:
        with job.fs.open(row["file_uri"], "rb") as opened:
            body = opened.read(job.params.max_bytes + 1)
    except OSError as error:
        return row | {"file_reason": f"{UNREADABLE}{type(error).__name__}"}
    row = row | {"file_byte_count": len(body), "file_sha256": hashlib.sha256(body).hexdigest()}
    try:
        check_image(body, job.params.max_pixels)
    except ImageError as error:
        return row | {"file_reason": error.reason}
    return row


def _with_address(rows: pl.DataFrame, width: int) -> pl.DataFrame:
    """Add the address of each photo's picture and the key of its download, or why there is none.

    Most addresses are plain: for these the parameters of size are the whole query.
    """
    url = pl.col("image_url").replace("", None)
    query = sized_url("https://host/", width).partition("?")[2]
    is_plain = url.str.contains(PLAIN_URL) & (url.str.len_bytes() <= 2000)
    rows = rows.with_columns(
        address=pl.when(is_plain).then(url + f"?{query}"),
        error_status=pl.when(url.is_null()).then(pl.lit("missing")),
        error_reason=pl.when(url.is_null()).then(pl.lit("no_url")),
    )
    is_odd = pl.col("address").is_null() & pl.col("error_reason").is_null()
    odd = [_odd_address(row, width) for row in rows.filter(is_odd).iter_rows(named=True)]
    rows = pl.concat([rows.filter(~is_odd), pl.DataFrame(odd, rows.schema)])
    pairs = rows.select("photo_id", "address").iter_rows()
    keys = [address and _download_key(photo_id, address) for photo_id, address in pairs]
    return rows.with_columns(pl.Series("download_key", keys, pl.String))


def _odd_address(row: Row, width: int) -> Row:
    try:
        checked_url(row["image_url"])
    except FetchError as error:
        return row | {"error_status": error.status, "error_reason": error.reason}
    return row | {"address": sized_url(row["image_url"], width)}


def _download_key(photo_id: str, address: str) -> str:
    return hashlib.sha256(f"{photo_id}\0{address}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def fetch(
    rows: Iterable[Row], job: FetchJob, thread_count: int, advance: Callable[[], object] = lambda: None
) -> Iterator[pl.DataFrame]:
    """Give `FETCHED` of rows of `LOOKED` that have an address: download it, `thread_count` at a time."""
    columns = pl.DataFrame(FETCHED.empty_table()).schema
    with Fetcher(job.limits) as fetcher:
        work = partial(_fetch, fetcher, FetchedImages(job.lake), job.params.max_pixels)
        yield from _each(work, rows, thread_count, advance, columns)


def _fetch(fetcher: Fetcher, store: FetchedImages, max_pixels: int, row: Row) -> Row:
    try:
        body = fetcher.fetch(row["address"])
        check_image(body, max_pixels)
    except FetchError as error:
        return row | {"error_status": error.status, "error_reason": error.reason}
    except ImageError as error:
        return row | {"error_status": "refused", "error_reason": error.reason}
    uri, byte_count, sha256 = store.put(row["download_key"], body)
    download = {"download_uri": uri, "download_byte_count": byte_count, "download_sha256": sha256}
    return row | download | {"is_downloaded": True}


class FetchedImages:
    """The downloads kept in the lake, in 16 folders by the first digit of their key."""

    DIGITS = "0123456789abcdef"

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def table(self, digit: str) -> pl.DataFrame:
        """Return `DOWNLOADS` of one folder."""
        store = self._lake.store("images", digit)
        named = r"^(?<download_key>[0-9a-f]{32})-(?<download_sha256>[0-9a-f]{64})-(?<download_byte_count>[0-9]+)\.img$"
        names = pl.Series("name", store.names(".img"), pl.String).to_frame()
        return cast(
            names.with_columns(pl.col("name").str.extract_groups(named).alias("parts"))
            .unnest("parts")
            .with_columns(download_uri=pl.lit(self._lake.uri(store.folder) + "/") + pl.col("name"))
            .drop_nulls("download_key")
            .unique("download_key", keep="first", maintain_order=True),
            DOWNLOADS,
        )

    def put(self, key: str, body: bytes) -> tuple[str, int, str]:
        """Keep a download and return its (uri, byte_count, sha256)."""
        sha256 = hashlib.sha256(body).hexdigest()
        store, name = self._lake.store("images", key[0]), f"{key}-{sha256}-{len(body)}.img"
        store.put(name, body)
        return f"{self._lake.uri(store.folder)}/{name}", len(body), sha256


def results(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `RESULTS` of `FETCHED`, or of `LOOKED` where no address is to be asked.

    A file of the data set that is no picture counts for nothing where the photo's address gives one; else its reason
    is told.
    """
    rows = cast(rows, FETCHED)
    has_file = pl.col("file_uri").is_not_null()
    has_picture = has_file & pl.col("file_reason").is_null()
    has_download = pl.col("download_uri").is_not_null()
    file_status = pl.when(pl.col("file_reason").str.starts_with(UNREADABLE)).then(pl.lit("failed"))
    image = {
        name: pl.when(has_picture).then(f"file_{name}").when(has_download).then(f"download_{name}")
        for name in ("uri", "byte_count", "sha256")
    }
    rows = rows.with_columns(
        **image,
        status=pl.when(has_picture)
        .then(pl.lit("present"))
        .when(has_download)
        .then(pl.lit("fetched"))
        .when(has_file)
        .then(file_status.otherwise(pl.lit("refused")))
        .otherwise("error_status"),
        reason=pl.when(~has_picture & ~has_download).then(pl.coalesce("file_reason", "error_reason")),
    )
    return cast(rows, RESULTS)


def images_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the table `images` of `RESULTS`."""
    return rows.select("photo_id", "status", "reason", "uri", "byte_count", "sha256")


def files_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the table `files` of `RESULTS`."""
    files = rows.filter(pl.col("file_uri").is_not_null())
    return files.select("photo_id", pl.col("^file_.*$").name.replace("^file_", ""))


def summary(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `SUMMARY` of `RESULTS`: counts by status and reason, with examples of photos that have no image.

    An example is the name of the file that is no picture, or the id of a photo without a file.
    """
    name = pl.coalesce(pl.col("file_uri").str.extract("([^/]*)$"), "photo_id")
    return rows.group_by("status", "reason").agg(
        count=pl.len().cast(pl.Int64),
        byte_count=pl.col("byte_count").sum(),
        hashed_count=pl.col("is_hashed").sum().cast(pl.Int64),
        downloaded_count=pl.col("is_downloaded").sum().cast(pl.Int64),
        examples=name.filter(pl.col("uri").is_null()).sort().head(EXAMPLE_COUNT),
    )


def summed(parts: pl.DataFrame) -> pl.DataFrame:
    """Return `SUMMARY` of all photos of the summaries of their parts."""
    return parts.group_by("status", "reason").agg(
        pl.col("count", "byte_count", "hashed_count", "downloaded_count").sum(),
        pl.col("examples").list.explode().drop_nulls().sort().head(EXAMPLE_COUNT),
    )
