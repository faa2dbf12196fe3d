"""An arm's vectors as tasks read them: photos in parts, texts in blocks. No process holds all of either.

What a task has to know lies in a store of the run, so that it can run anywhere, and is read once by a process.
Shape letters: S photos of a part, U texts, D dimensions.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.lake.files import LakeFiles, Store
from models.evaluation.counting import Block, Matrix
from models.evaluation.ranking import Availability, Ints

PHOTOS_AT_ONCE = 65_536
_ROWS_PER_BATCH = 4096


@dataclass(frozen=True)
class Shelf:
    """Arrays by name, in a store of the lake that every task can open."""

    lake_uri: str
    catalogue: str
    folder: str

    @classmethod
    def of(cls, store: Store) -> Shelf:
        """Return the shelf of a store."""
        return cls(store.lake.root_uri, store.lake.catalogue, store.folder)

    @property
    def lake(self) -> LakeFiles:
        """The lake of the store."""
        return LakeFiles(self.lake_uri, self.catalogue)

    def put(self, name: str, **arrays: NDArray[Any]) -> None:
        """Keep arrays."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        Store(self.lake, self.folder).put(name, file.getvalue())

    def get(self, name: str) -> dict[str, NDArray[Any]]:
        """Return arrays that were kept."""
        data = Store(self.lake, self.folder).get(name)
        if data is None:
            raise FileNotFoundError(f"{self.folder}/{name}")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)


@dataclass(frozen=True)
class Source:
    """A file of vectors, which of its rows (of the arm's) are of a part, and which photo of the part each is."""

    path: str
    row: Ints
    column: Ints


@dataclass(frozen=True)
class Part:
    """Photos that a task holds at a time, as a `Block` without its vectors."""

    place: Ints
    special: int
    availability: Availability
    sources: tuple[Source, ...]

    def put(self, shelf: Shelf, name: str) -> None:
        """Keep it; the groups of the texts are kept with these."""
        shown = self.availability
        shelf.put(
            name,
            place=self.place,
            special=np.array(self.special),
            since=shown.since,
            hidden=shown.hidden,
            hidden_at=shown.hidden_at,
            picture=shown.picture,
            paths=np.array([source.path for source in self.sources], dtype=np.str_),
            counts=np.array([len(source.row) for source in self.sources], dtype=np.int64),
            row=np.concatenate([np.zeros(0, np.int64), *(source.row for source in self.sources)]),
            column=np.concatenate([np.zeros(0, np.int64), *(source.column for source in self.sources)]),
        )

    @classmethod
    def get(cls, shelf: Shelf, name: str) -> Part:
        """Return a part that was kept, without the groups of texts."""
        kept = shelf.get(name)
        ends = np.cumsum(kept["counts"])[:-1]
        rows = zip(kept["paths"].tolist(), np.split(kept["row"], ends), np.split(kept["column"], ends), strict=True)
        return cls(
            place=kept["place"],
            special=int(kept["special"]),
            availability=Availability(kept["since"], kept["hidden"], kept["hidden_at"], picture=kept["picture"]),
            sources=tuple(Source(*one) for one in rows) if len(kept["paths"]) else (),
        )


@dataclass(frozen=True)
class Faults:
    """How many vectors of an arm are not as they must be."""

    not_finite: int = 0
    not_unit: int = 0
    lengths: tuple[int, ...] = ()

    def plus(self, other: Faults) -> Faults:
        """Return the faults of both."""
        lengths = tuple(sorted({*self.lengths, *other.lengths}))
        return Faults(self.not_finite + other.not_finite, self.not_unit + other.not_unit, lengths)

    @classmethod
    def of(cls, vector_SD: Matrix) -> Faults:
        """Return the faults of vectors of one length."""
        is_finite_S = np.isfinite(vector_SD).all(axis=1)
        is_unit_S = np.abs(np.linalg.norm(vector_SD[is_finite_S], axis=1) - 1) <= 0.01
        return cls(int((~is_finite_S).sum()), int((~is_unit_S).sum()))


@lru_cache(maxsize=1)
def read_block(shelf: Shelf, arm: str, dim: int, name: str) -> tuple[Block, Faults]:
    """Return the photos of a part with their vectors, NaN where there is none, and what is wrong with these."""
    part = Part.get(shelf, name)
    vector_SD = np.full((len(part.place), dim), np.nan, dtype=np.float32)
    faults = Faults()
    for source in part.sources:
        column_R = np.full(1 + int(source.row.max(initial=-1)), -1, dtype=np.int64)
        column_R[source.row] = source.column
        begun = 0
        for vectors in arm_vectors(shelf.lake, source.path, arm):
            here_R = column_R[begun : begun + len(vectors)]
            begun += len(vectors)
            wanted_R = np.flatnonzero(here_R >= 0)
            lengths = np.unique(np.diff(vectors.offsets.to_numpy()))
            if lengths.tolist() != [dim]:
                faults = faults.plus(Faults(lengths=tuple(lengths.tolist())))
                continue
            found_RD = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)[wanted_R]
            faults = faults.plus(Faults.of(found_RD))
            vector_SD[here_R[wanted_R]] = found_RD
    return Block(vector_SD, part.place, part.special, part.availability), faults


@lru_cache(maxsize=1)
def read_texts(shelf: Shelf, name: str) -> tuple[Matrix, Ints]:
    """Return the vectors of a block of texts, and their groups; see `Availability`."""
    kept = shelf.get(name)
    return kept["vector"], kept["group"]


def arm_vectors(lake: LakeFiles, path: str, arm: str) -> Iterator[pa.ListArray]:
    """Yield the vectors of an arm in a file, a batch at a time, in the order of its rows."""
    with lake.fs.open(path, "rb") as file:
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_PER_BATCH, columns=["arm", "vector"]):
            rows = batch.filter(pc.equal(batch["arm"], arm))
            if len(rows):
                yield rows["vector"].cast(pa.list_(pa.float32()))


def arm_ids(lake: LakeFiles, path: str, arm: str) -> pa.Array:
    """Return the ids of the photos of an arm in a file, in the order of its rows."""
    with lake.fs.open(path, "rb") as file:
        table = pq.read_table(file, columns=["arm", "photo_id"])
    return table.filter(pc.equal(table["arm"], arm))["photo_id"].combine_chunks()


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
