"""How LightGBM is loaded: its package to learn, its library alone to answer.

The package imports scikit-learn, SciPy and pandas, which takes longer than a search does. The library's functions are
documented for other languages (https://lightgbm.readthedocs.io/en/latest/C-API.html), and the package calls the same.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType


def load_lightgbm() -> ModuleType:
    """Import LightGBM and return it; late, because it is slow and a stage whose work is done needs none of it."""
    _load_openmp()
    import lightgbm

    return lightgbm


@cache
def load_library() -> ctypes.CDLL:
    """Return LightGBM's library; the package, whose import loads it too, is not imported."""
    _load_openmp()
    library = ctypes.CDLL(str(_folder_of("lightgbm") / "lib" / "lib_lightgbm.so"))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library


def _load_openmp() -> None:
    """Load torch's OpenMP.

    LightGBM's wheel links to the system's libgomp.so.1, which slim images lack. Torch brings a library of that very
    name; once that is loaded, the loader takes it.
    """
    library = _folder_of("torch") / "lib" / "libgomp.so.1"
    if library.exists():
        ctypes.CDLL(str(library))


def _folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)  # found, not imported
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"the package {package} is not installed", name=package)
    return Path(found.origin).parent
