"""embed_queries: one vector per text an arm reads, computed once, the same after a broken run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.config.params.embedding import EmbedQueriesParams
from jobs.context import RunContext
from jobs.errors import BadInput, MissingInput
from jobs.nights.stage_runner import run_stage
from models.search.model import SearchModel
from models.text import normalise_query
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.embedding_fixtures import KEYWORDS, commit_models, commit_splits, make_models, vectors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARAMS = EmbedQueriesParams(part_size=4, batch_size=3)
MODELS = make_models()
QUERIES: tuple[tuple[str, str | None], ...] = (
    ("cat", "GB"),
    ("cat", "DE"),
    ("cat", "GB"),
    ("snow", None),
    ("ミツバチ", "JP"),
    ("football", "US"),
    ("football", "GB"),
)


def prepare(ctx: RunContext, queries: tuple[tuple[str, str | None], ...] = QUERIES) -> None:
    commit_splits(ctx, ["p000"], queries)
    commit_models(ctx, MODELS)


def plain_vector(model: SearchModel, query: str, country: str) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        return model.encode_queries([model.query_text(query, country)])[0].numpy()


@pytest.mark.integration
@pytest.mark.spark
def test_a_night_and_the_next(spark: SparkSession, make_context: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = make_context()
    prepare(ctx)
    manifest = run_stage(ctx, "embed_queries", PARAMS)
    keywords = {(normalise_query(keyword), "") for keyword, _ in KEYWORDS["p000"]}
    expected = {
        FULL: {(query, country or "") for query, country in QUERIES} | keywords,
        ZERO_SHOT: {(query, "") for query, _ in QUERIES},
        CHAMPION_ARM: {(query, "") for query, _ in QUERIES} | keywords,
    }
    for arm, keys in expected.items():
        found = vectors(ctx, manifest, arm, "query", "country")
        assert list(found) == sorted(keys)
        for (query, country), vector in found.items():
            np.testing.assert_allclose(vector, plain_vector(MODELS[arm], query, country), atol=2e-6)
    full = vectors(ctx, manifest, FULL, "query", "country")
    assert not np.allclose(full["cat", "GB"], full["cat", "DE"])
    order = ctx.lake.read_table(manifest, "embeddings", ["arm", "query", "country"])
    assert order.equals(order.sort("arm", "query", "country"))
    assert {
        arm: (f["embedded_count"], f["reused_count"], f["uses_country"], f["dim"], f["model_digest"])
        for arm, f in manifest.facts["arms"].items()
    } == {
        CHAMPION_ARM: (6, 0, False, 32, MODELS[ZERO_SHOT].digest),
        FULL: (8, 0, True, 32, MODELS[FULL].digest),
        ZERO_SHOT: (0, 4, False, 32, MODELS[ZERO_SHOT].digest),
    }

    monkeypatch.setattr("jobs.stages.embed_queries.embedding_session", lambda *_: pytest.fail("Spark is not needed"))
    assert run_stage(ctx, "embed_queries", PARAMS) == manifest
    other_batches = run_stage(
        ctx, "embed_queries", PARAMS.model_copy(update={"batch_size": 5})
    )  # another run, but nothing new in it
    assert other_batches.digest == manifest.digest
    monkeypatch.undo()

    tomorrow = make_context(run_date=date(2025, 12, 29))
    prepare(tomorrow, (*QUERIES[:3], ("rain", "GB")))
    later = run_stage(tomorrow, "embed_queries", PARAMS)
    counts = {arm: (f["embedded_count"], f["reused_count"]) for arm, f in later.facts["arms"].items()}
    assert counts == {CHAMPION_ARM: (1, 3), FULL: (1, 4), ZERO_SHOT: (0, 2)}


@pytest.mark.slow
@pytest.mark.spark
def test_a_run_resumed_from_some_parts_ends_with_the_same_digest(spark: SparkSession, make_context: Contexts) -> None:
    ctx = make_context()
    prepare(ctx, tuple((f"query {number}", "GB") for number in range(21)))
    whole = run_stage(ctx, "embed_queries", PARAMS)
    parts = {path: path.read_bytes() for path in Path(ctx.lake.root).rglob("store/query_vectors/*/*.parquet")}
    assert len(parts) == 2 * 6
    for path in sorted(parts)[::2]:
        path.unlink()
    shutil.rmtree(f"{ctx.lake.root}/embeddings")
    assert run_stage(ctx, "embed_queries", PARAMS).digest == whole.digest
    assert {path: path.read_bytes() for path in parts} == parts


@pytest.mark.integration
@pytest.mark.spark
def test_a_text_tower_that_diverged_is_named(spark: SparkSession, make_context: Contexts) -> None:
    ctx = make_context()
    commit_splits(ctx, ["p000"], QUERIES)
    broken = make_models()
    next(broken[FULL].network.text.parameters()).data.fill_(float("nan"))
    commit_models(ctx, broken)
    for _ in range(2):  # the next try must not take the stored refusal for a vector
        with raises(BadInput, "vectors_not_finite", arm="finetuned_country_keywords"):
            run_stage(ctx, "embed_queries", PARAMS)


def test_missing_models_say_which_stage_to_run(make_context: Contexts) -> None:
    ctx = make_context()
    commit_splits(ctx, ["p000"], QUERIES)
    with raises(MissingInput, "stage_not_run", dataset="search_models"):
        run_stage(ctx, "embed_queries", PARAMS)


def test_the_driver_plans_without_loading_torch() -> None:
    code = "import sys, jobs.stages.embed_photos, jobs.stages.embed_queries; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
