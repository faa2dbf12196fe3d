"""The nights so far: hit rate@10 of every arm over the run dates, this night included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.lake.manifest import Manifest
from jobs.report import formats
from jobs.report.arms import Arm, arm, in_order
from jobs.report.charts import LineChart, Series, line_chart, percent_tick
from jobs.report.inputs import Night, run_date_of

MOST_NIGHTS = 30


@dataclass(frozen=True)
class NightRow:
    """One night of the table; `link` is its report beside this one, or None if there is none."""

    run_date: str
    is_tonight: bool
    link: str | None
    challenger: str
    compared: str
    difference: str
    interval: str
    query_count: str
    hit_rates: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """The nights, newest first; `chart` is None while there is only one."""

    arms: tuple[Arm, ...]
    rows: tuple[NightRow, ...]
    chart: LineChart | None


def history(night: Night) -> History:
    """Return the latest nights that were evaluated, up to `MOST_NIGHTS`."""
    manifests = [*night.earlier, night.manifest(EVALUATION)][-MOST_NIGHTS:]
    rates = {run_date_of(manifest): EvaluationFacts.of(manifest).hit_rate_at_10 for manifest in manifests}
    arms = tuple(in_order({key for by_arm in rates.values() for key in by_arm}))
    rows = tuple(_row(night, manifest, rates[run_date_of(manifest)], arms) for manifest in reversed(manifests))
    return History(arms, rows, _chart(rates, arms) if len(rates) > 1 else None)


def _row(night: Night, manifest: Manifest, rates: dict[str, float], arms: tuple[Arm, ...]) -> NightRow:
    run_date = manifest.partition["run_date"]
    facts = EvaluationFacts.of(manifest)
    verdict = facts.verdict
    is_tonight = run_date == night.ctx.run_date.isoformat()
    return NightRow(
        run_date=run_date,
        is_tonight=is_tonight,
        link=f"{run_date}.html" if run_date in night.reported_dates and not is_tonight else None,
        challenger=arm(verdict.challenger).name,
        compared=arm(verdict.compared_with).name,
        difference=formats.points(verdict.difference),
        interval=formats.points_interval(verdict.low, verdict.high),
        query_count=formats.count(facts.test_query_count),
        hit_rates=tuple(formats.percent(rates.get(one.key)) for one in arms),
    )


def _chart(rates: dict[date, dict[str, float]], arms: tuple[Arm, ...]) -> LineChart:
    series = []
    for one in arms:
        points = tuple((float(d.toordinal()), by_arm[one.key]) for d, by_arm in rates.items() if one.key in by_arm)
        series.append(Series(one.name, one.css, points))
    dates = list(rates)
    step = -(-len(dates) // 5)
    shown = dates[::-1][::step][::-1]
    ends = "; ".join(f"{line.name}: {formats.percent(line.points[-1][1])} on the last night" for line in series)
    return line_chart(
        "history",
        "Hit rate@10 over the nights",
        f"From {dates[0].isoformat()} to {dates[-1].isoformat()}. {ends}.",
        series,
        x_ticks=[(float(d.toordinal()), formats.short_day(d.toordinal())) for d in shown],
        format_x=formats.short_day,
        x_label="run date",
        format_tick=percent_tick,
        format_value=formats.percent,
    )
