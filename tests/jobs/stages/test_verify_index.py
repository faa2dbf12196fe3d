"""The proof of an index: what is measured on which queries, what stops the night."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.config.params.arms import FULL
from jobs.config.params.index import BuildIndexParams, VerifyIndexParams
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.features import SPLITS
from jobs.datasets.indexes import INDEX_CHECK, PHOTO_INDEX, IndexCheckFacts
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.indexing import measured_index
from jobs.indexing.held_out_queries import read_queries
from jobs.indexing.measured_index import CUTOFFS, Measured, recalls
from jobs.nights.stage_runner import run_stage
from jobs.stages import verify_index
from models import ann
from models.indexing.ids import hashed_ids
from models.indexing.measuring import Latency
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.index_lake import commit_inputs, commit_photos, photos_of, unit_vectors
from tests.made_up_facts import made_up

PARAMS = VerifyIndexParams()
POOR = BuildIndexParams(kind="ivf_flat", nprobe=1)
BITS = BuildIndexParams(kind="lsh")


def night(make_context: Contexts, index: BuildIndexParams | None = None, **inputs: Any) -> RunContext:
    context = make_context()
    commit_inputs(context, photos_of(250), **inputs)
    run_stage(context, "build_index", index or BuildIndexParams())
    return context


def test_an_exact_index_finds_everything_and_the_facts_say_how_it_was_measured(make_context: Contexts) -> None:
    context = night(make_context)
    manifest = run_stage(context, "verify_index", PARAMS)
    facts = manifest.facts
    assert facts["recall_at_10"] == facts["recall_at_100"] == facts["recall_at_10_high"] == 1.0
    assert facts["recall_at_10_low"] < 1.0  # a few queries prove little
    assert (facts["query_count"], facts["query_window"], facts["model_digest"]) == (4, "validation", "m1")
    assert 0 < facts["single_p50_ms"] <= facts["single_p99_ms"]
    assert 0 < facts["batch_p50_ms"] <= facts["batch_p99_ms"]
    assert facts["bytes_per_vector"] == pytest.approx(4 * 8 + 8, abs=1)
    rows = context.lake.read_table(manifest, "recalls")
    assert rows.select("k", "recall").rows() == [(10, 1.0), (100, 1.0)]
    assert run_stage(context, "verify_index", PARAMS) == manifest


def test_queries_are_those_of_the_window_and_never_vectors_of_the_index(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = night(make_context)
    searched: list[ann.Floats] = []
    search_ids = ann.ShardedIndex.search_ids

    def record(index: ann.ShardedIndex, query_QD: ann.Floats, k: int) -> Any:
        searched.append(query_QD)
        return search_ids(index, query_QD, k)

    monkeypatch.setattr(ann.ShardedIndex, "search_ids", record)
    run_stage(context, "verify_index", PARAMS)
    rows = np.unique(np.concatenate(searched), axis=0)
    held_out = unit_vectors(5, 99)[:4]  # the fifth was not asked in the window
    np.testing.assert_array_equal(rows, np.unique(held_out, axis=0))
    assert (rows @ photos_of(250)[FULL].T).max() < 0.999


def test_without_validation_queries_it_is_measured_on_test_queries(make_context: Contexts) -> None:
    facts = run_stage(night(make_context, is_validated=False), "verify_index", PARAMS).facts
    assert (facts["query_window"], facts["query_count"]) == ("test", 3)


def test_a_sample_of_the_queries_is_taken(make_context: Contexts) -> None:
    facts = run_stage(night(make_context), "verify_index", PARAMS.model_copy(update={"query_count": 3})).facts
    assert facts["query_count"] == 3


def test_a_model_without_country_has_its_queries_without(make_context: Contexts) -> None:
    assert run_stage(night(make_context, uses_country=False), "verify_index", PARAMS).facts["query_count"] == 2


@pytest.mark.parametrize(
    ("index", "limits", "missed"),
    [
        (POOR, {"min_recall_at_10": 0.99}, "min_recall_at_10"),
        (BITS, {"min_recall_at_10": 0, "min_recall_at_100": 1}, "min_recall_at_100"),
        (None, {"max_p99_ms": 1e-6}, "max_p99_ms"),
        (None, {"max_bytes_per_vector": 39.0}, "max_bytes_per_vector"),
    ],
)
def test_a_limit_that_is_passed_stops_the_night_and_commits_nothing(
    make_context: Contexts, index: BuildIndexParams | None, limits: dict[str, float], missed: str
) -> None:
    context = night(make_context, index)
    with raises(GateFailed, "index_limit_missed", limits=[missed], query_count=4, query_window="validation"):
        run_stage(context, "verify_index", PARAMS.model_copy(update=limits))
    with pytest.raises(MissingInput):
        context.read(INDEX_CHECK)


def test_every_limit_that_is_passed_is_named() -> None:
    poor = {"recall_at_10": 0.5, "recall_at_100": 0.5, "single_p99_ms": 7.0, "bytes_per_vector": 99.0}
    facts = made_up(IndexCheckFacts, **poor)
    params = VerifyIndexParams(max_p99_ms=5, max_bytes_per_vector=50)
    assert list(verify_index.failures(facts, params)) == [
        "min_recall_at_10",
        "min_recall_at_100",
        "max_p99_ms",
        "max_bytes_per_vector",
    ]
    open_limits = VerifyIndexParams(min_recall_at_10=0.5, min_recall_at_100=0.5, max_p99_ms=None)
    assert verify_index.failures(facts, open_limits) == {}


@pytest.mark.parametrize("which", ["photos", "queries"])
def test_an_index_of_another_model_is_refused(make_context: Contexts, which: str) -> None:
    context = night(make_context)
    models = {"photo_index": "m1", "photo_embeddings": "m1", "query_embeddings": "m1"}
    models |= {"photo_embeddings" if which == "photos" else "query_embeddings": "m2"}
    if which == "photos":
        commit_photos(context, photos_of(250), digest="m2")
    else:
        manifest = context.read(QUERY_EMBEDDINGS)
        manifest.facts["arms"][FULL]["model_digest"] = "m2"
        context.lake.put(f"{context.lake.root}/{manifest.reference}/manifest.json", manifest.model_dump_json().encode())
    with raises(BadInput, "vectors_of_other_model", models=models):
        run_stage(context, "verify_index", PARAMS)


def test_a_damaged_index_is_refused(make_context: Contexts) -> None:
    context = night(make_context)
    manifest = context.read(PHOTO_INDEX)
    (name,) = [name for name in manifest.files if name.endswith(".faiss")]
    path = context.lake.file_path(manifest, name)
    with context.lake.fs.open(path, "rb") as file:
        data = bytearray(file.read())
    data[-1] ^= 1
    context.lake.put(path, bytes(data))
    with raises(ann.UnusableIndex, "index_file_changed"):
        run_stage(context, "verify_index", PARAMS)
    with pytest.raises(MissingInput):
        context.read(INDEX_CHECK)


@pytest.mark.spark
def test_recall_is_the_same_in_this_process_and_in_tasks_of_spark(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = night(make_context)
    inputs = {one.name: context.read(one) for one in (SPLITS, PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS)}
    queries = read_queries(context.lake, inputs, FULL, 1000, context.seed)
    rng, ids_N = np.random.default_rng(3), hashed_ids([f"p{number}" for number in range(250)])
    found = tuple(np.stack([rng.permutation(ids_N)[:k] for _ in queries.vectors]) for k in CUTOFFS)
    measured = Measured(found, Latency(1, 1, 1), Latency(1, 1, 1), 1.0)

    def recall(spark_from_rows: int) -> list[list[float]]:
        settings = context.settings.model_copy(update={"spark_from_rows": spark_from_rows})
        (one,) = recalls(settings, context.lake, inputs["photo_embeddings"], FULL, [measured], queries)
        return [one.value.tolist(), one.low.tolist(), one.high.tolist()]

    plain = recall(10**9)
    scores_QP = queries.vectors @ photos_of(250)[FULL].T
    for k, value, found_QK in zip(CUTOFFS, plain[0], found, strict=True):
        best_QK = ids_N[np.argsort(-scores_QP, axis=1)[:, :k]]
        assert value == np.mean([len({*b} & {*f}) / k for b, f in zip(best_QK, found_QK, strict=True)])
    monkeypatch.setattr(measured_index, "_PHOTOS", 7)
    assert recall(10**9) == plain
    assert recall(1) == plain
