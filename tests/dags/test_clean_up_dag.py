"""Housekeeping in Airflow: one command, once a week, and its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.commands.main import build_parser


@pytest.fixture(scope="session")
def dag(dags: dict[str, Any]) -> Any:
    return dags["nightlens_clean_up"]


def test_it_is_one_command_on_a_schedule(dag: Any, stand_in: Path) -> None:
    assert dag.timetable.expression == "0 12 * * 0"
    assert dag.catchup is False
    assert all(dag.params.get_param(name).description for name in dag.params)
    (stand_in / "clean_up.out").write_text("removed 0 things, 0 bytes in all\n")
    assert dag.test(run_conf={"catalogue": "c", "keep_nights": 3}).state == "success"
    (call,) = (stand_in / "calls").read_text().splitlines()
    arguments = build_parser().parse_args(call.split())
    assert (arguments.command, arguments.catalogue, arguments.dataset) == ("clean_up", "c", "sample")
    assert (arguments.keep_nights, arguments.keep_days, arguments.dry_run) == (3, 30, False)
