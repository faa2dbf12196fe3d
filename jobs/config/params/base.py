"""The base of all Params."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Base of all Params: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
