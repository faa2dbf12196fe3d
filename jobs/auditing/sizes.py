"""How many rows the validated tables have, and in how many of them each column is filled, against the last night.

The audit derives the splits from the validated tables. What is wrong with these themselves, such as an export that came
twice or without its descriptions, shows in their sizes only. Tables with times are compared over what both nights could
know: rows before the last night's end. The others are compared by the number of photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from jobs.adapters.query_engine import Frame, QueryEngine
from jobs.auditing.violations import Violation
from jobs.datasets.clean import VALIDATED
from models.windows import in_words

TIMES: dict[str, str | None] = {
    "photos": "submitted_at",
    "conversions": "converted_at",
    "collections": "collected_at",
    "impressions": "shown_at",
    "keywords": None,
    "colors": None,
    "hidden": None,
}
"""The tables whose sizes are compared, and when their rows came, where they say so."""

_PATIENCE_DAYS = {"conversions": 1, "impressions": 1, "photos": 28, "collections": 28}
"""So long a table may stay without a new row: visitors come every day, photos and collections in batches."""

_FEW = 10
"""Of fewer rows nothing can be said. Where ten are to be expected, none at all comes by chance once in e^10 nights."""

_MAY_GROW = ("hidden",)  # a site may hide as many photos as it likes


@dataclass(frozen=True)
class Sizes:
    """Of one table: rows and, by column, filled ones; each before tonight's and before the last night's end.

    `recent` are the rows of the last days before tonight's end, `before_recent` of as many days before them. Without
    times both ends are the end of time.
    """

    rows: int
    rows_then: int
    recent: int
    before_recent: int
    filled: dict[str, int]
    filled_then: dict[str, int]


def count_rows(
    engine: QueryEngine, frames: dict[str, Frame], as_of: datetime, last_as_of: datetime
) -> dict[str, Sizes]:
    """Count in one pass over each table; `last_as_of` is where the last night ended."""
    parts = [engine.select(frames[table], *_counts(table, as_of, last_as_of)) for table in TIMES]
    counted = dict(engine.collect(engine.union(parts)).select("table", "counts").iter_rows())
    found = {}
    for table in TIMES:
        names = VALIDATED.table(table).schema.names
        rows, rows_then, recent, before_recent, *filled = counted[table]
        by_column = dict(zip(names, filled[: len(names)], strict=True))
        by_column_then = dict(zip(names, filled[len(names) :], strict=True))
        found[table] = Sizes(rows, rows_then, recent, before_recent, by_column, by_column_then)
    return found


def _counts(table: str, as_of: datetime, last_as_of: datetime) -> tuple[str, str]:
    """Return expressions for a table's name and its counts, in the order of `Sizes`."""
    time = TIMES[table]
    days = timedelta(days=_patience(table, as_of, last_as_of)) if time else timedelta()
    now, then = _before(time, as_of), _before(time, last_as_of)
    recent = f"{_before(time, as_of)} AND NOT {_before(time, as_of - days)}"
    before_recent = f"{_before(time, as_of - days)} AND NOT {_before(time, as_of - 2 * days)}"
    conditions = [now, then, recent, before_recent]
    names = VALIDATED.table(table).schema.names
    conditions += [f"{known} AND {name} IS NOT NULL" for known in (now, then) for name in names]
    counts = ", ".join(f"COUNT_IF({condition})" for condition in conditions)
    return f"'{table}' AS `table`", f"ARRAY({counts}) AS counts"


def _before(time: str | None, instant: datetime) -> str:
    return f"{time} < TIMESTAMP '{instant.isoformat()}'" if time else "TRUE"


def _patience(table: str, as_of: datetime, last_as_of: datetime) -> int:
    return max(_PATIENCE_DAYS[table], (as_of - last_as_of).days)


def size_rows(tonight: dict[str, Sizes]) -> pl.DataFrame:
    """Return the rows of the table `sizes`, which the next night compares with."""
    rows = [
        (table, column, count)
        for table, sizes in tonight.items()
        for column, count in ({None: sizes.rows} | sizes.filled).items()
    ]
    return pl.DataFrame(rows, schema=["table", "column", "row_count"], orient="row")


def odd_sizes(
    tonight: dict[str, Sizes],
    last_night: pl.DataFrame,
    photo_counts: tuple[int, int],
    ends: tuple[datetime, datetime],
    max_ratio: float,
) -> list[Violation]:
    """Name tables that grew or shrank too much, that nothing came to, and columns that are filled more seldom.

    `last_night` is the table `sizes` of that night. More than `max_ratio` times as many rows as then are too many, and
    fewer than one part in `max_ratio` of them too few. `photo_counts` are all photos, and `ends` the ends, of tonight
    and of the last night.
    """
    earlier = {(table, column): count for table, column, count in last_night.iter_rows()}
    (photos, photos_then), (as_of, last_as_of) = photo_counts, ends
    found = []
    for table, sizes in tonight.items():
        before = earlier.get((table, None), 0)
        is_dated = TIMES[table] is not None
        expected = before if is_dated else before * photos / max(1, photos_then)
        if _is_odd(sizes.rows_then, expected, max_ratio, may_grow=table in _MAY_GROW):
            now, then = (
                (f"before {in_words(last_as_of)}", "")
                if is_dated
                else (f"for {photos:,} photos", f" for {photos_then:,}")
            )
            found.append(f"{table} has {sizes.rows_then:,} rows {now}, the last night had {before:,}{then}")
        elif is_dated and not sizes.recent and sizes.before_recent >= _FEW:
            since = as_of - timedelta(days=_patience(table, as_of, last_as_of))
            found.append(
                f"{table} has no row since {in_words(since)}, and {sizes.before_recent:,} in as many days before"
            )
        for column, count in sizes.filled_then.items():
            filled = earlier.get((table, column), 0)
            if _is_odd(count, filled * sizes.rows_then / max(1, before), max_ratio, may_grow=True):
                found.append(
                    f"{table}.{column} is filled in {count:,} of {sizes.rows_then:,} rows, and was in {filled:,} of "
                    f"{before:,} the last night"
                )
    return [Violation("sizes", text) for text in found]


def _is_odd(count: int, expected: float, max_ratio: float, *, may_grow: bool) -> bool:
    """Return whether a count is too far from what was expected; where few rows were, nothing can be said.

    >>> [_is_odd(count, 100, 1.5, may_grow=False) for count in (0, 66, 67, 150, 151)]
    [True, True, False, False, True]
    >>> _is_odd(0, 9, 1.5, may_grow=False), _is_odd(90, 9, 1.5, may_grow=False)
    (False, False)
    """
    if expected < _FEW:
        return False
    return count * max_ratio < expected or (count > expected * max_ratio and not may_grow)
