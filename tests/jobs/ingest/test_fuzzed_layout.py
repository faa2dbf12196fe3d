"""The night's reader on files of any content: every line is in one record, and no visitor id leaves its column."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import BadInput, MissingInput
from jobs.ingest import find_source
from jobs.ingest import rows as reading
from jobs.ingest.layout import LAYOUT
from jobs.ingest.rows import UnitReader, rows_schema
from jobs.ingest.source import Source
from tests.fuzzing import CELLS, LONG, QUICK, VISITOR, VISITORS
from tests.jobs.layout_files import COLUMNS, LayoutFiles

TABLES = sorted(LAYOUT)
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LayoutFiles(photo_count=2, days=1, conversions_per_day=2).write(tmp_path_factory.mktemp("good"))


@st.composite
def lines(draw: st.DrawFn, table: str) -> bytes:
    """A line that is nearly one of the table: with odd values, or a visitor's id in any column."""
    width = len(COLUMNS[table])
    cells = draw(st.lists(st.one_of(CELLS, VISITORS), min_size=max(1, width - 1), max_size=width + 1))
    if draw(st.booleans()):
        cells = LayoutFiles(photo_count=0, days=0).row(table)
        cells[draw(st.integers(0, width - 1))] = draw(st.one_of(CELLS, VISITORS))
    text = "\t".join(cells) + draw(st.sampled_from(["", "", "\r", '"']))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "latin-1", "utf-16"])), errors="replace")


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, bytes]:
    """A table's name and a file for it: its header and any lines, or any bytes."""
    table = draw(st.sampled_from(TABLES))
    if draw(st.integers(0, 9)) == 0:
        return table, draw(st.binary(max_size=80))
    head = "\t".join(COLUMNS[table]).encode()
    ending = draw(st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]))
    return table, b"\n".join([head, *draw(st.lists(lines(table), max_size=8))]) + ending


def read(source: Source, table: str) -> Rows:
    return [
        row | {"line": unit.first_line + row["line"]}
        for unit in source.units(table)
        for row in UnitReader(unit, b"key").rows().to_dicts()
    ]


def read_record_by_record(source: Source, table: str) -> Rows:
    """Read the same by the tolerant reader alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_well_formed", lambda lines, form: (np.zeros(len(lines), bool),) * 2)
        return read(source, table)


def without_records(rows: Rows) -> Rows:
    """Leave out the columns that plain rows do not fill."""
    return [{name: value for name, value in row.items() if not name.startswith("record")} for row in rows]


def check_any_file(good: Path, folder: Path, table: str, data: bytes, unit_bytes: int) -> None:
    shutil.copytree(good, folder, dirs_exist_ok=True)
    for old in folder.glob(f"{table}.*"):
        old.unlink()
    (folder / f"{table}.tsv000").write_bytes(data)
    try:
        whole, cut = (find_source(str(folder), unit_bytes=size) for size in (1 << 20, unit_bytes))
    except (BadInput, MissingInput) as error:
        assert error.code  # noqa: PT017 - most files are read
        return
    rows = read(whole, table)
    assert without_records(read(cut, table)) == without_records(rows)
    plain = read_record_by_record(whole, table)
    assert without_records(rows) == without_records(plain)
    assert all(row["record"] in (None, other["record"]) for row, other in zip(rows, plain, strict=True))
    assert sum(row["line_count"] for row in rows) == whole.line_count(table) == cut.line_count(table)
    assert [row["line"] for row in rows] == sorted({row["line"] for row in rows})
    assert all(list(row) == list(rows_schema(table)) for row in rows)
    if LAYOUT[table].visitor is not None:
        assert not VISITOR.search(repr(rows) + repr(plain))


@settings(QUICK)
@given(tables(), st.integers(1, 200))
def test_any_file_is_read_line_by_line_or_refused_by_a_code(
    good: Path, tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes], unit_bytes: int
) -> None:
    check_any_file(good, tmp_path_factory.mktemp("any"), *file, unit_bytes)


@pytest.mark.integration
@settings(LONG)
@given(tables(), st.integers(1, 200))
def test_any_of_many_files_is_read_line_by_line_or_refused_by_a_code(
    good: Path, tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes], unit_bytes: int
) -> None:
    check_any_file(good, tmp_path_factory.mktemp("any"), *file, unit_bytes)
