"""What the night cost: what every stage used, at the prices given, beside the nights before and the time there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from jobs.config.params.night import NIGHT_BEGINS, NIGHT_ENDS
from jobs.config.params.release import PublishReportParams
from jobs.datasets.reports import Usage
from jobs.lake.manifest import Manifest
from jobs.report import formats
from jobs.report.history import MOST_NIGHTS
from jobs.report.inputs import Night

COLUMNS = ("Time", "CPU-seconds", "GPU-seconds", "Rows", "Bytes", "Cost")
NIGHT_COLUMNS = ("From start to end", "Of the window", "CPU-seconds", "GPU-seconds", "Bytes", "Cost")


@dataclass(frozen=True)
class CostRow:
    """A row of either table. A stage done before was paid for by the run that did it."""

    name: str
    cells: tuple[str, ...]
    is_done_before: bool = False


@dataclass(frozen=True)
class Costs:
    """The section as a whole; `nights` are newest first, tonight at their head."""

    title: str
    window: str
    prices: str
    columns: tuple[str, ...]
    stages: tuple[CostRow, ...]
    total: CostRow
    trend: str
    night_columns: tuple[str, ...]
    nights: tuple[CostRow, ...]


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


def costs(night: Night, params: PublishReportParams) -> Costs:
    """Return the tables, at the prices of `params` for all nights, so that they compare."""
    tonight = usage_of(night)
    before = night.earlier_usage
    nights = [*before.items(), (night.ctx.run_date.isoformat(), tonight)][-MOST_NIGHTS:]
    return Costs(
        title=f"The night cost {_money(cost_of(tonight, params), params)}",
        window=_window(tonight),
        prices=_prices(night, params),
        columns=COLUMNS,
        stages=tuple(_stage_row(night, name, manifest, params) for name, manifest in night.inputs.items()),
        total=CostRow("Total", _cells(tonight, sum(_rows(m) for m in night.inputs.values()), params)),
        trend=_trend(tonight, list(before.values())[-MOST_NIGHTS:], params),
        night_columns=NIGHT_COLUMNS,
        nights=tuple(_night_row(run_date, usage, params) for run_date, usage in reversed(nights)),
    )


def _stage_row(night: Night, name: str, manifest: Manifest, params: PublishReportParams) -> CostRow:
    is_done_before = manifest.night != night.run_id
    used = _usage([] if is_done_before else [manifest])
    return CostRow(night.stages[name], _cells(used, _rows(manifest), params), is_done_before)


def _cells(used: Usage, row_count: int, params: PublishReportParams) -> tuple[str, ...]:
    return (
        formats.duration(used.seconds),
        _number(used.cpu_seconds),
        _number(used.gpu_seconds),
        formats.count(row_count),
        formats.size(used.byte_count),
        _money(cost_of(used, params), params),
    )


def _night_row(run_date: str, used: Usage, params: PublishReportParams) -> CostRow:
    return CostRow(
        run_date,
        (
            formats.duration(used.elapsed_seconds),
            formats.percent(used.elapsed_seconds / _window_seconds()),
            _number(used.cpu_seconds),
            _number(used.gpu_seconds),
            formats.size(used.byte_count),
            _money(cost_of(used, params), params),
        ),
    )


def _rows(manifest: Manifest) -> int:
    return sum(manifest.row_counts.values())


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


def _prices(night: Night, params: PublishReportParams) -> str:
    is_all_here = night.ctx.settings.spark_master.startswith("local")
    elsewhere = "" if is_all_here else " Spark's executors on other machines are not in it."
    return (
        f"At {params.cpu_hour_price:g} {params.currency} for an hour of a processor core, {params.gpu_hour_price:g} "
        f"for an hour of a GPU and {params.gb_month_price:g} for a gigabyte kept for a month, which is counted once. "
        f"CPU-seconds are of a stage and all processes it started, GPU-seconds those in which they held one; both "
        f"from when the stage had its work until it was committed. Not in it: starting Python, tries that failed, "
        f"vectors and checkpoints kept beside the runs, this page.{elsewhere} A stage done before tonight costs "
        f"nothing now."
    )


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
    usual = {name: median(value) for name, value in _by_figure(before, params).items()}
    now = {name: value[0] for name, value in _by_figure([tonight], params).items()}
    changes = ", ".join(f"{name} {formats.relative(now[name] - usual[name], usual[name])}" for name in usual)
    nights = "the night before" if len(before) == 1 else f"the median of the {len(before)} nights before"
    return f"All nights at tonight's prices. Against {nights}: {changes}."


def _by_figure(nights: list[Usage], params: PublishReportParams) -> dict[str, list[float]]:
    return {
        "duration": [night.elapsed_seconds for night in nights],
        "CPU-seconds": [night.cpu_seconds for night in nights],
        "bytes": [float(night.byte_count) for night in nights],
        "cost": [cost_of(night, params) for night in nights],
    }
