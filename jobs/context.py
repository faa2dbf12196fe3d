"""RunContext: when and what a run is about. Made once by the command line, handed down to every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs.config.settings import Settings
from jobs.datasets.schema import Dataset
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, fingerprint
from jobs.lake.staged_run import StagedRun

Inputs = dict[str, Manifest]
"""The runs that a run is made from, by dataset or as the stage's `choose` calls them."""


@dataclass(frozen=True)
class Chosen:
    """What a run depends on besides its stage's declared inputs; a stage's `choose` returns it.

    `inputs` are further runs, such as an earlier night's; `sources` digests of what is read from outside the lake;
    `within` names the part of the night that the run is of, such as a variant. `found` is what was found out on the
    way and `run` needs as well, such as the source whose files were read for their digests.
    """

    inputs: Mapping[str, Manifest] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    within: Mapping[str, str] = field(default_factory=dict)
    found: Any = None


class RunContext(BaseModel):
    """One night of one catalogue. Frozen; everything time-dependent derives from `run_date`."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    settings: Settings
    catalogue: str = Field(description="name of the data set in the lake")
    dataset_uri: str = Field(description="folder in the Unsplash layout")
    run_date: date = Field(description="the last day whose log is used")
    run_id: str = Field(description="name of the night in Airflow or of the call on the command line")
    started_at: datetime = Field(description="for the record only; nothing is computed from it")
    code_version: str = Field(description="digest of the code that the stage can reach")
    git_version: str = "unknown"
    seed: int = 20251006

    @property
    def as_of(self) -> datetime:
        """End of the run date (exclusive), UTC: nothing at or after it is known."""
        return datetime.combine(self.run_date + timedelta(days=1), time(), tzinfo=UTC)

    @cached_property
    def lake(self) -> Lake:
        """The lake of this catalogue."""
        return Lake(self.settings.lake_uri, self.catalogue)

    @property
    def partition(self) -> dict[str, str]:
        """The lake partition of this night."""
        return {"run_date": self.run_date.isoformat()}

    def read(self, dataset: Dataset, **within: str) -> Manifest:
        """Return the current manifest of a dataset for this night; `MissingInput` if there is none.

        `within` names one of several parts that the night has of it.
        """
        return self.lake.current(dataset, self.partition | within)

    def begin(
        self,
        dataset: Dataset,
        params: BaseModel,
        inputs: Mapping[str, Manifest],
        source_digests: Mapping[str, str] | None = None,
        **within: str,
    ) -> StagedRun:
        """Open a run of `dataset`, or of one part of it, for this night.

        If the same inputs, params, code and seed were committed before, `.manifest` of the result is set and
        the stage has nothing to do. `source_digests` names what is read from outside the lake.
        """
        identity: dict[str, Any] = {
            "dataset": dataset.name,
            "partition": self.partition | within,
            "params": params.model_dump(mode="json"),
            "inputs": {name: manifest.digest for name, manifest in sorted(inputs.items())},
            "sources": dict(source_digests or {}),
            "code_version": self.code_version,
            "seed": self.seed,
        }
        return self.lake.begin(
            dataset,
            self.partition | within,
            run_id=fingerprint(identity),
            identity=identity,
            input_runs={name: manifest.reference for name, manifest in inputs.items()},
            started_at=self.started_at,
            night=self.run_id,
            git_version=self.git_version,
        )
