"""Stage `build_index`: the FAISS shards of one arm's photo vectors, and how much of exact search they find.

Facts: kind, nlist and nprobe (None in a flat index), shard_count, photo_count, bytes, model_digest, recall_at_10
over query_count queries of query_window, which is validation, or test where nothing was kept for validation;
build_seconds.
"""

from __future__ import annotations

import time

import numpy as np
import polars as pl

from jobs import datasets
from jobs.context import RunContext
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.lake import Lake, Manifest
from jobs.params import BuildIndexParams
from models import ann

FOLDER = "index"
CUTOFF = 10


def run(ctx: RunContext, params: BuildIndexParams) -> Manifest:
    """Build, read back and measure; `GateFailed` and nothing committed if the recall is below its floor."""
    names = ("splits", "photo_embeddings", "query_embeddings")
    inputs = {name: ctx.read(getattr(datasets, name.upper())) for name in names}
    staged = ctx.begin(datasets.PHOTO_INDEX, params, inputs)
    if staged.manifest is not None:
        return staged.manifest
    model_digest = _model_digest(inputs, params.arm)
    photos = _rows_of_arm(ctx.lake, inputs["photo_embeddings"], params.arm)
    photo_ids, photo_ND = photos["photo_id"].to_list(), _matrix(photos)
    ids_N = ann.stable_ids(photo_ids)
    query_window = "validation" if inputs["splits"].row_counts["validation"] else "test"
    query_QD = _queries(ctx, inputs, params, query_window)
    with staged.local_folder(FOLDER) as folder:
        begun = time.perf_counter()
        description = ann.build_index(
            folder,
            photo_ND,
            ids_N,
            model_digest=model_digest,
            shard_size=params.shard_size,
            kind=params.kind,
            nprobe=params.nprobe,
            seed=ctx.seed,
        )
        build_seconds = time.perf_counter() - begun
        index = ann.ShardedIndex.open(folder, model_digest, ids_N, photo_ids)
    recall = _recall(index, query_QD, photo_ND, ids_N)
    if recall < params.min_recall_at_10:
        staged.abandon()
        raise GateFailed(
            f"the index of arm {params.arm!r} ({description.kind}, nlist {description.nlist}, nprobe "
            f"{description.nprobe}) finds {recall:.3f} of the {CUTOFF} best photos of {len(query_QD)} "
            f"{query_window} queries, less than min_recall_at_10 = {params.min_recall_at_10:g}. Raise nprobe, or set "
            f"kind to flat."
        )
    staged.write_table("ids", pl.DataFrame({"faiss_id": ids_N, "photo_id": photo_ids}).sort("faiss_id"))
    return staged.commit(
        {
            "model_digest": model_digest,
            "kind": description.kind,
            "nlist": description.nlist,
            "nprobe": description.nprobe,
            "shard_count": len(description.shards),
            "photo_count": description.photo_count,
            "bytes": sum(shard.byte_count for shard in description.shards),
            "recall_at_10": recall,
            "query_count": len(query_QD),
            "query_window": query_window,
            "build_seconds": round(build_seconds, 3),
        }
    )


def _model_digest(inputs: dict[str, Manifest], arm: str) -> str:
    """Return the digest of the model that made both photo and query vectors of the arm."""
    found = {}
    for name in ("photo_embeddings", "query_embeddings"):
        arms = inputs[name].facts["arms"]
        if arm not in arms:
            raise MissingInput(f"{inputs[name].reference} has no vectors of arm {arm!r}; it has {sorted(arms)}")
        found[name] = str(arms[arm]["model_digest"])
    if found["photo_embeddings"] != found["query_embeddings"]:
        raise BadInput(
            f"arm {arm!r}: photos were embedded by model {found['photo_embeddings']}, queries by model "
            f"{found['query_embeddings']}. Rerun embed_photos and embed_queries."
        )
    return found["photo_embeddings"]


def _rows_of_arm(lake: Lake, manifest: Manifest, arm: str) -> pl.DataFrame:
    """Return one arm's rows without holding the others in memory, in an order of their own."""
    rows = pl.scan_parquet(lake.table_uris(manifest, "embeddings")).filter(pl.col("arm") == arm).drop("arm").collect()
    if rows.is_empty():
        raise MissingInput(f"{manifest.reference} has no vectors of arm {arm!r}")
    return rows.sort(pl.exclude("vector"))


def _matrix(rows: pl.DataFrame) -> ann.Floats:
    """Return the vectors of `rows` as a matrix [rows, D]."""
    lengths = rows["vector"].list.len().unique().to_list()
    if len(lengths) != 1:
        raise BadInput(f"vectors of one arm have different lengths: {sorted(lengths)}. Rerun the embedding stages.")
    return rows["vector"].explode().to_numpy().reshape(len(rows), lengths[0])


def _queries(ctx: RunContext, inputs: dict[str, Manifest], params: BuildIndexParams, window: str) -> ann.Floats:
    """Return vectors of distinct queries of a window, a sample that the seed decides."""
    uses_country = inputs["query_embeddings"].facts["arms"][params.arm]["uses_country"]
    country = pl.col("country").fill_null("") if uses_country else pl.lit("").alias("country")
    asked = ctx.lake.read_table(inputs["splits"], window, ["query", "country"]).select("query", country).unique()
    embedded = _rows_of_arm(ctx.lake, inputs["query_embeddings"], params.arm)
    rows = embedded.join(asked, on=["query", "country"], how="semi", maintain_order="left")
    if rows.is_empty():
        raise MissingInput(
            f"{inputs['query_embeddings'].reference} has no vector of any of the {len(asked)} {window} queries "
            f"for arm {params.arm!r}, so the recall cannot be measured. Rerun embed_queries."
        )
    count = min(params.recall_query_count, len(rows))
    chosen = np.random.default_rng(ctx.seed).choice(len(rows), count, replace=False)
    return _matrix(rows[np.sort(chosen)])


def _recall(index: ann.ShardedIndex, query_QD: ann.Floats, photo_ND: ann.Floats, ids_N: ann.Ints) -> float:
    found_QK, _ = index.search_ids(query_QD, CUTOFF)
    order = np.argsort(ids_N)
    row_QK = order[np.searchsorted(ids_N, found_QK, sorter=order).clip(max=len(ids_N) - 1)]
    return ann.recall_at_k(query_QD, photo_ND, np.where(found_QK >= 0, row_QK, -1))
