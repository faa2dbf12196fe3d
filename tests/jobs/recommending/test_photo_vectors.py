"""An arm's photo vectors as a mapped file: each in its place, and what cannot be used is refused by its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.errors import BadInput, MissingInput
from jobs.recommending.photo_vectors import photo_vectors
from models.recommend.interactions import Floats
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

ONE, TWO = [0.6, 0.8], [1.0, 0.0]

Rows = list[tuple[str, list[float]]]


def read(context: RunContext, path: Path, rows: Rows, asked: str, share: float = 1.0) -> Floats:
    names, vectors = zip(*rows, ("of another", ONE), strict=True)
    arms = ["own"] * len(rows) + ["other"]
    frame = pl.DataFrame({"arm": arms, "photo_id": names, "vector": pl.Series(vectors, dtype=pl.List(pl.Float32))})
    embeddings = commit_tables(context, PHOTO_EMBEDDINGS, {"embeddings": frame}, facts={"arms": {}})
    return photo_vectors(context.lake, embeddings, "own", pl.Series([*asked]), path / "vectors", share)


def test_each_vector_stands_in_the_place_of_its_photo(make_context: Contexts, tmp_path: Path) -> None:
    found = read(make_context(), tmp_path, [("a", ONE), ("b", TWO), ("elsewhere", TWO)], "bxa")
    np.testing.assert_array_equal(found, np.array([TWO, [0, 0], ONE], np.float32))
    assert isinstance(found, np.memmap)
    assert (tmp_path / "vectors").stat().st_size == found.nbytes


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("a", ONE), ("a", TWO)], "vectors_repeated"),
        ([("a", ONE), ("b", [1.0])], "vectors_differ_in_length"),
        ([("a", ONE), ("b", [float("nan"), 1.0])], "vectors_not_finite"),
        ([("a", ONE), ("b", [0.5, 0.5])], "vectors_not_of_length_one"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(make_context: Contexts, tmp_path: Path, rows: Rows, code: str) -> None:
    with raises(BadInput, code, arm="own"):
        read(make_context(), tmp_path, rows, "ab")


def test_too_many_missing_vectors_are_refused_and_none_of_an_arm(make_context: Contexts, tmp_path: Path) -> None:
    context = make_context()
    assert read(context, tmp_path, [("a", ONE)], "ab", share=0.5).any(axis=1).tolist() == [True, False]
    with raises(BadInput, "vectors_missing", missing_count=1):
        read(context, tmp_path, [("a", ONE)], "ab", share=0.4)
    with raises(MissingInput, "arm_not_embedded", arm="own"):
        read(context, tmp_path, [], "ab")
