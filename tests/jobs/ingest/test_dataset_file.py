"""`dataset.toml`: what a site calls things."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import BadInput
from jobs.ingest.dataset_file import DatasetFile, read_dataset_file
from tests.errors import raises


def test_without_the_file_names_are_those_of_the_unsplash_data_set(tmp_path: Path) -> None:
    assert read_dataset_file(str(tmp_path)) == DatasetFile()
    assert DatasetFile().conversions.types == {"download": 1.0}


def test_types_are_a_list_or_a_table_of_weights(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text('[conversions]\ntypes = ["purchase", "add_to_cart"]\n')
    assert read_dataset_file(f"{tmp_path}/").conversions.types == {"purchase": 1.0, "add_to_cart": 1.0}
    (tmp_path / "dataset.toml").write_text("[conversions.types]\npurchase = 3\nadd_to_cart = 0.5\n")
    names = read_dataset_file(str(tmp_path)).conversions
    assert names.types == {"purchase": 3.0, "add_to_cart": 0.5}
    assert names.devices == ("desktop", "mobile", "tablet")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[conversions]\ntypes = []", "bad_dataset_file", "conversions.types"),
        ("[conversions]\ntypes = {sale = 0}", "bad_dataset_file", "conversions.types.sale"),
        ("[conversions]\ntypes = {sale = 'much'}", "bad_dataset_file", "conversions.types.sale"),
        ("[conversions]\ndevises = ['app']", "bad_dataset_file", "conversions.devises"),
        ("[conversion]", "bad_dataset_file", "conversion: "),
        ("[conversions", "unreadable_file", "no TOML"),
        ("# \udce9", "unreadable_file", "UTF-8"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, code: str, said: str) -> None:
    (tmp_path / "dataset.toml").write_bytes(text.encode(errors="surrogateescape"))
    with raises(BadInput, code) as failure:
        read_dataset_file(str(tmp_path))
    assert said in str(failure.value)
    assert str(tmp_path) in str(failure.value)
