"""Photos as pages show them: a thumbnail inline, words for those who do not see it, who took it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import fsspec
import polars as pl
from PIL import Image

from jobs.datasets.clean import IMAGES
from jobs.datasets.features import SPLITS
from jobs.errors import MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.report.inputs import Night
from models.images import ImageError, decode_image

SIDE = 128
"""Longest side of a thumbnail in pixels: sharp at the size shown on a screen of double density."""
JPEG_QUALITY = 78


@dataclass(frozen=True)
class Photo:
    """A photo as it is shown. `src` is a data URI, or None where there is no usable image: `missing` says why."""

    photo_id: str
    alt: str
    credit: str
    src: str | None
    missing: str


def read_photos(
    lake: Lake, splits: Manifest, images: Manifest, photo_ids: Iterable[str], may_be_gone: bool = False
) -> dict[str, Photo]:
    """Return photos with thumbnail and words as runs of SPLITS and IMAGES have them.

    An image that was there when the night ran and no longer is raises `MissingInput`, unless it `may_be_gone`.
    """
    wanted = pl.DataFrame({"photo_id": sorted(set(photo_ids))}, schema={"photo_id": pl.String})
    known = lake.read_table(splits, "photos", ["photo_id", "description", "photographer"])
    found = lake.read_table(images, "images", ["photo_id", "status", "reason", "uri"])
    photos = {}
    joined = wanted.join(known, on="photo_id", how="left").join(found, on="photo_id", how="left")
    for row in joined.iter_rows(named=True):
        src, missing = _read_thumbnail(row["uri"], row["reason"] or row["status"], may_be_gone)
        photos[row["photo_id"]] = Photo(
            photo_id=row["photo_id"],
            alt=_words(row["photo_id"], row["description"]),
            credit=row["photographer"] or "",
            src=src,
            missing=missing,
        )
    return photos


def photos_of(night: Night, photo_ids: Iterable[str]) -> dict[str, Photo]:
    """Return photos as the night has them."""
    return read_photos(night.ctx.lake, night.manifest(SPLITS), night.manifest(IMAGES), photo_ids)


def read_pictures(
    night: Night, photo_ids: Iterable[str], shown: Iterable[str]
) -> tuple[dict[str, str], dict[str, Image.Image]]:
    """Return the words of photos, and the decoded pictures of those `shown` that have a usable one, in their order.

    An image that was there when the night ran and no longer is raises `MissingInput`.
    """
    wanted = pl.DataFrame({"photo_id": sorted(set(photo_ids))}, schema={"photo_id": pl.String})
    known = night.table(SPLITS, "photos", ["photo_id", "description"])
    described = wanted.join(known, on="photo_id", how="left")
    alts = {photo_id: _words(photo_id, description) for photo_id, description in described.iter_rows()}
    uris = dict(night.table(IMAGES, "images", ["photo_id", "uri"]).iter_rows())
    pictures = {}
    for photo_id in shown:
        if uris.get(photo_id) is None:
            continue
        try:
            pictures[photo_id] = _decoded(uris[photo_id])
        except FileNotFoundError as error:
            raise _gone(uris[photo_id]) from error
        except ImageError:
            continue  # its words are shown
    return alts, pictures


def _words(photo_id: str, description: str | None) -> str:
    return description or f"photo {photo_id}, no description"


def _decoded(uri: str) -> Image.Image:
    with fsspec.open(uri, "rb") as file:
        return decode_image(file.read())


def _gone(uri: str) -> MissingInput:
    return MissingInput(
        "image_removed", f"the image {uri} is gone. Put it back, or run the stage fetch_images again.", uri=uri
    )


def _read_thumbnail(uri: str | None, reason: str | None, may_be_gone: bool) -> tuple[str | None, str]:
    """Return a data URI, or None and the reason where the photo has no usable image."""
    if uri is None:
        return None, reason or "no image"
    try:
        return thumbnail(_decoded(uri)), ""
    except FileNotFoundError as error:
        if may_be_gone:
            return None, "image gone"
        raise _gone(uri) from error
    except ImageError as error:
        return None, error.reason


def thumbnail(image: Image.Image) -> str:
    """Return a small JPEG of a decoded picture as a data URI."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
