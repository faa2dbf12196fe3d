"""A temporary Airflow home, set before Airflow is imported by any test of this folder."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
PLAN = {"dataset": "/data/with space; rm -rf x", "catalogue": "c", "preset": "tiny", "run_date": "2025-12-28"}

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="nightlens-airflow-")
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "True"
os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "False"


@pytest.fixture(scope="session")
def dags() -> dict[str, Any]:
    """Every DAG of the project, none of which fails to import, in an Airflow with the pool that they ask for."""
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb

    initdb()
    bag = BundleDagBag(str(DAGS), bundle_path=DAGS, bundle_name="dags-folder")
    assert bag.import_errors == {}
    Pool.create_or_update_pool("gpu", slots=1, description="", include_deferred=False)
    return dict(bag.dags)


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    """The DAG that a file of tests is about, by the name `DAG` there."""
    return dags[request.module.DAG]


def calls(folder: Path) -> list[str]:
    """Return the commands that were started in place of a stage's own."""
    return (folder / "calls").read_text().splitlines()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dag: Any) -> Path:
    """Replace the interpreter the operator starts by a script that notes its arguments.

    It prints what is in `<stage>.out`, or else a plan. It exits with the status in `<stage>.status`, taking that file
    away so that a second try succeeds.
    """
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/bash\n"
        f'cd {tmp_path}; shift 2; printf "%s\\n" "$*" >> calls; stage=$1\n'
        'if [ -f "$stage.status" ]; then status=$(cat "$stage.status"); rm "$stage.status"; '
        'echo "nightlens $stage: it went wrong"; exit "$status"; fi\n'
        f"echo working; if [ -f $stage.out ]; then cat $stage.out; else echo '{json.dumps(PLAN)}'; fi\n"
    )
    script.chmod(0o755)
    operator = sys.modules[next(type(task).__module__ for task in dag.tasks if hasattr(task, "arguments"))]
    monkeypatch.setattr(operator.sys, "executable", str(script))
    for task in dag.tasks:
        monkeypatch.setattr(task, "retry_delay", timedelta(0))
    return tmp_path


@pytest.fixture(scope="session")
def client(dags: dict[str, Any]) -> Iterator[Any]:
    """Airflow's REST API in this process, logged in."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(apps="core")) as test_client:
        token = test_client.get("/auth/token").json()["access_token"]
        test_client.headers["Authorization"] = f"Bearer {token}"
        yield test_client
