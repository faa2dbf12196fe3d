"""Drift: what of the night's searches, photos and log is unlike what was before, and against which night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from jobs.datasets.evaluation import DRIFT, ConversionsFacts, DriftFacts
from jobs.datasets.releases import GATE
from jobs.report import formats
from jobs.report.arms import arm
from jobs.report.charts import LineChart, Series, line_chart
from jobs.report.inputs import Night
from jobs.report.ranking import Cell
from models.evaluation.statistics import holm

CLEAR = 0.05


@dataclass(frozen=True)
class ShareRow:
    """A share of the searches, tonight and on the night compared with; `css` is the class of a limit that is passed."""

    what: str
    tonight: str
    earlier: str
    change: str
    limit: str
    css: str


@dataclass(frozen=True)
class ShiftRow:
    """How far vectors lie from those of the night compared with."""

    what: str
    counts: str
    mean_cosine: str
    distance: Cell
    p_value: str
    limit: str
    css: str


@dataclass(frozen=True)
class Drift:
    """The section. `earlier` heads the column of the night compared with; `note` says what could not be compared."""

    title: str
    lead: str
    note: str
    earlier: str
    shares: tuple[ShareRow, ...]
    shifts: tuple[ShiftRow, ...]
    compared: str
    chart: LineChart
    chart_text: str


def drift(night: Night) -> Drift:
    """Return what moved since the night compared with, and the log's last weeks."""
    facts = night.facts(DriftFacts)
    limits = night.manifest(GATE).params
    shifts = night.table(DRIFT, "shifts")
    earlier = None if facts.earlier_run_date is None else date.fromisoformat(facts.earlier_run_date)
    return Drift(
        title=_title(earlier, shifts),
        lead=_lead(facts),
        note=f"Not compared: {facts.note}." if facts.note else "",
        earlier="Before" if earlier is None else f"Night of {formats.short_day(earlier.toordinal())}",
        shares=tuple(_share_rows(facts, limits)),
        shifts=tuple(_shift_row(row, limits["max_embedding_shift"]) for row in shifts.iter_rows(named=True)),
        compared=_compared(facts),
        chart=_chart(night.table(DRIFT, "days")),
        chart_text=_chart_text(facts.conversions, limits["max_conversion_drop"]),
    )


def _title(earlier: date | None, shifts: pl.DataFrame) -> str:
    """Return what moved: surely, by p-values adjusted for their number."""
    if earlier is None:
        return "Drift: no night to compare with yet"
    since = f"since the night of {formats.day(earlier)}"
    if shifts.is_empty():
        return f"Drift: vectors could not be compared with the night of {formats.day(earlier)}"
    moved = [what for what, p in zip(shifts["vectors"], holm(shifts["p_value"].to_numpy()), strict=True) if p < CLEAR]
    return f"Drift: {' and '.join(moved)} moved {since}" if moved else f"Drift: nothing moved clearly {since}"


def _lead(facts: DriftFacts) -> str:
    new, before = facts.unseen, facts.earlier_unseen
    than = "" if before is None else f" ({formats.percent(before.query_share)} on that night)"
    return (
        f"{formats.percent(new.query_share)} of tonight's {formats.count(new.search_count)} searches were for "
        f"queries that nobody had asked in the training window{than}; {formats.percent(new.country_share)} came "
        "from countries it never had."
    )


def _share_rows(facts: DriftFacts, limits: dict[str, Any]) -> Iterator[ShareRow]:
    before, new = facts.earlier_unseen, facts.unseen
    for what, tonight, earlier, limit in (
        ("Queries", new.query_share, before.query_share if before else None, limits["max_unseen_query_share"]),
        ("Countries", new.country_share, before.country_share if before else None, limits["max_unseen_country_share"]),
    ):
        yield ShareRow(
            what=f"{what} that training never had",
            tonight=formats.percent(tonight),
            earlier=formats.percent(earlier),
            change=formats.points(None if earlier is None else tonight - earlier),
            limit=formats.percent(limit, 0),
            css="worse" if limit is not None and tonight > limit else "",
        )


def _shift_row(row: dict[str, Any], limit: float | None) -> ShiftRow:
    return ShiftRow(
        what=row["vectors"].capitalize(),
        counts=f"{formats.count(row['count'])} and {formats.count(row['earlier_count'])}",
        mean_cosine=formats.score(row["mean_cosine"]),
        distance=Cell(_distance(row["mmd_squared"]), f"{_distance(row['low'])} to {_distance(row['high'])}"),
        p_value=formats.p_value(row["p_value"]),
        limit=formats.MISSING if limit is None else f"{limit:g}",
        css="worse" if limit is not None and row["low"] > limit else "",
    )


def _distance(value: float) -> str:
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _compared(facts: DriftFacts) -> str:
    if facts.arm is None or facts.earlier_arm is None:
        return ""
    mine, theirs = arm(facts.arm).name, arm(facts.earlier_arm).name
    other = "" if mine == theirs else f" (then “{theirs}”)"
    return f"Vectors of “{mine}”{other}, the same model on both nights."


def _chart_text(found: ConversionsFacts, limit: float | None) -> str:
    drop, per_week = found.drop, found.per_week
    text = f"{_daily(found.last_week)} in the last week"
    if drop is None:
        return f"{text}; the log is too short for more."
    change = f"{formats.percent(abs(drop))} {'fewer' if drop > 0 else 'more'} than the {_daily(found.before)} before"
    trend = "" if per_week is None else f"; the trend is {formats.points(per_week)}% a week"
    most = "" if limit is None else f". At most {formats.percent(limit, 0)} fewer are within the gate's limit"
    return f"{text}, {change}{trend}{most}."


def _daily(value: float | None) -> str:
    return formats.MISSING if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _chart(days: pl.DataFrame) -> LineChart:
    xs = [float(day.toordinal()) for day in days["conversion_date"]]
    ends = sorted({0, len(xs) - 1})
    series = [
        Series("Conversions", "conversions", tuple(zip(xs, map(float, days["conversion_count"]), strict=True))),
        Series("Trend", "trend", tuple((xs[i], max(0.0, days["trend"][i])) for i in ends), has_dots=False),
    ]
    first, last = str(days["conversion_date"][0]), str(days["conversion_date"][-1])
    counts = days["conversion_count"].to_list()
    step = 7 * -(-len(xs) // 35) if len(xs) > 7 else 1
    return line_chart(
        "conversions",
        "Conversions per day",
        f"From {first} to {last}: between {min(counts):,} and {max(counts):,} a day, "
        f"{counts[-1]:,} on the last; the trend goes from {_daily(days['trend'][0])} to "
        f"{_daily(days['trend'][-1])}.",
        series,
        x_ticks=[(x, formats.short_day(x)) for x in xs[::-1][::step][::-1]],
        x_label="day, UTC",
        format_tick=lambda value: f"{value:,g}",
        format_value=lambda value: f"{value:,.0f}",
        format_x=formats.short_day,
        include=(0.0,),
        dots_up_to=400,
    )
