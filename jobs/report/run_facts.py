"""How the night was made: the model version, stages with durations and digests, parameters, versions."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from jobs.config.params.ingest import EIGHTY_TWENTY, WINDOWS
from jobs.datasets.embeddings import PhotoEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ChampionFacts, RegistrationFacts
from jobs.lake.manifest import Manifest
from jobs.report import formats
from jobs.report.arms import in_order
from jobs.report.inputs import Night
from models.windows import in_words

LIBRARIES = (
    "apache-airflow",
    "pyspark",
    "great-expectations",
    "torch",
    "open-clip-torch",
    "faiss-cpu",
    "lightgbm",
    "mlflow",
    "polars",
    "pyarrow",
    "numpy",
    "pillow",
)


@dataclass(frozen=True)
class Fact:
    """A name and its value; codes are set in a fixed-width face."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True)
class StageRow:
    """One stage: what it committed, how long it took, whether tonight or on an earlier run."""

    stage: str
    rows: str
    duration: str
    share: float  # of the longest stage, percent
    is_reused: bool
    params: str
    reference: str
    digest: str


@dataclass(frozen=True)
class RunFacts:
    """The section as a whole."""

    run: tuple[Fact, ...]
    model: tuple[Fact, ...]
    embeddings: tuple[tuple[str, str, str, str], ...]  # arm, computed tonight, taken over, model digest
    stages: tuple[StageRow, ...]
    total: str
    versions: tuple[Fact, ...]


_PROTOCOLS = {
    WINDOWS: "windows by days; candidates are the photos there when a search was made",
    EIGHTY_TWENTY: "80/20 by number of conversions; candidates are all photos",
}


def run_facts(night: Night) -> RunFacts:
    """Return durations, rows, versions and lineage."""
    ctx = night.ctx
    splits = night.facts(SplitsFacts)
    seconds = [manifest.duration_seconds for manifest in night.inputs.values()]
    return RunFacts(
        run=(
            Fact("Catalogue", ctx.catalogue),
            Fact("Data set", ctx.dataset_uri, is_code=True),
            Fact("Night", night.run_id, is_code=True),
            Fact("Log known until", f"{ctx.as_of:%Y-%m-%d %H:%M} UTC"),
            Fact("Protocol", _PROTOCOLS[splits.protocol]),
            Fact("Training window", _window(*splits.windows["train"])),
            Fact("Validation window", _window(*splits.windows["validation"])),
            Fact("Test window", _window(*splits.windows["test"])),
            Fact("Seed", str(ctx.seed)),
            Fact("Code of this report", ctx.code_version, is_code=True),
            Fact("Git", ctx.git_version, is_code=True),
        ),
        model=_model_facts(night),
        embeddings=_embedding_rows(night),
        stages=tuple(_stage_row(night, name, manifest, max(seconds)) for name, manifest in night.inputs.items()),
        total=formats.duration(sum(seconds)),
        versions=_versions(),
    )


def _window(first: datetime, after: datetime) -> str:
    """Return the first and the last day of a half-open window, or its ends where they lie within days."""
    if first == after:
        return "none: nothing was kept aside"
    if first.time() == after.time() == time():
        return f"{first:%Y-%m-%d} to {after - timedelta(microseconds=1):%Y-%m-%d}"
    return f"{in_words(first)} up to {in_words(after)}"


def _model_facts(night: Night) -> tuple[Fact, ...]:
    facts, live = night.facts(RegistrationFacts), night.facts(ChampionFacts).live
    return (
        Fact("Registered model", facts.model_name),
        Fact("Challenger version", str(facts.version)),
        Fact("Champion version", "none" if live is None else str(live.version)),
        Fact("MLflow run", facts.mlflow_run_id, is_code=True),
        Fact("Model digest", facts.model_digest, is_code=True),
    )


def _embedding_rows(night: Night) -> tuple[tuple[str, str, str, str], ...]:
    arms = night.facts(PhotoEmbeddingsFacts).arms
    return tuple(
        (
            one.name,
            formats.count(arms[one.key].embedded_count),
            formats.count(arms[one.key].reused_count),
            arms[one.key].model_digest,
        )
        for one in in_order(arms)
    )


def _stage_row(night: Night, name: str, manifest: Manifest, longest: float) -> StageRow:
    rows = ", ".join(f"{table.replace('_', ' ')} {formats.count(n)}" for table, n in manifest.row_counts.items())
    return StageRow(
        stage=night.stages[name],
        rows=rows or f"files {formats.count(len(manifest.files))}",
        duration=formats.duration(manifest.duration_seconds),
        share=round(100 * manifest.duration_seconds / longest, 1) if longest else 0.0,
        is_reused=manifest.night != night.run_id,
        params=", ".join(f"{param}={_plain(value)}" for param, value in manifest.params.items()) or "none",
        reference=manifest.reference,
        digest=manifest.digest[:16],
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _versions() -> tuple[Fact, ...]:
    found = [Fact("Python", platform.python_version())]
    return (*found, *(Fact(name, importlib.metadata.version(name)) for name in LIBRARIES))
