"""MLflow's registry: the registered model, its versions and aliases.

Names, for a catalogue `sample`: experiment and registered model are both `nightlens-sample`. Alias `challenger`
is the last night's search; `champion` is the one that is live and follows the promotion ledger (`jobs.releasing`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from jobs.adapters.mlflow_connection import client_of, model_name, translate_mlflow_errors
from jobs.config.settings import Settings
from jobs.errors import MissingInput

CHALLENGER, CHAMPION = "challenger", "champion"
RELEASE_TAG = "release"
"""The tag of a version that names its release, as `ReleaseName` is spelled."""
MODEL = "model"
"""The folder of a version that holds the model of its search, as `models.serving` names it."""
DESCRIPTION_LENGTH = 5000
"""What MLflow's database keeps of a description."""

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


@translate_mlflow_errors
def versions(settings: Settings, catalogue: str) -> list[Version]:
    """Return the registered versions of a catalogue's model, oldest first."""
    found = client_of(settings).search_model_versions(f"name = '{model_name(catalogue)}'", max_results=10_000)
    return sorted((version_of(entry) for entry in found), key=lambda version: version.number)


@translate_mlflow_errors
def find_version(settings: Settings, catalogue: str, number: int) -> Version:
    """Return a registered version; `MissingInput` if there is none of this number."""
    try:
        return version_of(client_of(settings).get_model_version(model_name(catalogue), str(number)))
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
    return version_of(client.get_model_version(model_name(catalogue), str(models[0].aliases[alias])))


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
def download_model(settings: Settings, version: Version, folder: Path) -> None:
    """Copy the files of the model that is in a version into `folder`, which must exist."""
    client_of(settings)
    data = Model.load(version.uri).flavors["python_function"]["data"]
    files = get_artifact_repository(version.uri)
    # versions that an earlier version of Nightlens registered are the model alone
    within = f"{data}/{MODEL}"
    place = within if any(info.path == within for info in files.list_artifacts(data)) else data
    with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
        saved = Path(files.download_artifacts(place, temporary))
        for path in sorted(saved.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(saved)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)


def version_of(entry: Any) -> Version:
    """Return a version as this project knows it."""
    return Version(entry.name, int(entry.version), entry.run_id, dict(entry.tags))
