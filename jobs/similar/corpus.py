"""The photos as they are shown: some hidden, near duplicates as one, found by hashes first and then by vectors.

This process holds 16 bytes of hash a photo. Vectors matter of photos whose hash is close to another's alone; these lie
in a temporary file that is mapped into memory.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.adapters.task_pool import TaskPool
from jobs.config.params.evaluation import EvaluateSimilarParams
from jobs.context import Inputs, RunContext
from jobs.embedding.located_arm import LocatedArm
from jobs.evaluation.ranking_task import Task
from jobs.similar.arm_blocks import look
from jobs.similar.inputs import hidden_photos
from jobs.similar.pictures import read_hashes, to_texts
from models.similar.duplicates import Units, have_close_hash, near_duplicates
from models.similar.picture_hash import Words

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """The photos as they are shown, with what was found out about their pictures."""

    units: Units
    hash: Words
    has_hash: Bools
    sha256: pl.Series

    def table(self, task: Task) -> pl.DataFrame:
        """Return the table `pictures`."""
        photo_ids = task.photos["photo_id"]
        return pl.DataFrame(
            {
                "photo_id": photo_ids,
                "sha256": self.sha256,
                "picture_hash": to_texts(self.hash, self.has_hash),
                "duplicate_of": photo_ids[self.units.group],
            }
        )


def read_corpus(
    ctx: RunContext, inputs: Inputs, task: Task, params: EvaluateSimilarParams, vectors: LocatedArm, pool: TaskPool
) -> Corpus:
    """Hash what is new, and group near duplicates by the hashes and the vectors of one arm."""
    hash_PW, has_hash_P, sha256 = read_hashes(ctx, inputs["images"], task, pool)
    asked_P = have_close_hash(hash_PW, has_hash_P & vectors.has_vector_P, params.max_bits)
    asked = np.flatnonzero(asked_P)
    group_P = np.arange(len(task.photos))
    if len(asked):
        with tempfile.TemporaryFile(prefix="nightlens-") as file:
            vector_ND = _vectors(vectors, asked, file)
            group_N = near_duplicates(
                vector_ND, hash_PW[asked], np.ones(len(asked), np.bool_), params.min_cosine, params.max_bits
            )
            group_P[asked] = asked[group_N]
    return Corpus(Units(group_P, hidden_photos(ctx.lake, inputs["validated"], task)), hash_PW, has_hash_P, sha256)


def _vectors(vectors: LocatedArm, places: Ints, file: IO[bytes]) -> NDArray[np.float32]:
    """Return the vectors of photos, given by their places in ascending order, in a file that is mapped."""
    vector_ND: NDArray[np.float32] | None = None
    for one in vectors.files:
        found = look(vectors.lake, vectors.arm, places, one)
        found.faults.refuse(vectors.manifest, vectors.arm)
        if vector_ND is None:
            vector_ND = np.memmap(file, np.float32, "w+", shape=(len(places), max(found.faults.lengths)))
        vector_ND[np.searchsorted(places, found.places)] = np.concatenate(found.vectors)
    if vector_ND is None:
        raise ValueError("an arm has a file at least")
    return vector_ND
