"""The converter on files of any content: every row is used or dropped for a reason, or one error says why not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.catalogues.convert import REPORT, convert
from jobs.catalogues.mapping import read_mapping
from jobs.errors import BadInput, MissingInput
from tests.fuzzing import CELLS, LONG, QUICK, VISITOR, VISITORS

MAPPING = """
[[source]]
name = "Shop"
prefix = "sh"
[source.photos]
path = "photos.csv"
photo_id = "id"
image_url = "url"
submitted_at = {column = "at", default = "2024-01-01"}
description = "title"
missing_image = "keep"
width = {column = "width"}
[source.conversions]
path = "taken.csv"
photo_id = "id"
converted_at = {column = "at"}
query = "words"
user_id = "user"
country = "country"
"""
PHOTO_IDS = st.sampled_from(["1", "2", "3", "007"])
TIMES = st.sampled_from(["2025-01-01", "2025-02-01T10:00:00Z", "1738404000", "never", ""])
PHOTOS = st.fixed_dictionaries(
    {
        "id": PHOTO_IDS | CELLS,
        "url": st.just("https://x.invalid/1") | CELLS,
        "at": TIMES,
        "title": CELLS,
        "width": CELLS,
    }
)
TAKEN = st.fixed_dictionaries(
    {"id": PHOTO_IDS | CELLS, "at": TIMES, "words": CELLS, "user": VISITORS, "country": st.just("GB") | CELLS}
)
Rows = list[dict[str, str]]


def write(path: Path, rows: Rows, names: list[str]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def check_any_rows(folder: Path, photos: Rows, taken: Rows) -> None:
    (folder / "mapping.toml").write_text(MAPPING)
    write(folder / "photos.csv", photos, ["id", "url", "at", "title", "width"])
    write(folder / "taken.csv", taken, ["id", "at", "words", "user", "country"])
    try:
        report = convert(read_mapping(folder / "mapping.toml"), folder / "out")
    except (BadInput, MissingInput) as error:
        assert error.code  # noqa: PT017 - most rows are read
        assert not (folder / "out").exists()
        return
    assert report == json.loads((folder / "out" / REPORT).read_text(encoding="utf-8"))
    for table, rows in (("photos", photos), ("conversions", taken)):
        counts = report["sources"]["Shop"][table]
        assert counts["read"] == len(rows) == counts["used"] + sum(counts["dropped"].values())
    written = {path.name: path.read_text(encoding="utf-8") for path in (folder / "out").glob("*.*")}
    conversions = list(csv.DictReader(io.StringIO(written.pop("conversions.tsv000"), newline=""), delimiter="\t"))
    assert len(conversions) == report["sources"]["Shop"]["conversions"]["used"]
    assert {row["anonymous_user_id"] for row in conversions} <= {row["user"] for row in taken}
    elsewhere = [value for row in conversions for name, value in row.items() if name != "anonymous_user_id"]
    assert not VISITOR.search(repr([*written.values(), *elsewhere]))


@settings(QUICK)
@given(st.lists(PHOTOS, min_size=1, max_size=6), st.lists(TAKEN, max_size=8))
def test_every_row_is_used_or_dropped_for_a_reason(
    tmp_path_factory: pytest.TempPathFactory, photos: Rows, taken: Rows
) -> None:
    check_any_rows(tmp_path_factory.mktemp("any"), photos, taken)


@pytest.mark.integration
@settings(LONG)
@given(st.lists(PHOTOS, min_size=1, max_size=6), st.lists(TAKEN, max_size=8))
def test_every_row_of_many_is_used_or_dropped_for_a_reason(
    tmp_path_factory: pytest.TempPathFactory, photos: Rows, taken: Rows
) -> None:
    check_any_rows(tmp_path_factory.mktemp("any"), photos, taken)


@settings(QUICK)
@given(data=st.binary(max_size=120) | st.text(max_size=60).map(str.encode), table=st.sampled_from(["photos", "taken"]))
def test_any_file_is_read_or_refused_by_a_code(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, table: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "mapping.toml").write_text(MAPPING)
    write(folder / "photos.csv", [], ["id", "url", "at", "title", "width"])
    write(folder / "taken.csv", [], ["id", "at", "words", "user", "country"])
    (folder / f"{table}.csv").write_bytes(data)
    with pytest.raises((BadInput, MissingInput)) as refused:
        convert(read_mapping(folder / "mapping.toml"), folder / "out")
    assert refused.value.code
    assert not (folder / "out").exists()


@settings(QUICK)
@given(data=st.binary(max_size=80) | st.text(max_size=60).map(lambda text: f"{MAPPING}\n{text}".encode()))
def test_any_mapping_is_taken_or_refused_by_a_code(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "mapping.toml"
    path.write_bytes(data)
    try:
        read_mapping(path)
    except BadInput as error:
        assert error.code  # noqa: PT017 - some are taken
