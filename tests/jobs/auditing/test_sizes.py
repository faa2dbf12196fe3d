"""Sizes against the last night: what stops growing, doubles, shrinks or is filled no more is named, nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from jobs.auditing.sizes import TIMES, Sizes, odd_sizes, size_rows
from jobs.datasets.clean import VALIDATED

AS_OF = datetime(2025, 12, 29, tzinfo=UTC)
LAST = AS_OF - timedelta(days=1)
EVENTS = {"quarantine", "repairs", "units"}


def sizes(rows: int = 100, grown: int = 0, **changes: Any) -> Sizes:
    """Return a table of so many rows, all filled, and so many more since."""
    filled = {"a": rows, "b": rows // 2}
    return replace(Sizes(rows + grown, rows, grown, 20, {**filled, "a": rows + grown}, filled), **changes)


def night(**tables: Sizes) -> dict[str, Sizes]:
    return {table: tables.get(table, sizes(grown=10)) for table in TIMES}


def named(tonight: dict[str, Sizes], last: dict[str, Sizes], photos: tuple[int, int] = (100, 100)) -> list[str]:
    found = odd_sizes(tonight, size_rows(last), photos, (AS_OF, LAST), 1.5)
    assert {fault.check for fault in found} <= {"sizes"}
    return [fault.text for fault in found]


def test_a_night_like_the_last_is_not_named() -> None:
    assert named(night(), night(**{table: sizes() for table in TIMES})) == []


def test_every_table_of_the_log_is_compared() -> None:
    assert {table.name for table in VALIDATED.tables} - EVENTS == set(TIMES)
    for table, time in TIMES.items():
        assert time is None or time in VALIDATED.table(table).schema.names


@pytest.mark.parametrize("table", TIMES)
@pytest.mark.parametrize("rows", [0, 50, 200])
def test_a_table_that_doubles_shrinks_or_is_gone_is_named(table: str, rows: int) -> None:
    found = named(night(**{table: sizes(rows, grown=10)}), night(**{table: sizes() for table in TIMES}))
    if table == "hidden" and rows > 100:  # a site may hide as many as it likes
        assert found == []
    else:
        assert [text.split(" ")[:3] for text in found] == [[table, "has", f"{rows:,}"]]


@pytest.mark.parametrize(("table", "is_logged"), [("conversions", True), ("photos", True), ("keywords", False)])
def test_a_table_that_nothing_came_to_is_named(table: str, is_logged: bool) -> None:
    found = named(night(**{table: sizes(grown=0)}), night(**{table: sizes() for table in TIMES}))
    day = "2025-12-28" if table == "conversions" else "2025-12-01"
    text = f"{table} has no row since {day}, and 20 in as many days before"
    assert found == ([text] if is_logged else [])
    few = night(**{table: sizes(grown=0, before_recent=9)})
    assert named(few, night(**{table: sizes() for table in TIMES})) == []


def test_a_column_that_is_filled_no_more_is_named_and_one_that_begins_is_not() -> None:
    last = night(**{table: sizes() for table in TIMES})
    emptied = sizes(grown=10, filled_then={"a": 0, "b": 50})
    assert named(night(photos=emptied), last) == [
        "photos.a is filled in 0 of 100 rows, and was in 100 of 100 the last night"
    ]
    begun = sizes(grown=10, filled_then={"a": 100, "b": 100, "new": 100})
    assert named(night(photos=begun), last) == []
    assert named(night(), night(photos=sizes(filled={"a": 0, "b": 50}))) == []


def test_a_column_of_a_table_that_shrank_as_a_whole_is_not_named_besides() -> None:
    assert len(named(night(photos=sizes(50, grown=10)), night(**{table: sizes() for table in TIMES}))) == 1


def test_tables_without_times_are_compared_by_the_number_of_photos() -> None:
    last = night(**{table: sizes() for table in TIMES})
    assert named(night(keywords=sizes(200)), last, photos=(200, 100)) != []  # colors are lost
    doubled = {table: sizes(200) for table in ("keywords", "colors", "hidden")}
    assert named(night(**doubled), last, photos=(200, 100)) == []
    assert named(night(**doubled), last) == [
        f"{table} has 200 rows for 100 photos, the last night had 100 for 100" for table in ("keywords", "colors")
    ]


def test_a_few_rows_say_nothing() -> None:
    last = night(**{table: sizes(9) for table in TIMES})
    assert named(night(**{table: sizes(0, grown=1) for table in TIMES}), last) == []
    assert named(night(**{table: sizes(900, grown=1) for table in TIMES}), last) == []


def test_what_the_next_night_reads() -> None:
    rows = size_rows(night()).filter(pl.col("table") == "photos").rows()
    assert rows == [("photos", None, 110), ("photos", "a", 110), ("photos", "b", 50)]
