"""The log and its photos after validation, and where every image is."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

import pyarrow as pa

from jobs.datasets.schema import BOOL, F64, I32, I64, STR, TIMESTAMP, Dataset, Facts, Table, schema

HIDDEN_TABLE = Table(
    "hidden",
    # photos that no search may show, from a country, or from anywhere where country is null
    schema(photo_id=STR, country=STR, reason=STR),
    may_be_empty=True,
)


class RowCounts(Facts):
    """Rows of a table: `input` are `clean` or `quarantined`.

    Of the quarantined, `unreadable` are those whose columns cannot be told apart, and `without_photo` those that are
    bad only because the table of photos lacks their photo or holds it as bad. `repaired` is the part of the clean that
    was repaired.
    """

    input: int
    clean: int
    quarantined: int
    unreadable: int
    without_photo: int = 0
    repaired: int


class ValidatedFacts(Facts):
    """What validation found; dicts are by table.

    `new_rows` counts the rows that the night before did not have. `read_by` has digests of what the reading of a row
    depends on besides its bytes. `last_days` has the last plausible day of tables with times. `reasons` and `repairs`
    count rows by name, `warnings` the rows that fail a rule which only warns. `data_docs` is the file that the Data
    Docs begin with.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"new_rows", "read_by"})

    dataset_version: str
    part_files: dict[str, list[str]]
    missing_columns: dict[str, list[str]]
    last_days: dict[str, date]
    read_by: dict[str, str]
    counts: dict[str, RowCounts]
    new_rows: dict[str, int]
    bad_share: dict[str, float]
    reasons: dict[str, dict[str, int]]
    repairs: dict[str, dict[str, int]]
    warnings: dict[str, dict[str, int]]
    data_docs: str


VALIDATED = Dataset(
    "validated",
    "clean",
    (
        Table(
            "photos",
            schema(
                photo_id=STR,
                image_url=STR,
                submitted_at=TIMESTAMP,
                is_featured=BOOL,
                width=I32,
                height=I32,
                description=STR,
                ai_description=STR,
                photographer=STR,
                country=STR,
                stats_views=I64,
                stats_downloads=I64,
                blur_hash=STR,
            ),
        ),
        Table(
            "keywords",
            # confidence is in 0..1: the strongest AI confidence / 100, 1.0 where a user suggested the keyword
            schema(photo_id=STR, keyword=STR, confidence=F64, is_suggested_by_user=BOOL),
            may_be_empty=True,
        ),
        Table(
            "conversions",
            schema(
                converted_at=TIMESTAMP,
                conversion_type=STR,
                weight=F64,  # of the type, in training
                query=STR,  # in the normal form of `models.text`
                query_raw=STR,
                photo_id=STR,
                visitor_id=STR,  # keyed pseudonym, never the id of the log
                country=STR,
                device_type=STR,
                orientation_filter=STR,
                ordering=STR,
                position=I32,  # place among the results, from 1; null where the log does not say
                source_file=STR,
                source_line=I64,
            ),
        ),
        Table(
            "collections",
            schema(
                photo_id=STR,
                collection_id=STR,
                collection_title=STR,
                collected_at=TIMESTAMP,
                collection_type=STR,
            ),
            may_be_empty=True,
        ),
        Table(
            "colors",
            schema(
                photo_id=STR,
                hex=STR,
                red=I32,
                green=I32,
                blue=I32,
                keyword=STR,
                coverage=F64,
                score=F64,
            ),
            may_be_empty=True,
        ),
        HIDDEN_TABLE,
        Table(
            "impressions",  # a photo in a list that was shown; of several rows of one, each has another interaction
            schema(
                shown_at=TIMESTAMP,
                visitor_id=STR,
                query_id=STR,  # keyed digest of the id of the search, null for a list asked for by a photo
                query=STR,  # normalised as in conversions; null where the log does not say
                query_photo_id=STR,  # the photo that was asked with
                photo_id=STR,
                position=I32,
                interaction=STR,  # shown | click | like | dislike | download
                country=STR,
                arm=STR,  # what made the list, as the site calls it
                dwell_seconds=F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "quarantine",
            schema(
                table=STR,
                source_file=STR,
                source_line=I64,  # line the record begins on; the header is line 1
                line_count=I32,
                reasons=pa.list_(STR),
                record=STR,  # visitor ids replaced by pseudonyms; null where the columns cannot be told apart
                record_sha256=STR,
            ),
            may_be_empty=True,
        ),
        Table(
            "repairs",
            schema(table=STR, source_file=STR, source_line=I64, repair=STR, column=STR),
            may_be_empty=True,
        ),
        Table(
            "units",  # what the tables were read in: stretches of part files
            schema(
                table=STR,
                source_file=STR,
                first_line=I64,
                row_count=I64,
                sha256=STR,  # of the bytes
                kept=STR,  # the name under which the lake's store of rows keeps them
                is_new=BOOL,  # the night before did not have these rows
            ),
        ),
    ),
    ValidatedFacts,
)
"""Files: validation.json (suite results and counts), data_docs/** (the Great Expectations site)."""


class ImagesFacts(Facts):
    """How many photos have which status, and how many are without an image by `reasons`.

    `downloaded_count` and `hashed_count` say what had to be done that was not known from before. `picture_rules` names
    what the verdicts of table `files` depend on besides the bytes.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"downloaded_count", "hashed_count", "seconds"})

    present_count: int
    fetched_count: int
    missing_count: int
    refused_count: int
    failed_count: int
    reasons: dict[str, int]
    downloaded_count: int
    hashed_count: int
    byte_count: int
    picture_rules: str
    seconds: float


IMAGES = Dataset(
    "images",
    "clean",
    (
        Table(
            "images",
            schema(
                photo_id=STR,
                status=STR,  # present | fetched | missing | refused | failed
                reason=STR,  # null when present or fetched
                uri=STR,  # where the bytes are; null when there are none
                byte_count=I64,
                sha256=STR,
            ),
        ),
        Table(
            "files",  # the photos' files in the data set, so that the next night need not read unchanged ones
            schema(
                photo_id=STR,
                uri=STR,
                byte_count=I64,
                modified_ns=I64,  # null where the file system does not tell
                sha256=STR,  # null where the bytes were not read
                reason=STR,  # why the file is no picture; null when it is one
            ),
            may_be_empty=True,
        ),
    ),
    ImagesFacts,
)
