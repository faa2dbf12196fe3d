"""Drift: what of the night's searches, photos and log is unlike what was before, and against which night."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from jobs.datasets.evaluation import DRIFT, DriftFacts
from jobs.datasets.releases import GATE
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart
from jobs.report.inputs import Night
from jobs.report.names import arm


def drift(night: Night) -> dict[str, Any]:
    """Return what moved since the night compared with, surely by p-values adjusted for their number, and the log."""
    facts, shifts = night.facts(DriftFacts), night.table(DRIFT, "shifts")
    adjusted = (shifts["p_value"] * shifts.height).clip(0, 1)
    return {
        "facts": facts,
        "limits": night.manifest(GATE).params,
        "earlier": None if facts.earlier_run_date is None else date.fromisoformat(facts.earlier_run_date),
        "shifts": shifts.to_dicts(),
        "moved": [what for what, p in zip(shifts["vectors"], adjusted, strict=True) if p < 0.05],
        "compared": [arm(key).name for key in (facts.arm, facts.earlier_arm) if key is not None],
        "chart": _chart(night.table(DRIFT, "days")),
    }


def _chart(days: pl.DataFrame) -> LineChart:
    xs = [float(day.toordinal()) for day in days["conversion_date"]]
    ends = sorted({0, len(xs) - 1})
    counts, trend = days["conversion_count"].to_list(), days["trend"].to_list()
    step = 7 * -(-len(xs) // 35) if len(xs) > 7 else 1
    return line_chart(
        "conversions",
        "Conversions per day",
        f"From {days['conversion_date'][0]} to {days['conversion_date'][-1]}: between {min(counts):,} and "
        f"{max(counts):,} a day, {counts[-1]:,} on the last; the trend goes from {formats.daily(trend[0])} to "
        f"{formats.daily(trend[-1])}.",
        [
            Series("Conversions", "conversions", tuple(zip(xs, map(float, counts), strict=True))),
            Series("Trend", "trend", tuple((xs[i], max(0.0, trend[i])) for i in ends), has_dots=False),
        ],
        x_ticks=[(x, formats.short_day(x)) for x in xs[::-1][::step][::-1]],
        x_label="day, UTC",
        format_tick="{:,g}".format,
        format_value="{:,.0f}".format,
        format_x=formats.short_day,
        include=(0.0,),
        dots_up_to=400,
    )
