"""How LightGBM is loaded."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from types import ModuleType


def load_lightgbm() -> ModuleType:
    """Import LightGBM and return it; late, because it is slow and a stage whose work is done needs none of it.

    Its wheel links to the system's libgomp.so.1, which slim images lack. Torch brings a library of that very name;
    once that is loaded, the loader takes it.
    """
    torch = importlib.util.find_spec("torch")
    if torch is not None and torch.origin is not None:
        library = Path(torch.origin).parent / "lib" / "libgomp.so.1"
        if library.exists():
            ctypes.CDLL(str(library))
    import lightgbm

    return lightgbm
