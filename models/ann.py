"""Nearest neighbours: FAISS shards of photo vectors, searched together as one index, and their recall.

What belongs here: ids, building and reading shards, searching them, measuring recall. Where the vectors come
from and where the folder goes is the caller's affair.

Shapes: N photos, Q queries, K results, D dimensions. Vectors are float32 of unit length and the score is the
inner product: the higher, the better.

An index is a folder of `shard-NNNN.faiss` and `index.json`. A photo's id and, as long as the number of shards
stays, its shard depend on its name alone: tomorrow's shards hold today's photos under today's ids.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Kind = Literal["flat", "ivf_flat"]

DESCRIPTION_FILE = "index.json"
FLAT_BELOW = 100_000
"""From this many photos on, "auto" takes an inverted file instead of comparing a query with every photo."""

_METRIC = "inner_product"
_POINTS_PER_LIST = 39, 64  # FAISS warns below 39 training points a list; more than 64 only cost time
_SCORE_ERROR = 1e-6  # two ways of summing a float32 product of unit vectors differ by less
_BLOCK = 16_384


class UnusableIndex(Exception):
    """The folder is not the index that was built, or it is another model's. The text says which file and why."""


@dataclass(frozen=True)
class Shard:
    """One file of an index."""

    file: str
    photo_count: int
    byte_count: int
    sha256: str


@dataclass(frozen=True)
class IndexDescription:
    """The content of `index.json`. `nlist` and `nprobe` are those of every shard, None in a flat index."""

    model_digest: str
    dim: int
    metric: str
    kind: Kind
    nlist: int | None
    nprobe: int | None
    photo_count: int
    shards: tuple[Shard, ...]

    @classmethod
    def read(cls, folder: Path) -> IndexDescription:
        """Read `index.json`; `UnusableIndex` if it is missing or of another form."""
        path = folder / DESCRIPTION_FILE
        try:
            fields: dict[str, Any] = json.loads(path.read_text())
            return cls(**(fields | {"shards": tuple(Shard(**shard) for shard in fields["shards"])}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableIndex(f"{path} cannot be read: {error!r}") from error

    def write(self, folder: Path) -> None:
        """Write `index.json`."""
        (folder / DESCRIPTION_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def stable_ids(photo_ids: Sequence[str]) -> Ints:
    """Return an id for every photo, N: the first 63 bits of the SHA-256 of its name, the same on every night.

    Raises `ValueError` if two photos get the same id: one was given twice, or their names collide (at four
    million photos the chance of that is one in a million).

    >>> stable_ids(["cat", "dog"]).tolist()
    [4312121625846082129, 7399884744098002676]
    """
    digests = b"".join(hashlib.sha256(photo_id.encode()).digest()[:8] for photo_id in photo_ids)
    ids = (np.frombuffer(digests, dtype=">u8") >> np.uint64(1)).astype(np.int64)
    distinct, counts = np.unique(ids, return_counts=True)
    if len(distinct) < len(ids):
        shared = distinct[counts.argmax()]
        names = [photo_ids[int(row)] for row in np.flatnonzero(ids == shared)]
        raise ValueError(f"photos {names[0]!r} and {names[1]!r} have the same index id {shared}")
    return ids


def shard_count_for(photo_count: int, shard_size: int) -> int:
    """Return the number of shards: a power of two, so that growth does nothing but split shards.

    >>> [shard_count_for(count, 100) for count in (1, 100, 101, 300, 1000)]
    [1, 1, 2, 4, 16]
    """
    least = math.ceil(photo_count / shard_size)
    return int(2 ** math.ceil(math.log2(least)))


def list_count_for(photo_count: int) -> int:
    """Return nlist of a shard that holds so many photos: about four times the square root.

    >>> [list_count_for(count) for count in (10, 1_000, 100_000, 1_000_000)]
    [1, 25, 1265, 4000]
    """
    return max(1, min(round(4 * math.sqrt(photo_count)), photo_count // _POINTS_PER_LIST[0]))


def build_index(
    folder: Path,
    photo_ND: Floats,
    ids_N: Ints,
    *,
    model_digest: str,
    shard_size: int,
    kind: Literal["auto", "flat", "ivf_flat"] = "auto",
    nprobe: int | None = None,
    seed: int = 0,
) -> IndexDescription:
    """Write the shards and `index.json` into `folder` and return the description.

    `kind` "auto" is "flat" (exact) below 100,000 photos and "ivf_flat" from there on; `shard_size` is the most
    photos a shard holds on average. An inverted file's centroids are trained once and shared by all shards;
    a search scans `nprobe` lists of each shard, by default a sixteenth of them and at least eight. Rows are
    stored in the order of their ids, so the files do not depend on the order in which photos are given.
    """
    _check_vectors(photo_ND)
    if kind == "auto":
        kind = "flat" if len(photo_ND) < FLAT_BELOW else "ivf_flat"
    shard_count = shard_count_for(len(photo_ND), shard_size)
    order = np.argsort(ids_N)
    empty = None
    if kind == "ivf_flat":
        nlist = list_count_for(len(photo_ND) // shard_count)
        sample = np.random.default_rng(seed).permutation(order)[: nlist * _POINTS_PER_LIST[1]]
        empty = _empty_ivf(photo_ND[sample], nlist, nprobe or max(8, nlist // 16), seed)
    shard_N = ids_N[order] % shard_count
    shards = []
    for number in range(shard_count):
        rows = order[shard_N == number]
        path = folder / f"shard-{number:04d}.faiss"
        faiss.write_index(build_shard(photo_ND[rows], ids_N[rows], empty), str(path))
        shards.append(Shard(path.name, len(rows), path.stat().st_size, _sha256(path)))
    description = IndexDescription(
        model_digest=model_digest,
        dim=photo_ND.shape[1],
        metric=_METRIC,
        kind=kind,
        nlist=None if empty is None else empty.nlist,
        nprobe=None if empty is None else empty.nprobe,
        photo_count=len(photo_ND),
        shards=tuple(shards),
    )
    description.write(folder)
    return description


def build_shard(photo_ND: Floats, ids_N: Ints, empty: faiss.IndexIVFFlat | None = None) -> faiss.Index:
    """Return a shard of these photos: a copy of the trained `empty` inverted file, or a flat one without it."""
    shard = faiss.IndexIDMap2(faiss.IndexFlatIP(photo_ND.shape[1])) if empty is None else faiss.clone_index(empty)
    shard.add_with_ids(np.ascontiguousarray(photo_ND), ids_N)
    return shard


class ShardedIndex:
    """The shards of one folder as one index."""

    def __init__(
        self, description: IndexDescription, shards: list[faiss.Index], ids_N: Ints, photo_ids: Sequence[str]
    ) -> None:
        self.description = description
        self._shards = shards
        self._photo_ids = dict(zip(ids_N.tolist(), photo_ids, strict=True))

    @classmethod
    def open(cls, folder: Path, model_digest: str, ids_N: Ints, photo_ids: Sequence[str]) -> ShardedIndex:
        """Read an index; `ids_N` and `photo_ids` are its id map.

        Raises `UnusableIndex` if the index is of another model than `model_digest`, a file is missing, longer,
        shorter or changed, or the id map is not that of the shards.
        """
        description = IndexDescription.read(folder)
        if description.model_digest != model_digest:
            raise UnusableIndex(
                f"the index in {folder} holds vectors of model {description.model_digest}, asked for is "
                f"{model_digest}: scores of one model's queries and another's photos mean nothing"
            )
        shards = [_read_shard(folder / shard.file, shard) for shard in description.shards]
        stored = np.sort(np.concatenate([_ids_of(shard) for shard in shards]))
        if not np.array_equal(stored, np.sort(ids_N)):
            raise UnusableIndex(f"the id map of {len(ids_N)} photos is not that of the {len(stored)} in {folder}")
        return cls(description, shards, ids_N, photo_ids)

    def search_ids(self, query_QD: Floats, k: int) -> tuple[Ints, Floats]:
        """Return ids_QK and scores_QK of the best photos of all shards, best first, equal scores by id.

        K is `k`, or all photos if there are fewer. An inverted file that finds fewer than K fills up with id -1
        and the lowest float32.
        """
        _check_vectors(query_QD)
        k = min(k, self.description.photo_count)
        found = [shard.search(np.ascontiguousarray(query_QD), k) for shard in self._shards]
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        ids = np.concatenate([ids for _, ids in found], axis=1)
        best = np.lexsort((ids, -scores), axis=1)[:, :k]
        return np.take_along_axis(ids, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def search(self, query_QD: Floats, k: int) -> list[list[tuple[str, float]]]:
        """Return per query the best photos as (photo_id, score), best first."""
        ids_QK, scores_QK = self.search_ids(query_QD, k)
        return [
            [(self._photo_ids[found], score) for found, score in zip(ids, scores, strict=True) if found >= 0]
            for ids, scores in zip(ids_QK.tolist(), scores_QK.tolist(), strict=True)
        ]


def recall_at_k(query_QD: Floats, photo_ND: Floats, found_QK: Ints) -> float:
    """Return the share of the K best photos that was found; `found_QK` are rows of `photo_ND`, -1 for none.

    A found photo counts if its exact score reaches the K-th best exact score, so it does not matter which of
    several photos with equal scores (copies of one picture) was returned. No row may repeat in a query.
    """
    k = found_QK.shape[1]
    best_QK: Floats = np.full(found_QK.shape, -np.inf, dtype=np.float32)
    for block_BD in _blocks(photo_ND):
        candidates = np.concatenate([best_QK, query_QD @ block_BD.T], axis=1)
        best_QK = np.partition(candidates, -k, axis=1)[:, -k:]
    floor_Q1 = best_QK.min(axis=1, keepdims=True) - _SCORE_ERROR
    found_score_QK = np.einsum("qd,qkd->qk", query_QD, photo_ND[found_QK])
    is_found_QK = (found_score_QK >= floor_Q1) & (found_QK >= 0)
    return float(is_found_QK.mean())


def _empty_ivf(photo_ND: Floats, nlist: int, nprobe: int, seed: int) -> faiss.IndexIVFFlat:
    """Return a trained inverted file without photos; spherical k-means, since the vectors are of unit length."""
    dim = photo_ND.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, nlist, faiss.METRIC_INNER_PRODUCT)
    index.cp.spherical = True
    index.cp.seed = seed % 2**31
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = _POINTS_PER_LIST
    index.nprobe = min(nlist, nprobe)
    index.train(photo_ND)
    return index


def _read_shard(path: Path, shard: Shard) -> faiss.Index:
    if not path.exists():
        raise UnusableIndex(f"{path} is missing: copy the index again, or build it anew")
    if _sha256(path) != shard.sha256:
        raise UnusableIndex(f"{path} is not the file that was built (its SHA-256 differs): copy or build it anew")
    return faiss.read_index(str(path))


def _ids_of(shard: Any) -> Ints:
    """Return the ids of the photos in a shard of either kind, in its own order."""
    if isinstance(shard, faiss.IndexIDMap2):
        ids: Ints = faiss.vector_to_array(shard.id_map)
        return ids
    lists = shard.invlists
    sizes = [(number, lists.list_size(number)) for number in range(shard.nlist)]
    parts = [faiss.rev_swig_ptr(lists.get_ids(number), size) for number, size in sizes if size]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _blocks(rows_ND: Floats) -> Iterator[Floats]:
    for start in range(0, len(rows_ND), _BLOCK):
        yield rows_ND[start : start + _BLOCK]


def _check_vectors(rows_ND: Floats) -> None:
    if rows_ND.ndim != 2 or rows_ND.dtype != np.float32 or not len(rows_ND):
        raise ValueError(f"vectors must be a float32 matrix with rows, not {rows_ND.dtype} {rows_ND.shape}")
    if not np.allclose(np.linalg.norm(rows_ND, axis=1), 1.0, atol=1e-3):
        raise ValueError("vectors must be finite and of unit length")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
