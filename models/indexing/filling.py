"""Filling shards in bounded memory: a quantizer is learned once from a sample, then photos come block by block.

Shapes: N photos, D dimensions. Vectors are float32 of unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from models.errors import CodedError
from models.indexing.files import QUANTIZER_FILE, FileEntry, Shard
from models.indexing.ids import Ints
from models.indexing.kinds import POINTS_PER_LIST, Kind, Recipe, bytes_per_vector, fewest_photos

Floats = npt.NDArray[np.float32]

_faiss: Any = faiss  # its stubs know too few of its classes

BASE_MEMORY_MB = 400
"""What a process takes before the first photo: Python, faiss, Arrow and their buffers."""
_COPIES = 2.0  # an array that grows is there twice while it moves
_HELD_COPIES = 6.0  # as read, joined, sorted, and in the shard that grows
_EF_CONSTRUCTION = 80
_PQ_ROUNDS = 8
_OPQ_ROUNDS = 10
_BLOCK_BYTES = 32 * 2**20


class TooLittleMemory(CodedError):
    """The limit does not hold one block of photos. The text says what would."""


def photos_within(max_memory_mb: int, kind: Kind, dim: int, code_bytes: int | None = None) -> int:
    """Return how many photos a shard may hold if filling it is to take at most `max_memory_mb`.

    Raises `TooLittleMemory` if that is less than a process takes anyway.

    >>> photos_within(2048, "flat", 256), photos_within(2048, "ivf_pq", 256)
    (780518, 4943286)
    """
    usable = (max_memory_mb - BASE_MEMORY_MB) * 2**20 - 2 * _BLOCK_BYTES
    if usable <= 0:
        least = BASE_MEMORY_MB + 2 * _BLOCK_BYTES // 2**20 + 1
        raise TooLittleMemory(
            "too_little_memory",
            f"{max_memory_mb} MB do not hold an empty shard: allow more than {least} MB",
            allowed_mb=max_memory_mb,
            least_mb=least,
        )
    names = 2 * 16  # the ids and names kept beside
    return int(usable / (_COPIES * (bytes_per_vector(kind, dim, code_bytes) + names)))


def held_within(max_memory_mb: int, dim: int) -> int:
    """Return how many vectors a process may hold, sort and put into a shard, all at once.

    >>> held_within(2048, 256)
    281258
    """
    return max(0, int((max_memory_mb - BASE_MEMORY_MB) * 2**20 / (_HELD_COPIES * 4 * dim)))


def block_rows(dim: int) -> int:
    """Return how many vectors are handled at a time: 32 MiB of them.

    >>> block_rows(256)
    32768
    """
    return max(1, _BLOCK_BYTES // (4 * dim))


def sample_within(max_memory_mb: int, dim: int) -> int:
    """Return how many vectors a sample may have, so that learning from it takes at most `max_memory_mb`."""
    return max(1, int((max_memory_mb - BASE_MEMORY_MB) * 2**20 / (_COPIES * 2 * 4 * dim)))


def train(recipe: Recipe, sample_ND: Floats, seed: int) -> bytes:
    """Return the trained quantizer of a recipe as FAISS writes it: an index without photos, which shards are copies of.

    k-means is spherical, since the vectors are of unit length. One thread gives equal bytes for equal input. Raises
    `ValueError` for a sample of fewer than `fewest_photos`.
    """
    check_vectors(sample_ND)
    if len(sample_ND) < (fewest := fewest_photos(recipe.kind, recipe.dim)):
        raise ValueError(f"{recipe.kind} learns from {fewest} photos at least, not from {len(sample_ND)}")
    lists = _untrained_lists(recipe, seed)
    if recipe.kind != "opq_ivf_pq":
        lists.train(sample_ND)
        return _serialized(lists)
    rotation = _faiss.OPQMatrix(recipe.dim, recipe.code_bytes)
    rotation.niter = _OPQ_ROUNDS
    quantizer = _faiss.ProductQuantizer(recipe.dim, recipe.code_bytes, recipe.code_bits)
    _limit(quantizer.cp, seed)
    rotation.pq = quantizer
    whole = _faiss.IndexPreTransform(rotation, lists)
    whole.train(sample_ND)
    rotation.pq = None  # it is Python's to free
    return _serialized(whole)


def _untrained_lists(recipe: Recipe, seed: int) -> Any:
    coarse = _faiss.IndexFlatIP(recipe.dim)
    place = coarse, recipe.dim, recipe.nlist
    if recipe.kind == "ivf_flat":
        index = _faiss.IndexIVFFlat(*place, faiss.METRIC_INNER_PRODUCT)
    else:
        index = _faiss.IndexIVFPQ(*place, recipe.code_bytes, recipe.code_bits, faiss.METRIC_INNER_PRODUCT)
        _limit(index.pq.cp, seed)
        index.pq.cp.niter = _PQ_ROUNDS
    _limit(index.cp, seed)
    index.cp.spherical = True
    return index


def _limit(clustering: Any, seed: int) -> None:
    clustering.seed = seed % 2**31
    clustering.min_points_per_centroid, clustering.max_points_per_centroid = POINTS_PER_LIST


def _serialized(index: Any) -> bytes:
    return bytes(faiss.serialize_index(index).tobytes())


def write_quantizer(folder: Path, trained: bytes) -> FileEntry:
    """Write a trained quantizer into the folder of an index."""
    path = folder / QUANTIZER_FILE
    path.write_bytes(trained)
    return FileEntry.of(path)


class ShardFiller:
    """One shard being made. Photos come in blocks, in ascending order of their ids; `write` ends it."""

    def __init__(self, recipe: Recipe, trained: bytes | None) -> None:
        self._recipe = recipe
        self._index = _empty(recipe, trained)
        self._ids: list[Ints] = []
        self._names: list[npt.NDArray[np.bytes_]] = []
        self._last = -1

    def add(self, photo_ND: Floats, ids_N: Ints, photo_ids: Sequence[str]) -> None:
        """Add a block of photos. Raises `ValueError` for ids out of order or twice, and for other than unit vectors."""
        check_vectors(photo_ND)
        if photo_ND.shape[1] != self._recipe.dim:
            raise ValueError(f"vectors have {photo_ND.shape[1]} dimensions, the index {self._recipe.dim}")
        if ids_N[0] <= self._last or (np.diff(ids_N) <= 0).any():
            raise ValueError("ids must ascend: two photos have the same, or the block is not sorted")
        self._last = int(ids_N[-1])
        self._index.add_with_ids(np.ascontiguousarray(photo_ND), ids_N)
        self._ids.append(ids_N)
        self._names.append(np.array([name.encode() for name in photo_ids]))

    def write(self, folder: Path, name: str, content: str) -> Shard:
        """Write the shard's three files into `folder` and return what they are."""
        faiss_path, ids_path, photos_path = (folder / f"{name}{end}" for end in (".faiss", ".ids.npy", ".photos.npy"))
        ids_N = np.concatenate(self._ids)
        faiss.write_index(self._index, str(faiss_path))
        np.save(ids_path, ids_N, allow_pickle=False)
        np.save(photos_path, np.concatenate(self._names), allow_pickle=False)
        return Shard(
            name, len(ids_N), content, FileEntry.of(faiss_path), FileEntry.of(ids_path), FileEntry.of(photos_path)
        )


def _empty(recipe: Recipe, trained: bytes | None) -> Any:
    """Return an index without photos that takes ids."""
    if recipe.is_trained:
        if trained is None:
            raise ValueError(f"an index of kind {recipe.kind} needs its trained quantizer")
        return faiss.deserialize_index(np.frombuffer(trained, dtype=np.uint8))
    if recipe.kind == "flat":
        inner = _faiss.IndexFlatIP(recipe.dim)
    elif recipe.kind == "lsh":
        inner = _faiss.IndexLSH(recipe.dim, recipe.hash_bits, True, False)
    else:
        inner = _faiss.IndexHNSWFlat(recipe.dim, recipe.links, faiss.METRIC_INNER_PRODUCT)
        inner.hnsw.efConstruction = _EF_CONSTRUCTION
    index = _faiss.IndexIDMap(inner)
    inner.this.disown()
    index.own_fields = True
    return index


def content_digest(count: int, digest: int) -> str:
    """Return the text that stands for `count` photos whose digests, joined by exclusive or, are `digest` (signed).

    >>> content_digest(2, -2)
    '2:fffffffffffffffe'
    """
    return f"{count}:{digest % 2**64:016x}"


def check_vectors(rows_ND: Floats) -> None:
    """Raise `ValueError` for anything but a float32 matrix with rows of unit length."""
    if rows_ND.ndim != 2 or rows_ND.dtype != np.float32 or not len(rows_ND):
        raise ValueError(f"vectors must be a float32 matrix with rows, not {rows_ND.dtype} {rows_ND.shape}")
    if not np.allclose(np.linalg.norm(rows_ND, axis=1), 1.0, atol=1e-3):
        raise ValueError("vectors must be finite and of unit length")
