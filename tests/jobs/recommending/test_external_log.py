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
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.errors import BadInput, MissingInput
from jobs.recommending.external_log import Columns, bare_items, read_log
from jobs.recommending.inputs import method
from models.recommend.als import Als, Objective
from models.recommend.item_knn import ItemKnn
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
    assert "\ntemporal: " in text
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


def test_popularity_counts_in_the_cost_of_those_whose_lists_it_fills_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.runtime.resource_meter.Meter.stop", lambda self: (1.0, 0.0))
    path, out = write(tmp_path, ratings()), tmp_path / "found.json"
    flags = ["--methods", "random,popularity,item_knn", "--protocols", "fifth_held_out", "--out", str(out)]
    assert main(["compare_recommenders", "--log", str(path), *flags]) == 0
    costs = [row for row in json.loads(out.read_text())["costs"] if row["protocol"] == "fifth_held_out"]
    assert {row["arm"]: row["fit_cpu_seconds"] for row in costs} == {"random": 1.0, "popularity": 1.0, "item_knn": 2.0}


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


def movielens(folder: Path, name: str, separator: str, header: bool = False) -> Path:
    """The log as MovieLens writes it."""
    rows = ratings().select("userId", "movieId", pl.col("rating").cast(pl.Int64), "timestamp")
    lines = [separator.join(map(str, row)) for row in [*([tuple(rows.columns)] if header else []), *rows.rows()]]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "separator", "header", "columns"),
    [
        ("u.data", "\t", False, Columns()),
        ("ratings.dat", "::", False, Columns()),
        ("ratings.csv", ",", True, Columns()),
        ("other.dat", "::", False, Columns("1", "2", "4", "3")),
        ("other.txt", "::", True, Columns(rating="rating")),
        ("other.csv", ",", False, Columns("1", "2", "4", "3")),
        ("u.data", "|", True, Columns("userId", "movieId", "timestamp", "rating")),
    ],
)
def test_files_of_movielens_are_read_as_they_come(
    tmp_path: Path, name: str, separator: str, header: bool, columns: Columns
) -> None:
    known = read_log(write(tmp_path, ratings(), "known.csv"), Columns(rating="rating"))
    found = read_log(movielens(tmp_path, name, separator, header), columns)
    assert found.photo_ids.equals(known.photo_ids)
    for array in ("item_N", "at_N", "weight_N", "start_V1"):
        assert np.array_equal(getattr(found.log, array), getattr(known.log, array))


def test_a_file_without_a_header_that_is_not_known_is_shown(tmp_path: Path) -> None:
    path = movielens(tmp_path, "other.csv", ",")
    with raises(BadInput, "no_header_line", path=path) as caught:
        read_log(path, Columns())
    assert path.read_text().splitlines()[0] in str(caught.value)


def test_ids_that_are_numbers_of_columns_make_no_header(tmp_path: Path) -> None:
    path = movielens(tmp_path, "u.data", "\t")
    path.write_text("2\t1\t4\t1000000000\n" + path.read_text())
    assert len(read_log(path, Columns()).log.at_N) == len(ratings()) + 1


def test_a_line_of_more_columns_is_refused(tmp_path: Path) -> None:
    path = movielens(tmp_path, "ratings.dat", "::")
    path.write_text(path.read_text() + "1::2::5::1000000000::7\n")
    with raises(BadInput, "unreadable_file", path=path):
        read_log(path, Columns())


def test_a_known_file_of_which_a_column_is_named_is_read_by_the_flags(tmp_path: Path) -> None:
    assert (read_log(movielens(tmp_path, "u.data", "\t"), Columns("1", "2", "4")).log.weight_N == 1).all()


@pytest.mark.parametrize("has_times", [True, False])
def test_a_log_without_different_times_is_compared_without_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], has_times: bool
) -> None:
    same = ratings().with_columns(timestamp=pl.lit(1_000_000_000))
    path, out = write(tmp_path, same if has_times else same.drop("timestamp")), tmp_path / "found.json"
    flags = ["--methods", "random,item_knn", "--protocols", "fifth_held_out", "--out", str(out)]
    assert main(["compare_recommenders", "--log", str(path), *flags]) == 0
    found = json.loads(out.read_text())
    assert set(found["protocols"]) == {"fifth_held_out"}
    assert "temporal is left out" in capsys.readouterr().out
    assert "temporal" in found["notes"]
    rates = {row["arm"]: row["value"] for row in found["metrics"] if (row["metric"], row["k"]) == ("precision", 10)}
    assert rates["item_knn"] > rates["random"]  # a fifth drawn at random is of the user's own parity, as the rest is


@pytest.mark.parametrize(("alike", "window"), [(0.9, None), (0.25, 135), (0.02, 108)])
def test_the_window_begins_at_an_instant_that_parts_about_a_fifth(
    tmp_path: Path, alike: float, window: int | None
) -> None:
    rows = len(ratings())
    last = pl.col("timestamp").sort().get(int(rows * (1 - alike)))
    frame = ratings().with_columns(timestamp=pl.min_horizontal("timestamp", last))
    world = read_log(write(tmp_path, frame), Columns())
    assert bool(world.untimed) == (window is None)
    assert (world.log.at_N >= world.test_start).sum() == (window or 0)


def test_visitors_with_and_without_a_past_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = pl.col("timestamp") + pl.when(pl.col("userId") < 5).then(10**6).otherwise(0)
    path, out = write(tmp_path, ratings().with_columns(late)), tmp_path / "found.json"
    flags = ["--methods", "popularity,item_knn", "--protocols", "no_split", "--out", str(out)]
    assert main(["compare_recommenders", "--log", str(path), *flags]) == 0
    found = json.loads(out.read_text())
    counts = {
        (row["arm"], row["segment"]): row["visitor_count"]
        for row in found["metrics"]
        if (row["protocol"], row["metric"], row["k"]) == ("temporal", "hit_rate", 10)
    }
    everybody = counts["item_knn", "all"]
    assert counts["item_knn", "0"] == 5
    assert counts["item_knn", "1+"] == everybody - 5
    unserved = {row["arm"]: row["unserved_count"] for row in found["lists"] if row["protocol"] == "temporal"}
    assert unserved == {"popularity": 0, "item_knn": 5}
    assert f"{everybody - 5} of {everybody}" in capsys.readouterr().out


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


def test_what_a_dislike_weighs_reaches_the_methods_that_can_leave_it_out(settings: Settings) -> None:
    params = EvaluateRecommendersParams(dislike_weight=0.5)
    assert method("item_knn", params, settings, bare_items(1)) == ItemKnn(dislike_weight=0.5)
    assert method("als", params, settings, bare_items(1)) == Als(objective=Objective(dislike_weight=0.5))
