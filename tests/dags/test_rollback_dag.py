"""The rollback in Airflow: one command with who and why, never tried twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.commands.main import build_parser


@pytest.fixture(scope="session")
def dag(dags: dict[str, Any]) -> Any:
    return dags["nightlens_rollback"]


def test_a_rollback_is_one_command(dag: Any, stand_in: Path) -> None:
    assert dag.test(run_conf={"catalogue": "c", "reason": "dark"}).state == "success"
    (call,) = (stand_in / "calls").read_text().splitlines()
    arguments = build_parser().parse_args(call.split())
    assert (arguments.command, arguments.catalogue, arguments.reason) == ("rollback", "c", "dark")
    assert arguments.by


def test_one_that_fails_is_not_tried_again(dag: Any, stand_in: Path) -> None:
    (stand_in / "rollback.status").write_text("1")
    assert dag.test(run_conf={"catalogue": "c", "reason": "dark"}).state == "failed"
    assert len((stand_in / "calls").read_text().splitlines()) == 1
