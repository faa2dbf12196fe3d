"""The FAISS index of the night and its check."""

from __future__ import annotations

from typing import ClassVar

from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Facts, Table, schema


class PhotoIndexFacts(Facts):
    """What the index of one arm is.

    `reason` says why the index is of its `kind`, and `quantizer` where its quantizer comes from. nlist, nprobe,
    ef_search and code_bytes are None where the kind has no such thing. `bytes` are those that a search reads.
    `reused_from` names the run that `shards_taken_over` are of. `peak_memory_mb` is of the process that took most.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset(
        (
            *("quantizer", "shards_built", "shards_taken_over", "reused_from"),  # depend on the nights before
            *("peak_memory_mb", "build_seconds"),
        )
    )

    model_digest: str
    format: int
    kind: str
    reason: str
    nlist: int | None
    nprobe: int | None
    ef_search: int | None
    code_bytes: int | None
    quantizer: str
    shard_count: int
    shards_built: int
    shards_taken_over: int
    reused_from: str | None
    shard_size: int
    photo_count: int
    bytes: int
    max_memory_mb: int
    peak_memory_mb: float
    build_seconds: float


PHOTO_INDEX = Dataset(
    "photo_index", "indexes", (Table("ids", schema(shard=I64, faiss_id=I64, photo_id=STR)),), PhotoIndexFacts
)
"""Files: index/index.json, of every shard index/shard-<days>.faiss, .ids.npy and .photos.npy, and index/quantizer.faiss
of kinds that learn one.
"""


class IndexCheckFacts(Facts):
    """How well the index finds what exact search finds, how quickly, and at what size.

    A recall has its 95 % interval, clustered by the queries' words. A batch is of
    `batch_size` queries. The queries are a sample of those of the `query_window`, validation or test.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset(
        ("single_p50_ms", "single_p99_ms", "batch_p50_ms", "batch_p99_ms", "seconds")
    )

    model_digest: str
    query_count: int
    query_window: str
    recall_at_10: float
    recall_at_10_low: float
    recall_at_10_high: float
    recall_at_100: float
    recall_at_100_low: float
    recall_at_100_high: float
    bytes_per_vector: float
    batch_size: int
    single_p50_ms: float
    single_p99_ms: float
    batch_p50_ms: float
    batch_p99_ms: float
    seconds: float


INDEX_CHECK = Dataset(
    "index_check",
    "indexes",
    (Table("recalls", schema(k=I32, recall=F64, low=F64, high=F64, query_count=I64)),),
    IndexCheckFacts,
)
