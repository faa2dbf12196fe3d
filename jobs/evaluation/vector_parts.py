"""An arm's vectors as tasks read them: photos in parts, texts in blocks. No process holds all of either.

What a task has to know lies with the files of the run, so that it can run anywhere.
Shape letters: S photos of a part, U texts, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.embedding.located_arm import Faults, as_matrix, lengths_of
from jobs.lake.files import LakeFiles
from jobs.lake.shared_arrays import Shared
from models.evaluation.counting import Block
from models.evaluation.exact_scores import Matrix
from models.evaluation.ranking import Availability, Ints

PHOTOS_AT_ONCE = 65_536
_ROWS_PER_BATCH = 4096


@dataclass(frozen=True)
class Part:
    """Photos that a task holds at a time, as a `Block` without its vectors, and where these are.

    Of each file in `path` some rows (of the arm's) are of the part, `count` of them: `row`, file after file. `column`
    says which photo of the part each is. The texts' groups are not part of `availability`: a block of texts has them.
    """

    place: Ints
    special: int
    availability: Availability
    path: NDArray[np.str_]
    count: Ints
    row: Ints
    column: Ints

    def sources(self) -> Iterator[tuple[str, Ints, Ints]]:
        """Give the files, which of their rows are of the part, and which photo each is."""
        ends = np.cumsum(self.count)[:-1]
        if len(self.path):
            yield from zip(self.path.tolist(), np.split(self.row, ends), np.split(self.column, ends), strict=True)


@dataclass(frozen=True)
class Texts:
    """The vectors of a block of texts, the first of which is text `start`, and their groups; see `Availability`."""

    start: int
    vector: Matrix
    group: Ints


@lru_cache(maxsize=1)
def read_block(kept: Shared[Part], arm: str, dim: int) -> tuple[Block, Faults]:
    """Return the photos of a part with their vectors, NaN where there is none, and what is wrong with these."""
    part, faults = kept.open(), Faults()
    vector_SD = np.full((len(part.place), dim), np.nan, dtype=np.float32)
    for path, row, column in part.sources():
        column_R = np.full(1 + int(row.max(initial=-1)), -1, dtype=np.int64)
        column_R[row] = column
        begun = 0
        for vectors in arm_vectors(kept.lake, path, arm):
            here_R = column_R[begun : begun + len(vectors)]
            begun += len(vectors)
            wanted_R = np.flatnonzero(here_R >= 0)
            faults = faults.plus(Faults(lengths_of(vectors)))
            if faults.lengths != {dim}:
                continue
            found_RD = as_matrix(vectors)[wanted_R]
            faults = faults.plus(Faults.of(found_RD))
            vector_SD[here_R[wanted_R]] = found_RD
    return Block(vector_SD, part.place, part.special, part.availability), faults


def arm_vectors(lake: LakeFiles, path: str, arm: str) -> Iterator[pa.ListArray]:
    """Yield the vectors of an arm in a file, a batch at a time, in the order of its rows."""
    with lake.fs.open(path, "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_PER_BATCH, columns=["arm", "vector"]):
            rows = batch.filter(pc.equal(batch["arm"], arm))
            if len(rows):
                yield rows["vector"].cast(pa.list_(pa.float32()))


def cut(place_N: Ints, group_N: Ints, most: int) -> list[Ints]:
    """Return places in lists of `most` or fewer, or of one group that has more: those of a group stay together.

    >>> [some.tolist() for some in cut(np.array([5, 6, 7, 8, 9]), np.array([0, 1, 1, 2, 2]), 3)]
    [[5, 6, 7], [8, 9]]
    """
    order = np.lexsort((place_N, group_N))
    starts = np.flatnonzero(np.diff(group_N[order], prepend=-1))
    begun, edges = 0, []
    while begun < len(order):
        edges.append(begun)
        fits = starts[(starts > begun) & (starts <= begun + most)]
        further = starts[starts > begun]
        is_rest = len(order) - begun <= most
        begun = len(order) if is_rest or not len(further) else int(fits[-1] if len(fits) else further[0])
    return [place_N[some] for some in np.split(order, edges[1:])] if len(order) else []
