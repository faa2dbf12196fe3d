"""A plain log of any content: every row of it counts, or one error with a code says why it is not read."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import BadInput
from jobs.recommending.external_log import Columns, read_log
from jobs.recommending.inputs import World
from tests.errors import raises
from tests.fuzzing import CELLS, LONG, QUICK

IDS = st.one_of(st.sampled_from(["7", "007", " 7", "7.0", "é", "猫", 'a"b', "a,b;c", "nan", "null"]), CELLS)
ROWS = st.lists(st.tuples(IDS, IDS), min_size=10, max_size=25)
COLUMNS = Columns()
COLUMN_NAMES = [COLUMNS.user, COLUMNS.item, COLUMNS.at]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


def read(path: Path, data: bytes) -> World | BadInput:
    """Return the log in a file of this content, or the error that refuses it."""
    path.write_bytes(data)
    try:
        return read_log(path, COLUMNS)
    except BadInput as error:
        return error


def check_any_log(folder: Path, data: bytes, name: str) -> None:
    found = read(folder / name, data)
    if isinstance(found, BadInput):
        assert found.code
        assert len(str(found).splitlines()) == 1
    else:
        assert len(found.log.at_N) <= gzip_or(data).count(b"\n") + gzip_or(data).count(b"\r")


def gzip_or(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError):
        return data


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Text that is nearly a log: any separator, quoting, encoding and line end; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=80))
    separator = draw(st.sampled_from([",", ";", "\t", "|", " "]))
    rows = [(user, item, str(1_000_000_000 + n)) for n, (user, item) in enumerate(draw(ROWS))]
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    text = line_end.join(separator.join(row) for row in [tuple(COLUMN_NAMES), *rows])
    data = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])), errors="replace")
    return gzip.compress(data) if draw(st.booleans()) else data


@settings(QUICK)
@given(data=files(), name=st.sampled_from(["log.csv", "log.tsv", "log", "log.csv.gz", "log.parquet"]))
def test_any_file_is_read_or_refused_by_a_code(folder: Path, data: bytes, name: str) -> None:
    check_any_log(folder, data, name)


@pytest.mark.integration
@settings(LONG)
@given(data=files(), name=st.sampled_from(["log.csv", "log.tsv", "log", "log.csv.gz", "log.parquet"]))
def test_any_of_many_files_is_read_or_refused_by_a_code(folder: Path, data: bytes, name: str) -> None:
    check_any_log(folder, data, name)


@settings(QUICK)
@given(ROWS, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_every_row_of_a_proper_log_counts(
    folder: Path, rows: list[tuple[str, str]], separator: str, line_end: str, is_quoted: bool, is_compressed: bool
) -> None:
    text, ids = io.StringIO(), [one for row in rows for one in row]
    has_break = re.search(r"[\r\n]", "".join(ids)) is not None  # which csv leaves bare where lines end otherwise
    quoting = csv.QUOTE_ALL if is_quoted or has_break else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerows([COLUMN_NAMES, *((user, item, 1_000_000_000 + n) for n, (user, item) in enumerate(rows))])
    data = text.getvalue().encode()
    found = read(folder / "proper.csv", gzip.compress(data) if is_compressed else data)
    reasons = {"missing_values"} if "" in ids else set()
    if has_break:
        reasons |= {"line_break_in_id", "unreadable_file", "missing_values"}
    if reasons:
        assert isinstance(found, BadInput)
        assert found.code in reasons
    else:
        assert isinstance(found, World)
        assert len(found.log.at_N) == len(rows)
        assert found.log.visitor_count == len({user for user, _ in rows})
        assert set(found.photo_ids) == {item for _, item in rows}


def test_an_open_quote_takes_no_rows_along_unseen(tmp_path: Path) -> None:
    rows = [f"u{n},m{n},{1_000_000_000 + n}" for n in range(20)]
    rows[3], rows[5] = 'u3,"m3,1000000003', 'u5,m5",1000000005'
    path = tmp_path / "log.csv"
    path.write_text("\n".join([",".join(COLUMN_NAMES), *rows]))
    with raises(BadInput, "line_break_in_id", row=4):
        read_log(path, COLUMNS)


@pytest.mark.parametrize("column", ["userId", "movieId", "rating"])
@pytest.mark.parametrize("values", [[[1]] * 12, [{"a": 1}] * 12, [b"\xff"] * 12], ids=["list", "struct", "bytes"])
def test_a_column_of_no_texts_and_no_numbers_is_named(tmp_path: Path, column: str, values: list[object]) -> None:
    good = {"userId": list(range(12)), "movieId": list(range(12)), "rating": [5.0] * 12}
    frame = pl.DataFrame(good | {column: values} | {"timestamp": [1_000_000_000 + n for n in range(12)]})
    frame.write_parquet(path := tmp_path / "log.parquet")
    with raises(BadInput, "unreadable_column", column=column):
        read_log(path, Columns(rating="rating"))


def test_a_file_without_a_first_line_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "log.csv").write_bytes(b"\n\n\n")
    with raises(BadInput, "unreadable_file"):
        read_log(path, COLUMNS)
