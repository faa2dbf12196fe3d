"""The series of a backtest: which nights run which stages, in a catalogue of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.errors import NightlensError
from jobs.nights import series
from jobs.nights.backtest_nights import own_catalogue, schedule
from jobs.nights.night_plan import NightPlan
from jobs.sample import TINY, make_sample
from jobs.stages.registry import ALL, command
from tests.command_line import parse_stage
from tests.errors import raises

LAST = date(2026, 4, 26)
PLAN = NightPlan(dataset="folder", catalogue="sample", preset="sample", run_date=LAST)
HELD_BACK = 7


def test_every_day_that_asks_has_a_night_so_many_days_earlier() -> None:
    nights = dict(list(schedule(PLAN, 2, None))[:-1])
    asking = {day for day, steps in nights.items() if any(stage == "rank_next_day" for stage, _ in steps)}
    assert asking == {LAST - timedelta(days=1), LAST}
    assert list(nights) == sorted(asking | {day - timedelta(days=HELD_BACK) for day in asking})
    assert list(schedule(PLAN, 2, None))[-1] == (LAST, [("compare_backtest", {"nights": "2"})])


@pytest.mark.parametrize(("asked", "count"), [(1, 2), (7, 14), (10, 17)])
def test_a_night_runs_once_however_it_is_needed(asked: int, count: int) -> None:
    assert len(list(schedule(PLAN, asked, None))) == count + 1


def test_stages_come_after_what_they_read_and_are_called_as_they_can_be() -> None:
    for day, steps in schedule(PLAN, 1, 3):
        names = [stage for stage, _ in steps]
        made = {ALL[stage].output for stage in names}
        for place, (stage, overrides) in enumerate(steps):
            before = {ALL[name].output for name in names[:place]}
            assert set(ALL[stage].inputs) & made <= before
            _, given, _ = parse_stage(command(stage, {"dataset": "d", "run_date": str(day)}, overrides))
            assert given.keys() == overrides.keys()
        if names[-1] != "compare_backtest":
            assert dict(steps)["train_search"] == {
                "arms": "finetuned_country_keywords",
                "retrain": "always",
                "epochs": "3",
            }
            assert dict(steps)["split_temporal"] == {"protocol": "windows", "test_days": "1"}


def test_the_catalogue_is_its_own_and_has_a_name_that_may_be() -> None:
    assert own_catalogue("sample") == "sample-backtest"
    assert len(own_catalogue("c" * 63)) == 63
    assert own_catalogue("c" * 63) != "c" * 63


def test_a_stage_that_fails_ends_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def fail_in_the_second(arguments: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        called.append(arguments)
        return subprocess.CompletedProcess(arguments, len(called) - 1)

    monkeypatch.setattr(subprocess, "run", fail_in_the_second)
    with raises(NightlensError, "stage_failed", stage="fetch_images", run_date="2026-04-01"):
        series.run_steps(PLAN, date(2026, 4, 1), series.until_base({}))
    assert [arguments[3] for arguments in called] == ["validate_logs", "fetch_images"]
    assert "2026-04-01" in called[0]


@pytest.mark.night
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_backtest_on_a_tiny_catalogue(settings: Settings, tmp_path: Path) -> None:
    info: Any = make_sample(tmp_path / "tiny", TINY)
    own = {"NIGHTLENS_STATE_DIR": str(settings.state_dir), "PYTHONPATH": str(PROJECT_ROOT)}
    call = ["backtest", "--dataset", str(tmp_path / "tiny"), "--preset", "tiny", "--nights", "1", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *call], env=os.environ | own, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"| {info.last_complete_day} |" in done.stdout
    assert sorted(path.name for path in (settings.state_dir / "lake").iterdir()) == ["tiny-backtest"]
