"""Fixtures of the stages: MLflow databases that need not be made from nothing for every test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.runtime import resource_meter
from tests.conftest import Contexts, make_settings
from tests.released import Registry


@pytest.fixture(autouse=True)
def own_process_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a run's processor time be that of this process alone: to look for others at each commit takes a third of it.

    What it is with others, the tests of tests/jobs/runtime show.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "runtime" not in request.path.parts:
            patch.setattr(resource_meter, "_tree", lambda: [psutil.Process()])
        yield


@pytest.fixture(scope="session")
def new_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow with nothing in it, made once: that takes seconds."""
    from jobs.adapters.mlflow_connection import ensure_database

    state = tmp_path_factory.mktemp("mlflow")
    ensure_database(make_settings(state))
    return state / "mlflow.db"


@pytest.fixture
def tracked(new_mlflow_database: Path, settings: Settings, make_context: Contexts) -> RunContext:
    """A context whose MLflow database is there and empty; `make_context` gives others of the same."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(new_mlflow_database, settings.state_dir / "mlflow.db")
    return make_context()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry in the place of MLflow, with versions 1 to 4 of models with seeds 0 to 3."""
    made = Registry()
    for number in range(1, 5):
        made.add(number, number - 1)
    made.stand_in(monkeypatch)
    return made
