"""Whether a data set describes its photos at all, seen before a night begins. No Spark."""

from __future__ import annotations

import csv
import io
from itertools import islice

import fsspec

from jobs.ingest.layout import LAYOUT, PartFile, find_parts

DESCRIPTIONS = ("photo_description", "ai_description")
_LOOKED_AT = 200_000  # rows of a part file; beyond, it counts as described


def has_descriptions(folder: str) -> bool:
    """Return whether any photo of a data set has a description, or may have one.

    Stops at the first one. False is certain: every row of every part was looked at.
    """
    return any(_is_described(part) for part in find_parts(folder, LAYOUT["photos"]))


def _is_described(part: PartFile) -> bool:
    places = [part.header.index(name) for name in DESCRIPTIONS if name in part.header]
    if not places:
        return False
    fs, path = fsspec.url_to_fs(part.uri)
    with fs.open(path, "rb") as file:
        file.seek(part.header_bytes)
        lines = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        rows = csv.reader(lines, delimiter=part.delimiter.decode())
        try:
            for row in islice(rows, _LOOKED_AT):
                if any(row[place].strip() for place in places if place < len(row)):
                    return True
            return next(rows, None) is not None
        except csv.Error:  # the stage's own reader may make more of it
            return True
