"""An arm's photo vectors as a mapped file: read batch by batch, so that the matrix is the only copy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from jobs.datasets.evaluation import RecommendationFacts
from jobs.embedding.arm_vectors import batches_of_file
from jobs.embedding.located_arm import Faults, LocatedArm, as_matrix, lengths_of
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.recommend.interactions import Floats


def mapped(path: Path, row_count: int, dim: int) -> Floats:
    """Return a new matrix of zeros in a file, float32 [rows, dim]; processes that map the file share its memory."""
    if not row_count * dim:  # nothing cannot be mapped
        return np.zeros((row_count, dim), np.float32)
    return np.memmap(path, np.float32, "w+", shape=(row_count, dim))


def photo_vectors(
    lake: Lake, embeddings: Manifest, arm: str, photo_ids: pl.Series, path: Path, max_missing_share: float = 1.0
) -> Floats:
    """Return an arm's vectors of photos, unit rows [P, D], zero where there is none, as a mapped file at `path`.

    Raises `BadInput` for more than `max_missing_share` of the photos without a vector, for a photo with two, and for
    vectors that differ in length, are not finite or not of length 1; `MissingInput` if the arm has none.
    """
    places = photo_ids.to_frame("photo_id").with_row_index("place")
    located, faults = LocatedArm.of(lake, embeddings, arm, places, max_missing_share), Faults()
    vector_PD: Floats | None = None
    for file in located.files:
        begun = 0
        for batch in batches_of_file(lake, file.info, arm, ["vector"]):
            place_B = file.place_R[begun : begun + len(batch)]
            begun += len(batch)
            faults = faults.plus(Faults(lengths_of(batch["vector"])))
            faults.refuse(embeddings, arm)
            vector_BD = as_matrix(batch["vector"])[place_B >= 0]
            faults = faults.plus(Faults.of(vector_BD))
            if vector_PD is None:
                vector_PD = mapped(path, len(places), vector_BD.shape[1])
            vector_PD[place_B[place_B >= 0]] = vector_BD
    faults.refuse(embeddings, arm)
    assert vector_PD is not None  # an arm has a file at least
    return vector_PD


def night_vectors(lake: Lake, night: Manifest, photo_ids: pl.Series) -> Floats:
    """Return the photos' vectors by the arm of a night's evaluation of recommenders."""
    embeddings = lake.by_reference(night.input_runs["photo_embeddings"])
    with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:  # what is mapped outlives it
        return photo_vectors(lake, embeddings, RecommendationFacts.of(night).arm, photo_ids, Path(folder) / "vectors")
