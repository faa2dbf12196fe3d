"""Comparing recommenders on a plain log: in three formats to the same figures, and clear words about a bad one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.commands.main import main
from jobs.errors import BadInput, MissingInput
from jobs.recommending.external_log import Columns, read_log
from tests.errors import raises

USERS, ITEMS = 30, 80


def ratings() -> pl.DataFrame:
    """Users who like items of their own parity (rated 5) and not the others (1)."""
    random = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        own = random.permutation(np.arange(user % 2, ITEMS, 2))[:15]
        other = random.permutation(np.arange(1 - user % 2, ITEMS, 2))[:3]
        rows += [(user, int(item), 5.0) for item in own] + [(user, int(item), 1.0) for item in other]
    rows = [rows[number] for number in random.permutation(len(rows))]
    return pl.DataFrame(rows, schema=["userId", "movieId", "rating"], orient="row").with_columns(
        timestamp=pl.int_range(pl.len()) * 60 + 1_000_000_000
    )


def write(folder: Path, frame: pl.DataFrame, name: str = "ratings.csv") -> Path:
    path = folder / name
    if name.endswith("parquet"):
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="," if name.endswith("csv") else "\t")
    return path


def test_methods_are_compared_and_all_figures_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path, ratings()), tmp_path / "found.json"
    flags = ["--rating-column", "rating", "--methods", "random,item_knn,als", "--protocols", "fifth_held_out"]
    assert main(["compare_recommenders", "--log", str(path), *flags, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("temporal: ")
    assert "fifth_held_out: 30 users" in text
    found = json.loads(out.read_text())
    rates = {
        row["arm"]: row["value"]
        for row in found["metrics"]
        if (row["protocol"], row["segment_kind"], row["metric"], row["k"]) == ("temporal", "all", "precision", 10)
    }
    assert set(rates) == {"random", "item_knn", "als"}
    assert rates["als"] > rates["random"]
    assert rates["item_knn"] > rates["random"]
    assert f"{rates['als']:.3f}" in text
    assert {row["protocol"] for row in found["metrics"]} == {"temporal", "fifth_held_out"}


def test_the_same_log_is_the_same_in_every_format(tmp_path: Path) -> None:
    numbers, columns = ratings(), Columns(rating="rating")
    spelled = numbers.with_columns(pl.from_epoch("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S"))
    paths = [
        write(tmp_path, numbers, "numbers.csv"),
        write(tmp_path, numbers, "numbers.tsv"),
        write(tmp_path, numbers, "numbers.parquet"),
        write(tmp_path, spelled, "spelled.csv"),
    ]
    first, *others = (read_log(path, columns) for path in paths)
    assert (first.log.visitor_count, first.log.item_count) == (USERS, len(first.photo_ids))
    assert (first.log.weight_N > 0).sum() == 15 * USERS
    for other in others:
        assert np.array_equal(other.log.item_N, first.log.item_N)
        assert np.array_equal(other.log.at_N, first.log.at_N)
        assert other.test_start == first.test_start


def test_without_ratings_everything_was_liked(tmp_path: Path) -> None:
    renamed = ratings().rename({"userId": "who", "movieId": "what", "timestamp": "when"}).drop("rating")
    world = read_log(write(tmp_path, renamed), Columns("who", "what", "when"))
    assert (world.log.weight_N == 1).all()
    assert len(world.log.item_N) == len(renamed)


@pytest.mark.parametrize(
    ("frame", "columns", "code", "named"),
    [
        (ratings(), Columns(user="visitor"), "missing_columns", {"columns": ["visitor"]}),
        (ratings(), Columns(rating="stars"), "missing_columns", {"columns": ["stars"]}),
        (ratings().head(5), Columns(), "too_few_rows", {"rows": 5, "fewest": 10}),
        (
            ratings().with_columns(timestamp=pl.lit("yesterday")),
            Columns(),
            "missing_values",
            {"counts": {"timestamp": 540}},
        ),
        (ratings().with_columns(movieId=pl.lit(None)), Columns(), "missing_values", {"counts": {"movieId": 540}}),
        (ratings(), Columns(rating="rating", liked_from=6), "nothing_to_learn_from", {}),
        (
            ratings().with_columns(timestamp=pl.int_range(pl.len())),  # no unit since 1970 makes a plausible year
            Columns(),
            "missing_values",
            {"counts": {"timestamp": 540}},
        ),
        (
            ratings().with_columns(timestamp=pl.lit(float("nan"))),
            Columns(),
            "missing_values",
            {"counts": {"timestamp": 540}},
        ),
        (
            ratings().with_columns(rating=pl.lit("5,0")),
            Columns(rating="rating"),
            "missing_values",
            {"counts": {"rating": 540}},
        ),
    ],
)
def test_what_is_wrong_with_a_log_is_said(
    tmp_path: Path, frame: pl.DataFrame, columns: Columns, code: str, named: dict[str, Any]
) -> None:
    path = write(tmp_path, frame)
    with raises(BadInput, code, path=path, **named):
        read_log(path, columns)


def test_times_of_no_time_in_a_parquet_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ratings().with_columns(timestamp=pl.lit(True)), "ratings.parquet")
    with raises(BadInput, "not_a_time", path=path, column="timestamp"):
        read_log(path, Columns())


def test_users_7_and_07_and_007_are_three(tmp_path: Path) -> None:
    names = pl.Series(["7", "07", "007"] * 180)
    assert read_log(write(tmp_path, ratings().with_columns(userId=names)), Columns()).log.visitor_count == 3


@pytest.mark.parametrize("unit", [10**3, 10**6, 10**9])
def test_a_time_in_milliseconds_is_not_taken_for_seconds(tmp_path: Path, unit: int) -> None:
    seconds = read_log(write(tmp_path, ratings()), Columns())
    finer = write(tmp_path, ratings().with_columns(pl.col("timestamp") * unit), "finer.csv")
    assert np.array_equal(read_log(finer, Columns()).log.at_N, seconds.log.at_N)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_compressed_log_with_any_separator_is_read(tmp_path: Path, separator: str) -> None:
    plain = read_log(write(tmp_path, ratings()), Columns())
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(gzip.compress(ratings().write_csv(separator=separator).encode()))
    assert np.array_equal(read_log(path, Columns()).log.item_N, plain.log.item_N)
    path.write_bytes(path.read_bytes()[:-100])
    with raises(BadInput, "unreadable_file", path=path):
        read_log(path, Columns())


def test_a_folder_that_is_not_there_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, ratings())
    assert main(["compare_recommenders", "--log", str(path), "--out", str(tmp_path / "no" / "found.json")]) == 2
    assert "MissingInput [no_such_folder]: " in capsys.readouterr().err


def test_a_missing_log_and_a_method_that_needs_pictures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with raises(MissingInput, "no_such_file", path=tmp_path / "nothing.csv"):
        read_log(tmp_path / "nothing.csv", Columns())
    path = write(tmp_path, ratings())
    assert main(["compare_recommenders", "--log", str(path), "--methods", "mean_embedding"]) == 2
    said = capsys.readouterr().err
    assert "BadInput [no_such_method]: " in said
    assert "mean_embedding" in said
