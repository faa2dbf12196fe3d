"""Fixtures shared by all tests: settings in a temporary folder, a context, one Spark session."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from pydantic import SecretStr

from jobs.adapters.mlflow_environment import configure_mlflow
from jobs.adapters.spark_session import spark_session
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.embedding.worker_daemon import preloading
from tests.budget import BudgetCheck, read_budget
from tests.tiers import OneSparkScheduling, add_markers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

configure_mlflow(os.environ)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # side by side, each process has a core of its own
hypothesis.settings.register_profile("nightlens", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("nightlens")
Contexts = Callable[..., RunContext]
"""What the fixture `make_context` is: a factory of contexts, every field of which can be overridden."""
# The processes of pytest-xdist have a main module without a file, which PySpark takes for a run of its own doctests.
sys.modules["__main__"].__dict__.setdefault("__file__", __file__)


def make_settings(state_dir: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "state_dir": state_dir,
        "lake_uri": str(state_dir / "lake"),
        "tracking_uri": f"sqlite:///{state_dir / 'mlflow.db'}",
        "artifact_uri": (state_dir / "mlflow-artifacts").as_uri(),
        "report_dir": state_dir / "reports",
        "pseudonym_key": SecretStr("test-key"),
        "spark_master": "local[2]",
        "spark_driver_memory": "1g",
    }
    return Settings(**(values | changes))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state")


def context_in(folder: Path, **changes: Any) -> RunContext:
    """Return the context of a night whose settings and photos are in a folder; every field can be overridden."""
    values: dict[str, Any] = {
        "settings": make_settings(folder / "state"),
        "catalogue": "test",
        "dataset_uri": str(folder / "dataset"),
        "run_date": date(2025, 12, 28),
        "run_id": "test-night",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "code_version": "test-code",
    }
    return RunContext(**(values | changes))


@pytest.fixture
def make_context(settings: Settings, tmp_path: Path) -> Contexts:
    """Return a factory of contexts; every field can be overridden."""
    return partial(context_in, tmp_path, settings=settings)


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One Spark session for the whole test run. Stages under test get it through `spark_session`.

    In the second tier its Python workers come from the daemon of embedding, as in a night: of those that Spark starts
    by itself each would load torch anew, for every stage that embeds. No quick test embeds by Spark.
    """
    settings = make_settings(tmp_path_factory.mktemp("spark"))
    if not all(item.get_closest_marker("quick") for item in request.session.items):
        settings = preloading(settings)
    with spark_session(settings, "tests") as session:
        yield session


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(BudgetCheck(read_budget()))
    if config.option.markexpr == "quick":
        os.fsync = lambda descriptor: None  # every file of a lake waits for the disk; no quick test cuts the power


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process take all quick tests that need Spark; see `OneSparkScheduling`."""
    return OneSparkScheduling(config, log) if config.option.markexpr == "quick" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by tier. Put the files that start Spark first, and of the others the largest.

    Of those that start Spark, files of few and long tests come first. The processes of pytest-xdist take whole files
    in this order: what is small comes last, so that all end together.
    """
    add_markers(items)
    tests_of_file = Counter(item.path for item in items)
    with_spark = {item.path for item in items if item.get_closest_marker("spark")}

    def place(path: Path) -> tuple[bool, int, Path]:
        is_first = path in with_spark
        return not is_first, tests_of_file[path] if is_first else -path.stat().st_size, path

    places = {path: place(path) for path in tests_of_file}
    items.sort(key=lambda item: places[item.path])
