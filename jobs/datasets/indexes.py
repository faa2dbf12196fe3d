"""The FAISS index of the night and its check."""

from __future__ import annotations

from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Table, schema

PHOTO_INDEX = Dataset("photo_index", "indexes", (Table("ids", schema(shard=I64, faiss_id=I64, photo_id=STR)),))
"""Files: index/index.json, of every shard index/shard-<days>.faiss, .ids.npy and .photos.npy, and index/quantizer.faiss
of kinds that learn one. Facts: model_digest, kind, reason, shard_count, photo_count, bytes, peak_memory_mb ...
"""


INDEX_CHECK = Dataset(
    "index_check",
    "indexes",
    (
        Table(
            "recalls",  # of the index (kind "published") and of the kinds it is compared with
            schema(kind=STR, k=I32, recall=F64, low=F64, high=F64, query_count=I64),
        ),
    ),
)
"""Facts: recall_at_10 and recall_at_100, each also _low and _high, single and batched latency, bytes_per_vector,
model_digest, and of every kind compared the same with build_seconds and peak_memory_mb.
"""
