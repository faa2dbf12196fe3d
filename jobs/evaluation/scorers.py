"""Checked vectors of an arm, and keyword match, as arrays in one process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.errors import BadInput, MissingInput
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.keyword_match import KeywordMatch

_STAGE = {"photo_embeddings": "embed_photos", "query_embeddings": "embed_queries"}


_MAKER = _STAGE | {"variant": "train_variant"}


def keyword_match(lake: Lake, splits: Manifest, photos: pl.DataFrame, as_of: datetime) -> KeywordMatch:
    """Return keyword match on the texts of photos (photo_id, description, available_at), in their order.

    How rare a word is, those tell that were there before `as_of`.
    """
    is_counted = photos.select(pl.col("available_at") < as_of).to_series().to_numpy()
    return KeywordMatch.of(_documents(lake, splits, photos), is_counted)


def _documents(lake: Lake, splits: Manifest, photos: pl.DataFrame) -> list[list[str]]:
    keywords = lake.read_table(splits, "photo_keywords", ["photo_id", "keyword"]).group_by("photo_id").agg("keyword")
    joined = photos.join(keywords, on="photo_id", how="left", maintain_order="left")
    return [
        [*(words or []), *([description] if description else [])]
        for words, description in joined.select("keyword", "description").iter_rows()
    ]


@dataclass(frozen=True)
class ArmVectors:
    """An arm's vectors of the task's texts and photos; zero where a photo has none."""

    query_UD: NDArray[np.float32]
    photo_PD: NDArray[np.float32]
    has_vector_P: NDArray[np.bool_]

    @property
    def missing_count(self) -> int:
        """How many photos have no vector."""
        return int((~self.has_vector_P).sum())


def read_vectors(
    lake: Lake, inputs: dict[str, Manifest], uses_country: bool, task: Task, arm: str, max_missing_share: float
) -> ArmVectors:
    """Return the vectors of an embedding arm.

    Raises `BadInput` that names the arm and the counts: a query without a vector, more than `max_missing_share` of
    the photos without one, vectors that differ in length, are not finite or not of length 1.
    """
    query_UD = _query_matrix(lake, inputs["query_embeddings"], task, arm, uses_country)
    photo_PD, has_vector_P = photo_matrix(lake, inputs["photo_embeddings"], task, arm, max_missing_share)
    if query_UD.shape[1] != photo_PD.shape[1]:
        raise BadInput(
            "vectors_of_other_model",
            f"arm {arm!r}: query vectors have {query_UD.shape[1]} numbers, photo vectors {photo_PD.shape[1]}. They "
            f"come from different models: rerun embed_photos and embed_queries.",
            arm=arm,
            dimensions={"queries": query_UD.shape[1], "photos": photo_PD.shape[1]},
        )
    return ArmVectors(query_UD, photo_PD, has_vector_P)


def _query_matrix(lake: Lake, manifest: Manifest, task: Task, arm: str, uses_country: bool) -> NDArray[np.float32]:
    """Return the vectors of the distinct texts, shape (U, D); an arm that uses no country has them at country ""."""
    asked = task.texts.select("query", "country" if uses_country else pl.lit("").alias("country"))
    keys = ["query", "country"]
    vectors = asked.join(_arm_rows(lake, manifest, arm, keys), on=keys, how="left", maintain_order="left")["vector"]
    if vectors.null_count():
        raise BadInput(
            "vectors_missing",
            f"arm {arm!r}: {vectors.null_count()} of {len(vectors)} distinct {task.window} queries have no vector in "
            f"{manifest.reference}. The arm is unfinished: rerun embed_queries.",
            dataset=manifest.dataset,
            run=manifest.reference,
            arm=arm,
            missing_count=vectors.null_count(),
        )
    return _matrix(vectors, manifest, arm, "queries")


def photo_matrix(
    lake: Lake, manifest: Manifest, task: Task, arm: str, max_missing_share: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return an arm's vectors of the corpus, shape (P, D), zero where there is none, and which there are, shape (P,).

    Raises `BadInput` as `read_vectors` does.
    """
    rows = _arm_rows(lake, manifest, arm, ["photo_id"])
    vectors = task.photos.join(rows, on="photo_id", how="left", maintain_order="left")["vector"]
    missing = vectors.null_count()
    if missing > max_missing_share * len(vectors):
        raise BadInput(
            "vectors_missing",
            f"arm {arm!r}: {missing} of {len(vectors)} photos have no vector in {manifest.reference}, more than the "
            f"allowed share of {max_missing_share:g}. Look into it, then rerun {_MAKER[manifest.dataset]}.",
            dataset=manifest.dataset,
            run=manifest.reference,
            arm=arm,
            missing_count=missing,
        )
    found_PD = _matrix(vectors.drop_nulls(), manifest, arm, "photos")
    has_vector_P = vectors.is_not_null().to_numpy()
    if missing == 0:
        return found_PD, has_vector_P
    photo_PD = np.zeros((len(vectors), found_PD.shape[1]), dtype=np.float32)
    photo_PD[has_vector_P] = found_PD
    return photo_PD, has_vector_P


def _arm_rows(lake: Lake, manifest: Manifest, arm: str, key: list[str]) -> pl.DataFrame:
    """Return one arm's vectors; the others are not held in memory."""
    table = pl.scan_parquet(lake.table_uris(manifest, "embeddings"))
    rows = table.filter(pl.col("arm") == arm).select(*key, "vector").collect()
    if rows.is_empty():
        raise MissingInput(
            "arm_not_embedded",
            f"{manifest.reference} has no vectors of arm {arm!r}. Rerun {_MAKER[manifest.dataset]}.",
            dataset=manifest.dataset,
            run=manifest.reference,
            arm=arm,
        )
    if repeated := len(rows) - rows.select(key).n_unique():
        raise BadInput(
            "vectors_repeated",
            f"arm {arm!r}: {repeated} of {len(rows)} rows in {manifest.reference} repeat a {key[0]}",
            dataset=manifest.dataset,
            run=manifest.reference,
            arm=arm,
            repeated_count=repeated,
        )
    return rows


def _matrix(vectors: pl.Series, manifest: Manifest, arm: str, what: str) -> NDArray[np.float32]:
    """Return an arm's vectors of `what` as a matrix, one per row, checked."""
    where, named = (
        f"arm {arm!r}: {what} in {manifest.reference}",
        {"dataset": manifest.dataset, "run": manifest.reference, "arm": arm},
    )
    lengths = vectors.list.len().unique().sort().to_list()
    if len(lengths) != 1 or lengths[0] == 0:
        raise BadInput(
            "vectors_differ_in_length",
            f"{where}: vectors have different lengths or none: {lengths}",
            **named,
            lengths=lengths,
        )
    matrix = vectors.explode().to_numpy().astype(np.float32, copy=False).reshape(len(vectors), lengths[0])
    if bad := int((~np.isfinite(matrix).all(axis=1)).sum()):
        raise BadInput(
            "vectors_not_finite",
            f"{where}: {bad} of {len(matrix)} vectors hold NaN or infinity. The model has diverged.",
            **named,
            bad_count=bad,
        )
    if bad := int((np.abs(np.linalg.norm(matrix, axis=1) - 1) > 0.01).sum()):
        raise BadInput(
            "vectors_not_of_length_one",
            f"{where}: {bad} of {len(matrix)} vectors are not of length 1, so they cannot be ranked",
            **named,
            bad_count=bad,
        )
    return matrix
