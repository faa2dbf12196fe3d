"""What a worker process needs to embed: the model by value, and the job it is part of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from models.search.errors import ModelError
from models.search.identity import ModelIdentity

if TYPE_CHECKING:
    from models.search.model import SearchModel


@dataclass(frozen=True)
class ModelSource:
    """A committed search model by value: all that a worker process needs to load it."""

    lake_uri: str
    catalogue: str
    manifest_json: str
    folder: str

    def identity(self) -> ModelIdentity:
        """Read who the model is."""
        with self._local_folder() as folder:
            return ModelIdentity.read(folder)

    def load(self, device: str = "cpu") -> SearchModel:
        """Load the model, from the lake's folder or, of an object store, from a temporary copy."""
        from models.search.model import SearchModel

        with self._local_folder() as folder:
            return SearchModel.load(folder, device)

    @contextmanager
    def _local_folder(self) -> Iterator[Path]:
        lake, manifest = Lake(self.lake_uri, self.catalogue), Manifest.model_validate_json(self.manifest_json)
        with lake.local_folder(manifest, self.folder) as folder:
            try:
                yield folder
            except ModelError as error:
                raise BadInput(
                    error.code,
                    f"model {self.folder!r} of {manifest.reference}: {error}",
                    **error.named | {"run": manifest.reference, "model": self.folder},
                ) from error


@dataclass(frozen=True)
class EncodeJob:
    """What the workers of one embedding pass share. `precision` bfloat16 means autocast, on a GPU only."""

    source: ModelSource
    store_names: tuple[str, ...]
    precision: str
    batch_size: int

    @property
    def store(self) -> Store:
        """The store that the parts go to."""
        return Lake(self.source.lake_uri, self.source.catalogue).store(*self.store_names)
