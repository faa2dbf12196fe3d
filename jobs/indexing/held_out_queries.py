"""What an index is measured with: held-out queries, photos in blocks, and one model for both and the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from jobs.datasets.indexes import PhotoIndexFacts
from jobs.datasets.schema import VECTOR
from jobs.embedding.arm_vectors import batches_of_arm, photo_arm, query_arm
from jobs.errors import BadInput, MissingInput
from jobs.indexing.shard_workers import matrix
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.indexing.filling import Floats, block_rows
from models.indexing.ids import Ints

_QUERY_SCHEMA = pa.schema([("query", pa.string()), ("country", pa.string()), ("vector", VECTOR)])


@dataclass(frozen=True)
class Queries:
    """Distinct queries of a window: vectors [Q, D], and the number of each one's words, Q, whatever the country."""

    vectors: Floats
    words: Ints
    window: str


def model_of(inputs: dict[str, Manifest], arm: str) -> str:
    """Return the digest of the one model that made the photos' and the queries' vectors and those in the index.

    Raises `MissingInput` for an arm without vectors, `BadInput` if the models differ.
    """
    found = {
        "photo_index": PhotoIndexFacts.of(inputs["photo_index"]).model_digest,
        "photo_embeddings": photo_arm(inputs["photo_embeddings"], arm).model_digest,
        "query_embeddings": query_arm(inputs["query_embeddings"], arm).model_digest,
    }
    if len(set(found.values())) > 1:
        raise BadInput(
            "vectors_of_other_model",
            f"arm {arm!r}: photos were embedded by model {found['photo_embeddings']}, queries by model "
            f"{found['query_embeddings']}, the index is of model {found['photo_index']}. Rerun embed_photos, "
            f"embed_queries and build_index.",
            arm=arm,
            models=found,
        )
    return found["photo_index"]


def read_queries(lake: Lake, inputs: dict[str, Manifest], arm: str, count: int, seed: int) -> Queries:
    """Return at most `count` distinct queries of the validation window, a sample that the seed decides.

    They are the test window's where nothing was kept for validation. Nothing of them is in the index: it holds photos.
    """
    window = "validation" if inputs["splits"].row_counts["validation"] else "test"
    embeddings = inputs["query_embeddings"]
    has_country = query_arm(embeddings, arm).uses_country
    country = pl.col("country").fill_null("") if has_country else pl.lit("").alias("country")
    asked = lake.read_table(inputs["splits"], window, ["query", "country"]).select("query", country).unique()
    batches = batches_of_arm(lake, embeddings, arm, ["query", "country", "vector"])
    embedded = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches, _QUERY_SCHEMA)))
    rows = embedded.join(asked, on=["query", "country"], how="semi").sort("query", "country")
    if rows.is_empty():
        raise MissingInput(
            "vectors_missing",
            f"{embeddings.reference} has no vector of any of the {len(asked)} {window} queries for arm {arm!r}, so the "
            f"index cannot be measured. Rerun embed_queries.",
            run=embeddings.reference,
            arm=arm,
            missing_count=len(asked),
        )
    chosen = np.random.default_rng(seed).choice(len(rows), min(count, len(rows)), replace=False)
    rows = rows[np.sort(chosen)]
    vectors = rows["vector"].to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.list_(pa.float32()))
    return Queries(matrix(vectors), rows["query"].rank("dense").cast(pl.Int64).to_numpy(), window)


def photo_blocks(lake: Lake, embeddings: Manifest, arm: str, dim: int) -> Iterator[tuple[list[str], Floats]]:
    """Yield an arm's photos, names and vectors [rows, D], block by block, reading one file after the other."""
    for rows in batches_of_arm(lake, embeddings, arm, ["photo_id", "vector"], block_rows(dim)):
        yield rows["photo_id"].to_pylist(), matrix(rows["vector"])
