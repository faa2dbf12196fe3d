"""Params of building and verifying the index."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.config.params.arms import FULL
from jobs.config.params.base import Params

IndexKind = Literal["flat", "ivf_flat", "ivf_pq", "opq_ivf_pq", "hnsw", "lsh"]


class BuildIndexParams(Params):
    arm: str = Field(FULL, description="the arm whose photo vectors are indexed")
    kind: Literal["auto"] | IndexKind = Field(
        "auto", description="auto: by number of photos, max_index_mb and target_recall; the report says why"
    )
    target_recall: float = Field(0.9, ge=0, le=1, description="share of the ten best photos that 'auto' is to find")
    max_index_mb: int | None = Field(None, ge=1, description="what the shards together may take, for 'auto'")
    shard_size: int = Field(1_000_000, ge=1, description="photos per shard, at most")
    max_memory_mb: int = Field(
        2048, ge=1, description="memory of one process that fills a shard, MiB; less makes more and smaller shards"
    )
    nprobe: int | None = Field(
        None, ge=1, description="lists of an inverted file searched per shard; default: a sixteenth, at least 8"
    )
    ef_search: int | None = Field(None, ge=1, description="candidates that a search of hnsw keeps; default: 64")
    code_bytes: int | None = Field(
        None, ge=1, description="bytes of a product quantizer's codes; default: half the dimensions"
    )


class VerifyIndexParams(Params):
    query_count: int = Field(
        1000, ge=1, description="validation queries (test queries where there are none) it is measured on, at most"
    )
    batch_size: int = Field(64, ge=2, description="queries at a time, for the latency of batches")
    min_recall_at_10: float = Field(0.9, ge=0, le=1, description="stop if the index finds less of the exact 10 best")
    min_recall_at_100: float = Field(0.8, ge=0, le=1, description="stop if it finds less of the exact 100 best")
    max_p99_ms: float | None = Field(
        1000.0, gt=0, description="stop if one search in a hundred takes longer, milliseconds"
    )
    max_bytes_per_vector: float | None = Field(None, gt=0, description="stop if a photo takes more in the index")
