"""What is not what was saved is refused, by name. That what is saved scores the same stands in the contract suite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models.indexing.files import sha256_of
from models.recommend.als import FittedAls, Objective
from models.recommend.item_knn import ItemKnn
from models.recommend.saving import ARRAYS, DESCRIPTION, load, save
from models.search.errors import ModelError
from tests.errors import raises
from tests.models.recommend.tastes import histories, world

Description = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    factor_ID = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    save(FittedAls(factor_ID, Objective(alpha=3.0)), tmp_path / "als")
    return tmp_path / "als"


def change(folder: Path, how: Callable[[Description], object]) -> None:
    description = json.loads((folder / DESCRIPTION).read_text())
    how(description)
    (folder / DESCRIPTION).write_text(json.dumps(description))


def test_plain_settings_are_in_the_json_for_everybody_to_read(folder: Path) -> None:
    made_of = json.loads((folder / DESCRIPTION).read_text())["learned"]["made_of"]
    assert made_of["objective"]["made_of"] == {"regularization": 0.05, "alpha": 3.0, "dislike_weight": 0.0}
    assert set(load_file(folder / ARRAYS)) == {"item_ID"}


@pytest.mark.parametrize(
    ("how", "code", "named"),
    [
        (lambda one: one["learned"].update({"class": "Popen"}), "recommender_of_other_code", {"method": "Popen"}),
        (
            lambda one: one["learned"].update({"class": "Objective"}),
            "recommender_of_other_code",
            {"method": "Objective"},
        ),
        (lambda one: one.update(format=1), "recommender_of_other_code", {"format": 1}),
        (lambda one: one.pop("learned"), "recommender_damaged", {"method": None}),
        (
            lambda one: one["learned"]["made_of"].update(item_ID={"array": "other"}),
            "recommender_incomplete",
            {"array": "other"},
        ),
        (lambda one: one["learned"]["made_of"].pop("objective"), "recommender_damaged", {"method": "FittedAls"}),
        (
            lambda one: one["learned"]["made_of"]["objective"].update({"class": "Path"}),
            "recommender_damaged",
            {"method": "FittedAls"},
        ),
    ],
)
def test_a_description_that_is_not_ours_is_refused(
    folder: Path, how: Callable[[Description], object], code: str, named: dict[str, object]
) -> None:
    change(folder, how)
    with raises(ModelError, code, **named):
        load(folder)


def test_arrays_that_are_not_those_that_were_saved_are_refused(folder: Path) -> None:
    path, data = folder / ARRAYS, (folder / ARRAYS).read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with raises(ModelError, "recommender_damaged", path=path):
        load(folder)
    path.write_bytes(data[:20])
    change(folder, lambda one: one.update(arrays_sha256=sha256_of(path)))
    with raises(ModelError, "recommender_damaged", path=folder / DESCRIPTION, method="FittedAls"):
        load(folder)
    save_file({"else": np.zeros(2, np.float32)}, path)
    change(folder, lambda one: one.update(arrays_sha256=sha256_of(path)))
    with raises(ModelError, "recommender_incomplete", path=path, array="item_ID"):
        load(folder)
    path.unlink()
    with raises(ModelError, "recommender_incomplete", path=path, array=None):
        load(folder)


def test_a_folder_without_a_recommender_is_refused(tmp_path: Path) -> None:
    with raises(ModelError, "recommender_not_saved", folder=tmp_path):
        load(tmp_path)


def test_what_is_not_known_is_not_saved(tmp_path: Path) -> None:
    class Strange(FittedAls):
        pass

    with pytest.raises(TypeError, match="Strange"):
        save(Strange(np.zeros((2, 2), np.float32), Objective()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_neighbourhoods_without_a_neighbour_are_saved(tmp_path: Path) -> None:
    alone = histories([(0, 3, 1.0), (1, 4, 1.0)], 2)
    save(ItemKnn().fit(alone, world().items, seed=0), tmp_path)
    assert load(tmp_path).scores(alone, np.array([3, 4])).tolist() == [[0.0, 0.0], [0.0, 0.0]]
