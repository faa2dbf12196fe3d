"""Fabricated candidates: tiny models, tiny indexes and their releases, and a registry that stands in for MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.adapters import mlflow_registry
from jobs.config.params.arms import FULL
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.params.index import BuildIndexParams
from jobs.config.params.release import MakeReleaseParams
from jobs.config.params.training import RegisterModelParams, TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.embeddings import EXEMPLARS, PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.evaluation import RECOMMENDATION
from jobs.datasets.features import SPLITS
from jobs.datasets.indexes import INDEX_CHECK, PHOTO_INDEX
from jobs.datasets.models import CHAMPION, REGISTRATION, RERANKER, RegistrationFacts
from jobs.datasets.releases import RELEASE, ReleaseName
from jobs.errors import MissingInput
from jobs.evaluation.keywords import keyword_texts
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.releasing import published_pointer
from jobs.releasing.published_pointer import label_of
from models import ann
from models.evaluation.ranking import tie_order
from models.indexing.building import build_index
from models.indexing.ids import stable_ids
from models.recommend.popularity import FittedPopularity
from models.recommend.protocols import TEMPORAL
from models.recommend.saving import save
from tests.conftest import Contexts
from tests.registered import commit_night, make_model
from tests.validated_lake import commit_tables

DIM = 24
NOW = datetime(2026, 6, 1, tzinfo=UTC)
REGISTERED: dict[str, int] = {}
"""The versions of made-up releases, by what a release is called."""
BY: dict[str, Any] = {"by": "ada", "reason": "better", "at": NOW}
"""Who promotes, why and when."""


def night(number: int) -> date:
    """Return the run date of the n-th made-up night."""
    return date(2025, 12, number)


def unit_vectors(count: int, seed: int) -> ann.Floats:
    """Return random unit vectors [count, DIM]."""
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def commit_index(
    context: RunContext,
    model_digest: str,
    photo_ids: Sequence[str],
    seed: int = 0,
    vectors: ann.Floats | None = None,
    exemplars: pl.DataFrame | None = None,
) -> Manifest:
    """Commit an index of these photos, of made-up vectors unless some are given, and what it was embedded with."""
    _commit_embeddings(context, model_digest, photo_ids, exemplars)
    vectors = unit_vectors(len(photo_ids), seed) if vectors is None else vectors
    with tempfile.TemporaryDirectory() as folder:
        built = build_index(Path(folder), vectors, photo_ids, "flat", model_digest=model_digest, shard_size=4)
        files = {f"index/{path.name}": path.read_bytes() for path in sorted(Path(folder).iterdir())}
    ids = pl.DataFrame({"shard": 0, "faiss_id": stable_ids(photo_ids), "photo_id": photo_ids}).sort("faiss_id")
    found = {
        "model_digest": model_digest,
        "kind": "flat",
        "shard_count": len(built.shards),
        "photo_count": len(photo_ids),
        "bytes": sum(file.byte_count for file in built.files),
    }
    index = commit_tables(context, PHOTO_INDEX, {"ids": ids}, params=BuildIndexParams(), facts=found, files=files)
    recalls = pl.DataFrame({"k": 10, "recall": 1.0})
    measured = {"model_digest": model_digest, "recall_at_10": 1.0, "recall_at_10_low": 0.99}
    commit_tables(context, INDEX_CHECK, {"recalls": recalls}, label=index.run_id, facts=measured)
    return index


def _commit_embeddings(
    context: RunContext, model_digest: str, photo_ids: Sequence[str], exemplars: pl.DataFrame | None
) -> None:
    """Commit what a release says it was embedded with; all else of an earlier such run stays."""
    tables = {"embeddings": pl.DataFrame({"arm": [FULL], "photo_id": [photo_ids[0]]})}
    facts: dict[str, Any] = {"arms": {}}
    try:
        earlier = context.read(PHOTO_EMBEDDINGS)
    except MissingInput:
        pass  # the first of the night
    else:
        tables = {table.name: context.lake.read_table(earlier, table.name) for table in PHOTO_EMBEDDINGS.tables}
        facts = earlier.facts
    of_model = facts["arms"].get(FULL, {}) | {"model_digest": model_digest}
    tables |= {} if exemplars is None else {EXEMPLARS: exemplars}
    facts = facts | {"arms": facts["arms"] | {FULL: of_model}}
    commit_tables(context, PHOTO_EMBEDDINGS, tables, label=f"{model_digest} {exemplars is None}", facts=facts)
    keywords = keyword_texts(context.lake.read_table(context.read(SPLITS), "photo_keywords")["keyword"])
    vector = pl.Series(unit_vectors(len(keywords), 0).tolist(), dtype=pl.List(pl.Float32))
    rows = keywords.select(pl.lit(FULL).alias("arm"), "query", "country", vector=vector)
    of_model = {"model_digest": model_digest, "dim": DIM, "uses_country": True}
    facts = {"arms": {FULL: of_model}}
    commit_tables(context, QUERY_EMBEDDINGS, {"embeddings": rows}, label=model_digest, facts=facts)


def commit_registration(context: RunContext, version: int, seed: int) -> Manifest:
    """Commit what register_model would of the night's release, for a registry that is made up."""
    release = context.read(RELEASE)
    REGISTERED.pop(label_of(release), None)  # the last is the latest
    REGISTERED[label_of(release)] = version
    facts = RegistrationFacts(
        model_name="nightlens-test",
        version=version,
        arm=FULL,
        model_digest=make_model(FULL, seed).digest,
        mlflow_run_id=f"run-{version}",
        tracking_uri=context.settings.public_tracking_uri,
        run_page="/#/run",
        max_difference=0.0,
    )
    return commit_tables(
        context,
        REGISTRATION,
        inputs={"release": release},
        label=release.run_id,
        facts=facts,
        files={"registration.json": repr(facts).encode()},
    )


def name_of(release: Manifest) -> ReleaseName:
    """Return the name of a release that was registered last."""
    return published_pointer.name_of(release, REGISTERED[label_of(release)])


def commit_order(context: RunContext) -> None:
    """Commit pictures, each another, and that nothing was learned to order or to recommend, where there is none yet."""
    for dataset, tables, facts in (
        (IMAGES, {"images": pl.DataFrame({"photo_id": ["p0"], "sha256": ["0"]})}, {}),
        (RERANKER, {}, {"note": "too few searches", "base_arm": FULL}),
        (RECOMMENDATION, {}, {"note": "left out"}),
    ):
        try:
            context.read(dataset)
        except MissingInput:
            commit_tables(context, dataset, tables, params=TrainRerankerParams(), facts=facts)


def commit_recommendation(context: RunContext, photo_ids: Sequence[str]) -> Manifest:
    """Commit that popularity alone was learned; the photos that were given first are the most popular."""
    ordered = [photo_ids[place] for place in tie_order(photo_ids)]
    share_I1 = np.array([[1 / (1 + photo_ids.index(name))] for name in ordered], np.float32)
    rate = {"arm": "popularity", "metric": "hit_rate", "k": 10, "value": 0.2}
    tables = {
        "photos": pl.DataFrame({"number": range(len(ordered)), "photo_id": ordered}),
        "metrics": pl.DataFrame([rate | {"protocol": TEMPORAL, "segment_kind": "all", "segment": "all"}]),
    }
    return commit_tables(
        context,
        RECOMMENDATION,
        tables,
        params=EvaluateRecommendersParams(),
        folders={"models/popularity": partial(save, FittedPopularity(share_I1))},
    )


def commit_candidate(context: RunContext, version: int = 1, seed: int = 0, photos: int = 9) -> None:
    """Commit all that `make_release` needs; the photos are named after the night and the version."""
    names = [f"{context.run_date}-{version}-{number}" for number in range(photos)]
    commit_night(context, seed, photo_ids=names)
    commit_order(context)
    commit_recommendation(context, [*names, "p0"])
    commit_index(context, make_model(FULL, seed).digest, names, seed=version)


def commit_release(
    context: RunContext, version: int = 1, seed: int = 0, photos: int = 9, is_registered: bool = True
) -> Manifest:
    """Commit a night up to its release, which is registered as a version unless that is left to the caller."""
    commit_candidate(context, version, seed, photos)
    release = run_stage(context, "make_release", MakeReleaseParams())
    if is_registered:
        commit_registration(context, version, seed)
    return release


def register_release(
    context: RunContext, seed: int = 0, photo_ids: Sequence[str] = ("a", "b"), is_validated: bool = True
) -> Manifest:
    """Commit a night up to its release and register that in MLflow."""
    commit_night(context, seed, is_validated, photo_ids)
    commit_order(context)
    commit_index(context, make_model(FULL, seed).digest, photo_ids)
    run_stage(context, "make_release", MakeReleaseParams())
    return run_stage(context, "register_model", RegisterModelParams())


def commit_releases(make_context: Contexts, days: Iterable[int]) -> list[Manifest]:
    """Commit the releases of nights of one month, with versions 1, 2, ... of models that differ."""
    nights = [make_context(run_date=night(day)) for day in days]
    return [commit_release(context, version=n, seed=n - 1) for n, context in enumerate(nights, start=1)]


def see_night(context: RunContext) -> None:
    """Commit that a night asked for the champion."""
    commit_tables(context, CHAMPION, files={"champion.json": b"{}"})


@dataclass
class Registry:
    """What MLflow would keep: versions, and where the alias `champion` points."""

    tags: dict[int, dict[str, str]] = field(default_factory=dict)
    champion: int | None = None
    moves: list[int | None] = field(default_factory=list)

    def add(self, number: int, seed: int, **tags: str) -> None:
        """Register a version."""
        digest = make_model(FULL, seed).digest
        self.tags[number] = {"model_digest": digest, "load_check": "passed", "arm": FULL, "run_date": "2025-12-28"}
        self.tags[number] |= tags

    def version(self, number: int) -> mlflow_registry.Version:
        labels = [label for label, version in REGISTERED.items() if version == number]
        released = {mlflow_registry.RELEASE_TAG: labels[-1]} if labels else {}
        return mlflow_registry.Version("nightlens-test", number, f"run-{number}", released | self.tags[number])

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of MLflow."""

        def move(settings: Any, catalogue: str, number: int | None) -> None:
            self.champion = number
            self.moves.append(number)

        def resolve(settings: Any, catalogue: str, alias: str) -> mlflow_registry.Version | None:
            number = self.champion
            return None if number is None else self.version(number)

        monkeypatch.setattr(mlflow_registry, "move_champion", move)
        monkeypatch.setattr(mlflow_registry, "resolve_alias", resolve)
        monkeypatch.setattr(mlflow_registry, "find_version", lambda settings, catalogue, number: self.version(number))
        monkeypatch.setattr(
            mlflow_registry, "versions", lambda settings, catalogue: [self.version(n) for n in self.tags]
        )
