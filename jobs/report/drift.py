"""Drift: what of the newest searches, photos and conversions is unlike those before."""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.datasets.evaluation import DRIFT, DriftFacts
from jobs.datasets.releases import GATE
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart
from jobs.report.inputs import Night
from jobs.report.names import arm


def drift(night: Night) -> dict[str, Any]:
    """Return what is unlike before, as the gate found it, and the log."""
    facts, newest = night.facts(DriftFacts), night.table(DRIFT, "newest")
    limits = night.manifest(GATE).params
    tested = dict(newest.select("vectors", "p_value").iter_rows())
    if facts.new_queries is not None:
        tested["queries of the last day"] = facts.new_queries.p_value
    test_count = len(tested) + (facts.conversions.low_day is not None)
    least = None if limits["min_drift_p"] is None else limits["min_drift_p"] / max(1, test_count)
    return {
        "facts": facts,
        "limits": limits,
        "least_p": least,
        "newest": newest.to_dicts(),
        "moved": [what for what, p in tested.items() if least is not None and p < least],
        "arm": arm(facts.arm).name,
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
