"""What was shown: how often photos were taken and how long they were looked at, and at which places people look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.datasets.features import IMPRESSIONS, ImpressionsFacts
from jobs.report import formats
from jobs.report.inputs import Night
from jobs.report.ranking import Cell

ALL_LISTS = "All lists"
_NAMED_PLACES = 3


@dataclass(frozen=True)
class RateRow:
    """Lists of an arm, or a place of all lists: `counts` are of photos shown, visitors, photos taken, times logged."""

    name: str
    counts: tuple[str, ...]
    taken: Cell
    dwell: Cell
    examination: Cell


@dataclass(frozen=True)
class Shown:
    """The section. `note` says why no place could be told, where that is so."""

    title: str
    lead: str
    note: str
    arms: tuple[RateRow, ...]
    places: tuple[RateRow, ...]


def shown(night: Night) -> Shown | None:
    """Return the section, or None where the night has no log of what was shown."""
    rates = night.table(IMPRESSIONS, "rates")
    if rates.is_empty():
        return None
    facts = night.facts(ImpressionsFacts)
    told = night.table(IMPRESSIONS, "examination")
    looked = {row["position"]: row for row in told.iter_rows(named=True)}
    whole = rates.filter(pl.col("position").is_null())
    places = rates.filter(pl.col("arm").is_null(), pl.col("position").is_not_null()).sort("position")
    return Shown(
        title=_title(whole.row(0, named=True)),
        lead=_lead(facts),
        note=facts.note,
        arms=tuple(_row(row["arm"] or ALL_LISTS, row, None) for row in whole.iter_rows(named=True)),
        places=tuple(
            _row(str(row["position"]), row, looked.get(row["position"])) for row in places.iter_rows(named=True)
        ),
    )


def _title(whole: dict[str, Any]) -> str:
    return f"What was shown: {formats.percent(whole['taken_share'])} of the photos shown were taken"


def _lead(facts: ImpressionsFacts) -> str:
    return (
        f"{formats.count(facts.list_count)} lists were shown from {facts.first_at:%Y-%m-%d} to "
        f"{facts.last_at:%Y-%m-%d}. A photo is taken if it was clicked, liked or downloaded. The figures are as "
        "logged: they say how lists did as they were, not how tonight's arms would do."
    )


def _row(name: str, row: dict[str, Any], looked: dict[str, Any] | None) -> RateRow:
    told = looked or {}
    return RateRow(
        name=name,
        counts=tuple(formats.count(row[f"{what}_count"]) for what in ("shown", "visitor", "taken", "dwell")),
        taken=Cell(formats.percent(row["taken_share"]), formats.percent_interval(row["taken_low"], row["taken_high"])),
        dwell=Cell(*_figures(row["dwell_seconds"], row["dwell_low"], row["dwell_high"], 1)),
        examination=Cell(*_figures(told.get("examination"), told.get("low"), told.get("high"), 2)),
    )


def _figures(value: float | None, low: float | None, high: float | None, digits: int) -> tuple[str, str]:
    if formats.is_missing(value):
        return formats.MISSING, ""
    if formats.is_missing(low) or formats.is_missing(high):
        return f"{value:,.{digits}f}", formats.MISSING
    return f"{value:,.{digits}f}", f"{low:,.{digits}f} to {high:,.{digits}f}"
