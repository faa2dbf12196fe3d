"""Whether a data set has any words for its photos, seen before a night begins. No Spark."""

from __future__ import annotations

from itertools import islice

import fsspec

from jobs.ingest.layout import LAYOUT
from jobs.ingest.parquet_files import groups, read_texts
from jobs.ingest.records import split_records
from jobs.ingest.source import UNIT_BYTES, PartFile, find_parts
from jobs.ingest.text_files import open_text, skip, stretches

_OF_TABLE = {"photos": ("photo_description", "ai_description"), "keywords": ("keyword",)}
_LOOKED_AT = 200_000  # records of a part file; beyond, it counts as having some


def has_words(folder: str) -> bool:
    """Return whether any photo of a data set has a description or a keyword, or may have one.

    Reading stops at the first one. It returns False only after reading every record of every part.
    """
    return any(
        _has_some(part, names) for table, names in _OF_TABLE.items() for part in find_parts(folder, LAYOUT[table])
    )


def _has_some(part: PartFile, names: tuple[str, ...]) -> bool:
    if part.is_parquet:
        found = [name for name in names if name in part.header]
        return any(
            read_texts(part.uri, group.first, group.count, found).null_count().sum_horizontal().item()
            < group.row_count * len(found)
            for group in groups(part.uri, UNIT_BYTES)
        )
    places = [part.header.index(name) for name in names if name in part.header]
    _, path = fsspec.url_to_fs(part.uri)
    with open_text(part.uri) as file:
        skip(file, part.header_bytes)
        pieces = stretches(file, part.form, UNIT_BYTES, path) if places else ()
        records = (record for data in pieces for record in split_records(data, part.form))
        for record in islice(records, _LOOKED_AT):
            if record.fields is not None and any(record.fields[place].strip() for place in places):
                return True
        return next(records, None) is not None
