"""A clock that is wrong, between stages and between nights: results and what is live do not depend on it."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from jobs.config.params.release import MakeReleaseParams, RetentionParams
from jobs.config.settings import PROJECT_ROOT
from jobs.datasets.releases import RELEASE
from jobs.nights.night_plan import plan_night
from jobs.nights.stage_runner import run_stage
from jobs.releasing.ledger import Ledger, as_of
from jobs.releasing.promotion import promote
from jobs.releasing.reader import ReleaseReader
from jobs.releasing.release_retention import collect
from jobs.releasing.rollback import rollback
from jobs.sample import TINY, make_sample
from tests.conftest import Contexts, make_settings
from tests.released import NOW, Registry, commit_candidate, commit_release, see_night

READS_THE_CLOCK = {"jobs/commands/options.py", "jobs/nights/dag_runner.py"}
CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "time.localtime",
}
HOURS = (0, -9, 7, -30, 14)
"""By how much the clock is wrong, stage after stage."""


def test_nothing_but_the_command_line_reads_the_clock_of_the_day() -> None:
    """Time that passes may be measured (`monotonic`, `perf_counter`); what time it is, is handed down."""
    found = set()
    for folder in ("jobs", "models"):
        for path in sorted((PROJECT_ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS:
                    found.add(path.relative_to(PROJECT_ROOT).as_posix())
    assert found == READS_THE_CLOCK


def test_stages_whose_clock_jumps_make_what_they_make_with_a_right_one(make_context: Contexts, tmp_path: Path) -> None:
    digests = []
    for clock, hours in (("right", (0,) * 5), ("wrong", HOURS)):
        # the candidate names the store of models, which is no part of what clocks may change
        settings, made = make_settings(tmp_path / clock, tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}"), []
        for number in range(3):
            started_at = NOW + timedelta(hours=hours[number])
            context = make_context(settings=settings, started_at=started_at)
            commit_candidate(context)
            made.append(run_stage(context, "make_release", MakeReleaseParams()))
        assert made[0] == made[1] == made[2]  # done once, also by a clock before the first
        digests.append((made[0].run_id, made[0].digest, [run.digest for run in context.lake.manifests()]))
    assert digests[0] == digests[1]


def test_what_is_live_follows_the_order_of_decisions_and_nights_not_the_clock(
    make_context: Contexts, registry: Registry
) -> None:
    settings, lake = make_context().settings, make_context().lake
    for number, hours in enumerate(HOURS[:4], start=1):
        context = make_context(run_date=date(2025, 12, number), started_at=NOW + timedelta(hours=hours))
        commit_release(context, version=number, seed=number - 1)
        see_night(context)
        promote(settings, "test", number, by="ada", reason="better", at=NOW + timedelta(hours=hours))
        assert ReleaseReader(lake).current.name.version == number
    rollback(settings, "test", by="ada", reason="worse", at=NOW - timedelta(hours=100))
    assert registry.champion == ReleaseReader(lake).current.name.version == 3
    entries = Ledger(lake).entries()
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [as_of(entries, date(2025, 12, day)).champion for day in (1, 2, 3, 4, 5)] == [None, 1, 2, 3, 3]
    assert [run.partition["run_date"] for run in lake.history(RELEASE)] == [
        f"2025-12-0{number}" for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("days", [-4000, 4000])
def test_a_clock_years_off_collects_nothing_that_is_live_or_recent_by_nights(
    make_context: Contexts, registry: Registry, days: int
) -> None:
    settings, lake = make_context().settings, make_context().lake
    for number in range(1, 6):
        commit_release(make_context(run_date=date(2025, 12, number)), version=min(number, 4), seed=min(number, 4) - 1)
    for version in (1, 2):
        promote(settings, "test", version, by="ada", reason="better", at=NOW)
    collect(lake, RetentionParams(keep_count=2, keep_days=30), NOW + timedelta(days=days))
    left = {manifest.partition["run_date"][-2:] for manifest in lake.manifests(RELEASE)}
    assert {"01", "02", "04", "05"} <= left  # what a rollback needs, what is live, the latest two nights
    assert ("03" in left) == (days < 0)
    assert ReleaseReader(lake).current.name.version == 2


def test_a_night_is_of_the_logs_days_whatever_the_clock_says(make_context: Contexts, tmp_path: Path) -> None:
    info = make_sample(tmp_path / "sample", TINY)
    settings = make_context().settings
    for scheduled_for in (None, datetime(2099, 1, 1, tzinfo=UTC)):
        plan = plan_night(
            settings,
            dataset=str(tmp_path / "sample"),
            catalogue="c",
            preset="tiny",
            run_date="",
            scheduled_for=scheduled_for,
        )
        assert plan.run_date == info.last_complete_day
