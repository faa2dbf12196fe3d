"""What `nightlens nightly` and `ablation` show of a run: progress and faults without Airflow's own marks, a summary."""

from __future__ import annotations

import io
import json
import re
import signal
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.adapters import local_services
from jobs.config.params.arms import FULL, RERANKED
from jobs.config.params.release import PublishReportParams
from jobs.config.settings import PROJECT_ROOT
from jobs.context import RunContext
from jobs.datasets.features import SPLITS
from jobs.datasets.reports import REPORT, ReportFacts
from jobs.errors import MissingInput, NightlensError
from jobs.nights import dag_runner
from jobs.nights.night_plan import NightPlan
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.report_fixtures import commit_ablation, commit_night
from tests.made_up_facts import made_up

MARK = " [airflow.task.operators.stage_operator.StageOperator] loc=stage_operator.py:46"


def test_progress_is_shown_as_the_stage_wrote_it() -> None:
    line = "2026-11-21T13:57:36Z [info     ] 2026-11-21 13:57:36,001 INFO nightlens.stage: evaluate  5.8 s  ranks 12"
    for text in (line, line + MARK):
        found = dag_runner._PROGRESS.search(text)
        assert found
        assert found[1] == "evaluate  5.8 s  ranks 12"


def test_whatever_a_stage_logs_reaches_the_screen() -> None:
    names = {
        (path.name, found[1])
        for path in (PROJECT_ROOT / "jobs").rglob("*.py")
        for found in re.finditer(r'^\w+ = logging\.getLogger\("?(.*?)"?\)', path.read_text(), re.MULTILINE)
    }
    assert len(names) > 15
    for path, name in names:
        line = f"[info     ] 2026-11-21 13:57:36,001 INFO {name}: 5 photos" + MARK
        found = dag_runner._PROGRESS.search(line) or dag_runner._DETAIL.search(line)
        assert found, path
        assert found[1] == "5 photos"
        warned = dag_runner._PROGRESS.search(line.replace(" INFO ", " WARNING "))
        assert warned, path


def test_a_fault_is_shown_whole() -> None:
    line = "[info     ] nightlens audit_leaks: GateFailed [leak_found]: 2 rows [corpus] of the future" + MARK
    found = dag_runner._FAULT.search(line)
    assert found
    assert found[1] == "nightlens audit_leaks: GateFailed [leak_found]: 2 rows [corpus] of the future"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_a_night_started_ends_with_it(number: signal.Signals) -> None:
    night = """
import subprocess
from jobs.nights.dag_runner import _ended_with_this
task = "setsid sleep 600 & echo $!; exec sleep 600"
started = subprocess.Popen(["sh", "-c", task], stdout=subprocess.PIPE, text=True)
with _ended_with_this(started):
    print(started.pid, started.stdout.readline(), flush=True)
    started.wait()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", night],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # whoever runs the tests may ignore it
    )
    try:
        assert process.stdout is not None
        started = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(started) == 2
        process.send_signal(number)
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_how_far_a_stage_is_takes_one_line_of_a_terminal() -> None:
    detail = "[info     ] 2026-11-21 13:57:36,001 INFO nightlens: train_base: step 3/9, 5 s left" + MARK
    found = dag_runner._DETAIL.search(detail)
    assert found
    assert found[1] == "train_base: step 3/9, 5 s left"
    terminal = Terminal()
    screen = dag_runner.Screen(terminal)
    screen.status("step 1")
    screen.status("step 2")
    screen.line("done")
    assert terminal.getvalue() == "\r\x1b[Kstep 1\r\x1b[Kstep 2\r\x1b[Kdone\n"


def test_elsewhere_a_line_comes_now_and_then() -> None:
    now = [0.0]
    stream = io.StringIO()
    screen = dag_runner.Screen(stream, every_seconds=30, clock=lambda: now[0])
    for second in range(0, 100, 10):
        now[0] = second
        screen.status(f"at {second}")
    assert stream.getvalue() == "at 30\nat 60\nat 90\n"


# -- the ablation ------------------------------------------------------------------------------------------

PLAN = NightPlan(dataset="d", catalogue="test", preset="tiny", run_date=date(2025, 12, 28))


@pytest.fixture
def night(make_context: Contexts, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """A night whose report was committed, and no Airflow that is up."""
    context = make_context()
    commit_night(context)
    staged = context.begin(REPORT, PublishReportParams(), {})
    staged.write_file("report.html", b"")
    staged.commit(made_up(ReportFacts))
    monkeypatch.setattr(local_services, "running_services", lambda settings: None)
    return context


def test_an_ablation_runs_its_dag_and_prints_its_table(
    night: RunContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[tuple[str, dict[str, Any]]] = []

    def run(settings: Any, dag_id: str, conf: dict[str, Any]) -> None:
        runs.append((dag_id, conf))
        commit_ablation(night, night.read(SPLITS))

    monkeypatch.setattr(dag_runner, "_run_in_process", run)
    text = dag_runner.run_ablation(night.settings, PLAN, (FULL, RERANKED), 2)
    ((dag_id, conf),) = runs
    assert dag_id == "nightlens_ablation"
    assert conf == PLAN.model_dump(mode="json") | {"variants": [FULL, RERANKED], "repeats": 2, "epochs": None}
    assert "| finetuned country keywords |" in text
    assert f"Report  {night.settings.report_dir / 'test' / '2025-12-28.html'}" in text
    assert f", protocol windows: {FULL}, reranked; 2 repetitions" in capsys.readouterr().out


def test_an_ablation_without_a_night_says_what_to_run(night: RunContext) -> None:
    plan = PLAN.model_copy(update={"run_date": date(2025, 12, 27)})
    with raises(MissingInput, "no_such_night", run_date="2025-12-27", catalogue="test"):
        dag_runner.run_ablation(night.settings, plan, (FULL,), 1)


@pytest.mark.parametrize(("dag_id", "name"), [(local_services.NIGHTLY, "night"), (local_services.ABLATION, "ablation")])
def test_a_dag_that_fails_in_process_says_why_and_where_its_log_is(
    night: RunContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dag_id: str, name: str
) -> None:
    airflow = tmp_path / "bin" / "airflow"
    airflow.parent.mkdir()
    airflow.write_text(
        '#!/bin/sh\necho "$@"; echo "[info     ] nightlens evaluate: BadInput [no_good]: no good"; exit 1\n'
    )
    airflow.chmod(airflow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(dag_runner.sys, "executable", str(airflow.with_name("python")))
    monkeypatch.setattr(local_services, "prepare_airflow", lambda settings, environment: None)
    conf = PLAN.model_dump(mode="json")
    with raises(NightlensError, "night_failed", dag=dag_id) as caught:
        dag_runner._run(night.settings, dag_id, conf)
    assert "nightlens evaluate: BadInput [no_good]: no good" in str(caught.value)
    (log,) = (night.settings.state_dir / "logs").glob(f"{name}-test-2025-12-28-*.log")
    assert caught.value.named["log"] == log
    assert log.read_text().splitlines()[0] == f"dags test {dag_id} --conf {json.dumps(conf)}"
