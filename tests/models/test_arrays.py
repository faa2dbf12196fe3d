"""What is written is read back as it was, mapped, by many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.arrays import open_arrays, save_arrays


@dataclass(frozen=True)
class Inner:
    names: np.ndarray[Any, Any]
    count: int


@dataclass(frozen=True)
class Outer:
    numbers: np.ndarray[Any, Any]
    inner: Inner
    rate: float
    nothing: np.ndarray[Any, Any]


@pytest.mark.parametrize("names", [["a", "bc"], [b"", b"caf\xc3\xa9"], []])
def test_what_is_written_is_read_back_and_mapped(tmp_path: Path, names: list[Any]) -> None:
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    saved = Outer(numbers, Inner(np.array(names, dtype=None if names else "S1"), 7), 0.5, np.zeros((0, 3), np.int64))
    save_arrays(saved, tmp_path)
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(lambda _: open_arrays(Outer, tmp_path), range(200)):
            assert found.numbers.tolist() == numbers.tolist()
            assert found.inner.names.tolist() == names
            assert (found.inner.count, found.rate) == (7, 0.5)
            assert found.nothing.shape == (0, 3)
            assert found.numbers.dtype == np.float32
    assert not found.numbers.flags.writeable
    assert found.numbers.ctypes.data % 64 == 0
    (tmp_path / "arrays.bin").unlink()
    assert found.numbers.sum() == numbers.sum()  # whoever has it open keeps it


def test_a_cut_file_is_no_array(tmp_path: Path) -> None:
    save_arrays(Inner(np.arange(100), 1), tmp_path)
    data = (tmp_path / "arrays.bin").read_bytes()
    (tmp_path / "arrays.bin").write_bytes(data[:100])
    with pytest.raises(TypeError, match="too small"):
        open_arrays(Inner, tmp_path)
