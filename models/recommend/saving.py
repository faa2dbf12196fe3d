"""What a method has learned, in a folder and back: arrays as safetensors, all else as JSON. No pickle.

The JSON tells the class, its plain settings and the names of its arrays, the version of this format, and the SHA-256 of
the arrays' file. Only classes that are named here are ever made from it. What is saved scores as before to the bit.
Arrays are mapped, so that processes which load the same folder share their memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file
from scipy.sparse import csr_array

from models.indexing.files import sha256_of
from models.recommend.als import FittedAls, Objective
from models.recommend.ease import FittedEase
from models.recommend.graphsage import FittedGraphSage, GraphNetwork, VisitorMeans
from models.recommend.interface import Fitted
from models.recommend.item_knn import FittedItemKnn
from models.recommend.methods import METHODS
from models.recommend.popularity import FittedPopularity
from models.recommend.random_order import FittedRandomOrder
from models.recommend.sasrec import FittedSasRec, SasRecNetwork
from models.recommend.training import Network, Training, seeded
from models.recommend.two_tower import FittedTwoTower, Towers
from models.recommend.untrained import FittedUntrained
from models.search.errors import ModelError

FORMAT = 2
DESCRIPTION, ARRAYS = "method.json", "arrays.safetensors"
_FITTED = (
    FittedRandomOrder,
    FittedPopularity,
    FittedItemKnn,
    FittedUntrained,
    FittedAls,
    FittedEase,
    FittedSasRec,
    FittedTwoTower,
    FittedGraphSage,
)
_PARTS = (Objective, SasRecNetwork, Towers, GraphNetwork, VisitorMeans, Training)
_NAMED: tuple[Any, ...] = (*_FITTED, *METHODS.values(), *_PARTS)
_CLASSES: Mapping[str, Any] = {one.__name__: one for one in _NAMED}
_PLAIN = (bool, int, float, str, type(None))
_SPARSE = ("data", "indices", "indptr")
_KINDS = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "BOOL": np.bool_}
"""Kinds of numbers by what safetensors calls them."""
Arrays = dict[str, npt.NDArray[Any]]


def save(fitted: Fitted, folder: Path) -> None:
    """Write what a method has learned into a folder, which is made if it is not there.

    Its state may hold numbers, texts, arrays, sparse matrices, networks, lists of these, and data classes named here.
    Raises TypeError for anything else.
    """
    arrays: Arrays = {}
    learned = _described(fitted, "", arrays)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / ARRAYS)
    description = {"format": FORMAT, "arrays_sha256": sha256_of(folder / ARRAYS), "learned": learned}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def load(folder: Path) -> Fitted:
    """Return what `save` wrote. Raises `ModelError` if it is not there, damaged, or of a kind not known here."""
    arrays_path, description_path = folder / ARRAYS, folder / DESCRIPTION

    def said(path: Path, text: str) -> str:
        return f"{path} {text}. Restore the folder from a copy, or learn and save again."

    try:
        description = json.loads(description_path.read_bytes())
        version, digest, learned = (description[name] for name in ("format", "arrays_sha256", "learned"))
        name = learned["class"]
    except FileNotFoundError as error:
        text = f"{folder} holds no recommender: it has no {DESCRIPTION}. Save one there first."
        raise ModelError("recommender_not_saved", text, folder=folder) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "recommender_damaged", said(description_path, f"is damaged ({error!r})"), path=description_path
        ) from error
    if version != FORMAT:
        text = f"is of format {version!r}, this code reads {FORMAT}"
        raise ModelError(
            "recommender_of_other_code", said(description_path, text), path=description_path, format=version
        )
    if name not in {one.__name__ for one in _FITTED}:
        text = f"is of a method {name!r} that is not known here"
        raise ModelError("recommender_of_other_code", said(description_path, text), path=description_path, method=name)
    if not arrays_path.is_file():
        raise ModelError(
            "recommender_incomplete", said(arrays_path, f"is not there, {DESCRIPTION} beside it is"), path=arrays_path
        )
    if sha256_of(arrays_path) != digest:
        text = f"is damaged: its SHA-256 is not the one in {DESCRIPTION}"
        raise ModelError("recommender_damaged", said(arrays_path, text), path=arrays_path)
    try:
        with seeded(0):  # networks are filled with what is saved, and nobody's random numbers go on from there
            fitted: Fitted = _made(learned, _mapped(arrays_path))
    except _NoArrayError as error:
        text = f"has no array {error.args[0]!r}, {DESCRIPTION} names it"
        raise ModelError(
            "recommender_incomplete", said(arrays_path, text), path=arrays_path, array=error.args[0]
        ) from error
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        text = f"does not describe a {name}: {error}"
        raise ModelError(
            "recommender_damaged", said(description_path, text), path=description_path, method=name
        ) from error
    return fitted


def _mapped(path: Path) -> Arrays:
    """Return the arrays of a safetensors file; what is written into one stays in this process."""
    data = np.memmap(path, np.uint8, "c")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    described: dict[str, Any] = json.loads(data[8:start].tobytes())
    return {
        name: np.ndarray(one["shape"], _KINDS[one["dtype"]], data, start + one["data_offsets"][0])
        for name, one in described.items()
    }


class _NoArrayError(Exception):
    """An array that is named and not there."""


def _described(value: Any, place: str, arrays: Arrays) -> Any:
    """Return a value as JSON; what is an array in it goes to `arrays`, under the names of where it is."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        arrays[place] = np.asarray(value, order="C")
        return {"array": place}
    if isinstance(value, list):
        return [_described(one, _join(place, str(number)), arrays) for number, one in enumerate(value)]
    if isinstance(value, csr_array):
        of_matrix = {name: getattr(value, name) for name in _SPARSE}
        return {"sparse": list(value.shape), **_members(of_matrix, place, arrays)}
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        raise TypeError(f"{place or 'what is to be saved'} is a {name}, which is not known here")
    described = {"class": name, "made_of": _members(_parts(value), place, arrays)}
    if isinstance(value, Network):
        weights = {key: weight.detach().cpu().numpy() for key, weight in value.state_dict().items()}
        described["weights"] = _members(weights, place, arrays)
    return described


def _members(values: Mapping[str, Any], place: str, arrays: Arrays) -> dict[str, Any]:
    return {name: _described(value, _join(place, name), arrays) for name, value in values.items()}


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _parts(value: Any) -> dict[str, Any]:
    """Return what a value is made of, by the names that its class takes."""
    if isinstance(value, Network):
        return value.arguments
    assert is_dataclass(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _made(described: Any, arrays: Arrays) -> Any:
    """Return the value that `_described` described."""
    if isinstance(described, list):
        return [_made(one, arrays) for one in described]
    if not isinstance(described, dict):
        return described
    if "array" in described:
        if described["array"] not in arrays:
            raise _NoArrayError(described["array"])
        return arrays[described["array"]]
    if "sparse" in described:
        return csr_array(tuple(_made(described[name], arrays) for name in _SPARSE), shape=tuple(described["sparse"]))
    value = _CLASSES[described["class"]](**{name: _made(one, arrays) for name, one in described["made_of"].items()})
    if isinstance(value, Network):
        weights = {key: torch.from_numpy(_made(one, arrays)) for key, one in described["weights"].items()}
        value.load_state_dict(weights)
        value.eval()
    return value
