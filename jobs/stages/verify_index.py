"""Stage `verify_index`: what the night's index finds of exact search, how quickly, and at what size; and its gates.

Queries are real ones that no part of training saw, and never vectors of the index itself, which find themselves too
easily. Exact search compares with the photos block by block. Beside the index stand other kinds built from the same
photos, where these are few enough.

Facts: recall_at_10 and recall_at_100 (each with _low and _high: 95 %, resampling queries, those of the same words
together), single_p50_ms, single_p99_ms, batch_p50_ms, batch_p99_ms (of a batch of batch_size), bytes_per_vector,
query_count, query_window, model_digest, compared (the same of other kinds, with build_seconds and peak_memory_mb),
compared_note (what is not compared, and why), seconds.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.index import VerifyIndexParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.indexes import INDEX_CHECK
from jobs.errors import GateFailed
from jobs.indexing.held_out_queries import Queries, model_of, photo_blocks, read_queries
from jobs.indexing.kind_comparison import CUTOFFS, Measured, compare, measure, searching, to_compare
from jobs.indexing.shard_workers import FOLDER
from jobs.lake.manifest import Manifest
from models import ann
from models.evaluation.scorecard import Scorecard
from models.indexing.ids import hashed_ids
from models.indexing.measuring import ExactSearch

PUBLISHED = "published"
"""What the night's own index is called among the kinds."""


def run(ctx: RunContext, params: VerifyIndexParams) -> Manifest:
    """Measure, hold against the limits, commit; `GateFailed` and nothing committed if one is passed."""
    names = ("splits", "photo_embeddings", "query_embeddings", "photo_index")
    inputs = {name: ctx.read(named(name)) for name in names}
    arm, photo_count = str(inputs["photo_index"].params["arm"]), int(inputs["photo_index"].facts["photo_count"])
    model_digest = model_of(inputs, arm)
    # What is taken from facts is not part of the inputs' digests.
    staged = ctx.begin(INDEX_CHECK, params, inputs, {"model": model_digest})
    if staged.manifest is not None:
        return staged.manifest
    begun = time.perf_counter()
    queries = read_queries(ctx.lake, inputs, arm, params.query_count, ctx.seed)
    kinds, note = to_compare(params, photo_count)

    def photos() -> Any:
        return photo_blocks(ctx.lake, inputs["photo_embeddings"], arm, queries.vectors.shape[1])

    measured = [_measure_published(ctx, inputs["photo_index"], model_digest, queries, params)]
    if kinds:
        measured += compare(kinds, photos(), queries.vectors, params.batch_size, ctx.seed)
    exact = ExactSearch(queries.vectors, CUTOFFS[-1], [ids_QK for one in measured for ids_QK in one.found])
    for photo_ids, photo_BD in photos():
        exact.add(hashed_ids(photo_ids), photo_BD)
    recalls = _recalls(measured, exact, queries, params.resample_count, ctx.seed)
    figures = [one.facts(photo_count) | _recall_facts(recalls, one.kind) for one in measured]
    if failed := failures(figures[0], params):
        staged.abandon()
        raise GateFailed(
            "index_limit_missed",
            _message(inputs["photo_index"], queries, list(failed.values())),
            run=inputs["photo_index"].reference,
            limits=list(failed),
            query_count=len(queries.vectors),
            query_window=queries.window,
        )
    staged.write_table("recalls", recalls)
    return staged.commit(
        figures[0]
        | {
            "kind": inputs["photo_index"].facts["kind"],
            "model_digest": model_digest,
            "query_count": len(queries.vectors),
            "query_window": queries.window,
            "batch_size": params.batch_size,
            "compared": figures[1:],
            "compared_note": note,
            "seconds": round(time.perf_counter() - begun, 3),
        }
    )


def _measure_published(
    ctx: RunContext, manifest: Manifest, model_digest: str, queries: Queries, params: VerifyIndexParams
) -> Measured:
    """Read the index back from the lake, every file checked, and search it."""
    with (
        ctx.lake.local_folder(manifest, FOLDER) as folder,
        ann.ShardedIndex.open(folder, model_digest) as index,
    ):
        byte_count = index.description.byte_count
        return measure(PUBLISHED, searching(index), queries.vectors, params.batch_size, byte_count)


def _recalls(
    measured: list[Measured], exact: ExactSearch, queries: Queries, resample_count: int, seed: int
) -> pl.DataFrame:
    """Return the recall of every index at every cutoff, with its interval."""
    recall_Q = iter(exact.recall(number, k) for number, k in enumerate(CUTOFFS * len(measured)))
    by_kind = {one.kind: np.stack([next(recall_Q) for _ in CUTOFFS], axis=1) for one in measured}
    card = Scorecard.of_values(by_kind, queries.words, resample_count, [seed])
    rows = []
    for kind in by_kind:
        found = card.cautious(kind)
        values = zip(CUTOFFS, found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
        rows += [(kind, k, value, low, high, len(queries.words)) for k, value, low, high in values]
    schema = dict(pl.DataFrame(INDEX_CHECK.table("recalls").schema.empty_table()).schema)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _recall_facts(recalls: pl.DataFrame, kind: str) -> dict[str, float]:
    facts: dict[str, float] = {}
    for k, value, low, high in recalls.filter(kind=kind).select("k", "recall", "low", "high").iter_rows():
        facts |= {f"recall_at_{k}": value, f"recall_at_{k}_low": low, f"recall_at_{k}_high": high}
    return facts


def failures(facts: dict[str, Any], params: VerifyIndexParams) -> dict[str, str]:
    """Return which limits the figures of an index pass, each with what is to be said of it."""
    failed = {
        f"min_recall_at_{k}": f"recall@{k} is {facts[f'recall_at_{k}']:.3f}, less than min_recall_at_{k} = {floor:g} "
        f"(raise nprobe or ef_search of build_index, or take another kind)"
        for k, floor in zip(CUTOFFS, (params.min_recall_at_10, params.min_recall_at_100), strict=True)
        if facts[f"recall_at_{k}"] < floor
    }
    if params.max_p99_ms is not None and facts["single_p99_ms"] > params.max_p99_ms:
        failed["max_p99_ms"] = (
            f"one search in a hundred takes {facts['single_p99_ms']:.3g} ms, more than max_p99_ms = "
            f"{params.max_p99_ms:g} (lower nprobe or ef_search of build_index, or take another kind)"
        )
    if params.max_bytes_per_vector is not None and facts["bytes_per_vector"] > params.max_bytes_per_vector:
        failed["max_bytes_per_vector"] = (
            f"a photo takes {facts['bytes_per_vector']:g} bytes, more than max_bytes_per_vector = "
            f"{params.max_bytes_per_vector:g} (take a kind with codes, such as opq_ivf_pq)"
        )
    return failed


def _message(index: Manifest, queries: Queries, failed: list[str]) -> str:
    facts = index.facts
    settings = f"nlist {facts['nlist']}, nprobe {facts['nprobe']}, ef_search {facts['ef_search']}"
    return (
        f"the index {index.reference} ({facts['kind']}, {settings}) does not pass on {len(queries.vectors)} "
        f"{queries.window} queries: {'; '.join(failed)}. Nothing is committed."
    )
