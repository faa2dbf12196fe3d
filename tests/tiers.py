"""Which tier a test is in: a folder of the second tier gives its tests its marker, and a test without any is quick.

`make test` runs the quick tests. `make test-rest` runs the second tier. Neither runs what `SPECIAL` marks. In a file
of the second tier, `quick` marks by hand the tests that are quick all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

TESTS = Path(__file__).parent
FOLDERS = {
    "dags": "airflow",
    "drills": "drill",
    "cluster": "cluster",
    "benchmarks": "benchmark",
    "test_night.py": "night",
    "test_sample_night.py": "night",
    "test_kill.py": "night",
}
"""Folders and files of tests that all have one marker."""

FIXTURES = {"tracked": "integration"}
"""Fixtures whose tests all have one marker: an MLflow database is opened anew for each of them."""

SECOND_TIER = {"integration", "airflow", "drill", "night", "service"}
SPECIAL = {"slow", "gpu", "cluster", "benchmark"}
"""What needs other hardware, programs or hours."""


def add_markers(items: Iterable[pytest.Item]) -> None:
    """Give every test the markers of its folder and fixtures, or `quick` if it has no marker of another tier."""
    for item in items:
        for fixture in FIXTURES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(FIXTURES[fixture])
        if item.path.is_relative_to(TESTS):
            marker = FOLDERS.get(item.path.relative_to(TESTS).parts[0])
            if marker is not None:
                item.add_marker(marker)
        if not any(mark.name in SECOND_TIER | SPECIAL for mark in item.iter_markers()):
            item.add_marker("quick")


class OneSparkScheduling(LoadFileScheduling):  # type: ignore[misc]
    """Files as a whole to each process, and all that start Spark to the same: on two cores Spark then starts once."""

    def _split_scope(self, nodeid: str) -> str:
        path = str(super()._split_scope(nodeid))
        return "spark" if _names_spark(path) else path


def _names_spark(path: str) -> bool:
    file = TESTS.parent / path
    return file.exists() and "mark.spark" in file.read_text(encoding="utf-8")
