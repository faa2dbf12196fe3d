"""What is told of runs in process: a failed night, the gate's verdict, a waiting approval, a late report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.command_line import parse
from tests.dags.conftest import calls
from tests.listeners import webhook

VERDICT = {"run": "r", "rows": {}, "outcome": "inconclusive", "sentence": "The gate is inconclusive. Too few searches."}


DAG = "nightlens_nightly"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Everything that is sent while a test runs."""
    with webhook() as (url, got):
        monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", url)
        yield got


def test_a_task_that_fails_for_good_is_told_with_reason_and_log(
    dag: Any, stand_in: Path, told: list[dict[str, Any]]
) -> None:
    (stand_in / "split_temporal.status").write_text("1")  # succeeds when tried again: nobody is told
    (stand_in / "audit_leaks.status").write_text("2")
    run = dag.test(run_conf={})
    assert run.state == "failed"
    (message,) = told
    assert (message["type"], message["title"]) == ("failure", "Nightlens: nightlens_nightly failed in audit_leaks")
    text, _, link = message["message"].splitlines()
    assert text == f"Run {run.run_id}: nightlens audit_leaks: it went wrong"
    assert link.startswith("http")
    assert "/dags/nightlens_nightly/runs/" in link
    assert "/tasks/audit_leaks" in link


def test_the_gates_verdict_is_told(dag: Any, stand_in: Path, told: list[dict[str, Any]]) -> None:
    (stand_in / "gate_release.out").write_text(json.dumps(VERDICT) + "\n")
    assert dag.test(run_conf={}).state == "success"
    (message,) = told
    assert (message["type"], message["title"]) == ("info", "Nightlens: Gate: inconclusive, c, night of 2025-12-28")
    assert message["message"].startswith(VERDICT["sentence"])


def test_no_night_fails_because_nobody_can_be_told(
    dag: Any, stand_in: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (stand_in / "gate_release.out").write_text(json.dumps(VERDICT) + "\n")
    with webhook() as (url, _):
        monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", url)
    assert dag.test(run_conf={}).state == "success"  # that server is gone
    monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", "pigeon")
    assert dag.test(run_conf={}).state == "success"


def test_the_report_is_looked_for_when_it_is_due_and_a_late_one_is_told(
    dags: dict[str, Any], stand_in: Path, told: list[dict[str, Any]]
) -> None:
    deadline = dags["nightlens_deadline"]
    assert str(deadline.timetable.expression) == "0 6 * * *"
    (stand_in / "check_report.out").write_text("/reports/c/2025-12-28.html\n")
    assert deadline.test().state == "success"
    assert told == []
    (stand_in / "check_report.status").write_text("2")
    run = deadline.test()
    assert run.state == "failed"
    (message,) = told
    assert (message["type"], message["title"]) == ("failure", "Nightlens: The night's report is late")
    assert message["message"].startswith("nightlens check_report: it went wrong\n")
    assert run.run_id in unquote(message["message"])
    (call, again) = calls(stand_in)
    assert call.split()[:3] == again.split()[:3] == ["check_report", "--dataset", "sample"]
    words = call.split("--scheduled-for")[0].replace("--catalogue  ", "").replace("--run-date ", "").split()
    assert parse(words)[1]["dataset"] == "sample"
