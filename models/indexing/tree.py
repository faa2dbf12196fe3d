"""A forest of random projection trees (Annoy), to compare with: a kind of index that is never published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.indexing.filling import Floats
from models.indexing.ids import Ints

PACKAGE = "annoy"
_FILE = "trees.ann"
_TREES = 50


def build_trees(folder: Path, photo_ND: Floats, seed: int) -> None:
    """Write a forest of the photos into `folder`; `ModuleNotFoundError` if the package is not installed."""
    forest = _forest(photo_ND.shape[1])
    forest.set_seed(seed % 2**31)
    for row, photo_D in enumerate(photo_ND):
        forest.add_item(row, photo_D)
    forest.build(_TREES, n_jobs=1)
    forest.save(str(folder / _FILE))


class TreeIndex:
    """A forest read from a folder. `ids_N` are the ids of the photos in the order they were given in."""

    def __init__(self, folder: Path, dim: int, ids_N: Ints) -> None:
        self._forest = _forest(dim)
        self._forest.load(str(folder / _FILE))
        self._ids_N = ids_N
        self.byte_count = (folder / _FILE).stat().st_size

    def search_ids(self, query_QD: Floats, k: int) -> Ints:
        """Return ids_QK of the photos found, -1 for none."""
        ids_QK: Ints = np.full((len(query_QD), k), -1, dtype=np.int64)
        for row, query_D in enumerate(query_QD):
            found = self._forest.get_nns_by_vector(query_D, k)
            ids_QK[row, : len(found)] = self._ids_N[found]
        return ids_QK


def _forest(dim: int) -> Any:
    from annoy import AnnoyIndex

    return AnnoyIndex(dim, "dot")
