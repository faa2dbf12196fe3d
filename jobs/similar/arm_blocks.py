"""What a task makes of one file of an arm's photo vectors: what is wrong with them, and the best for some queries.

Shape letters: S rows of a file, Q queries, B rows of a part of a file, D dimensions, P photos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.embedding.arm_vectors import batches_of_file
from jobs.embedding.located_arm import ArmFile, Faults, as_matrix, lengths_of
from jobs.lake.catalogue import Lake
from models.evaluation.topk_merge import Top, block_top, merge, nothing
from models.similar.neighbours import nearest_units

Ints = NDArray[np.int64]
Matrix = NDArray[np.float32]
_PHOTOS = 16_384  # vectors in memory at a time


@dataclass
class Look:
    """What is found in rows of an arm: vectors of the photos asked for by place, and what is wrong with any."""

    faults: Faults = field(default_factory=Faults)
    places: list[int] = field(default_factory=list)
    vectors: list[Matrix] = field(default_factory=list)


def look(lake: Lake, arm: str, wanted: Ints, file: ArmFile) -> Look:
    """Check an arm's vectors in one file, and return those of some photos; `wanted` are their places, ascending."""
    found = Look()
    for place_B, column in _parts(lake, arm, file):
        found.faults = found.faults.plus(Faults(lengths_of(column)))
        if len(found.faults.lengths) > 1:
            break
        vector_BD = as_matrix(column)[place_B >= 0]
        place_B = place_B[place_B >= 0]
        found.faults = found.faults.plus(Faults.of(vector_BD))
        is_wanted_B = np.isin(place_B, wanted)
        found.places += place_B[is_wanted_B].tolist()
        found.vectors.append(vector_BD[is_wanted_B])
    return found


@dataclass(frozen=True)
class Ask:
    """What is asked of every block: the best `unit_k` groups for each query, and the best photos for some of them."""

    query_QD: Matrix
    unit_k: int
    sheet: Ints  # rows of the queries
    sheet_k: int


def rank(lake: Lake, arm: str, ask: Ask, item: tuple[ArmFile, Ints]) -> tuple[Top, Top]:
    """Return the best groups and the best photos among an arm's photos in one file, with their groups; -1 is hidden."""
    file, unit_S = item
    units, photos = nothing(len(ask.query_QD), ask.unit_k), nothing(len(ask.sheet), ask.sheet_k)
    sheet_QD = ask.query_QD[ask.sheet]
    start = 0
    for place_B, column in _parts(lake, arm, file):
        unit_B = unit_S[start : start + len(place_B)].astype(np.int64)
        start += len(place_B)
        shown = np.flatnonzero(unit_B >= 0)
        vector_BD = as_matrix(column)[shown]
        units = merge(units, nearest_units(ask.query_QD, vector_BD, unit_B[shown], ask.unit_k), ask.unit_k)
        photos = merge(photos, block_top(sheet_QD, vector_BD, place_B[shown], ask.sheet_k), ask.sheet_k)
    return units, photos


def _parts(lake: Lake, arm: str, file: ArmFile) -> Iterator[tuple[Ints, pa.ListArray]]:
    start = 0
    for rows in batches_of_file(lake, file.info, arm, ["vector"], _PHOTOS):
        yield file.place_R[start : start + len(rows)], rows["vector"]
        start += len(rows)
