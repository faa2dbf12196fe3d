"""`dataset.toml`, which may lie beside a data set's tables: what the site calls things. No rows.

[conversions]
types = { purchase = 3, add_to_cart = 1 }  # with what each weighs in training, or a list: all weigh 1
devices = ["app", "desktop", "mobile"]
orderings = ["relevance", "price"]

A list that is not there is that of the Unsplash data set. A value that no list names is a warning of the night, and its
row is used.
"""

from __future__ import annotations

import tomllib
from typing import Annotated

import fsspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from jobs.errors import BadInput

NAME = "dataset.toml"
Weight = Annotated[float, Field(gt=0, le=1000)]
Names = tuple[Annotated[str, Field(min_length=1)], ...]


def _weighted(types: object) -> object:
    return dict.fromkeys(types, 1.0) if isinstance(types, list) else types


class ConversionNames(BaseModel):
    """What stands in a conversion log. `types` are names with weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: Annotated[dict[str, Weight], BeforeValidator(_weighted), Field(min_length=1)] = {"download": 1.0}
    devices: Names = ("desktop", "mobile", "tablet")
    orderings: Names = ("popular", "recent")


class DatasetFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conversions: ConversionNames = ConversionNames()


def read_dataset_file(folder: str) -> DatasetFile:
    """Return what the folder (a path or URL) says of its data set; all by default if it holds no `dataset.toml`.

    Raises `BadInput` that names every key that is wrong.
    """
    fs, path = fsspec.url_to_fs(f"{folder.rstrip('/')}/{NAME}")
    if not fs.exists(path):
        return DatasetFile()
    try:
        return DatasetFile.model_validate(tomllib.loads(fs.cat_file(path).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput("unreadable_file", f"{path} is no TOML in UTF-8: {error}", path=path) from error
    except ValidationError as error:
        faults = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
        text = "; ".join(f"{key}: {message}" for key, message in faults)
        raise BadInput("bad_dataset_file", f"{path}: {text}", path=path, keys=[key for key, _ in faults]) from error
