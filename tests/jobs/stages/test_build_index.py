"""The stage over vectors made up here: what it commits, what it refuses, what it takes over from night to night."""

from __future__ import annotations

import uuid
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from jobs.config.params.arms import FULL
from jobs.config.params.index import BuildIndexParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.features import SPLITS
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.errors import BadInput, MissingInput
from jobs.indexing import corpus
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import build_index
from models import ann
from models.indexing.building import build_index as build_plainly
from models.indexing.files import IndexDescription
from models.indexing.ids import stable_ids
from models.indexing.shards import plan_shards
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.index_lake import DIM, commit_inputs, commit_photos, commit_queries, photos_of, unit_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

ONE_SHARD = BuildIndexParams()
SHARDS = BuildIndexParams(shard_size=100)


@pytest.fixture
def context(make_context: Contexts) -> RunContext:
    context = make_context()
    commit_inputs(context, photos_of(250))
    return context


def open_index(context: RunContext, manifest: Manifest) -> ann.ShardedIndex:
    with context.lake.local_folder(manifest, "index") as folder:
        return ann.ShardedIndex.open(folder, manifest.facts["model_digest"])


def shard_files(manifest: Manifest) -> dict[str, str]:
    return {name: info.sha256 for name, info in manifest.files.items() if name != "index/index.json"}


def assert_exact(context: RunContext, manifest: Manifest, photo_ND: ann.Floats, first: int = 0) -> None:
    query_QD = unit_vectors(7, 5)
    found = [[photo_id for photo_id, _ in row] for row in open_index(context, manifest).search(query_QD, 10)]
    best = np.argsort(-(query_QD @ photo_ND.T), axis=1)[:, :10] + first
    assert found == [[f"p{row}" for row in rows] for rows in best]


def test_one_shard_is_built_here_and_searched_as_an_exact_index(context: RunContext) -> None:
    manifest = run_stage(context, "build_index", ONE_SHARD)
    facts = {name: value for name, value in manifest.facts.items() if name not in ("build_seconds", "peak_memory_mb")}
    assert facts == {
        "model_digest": "m1",
        "format": 2,
        "kind": "flat",
        "reason": "250 photos, fewer than 100,000: comparing with every one is quick, and exact",
        "nlist": None,
        "nprobe": None,
        "ef_search": None,
        "code_bytes": None,
        "quantizer": "flat learns none",
        "shard_count": 1,
        "shards_built": 1,
        "shards_taken_over": 0,
        "reused_from": None,
        "shard_size": 1_000_000,
        "photo_count": 250,
        "bytes": sum(info.byte_count for name, info in manifest.files.items() if name.endswith(".faiss")),
        "max_memory_mb": 2048,
    }
    assert manifest.facts["peak_memory_mb"] > 50
    name = "index/shard-1970-01-01-65536d"
    assert sorted(manifest.files) == ["index/index.json", f"{name}.faiss", f"{name}.ids.npy", f"{name}.photos.npy"]
    ids = context.lake.read_table(manifest, "ids")
    assert dict(zip(ids["photo_id"], ids["faiss_id"], strict=True)) == dict(
        zip([f"p{n}" for n in range(250)], stable_ids([f"p{n}" for n in range(250)]).tolist(), strict=True)
    )
    assert_exact(context, manifest, photos_of(250)[FULL])


def test_fewer_photos_than_the_vectors_have_numbers_take_another_kind_of_index(
    make_context: Contexts, caplog: pytest.LogCaptureFixture
) -> None:
    context, photos = make_context(), photos_of(DIM - 1)
    commit_inputs(context, photos)
    manifest = run_stage(context, "build_index", BuildIndexParams(kind="opq_ivf_pq"))
    reason = f"opq_ivf_pq was asked for, but it learns from {DIM} photos at least, and here from {DIM - 1}"
    assert (manifest.facts["kind"], manifest.facts["reason"]) == ("flat", reason)
    assert f"the index is flat: {reason}" in caplog.messages
    assert_exact(context, manifest, photos[FULL])


def test_the_same_night_is_done_once_and_made_anew_gives_the_same_bytes(
    context: RunContext, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_stage(context, "build_index", ONE_SHARD)
    other = make_context(catalogue="other")
    commit_photos(other, photos_of(250), seed=5)  # in another order
    commit_queries(other, 250)
    assert run_stage(other, "build_index", ONE_SHARD).digest == first.digest
    monkeypatch.setattr(build_index, "open_corpus", None)  # would fail if anything were read again
    assert run_stage(context, "build_index", ONE_SHARD) == first


@pytest.mark.integration
@pytest.mark.spark
@pytest.mark.parametrize("kind", ["flat", "opq_ivf_pq", "hnsw"])
def test_spark_fills_the_shards_that_the_plain_way_makes(
    context: RunContext, spark: SparkSession, tmp_path: Path, kind: Any
) -> None:
    manifest = run_stage(context, "build_index", SHARDS.model_copy(update={"kind": kind}))
    assert manifest.facts["shards_built"] == manifest.facts["shard_count"] == 4
    plain = build_plainly(
        tmp_path,
        photos_of(250)[FULL],
        [f"p{number}" for number in range(250)],
        kind,
        model_digest="m1",
        shard_size=100,
        day_N=np.arange(250) // 4 + 20_089,
        seed=context.seed,
    )
    assert shard_files(manifest) == {f"index/{file.file}": file.sha256 for file in plain.files}
    days = {20_089 + day: 4 for day in range(62)} | {20_089 + 62: 2}
    local = corpus.LocalCorpus(context.lake, context.read(PHOTO_EMBEDDINGS), context.read(SPLITS), FULL)
    assert local.photos_per_day() == days
    described = IndexDescription.from_json(context.lake.read_file(manifest, "index/index.json"))
    contents = local.contents(plan_shards(days, 100))
    assert sorted(contents.values()) == sorted(shard.content for shard in described.shards)
    ids = context.lake.read_table(manifest, "ids")
    assert ids["shard"].n_unique() == 4
    assert sorted(ids["photo_id"]) == sorted(f"p{number}" for number in range(250))
    if kind == "flat":
        assert_exact(context, manifest, photos_of(250)[FULL])


def test_in_an_object_store_the_index_has_the_same_bytes(
    context: RunContext, make_context: Contexts, settings: Settings
) -> None:
    stored = make_context(settings=settings.model_copy(update={"lake_uri": f"memory://lake-{uuid.uuid4().hex}"}))
    for day, count in ((27, 250), (28, 250)):
        night = stored.model_copy(update={"run_date": date(2025, 12, day)})
        commit_inputs(night, photos_of(count))
        manifest = run_stage(night, "build_index", ONE_SHARD)
    assert manifest.digest == run_stage(context, "build_index", ONE_SHARD).digest
    assert manifest.facts["shards_taken_over"] == 1
    assert_exact(night, manifest, photos_of(250)[FULL])


def tomorrow(make_context: Contexts, count: int, *, digest: str = "m1", **changes: Any) -> RunContext:
    context = make_context(run_date=date(2025, 12, 29), **changes)
    commit_inputs(context, photos_of(count), digest=digest)
    return context


@pytest.mark.integration
@pytest.mark.spark
@pytest.mark.parametrize("kind", ["flat", "ivf_flat"])
def test_the_next_night_fills_only_the_shards_that_changed(
    context: RunContext, make_context: Contexts, spark: SparkSession, kind: Any
) -> None:
    params = SHARDS.model_copy(update={"kind": kind, "nprobe": 99})
    today = run_stage(context, "build_index", params)
    next_context = make_context(run_date=date(2025, 12, 29))
    grown = unit_vectors(253, 1)
    grown[:250] = photos_of(250)[FULL]
    grown[3] = unit_vectors(1, 77)[0]  # of the oldest shard: its keywords changed, say
    commit_inputs(next_context, {FULL: grown})
    manifest = run_stage(next_context, "build_index", params)
    assert (manifest.facts["shards_built"], manifest.facts["shards_taken_over"]) == (2, 2)
    assert manifest.facts["reused_from"] == today.reference
    linked = {name for name, info in manifest.files.items() if "run_date=2025-12-28" in info.path}
    assert len([name for name in linked if name.endswith(".faiss") and "shard" in name]) == 2
    assert {manifest.files[name].path for name in linked} <= {info.path for info in today.files.values()}
    if kind == "ivf_flat":
        assert "index/quantizer.faiss" in linked
        assert manifest.facts["quantizer"] == f"taken over from {today.reference}"
    assert_exact(next_context, manifest, grown)


@pytest.mark.integration
@pytest.mark.spark
def test_another_model_or_kind_builds_everything_anew(
    context: RunContext, make_context: Contexts, spark: SparkSession
) -> None:
    params = SHARDS.model_copy(update={"kind": "ivf_flat"})
    today = run_stage(context, "build_index", params)
    assert today.facts["quantizer"] == "learned from 64 photos: no earlier index is of this model"
    retrained = run_stage(tomorrow(make_context, 250, digest="m2"), "build_index", params)
    assert retrained.facts["shards_taken_over"] == 0
    other_kind = run_stage(tomorrow(make_context, 250), "build_index", SHARDS.model_copy(update={"kind": "ivf_pq"}))
    assert other_kind.facts["shards_taken_over"] == 0
    assert f"{today.reference} is of kind ivf_flat" in other_kind.facts["quantizer"]


@pytest.mark.integration
@pytest.mark.spark
def test_a_corpus_that_has_outgrown_its_lists_gets_a_new_quantizer(
    context: RunContext, make_context: Contexts, spark: SparkSession
) -> None:
    params = BuildIndexParams(kind="ivf_flat")
    few = make_context(run_date=date(2025, 12, 27))
    commit_inputs(few, photos_of(80))  # 2 lists; 250 photos make 6
    run_stage(few, "build_index", params)
    grown = run_stage(context, "build_index", params)
    assert "has 2 lists, by now there should be 6" in grown.facts["quantizer"]
    assert grown.facts["nlist"] == 6


def test_an_index_of_a_later_night_is_not_looked_at(context: RunContext, make_context: Contexts) -> None:
    later = run_stage(tomorrow(make_context, 250), "build_index", ONE_SHARD)
    assert run_stage(context, "build_index", ONE_SHARD).facts["reused_from"] is None
    assert later.facts["reused_from"] is None


def test_photos_keep_their_ids_the_next_night(context: RunContext, make_context: Contexts) -> None:
    today = context.lake.read_table(run_stage(context, "build_index", ONE_SHARD), "ids")
    next_context = tomorrow(make_context, 300)
    both = today.join(
        next_context.lake.read_table(run_stage(next_context, "build_index", ONE_SHARD), "ids"),
        on="photo_id",
        suffix="_tomorrow",
    )
    assert len(both) == 250
    assert both["faiss_id"].equals(both["faiss_id_tomorrow"])


def test_less_memory_makes_more_shards(context: RunContext) -> None:
    with raises(BadInput, "too_little_memory", allowed_mb=100):
        run_stage(context, "build_index", ONE_SHARD.model_copy(update={"max_memory_mb": 100}))
    roomy = run_stage(context, "build_index", ONE_SHARD.model_copy(update={"max_memory_mb": 4096}))
    tight = run_stage(context, "build_index", ONE_SHARD.model_copy(update={"max_memory_mb": 480}))
    assert tight.facts["shard_size"] < roomy.facts["shard_size"] == 1_000_000


def test_the_driver_reads_no_vectors_where_there_are_several_shards(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "LocalCorpus", None)

    def no_session(*_: Any) -> Any:
        raise RuntimeError("Spark is asked for")

    monkeypatch.setattr(corpus, "spark_session", no_session)
    with pytest.raises(RuntimeError, match="Spark is asked for"):
        run_stage(context, "build_index", SHARDS)
    with pytest.raises(MissingInput):
        context.read(PHOTO_INDEX)


def test_an_arm_that_was_not_embedded_is_named(context: RunContext) -> None:
    with raises(MissingInput, "arm_not_embedded", arm="zero_shot"):
        run_stage(context, "build_index", ONE_SHARD.model_copy(update={"arm": "zero_shot"}))
