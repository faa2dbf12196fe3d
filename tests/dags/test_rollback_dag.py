"""The rollback in Airflow: one command with who and why, never tried twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.command_line import parse
from tests.dags.conftest import calls

DAG = "nightlens_rollback"


def test_a_rollback_is_one_command(dag: Any, stand_in: Path) -> None:
    assert dag.test(run_conf={"catalogue": "c", "reason": "dark"}).state == "success"
    (call,) = calls(stand_in)
    command, values = parse(call.split())
    assert (command, values["catalogue"], values["reason"]) == ("rollback", "c", "dark")
    assert values["by"]


def test_one_that_fails_is_not_tried_again(dag: Any, stand_in: Path) -> None:
    (stand_in / "rollback.status").write_text("1")
    assert dag.test(run_conf={"catalogue": "c", "reason": "dark"}).state == "failed"
    assert len(calls(stand_in)) == 1
