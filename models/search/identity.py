"""Who a saved search model is, readable without loading it: digests of its parts and how it reads a query.

Free of torch, so that a driver which only plans what workers will embed starts in no time.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from models.search.errors import ModelError
from models.text import normalise_country, normalise_query

IDENTITY = "identity.json"


class ModelIdentity(BaseModel):
    """Digests are 16 hex digits: equal digests, equal vectors. What each covers is said at `SearchModel.digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    image_digest: str
    text_digest: str
    dim: int
    uses_country: bool

    def query_text(self, query: str, country: str) -> str:
        """Return what the model's text tower reads."""
        return query_text(query, country if self.uses_country else "")

    def save(self, folder: Path) -> None:
        """Write `identity.json`."""
        (folder / IDENTITY).write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> ModelIdentity:
        """Read what `save` wrote; `ModelError` if it is not there or is something else."""
        path = folder / IDENTITY
        if not path.is_file():
            raise ModelError(
                "no_search_model", f"{folder} is no search model: it has no {IDENTITY}", folder=folder, file=IDENTITY
            )
        try:
            return cls.model_validate_json(path.read_text())
        except ValidationError as error:
            raise ModelError(
                "model_file_unreadable", f"{path} does not say who a search model is: {error}", path=path
            ) from error


def query_text(query: str, country: str) -> str:
    """Return the normal form of a query with its country, if that is known, before it.

    >>> query_text("Cat", "gb"), query_text("cat", "")
    ('GB: cat', 'cat')
    """
    words = normalise_query(query)
    return f"{normalise_country(country)}: {words}" if country else words
