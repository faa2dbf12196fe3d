"""The base of all Params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.errors import BadInput


class Params(BaseModel):
    """Base of all Params: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, owner: str, values: Mapping[str, Any]) -> Self:
        """Return the Params of a stage or tool, the `owner`; `BadInput` names every value that cannot be."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors()}
            told = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
            raise BadInput(
                "bad_parameters", f"parameters of {owner}: {told}", owner=owner, parameters=list(faults)
            ) from error
