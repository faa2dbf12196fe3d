"""What Java is told depends on where Spark runs and on how much there is to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.adapters.spark_session import session_conf
from tests.conftest import make_settings

FIRST_TIER, HUGE_METHODS = "-XX:TieredStopAtLevel=1", "-XX:-DontCompileHugeMethods"


@pytest.mark.parametrize(
    ("master", "row_count", "in_driver"),
    [
        ("local[2]", 0, {FIRST_TIER}),
        ("local[2]", 50_000_000, {HUGE_METHODS}),
        ("spark://host:7077", 0, set()),
        ("spark://host:7077", 50_000_000, set()),
    ],
)
def test_only_small_jobs_of_one_machine_stop_at_the_first_compiler(
    tmp_path: Path, master: str, row_count: int, in_driver: set[str]
) -> None:
    conf = session_conf(make_settings(tmp_path, spark_master=master), row_count)
    options = {name: set(conf[f"spark.{name}.extraJavaOptions"].split()) for name in ("driver", "executor")}
    assert options["driver"] & {FIRST_TIER, HUGE_METHODS} == in_driver
    assert options["executor"] & {FIRST_TIER, HUGE_METHODS} == {HUGE_METHODS}


def test_what_is_set_by_hand_counts(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, spark_conf={"spark.executor.extraJavaOptions": "-Xss1m"})
    assert session_conf(settings, 0)["spark.executor.extraJavaOptions"] == "-Xss1m"
