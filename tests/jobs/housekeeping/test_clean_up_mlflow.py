"""What is removed from MLflow, in a database of its own: runs with their files and versions, nobody else's."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from jobs.adapters import mlflow_registry, mlflow_runs
from jobs.adapters.mlflow_runs import NightRecord
from jobs.context import RunContext


def record(context: RunContext, run_date: str) -> NightRecord:
    key = {"catalogue": "test", "run_date": run_date, "lake_run": f"models/{run_date}", "arm": "a"}
    return NightRecord(f"night {run_date}", "", key, {}, {}, {}, [], [], context.started_at)


def test_a_run_goes_with_its_artifacts_and_versions_and_others_stay(tracked: RunContext) -> None:
    settings = tracked.settings
    client = mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)
    runs = [mlflow_runs.log_night(settings, "test", record(tracked, day)) for day in ("2025-12-01", "2025-12-02")]
    experiment = client.get_run(runs[0]).info.experiment_id
    stranger = client.create_run(experiment, tags={"catalogue": "test", "run_date": "2025-12-01"}).info.run_id
    client.create_registered_model("nightlens-test")
    for run_id in runs:
        client.log_text(run_id, "12345", "deep/er/report.html")
        client.create_model_version("nightlens-test", client.get_run(run_id).info.artifact_uri, run_id)
    client.set_registered_model_alias("nightlens-test", "champion", "2")
    assert mlflow_registry.aliased_versions(settings, "test") == {2}
    assert mlflow_registry.aliased_versions(settings, "other") == set()
    assert sorted(mlflow_runs.logged_nights(settings, "test")) == sorted(
        zip(runs, ("2025-12-01", "2025-12-02"), strict=True)
    )
    assert mlflow_runs.logged_nights(settings, "other") == []
    artifacts = Path(settings.artifact_uri.removeprefix("file://")) / "test"
    assert mlflow_runs.remove_run(settings, "test", runs[0], [1], dry_run=True) == 5
    assert len(list(artifacts.rglob("report.html"))) == 2
    assert mlflow_runs.remove_run(settings, "test", runs[0], [1]) == 5
    assert [path.parts[-5] for path in artifacts.rglob("report.html")] == [runs[1]]
    assert [version.number for version in mlflow_registry.versions(settings, "test")] == [2]
    assert [run_id for run_id, _ in mlflow_runs.logged_nights(settings, "test")] == [runs[1]]
    assert client.get_run(stranger).info.lifecycle_stage == "active"
    with pytest.raises(mlflow.exceptions.MlflowException):
        client.get_model_version("nightlens-test", "1")
