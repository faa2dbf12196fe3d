"""A committed night up to the vectors, made up: the input of the stages around the index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.arms import FINETUNED, FULL
from jobs.config.params.base import Params
from jobs.context import RunContext
from jobs.datasets.embeddings import (
    PHOTO_EMBEDDINGS,
    QUERY_EMBEDDINGS,
    PhotoArmFacts,
    PhotoEmbeddingsFacts,
    QueryArmFacts,
    QueryEmbeddingsFacts,
)
from jobs.datasets.features import SPLITS
from jobs.datasets.indexes import IndexCheckFacts, PhotoIndexFacts
from jobs.datasets.schema import Dataset, Facts
from jobs.lake.manifest import Manifest
from models import ann
from models.indexing.files import FORMAT
from tests.validated_lake import complete

DIM = 8
QUERIES = [("cat", "GB"), ("cat", "DE"), ("dog", "GB"), ("dog", "")]
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
INDEX_FACTS = PhotoIndexFacts(
    model_digest="m1",
    format=FORMAT,
    kind="flat",
    reason="made up",
    nlist=None,
    nprobe=None,
    ef_search=None,
    code_bytes=None,
    quantizer="flat learns none",
    shard_count=1,
    shards_built=1,
    shards_taken_over=0,
    reused_from=None,
    shard_size=1_000_000,
    photo_count=250,
    bytes=10_000,
    max_memory_mb=2048,
    peak_memory_mb=512.5,
    build_seconds=1.5,
)
CHECK_FACTS = IndexCheckFacts(
    model_digest="m1",
    query_count=1000,
    query_window="validation",
    recall_at_10=1.0,
    recall_at_10_low=0.99,
    recall_at_10_high=1.0,
    recall_at_100=1.0,
    recall_at_100_low=0.99,
    recall_at_100_high=1.0,
    bytes_per_vector=40.5,
    batch_size=64,
    single_p50_ms=0.05,
    single_p99_ms=0.25,
    batch_p50_ms=1.0,
    batch_p99_ms=2.0,
    seconds=3.0,
)


def unit_vectors(count: int, seed: int) -> ann.Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def photos_of(count: int) -> dict[str, ann.Floats]:
    return {FULL: unit_vectors(count, 1), FINETUNED: unit_vectors(count, 2)}


def commit(context: RunContext, dataset: Dataset, facts: Facts | dict[str, Any], **tables: pl.DataFrame) -> Manifest:
    made = [frame.hash_rows().sum() for frame in tables.values()]
    staged = context.begin(dataset, Params(), {}, {"made": str([*made, facts])})
    if staged.manifest is not None:
        return staged.manifest
    for table in dataset.tables:
        empty = pl.DataFrame(pl.from_arrow(table.schema.empty_table()))
        frame = tables.get(table.name, empty)
        for shard, start in enumerate(range(0, max(1, len(frame)), 100)):
            staged.write_table(table.name, frame.slice(start, 100), shard)
    return staged.commit(facts)


def commit_photos(
    context: RunContext, photos: dict[str, ann.Floats], *, digest: str = "m1", seed: int = 0, first: int = 0
) -> None:
    """Photos p<first>, p<first + 1> ... of both arms, four of each day, in an order that the seed decides."""
    count = len(photos[FULL])
    numbers = np.arange(first, first + count)
    names = [f"p{number}" for number in numbers]
    frames = [
        pl.DataFrame({"arm": arm, "photo_id": names, "vector": vectors}).sample(fraction=1.0, shuffle=True, seed=seed)
        for arm, vectors in photos.items()
    ]
    facts = {
        arm: PhotoArmFacts(
            model_digest=digest if arm == FULL else "m0",
            dim=DIM,
            embedded_count=count,
            reused_count=0,
            failed_count=0,
            seconds=1.0,
            images_per_second=float(count),
        )
        for arm in photos
    }
    vectors = pl.concat(frames).with_columns(pl.col("vector").arr.to_list())
    photo_facts = PhotoEmbeddingsFacts(arms=facts, photo_count=count, precision="float32")
    commit(context, PHOTO_EMBEDDINGS, photo_facts, embeddings=vectors)


def commit_queries(
    context: RunContext, photo_count: int, *, uses_country: bool = True, is_validated: bool = True
) -> None:
    """Queries of the validation window, and one that is not in it; the photos' days."""
    asked = [*(QUERIES if uses_country else [("cat", ""), ("dog", "")]), ("elsewhere", "")]
    queries = pl.DataFrame(asked, schema=["query", "country"], orient="row").with_columns(
        pl.lit(FULL).alias("arm"), pl.Series("vector", unit_vectors(len(asked), 99)).arr.to_list()
    )
    of_arm = QueryArmFacts(
        model_digest="m1", dim=DIM, uses_country=uses_country, embedded_count=len(asked), reused_count=0, seconds=1.0
    )
    query_facts = QueryEmbeddingsFacts(arms={FULL: of_arm}, query_count=len(asked), precision="float32")
    commit(context, QUERY_EMBEDDINGS, query_facts, embeddings=queries)
    validation = pl.DataFrame(QUERIES * 2, schema=["query", "country"], orient="row").with_columns(
        pl.lit("v").alias("visitor_id"),
        pl.lit("p0").alias("photo_id"),
        pl.lit(datetime(2025, 12, 20, tzinfo=UTC)).alias("converted_at"),
        pl.lit(1, dtype=pl.Int64).alias("conversion_count"),
    )
    validation = complete(validation, SPLITS.table("validation").schema)
    photos = pl.DataFrame(
        {
            "photo_id": [f"p{number}" for number in range(photo_count)],
            "submitted_at": [FIRST_DAY + timedelta(days=number // 4) for number in range(photo_count)],
        }
    ).with_columns(
        pl.lit(None, dtype=pl.String).alias("description"),
        pl.lit(None, dtype=pl.String).alias("photographer"),
        pl.lit(True).alias("is_in_train"),
    )
    windows = {"train": validation, "validation": validation, "test": validation, "photos": photos}
    if not is_validated:
        windows |= {"validation": validation.clear(), "test": validation.head(3)}
    commit(context, SPLITS, {}, **windows)


def commit_inputs(context: RunContext, photos: dict[str, ann.Floats], *, digest: str = "m1", **queries: Any) -> None:
    """All that an index of these photos is made from and checked with."""
    commit_photos(context, photos, digest=digest)
    commit_queries(context, len(photos[FULL]), **queries)
