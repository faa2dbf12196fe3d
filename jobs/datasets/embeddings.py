"""Vectors of photos and queries, per arm."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from jobs.datasets.schema import STR, VECTOR, Dataset, Facts, Table, schema

_PHOTO_VECTORS = schema(arm=STR, photo_id=STR, vector=VECTOR)  # unit vectors, ready to rank


# raw features of a picture, and what the photo's keywords add to them
_EXEMPLAR: dict[str, pa.DataType] = {"photo_id": STR, "feature": VECTOR, "keyword_vector": VECTOR}


EXEMPLARS = "exemplars"


class EmbeddedArm(Facts):
    """By which model an arm's vectors are, and how long they are."""

    model_digest: str
    dim: int


class PhotoArmFacts(EmbeddedArm):
    """What it took to embed the photos of an arm; one that shares an earlier arm's encoder computes nothing itself.

    `failed_count` photos have an image that cannot be embedded. `images_per_second` is None if none was embedded.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"embedded_count", "reused_count", "seconds", "images_per_second"})

    embedded_count: int
    reused_count: int
    failed_count: int
    seconds: float
    images_per_second: float | None


class PhotoEmbeddingsFacts(Facts):
    """Arms by name, the number of photos in the corpus, with and without a vector, and the precision of the towers."""

    arms: dict[str, PhotoArmFacts]
    photo_count: int
    precision: str


PHOTO_EMBEDDINGS = Dataset(
    "photo_embeddings",
    "embeddings",
    (
        Table("embeddings", _PHOTO_VECTORS),
        Table("quarantine", schema(photo_id=STR, reason=STR), may_be_empty=True),
        Table(EXEMPLARS, schema(arm=STR, **_EXEMPLAR), may_be_empty=True),
    ),
    PhotoEmbeddingsFacts,
)
"""`exemplars`: of arms that read keywords, a sample of the photos that have some (`models.search.completion`)."""


class QueryArmFacts(EmbeddedArm):
    """What it took to embed the queries of an arm, and whether its vectors depend on the country."""

    MEASURED: ClassVar[frozenset[str]] = frozenset({"embedded_count", "reused_count", "seconds"})

    uses_country: bool
    embedded_count: int
    reused_count: int
    seconds: float


class QueryEmbeddingsFacts(Facts):
    """Arms by name, the number of distinct queries by country, and the precision of the towers."""

    arms: dict[str, QueryArmFacts]
    query_count: int
    precision: str


QUERY_EMBEDDINGS = Dataset(
    "query_embeddings",
    "embeddings",
    (Table("embeddings", schema(arm=STR, query=STR, country=STR, vector=VECTOR)),),
    QueryEmbeddingsFacts,
)
