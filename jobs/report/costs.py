"""What the night cost: what every stage used, at the prices given, beside the nights before and the time there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from jobs.config.params.night import NIGHT_BEGINS, NIGHT_ENDS
from jobs.config.params.release import PublishReportParams
from jobs.datasets.reports import Usage
from jobs.lake.manifest import Manifest
from jobs.report import formats
from jobs.report.history import MOST_NIGHTS
from jobs.report.inputs import Night


class CostRow(NamedTuple):
    """A row of either table. A stage done before was paid for by the run that did it."""

    name: str
    cells: tuple[str, ...]
    is_done_before: bool = False


def usage_of(night: Night) -> Usage:
    """Return what the night used: its own stages, not those that were done before."""
    return _usage([manifest for manifest in night.inputs.values() if manifest.night == night.run_id])


def _usage(made: list[Manifest]) -> Usage:
    ends = [manifest.started_at + timedelta(seconds=manifest.duration_seconds) for manifest in made]
    elapsed = max(ends) - min(manifest.started_at for manifest in made) if made else timedelta()
    return Usage(
        elapsed_seconds=round(elapsed.total_seconds(), 3),
        seconds=round(sum(manifest.duration_seconds for manifest in made), 3),
        cpu_seconds=round(sum(manifest.cpu_seconds or 0.0 for manifest in made), 3),
        gpu_seconds=round(sum(manifest.gpu_seconds or 0.0 for manifest in made), 3),
        byte_count=sum(manifest.own_bytes for manifest in made),
    )


def cost_of(used: Usage, params: PublishReportParams) -> float:
    """Return the price of what was used, keeping the bytes for a month included.

    >>> used = Usage(elapsed_seconds=0, seconds=0, cpu_seconds=3600, gpu_seconds=1800, byte_count=2 * 10**9)
    >>> cost_of(used, PublishReportParams())
    1.34
    """
    hours = (used.cpu_seconds * params.cpu_hour_price + used.gpu_seconds * params.gpu_hour_price) / 3600
    return round(hours + used.byte_count / 1e9 * params.gb_month_price, 6)


def costs(night: Night, params: PublishReportParams) -> dict[str, Any]:
    """Return the tables, at the prices of `params` for all nights, so that they compare; nights are newest first."""
    tonight, before = usage_of(night), night.earlier_usage
    nights = [*before.items(), (night.ctx.run_date.isoformat(), tonight)][-MOST_NIGHTS:]

    def cells(used: Usage, *more: str) -> tuple[str, ...]:
        cost = _money(cost_of(used, params), params)
        return (_number(used.cpu_seconds), _number(used.gpu_seconds), *more, formats.size(used.byte_count), cost)

    def stage_cells(used: Usage, runs: Iterable[Manifest]) -> tuple[str, ...]:
        rows = sum(sum(manifest.row_counts.values()) for manifest in runs)
        return (formats.duration(used.seconds), *cells(used, formats.count(rows)))

    def night_cells(used: Usage) -> tuple[str, ...]:
        elapsed = used.elapsed_seconds
        return (formats.duration(elapsed), formats.percent(elapsed / _window_seconds()), *cells(used))

    stages = []
    for name, manifest in night.inputs.items():
        is_done_before = manifest.night != night.run_id
        used = _usage([] if is_done_before else [manifest])
        stages.append(CostRow(night.stages[name], stage_cells(used, [manifest]), is_done_before))
    return {
        "title": f"The night cost {_money(cost_of(tonight, params), params)}",
        "window": _window(tonight),
        "params": params,
        "is_all_here": night.ctx.settings.spark_master.startswith("local"),
        "stages": stages,
        "total": CostRow("Total", stage_cells(tonight, night.inputs.values())),
        "trend": _trend(tonight, list(before.values())[-MOST_NIGHTS:], params),
        "nights": [CostRow(run_date, night_cells(used)) for run_date, used in reversed(nights)],
    }


def _number(seconds: float) -> str:
    """Return seconds: whole ones, and of less than ten a tenth as well; none is 0.

    >>> _number(0.0), _number(0.04), _number(9.94), _number(12345.6)
    ('0', '0.0', '9.9', '12,346')
    """
    return "0" if seconds == 0 else f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"


def _money(amount: float, params: PublishReportParams) -> str:
    """Return an amount with its currency, of small ones four digits behind the point.

    >>> _money(0, PublishReportParams()), _money(0.01234, PublishReportParams()), _money(1234.5, PublishReportParams())
    ('0.00 USD', '0.0123 USD', '1,234.50 USD')
    """
    return f"{amount:,.4f} {params.currency}" if 0 < amount < 1 else f"{amount:,.2f} {params.currency}"


def _window_seconds() -> float:
    day = datetime(2000, 1, 1)
    length = datetime.combine(day, NIGHT_ENDS) - datetime.combine(day, NIGHT_BEGINS)
    return (length % timedelta(days=1)).total_seconds()


def _window(tonight: Usage) -> str:
    """Return how the night fits into its window, in words."""
    length = _window_seconds()
    window = f"{formats.duration(length)} between {NIGHT_BEGINS:%H:%M} and {NIGHT_ENDS:%H:%M} UTC"
    if tonight.elapsed_seconds == 0:
        return f"Every stage was done before: nothing of the {window} was needed."
    ends = datetime.combine(datetime(2000, 1, 1), NIGHT_BEGINS) + timedelta(seconds=tonight.elapsed_seconds)
    done = f"Begun at {NIGHT_BEGINS:%H:%M} it is done at {ends:%H:%M}"
    left = length - tonight.elapsed_seconds
    late = "." if left >= 0 else f", {formats.duration(-left)} too late."
    return (
        f"From its first stage to its last the night took {formats.duration(tonight.elapsed_seconds)}, "
        f"{formats.percent(tonight.elapsed_seconds / length)} of the {window}. {done}{late}"
    )


def _trend(tonight: Usage, before: list[Usage], params: PublishReportParams) -> str:
    """Return how tonight compares with the middle of the nights before, in words."""
    if not before:
        return "This is the first night whose use was measured: there is nothing to compare it with yet."
    figures: dict[str, Callable[[Usage], float]] = {
        "duration": lambda used: used.elapsed_seconds,
        "CPU-seconds": lambda used: used.cpu_seconds,
        "bytes": lambda used: used.byte_count,
        "cost": lambda used: cost_of(used, params),
    }
    usual = {name: median(map(figure, before)) for name, figure in figures.items()}
    now = {name: figure(tonight) for name, figure in figures.items()}
    changes = ", ".join(f"{name} {formats.relative(now[name] - usual[name], usual[name])}" for name in usual)
    nights = "the night before" if len(before) == 1 else f"the median of the {len(before)} nights before"
    return f"All nights at tonight's prices. Against {nights}: {changes}."
