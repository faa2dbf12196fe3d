"""Stage `verify_index`: what the night's index finds of exact search, how quickly, and at what size; and its gates.

Queries are real ones that no part of training saw, and never vectors of the index itself, which find themselves too
easily. Exact search compares with the photos file by file, in tasks, after latency is measured: nothing runs beside a
measured search. Other kinds of index are compared by `nightlens compare_indexes`.
"""

from __future__ import annotations

import time

import polars as pl

from jobs.config.params.index import VerifyIndexParams
from jobs.context import Inputs, RunContext
from jobs.datasets.indexes import IndexCheckFacts, PhotoIndexFacts
from jobs.errors import GateFailed
from jobs.indexing.held_out_queries import Queries, model_of, read_queries
from jobs.indexing.measured_index import CUTOFFS, Measured, measure, recalls
from jobs.indexing.shard_workers import FOLDER
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models import ann
from models.limits import is_within


def run(ctx: RunContext, params: VerifyIndexParams, inputs: Inputs, staged: StagedRun) -> IndexCheckFacts:
    """Measure and hold against the limits; `GateFailed` if one is passed."""
    begun = time.perf_counter()
    index = inputs["photo_index"]
    arm = str(index.params["arm"])
    model_digest = model_of(inputs, arm)
    queries = read_queries(ctx.lake, inputs, arm, params.query_count, ctx.seed)
    measured = _measured(ctx, index, model_digest, queries, params)
    (found,) = recalls(ctx.settings, ctx.lake, inputs["photo_embeddings"], arm, [measured], queries)
    columns = {"k": CUTOFFS, "recall": found.value, "low": found.low, "high": found.high}
    table = pl.DataFrame(columns | {"query_count": len(queries.vectors)})
    (at_10, low_10, high_10), (at_100, low_100, high_100) = table.select("recall", "low", "high").iter_rows()
    facts = IndexCheckFacts(
        model_digest=model_digest,
        query_count=len(queries.vectors),
        query_window=queries.window,
        recall_at_10=at_10,
        recall_at_10_low=low_10,
        recall_at_10_high=high_10,
        recall_at_100=at_100,
        recall_at_100_low=low_100,
        recall_at_100_high=high_100,
        bytes_per_vector=measured.bytes_per_vector,
        batch_size=params.batch_size,
        single_p50_ms=measured.single.p50_ms,
        single_p99_ms=measured.single.p99_ms,
        batch_p50_ms=measured.batch.p50_ms,
        batch_p99_ms=measured.batch.p99_ms,
        seconds=round(time.perf_counter() - begun, 3),
    )
    if failed := failures(facts, params):
        raise GateFailed(
            "index_limit_missed",
            _message(index, queries, list(failed.values())),
            run=index.reference,
            limits=list(failed),
            query_count=len(queries.vectors),
            query_window=queries.window,
        )
    staged.write_table("recalls", table)
    return facts


def _measured(
    ctx: RunContext, manifest: Manifest, model_digest: str, queries: Queries, params: VerifyIndexParams
) -> Measured:
    """Read the index back from the lake, every file checked, and search it."""
    with (
        ctx.lake.local_folder(manifest, FOLDER) as folder,
        ann.ShardedIndex.open(folder, model_digest) as index,
    ):
        return measure(index, queries.vectors, params.batch_size)


def failures(facts: IndexCheckFacts, params: VerifyIndexParams) -> dict[str, str]:
    """Return which limits the figures of an index pass, each with what is to be said of it."""
    failed = {
        f"min_recall_at_{k}": f"recall@{k} is {recall:.3f}, less than min_recall_at_{k} = {floor:g} "
        f"(raise nprobe or ef_search of build_index, or take another kind)"
        for k, recall, floor in (
            (10, facts.recall_at_10, params.min_recall_at_10),
            (100, facts.recall_at_100, params.min_recall_at_100),
        )
        if not is_within(recall, least=floor)
    }
    if params.max_p99_ms is not None and not is_within(facts.single_p99_ms, most=params.max_p99_ms):
        failed["max_p99_ms"] = (
            f"one search in a hundred takes {facts.single_p99_ms:.3g} ms, more than max_p99_ms = "
            f"{params.max_p99_ms:g} (lower nprobe or ef_search of build_index, or take another kind)"
        )
    if params.max_bytes_per_vector is not None and not is_within(
        facts.bytes_per_vector, most=params.max_bytes_per_vector
    ):
        failed["max_bytes_per_vector"] = (
            f"a photo takes {facts.bytes_per_vector:g} bytes, more than max_bytes_per_vector = "
            f"{params.max_bytes_per_vector:g} (take a kind with codes, such as opq_ivf_pq)"
        )
    return failed


def _message(index: Manifest, queries: Queries, failed: list[str]) -> str:
    built = PhotoIndexFacts.of(index)
    settings = f"nlist {built.nlist}, nprobe {built.nprobe}, ef_search {built.ef_search}"
    return (
        f"the index {index.reference} ({built.kind}, {settings}) does not pass on {len(queries.vectors)} "
        f"{queries.window} queries: {'; '.join(failed)}. Nothing is committed."
    )
