"""Housekeeping in Airflow: one command, once a week, and its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.command_line import parse
from tests.dags.conftest import calls

DAG = "nightlens_clean_up"


def test_it_is_one_command_on_a_schedule(dag: Any, stand_in: Path) -> None:
    assert dag.timetable.expression == "0 12 * * 0"
    assert dag.catchup is False
    assert all(dag.params.get_param(name).description for name in dag.params)
    (stand_in / "clean_up.out").write_text("removed 0 things, 0 bytes in all\n")
    assert dag.test(run_conf={"catalogue": "c", "keep_nights": 3}).state == "success"
    (call,) = calls(stand_in)
    command, values = parse(call.split())
    assert command == "clean_up"
    given = {"catalogue": "c", "dataset": "sample", "keep_nights": "3", "keep_days": "30", "dry_run": False}
    assert values == given
