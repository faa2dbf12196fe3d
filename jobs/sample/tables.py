"""The rows of the tables, in the columns of the Unsplash research layout, version 1.4.0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from jobs.sample.choices import Conversion
from jobs.sample.countries import PLACES
from jobs.sample.faults import Row, encode, timestamp
from jobs.sample.impressions import Impression
from jobs.sample.pixels import Colour
from jobs.sample.words import lexicon
from jobs.sample.world import LOG_END, Photo, describe, short_id

PHOTOS = """
    photo_id photo_url photo_image_url photo_submitted_at photo_featured photo_width photo_height photo_aspect_ratio
    photo_description photographer_username photographer_first_name photographer_last_name exif_camera_make
    exif_camera_model exif_iso exif_aperture_value exif_focal_length exif_exposure_time photo_location_name
    photo_location_latitude photo_location_longitude photo_location_country photo_location_city stats_views
    stats_downloads ai_description ai_primary_landmark_name ai_primary_landmark_latitude
    ai_primary_landmark_longitude ai_primary_landmark_confidence blur_hash
""".split()  # noqa: SIM905
KEYWORDS = """
    photo_id keyword ai_service_1_confidence ai_service_2_confidence suggested_by_user user_suggestion_source
    suggested_by_ai_service_3 confirmed_by_ai_service_3
""".split()  # noqa: SIM905
COLLECTIONS = ["photo_id", "collection_id", "collection_title", "photo_collected_at", "collection_type"]
COLORS = ["photo_id", "hex", "red", "green", "blue", "keyword", "coverage", "score"]
IMPRESSIONS = """
    shown_at user_id query_id query_photo_id photo_id position interaction country dwell_seconds arm keyword
""".split()  # noqa: SIM905

_SECOND_SERVICE_SINCE = datetime.fromisoformat("2025-10-01T00:00:00+00:00")
_COLLECTED_SHARE = 0.7
_TOPICS = {
    ("group", "animal"): "Animals",
    ("group", "food"): "Food & Drink",
    ("group", "building"): "Architecture & Interiors",
    ("group", "vehicle"): "Travel",
    ("group", "plant"): "Nature",
    ("style", "mono"): "Black & White",
    ("style", "vintage"): 'The "Good Old Days"',
    ("scene", "city"): "Street Photography",
    ("scene", "beach"): "Summer by the Sea",
}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write one part file with its header; return the number of rows."""
    lines = [encode(row) for row in rows]
    path.write_bytes(b"".join([encode(columns), *lines]))
    return len(lines)


def photo_rows(
    photos: Sequence[Photo], suffixes: Sequence[str], conversions: Sequence[int], seed: int
) -> list[list[str]]:
    """Return the photos table; columns that no stage reads are empty.

    `conversions` counts those of each photo in the log: the totals include them.
    """
    rng = np.random.default_rng([seed, 6])
    rows = []
    for photo, suffix, count in zip(photos, suffixes, conversions, strict=True):
        look, name = photo.look, f"{photo.photographer:03d}"
        age_days = (LOG_END - photo.submitted_at) / timedelta(days=1)
        downloads = count + int(rng.poisson(0.03 * age_days * np.exp(0.7 * photo.popularity)))
        title = f'"Untitled", {photo.description}' if rng.random() < 0.01 else photo.description
        place = PLACES.get(dict(photo.hidden).get("place", ""))
        row = {
            "photo_id": photo.photo_id,
            "photo_url": f"https://photos.example.invalid/photos/{photo.photo_id}",
            "photo_image_url": f"https://images.example.invalid/{photo.photo_id}{suffix}",
            "photo_submitted_at": timestamp(photo.submitted_at),
            "photo_featured": _flag(rng.random() < 0.05 + 0.1 * (photo.popularity > 1)),
            "photo_width": str(look.width),
            "photo_height": str(look.height),
            "photo_description": "" if rng.random() < 0.1 else title,
            "photographer_username": f"photographer{name}",
            "photographer_first_name": "Photographer",
            "photographer_last_name": name,
            "photo_location_country": "" if place is None or rng.random() < 0.4 else place.country,
            "stats_views": str(downloads * 14 + int(rng.integers(40))),
            "stats_downloads": str(downloads),
            "ai_description": describe(look),
        }
        rows.append([row.get(column, "") for column in PHOTOS])
    return rows


def keyword_rows(photos: Sequence[Photo], seed: int) -> list[list[str]]:
    """Return the keywords table; which service gave a confidence depends on when the photo came."""
    rng = np.random.default_rng([seed, 7])
    rows = []
    for photo in photos:
        for keyword in photo.keywords:
            confidence = "" if keyword.confidence is None else str(keyword.confidence)
            is_second = photo.submitted_at >= _SECOND_SERVICE_SINCE
            is_third = keyword.confidence is not None and rng.random() < 0.3
            rows.append(
                [
                    photo.photo_id,
                    keyword.word,
                    "" if is_second else confidence,
                    confidence if is_second else "",
                    _flag(keyword.suggested_by is not None),
                    keyword.suggested_by or "",
                    _flag(is_third),
                    _flag(is_third and rng.random() < 0.6),
                ]
            )
    return rows


def collection_rows(photos: Sequence[Photo], seed: int) -> list[list[str]]:
    """Return the collections table: topics by what is visible, collections of people by what is not."""
    rng = np.random.default_rng([seed, 8])
    rows = []
    for photo in photos:
        for label in photo.labels:
            if label in _TOPICS:
                title, kind = _TOPICS[label], "topic"
            elif label[0] in {"place", "occasion", "theme"}:
                title, kind = lexicon()[label]["en"][0].title(), "collection"
            else:
                continue
            if rng.random() < _COLLECTED_SHARE:
                collected = photo.submitted_at + (LOG_END - photo.submitted_at) * float(rng.random())
                rows.append([photo.photo_id, short_id(title), title, timestamp(collected), kind])
    return rows


def color_rows(photos: Sequence[Photo], colours: Sequence[Sequence[Colour]]) -> list[list[str]]:
    """Return the colors table."""
    return [
        [
            photo.photo_id,
            "{:02X}{:02X}{:02X}".format(*colour.rgb),
            *map(str, colour.rgb),
            colour.name,
            f"{colour.percent:.4f}".rstrip("0").rstrip("."),
            f"{colour.score:.6f}".rstrip("0").rstrip("."),
        ]
        for photo, found in zip(photos, colours, strict=True)
        for colour in found
    ]


def conversion_records(log: Sequence[Conversion], photos: Sequence[Photo]) -> list[Row]:
    """Return the records of the conversions table, all of them good."""
    return [
        Row(
            (
                timestamp(conversion.at),
                "download",
                conversion.query,
                photos[conversion.photo].photo_id,
                conversion.visitor.visitor_id,
                conversion.visitor.country,
                conversion.visitor.device,
                conversion.orientation,
                conversion.ordering,
                str(conversion.position),
            )
        )
        for conversion in log
    ]


def impression_rows(impressions: Sequence[Impression], photos: Sequence[Photo]) -> list[list[str]]:
    """Return the impressions table."""
    return [
        [
            timestamp(one.at),
            one.visitor.visitor_id,
            one.query_id,
            "" if one.query_photo is None else photos[one.query_photo].photo_id,
            photos[one.photo].photo_id,
            str(one.position),
            "click" if one.dwell_seconds is not None else "",
            one.visitor.country,
            "" if one.dwell_seconds is None else f"{one.dwell_seconds:.1f}",
            one.arm,
            one.query,
        ]
        for one in impressions
    ]


def _flag(value: bool) -> str:
    return "t" if value else "f"
