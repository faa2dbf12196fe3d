"""A committed night up to the vectors, made up: the input of the stages around the index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.arms import FINETUNED, FULL
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.features import SPLITS
from models import ann
from tests.validated_lake import commit_tables

DIM = 8
QUERIES = [("cat", "GB"), ("cat", "DE"), ("dog", "GB"), ("dog", "")]
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)


def unit_vectors(count: int, seed: int) -> ann.Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def photos_of(count: int) -> dict[str, ann.Floats]:
    return {FULL: unit_vectors(count, 1), FINETUNED: unit_vectors(count, 2)}


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
    arms = {arm: {"model_digest": digest if arm == FULL else "m0", "dim": DIM} for arm in photos}
    vectors = pl.concat(frames).with_columns(pl.col("vector").arr.to_list())
    commit_tables(context, PHOTO_EMBEDDINGS, {"embeddings": vectors}, facts={"arms": arms}, shard_count=3)


def commit_queries(
    context: RunContext, photo_count: int, *, uses_country: bool = True, is_validated: bool = True
) -> None:
    """Queries of the validation window, and one that is not in it; the photos' days."""
    asked = [*(QUERIES if uses_country else [("cat", ""), ("dog", "")]), ("elsewhere", "")]
    queries = pl.DataFrame(asked, schema=["query", "country"], orient="row").with_columns(
        pl.lit(FULL).alias("arm"), pl.Series("vector", unit_vectors(len(asked), 99)).arr.to_list()
    )
    arms = {FULL: {"model_digest": "m1", "uses_country": uses_country}}
    commit_tables(context, QUERY_EMBEDDINGS, {"embeddings": queries}, facts={"arms": arms})
    validation = pl.DataFrame(QUERIES * 2, schema=["query", "country"], orient="row")
    days = [FIRST_DAY + timedelta(days=number // 4) for number in range(photo_count)]
    photos = pl.DataFrame({"photo_id": [f"p{number}" for number in range(photo_count)], "submitted_at": days})
    windows = {"validation": validation, "test": validation, "photos": photos}
    if not is_validated:
        windows |= {"validation": validation.clear(), "test": validation.head(3)}
    commit_tables(context, SPLITS, windows)


def commit_inputs(context: RunContext, photos: dict[str, ann.Floats], *, digest: str = "m1", **queries: Any) -> None:
    """All that an index of these photos is made from and checked with."""
    commit_photos(context, photos, digest=digest)
    commit_queries(context, len(photos[FULL]), **queries)
