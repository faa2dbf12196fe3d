"""Exact ranks of an arm by vectors, in tasks of this machine, against the bare matrix products in the same run.

    pytest -n 0 -m benchmark tests/benchmarks/test_ranking_benchmark.py -s

`NIGHTLENS_RANKING=photos,searches,numbers` sets the size of the largest, 1,000,000 x 20,000 x 256.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jobs.adapters.task_pool import LocalPool, task_pool
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.evaluation.ranked_arm import rank
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.vector_arm import Job, Limits, VectorArm
from jobs.evaluation.vector_parts import PHOTOS_AT_ONCE
from jobs.lake.manifest import Manifest
from jobs.lake.shared_arrays import Scratch
from models.evaluation.counting import TILE_PHOTOS, TILE_TEXTS
from models.evaluation.ranking import Availability
from tests.benchmarks.measuring import context
from tests.made_up_facts import made_up

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3000)]

ARM = "full"
PHOTOS, SEARCHES, DIM = map(int, os.environ.get("NIGHTLENS_RANKING", "1000000,20000,256").split(","))


def unit(random: np.random.Generator, count: int, dim: int) -> np.ndarray:
    vectors = random.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def lists(vector_ND: np.ndarray) -> pl.Series:
    return pl.Series(vector_ND, dtype=pl.Array(pl.Float32, vector_ND.shape[1])).cast(pl.List(pl.Float32))


def embedded(ctx: RunContext, photo_count: int, text_count: int, dim: int) -> dict[str, Manifest]:
    """Commit random vectors in files as `embed_photos` and `embed_queries` write them."""
    random, inputs = np.random.default_rng(0), {}
    for dataset, count, size in (
        (PHOTO_EMBEDDINGS, photo_count, PHOTOS_AT_ONCE),
        (QUERY_EMBEDDINGS, text_count, 2**30),
    ):
        staged = ctx.begin(dataset, made_up_params(), {}, {"fabricated": f"{photo_count} {text_count} {dim}"})
        for shard, start in enumerate(range(0, count, size)):
            numbers = pl.int_range(start, min(count, start + size), eager=True)
            named = pl.format("{}", pl.lit(numbers)).str.zfill(9)
            names = {"photo_id": named} if dataset is PHOTO_EMBEDDINGS else {"query": named, "country": pl.lit("")}
            vectors = lists(unit(random, len(numbers), dim))
            staged.write_table("embeddings", pl.select(arm=pl.lit(ARM), **names, vector=vectors), shard)
        for table in dataset.tables:
            if table.may_be_empty:
                staged.write_table(table.name, pl.DataFrame(table.schema.empty_table()))
        arm = {"dim": dim, "uses_country": False} if dataset is QUERY_EMBEDDINGS else {"dim": dim}
        inputs[dataset.name] = staged.commit(made_up(dataset.facts, arms={ARM: arm}))
    return inputs


def made_up_params() -> object:
    from jobs.config.params.base import Params

    return Params()


def searches(photo_count: int, text_count: int) -> tuple[Task, Availability]:
    """Return as many searches as texts, each for another photo."""
    random = np.random.default_rng(1)
    names = pl.format("{}", pl.int_range(pl.lit(0), pl.lit(photo_count))).str.zfill(9)
    photos = pl.select(photo_id=names).with_row_index("place")
    queries = pl.select(
        query=pl.format("{}", pl.int_range(pl.lit(0), pl.lit(text_count))).str.zfill(9), country=pl.lit("")
    )
    always = np.zeros(photo_count, dtype=np.int64)
    asked_at = np.ones(text_count, dtype=np.int64)
    task = Task(
        window="test",
        photos=photos,
        queries=queries,
        texts=queries.with_row_index("text"),
        text_ids=np.arange(text_count),
        targets=random.integers(0, photo_count, text_count),
        visitors=np.arange(text_count),
        asked_at=asked_at,
        available_at=always,
    )
    return task, Availability(always)


def bare(job: Job, item: tuple[range, int]) -> float:
    """Compute the products of a task and nothing else, in the same tiles."""
    parts, number = item
    query_UD = job.texts[number].open().vector
    total = 0.0
    for part in parts:
        photo_SD = job.photos(part)[0].vector
        for text in range(0, len(query_UD), TILE_TEXTS):
            for photo in range(0, len(photo_SD), TILE_PHOTOS):
                total += float((query_UD[text : text + TILE_TEXTS] @ photo_SD[photo : photo + TILE_PHOTOS].T)[0, 0])
    return total


def ranked(folder: Path, photo_count: int, text_count: int, dim: int) -> tuple[float, float, float]:
    """Return the seconds of ranking and of the bare products, by photo and search, and the MiB of a process."""
    ctx = context(folder)
    inputs, (task, availability) = embedded(ctx, photo_count, text_count, dim), searches(photo_count, text_count)
    shared = Scratch(ctx.lake.root_uri, ctx.lake.catalogue, str(folder / "scratch"))
    pool = LocalPool()
    try:
        arm = VectorArm.laid_out(ctx.lake, inputs, task, availability, ARM, pool, shared, Limits(0.1, 2048))
        pool.each(partial(bare, arm.job), arm._items()[:2])  # starts the processes
        begun = time.perf_counter()
        rank_Q = rank(arm, task.text_ids, task.targets, task.asked_at, availability)
        middle = time.perf_counter()
        pool.each(partial(bare, arm.job), arm._items())
        ended = time.perf_counter()
    finally:
        pool.close()
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    assert abs(np.mean(rank_Q) / photo_count - 0.5) < 0.05  # chance: vectors are random
    billions = photo_count * text_count / 1e9
    print(
        f"\n{photo_count:,} photos x {text_count:,} searches x {dim}: {middle - begun:.1f} s, bare products "
        f"{ended - middle:.1f} s, {(middle - begun) / (ended - middle):.2f} x; {(middle - begun) / billions:.2f} s a "
        f"billion pairs; {peak_mb:.0f} MiB a process"
    )
    return (middle - begun) / billions, (ended - middle) / billions, peak_mb


def test_ranking_takes_little_more_than_the_products(tmp_path: Path) -> None:
    seconds, products, peak_mb = ranked(tmp_path, PHOTOS, SEARCHES, DIM)
    assert seconds < 1.5 * products
    assert peak_mb < 2048


def test_a_pair_costs_the_same_in_a_larger_corpus(tmp_path: Path) -> None:
    seconds = [
        ranked(tmp_path / str(photo_count), photo_count, SEARCHES // 2, DIM)[0]
        for photo_count in (100_000, 1_000_000, 3_000_000)
    ]
    assert max(seconds) < 1.3 * min(seconds)


def test_two_workers_of_spark_divide_the_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Standalone workers with a core each, as `local-cluster` starts them; the ranks are those of one machine."""
    ctx, limits = context(tmp_path), Limits(0.1, 2048)
    inputs, (task, availability) = embedded(ctx, 250_000, 8_000, DIM), searches(250_000, 8_000)
    settings = ctx.settings.model_copy(update={"spark_master": "local-cluster[2,1,2048]", "spark_from_rows": 1})
    ranks = []
    for pool_settings in (ctx.settings, settings):
        shared = Scratch(ctx.lake.root_uri, ctx.lake.catalogue, str(tmp_path / "scratch"))
        with task_pool(pool_settings, "evaluate", 1) as pool, caplog.at_level(logging.INFO, "nightlens"):
            arm = VectorArm.laid_out(ctx.lake, inputs, task, availability, ARM, pool, shared, limits)
            begun = time.perf_counter()
            ranks.append(rank(arm, task.text_ids, task.targets, task.asked_at, availability))
            print(f"\n{pool_settings.spark_master}: {time.perf_counter() - begun:.1f} s")
    spread = [line for line in caplog.messages if "tasks on" in line]
    print("\n".join(spread))
    np.testing.assert_array_equal(*ranks)
    assert any("tasks on 2 executors" in line for line in spread)
