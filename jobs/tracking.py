"""MLflow: the night's run, the registered model, its versions and aliases. The only module that imports mlflow.

Names, for a catalogue `sample`: experiment and registered model are both `nightlens-sample`. Alias `challenger`
is the last night's model; `champion` is the one that is live and follows the promotion ledger (`jobs.releasing`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # a model needs a few packages, not this project's lock file
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 14 seconds instead of 4 minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # each: two minutes for a server that hangs, not eight
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # with user and password in it

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
import requests
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema, TensorSpec

from jobs.errors import BadInput, LostWork, MissingInput, NightlensError
from jobs.settings import PROJECT_ROOT, Settings

P = ParamSpec("P")
R = TypeVar("R")
CHALLENGER, CHAMPION = "challenger", "champion"
DESCRIPTION_LENGTH = 5000
"""What MLflow's database keeps of a description."""
_LOADER = "models.serving"
_REQUIREMENTS = (
    "mlflow",
    "numpy",
    "open-clip-torch",
    "pandas",
    "pillow",
    "pydantic",
    "safetensors",
    "sentencepiece",
    "torch",
    "torchvision",
    "transformers",
)
_PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}
"""What MLflow calls a server that is down, hangs or is overloaded."""
_METRICS_AT_ONCE = 1000
_PARAMS_AT_ONCE = 100

for _name in ("alembic", "mlflow"):  # a hundred lines of migrations say nothing to the reader of a night's log
    logging.getLogger(_name).setLevel(logging.WARNING)
# says with a stack trace what `_unusable` says in a line
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # warns that no pip is installed beside uv


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """What MLflow calls it."""
        return f"models:/{self.name}/{self.number}"


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


def model_name(catalogue: str) -> str:
    """Return the name of a catalogue's experiment and registered model."""
    return f"nightlens-{catalogue}"


# -- the connection --------------------------------------------------------------------------------------


def ensure_database(settings: Settings) -> None:
    """Make the tracking database if there is none, one process at a time.

    Raises `LostWork` if a server cannot be reached, `NightlensError` if MLflow fails otherwise. Two processes that
    first touch a new SQLite database at once would leave it broken for good.
    """
    uri = settings.tracking_uri
    with _alone(settings):
        try:
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            _use(uri).search_experiments(max_results=1)
        except Exception as error:  # MLflow passes on the errors of whichever database or HTTP library it uses
            raise _unusable(settings, error) from None  # its text may hold the password


def _unusable(settings: Settings, error: Exception) -> NightlensError:
    """Return what to tell of a failure of MLflow: one line, without user and password."""
    text = str(error).strip() or type(error).__name__
    told = [line for line in text.splitlines() if not line.startswith("(raised as a result of")]  # SQLAlchemy's preface
    reason = (told or [text])[0].rstrip(".")
    credentials = urlsplit(settings.tracking_uri).netloc.rpartition("@")[0]
    if credentials:
        reason = reason.replace(f"{credentials}@", "").replace(credentials, "***")
    is_server = settings.tracking_uri.startswith("http")
    is_passing = error.error_code in _PASSING if isinstance(error, MlflowException) and is_server else is_server
    kind = LostWork if is_passing or "database or disk is full" in text or "is locked" in text else NightlensError
    todo = (
        "the server runs and answers (`make up`)" if is_server else "the database can be written (room, owner, mount)"
    )
    return kind(
        f"MLflow at {settings.public_tracking_uri} cannot be used: {reason}. Check that {todo}, and "
        f"NIGHTLENS_TRACKING_URI; then run the same command again."
    )


def _reached(function: Callable[Concatenate[Settings, P], R]) -> Callable[Concatenate[Settings, P], R]:
    """Let a function that speaks to MLflow fail as `_unusable` says if MLflow does, also in the middle."""

    @wraps(function)
    def speaking(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(settings, *args, **kwargs)
        except (MlflowException, requests.RequestException) as error:
            raise _unusable(settings, error) from None

    return speaking


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one process of this state folder at a time into the block."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with (settings.state_dir / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _use(uri: str) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def _client(settings: Settings) -> mlflow.MlflowClient:
    ensure_database(settings)
    return _use(settings.tracking_uri)


# -- the run of a night ----------------------------------------------------------------------------------


@_reached
def log_night(settings: Settings, catalogue: str, record: NightRecord) -> str:
    """Write a night's parameters, curves, metrics and inputs to its run and return the run's id.

    The run with the tags of `record.key` is taken up again if there is one, so a repeated call adds nothing.
    """
    client = _client(settings)
    with _alone(settings):
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


@_reached
def finish_run(settings: Settings, run_id: str) -> None:
    """Mark a run as finished."""
    _client(settings).set_terminated(run_id)


@_reached
def run_page(settings: Settings, run_id: str) -> str:
    """Return where a run is shown: a link if MLflow is a server, else its place below any server's address."""
    experiment_id = _client(settings).get_run(run_id).info.experiment_id
    page = f"#/experiments/{experiment_id}/runs/{run_id}"
    return f"{settings.public_tracking_uri}/{page}" if settings.tracking_uri.startswith("http") else f"/{page}"


@_reached
def log_evaluation(settings: Settings, registration: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Add test metrics to the run of a registration (the facts of that dataset) and its hit rate to the version.

    Metrics are named `<arm>/<metric>_at_<k>` and appear as `test/<arm>/...`. `<registered arm>/hit_rate_at_10` must
    be among them: it becomes the version's tag and the run's metric `hit_rate_at_10`, by which nights compare.
    """
    headline = f"{registration['arm']}/hit_rate_at_10"
    if headline not in metrics:
        raise BadInput(f"no metric {headline!r} to log for {registration['model_name']}; there are {sorted(metrics)}")
    client = _client(settings)
    run = _run_of(client, settings, registration)
    at = run.info.start_time  # so that the same metrics logged twice are one point, not two
    points = {"hit_rate_at_10": metrics[headline]} | {f"test/{name}": value for name, value in metrics.items()}
    client.log_batch(run.info.run_id, metrics=[Metric(name, value, at, 0) for name, value in points.items()])
    name, number = registration["model_name"], str(registration["version"])
    client.set_model_version_tag(name, number, "hit_rate_at_10", f"{metrics[headline]:.4f}")


@_reached
def log_report(settings: Settings, registration: Mapping[str, Any], report: Path | str) -> None:
    """Add the night's report, a file or the HTML itself, to the run of a registration as artifact report.html."""
    html = report.read_text(encoding="utf-8") if isinstance(report, Path) else report
    client = _client(settings)
    client.log_text(_run_of(client, settings, registration).info.run_id, html, "report.html")


def _run_of(client: mlflow.MlflowClient, settings: Settings, registration: Mapping[str, Any]) -> Run:
    try:
        return client.get_run(registration["mlflow_run_id"])
    except MlflowException as error:
        raise MissingInput(
            f"MLflow at {settings.public_tracking_uri} has no run {registration['mlflow_run_id']}, with which "
            f"{registration['model_name']} version {registration['version']} was registered. If its database was "
            f"replaced, delete that night's dataset `registration` from the lake and rerun register_model."
        ) from error


@_reached
def logged_nights(settings: Settings, catalogue: str) -> list[tuple[str, str]]:
    """Return run id and run date of every run that `log_night` made for a catalogue; nobody else's."""
    client = _client(settings)
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


@_reached
def remove_run(settings: Settings, catalogue: str, run_id: str, versions: list[int], *, dry_run: bool = False) -> int:
    """Remove a run with its artifacts and the versions that were registered from it; return the artifacts' bytes.

    MLflow keeps the run's own record as deleted, until `mlflow gc`. With `dry_run` nothing is removed.
    """
    client = _client(settings)
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
            f"experiment {name!r} was deleted in MLflow at {settings.public_tracking_uri}: restore it there"
        )
    return str(experiment.experiment_id)


# -- the registry ----------------------------------------------------------------------------------------


@_reached
def register_version(
    settings: Settings, catalogue: str, run_id: str, folder: Path, dim: int, tags: Mapping[str, str], card: str
) -> Version:
    """Register the model saved in `folder` with tags and card, or return the version of this digest there is.

    Tags must hold `model_digest`. The version is made of the files of `folder` and the package `models`; nothing
    is pickled. `dim` is the length of the vectors it returns.
    """
    client = _client(settings)
    name = model_name(catalogue)
    known = [v for v in versions(settings, catalogue) if v.tags.get("model_digest") == tags["model_digest"]]
    if known:
        number = known[0].number
    else:
        _ensure_model(client, name, catalogue)
        _drop_unregistered(client, run_id)
        with mlflow.start_run(run_id=run_id), _own_code_first():
            logged = mlflow.pyfunc.log_model(
                name="search_model",
                loader_module=_LOADER,
                data_path=str(folder),
                code_paths=[str(PROJECT_ROOT / "models")],
                signature=_signature(dim),
                input_example=pd.DataFrame({"query": ["cat", "sunset"], "country": ["GB", ""]}),
                pip_requirements=[f"{package}=={installed_version(package)}" for package in _REQUIREMENTS],
                tags=dict(tags),
            )
        made = client.create_model_version(name, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id)
        number = int(made.version)
    client.update_model_version(name, str(number), card)
    return _version(client.get_model_version(name, str(number)))


@_reached
def versions(settings: Settings, catalogue: str) -> list[Version]:
    """Return the registered versions of a catalogue's model, oldest first."""
    found = _client(settings).search_model_versions(f"name = '{model_name(catalogue)}'", max_results=10_000)
    return sorted((_version(entry) for entry in found), key=lambda version: version.number)


@_reached
def find_version(settings: Settings, catalogue: str, number: int) -> Version:
    """Return a registered version; `MissingInput` if there is none of this number."""
    try:
        return _version(_client(settings).get_model_version(model_name(catalogue), str(number)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise MissingInput(
            f"{model_name(catalogue)} has no version {number} in MLflow at {settings.public_tracking_uri}: it was "
            f"deleted, or the database was replaced. Restore it, or promote a version there is: "
            f"nightlens promote --help"
        ) from error


@_reached
def resolve_alias(settings: Settings, catalogue: str, alias: str) -> Version | None:
    """Return the version an alias points to, or None if there is no such alias or no model yet."""
    client = _client(settings)
    models = client.search_registered_models(f"name = '{model_name(catalogue)}'")
    if not models or alias not in models[0].aliases:
        return None
    return _version(client.get_model_version(model_name(catalogue), str(models[0].aliases[alias])))


@_reached
def aliased_versions(settings: Settings, catalogue: str) -> set[int]:
    """Return the versions that any alias points to."""
    models = _client(settings).search_registered_models(f"name = '{model_name(catalogue)}'")
    return {int(version) for model in models for version in model.aliases.values()}


@_reached
def set_alias(settings: Settings, version: Version, alias: str) -> None:
    """Point an alias to a version."""
    _client(settings).set_registered_model_alias(version.name, alias, str(version.number))


@_reached
def move_champion(settings: Settings, catalogue: str, number: int | None) -> None:
    """Point the alias `champion` to a version, or take it away; what is so already is left alone."""
    before = resolve_alias(settings, catalogue, CHAMPION)
    if (None if before is None else before.number) == number:
        return
    client, name = _client(settings), model_name(catalogue)
    if number is None:
        client.delete_registered_model_alias(name, CHAMPION)
    else:
        client.set_registered_model_alias(name, CHAMPION, str(number))


@_reached
def set_section(settings: Settings, version: Version, heading: str, text: str) -> None:
    """Make `text` (Markdown) the last section of a version's description, under `heading`.

    Where MLflow does not keep so much, the end of what stands before it is cut.
    """
    client = _client(settings)
    card = client.get_model_version(version.name, str(version.number)).description or ""
    before = card.split(f"\n\n{heading}\n", 1)[0]
    section = f"\n\n{heading}\n\n{text}"[:DESCRIPTION_LENGTH]
    whole = before[: DESCRIPTION_LENGTH - len(section)] + section
    client.update_model_version(version.name, str(version.number), whole)


@_reached
def set_tag(settings: Settings, version: Version, name: str, value: str) -> None:
    """Set one tag of a version."""
    _client(settings).set_model_version_tag(version.name, str(version.number), name, value)


@_reached
def load_version(settings: Settings, version: Version) -> Callable[[pd.DataFrame], npt.NDArray[np.float32]]:
    """Load a version through MLflow, as a server would, and return its `predict` (see `models.serving.Embedder`).

    Raises `BadInput` for a version that would be loaded otherwise, above all from a pickle, which can run code.
    """
    _client(settings)
    flavour = Model.load(version.uri).flavors.get("python_function", {})
    if flavour.get("loader_module") != _LOADER or "python_model" in flavour:
        raise BadInput(
            f"{version.uri} is loaded by {flavour.get('loader_module')!r}, not by {_LOADER!r}: it was not registered "
            f"by register_model, may hold a pickle and is refused. Delete that version in MLflow and rerun "
            f"register_model."
        )
    with _own_code_first():
        predict: Callable[[pd.DataFrame], npt.NDArray[np.float32]] = mlflow.pyfunc.load_model(version.uri).predict
    return predict


@_reached
def download_model(settings: Settings, version: Version, folder: Path) -> None:
    """Copy the files that were registered as a version into `folder`, which must exist."""
    _client(settings)
    with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
        whole = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri, dst_path=temporary))
        saved = whole / Model.load(str(whole)).flavors["python_function"]["data"]
        for path in sorted(saved.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(saved)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)


@contextmanager
def _own_code_first() -> Iterator[None]:
    """Undo that MLflow puts the code which a version carries before this project's own when it loads one."""
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path


def _ensure_model(client: mlflow.MlflowClient, name: str, catalogue: str) -> None:
    if client.search_registered_models(f"name = '{name}'"):
        return
    lines = [
        f"Search models of the catalogue `{catalogue}`: one version for every new model.",
        "",
        f"- **{CHALLENGER}** is the model of the last night.",
        f"- **{CHAMPION}** is the model that is live. It moves by an explicit act alone: the DAG `nightlens_promote` "
        f"or `nightlens promote --catalogue {catalogue} --version N --reason WHY`.",
    ]
    client.create_registered_model(name, description="\n".join(lines))


def _drop_unregistered(client: mlflow.MlflowClient, run_id: str) -> None:
    """Remove what a call that was cut off between logging and registering left in its run."""
    experiment_id = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        client.delete_logged_model(model.model_id)


def _version(entry: Any) -> Version:
    return Version(entry.name, int(entry.version), entry.run_id, dict(entry.tags))


def _signature(dim: int) -> ModelSignature:
    keyword = Object([Property("keyword", DataType.string), Property("confidence", DataType.double)])
    columns: dict[str, DataType | Array] = {
        "query": DataType.string,
        "country": DataType.string,
        "image": DataType.binary,
        "keywords": Array(keyword),
    }
    inputs: list[ColSpec | TensorSpec] = [ColSpec(kind, name, required=False) for name, kind in columns.items()]
    return ModelSignature(Schema(inputs), Schema([TensorSpec(np.dtype("float32"), (-1, dim))]))
