"""Made-up vectors, and an index of them in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models import ann
from models.indexing.building import build_index

DIM = 16


def unit_vectors(count: int, seed: int, dim: int = DIM) -> ann.Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def names(count: int) -> list[str]:
    return [f"photo-{number}" for number in range(count)]


def build(folder: Path, photo_ND: ann.Floats, kind: Any = "flat", **options: Any) -> ann.IndexDescription:
    folder.mkdir(parents=True, exist_ok=True)
    options = {"model_digest": "m1", "shard_size": 100} | options
    return build_index(folder, photo_ND, names(len(photo_ND)), kind, **options)


def brute_force(query_QD: ann.Floats, photo_ND: ann.Floats, k: int) -> list[list[str]]:
    order_QN = np.argsort(-(query_QD.astype(np.float64) @ photo_ND.astype(np.float64).T), axis=1, kind="stable")
    return [[f"photo-{row}" for row in rows[:k]] for rows in order_QN]
