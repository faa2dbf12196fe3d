"""A release's search as a model in MLflow: logged and registered without pickles, and loaded back.

Apart from the registry, because this module depends on the code that loads a model: what only asks for versions and
aliases does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Object, ParamSchema, ParamSpec, Property, Schema

from jobs.adapters.mlflow_connection import client_of, model_name, translate_mlflow_errors
from jobs.adapters.mlflow_registry import CHALLENGER, CHAMPION, RELEASE_TAG, Version, version_of, versions
from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.errors import BadInput

_LOADER = "models.serving"
_REQUIREMENTS = (
    "faiss-cpu",
    "fsspec",
    "ftfy",
    "lightgbm",
    "mlflow",
    "numpy",
    "open-clip-torch",
    "pandas",
    "pillow",
    "pydantic",
    "regex",
    "s3fs",
    "safetensors",
    "scipy",
    "sentencepiece",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
)


@translate_mlflow_errors
def register_version(
    settings: Settings, catalogue: str, run_id: str, folder: Path, tags: Mapping[str, str], card: str
) -> Version:
    """Register the search saved in `folder` with tags and card, or return the version of this release there is.

    Tags must hold `RELEASE_TAG`. The version is made of the files of `folder` (see `models.serving`) and the package
    `models`; nothing is pickled.
    """
    client = client_of(settings)
    name = model_name(catalogue)
    known = [v for v in versions(settings, catalogue) if v.tags.get(RELEASE_TAG) == tags[RELEASE_TAG]]
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
                signature=_signature(),
                input_example=pd.DataFrame({"query": ["cat", "sunset"], "country": ["GB", ""]}),
                pip_requirements=[f"{package}=={installed_version(package)}" for package in _REQUIREMENTS],
                tags=dict(tags),
            )
        made = client.create_model_version(name, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id)
        number = int(made.version)
    client.update_model_version(name, str(number), card)
    return version_of(client.get_model_version(name, str(number)))


@translate_mlflow_errors
def load_version(settings: Settings, version: Version) -> Callable[..., Any]:
    """Load a version through MLflow, as a server would, and return its `predict` (see `models.serving.ReleasedSearch`).

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
        predict: Callable[..., Any] = mlflow.pyfunc.load_model(version.uri).predict
    return predict


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
        f"Searches of the catalogue `{catalogue}`: one version for every release.",
        "",
        f"- **{CHALLENGER}** is the search of the last night.",
        f"- **{CHAMPION}** is the search that is live. It moves by an explicit act alone: the DAG `nightlens_promote` "
        f"or `nightlens promote --catalogue {catalogue} --version N --reason WHY`.",
    ]
    client.create_registered_model(name, description="\n".join(lines))


def _drop_unregistered(client: mlflow.MlflowClient, run_id: str) -> None:
    """Remove what a call that was cut off between logging and registering left in its run."""
    experiment_id = client.get_run(run_id).info.experiment_id
    for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        client.delete_logged_model(model.model_id)


def _signature() -> ModelSignature:
    """Declare the tables of `ReleasedSearch.predict`; with the param `output` it gives vectors instead."""
    keyword = Object([Property("keyword", DataType.string), Property("confidence", DataType.double)])
    columns: dict[str, DataType | Array] = {
        "query": DataType.string,
        "country": DataType.string,
        "device": DataType.string,
        "orientation": DataType.string,
        "image": DataType.binary,
        "keywords": Array(keyword),
    }
    outputs = {"photos": Array(DataType.string), "scores": Array(DataType.double)}
    return ModelSignature(
        Schema([ColSpec(kind, name, required=False) for name, kind in columns.items()]),
        Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
        ParamSchema([ParamSpec("k", DataType.long, 10), ParamSpec("output", DataType.string, "photos")]),
    )
