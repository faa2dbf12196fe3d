"""Short vectors of an arm's photos, which the search's tables keep: read file by file, none held in full length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jobs.embedding.arm_vectors import batches_of_file
from jobs.embedding.located_arm import LocatedArm, as_matrix
from models.rerank.likeness import short_basis, shortened

_MOST_MEASURED = 65_536
"""Photos whose vectors tell in which directions vectors are long."""


def short_vectors(located: LocatedArm) -> NDArray[np.float16]:
    """Return the short vectors of the photos that were located, shape (P, K), zero where a photo has none.

    They depend on the arm's vectors of the night alone, not on which photos were named.
    """
    total = sum(len(file.place_R) for file in located.files)
    basis_DK = short_basis(_moment(located, max(1, total // _MOST_MEASURED)))
    short_PK = np.zeros((len(located.has_vector_P), basis_DK.shape[1]), dtype=np.float16)
    for file in located.files:
        batches = batches_of_file(located.lake, file.info, located.arm, ["vector"])
        vector_RD = np.concatenate([as_matrix(batch["vector"]) for batch in batches])
        is_named_R = file.place_R >= 0
        short_PK[file.place_R[is_named_R]] = shortened(vector_RD[is_named_R], basis_DK)
    return short_PK


def _moment(located: LocatedArm, step: int) -> NDArray[np.float64]:
    """Return the sum of the outer products of one in `step` vectors."""
    total: NDArray[np.float64] | None = None
    for file in located.files:
        for batch in batches_of_file(located.lake, file.info, located.arm, ["vector"]):
            some_BD = as_matrix(batch["vector"])[::step].astype(np.float64)
            total = some_BD.T @ some_BD + (0 if total is None else total)
    assert total is not None  # an arm that is located has a file
    return total
