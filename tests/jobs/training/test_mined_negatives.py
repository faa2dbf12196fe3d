"""Hard negatives are mined from photos that were there in the training window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from jobs.training import arms
from models.search.negatives import NONE
from models.search.sampling import KnownPositives


def test_a_photo_that_came_after_the_training_window_is_no_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.eye(4)
    monkeypatch.setattr(arms, "text_vectors", lambda *_: torch.full((2, 4), 0.5))
    monkeypatch.setattr(arms, "photo_vectors", lambda *_: vectors.clone())
    one = np.zeros(1, np.int64)  # photo 0 was taken for text 0
    data: Any = SimpleNamespace(
        pixels=range(4),
        keywords=None,
        tokens=range(2),
        texts=one,
        photos=one,
        known=KnownPositives.of(one, one, 4),
        ids_of_groups=lambda texts: texts,
    )
    pairs: Any = SimpleNamespace(photos=pl.DataFrame({"is_in_train": [True, False, True, False]}))
    found = arms._mine(SimpleNamespace(), pairs, data)  # type: ignore[arg-type]
    assert [sorted(set(row.tolist()) - {NONE}) for row in found.photos] == [[2], [0, 2]]
