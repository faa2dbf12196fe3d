"""What is made of single values of another site's tables: times of every form, texts that are numbers or none."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from jobs.catalogues.mapping import Number, Time
from jobs.catalogues.rows import Columns


def times(values: list[Any], **mapping: str) -> list[tuple[str | None, str | None]]:
    """Return what is read of times, and why there is none."""
    frame = pl.DataFrame({"t": values})
    made = frame.select(Columns(frame.schema, "a file").time(Time(column="t", **mapping))).unnest("t")
    return list(made.select("at", "fault").iter_rows())


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-01T10:00:00Z",
        "2025-02-01T10:00+0000",
        "2025-02-01T10:00:00+00",
        "2025-02-01 11:00:00.000+01:00",
        "2025-02-01 05:00:00 -0500",
        "2025-02-01 10:00:00 UTC",
        "20250201T100000Z",
        "2025-02-01T10:00:00,0",
        "2025-W05-6T10:00",
        "1738404000",
        "1738404000000",
        1738404000,
        1738404000.0,
        1738404000000,
        1738404000000000,
    ],
)
def test_a_time_is_read_in_every_form(text: Any) -> None:
    assert times([text]) == [("2025-02-01 10:00:00.000000", None)]


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2025-13-01", "12.5", "10:00", "2025-02-01T25:00", "99999999999999999999", "0001-01-01T00:00+05:00"],
)
def test_what_is_no_time_is_unreadable_and_not_missing(text: str) -> None:
    assert times([text, None, " "]) == [(None, "unreadable_time"), (None, "no_time"), (None, "no_time")]


def test_an_hour_that_the_clocks_skip_or_repeat_has_its_own_reasons() -> None:
    local = ["2025-03-30 02:30:00", "2025-10-26 02:30:00", "2025-10-26 03:30:00"]
    expected = [(None, "local_time_never"), (None, "local_time_twice"), ("2025-10-26 02:30:00.000000", None)]
    assert times(local, timezone="Europe/Berlin") == expected
    assert times(local, timezone="Europe/Berlin", format="%Y-%m-%d %H:%M:%S") == expected


def test_a_number_that_means_a_time_before_1990_needs_its_unit() -> None:
    assert times([86_400]) == [(None, "unreadable_time")]
    assert times([86_400], unit="s") == times(["86400000"], unit="ms") == [("1970-01-02 00:00:00.000000", None)]


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("12.50 EUR", ".", 12.5),
        ("Rs. 1,299", ".", 1299.0),
        ("1e3", ".", 1000.0),
        ("-5", ".", -5.0),
        ("1.299,50 €", ",", 1299.5),
        ("12 345", ".", 12345.0),
        ("3/10", ".", None),
        ("5 10", ".", None),
        ("1,5", ".", None),
        ("1.2.3", ".", None),
        ("1.5", ",", None),
        ("free", ".", None),
    ],
)
def test_what_is_not_one_number_is_none(text: str, decimal: Any, number: float | None) -> None:
    frame = pl.DataFrame({"n": [text]})
    assert frame.select(Columns(frame.schema, "a file").number(Number(column="n", decimal=decimal))).item() == number
