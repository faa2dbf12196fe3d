"""A night's run in MLflow: record, metrics, report, removal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import mlflow
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from jobs.adapters.mlflow_connection import client_of, exclusive_lock, model_name, translate_mlflow_errors
from jobs.config.settings import Settings
from jobs.datasets.models import RegistrationFacts
from jobs.errors import BadInput, MissingInput, NightlensError

REPORT_FILE = "report.html"
"""The artifact of a night's run that is its report."""
_METRICS_AT_ONCE = 1000
_PARAMS_AT_ONCE = 100


@dataclass(frozen=True)
class NightRecord:
    """What is kept of a night. `key` finds its run again; `curves` are (name, step, value).

    `inputs` are (dataset, digest, lake reference).
    """

    title: str
    description: str
    key: Mapping[str, str]
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: list[tuple[str, int, float]] = field(repr=False)
    inputs: list[tuple[str, str, str]]
    recorded_at: datetime


@translate_mlflow_errors
def log_night(settings: Settings, catalogue: str, record: NightRecord) -> str:
    """Write a night's parameters, curves, metrics and inputs to its run and return the run's id.

    The run with the tags of `record.key` is taken up again if there is one, so a repeated call adds nothing.
    """
    client = client_of(settings)
    with exclusive_lock(settings):
        run_id = _find_or_start(client, settings, catalogue, record)
    at = round(record.recorded_at.timestamp() * 1000)
    metrics = [Metric(_metric_name(name), value, at, 0) for name, value in record.metrics.items()]
    metrics += [Metric(_metric_name(name), value, at, step) for name, step, value in record.curves]
    for start in range(0, len(metrics), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])
    params = [Param(name, value) for name, value in record.params.items()]
    for start in range(0, len(params), _PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params[start : start + _PARAMS_AT_ONCE])
    tags = {**record.tags, "mlflow.note.content": record.description}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    inputs = [Dataset(name, digest[:32], "lake", reference) for name, digest, reference in record.inputs]
    client.log_inputs(run_id, [DatasetInput(dataset) for dataset in inputs])
    return run_id


@translate_mlflow_errors
def finish_run(settings: Settings, run_id: str) -> None:
    """Mark a run as finished."""
    client_of(settings).set_terminated(run_id)


@translate_mlflow_errors
def run_page(settings: Settings, run_id: str) -> str:
    """Return where a run is shown: a link if MLflow is a server, else its place below any server's address."""
    experiment_id = client_of(settings).get_run(run_id).info.experiment_id
    page = f"#/experiments/{experiment_id}/runs/{run_id}"
    return f"{settings.public_tracking_uri}/{page}" if settings.tracking_uri.startswith("http") else f"/{page}"


@translate_mlflow_errors
def log_evaluation(
    settings: Settings, registration: RegistrationFacts, challenger: str, metrics: Mapping[str, float]
) -> None:
    """Add test metrics to the run of a registration and the challenger's hit rate to the version.

    Metrics are named `<arm>/<metric>_at_<k>` and appear as `test/<arm>/...`. `<challenger>/hit_rate_at_10` must be
    among them: it becomes the version's tag and the run's metric `hit_rate_at_10`, by which nights compare.
    """
    headline = f"{challenger}/hit_rate_at_10"
    if headline not in metrics:
        raise BadInput(
            "no_such_metric",
            f"no metric {headline!r} to log for {registration.model_name}; there are {sorted(metrics)}",
            metric=headline,
        )
    client = client_of(settings)
    run = _run_of(client, settings, registration)
    at = run.info.start_time  # so that the same metrics logged twice are one point, not two
    points = {"hit_rate_at_10": metrics[headline]} | {f"test/{name}": value for name, value in metrics.items()}
    client.log_batch(run.info.run_id, metrics=[Metric(name, value, at, 0) for name, value in points.items()])
    name, number = registration.model_name, str(registration.version)
    client.set_model_version_tag(name, number, "hit_rate_at_10", f"{metrics[headline]:.4f}")


@translate_mlflow_errors
def log_report(settings: Settings, registration: RegistrationFacts, html: str) -> None:
    """Add the night's report to the run of a registration as the artifact `REPORT_FILE`."""
    client = client_of(settings)
    client.log_text(_run_of(client, settings, registration).info.run_id, html, REPORT_FILE)


def report_page(run_page: str) -> str:
    """Return where MLflow shows the report of a run that it shows at `run_page`.

    >>> report_page("http://mlflow:5000/#/experiments/1/runs/abc")
    'http://mlflow:5000/#/experiments/1/runs/abc/artifacts/report.html'
    """
    return f"{run_page}/artifacts/{REPORT_FILE}"


def _run_of(client: mlflow.MlflowClient, settings: Settings, registration: RegistrationFacts) -> Run:
    try:
        return client.get_run(registration.mlflow_run_id)
    except MlflowException as error:
        raise MissingInput(
            "no_mlflow_run",
            f"MLflow at {settings.public_tracking_uri} has no run {registration.mlflow_run_id}, with which "
            f"{registration.model_name} version {registration.version} was registered. If its database was "
            f"replaced, delete that night's dataset `registration` from the lake and rerun register_model.",
            run_id=registration.mlflow_run_id,
        ) from error


@translate_mlflow_errors
def logged_nights(settings: Settings, catalogue: str) -> list[tuple[str, str]]:
    """Return run id and run date of every run that `log_night` made for a catalogue; nobody else's."""
    client = client_of(settings)
    experiment = client.get_experiment_by_name(model_name(catalogue))
    found: list[tuple[str, str]] = []
    token: str | None = None
    while experiment is not None:
        page = client.search_runs([experiment.experiment_id], f"tags.catalogue = '{catalogue}'", page_token=token)
        tags = ((run.info.run_id, run.data.tags) for run in page)
        found += [(run_id, tag["run_date"]) for run_id, tag in tags if "run_date" in tag and "lake_run" in tag]
        token = page.token
        if not token:
            break
    return found


@translate_mlflow_errors
def remove_run(settings: Settings, catalogue: str, run_id: str, versions: list[int], *, dry_run: bool = False) -> int:
    """Remove a run with its artifacts and the versions that were registered from it; return the artifacts' bytes.

    MLflow keeps the run's own record as deleted, until `mlflow gc`. With `dry_run` nothing is removed.
    """
    client = client_of(settings)
    run = client.get_run(run_id)
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    places = [get_artifact_repository(uri) for uri in (run.info.artifact_uri, *(m.artifact_location for m in models))]
    byte_count = sum(_artifact_bytes(place) for place in places)
    if dry_run:
        return byte_count
    for number in versions:
        client.delete_model_version(model_name(catalogue), str(number))
    for place in places:
        place.delete_artifacts()
    for model in models:
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)
    return byte_count


def _artifact_bytes(place: ArtifactRepository, folder: str | None = None) -> int:
    infos = place.list_artifacts(folder)
    return sum(_artifact_bytes(place, info.path) if info.is_dir else info.file_size or 0 for info in infos)


def _metric_name(name: str) -> str:
    """Return a name MLflow takes: it refuses hit_rate@10."""
    return name.replace("@", "_at_")


def _find_or_start(client: mlflow.MlflowClient, settings: Settings, catalogue: str, record: NightRecord) -> str:
    experiment_id = _experiment(client, settings, catalogue)
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in record.key.items())
    found = client.search_runs([experiment_id], wanted, max_results=1, order_by=["attributes.start_time"])
    if found:
        run_id: str = found[0].info.run_id
        return run_id
    run = client.create_run(experiment_id, run_name=record.title, tags=dict(record.key))
    return str(run.info.run_id)


def _experiment(client: mlflow.MlflowClient, settings: Settings, catalogue: str) -> str:
    name = model_name(catalogue)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        is_server = settings.tracking_uri.startswith("http")  # a server knows where its artifacts belong
        place = None if is_server else f"{settings.artifact_uri.rstrip('/')}/{catalogue}"
        return str(client.create_experiment(name, artifact_location=place))
    if experiment.lifecycle_stage == "deleted":
        raise NightlensError(
            "experiment_deleted",
            f"experiment {name!r} was deleted in MLflow at {settings.public_tracking_uri}: restore it there",
            experiment=name,
        )
    return str(experiment.experiment_id)
