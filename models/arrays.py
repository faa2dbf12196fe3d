"""Dataclasses of arrays in a folder: one file of bytes, mapped into memory when it is opened, and what lies where."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

T = TypeVar("T")
DATA_FILE, PLACES_FILE = "arrays.bin", "arrays.json"
_ALIGNED = 64


def save_arrays(value: Any, folder: Path) -> None:
    """Write the fields of a dataclass: arrays, numbers, and dataclasses of these."""
    places = {}
    with (folder / DATA_FILE).open("wb") as file:
        for name, array in _arrays(value, ""):
            file.write(bytes(-file.tell() % _ALIGNED))
            places[name] = {"dtype": array.dtype.str, "shape": array.shape, "offset": file.tell()}
            file.write(np.ascontiguousarray(array).data)
    (folder / PLACES_FILE).write_text(json.dumps(places))


def _arrays(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        found, name = getattr(value, field.name), f"{prefix}{field.name}"
        if is_dataclass(found):
            yield from _arrays(found, f"{name}.")
        else:
            yield name, np.asarray(found)


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def open_arrays(kind: type[T], folder: Path) -> T:
    """Return what `save_arrays` wrote, its arrays mapped and read-only; they outlive the folder."""
    places = json.loads((folder / PLACES_FILE).read_text())
    file = folder / DATA_FILE
    data = np.memmap(file, dtype=np.uint8, mode="r") if file.stat().st_size else np.zeros(0, dtype=np.uint8)

    def read(name: str) -> Any:
        dtype, shape, offset = (places[name][key] for key in ("dtype", "shape", "offset"))
        return np.ndarray(shape, dtype, data, offset)

    def build(kind: Any, prefix: str) -> Any:
        found = {}
        for name, hint in _hints(kind).items():
            if is_dataclass(hint):
                found[name] = build(hint, f"{prefix}{name}.")
            else:
                array = read(f"{prefix}{name}")
                found[name] = hint(array[()]) if hint in (int, float) else array
        return kind(**found)

    built: T = build(kind, "")
    return built
