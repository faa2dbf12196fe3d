"""The time budget of the quick tests: what is measured, what is allowed, and when a run fails for it.

Measured is the processor time of the test's own process while the test runs: a busy machine does not change it. What
its fixtures take is not in it, and neither is what other processes do for it (Spark's Java, for one). A test that
imports a library as the first one to need it is not judged: another order would have charged another test.
"""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUDGET_FILE = Path(__file__).parent / "budget.toml"
MANY_MODULES = 20
"""So many new modules are a library."""
_seconds = pytest.StashKey[float]()


@dataclass(frozen=True)
class Budget:
    """CPU seconds a test may take, and how many times that fails the run."""

    limit_seconds: float
    fails_at_times: float
    exceptions: dict[str, float]

    def limit_of(self, nodeid: str) -> float:
        """Return the limit of a test: of its own, of its function or of its file, or else that of all."""
        names = (nodeid, nodeid.split("[")[0], nodeid.split("::")[0])
        return next((self.exceptions[name] for name in names if name in self.exceptions), self.limit_seconds)


def read_budget(path: Path = BUDGET_FILE) -> Budget:
    """Read the budget file."""
    return Budget(**tomllib.loads(path.read_text(encoding="utf-8")))


class BudgetCheck:
    """A plugin that measures each quick test and names those over their budget.

    It judges only the processes of pytest-xdist: those have one thread, so that processor time is what one core takes.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.over: list[tuple[float, float, str]] = []  # seconds, limit, test

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[Any]:
        module_count, started = len(sys.modules), time.process_time()
        result = yield
        if len(sys.modules) - module_count < MANY_MODULES:
            item.stash[_seconds] = time.process_time() - started
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        if call.when == "call" and item.get_closest_marker("quick") and hasattr(item.config, "workerinput"):
            report.cpu_seconds = item.stash.get(_seconds, 0.0)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds, limit = getattr(report, "cpu_seconds", 0.0), self.budget.limit_of(report.nodeid)
        if seconds > limit:
            self.over.append((seconds, limit, report.nodeid))

    def _is_far_over(self) -> bool:
        return any(seconds > self.budget.fails_at_times * limit for seconds, limit, _ in self.over)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK and self._is_far_over():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.over:
            return
        terminalreporter.section("quick tests over their budget")
        for seconds, limit, nodeid in sorted(self.over, reverse=True):
            terminalreporter.write_line(f"{seconds:6.2f} CPU s, of {limit:g}: {nodeid}")
        terminalreporter.write_line(
            f"Make them quicker, or mark them `integration`; more than {self.budget.fails_at_times:g} times the budget "
            "of tests/budget.toml fails the run."
        )
