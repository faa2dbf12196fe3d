"""Figures of arms as tables and charts show them: with their intervals, beside one another, less one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import polars as pl

from jobs.report import formats
from jobs.report.charts import DotChart, DotRow, Mark, dot_chart, percent_tick
from jobs.report.names import Arm

Row = Mapping[str, Any]
"""A row of a table: a figure has `value`, a difference `difference`, both have the ends `low` and `high`."""
Outcome = Literal["better", "worse", "undecided"]
PRIMARY, PRIMARY_K = "hit_rate", 10
CUTOFFS = (1, 5, 10, 25)


class Spelling(NamedTuple):
    """How a figure and its interval are spelled."""

    value: Callable[[float | None], str]
    interval: Callable[[float | None, float | None], str]


PERCENT = Spelling(formats.percent, formats.percent_interval)
SCORE = Spelling(formats.score, formats.score_interval)
POINTS = Spelling(formats.points, formats.points_interval)
SIGNED_SCORE = Spelling(formats.signed_score, formats.signed_score_interval)


@dataclass(frozen=True)
class Cell:
    """A figure and its interval, ready to print; `is_best` in its column."""

    value: str = formats.MISSING
    interval: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Difference:
    """A difference ready to print; `side` is what its interval says."""

    cell: Cell = Cell()
    side: Outcome = "undecided"
    p_value: str = formats.MISSING
    detectable: str = formats.MISSING


def by_key(frame: pl.DataFrame, *names: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of a table by the values of some of its columns; what is no number is None."""
    return {tuple(row[name] for name in names): row for row in frame.fill_nan(None).iter_rows(named=True)}


def cell(row: Row | None, spelling: Spelling = SCORE, best: float | None = None) -> Cell:
    """Return a figure, marked if it is the best; a dash for one that is not there."""
    if row is None:
        return Cell()
    is_best = best is not None and row["value"] == best
    return Cell(spelling.value(row["value"]), spelling.interval(row["low"], row["high"]), is_best)


def column(rows: Sequence[Row | None], spelling: Spelling = SCORE) -> tuple[Cell, ...]:
    """Return figures, the best of them marked."""
    best = max((row["value"] for row in rows if row and row["value"] is not None), default=None)
    return tuple(cell(row, spelling, best) for row in rows)


def side_by_side(arms: Iterable[Arm], columns: Mapping[str, tuple[Cell, ...]], **words: str) -> dict[str, Any]:
    """Return a table of arms: `columns` by heading, a cell for every arm; `words` are its title and the like."""
    return {
        "headings": tuple(columns),
        "rows": tuple(zip(arms, zip(*columns.values(), strict=True), strict=True)),
    } | words


def difference(row: Row | None, spelling: Spelling = SIGNED_SCORE) -> Difference:
    """Return a difference; what is not there is a dash."""
    if row is None or row["difference"] is None:
        return Difference()
    return Difference(
        cell=Cell(spelling.value(row["difference"]), spelling.interval(row["low"], row["high"])),
        side=outcome(row["low"], row["high"]),
        p_value=formats.p_value(row.get("p_value")),
        detectable=spelling.value(row.get("detectable")).lstrip("+"),
    )


def outcome(low: float | None, high: float | None) -> Outcome:
    """Return what an interval of a difference says: better, worse, or undecided when it holds 0 or is missing.

    >>> outcome(0.01, 0.02), outcome(-0.02, -0.01), outcome(-0.01, 0.01)
    ('better', 'worse', 'undecided')
    """
    if low is None or high is None or formats.is_missing(low) or formats.is_missing(high):
        return "undecided"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"


def arms_chart(
    key: str,
    title: str,
    figures: Sequence[tuple[Arm, Row]],
    strong: str,
    *,
    spelling: Spelling = PERCENT,
    detail: str = "",
    note: str = "{name}: {value} ({interval})",
    spoken: str = "{name}: {value}",
    lead: str = "Dots with 95% intervals.",
    line_at: float | None = None,
) -> DotChart:
    """Return one figure of every arm with its interval, that of the arm `strong` in bold.

    `detail` is what a wide page adds to a figure, `note` what a pointer over its mark reads, and `spoken`, after the
    `lead`, what is read aloud. A line stands at `line_at`.
    """
    rows, texts = [], []
    for one, row in figures:
        words = {
            "name": one.name,
            "value": spelling.value(row["value"]),
            "interval": spelling.interval(row["low"], row["high"]),
        }
        mark = Mark(row["value"], row["low"], row["high"], one.css, one.shape, note.format(**words))
        rows.append(DotRow(one.name, words["value"], detail.format(**words), (mark,), is_strong=one.key == strong))
        texts.append(spoken.format(**words))
    return dot_chart(
        key,
        title,
        f"{lead} {'. '.join(texts)}.",
        rows,
        percent_tick if spelling == PERCENT else "{:g}".format,
        include=(0.0,),
        line_at=line_at,
    )
