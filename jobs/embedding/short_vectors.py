"""Short vectors of an arm's photos, which the search's tables keep: read file by file, none held in full length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.embedding.arm_vectors import batches_of_file
from jobs.embedding.located_arm import ArmFile, LocatedArm, as_matrix
from jobs.lake.files import LakeFiles
from models.evaluation.exact_scores import Matrix
from models.rerank.likeness import short_basis, shortened

_MEASURED = 16_384
"""Photos, at most about, whose vectors tell in which directions vectors are long."""
_AT_ONCE = 8_192
Short = NDArray[np.float16]
Each = Callable[[Callable[[ArmFile], Short], Sequence[ArmFile]], Iterable[Short]]


@dataclass(frozen=True)
class _Shortening:
    """Makes short vectors of a file; it can be sent to tasks."""

    lake_uri: str
    catalogue: str
    arm: str
    basis_DK: Matrix

    def __call__(self, file: ArmFile) -> Short:
        """Return those of all its rows, shape (R, K)."""
        lake = LakeFiles(self.lake_uri, self.catalogue)
        return np.concatenate([shortened(vector_BD, self.basis_DK) for vector_BD in _vectors(lake, self.arm, file)])


def short_vectors(located: LocatedArm, each: Each = map) -> Short:
    """Return the short vectors of the photos that were located, shape (P, K), zero where a photo has none.

    They depend on the arm's vectors of the night alone, not on which photos were named. `each` does the files, such as
    a pool's; the default does them here, one after another.
    """
    lake, files = located.lake, located.files
    shorten = _Shortening(lake.root_uri, lake.catalogue, located.arm, _basis(located))
    short_PK = np.zeros((len(located.has_vector_P), shorten.basis_DK.shape[1]), dtype=np.float16)
    for file, short_RK in zip(files, each(shorten, files), strict=True):
        is_named_R = file.place_R >= 0
        short_PK[file.place_R[is_named_R]] = short_RK[is_named_R]
    return short_PK


def _basis(located: LocatedArm) -> Matrix:
    """Return the basis of short vectors by the first photos of every file."""
    lake, arm, count = located.lake, located.arm, -(-_MEASURED // len(located.files))
    some = [next(_vectors(lake, arm, file))[:count] for file in located.files]
    some_BD = np.concatenate(some).astype(np.float64)
    return short_basis(some_BD.T @ some_BD)


def _vectors(lake: LakeFiles, arm: str, file: ArmFile) -> Iterator[Matrix]:
    """Yield a file's vectors, shape (B, D) each."""
    for batch in batches_of_file(lake, file.info, arm, ["vector"], _AT_ONCE):
        yield as_matrix(batch["vector"])
