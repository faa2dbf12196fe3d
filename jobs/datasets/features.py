"""The windows of the log, the audit of them, and what was shown."""

from __future__ import annotations

from jobs.datasets.schema import BOOL, F64, I32, I64, STR, TIMESTAMP, Dataset, Table, schema

_SPLIT = schema(
    visitor_id=STR,
    query=STR,
    country=STR,
    photo_id=STR,
    converted_at=TIMESTAMP,  # the first of the repeated conversions inside the window
    conversion_count=I64,
    device_type=STR,  # this and what follows: of that first conversion; null where the log does not say
    orientation_filter=STR,
    position=I32,
)


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
)
"""Facts: protocol, the windows (train_start, train_end, validation_end, test_end; ISO 8601, half-open), row counts."""


LEAK_AUDIT = Dataset(
    "leak_audit",
    "features",
    (Table("findings", schema(check=STR, status=STR, violation_count=I64, detail=STR)),),
)


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
)
"""Facts: note, impression_count, list_count, visitor_count, window_count, first_at, last_at: see the stage."""
