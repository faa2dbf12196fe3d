"""Charts as geometry: where every mark, tick and label goes. `charts.html.j2` draws them as inline SVG.

Positions across are percent of the chart's width and those down are pixels, so that a chart fills any width while
its text keeps its size. Colours are classes of the style sheet. Equal input gives equal output, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Shape = Literal["circle", "diamond", "square"]

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


@dataclass(frozen=True)
class Mark:
    """A value with its interval, as the caller gives it; `note` is what a pointer over it reads."""

    value: float
    low: float | None
    high: float | None
    css: str
    shape: Shape
    note: str


@dataclass(frozen=True)
class PlacedMark:
    """A mark with its position: percent across, pixels down."""

    x: float
    y: float
    low_x: float | None
    high_x: float | None
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
class PlacedRow:
    """A row with its position in pixels down."""

    label: str
    value: str
    detail: str
    label_y: float
    marks: tuple[PlacedMark, ...]
    is_strong: bool


@dataclass(frozen=True)
class DotChart:
    """Dots with intervals, one row under another, on a common axis. `line_x` is where a line crosses all rows."""

    key: str
    title: str
    description: str
    rows: tuple[PlacedRow, ...]
    ticks: tuple[Tick, ...]
    height: int
    axis_y: float
    line_x: float | None


def dot_chart(
    key: str,
    title: str,
    description: str,
    rows: Sequence[DotRow],
    format_tick: Callable[[float], str],
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
    scale = Scale(tick_values[0], tick_values[-1], 1.5, 98.5)
    most_marks = max(len(row.marks) for row in rows)
    row_height = ROW_HEIGHT + (most_marks - 1) * SPREAD
    axis_y = len(rows) * row_height + 6
    return DotChart(
        key=key,
        title=title,
        description=description,
        rows=tuple(_place_row(row, i * row_height, scale) for i, row in enumerate(rows)),
        ticks=_across_ticks(scale, [(value, format_tick(value)) for value in tick_values]),
        height=axis_y + AXIS_HEIGHT,
        axis_y=axis_y,
        line_x=None if line_at is None else scale.at(line_at),
    )


def _place_row(row: DotRow, top: float, scale: Scale) -> PlacedRow:
    line_y = top + 30
    marks = tuple(
        PlacedMark(
            x=scale.at(mark.value),
            y=line_y + i * SPREAD,
            low_x=None if mark.low is None else scale.at(mark.low),
            high_x=None if mark.high is None else scale.at(mark.high),
            css=mark.css,
            shape=mark.shape,
            note=mark.note,
        )
        for i, mark in enumerate(row.marks)
    )
    return PlacedRow(row.label, row.value, row.detail, top + 16, marks, row.is_strong)


def _across_ticks(scale: Scale, values: Sequence[tuple[float, str]]) -> tuple[Tick, ...]:
    """Return the ticks; labels at the very edges are written inwards."""
    ticks = []
    for value, label in values:
        at = scale.at(value)
        ticks.append(Tick(at, label, "start" if at < 3 else "end" if at > 96 else "middle"))
    return tuple(ticks)


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


@dataclass(frozen=True)
class PlacedPoint:
    """A point with its position (percent across, pixels down) and what a pointer over it reads."""

    x: float
    y: float
    note: str


@dataclass(frozen=True)
class PlacedSeries:
    """A line as an SVG path in percent across and pixels down, with its single points where they are few."""

    name: str
    css: str
    path: str
    points: tuple[PlacedPoint, ...]
    best: PlacedPoint | None


@dataclass(frozen=True)
class LineChart:
    """Lines over a common pair of axes."""

    key: str
    title: str
    description: str
    series: tuple[PlacedSeries, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    height: int
    axis_y: float


def line_chart(
    key: str,
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    x_ticks: Sequence[tuple[float, str]],
    x_label: str,
    format_tick: Callable[[float], str],
    format_value: Callable[[float], str],
    format_x: Callable[[float], str] = "{:g}".format,
    include: Sequence[float] = (),
    dots_up_to: int = 40,
) -> LineChart:
    """Return the chart of `series`, each with at least one point. `x_ticks` are (value, label).

    `include` are values that the upright axis must cover. Lines of more than `dots_up_to` points have no dots.
    """
    ys = [*include, *(y for line in series for _, y in line.points)]
    xs = [x for line in series for x, _ in line.points]
    y_values = nice_ticks(min(ys), max(ys), 5)
    xs += [x for x, _ in x_ticks]
    across = Scale(min(xs), max(xs), 9.0, 97.5)
    down = Scale(y_values[0], y_values[-1], _LINE_BOTTOM, _LINE_TOP)
    labels = dict(x_ticks)

    def spell_x(x: float) -> str:
        return labels[x] if x in labels else format_x(x)

    return LineChart(
        key=key,
        title=title,
        description=description,
        series=tuple(_place_series(line, across, down, spell_x, format_value, dots_up_to) for line in series),
        x_ticks=_across_ticks(across, x_ticks),
        y_ticks=tuple(Tick(down.at(value), format_tick(value)) for value in y_values),
        x_label=x_label,
        height=LINE_HEIGHT,
        axis_y=_LINE_BOTTOM,
    )


def _place_series(
    line: Series,
    across: Scale,
    down: Scale,
    spell_x: Callable[[float], str],
    format_value: Callable[[float], str],
    dots_up_to: int,
) -> PlacedSeries:
    placed = [
        PlacedPoint(across.at(x), down.at(y), f"{line.name}, {spell_x(x)}: {format_value(y)}") for x, y in line.points
    ]
    return PlacedSeries(
        name=line.name,
        css=line.css,
        path="M" + " L".join(f"{point.x:g},{point.y:g}" for point in placed),
        points=tuple(placed) if line.has_dots and len(placed) <= dots_up_to else (),
        best=None if line.best is None else placed[line.best],
    )
