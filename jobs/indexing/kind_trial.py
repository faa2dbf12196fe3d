"""One kind of index built in a process of its own, so that its time and memory are its own.

`python -m jobs.indexing.kind_trial FOLDER KIND SEED` reads `photos.npy` and `names.npy` in FOLDER, writes the
index into FOLDER/KIND and prints what it took as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from jobs.config.params.index import TREE
from jobs.config.settings import PROJECT_ROOT
from jobs.errors import NightlensError
from jobs.runtime.peak_memory import PeakMemory
from models.indexing.filling import Floats

MODEL_DIGEST = "trial"


def missing_package(kind: str) -> str:
    """Return why a kind cannot be tried here; nothing if it can."""
    if kind != TREE or find_spec(TREE) is not None:
        return ""
    return f"{TREE} is not measured: the package {TREE} is not installed (uv sync --group compare)."


def write_photos(folder: Path, photo_ND: Floats, photo_ids: Sequence[str]) -> None:
    """Write what all trials read."""
    np.save(folder / "photos.npy", photo_ND)
    np.save(folder / "names.npy", np.array([name.encode() for name in photo_ids]))


def try_kind(folder: Path, kind: str, seed: int) -> dict[str, float]:
    """Build an index in `folder/kind`; return build_seconds and peak_memory_mb, the building process as a whole."""
    command = [sys.executable, "-m", "jobs.indexing.kind_trial", str(folder), kind, str(seed)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NightlensError(
            "index_trial_failed",
            f"building an index of kind {kind} to compare with failed: {done.stderr.strip()[-2000:]}",
            index_kind=kind,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _build(folder: Path, kind: Any, seed: int) -> dict[str, float]:
    from models.indexing.building import build_index
    from models.indexing.tree import build_trees

    photo_ND, names = np.load(folder / "photos.npy"), np.load(folder / "names.npy").tolist()
    target = folder / kind
    target.mkdir()
    with PeakMemory() as memory:
        begun = time.perf_counter()
        if kind == TREE:
            build_trees(target, photo_ND, seed)
        else:
            photo_ids = [name.decode() for name in names]
            build_index(
                target, photo_ND, photo_ids, kind, model_digest=MODEL_DIGEST, shard_size=len(photo_ids), seed=seed
            )
        seconds = time.perf_counter() - begun
    return {"build_seconds": round(seconds, 3), "peak_memory_mb": memory.peak_mb}


if __name__ == "__main__":
    print(json.dumps(_build(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
