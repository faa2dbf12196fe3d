"""MLflow's registry: the registered model, its versions and aliases.

Names, for a catalogue `sample`: experiment and registered model are both `nightlens-sample`. Alias `challenger`
is the last night's model; `champion` is the one that is live and follows the promotion ledger (`jobs.releasing`).
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema, TensorSpec

from jobs.adapters.mlflow_connection import client_of, translate_mlflow_errors
from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.errors import BadInput, MissingInput

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


def model_name(catalogue: str) -> str:
    """Return the name of a catalogue's experiment and registered model."""
    return f"nightlens-{catalogue}"


# -- the connection --------------------------------------------------------------------------------------


# -- the run of a night ----------------------------------------------------------------------------------


# -- the registry ----------------------------------------------------------------------------------------


@translate_mlflow_errors
def register_version(
    settings: Settings, catalogue: str, run_id: str, folder: Path, dim: int, tags: Mapping[str, str], card: str
) -> Version:
    """Register the model saved in `folder` with tags and card, or return the version of this digest there is.

    Tags must hold `model_digest`. The version is made of the files of `folder` and the package `models`; nothing
    is pickled. `dim` is the length of the vectors it returns.
    """
    client = client_of(settings)
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


@translate_mlflow_errors
def versions(settings: Settings, catalogue: str) -> list[Version]:
    """Return the registered versions of a catalogue's model, oldest first."""
    found = client_of(settings).search_model_versions(f"name = '{model_name(catalogue)}'", max_results=10_000)
    return sorted((_version(entry) for entry in found), key=lambda version: version.number)


@translate_mlflow_errors
def find_version(settings: Settings, catalogue: str, number: int) -> Version:
    """Return a registered version; `MissingInput` if there is none of this number."""
    try:
        return _version(client_of(settings).get_model_version(model_name(catalogue), str(number)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise MissingInput(
            "no_such_version",
            f"{model_name(catalogue)} has no version {number} in MLflow at {settings.public_tracking_uri}: it was "
            f"deleted, or the database was replaced. Restore it, or promote a version there is: "
            f"nightlens promote --help",
            model=model_name(catalogue),
            version=number,
        ) from error


@translate_mlflow_errors
def resolve_alias(settings: Settings, catalogue: str, alias: str) -> Version | None:
    """Return the version an alias points to, or None if there is no such alias or no model yet."""
    client = client_of(settings)
    models = client.search_registered_models(f"name = '{model_name(catalogue)}'")
    if not models or alias not in models[0].aliases:
        return None
    return _version(client.get_model_version(model_name(catalogue), str(models[0].aliases[alias])))


@translate_mlflow_errors
def aliased_versions(settings: Settings, catalogue: str) -> set[int]:
    """Return the versions that any alias points to."""
    models = client_of(settings).search_registered_models(f"name = '{model_name(catalogue)}'")
    return {int(version) for model in models for version in model.aliases.values()}


@translate_mlflow_errors
def set_alias(settings: Settings, version: Version, alias: str) -> None:
    """Point an alias to a version."""
    client_of(settings).set_registered_model_alias(version.name, alias, str(version.number))


@translate_mlflow_errors
def move_champion(settings: Settings, catalogue: str, number: int | None) -> None:
    """Point the alias `champion` to a version, or take it away; what is so already is left alone."""
    before = resolve_alias(settings, catalogue, CHAMPION)
    if (None if before is None else before.number) == number:
        return
    client, name = client_of(settings), model_name(catalogue)
    if number is None:
        client.delete_registered_model_alias(name, CHAMPION)
    else:
        client.set_registered_model_alias(name, CHAMPION, str(number))


@translate_mlflow_errors
def set_section(settings: Settings, version: Version, heading: str, text: str) -> None:
    """Make `text` (Markdown) the last section of a version's description, under `heading`.

    Where MLflow does not keep so much, the end of what stands before it is cut.
    """
    client = client_of(settings)
    card = client.get_model_version(version.name, str(version.number)).description or ""
    before = card.split(f"\n\n{heading}\n", 1)[0]
    section = f"\n\n{heading}\n\n{text}"[:DESCRIPTION_LENGTH]
    whole = before[: DESCRIPTION_LENGTH - len(section)] + section
    client.update_model_version(version.name, str(version.number), whole)


@translate_mlflow_errors
def set_tag(settings: Settings, version: Version, name: str, value: str) -> None:
    """Set one tag of a version."""
    client_of(settings).set_model_version_tag(version.name, str(version.number), name, value)


@translate_mlflow_errors
def load_version(settings: Settings, version: Version) -> Callable[[pd.DataFrame], npt.NDArray[np.float32]]:
    """Load a version through MLflow, as a server would, and return its `predict` (see `models.serving.Embedder`).

    Raises `BadInput` for a version that would be loaded otherwise, above all from a pickle, which can run code.
    """
    client_of(settings)
    flavour = Model.load(version.uri).flavors.get("python_function", {})
    if flavour.get("loader_module") != _LOADER or "python_model" in flavour:
        raise BadInput(
            "foreign_version",
            f"{version.uri} is loaded by {flavour.get('loader_module')!r}, not by {_LOADER!r}: it was not registered "
            f"by register_model, may hold a pickle and is refused. Delete that version in MLflow and rerun "
            f"register_model.",
            version=version.uri,
        )
    with _own_code_first():
        predict: Callable[[pd.DataFrame], npt.NDArray[np.float32]] = mlflow.pyfunc.load_model(version.uri).predict
    return predict


@translate_mlflow_errors
def download_model(settings: Settings, version: Version, folder: Path) -> None:
    """Copy the files that were registered as a version into `folder`, which must exist."""
    client_of(settings)
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
