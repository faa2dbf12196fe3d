"""Costs: every stage's share at the prices given, nothing for what was done before, the nights so far, the window."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any

import pytest

import jobs
from jobs.config.params.release import PublishReportParams
from jobs.context import RunContext
from jobs.datasets.models import SEARCH_MODELS
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.report.costs import Usage, costs, usage_of
from jobs.report.inputs import INPUTS, Night
from jobs.report.render import build_report, render
from tests.jobs.report_fixtures import commit_night

Make = Callable[..., RunContext]
PRICES = PublishReportParams(cpu_hour_price=1, gpu_hour_price=10, gb_month_price=100, currency="EUR")


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.SimpleNamespace(log_evaluation=lambda *_: None, log_report=lambda *_: None)
    monkeypatch.setitem(sys.modules, "jobs.adapters.mlflow_registry", fake)
    monkeypatch.setattr(jobs, "tracking", fake, raising=False)


def with_usage(context: RunContext, **changes: dict[str, Any]) -> Night:
    """Return a night whose stages all used a second of one core, but those of `changes`, by name of the dataset."""
    night = Night.read(context)
    for name, manifest in night.manifests.items():
        used = {"cpu_seconds": 1.0, "gpu_seconds": 0.0, "duration_seconds": 2.0} | changes.get(name, {})
        night.manifests[name] = manifest.model_copy(update=used)
    return night


def cells(night: Night, stage: str) -> tuple[str, ...]:
    return next(row.cells for row in costs(night, PRICES).stages if row.name == stage)


def test_every_stage_is_there_and_its_cost_is_what_it_used_by_the_prices(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    used = {"cpu_seconds": 3600.0, "gpu_seconds": 720.0, "duration_seconds": 1800.0}
    night = with_usage(context, search_models=used)
    found = costs(night, PRICES)
    assert [row.name for row in found.stages] == list(INPUTS)
    bytes_made = night.manifest(SEARCH_MODELS).own_bytes
    money = f"{1 + 2 + bytes_made / 1e7:,.2f} EUR"
    time, cpu, gpu, rows, _, cost = cells(night, "train_search")
    assert (time, cpu, gpu, cost) == ("30 min 0 s", "3,600", "720", money)
    assert rows == f"{sum(night.manifest(SEARCH_MODELS).row_counts.values()):,}"
    assert cells(night, "audit_leaks")[2] == "0"  # no GPU is a 0, not a blank
    total = usage_of(night)
    assert total.cpu_seconds == 3600 + len(INPUTS) - 1
    assert total.gpu_seconds == 720
    assert total.byte_count == sum(manifest.own_bytes for manifest in night.manifests.values())
    assert found.total.cells[1:3] == (f"{3599 + len(INPUTS):,}", "720")
    assert found.title == f"The night cost {total.cost(PRICES):,.2f} EUR"


def test_the_parts_add_up_to_the_whole(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    night = with_usage(context)
    each = [
        Usage(0, 0, manifest.cpu_seconds or 0, manifest.gpu_seconds or 0, manifest.own_bytes)
        for manifest in night.manifests.values()
    ]
    assert sum(used.cost(PRICES) for used in each) == pytest.approx(usage_of(night).cost(PRICES), abs=1e-4)


def test_what_was_done_before_costs_nothing_and_says_so(make_context: Make) -> None:
    commit_night(make_context())
    night = Night.read(make_context(run_id="again"))
    found = costs(night, PRICES)
    assert all(row.is_done_before for row in found.stages)
    assert {(row.cells[0], *row.cells[1:3], *row.cells[4:]) for row in found.stages} == {
        ("0.0 s", "0", "0", "0 B", "0.00 EUR")
    }
    assert asdict(usage_of(night)) == asdict(Usage(0, 0, 0, 0, 0))
    assert found.window.startswith("Every stage was done before")
    assert "done before" in render(build_report(night, PRICES))


def test_the_night_is_held_against_its_window(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    used = {"duration_seconds": 3600.0}
    assert (
        "took 1 h 0 min, 25.0% of the 4 h 0 min between 02:00 and 06:00 UTC. Begun at 02:00 it is done at 03:00."
        in (costs(with_usage(context, evaluation=used), PRICES).window)
    )
    used = {"duration_seconds": 5 * 3600.0}
    assert "done at 07:00, 1 h 0 min too late." in costs(with_usage(context, evaluation=used), PRICES).window


def published(make_context: Make, day: date) -> tuple[RunContext, Manifest]:
    context = make_context(run_date=day, run_id=f"night-{day}")
    commit_night(context)
    return context, run_stage(context, "publish_report", PRICES)


def test_the_nights_published_so_far_stand_beside_it_at_tonights_prices(make_context: Make) -> None:
    days = [date(2025, 12, day) for day in (26, 27, 28)]
    reports = [published(make_context, day)[1] for day in days]
    context = make_context(run_date=days[1])
    night = Night.read(context)
    assert list(night.earlier_usage) == ["2025-12-26"]  # not its own, and none of the future
    assert night.earlier_usage["2025-12-26"] == reports[0].facts["usage"]
    found = costs(Night.read(make_context(run_date=days[2], run_id=f"night-{days[2]}")), PRICES)
    assert [row.name for row in found.nights] == ["2025-12-28", "2025-12-27", "2025-12-26"]
    dearer = PRICES.model_copy(update={"cpu_hour_price": 100})
    for row, report in zip(found.nights, reversed(reports), strict=True):
        used = Usage(**report.facts["usage"])
        assert row.cells[2] == f"{used.cpu_seconds:.1f}" or used.cpu_seconds >= 10
        assert used.cost(dearer) > used.cost(PRICES) > 0
    assert "Against the median of the 2 nights before" in found.trend
    assert "duration " in found.trend


def test_a_first_night_says_that_there_is_nothing_to_compare(make_context: Make) -> None:
    _, report = published(make_context, date(2025, 12, 28))
    assert set(report.facts["usage"]) == {"elapsed_seconds", "seconds", "cpu_seconds", "gpu_seconds", "byte_count"}
    assert report.facts["usage"]["gpu_seconds"] == 0
    assert "first night whose use was measured" in costs(Night.read(make_context()), PRICES).trend


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
