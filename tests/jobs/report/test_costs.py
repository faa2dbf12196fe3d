"""Costs: every stage's share at the prices given, nothing for what was done before, the nights so far, the window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from jobs.adapters import mlflow_runs
from jobs.config.params.release import PublishReportParams
from jobs.context import RunContext
from jobs.datasets.models import SEARCH_MODELS
from jobs.datasets.reports import ReportFacts, Usage
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.report.costs import cost_of, costs, usage_of
from jobs.report.inputs import Night
from jobs.report.render import build_report, render
from tests.jobs.report_fixtures import INPUTS, commit_night, night_of
from tests.made_up_facts import made_up

Make = Callable[..., RunContext]
PRICES = PublishReportParams(cpu_hour_price=1, gpu_hour_price=10, gb_month_price=100, currency="EUR")


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_runs, "log_evaluation", lambda *_: None)
    monkeypatch.setattr(mlflow_runs, "log_report", lambda *_: None)


def with_usage(context: RunContext, **changes: dict[str, Any]) -> Night:
    """Return a night whose stages all used a second of one core, but those of `changes`, by name of the dataset."""
    night = night_of(context)
    for name, manifest in night.inputs.items():
        used = {"cpu_seconds": 1.0, "gpu_seconds": 0.0, "duration_seconds": 2.0} | changes.get(name, {})
        night.inputs[name] = manifest.model_copy(update=used)
    return night


def cells(night: Night, stage: str) -> tuple[str, ...]:
    return next(row.cells for row in costs(night, PRICES)["stages"] if row.name == stage)


def test_every_stage_is_there_and_its_cost_is_what_it_used_by_the_prices(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    used = {"cpu_seconds": 3600.0, "gpu_seconds": 720.0, "duration_seconds": 1800.0}
    night = with_usage(context, search_models=used)
    found = costs(night, PRICES)
    assert [row.name for row in found["stages"]] == list(night.stages.values())
    bytes_made = night.manifest(SEARCH_MODELS).own_bytes
    money = f"{1 + 2 + bytes_made / 1e7:,.2f} EUR"
    time, cpu, gpu, rows, _, cost = cells(night, "train_search")
    assert (time, cpu, gpu, cost) == ("30 min 0 s", "3,600", "720", money)
    assert rows == f"{sum(night.manifest(SEARCH_MODELS).row_counts.values()):,}"
    assert cells(night, "audit_leaks")[2] == "0"  # no GPU is a 0, not a blank
    total = usage_of(night)
    assert total.cpu_seconds == 3600 + len(INPUTS) - 1
    assert total.gpu_seconds == 720
    assert total.byte_count == sum(manifest.own_bytes for manifest in night.inputs.values())
    assert found["total"].cells[1:3] == (f"{3599 + len(INPUTS):,}", "720")
    assert found["title"] == f"The night cost {cost_of(total, PRICES):,.2f} EUR"


def test_the_parts_add_up_to_the_whole(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    night = with_usage(context)
    each = [usage_of(replace(night, inputs={name: manifest})) for name, manifest in night.inputs.items()]
    whole = usage_of(night)
    assert sum(used.byte_count for used in each) == whole.byte_count
    assert sum(cost_of(used, PRICES) for used in each) == pytest.approx(cost_of(whole, PRICES), abs=1e-4)


def test_what_was_done_before_costs_nothing_and_says_so(make_context: Make) -> None:
    commit_night(make_context())
    night = night_of(make_context(run_id="again"))
    found = costs(night, PRICES)
    assert all(row.is_done_before for row in found["stages"])
    assert {(row.cells[0], *row.cells[1:3], *row.cells[4:]) for row in found["stages"]} == {
        ("0.0 s", "0", "0", "0 B", "0.00 EUR")
    }
    assert usage_of(night) == made_up(Usage)
    assert found["window"].startswith("Every stage was done before")
    assert "done before" in render(build_report(night, PRICES))


def test_the_night_is_held_against_its_window(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    used = {"duration_seconds": 3600.0}
    assert (
        "took 1 h 0 min, 25.0% of the 4 h 0 min between 02:00 and 06:00 UTC. Begun at 02:00 it is done at 03:00."
        in (costs(with_usage(context, evaluation=used), PRICES)["window"])
    )
    used = {"duration_seconds": 5 * 3600.0}
    assert "done at 07:00, 1 h 0 min too late." in costs(with_usage(context, evaluation=used), PRICES)["window"]


def published(make_context: Make, day: date) -> tuple[RunContext, Manifest]:
    context = make_context(run_date=day, run_id=f"night-{day}")
    commit_night(context)
    return context, run_stage(context, "publish_report", PRICES)


def test_the_nights_published_so_far_stand_beside_it_at_tonights_prices(make_context: Make) -> None:
    days = [date(2025, 12, day) for day in (26, 27, 28)]
    reports = [published(make_context, day)[1] for day in days]
    context = make_context(run_date=days[1])
    night = night_of(context)
    assert list(night.earlier_usage) == ["2025-12-26"]  # not its own, and none of the future
    assert night.earlier_usage["2025-12-26"] == ReportFacts.of(reports[0]).usage
    found = costs(night_of(make_context(run_date=days[2], run_id=f"night-{days[2]}")), PRICES)
    assert [row.name for row in found["nights"]] == ["2025-12-28", "2025-12-27", "2025-12-26"]
    dearer = PRICES.model_copy(update={"cpu_hour_price": 100})
    for row, report in zip(found["nights"], reversed(reports), strict=True):
        used = ReportFacts.of(report).usage
        assert row.cells[2] == f"{used.cpu_seconds:.1f}" or used.cpu_seconds >= 10
        assert cost_of(used, dearer) > cost_of(used, PRICES) > 0
    assert "Against the median of the 2 nights before" in found["trend"]
    assert "duration " in found["trend"]


def test_a_first_night_says_that_there_is_nothing_to_compare(make_context: Make) -> None:
    _, report = published(make_context, date(2025, 12, 28))
    assert ReportFacts.of(report).usage.gpu_seconds == 0
    assert "first night whose use was measured" in costs(night_of(make_context()), PRICES)["trend"]


def test_what_a_run_used_is_no_part_of_what_it_is(make_context: Make) -> None:
    """Two runs of equal content are equal, however long each of them took."""
    context = make_context()
    manifest = commit_night(context)["splits"]
    assert manifest.cpu_seconds is not None
    assert manifest.gpu_seconds == 0
    slower = manifest.model_copy(update={"cpu_seconds": 99.0, "duration_seconds": 99.0})
    assert slower.digest == manifest.digest
    older = Manifest.model_validate(manifest.model_dump(exclude={"cpu_seconds", "gpu_seconds"}))
    assert older.cpu_seconds is None  # of a lake from before this was measured
    assert older.digest == manifest.digest
