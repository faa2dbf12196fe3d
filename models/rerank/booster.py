"""A trained LightGBM model that answers: what the package's `Booster` gives, without the package.

Shape letters: N rows, F features.
"""

from __future__ import annotations

import ctypes
import re
import weakref
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.rerank.features import Matrix
from models.rerank.loading import load_library

_SCORE, _CONTRIBUTIONS = 0, 3
_FLOAT32 = 0
_IMPORTANCES = {"split": 0, "gain": 1}


class Booster:
    """One model, read from LightGBM's text; `ValueError` if it is none. Threads may share it."""

    def __init__(self, text: str) -> None:
        self._handle = ctypes.c_void_p()
        _call("BoosterLoadModelFromString", text.encode(), ctypes.byref(ctypes.c_int()), ctypes.byref(self._handle))
        weakref.finalize(self, load_library().LGBM_BoosterFree, self._handle)
        named = re.search(r"^feature_names=(.*)$", text, re.MULTILINE)
        assert named is not None  # the library has read it
        self.names = tuple(named[1].split(" "))

    def scores(self, matrix_NF: Matrix, threads: int) -> NDArray[np.float64]:
        """Return the score of every row, shape (N,); with 0 threads the library takes as many as it likes."""
        return self._predict(matrix_NF, _SCORE, 1, threads)[:, 0]

    def contributions(self, matrix_NF: Matrix, threads: int) -> NDArray[np.float64]:
        """Return what each feature, and last what no feature added to the score of every row, shape (N, F + 1)."""
        return self._predict(matrix_NF, _CONTRIBUTIONS, len(self.names) + 1, threads)

    def importances(self, kind: Literal["split", "gain"]) -> NDArray[np.float64]:
        """Return how many splits use each feature, or how much loss they saved together, shape (F,)."""
        found_F = np.empty(len(self.names))
        _call("BoosterFeatureImportance", self._handle, ctypes.c_int(0), ctypes.c_int(_IMPORTANCES[kind]), _at(found_F))
        return found_F

    def _predict(self, matrix_NF: Matrix, what: int, width: int, threads: int) -> NDArray[np.float64]:
        rows_NF = np.ascontiguousarray(matrix_NF, dtype=np.float32)
        if rows_NF.ndim != 2 or rows_NF.shape[1] != len(self.names):
            raise ValueError(f"the model knows {len(self.names)} features, the rows have shape {rows_NF.shape}")
        found = np.empty((len(rows_NF), width))
        if not len(rows_NF):
            return found
        row_count, feature_count = (ctypes.c_int32(count) for count in rows_NF.shape)
        number_count, every_tree = ctypes.c_int64(), ctypes.c_int(-1)
        _call(
            "BoosterPredictForMat",
            self._handle,
            _at(rows_NF),
            ctypes.c_int(_FLOAT32),
            row_count,
            feature_count,
            ctypes.c_int(1),  # row by row
            ctypes.c_int(what),
            ctypes.c_int(0),
            every_tree,
            f"num_threads={threads}".encode(),
            ctypes.byref(number_count),
            _at(found),
        )
        assert number_count.value == found.size
        return found


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the library; `ValueError` with what it says if it fails."""
    library = load_library()
    if getattr(library, f"LGBM_{name}")(*arguments):
        raise ValueError(f"LightGBM: {library.LGBM_GetLastError().decode()}")
