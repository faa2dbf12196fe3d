"""Fresh counts in Airflow: one command, every hour, never two at once, and its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.command_line import parse
from tests.dags.conftest import calls

DAG = "nightlens_hourly"


def test_it_runs_every_hour_and_one_at_a_time(dag: Any) -> None:
    assert dag.timetable.expression == "0 * * * *"
    assert (dag.catchup, dag.max_active_runs, dag.task_ids) == (False, 1, ["refresh_counts"])
    assert dag.get_task("refresh_counts").execution_timeout.total_seconds() < 3600
    assert all(dag.params.get_param(name).description for name in dag.params)
    assert set(dag.params) == {"dataset", "catalogue"}


def test_the_command_is_the_one_the_parser_reads(dag: Any, stand_in: Path) -> None:
    (stand_in / "refresh_counts.out").write_text("Nothing new\n")
    assert dag.test(run_conf={"catalogue": "c"}).state == "success"
    (call,) = calls(stand_in)
    command, values = parse(call.split())
    assert command == "refresh_counts"
    assert values == {"dataset": "sample", "catalogue": "c"}
