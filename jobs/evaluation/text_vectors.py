"""The vectors of texts by one arm, as `embed_queries` left them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from jobs.embedding.arm_vectors import batches_of_arm, query_arm
from jobs.embedding.located_arm import Faults, as_matrix, lengths_of, named_in_errors
from jobs.errors import BadInput
from jobs.evaluation.integers import integers
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.exact_scores import Matrix

_ANY_COUNTRY = ""


def texts_of_arm(lake: Lake, embeddings: Manifest, arm: str, texts: pl.DataFrame) -> Matrix:
    """Return the vectors of distinct texts (query, country), shape (U, D), in their order.

    An arm that uses no country has them at country "". `BadInput` names the arm if a text has no vector, or several,
    or one that no model of this length makes.
    """
    uses_country, dim = query_arm(embeddings, arm).uses_country, query_arm(embeddings, arm).dim
    country = pl.col("country") if uses_country else pl.lit(_ANY_COUNTRY).alias("country")
    texts = texts.select("query", country).with_row_index("text")
    vector_UD = np.zeros((len(texts), dim), dtype=np.float32)
    count_U, faults = np.zeros(len(texts), dtype=np.int64), Faults()
    for batch in batches_of_arm(lake, embeddings, arm, ["query", "country", "vector"], 4096):
        rows = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch.select(["query", "country"])])))
        found = rows.with_row_index("row").join(texts, on=["query", "country"])
        number, vectors = integers(found["text"]), batch["vector"].cast(pa.list_(pa.float32()))
        faults = faults.plus(Faults(lengths_of(vectors)))
        if faults.lengths == {dim}:
            vector_UD[number] = as_matrix(vectors)[integers(found["row"])]
        count_U += np.bincount(number, minlength=len(texts))
    named = named_in_errors(embeddings, arm)
    if missing := int((count_U == 0).sum()):
        raise BadInput(
            "vectors_missing",
            f"arm {arm!r}: {missing} of {len(texts)} distinct texts have no vector in {embeddings.reference}. The arm "
            f"is unfinished: rerun embed_queries.",
            **named,
            missing_count=missing,
        )
    if repeated := int((count_U - 1).sum()):
        raise BadInput(
            "vectors_repeated",
            f"arm {arm!r}: {repeated} rows in {embeddings.reference} repeat a query. Rerun embed_queries.",
            **named,
            repeated_count=repeated,
        )
    faults.plus(Faults.of(vector_UD)).refuse(embeddings, arm)
    return vector_UD
