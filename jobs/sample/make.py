"""Writes the sample catalogue: pictures, tables, and what is known about them, into one folder."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import date, timedelta
from pathlib import Path

from jobs.errors import BadInput
from jobs.sample import tables
from jobs.sample.choices import PLACE_EXPONENT, Conversion, Market, make_conversions
from jobs.sample.drawing import render
from jobs.sample.faults import COLUMNS, Row, encode, spoil
from jobs.sample.impressions import make_impressions
from jobs.sample.pixels import Colour, main_colours
from jobs.sample.visitors import make_visits
from jobs.sample.world import LOG_END, Photo, make_photos

LAST_COMPLETE_DAY: date = (LOG_END - timedelta(days=1)).date()
DEFAULT_SEED = 20260426
_FIRST_PART = 0.6  # of the conversions; the others go into a second part file


@dataclass(frozen=True)
class SampleSize:
    """How much is generated. The log always covers the same eight weeks."""

    photo_count: int = 2400
    conversion_count: int = 26_000


TINY = SampleSize(photo_count=120, conversion_count=1500)


@dataclass(frozen=True)
class Fault:
    """Where one faulty record is: its file, the line it begins on (the header is line 1), and how many lines it has."""

    file: str
    line: int
    line_count: int
    fault: str


@dataclass(frozen=True)
class SampleInfo:
    """What was written: rows per table (`conversions` with the faulty ones), and every fault put in."""

    last_complete_day: date
    counts: dict[str, int]
    faults: tuple[Fault, ...]


def make_sample(folder: Path, size: SampleSize | None = None, seed: int = DEFAULT_SEED) -> SampleInfo:
    """Generate the sample catalogue into `folder`, which must not exist or be empty; whole or not at all.

    Equal size and seed give equal bytes, whatever the date. Raises `BadInput` if there is something already.
    """
    size = size or SampleSize()
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(
            "folder_not_empty",
            f"{folder} is not empty: give a new folder for the sample, or delete this one first",
            folder=folder,
        )
    unfinished = folder.with_name(f".{folder.name}.unfinished-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        info = _write(unfinished, size, seed)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return info


def simulate(size: SampleSize, seed: int) -> tuple[Market, list[Conversion]]:
    """Return the photos and the log, without any picture or file."""
    market = Market(make_photos(size.photo_count, seed), seed)
    return market, make_conversions(market, make_visits(size.conversion_count, seed), seed)


def _write(folder: Path, size: SampleSize, seed: int) -> SampleInfo:
    market, log = simulate(size, seed)
    photos = market.photos
    suffixes = [".png" if photo.look.variation % 4 == 0 else ".jpg" for photo in photos]
    colours = _write_pictures(folder / "photos", photos, suffixes)
    per_photo = Counter(conversion.photo for conversion in log)
    downloads = [per_photo[number] for number in range(len(photos))]
    rows = {
        "photos": (tables.PHOTOS, tables.photo_rows(photos, suffixes, downloads, seed)),
        "keywords": (tables.KEYWORDS, tables.keyword_rows(photos, seed)),
        "collections": (tables.COLLECTIONS, tables.collection_rows(photos, seed)),
        "colors": (tables.COLORS, tables.color_rows(photos, colours)),
        "impressions": (tables.IMPRESSIONS, tables.impression_rows(make_impressions(market, log, seed), photos)),
    }
    counts = {name: tables.write_table(folder / f"{name}.tsv000", *table) for name, table in rows.items()}
    submissions = [(photo.submitted_at, photo.photo_id) for photo in photos]
    records = spoil(tables.conversion_records(log, photos), submissions, seed)
    cut = int(len(records) * _FIRST_PART)
    faults: list[Fault] = []
    for name, part in (("conversions.tsv000", records[:cut]), ("conversions.tsv001", records[cut:])):
        faults += _write_conversions(folder / name, part)
    counts["conversions"] = len(records)
    facts = {
        "seed": seed,
        **asdict(size),
        "last_complete_day": LAST_COMPLETE_DAY.isoformat(),
        "rows": counts,
        "examination_exponent": PLACE_EXPONENT,
        "fault_counts": dict(sorted(Counter(fault.fault for fault in faults).items())),
        "faults": [astuple(fault) for fault in faults],
    }
    (folder / "sample.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return SampleInfo(LAST_COMPLETE_DAY, counts, tuple(faults))


def _write_pictures(folder: Path, photos: Sequence[Photo], suffixes: Sequence[str]) -> list[list[Colour]]:
    """Draw and write every picture; return their main colours."""
    folder.mkdir()
    colours = []
    for photo, suffix in zip(photos, suffixes, strict=True):
        image = render(photo.look)
        image.save(folder / f"{photo.photo_id}{suffix}", quality=90)  # PNG has no quality and ignores it
        colours.append(main_colours(image))
    return colours


def _write_conversions(path: Path, records: Sequence[Row]) -> list[Fault]:
    """Write one part file; return where its faults are."""
    faults, line, chunks = [], 2, [encode(COLUMNS)]
    for record in records:
        chunk = record.encode()
        line_count = chunk.count(b"\n")
        if record.fault:
            faults.append(Fault(path.name, line, line_count, record.fault))
        line += line_count
        chunks.append(chunk)
    path.write_bytes(b"".join(chunks))
    return faults
