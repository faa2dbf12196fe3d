"""How the night was made: the model version, stages with durations and digests, parameters, versions."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from datetime import datetime, time, timedelta
from typing import Any

from jobs.datasets.embeddings import PhotoEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ChampionFacts, RegistrationFacts
from jobs.lake.manifest import Manifest
from jobs.report.inputs import Night
from jobs.report.names import in_order
from models.windows import in_words

_LIBRARIES = (
    *("apache-airflow", "pyspark", "great-expectations", "torch", "open-clip-torch", "faiss-cpu", "lightgbm"),
    *("mlflow", "polars", "pyarrow", "numpy", "pillow"),
)


def run_facts(night: Night) -> dict[str, Any]:
    """Return durations, versions and lineage."""
    splits, embeddings = night.facts(SplitsFacts), night.facts(PhotoEmbeddingsFacts).arms
    runs = {night.stages[name]: manifest for name, manifest in night.inputs.items()}
    return {
        "runs": runs,
        "params": {stage: _params(manifest) for stage, manifest in runs.items()},
        "seconds": sum(manifest.duration_seconds for manifest in runs.values()),
        "longest": max(manifest.duration_seconds for manifest in runs.values()),
        "fresh_count": sum(manifest.night == night.run_id for manifest in runs.values()),
        "splits": splits,
        "windows": {name: _window(*ends) for name, ends in splits.windows.items()},
        "registration": night.facts(RegistrationFacts),
        "live": night.facts(ChampionFacts).live,
        "embeddings": [(one, embeddings[one.key]) for one in in_order(embeddings)],
        "versions": {
            "Python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
    }


def _window(first: datetime, after: datetime) -> str:
    """Return the first and the last day of a half-open window, or its ends where they lie within days."""
    if first == after:
        return "none: nothing was kept aside"
    if first.time() == after.time() == time():
        return f"{first:%Y-%m-%d} to {after - timedelta(microseconds=1):%Y-%m-%d}"
    return f"{in_words(first)} up to {in_words(after)}"


def _params(manifest: Manifest) -> str:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in manifest.params.items()}
    return ", ".join(f"{name}={text}" for name, text in texts.items()) or "none"
