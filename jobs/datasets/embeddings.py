"""Vectors of photos and queries, per arm."""

from __future__ import annotations

import pyarrow as pa

from jobs.datasets.schema import STR, VECTOR, Dataset, Table, schema

_PHOTO_VECTORS = schema(arm=STR, photo_id=STR, vector=VECTOR)  # unit vectors, ready to rank


# raw features of a picture, and what the photo's keywords add to them
_EXEMPLAR: dict[str, pa.DataType] = {"photo_id": STR, "feature": VECTOR, "keyword_vector": VECTOR}


EXEMPLARS = "exemplars"


PHOTO_EMBEDDINGS = Dataset(
    "photo_embeddings",
    "embeddings",
    (
        Table("embeddings", _PHOTO_VECTORS),
        Table("quarantine", schema(photo_id=STR, reason=STR), may_be_empty=True),
        Table(EXEMPLARS, schema(arm=STR, **_EXEMPLAR), may_be_empty=True),
    ),
)
"""`exemplars`: of arms that read keywords, a sample of the photos that have some (`models.search.completion`).

Facts: per arm model_digest, dim, embedded_count (newly computed), reused_count, seconds."""


QUERY_EMBEDDINGS = Dataset(
    "query_embeddings",
    "embeddings",
    (Table("embeddings", schema(arm=STR, query=STR, country=STR, vector=VECTOR)),),
)
