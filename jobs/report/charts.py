"""Charts as geometry: which values are drawn, and the scales of their axes. `charts.html.j2` draws them as inline SVG.

Positions across are percent of the chart's width and those down are pixels, so that a chart fills any width while
its text keeps its size. Colours are classes of the style sheet. Equal input gives equal output, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from jobs.report import formats

Shape = Literal["circle", "diamond", "square"]
Spell = Callable[[float], str]

ROW_HEIGHT = 40
SPREAD = 4
"""How far apart the marks of one row lie, so that none hides another."""
AXIS_HEIGHT = 26
LINE_HEIGHT = 230
_LINE_TOP = 16
_LINE_BOTTOM = LINE_HEIGHT - AXIS_HEIGHT


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis: percent across or pixels down."""

    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Scale:
    """A linear map of values [low, high] to positions [start, end]; values outside land outside."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the position of a value, rounded so that equal inputs print equally."""
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round values that cover [low, high], the first at or below, the last at or above.

    >>> nice_ticks(0.13, 0.71)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    >>> nice_ticks(5, 5)
    [5.0, 5.2, 5.4, 5.6, 5.8, 6.0]
    """
    span = high - low
    if span < 1e-8 * max(1.0, abs(low), abs(high)):
        high, span = low + 1.0, 1.0  # as good as equal
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    for factor in (1, 2, 5, 10, 20, 50, 100):
        step = factor * magnitude
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last == first:
            last += 1
        if last - first + 1 <= most:
            return [round(i * step, 10) for i in range(first, last + 1)]
    raise AssertionError(f"no step covers [{low}, {high}]")


def step_ticks(last: float, least: float = 0) -> list[tuple[float, str]]:
    """Return round numbers of steps from `least` to the last one, with their labels."""
    return [(value, formats.count(round(value))) for value in nice_ticks(0, last) if least <= value <= last]


@dataclass(frozen=True)
class Mark:
    """A value with its interval; `note` is what a pointer over it reads."""

    value: float
    low: float | None
    high: float | None
    css: str
    shape: Shape
    note: str


@dataclass(frozen=True)
class DotRow:
    """One row of a dot chart: its label, the texts at its right end, and its marks. Narrow pages leave out `detail`."""

    label: str
    value: str
    detail: str
    marks: tuple[Mark, ...]
    is_strong: bool = False


@dataclass(frozen=True)
class DotChart:
    """Dots with intervals, one row under another, on a common axis. A line crosses all rows at the value `line_at`."""

    key: str
    title: str
    description: str
    rows: tuple[DotRow, ...]
    across: Scale
    ticks: tuple[Tick, ...]
    row_height: int
    line_at: float | None
    spread: int = SPREAD

    @property
    def axis_y(self) -> int:
        """Where the axis lies."""
        return len(self.rows) * self.row_height + 6

    @property
    def height(self) -> int:
        """The height of the whole."""
        return self.axis_y + AXIS_HEIGHT


def dot_chart(
    key: str,
    title: str,
    description: str,
    rows: Sequence[DotRow],
    format_tick: Spell,
    *,
    include: Sequence[float] = (),
    line_at: float | None = None,
) -> DotChart:
    """Return the chart of `rows`; `key` is unique in the page, `include` are values the axis must cover.

    `line_at` is a value that all rows are to be seen against.
    """
    values = [*include, *([] if line_at is None else [line_at])]
    for mark in (mark for row in rows for mark in row.marks):
        values += [value for value in (mark.value, mark.low, mark.high) if value is not None]
    tick_values = nice_ticks(min(values), max(values))
    across = Scale(tick_values[0], tick_values[-1], 1.5, 98.5)
    ticks = _across_ticks(across, [(value, format_tick(value)) for value in tick_values])
    row_height = ROW_HEIGHT + (max(len(row.marks) for row in rows) - 1) * SPREAD
    return DotChart(key, title, description, tuple(rows), across, ticks, row_height, line_at)


def _across_ticks(scale: Scale, values: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    """Return the ticks; labels at the very edges are written inwards."""
    places = [(scale.at(value), label) for value, label in values]
    return tuple(Tick(at, label, "start" if at < 3 else "end" if at > 96 else "middle") for at, label in places)


def percent_tick(share: float) -> str:
    """Return a round share as percent, with no more digits than it needs.

    >>> percent_tick(0.6), percent_tick(0.125)
    ('60%', '12.5%')
    """
    return f"{100 * share:g}%"


@dataclass(frozen=True)
class Series:
    """One line: its points (x, y) in order of x; `best` is the index of the point to be marked."""

    name: str
    css: str
    points: tuple[tuple[float, float], ...]
    best: int | None = None
    has_dots: bool = True


def steps_of(curves: pl.DataFrame) -> tuple[tuple[float, float], ...]:
    """Return the points of a curve from the columns step and value."""
    return tuple(curves.sort("step").select(pl.col("step").cast(pl.Float64), "value").iter_rows())


@dataclass(frozen=True)
class LineChart:
    """Lines over a common pair of axes."""

    key: str
    title: str
    description: str
    series: tuple[Series, ...]
    across: Scale
    down: Scale
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    spell_x: Spell
    format_value: Spell
    dots_up_to: int
    height: int = LINE_HEIGHT
    axis_y: int = _LINE_BOTTOM

    def path(self, line: Series) -> str:
        """Return a line as an SVG path in percent across and pixels down."""
        return "M" + " L".join(f"{self.across.at(x):g},{self.down.at(y):g}" for x, y in line.points)

    def note(self, line: Series, point: tuple[float, float]) -> str:
        """Return what a pointer over a point reads."""
        return f"{line.name}, {self.spell_x(point[0])}: {self.format_value(point[1])}"


def line_chart(
    key: str,
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    x_ticks: Sequence[tuple[float, str]],
    x_label: str,
    format_tick: Spell,
    format_value: Spell,
    format_x: Spell = "{:g}".format,
    include: Sequence[float] = (),
    dots_up_to: int = 40,
) -> LineChart:
    """Return the chart of `series`, each with at least one point. `x_ticks` are (value, label).

    `include` are values that the upright axis must cover. Lines of more than `dots_up_to` points have no dots.
    """
    ys = [*include, *(y for line in series for _, y in line.points)]
    xs = [*(x for line in series for x, _ in line.points), *(x for x, _ in x_ticks)]
    y_values = nice_ticks(min(ys), max(ys), 5)
    across = Scale(min(xs), max(xs), 9.0, 97.5)
    down = Scale(y_values[0], y_values[-1], _LINE_BOTTOM, _LINE_TOP)
    labels = dict(x_ticks)
    return LineChart(
        key=key,
        title=title,
        description=description,
        series=tuple(series),
        across=across,
        down=down,
        x_ticks=_across_ticks(across, x_ticks),
        y_ticks=tuple(Tick(down.at(value), format_tick(value)) for value in y_values),
        x_label=x_label,
        spell_x=lambda x: labels.get(x) or format_x(x),
        format_value=format_value,
        dots_up_to=dots_up_to,
    )
