"""Nearest neighbours: a folder of FAISS shards opened as one index, and searched without what must not be shown.

What belongs here: reading. How an index is built is `models.indexing`; which folder is live is the caller's affair.

Shapes: Q queries, K results, D dimensions. Vectors are float32 of unit length. The score is the inner product, or what
the kind of index takes for it: product quantizers and LSH only estimate it. The higher, the better.

Files are mapped into memory, not read: opening takes little of it, and what is searched comes as it is needed.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from models.indexing.files import IndexDescription, Shard, UnusableIndex
from models.indexing.filling import Floats, check_vectors
from models.indexing.ids import Ints, hashed_ids
from models.text import normalise_country

__all__ = ["Floats", "IndexDescription", "Ints", "ShardedIndex", "UnusableIndex", "Visibility"]

_faiss: Any = faiss  # its stubs do not know the parameters of searches
_NOTHING: Ints = np.empty(0, dtype=np.int64)
_LOWEST = np.finfo(np.float32).min
_HEADERS = threading.Lock()
"""Held while headers of `.npy` files are read, which are Python text: several threads that parse such at once now and
then raise `SystemError` in Python 3.11 (https://github.com/python/cpython/issues/106905)."""
_DEEPER = 4
"""A search that has found too little is made again, so many times as deep and as thorough."""


@dataclass(frozen=True)
class Visibility:
    """Which photos must not be found: `hidden` ones anywhere, `hidden_in` ones by country's code. Ids ascend."""

    hidden: Ints = field(default_factory=lambda: _NOTHING)
    hidden_in: Mapping[str, Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, hidden: Iterable[str] = (), hidden_in: Mapping[str, Collection[str]] | None = None) -> Visibility:
        """Return the rules for photos by name: removed or private ones, and those not shown in some countries."""
        by_country = {country: _ids(names) for country, names in (hidden_in or {}).items()}
        return cls(_ids(hidden), by_country)

    def hidden_for(self, country: str) -> Ints:
        """Return the ids that a search from `country` ("" if it is not known) must not find, ascending."""
        return np.union1d(self.hidden, self.hidden_in.get(country, _NOTHING))

    def hides(self, photo_ids: Sequence[str], countries: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Tell which photos must not be found from a country each, shape (N,).

        >>> Visibility.of(["a"], {"DE": ["b"]}).hides(["a", "b", "b"], ["", "DE", "FR"]).tolist()
        [True, True, False]
        """
        ids_N, country_N = hashed_ids(photo_ids), np.array(countries)
        is_hidden_N: npt.NDArray[np.bool_] = np.isin(ids_N, self.hidden)
        for country, ids in self.hidden_in.items():
            is_hidden_N |= (country_N == country) & np.isin(ids_N, ids)
        return is_hidden_N


def _ids(photo_ids: Iterable[str]) -> Ints:
    return np.unique(hashed_ids(photo_ids))


@dataclass(frozen=True)
class _Found:
    """Results of Q searches, best first; id -1 and the lowest score where there is none. `shard` says where from."""

    ids: Ints
    scores: Floats
    shard: Ints

    @property
    def counts(self) -> Ints:
        """Results of each search."""
        counts: Ints = (self.ids >= 0).sum(axis=1)
        return counts

    def best(self, k: int) -> _Found:
        """Return the K best of each search, equal scores by id; fewer than K are filled up."""
        order = np.lexsort((self.ids, -self.scores, self.ids < 0), axis=1)[:, :k]
        taken: Any = (np.take_along_axis(part, order, axis=1) for part in (self.ids, self.scores, self.shard))
        return _Found(*taken)

    def without(self, hidden: Ints) -> _Found:
        """Return the results that are not among `hidden`, in their order, the others as none."""
        is_hidden = np.isin(self.ids, hidden)
        return _Found(
            np.where(is_hidden, -1, self.ids), np.where(is_hidden, _LOWEST, self.scores).astype(np.float32), self.shard
        )

    def put(self, rows: Ints, found: _Found) -> None:
        """Set the results of some of the searches."""
        self.ids[rows], self.scores[rows], self.shard[rows] = found.ids, found.scores, found.shard


class ShardedIndex:
    """The shards of one folder as one index. Searches may run side by side; `close` ends its threads."""

    def __init__(self, description: IndexDescription, shards: Sequence[OpenShard], threads: int | None = None) -> None:
        self.description = description
        self._shards = shards
        cores = threads or os.cpu_count() or 1
        workers = min(cores, len(shards))
        self._pool = None
        if workers > 1:
            each = max(1, cores // workers)
            self._pool = ThreadPoolExecutor(workers, "search", initializer=faiss.omp_set_num_threads, initargs=(each,))

    @classmethod
    def open(
        cls, folder: Path, model_digest: str, *, is_trusted: bool = False, threads: int | None = None
    ) -> ShardedIndex:
        """Open the index in `folder`, which has to be of the model `model_digest`.

        Every file is read once to compare its SHA-256, unless the folder `is_trusted`: then lengths are compared.
        Raises `UnusableIndex` if the index is of another model, or a file is missing, longer, shorter or changed.
        """
        description = IndexDescription.read(folder)
        if description.model_digest != model_digest:
            raise UnusableIndex(
                "index_of_other_model",
                f"the index in {folder} holds vectors of model {description.model_digest}, asked for is "
                f"{model_digest}: scores of one model's queries and another's photos mean nothing",
                folder=folder,
                found=description.model_digest,
                asked=model_digest,
            )
        for file in description.files:
            file.check(folder, is_trusted)
        shards = [OpenShard.open(folder, shard, description) for shard in description.shards]
        return cls(description, shards, threads)

    def close(self) -> None:
        """End the threads. The files are let go with the last reference."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> ShardedIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search_ids(
        self, query_QD: Floats, k: int, visibility: Visibility | None = None, countries: Sequence[str] | None = None
    ) -> tuple[Ints, Floats]:
        """Return ids_QK and scores_QK of the best photos of all shards, best first, equal scores by id.

        K is `k`, or all photos if there are fewer. `countries` says for each query where it is asked, "" if that is
        not known. Hidden photos cost no results: the search goes deeper until it has K others, or all there are. What
        is missing then is filled up with id -1 and the lowest float32.
        """
        found = self._search(query_QD, k, visibility or Visibility(), countries)
        return found.ids, found.scores

    def search(
        self, query_QD: Floats, k: int, visibility: Visibility | None = None, countries: Sequence[str] | None = None
    ) -> list[list[tuple[str, float]]]:
        """Return per query the best photos as (photo_id, score), best first; see `search_ids`."""
        found = self._search(query_QD, k, visibility or Visibility(), countries)
        names: npt.NDArray[np.object_] = np.full(found.ids.shape, "", dtype=object)
        for number, shard in enumerate(self._shards):
            here = (found.shard == number) & (found.ids >= 0)
            names[here] = shard.photo_ids(found.ids[here])
        return [
            [(name, score) for name, score, photo in zip(*row, strict=True) if photo >= 0]
            for row in zip(names.tolist(), found.scores.tolist(), found.ids.tolist(), strict=True)
        ]

    def vectors(self, id_N: Ints) -> Floats | None:
        """Return the vectors of photos in the index by id, shape (N, D), or None of a kind that keeps only codes."""
        vector_ND = np.empty((len(id_N), self.description.dim), dtype=np.float32)
        for shard in self._shards:
            vector_MD, is_here_N = shard.vectors(id_N)
            if vector_MD is None:
                return None
            vector_ND[is_here_N] = vector_MD
        return vector_ND

    def _search(self, query_QD: Floats, k: int, visibility: Visibility, countries: Sequence[str] | None) -> _Found:
        check_vectors(query_QD)
        if query_QD.shape[1] != self.description.dim:
            raise ValueError(f"queries have {query_QD.shape[1]} dimensions, the index {self.description.dim}")
        asked = np.array([""] * len(query_QD) if countries is None else [*map(normalise_country, countries)])
        if len(asked) != len(query_QD):
            raise ValueError(f"{len(query_QD)} queries of {len(asked)} countries")
        k = min(k, self.description.photo_count)
        # countries without rules of their own are searched together
        group_Q = np.where(np.isin(asked, list(visibility.hidden_in)), asked, "")
        whole = _nothing_found(len(query_QD), k)
        for country in np.unique(group_Q):
            rows = np.flatnonzero(group_Q == country)
            found = self._search_around(np.ascontiguousarray(query_QD[rows]), k, visibility.hidden_for(str(country)))
            whole.put(rows, found)
        return whole

    def _search_around(self, query_QD: Floats, k: int, hidden: Ints) -> _Found:
        """Search deeper until every query has K photos that are not hidden, or all there are."""
        hidden_count = sum(shard.count_of(hidden) for shard in self._shards) if len(hidden) else 0
        wanted = min(k, self.description.photo_count - hidden_count)
        whole = _nothing_found(len(query_QD), k)
        left = np.arange(len(query_QD))
        depth, effort = k + min(k, hidden_count), 1
        while len(left):
            is_last = depth >= self.description.photo_count
            found = self._search_shards(query_QD[left], depth, None if is_last else effort)
            found = found.without(hidden).best(k) if hidden_count else found.best(k)
            whole.put(left, found)
            left = left[found.counts < wanted] if not is_last else left[:0]
            depth, effort = depth * _DEEPER, effort * _DEEPER
        return whole

    def _search_shards(self, query_QD: Floats, depth: int, effort: int | None) -> _Found:
        """Return the `depth` best of every shard, side by side; for `effort` see `OpenShard.search`."""

        def search(shard: OpenShard) -> tuple[Ints, Floats]:
            return shard.search(query_QD, depth, effort)

        parts = list(self._pool.map(search, self._shards) if self._pool else map(search, self._shards))
        return _Found(
            np.concatenate([ids for ids, _ in parts], axis=1),
            np.concatenate([scores for _, scores in parts], axis=1),
            np.repeat(np.arange(len(parts)), [ids.shape[1] for ids, _ in parts])[None].repeat(len(query_QD), axis=0),
        )


def _nothing_found(query_count: int, k: int) -> _Found:
    shape = query_count, k
    return _Found(
        np.full(shape, -1, dtype=np.int64), np.full(shape, _LOWEST, dtype=np.float32), np.zeros(shape, dtype=np.int64)
    )


@dataclass(frozen=True, eq=False)
class OpenShard:
    """One shard, its files mapped into memory."""

    _index: Any
    _ids_N: Ints
    _photos_N: npt.NDArray[np.bytes_]
    _description: IndexDescription

    @classmethod
    def open(cls, folder: Path, shard: Shard, description: IndexDescription) -> OpenShard:
        """Map the files of a shard; `UnusableIndex` if they do not fit together."""
        with _HEADERS:
            ids_N = np.load(folder / shard.ids.file, mmap_mode="r", allow_pickle=False)
            photos_N = np.load(folder / shard.photos.file, mmap_mode="r", allow_pickle=False)
        flag = faiss.IO_FLAG_MMAP if description.recipe.is_trained else faiss.IO_FLAG_MMAP_IFC
        index = faiss.read_index(str(folder / shard.faiss.file), flag)
        if not index.ntotal == len(ids_N) == len(photos_N) == shard.photo_count:
            raise UnusableIndex(
                "index_files_disagree",
                f"{folder / shard.faiss.file} holds {index.ntotal} photos, its id map {len(ids_N)} ids and "
                f"{len(photos_N)} names, index.json says {shard.photo_count}: build the index anew",
                path=folder / shard.faiss.file,
            )
        return cls(index, ids_N, photos_N, description)

    def count_of(self, ids: Ints) -> int:
        """Return how many of `ids` (each once) are in this shard."""
        return int(self._has(ids).sum())

    def photo_ids(self, ids: Ints) -> list[str]:
        """Return the names of photos of this shard by their ids."""
        if not self._has(ids).all():
            raise UnusableIndex(
                "index_files_disagree", "a shard found an id that its id map does not have: build the index anew"
            )
        names: list[bytes] = self._photos_N[np.searchsorted(self._ids_N, ids)].tolist()
        return [name.decode() for name in names]

    def vectors(self, id_N: Ints) -> tuple[Floats | None, npt.NDArray[np.bool_]]:
        """Return the vectors of those of the photos that are here, None if only codes are kept, and which these are."""
        is_here_N = self._has(id_N)
        if self._description.kind not in ("flat", "hnsw"):
            return None, is_here_N
        inner: Any = faiss.downcast_index(self._index.index)
        flat: Any = inner if self._description.kind == "flat" else faiss.downcast_index(inner.storage)
        stored_PD = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
        return stored_PD[np.searchsorted(self._ids_N, id_N[is_here_N])], is_here_N

    def _has(self, ids: Ints) -> npt.NDArray[np.bool_]:
        place = np.searchsorted(self._ids_N, ids).clip(max=len(self._ids_N) - 1)
        has: npt.NDArray[np.bool_] = self._ids_N[place] == ids
        return has

    def search(self, query_QD: Floats, depth: int, effort: int | None) -> tuple[Ints, Floats]:
        """Return the ids and scores of the `depth` best photos, or of all if there are fewer; -1 for none.

        `effort` multiplies how much is looked at: lists, or candidates of a graph. None looks at everything.
        """
        depth = min(depth, len(self._ids_N))
        kind = self._description.kind
        if kind == "hnsw" and effort is None:
            return self._search_everything(query_QD, depth)
        scores, ids = self._index.search(query_QD, depth, params=self._parameters(depth, effort))
        if kind == "lsh":
            bits = self._description.recipe.hash_bits
            assert bits is not None
            # expected share of bits that differ: angle / pi
            scores = np.cos(scores * (math.pi / bits), dtype=np.float32)
        return ids, np.where(ids < 0, _LOWEST, scores).astype(np.float32)

    def _parameters(self, depth: int, effort: int | None) -> Any:
        description = self._description
        if description.nprobe is not None:
            nlist = description.recipe.nlist
            assert nlist is not None
            nprobe = nlist if effort is None else min(nlist, description.nprobe * effort)
            lists = _faiss.SearchParametersIVF(nprobe=nprobe)
            is_rotated = description.kind == "opq_ivf_pq"
            return _faiss.SearchParametersPreTransform(index_params=lists) if is_rotated else lists
        if description.ef_search is not None:
            assert effort is not None
            return _faiss.SearchParametersHNSW(efSearch=max(depth, description.ef_search * effort))
        return None

    def _search_everything(self, query_QD: Floats, depth: int) -> tuple[Ints, Floats]:
        """Compare with every vector of a graph: walking it may never reach some."""
        graph: Any = faiss.downcast_index(self._index.index)
        scores, rows = faiss.downcast_index(graph.storage).search(query_QD, depth)
        return np.asarray(self._ids_N[rows]), scores
