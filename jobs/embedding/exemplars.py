"""Reading the photos by which a picture without keywords is searched with."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.datasets.embeddings import EXEMPLARS, PHOTO_EMBEDDINGS
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.search.completion import Exemplars


def exemplar_rows(lake: Lake, run: Manifest, arm: str | None = None) -> pl.DataFrame:
    """Return the exemplars that a run holds (photo_id, feature, keyword_vector), of one arm where it holds several.

    A run from before there were any holds none.
    """
    if EXEMPLARS not in run.tables:
        rows = pl.DataFrame(PHOTO_EMBEDDINGS.table(EXEMPLARS).schema.empty_table())
    else:
        rows = lake.read_table(run, EXEMPLARS)
    if arm is not None:
        rows = rows.filter(pl.col("arm") == arm)
    return rows.select("photo_id", "feature", "keyword_vector")


def as_exemplars(rows: pl.DataFrame, dim: int) -> Exemplars:
    """Return rows of `exemplar_rows` as arrays, by a model with `dim` dimensions."""
    return Exemplars(_matrix(rows["feature"], dim), _matrix(rows["keyword_vector"], dim))


def _matrix(vectors: pl.Series, dim: int) -> NDArray[np.float32]:
    return vectors.explode(empty_as_null=False).to_numpy().astype(np.float32).reshape(-1, dim)
