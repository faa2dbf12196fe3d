"""What a dataset and a table are, and the types that their columns have."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Protocol, Self

import pyarrow as pa
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from jobs.errors import BadInput

TIMESTAMP = pa.timestamp("us", tz="UTC")
Instant = Annotated[
    AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC)), PlainSerializer(datetime.isoformat, return_type=str)
]
"""A fact that is a moment in UTC; in the manifest it is ISO 8601, such as 2025-12-28T00:00:00+00:00."""
LAYERS = ("clean", "embeddings", "features", "indexes", "models", "releases", "reports")


@dataclass(frozen=True)
class Table:
    """One Parquet table of a dataset. `schema` fixes names and types; an empty table is an error unless allowed."""

    name: str
    schema: pa.Schema
    may_be_empty: bool = False


class HasFacts(Protocol):
    """A committed run, as far as its facts go."""

    @property
    def facts(self) -> dict[str, Any]:
        """The facts as the manifest holds them."""

    @property
    def reference(self) -> str:
        """Name of the run."""


class Facts(BaseModel):
    """What a run found besides its tables and files; one class per dataset, declared beside its schema.

    `MEASURED` names the fields that differ from run to run though the content is the same, such as seconds: what is
    made from a run does not depend on them. Parts of facts that are classes of their own have their own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    MEASURED: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def of(cls, run: HasFacts) -> Self:
        """Return the facts of a committed run of this class's dataset; `BadInput` for those of another version."""
        try:
            return cls.model_validate(run.facts)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
            raise BadInput(
                "facts_of_other_version",
                f"{run.reference} was made by another version of Nightlens: its facts differ in {places}. Run that "
                f"night again.",
                run=run.reference,
            ) from error

    def as_json(self) -> dict[str, Any]:
        """Return the facts as a manifest holds them."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """Digest of what later runs may depend on: all but what is `MEASURED`."""
        stable = self.model_dump(mode="json", context={"leaves_out": "measured"})
        return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()

    @model_serializer(mode="wrap")
    def _serialise(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        left_out = self.MEASURED if info.context else ()
        return {name: value for name, value in found.items() if name not in left_out}


@dataclass(frozen=True)
class Dataset:
    """What one stage commits: its tables and (free-form) files live together under one manifest, with its facts."""

    name: str
    layer: str
    tables: tuple[Table, ...] = ()
    facts: type[Facts] = Facts

    def table(self, name: str) -> Table:
        """Return the declaration of one table; `KeyError` names the known ones."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(f"dataset {self.name!r} has no table {name!r}; it has {[t.name for t in self.tables]}")


def schema(**columns: pa.DataType) -> pa.Schema:
    """Return a schema, columns in the order given."""
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


STR, BOOL, I32, I64 = pa.string(), pa.bool_(), pa.int32(), pa.int64()


F32, F64 = pa.float32(), pa.float64()


VECTOR = pa.list_(F32)
