"""The nights so far: hit rate@10 of what was live and of every arm over the run dates, this night included."""

from __future__ import annotations

from datetime import date
from typing import Any

from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart, percent_tick
from jobs.report.inputs import Night
from jobs.report.live_day import live_days
from jobs.report.names import Arm, arm, in_order

MOST_NIGHTS = 30


def history(night: Night) -> dict[str, Any]:
    """Return the latest nights that were evaluated, up to `MOST_NIGHTS`, newest first; a single one has no chart."""
    manifests = [*night.earlier, night.manifest(EVALUATION)][-MOST_NIGHTS:]
    found = {date.fromisoformat(m.partition["run_date"]): EvaluationFacts.of(m) for m in manifests}
    arms = in_order({key for facts in found.values() for key in facts.hit_rate_at_10})
    live = live_days(night)
    rows = [
        {
            "run_date": day,
            "has_report": day.isoformat() in night.reported_dates,
            "facts": facts,
            "live": live.get(day),
            "compared": arm(facts.verdict.compared_with),
        }
        for day, facts in reversed(found.items())
    ]
    return {"arms": arms, "rows": rows, "chart": _chart(found, arms) if len(found) > 1 else None}


def _chart(found: dict[date, EvaluationFacts], arms: list[Arm]) -> LineChart:
    rates = {day: facts.hit_rate_at_10 for day, facts in found.items()}
    series = []
    for one in arms:
        points = tuple((float(d.toordinal()), by_arm[one.key]) for d, by_arm in rates.items() if one.key in by_arm)
        series.append(Series(one.name, one.css, points))
    days = list(rates)
    step = -(-len(days) // 5)
    ends = "; ".join(f"{line.name}: {formats.percent(line.points[-1][1])} on the last night" for line in series)
    return line_chart(
        "history",
        "Hit rate@10 over the nights",
        f"From {days[0].isoformat()} to {days[-1].isoformat()}. {ends}.",
        series,
        x_ticks=[(float(d.toordinal()), formats.short_day(d.toordinal())) for d in days[::-1][::step][::-1]],
        format_x=formats.short_day,
        x_label="run date",
        format_tick=percent_tick,
        format_value=formats.percent,
    )
