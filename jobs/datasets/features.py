"""The windows of the log, the audit of them, and what was shown."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise

from jobs.config.params.ingest import EIGHTY_TWENTY, Protocol
from jobs.datasets.schema import BOOL, F64, I32, I64, STR, TIMESTAMP, Dataset, Facts, Instant, Table, schema

_SPLIT = schema(
    visitor_id=STR,  # pseudonym: tells visitors apart and enters no choice, for each installation has its own
    visitor=I64,  # the visitor's number by first appearance in the log: what choices go by
    query=STR,
    country=STR,
    photo_id=STR,
    converted_at=TIMESTAMP,  # the first of the repeated conversions inside the window
    conversion_count=I64,
    weight=F64,  # the largest of them
    device_type=STR,  # this and what follows: of that first conversion; null where the log does not say
    orientation_filter=STR,
    position=I32,
)


class SplitsFacts(Facts):
    """The windows, half-open, and what went where.

    `conversions` counts the log's rows by where they went (they add up to the log), `photos_by_age` the corpus by the
    window in which a photo was submitted. `shard_count` is into how many files by photo the tables of training are
    cut. `max_ranked_searches` is how many searches of the test window are ranked at most.
    """

    protocol: Protocol
    train_start: Instant
    train_end: Instant
    validation_end: Instant
    test_end: Instant
    shard_count: int
    conversions: dict[str, int]
    photos_by_age: dict[str, int]
    max_ranked_searches: int

    @property
    def windows(self) -> dict[str, tuple[datetime, datetime]]:
        """Start (inclusive) and end (exclusive) of the windows `train`, `validation` and `test`."""
        ends = (self.train_start, self.train_end, self.validation_end, self.test_end)
        return dict(zip(("train", "validation", "test"), pairwise(ends), strict=True))

    @property
    def takes_all_photos(self) -> bool:
        """Whether every photo is a candidate for every query, or only those there when it was asked."""
        return self.protocol == EIGHTY_TWENTY


SPLITS = Dataset(
    "splits",
    "features",
    (
        Table("train", _SPLIT),
        Table("validation", _SPLIT, may_be_empty=True),  # by the protocol 80/20 with nothing kept aside
        Table("test", _SPLIT),
        Table(
            # the corpus at as_of: nothing submitted at or after it, but all by the protocol 80/20; no totals known only
            # at dump time
            "photos",
            schema(
                photo_id=STR,
                submitted_at=TIMESTAMP,
                description=STR,
                photographer=STR,
                is_in_train=BOOL,  # submitted before the training window ended
            ),
        ),
        Table("photo_keywords", schema(photo_id=STR, keyword=STR, confidence=F64), may_be_empty=True),
    ),
    SplitsFacts,
)


class LeakAuditFacts(Facts):
    """How many checks were made, and how many violations they found; all photos, those of the future as well.

    `compared_with` is the run date of the night that sizes were compared with, None on a first night.
    """

    check_count: int
    violation_count: int
    photo_count: int
    compared_with: date | None


LEAK_AUDIT = Dataset(
    "leak_audit",
    "features",
    (
        Table("findings", schema(check=STR, status=STR, violation_count=I64, detail=STR)),
        Table("sizes", schema(table=STR, column=STR, row_count=I64)),  # before the night's end; null: rows, else filled
    ),
    LeakAuditFacts,
)


class ImpressionsFacts(Facts):
    """What was shown from the training window's start to the run date.

    `note` says why nothing was measured, or why no place could be told; it is empty if both were. `window_count` counts
    the impressions of the training window. `first_at` and `last_at` are None where there is no impression.
    """

    note: str
    impression_count: int
    list_count: int
    visitor_count: int
    window_count: int
    first_at: Instant | None
    last_at: Instant | None


IMPRESSIONS = Dataset(
    "impressions",
    "features",
    (
        Table(
            "rates",  # as logged; a null arm is all lists, a null position all places
            schema(
                arm=STR,
                position=I32,
                shown_count=I64,
                visitor_count=I64,
                taken_count=I64,
                taken_share=F64,
                taken_low=F64,
                taken_high=F64,
                dwell_count=I64,  # photos whose time was logged
                dwell_seconds=F64,
                dwell_low=F64,
                dwell_high=F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "examination",  # how often a place is looked at, in times of the first; of the training window
            schema(position=I32, examination=F64, low=F64, high=F64, shown_count=I64),
            may_be_empty=True,
        ),
        Table(
            "pairs",  # of the training window
            schema(query=STR, country=STR, photo_id=STR, position=I32, shown_count=I64, taken_count=I64),
            may_be_empty=True,
        ),
    ),
    ImpressionsFacts,
)
