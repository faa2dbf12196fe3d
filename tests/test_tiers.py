"""The tiers and the time budget of the tests themselves."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.config.settings import PROJECT_ROOT
from tests.budget import Budget, BudgetCheck, read_budget
from tests.tiers import FOLDERS, SECOND_TIER, SPECIAL, TESTS, add_markers

BUDGET = Budget(1.0, 3.0, {"tests/test_a.py": 2.0, "tests/test_a.py::test_b": 4.0, "tests/test_a.py::test_b[1]": 8.0})


class Item:
    """What `add_markers` sees of a test."""

    def __init__(self, path: Path, *names: str, fixtures: tuple[str, ...] = ()) -> None:
        self.path, self.names, self.fixturenames = path, list(names), fixtures

    def iter_markers(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.names]

    def add_marker(self, name: str) -> None:
        self.names.append(name)


@pytest.mark.parametrize("place", FOLDERS)
def test_what_has_a_tier_of_its_own_is_there(place: str) -> None:
    assert (TESTS / place).exists()


NEW = Path("models", "test_new.py")


@pytest.mark.parametrize(
    ("path", "names", "fixtures", "found"),
    [
        *((Path(place, "test_new.py") if "." not in place else place, (), (), [FOLDERS[place]]) for place in FOLDERS),
        (NEW, (), (), ["quick"]),
        (NEW, ("spark",), (), ["spark", "quick"]),
        (NEW, ("integration",), (), ["integration"]),
        (NEW, (), ("tmp_path", "tracked"), ["integration"]),
    ],
)
def test_a_test_is_in_the_tier_of_its_folder_marks_and_fixtures_or_quick(
    path: Path, names: tuple[str, ...], fixtures: tuple[str, ...], found: list[str]
) -> None:
    item: Any = Item(TESTS / path, *names, fixtures=fixtures)
    add_markers([item])
    assert item.names == found


def test_every_tier_is_declared_and_left_out_by_name() -> None:
    options = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"][
        "ini_options"
    ]
    declared = {line.split(":")[0] for line in options["markers"]}
    assert SECOND_TIER | SPECIAL | {"quick", "spark"} == declared
    assert set(FOLDERS.values()) <= SECOND_TIER | SPECIAL
    rest = re.search(
        r'^test-rest:.*\n.*-m "(.*)"', (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rest is not None
    assert set(re.findall(r"not (\w+)", rest[1])) == SPECIAL | {"quick"}


@pytest.mark.parametrize("name", read_budget().exceptions)
def test_an_exception_of_the_budget_names_a_test_that_exists(name: str) -> None:
    path, _, test = name.partition("::")
    text = (PROJECT_ROOT / path).read_text(encoding="utf-8")
    assert not test or f"def {test.split('[')[0]}(" in text


def test_the_limit_is_that_of_the_test_or_its_function_or_its_file() -> None:
    names = {"test_a.py::test_b[1]": 8, "test_a.py::test_b[2]": 4, "test_a.py::test_c": 2, "test_d.py::test_e": 1}
    assert [BUDGET.limit_of(f"tests/{name}") for name in names] == [*names.values()]


@pytest.mark.parametrize(
    ("seconds", "named", "status"),
    [(0.9, 0, pytest.ExitCode.OK), (2.9, 1, pytest.ExitCode.OK), (3.1, 1, pytest.ExitCode.TESTS_FAILED)],
)
def test_what_is_over_its_limit_is_named_and_far_over_it_fails(seconds: float, named: int, status: int) -> None:
    check = BudgetCheck(BUDGET)
    report: Any = SimpleNamespace(nodeid="tests/test_d.py::test_e", cpu_seconds=seconds)
    session: Any = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    check.pytest_runtest_logreport(report)
    check.pytest_sessionfinish(session)
    assert (len(check.over), session.exitstatus) == (named, status)
