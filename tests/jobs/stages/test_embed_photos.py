"""embed_photos: right vectors, once each, in the same bits after a broken run; bad images cost only themselves."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch

from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.config.params.embedding import EmbedPhotosParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.models import SEARCH_MODELS
from jobs.embedding import spark_jobs, workers
from jobs.embedding.encode_job import EncodeJob, ModelSource
from jobs.embedding.photo_features import Pass
from jobs.embedding.spark_jobs import effective_precision
from jobs.embedding.worker_daemon import preloading
from jobs.embedding.workers import cut_batches, pick_device
from jobs.errors import BadInput, GateFailed
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from jobs.lake.vector_store import Row
from jobs.nights.stage_runner import run_stage
from jobs.stages.embed_photos import check_share
from models.images import decode_image
from models.search.model import SearchModel
from tests.conftest import Contexts, context_in
from tests.errors import raises
from tests.jobs.embedding_fixtures import (
    KEYWORDS,
    commit_images,
    commit_models,
    commit_splits,
    make_models,
    picture,
    vectors,
    write_pictures,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARAMS = EmbedPhotosParams(part_size=8, batch_size=3, max_failed_share=0.5)
MODELS = make_models()


BAD = {"empty": b"", "html": b"<html>", "cut": picture(50)[:300], "gone": picture(51), "swapped": picture(52)}
GOOD = [f"p{number:03}" for number in range(16)]


def in_spark(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test whose workers are Spark's."""
    return pytest.mark.integration(pytest.mark.spark(test))


@dataclass(frozen=True)
class Night:
    """A night with bad images, run once for several tests; treat it as read-only."""

    ctx: RunContext
    manifest: Manifest
    paths: dict[str, Path]


def prepare(ctx: RunContext, paths: dict[str, Path], missing: tuple[str, ...] = ()) -> None:
    commit_images(ctx, paths, missing)
    commit_splits(ctx, sorted([*paths, *missing]))
    commit_models(ctx, MODELS)


@pytest.fixture(scope="module")
def night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("night")
    ctx = context_in(folder)
    paths = write_pictures(folder / "photos", len(GOOD), **BAD)
    prepare(ctx, paths, missing=("nowhere",))
    paths["gone"].unlink()
    paths["swapped"].write_bytes(picture(53))
    return Night(ctx, run_stage(ctx, "embed_photos", PARAMS), paths)


def copy_of(night: Night, folder: Path, day: int = 28) -> RunContext:
    """A context on a copy of the night's lake; its images stay where they are."""
    shutil.copytree(night.ctx.settings.state_dir, folder / "state")
    return context_in(folder, run_date=date(2025, 12, day))


def expected_vector(model: SearchModel, photo_id: str, data: bytes) -> np.ndarray[Any, Any]:
    """The plain way: one picture, no store, no batches."""
    with torch.inference_mode():
        features_BD = model.encode_images(model.preprocess(decode_image(data))[None])
        return model.compose_photos(features_BD, [KEYWORDS.get(photo_id, [])])[0].numpy()


@in_spark
@pytest.mark.parametrize("arm", MODELS)
def test_vectors_are_those_of_the_model_alone(night: Night, arm: str) -> None:
    found = vectors(night.ctx, night.manifest, arm, "photo_id")
    assert list(found) == GOOD
    for photo_id, vector in found.items():
        expected = expected_vector(MODELS[arm], photo_id, night.paths[photo_id].read_bytes())
        np.testing.assert_allclose(vector, expected, atol=2e-6)


@in_spark
def test_exemplars_are_photos_with_keywords_in_the_two_parts_they_are_composed_of(night: Night) -> None:
    rows = night.ctx.lake.read_table(night.manifest, "exemplars")
    assert rows.select("arm", "photo_id").rows() == [(FULL, "p000"), (FULL, "p001")]  # of 16, those with keywords
    found = vectors(night.ctx, night.manifest, FULL, "photo_id")
    for photo_id, feature, keyword_vector in rows.drop("arm").iter_rows():
        with torch.inference_mode():
            added_1D = MODELS[FULL].encode_keywords([KEYWORDS[photo_id]]).numpy()
        np.testing.assert_allclose(keyword_vector, added_1D[0], atol=1e-6)
        whole_D = np.array(feature) + np.array(keyword_vector)
        np.testing.assert_allclose(whole_D / np.linalg.norm(whole_D), found[photo_id], atol=2e-6)


@in_spark
def test_the_table_is_sorted_and_the_facts_say_what_was_done(night: Night) -> None:
    order = night.ctx.lake.read_table(night.manifest, "embeddings", ["arm", "photo_id"])
    assert order.equals(order.sort("arm", "photo_id"))
    facts = night.manifest.facts["arms"]
    assert {arm: (f["embedded_count"], f["reused_count"], f["failed_count"]) for arm, f in facts.items()} == {
        CHAMPION_ARM: (16, 0, 5),
        FULL: (16, 0, 5),
        ZERO_SHOT: (0, 16, 5),  # the champion has the same image tower, and comes first
    }
    assert (facts[FULL]["model_digest"], facts[FULL]["dim"]) == (MODELS[FULL].digest, 32)
    assert facts[FULL]["images_per_second"] > 0
    assert facts[ZERO_SHOT]["images_per_second"] is None


@in_spark
def test_bad_images_are_quarantined_with_their_reason(night: Night) -> None:
    assert dict(night.ctx.lake.read_table(night.manifest, "quarantine").iter_rows()) == {
        "empty": "empty",
        "html": "not_an_image",
        "cut": "truncated",
        "gone": "unreadable",
        "swapped": "changed_since_listed",
        "nowhere": "no_image: missing (http_404)",
    }


@in_spark
def test_a_rerun_does_nothing(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "jobs.stages.embed_photos.embedding_session", lambda *_: pytest.fail("a rerun should do nothing")
    )
    assert run_stage(night.ctx, "embed_photos", PARAMS) == night.manifest


@in_spark
def test_the_next_night_embeds_what_is_new_or_changed_or_was_not_readable(night: Night, tmp_path: Path) -> None:
    ctx = copy_of(night, tmp_path, day=29)
    paths = night.paths | write_pictures(tmp_path, 0, p003=picture(900), new=picture(901), twin=picture(901))
    paths["gone"] = tmp_path / "gone.png"
    paths["gone"].write_bytes(picture(51))
    prepare(ctx, paths)
    manifest = run_stage(ctx, "embed_photos", PARAMS)
    assert {arm: (f["embedded_count"], f["reused_count"]) for arm, f in manifest.facts["arms"].items()} == {
        CHAMPION_ARM: (4, 16),  # p003, new, gone, swapped; the twin of new is reused
        FULL: (4, 16),
        ZERO_SHOT: (0, 20),
    }
    before = vectors(night.ctx, night.manifest, FULL, "photo_id")
    after = vectors(ctx, manifest, FULL, "photo_id")
    assert all(np.array_equal(before[photo_id], after[photo_id]) for photo_id in GOOD if photo_id != "p003")
    assert not np.allclose(before["p003"], after["p003"])
    np.testing.assert_array_equal(after["new"], after["twin"])
    quarantined = ctx.lake.read_table(manifest, "quarantine")["photo_id"].to_list()
    assert quarantined == ["cut", "empty", "html"]


def parts_of(ctx: RunContext) -> dict[str, bytes]:
    store = Path(ctx.lake.root) / "store" / "photo_vectors"
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("*/*.parquet")}


@in_spark
def test_a_run_resumed_from_some_parts_ends_with_the_same_digest(spark: SparkSession, tmp_path: Path) -> None:
    """What a killed run leaves is any of its parts, each whole: here every second one."""
    ctx = context_in(tmp_path)
    prepare(ctx, write_pictures(tmp_path / "photos", 18, cut=BAD["cut"]))
    whole = run_stage(ctx, "embed_photos", PARAMS)
    parts = parts_of(ctx)
    assert len(parts) == 2 * 3
    for name in sorted(parts)[::2]:
        (Path(ctx.lake.root) / "store" / "photo_vectors" / name).unlink()
    shutil.rmtree(f"{ctx.lake.root}/embeddings")
    resumed = run_stage(ctx, "embed_photos", PARAMS)
    assert 0 < sum(f["embedded_count"] for f in resumed.facts["arms"].values()) < 36
    assert resumed.digest == whole.digest
    assert parts_of(ctx) == parts


def test_too_many_failures_stop_the_night() -> None:
    failed = pl.DataFrame(
        {"photo_id": ["b", "a", "c"], "has_image": [True, True, False], "reason": ["truncated", "empty", "no_image"]}
    )
    done = Pass(7, 1.0, failed)
    check_share(done, 11, 0.2)
    counts: dict[str, Any] = {"failed_count": 2, "image_count": 9, "reasons": {"truncated": 1, "empty": 1}}
    with raises(GateFailed, "too_many_images_failed", **counts, examples=["a", "b"]):
        check_share(done, 10, 0.2)


@pytest.mark.slow
@pytest.mark.spark
def test_kill_9_and_run_again(make_context: Contexts, tmp_path: Path) -> None:
    script = """
import sys
from jobs.context import RunContext
from jobs.config.params.embedding import EmbedPhotosParams
from jobs.nights.stage_runner import run_stage
ctx = RunContext.model_validate_json(sys.argv[1])
ctx = ctx.model_copy(update={"settings": ctx.settings.model_copy(update={"pseudonym_key": "x"})})
print(run_stage(ctx, "embed_photos", EmbedPhotosParams(part_size=8, batch_size=3)).digest)
"""
    paths = write_pictures(tmp_path / "photos", 240)
    digests = []
    for catalogue in ("broken", "whole"):
        ctx = make_context(catalogue=catalogue)
        prepare(ctx, paths)
        command = [sys.executable, "-c", script, ctx.model_dump_json()]
        if catalogue == "broken":
            process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
            while not parts_of(ctx):
                assert process.poll() is None, "ended before a part was there"
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert 0 < len(parts_of(ctx)) < 60
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        digests.append(done.stdout.strip())
    assert digests[0] == digests[1]


# -- the worker function, without Spark --------------------------------------------------------------------


@pytest.fixture
def job(make_context: Contexts) -> Iterator[EncodeJob]:
    """An embedding pass of the arm with keywords; the models of this process are forgotten afterwards."""
    ctx = make_context()
    commit_models(ctx, MODELS)
    manifest = ctx.read(SEARCH_MODELS)
    source = ModelSource(ctx.settings.lake_uri, ctx.catalogue, manifest.model_dump_json(), FULL)
    yield EncodeJob(source, ("photo_vectors", "test"), "float32", 4)
    workers._models.clear()


def rows_for(paths: list[Path], part_size: int = 10) -> pa.RecordBatch:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    rows = [(i // part_size, f"k{i:03}", str(path), digests[i]) for i, path in enumerate(paths)]
    return pa.RecordBatch.from_pylist([dict(zip(("part", "key", "uri", "sha256"), row, strict=True)) for row in rows])


def run_worker(job: EncodeJob, *batches: pa.RecordBatch) -> dict[str, str]:
    results = workers.embed_photos(batches, job)
    return {row["key"]: row["reason"] for result in results for row in result.to_pylist()}


def read_store(store: Store) -> dict[str, list[float] | None]:
    frames = [pl.read_parquet(uri) for uri in store.uris(".parquet")]
    return dict(pl.concat(frames).select("key", "vector").iter_rows())


def test_the_worker_stores_each_part_as_soon_as_it_is_full(job: EncodeJob, tmp_path: Path) -> None:
    paths = list(write_pictures(tmp_path, 25).values())
    worker = workers.embed_photos([rows_for(paths)], job)
    for count in (1, 2, 3):
        next(worker)
        assert len(job.store.names(".parquet")) == count
    assert len(read_store(job.store)) == 25


def test_a_worker_that_dies_leaves_whole_parts_and_the_next_makes_the_same(
    job: EncodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_for(list(write_pictures(tmp_path, 40, zzz=b"bad").values()))
    unbroken = dataclasses.replace(job, store_names=("photo_vectors", "unbroken"))
    run_worker(unbroken, rows)
    original, calls = Store.put, []

    def failing(self: Store, name: str, data: bytes) -> None:
        calls.append(name)
        if len(calls) == 3:
            raise OSError("disk full")
        original(self, name, data)

    monkeypatch.setattr(Store, "put", failing)
    with pytest.raises(OSError, match="disk full"):
        run_worker(job, rows)
    monkeypatch.undo()
    assert len(job.store.names()) == 2
    rest = rows.slice(20)  # what the anti-join leaves
    run_worker(job, rest)
    assert [job.store.get(name) for name in job.store.names()] == [
        unbroken.store.get(name) for name in unbroken.store.names()
    ]


def test_a_bad_image_does_not_change_a_bit_of_the_others(job: EncodeJob, tmp_path: Path) -> None:
    paths = list(write_pictures(tmp_path, 10).values())
    run_worker(job, rows_for(paths))
    clean = read_store(job.store)
    paths[3].write_bytes(b"damaged")
    other = dataclasses.replace(job, store_names=("photo_vectors", "other"))
    assert run_worker(other, rows_for(paths)) == {"k003": "not_an_image"}
    damaged = read_store(other.store)
    assert damaged.pop("k003") is None
    del clean["k003"]
    assert damaged == clean


def test_nothing_but_bad_images(job: EncodeJob, tmp_path: Path) -> None:
    paths = list(write_pictures(tmp_path, 0, **{f"b{i}": b"bad%d" % i for i in range(6)}).values())
    assert set(run_worker(job, rows_for(paths)).values()) == {"not_an_image"}
    assert set(read_store(job.store).values()) == {None}


def test_vectors_that_are_not_finite_are_refused(
    job: EncodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SearchModel, "encode_images", lambda *_: torch.full((2, 32), float("nan")))
    paths = list(write_pictures(tmp_path, 2).values())
    assert set(run_worker(job, rows_for(paths)).values()) == {"not_finite"}


def test_rows_may_come_in_any_arrow_batches(job: EncodeJob, tmp_path: Path) -> None:
    rows = rows_for(list(write_pictures(tmp_path, 25).values()))
    run_worker(job, rows)
    other = dataclasses.replace(job, store_names=("photo_vectors", "other"))
    run_worker(other, rows.slice(0, 3), rows.slice(3, 0), rows.slice(3, 13), rows.slice(16))
    assert other.store.names() == job.store.names()
    assert read_store(other.store) == read_store(job.store)


def test_a_model_is_loaded_once_per_process(job: EncodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    original = SearchModel.load.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(SearchModel, "load", classmethod(lambda cls, *args: loads.append(args) or original(cls, *args)))
    rows = rows_for(list(write_pictures(tmp_path, 5).values()))
    for _ in range(3):
        run_worker(job, rows)
    assert len(loads) == 1
    for folder in (ZERO_SHOT, FULL, ZERO_SHOT):
        workers.cached_model(dataclasses.replace(job.source, folder=folder), "cpu")
    assert len(loads) == 2
    assert len(workers._models) <= workers.MODELS_KEPT


@in_spark
def test_spark_workers_keep_the_model_from_task_to_task(spark: SparkSession, job: EncodeJob, tmp_path: Path) -> None:
    rows = rows_for(list(write_pictures(tmp_path, 16).values()), part_size=2)
    frame = spark.createDataFrame(pa.Table.from_batches([rows])).repartition(8)

    def loaded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from jobs.embedding import workers as module

        list(batches)
        source = job.source
        ids = [id(model) for (kept, _), model in module._models.items() if kept == source]
        yield pa.RecordBatch.from_pydict({"pid": [os.getpid()] * len(ids), "model": ids})

    rounds = []
    for _ in range(2):
        frame.mapInArrow(partial(spark_jobs.embed_photos, job=job), "key string, reason string").collect()
        found = {tuple(row) for row in frame.mapInArrow(loaded, "pid long, model long").collect()}
        rounds.append(dict(found))
        assert len(rounds[-1]) == len(found)  # each worker has one model
    kept = rounds[0].keys() & rounds[1].keys()
    assert kept  # earlier tests may have left more workers than there are tasks at a time
    assert all(rounds[0][pid] == rounds[1][pid] for pid in kept)


def test_workers_start_from_a_daemon_that_a_setting_can_replace(settings: Settings) -> None:
    name = "spark.python.daemon.module"
    assert preloading(settings).spark_conf == {name: "jobs.embedding.worker_daemon"}
    other = settings.model_copy(update={"spark_conf": {name: "pyspark.daemon", "a": "b"}})
    assert preloading(other).spark_conf == other.spark_conf


def test_a_damaged_model_is_named(job: EncodeJob) -> None:
    manifest = Manifest.model_validate_json(job.source.manifest_json)
    weights = job.store.lake.root + "/" + manifest.files[f"{FULL}/model.safetensors"].path
    Path(weights).write_bytes(b"damaged")
    with raises(BadInput, "model_files_disagree", model=FULL, run=manifest.reference):
        job.source.load()


def test_batches_never_reach_into_the_next_part() -> None:
    rows = [Row(part, f"{part}{i}", "", None) for part, count in ((0, 5), (1, 2), (4, 4)) for i in range(count)]
    batches = list(cut_batches(rows, 2))
    assert [[row.part for row in batch] for batch in batches] == [[0, 0], [0, 0], [0], [1, 1], [4, 4], [4, 4]]
    assert [row for batch in batches for row in batch] == rows


@pytest.mark.parametrize(
    ("resources", "device"),
    [
        ({}, "cpu"),
        ({"fpga": SimpleNamespace(addresses=["0"])}, "cpu"),
        ({"gpu": SimpleNamespace(addresses=[])}, "cpu"),
        ({"gpu": SimpleNamespace(addresses=["3"])}, "cuda:3"),
        ({"gpu": SimpleNamespace(addresses=["1", "0"])}, "cuda:1"),
    ],
)
def test_the_device_is_what_spark_assigned(resources: dict[str, Any], device: str) -> None:
    assert pick_device(resources) == device


def test_bfloat16_is_for_gpus() -> None:
    assert effective_precision("bfloat16", {}) == "float32"
    assert effective_precision("bfloat16", {"spark.task.resource.gpu.amount": "1"}) == "bfloat16"
    assert effective_precision("float32", {"spark.task.resource.gpu.amount": "0.5"}) == "float32"
    with pytest.raises(ValueError, match="bfloat16"):
        workers.encode_texts(MODELS[ZERO_SHOT], ["cat"], "cpu", "bfloat16")
