"""Reading the layout: every line in exactly one record, no good line lost, every file told for what it is."""

from __future__ import annotations

import hashlib
import itertools
import re
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import BadInput, MissingInput
from jobs.ingest import (
    find_source,
    last_complete_day,
    last_plausible_day,
    photo_files,
    records,
    text_files,
)
from jobs.ingest.layout import LAYOUT
from jobs.ingest.records import MAX_LINES, Form, Record, is_whole, learn_form, split_records
from jobs.ingest.rows import UnitReader, pseudonym
from jobs.ingest.source import PartFile, Unit, find_parts, survey
from tests.errors import raises
from tests.jobs.layout_files import COLUMNS, LayoutFiles, visitor

# Three columns; the first is a number, the last a letter.
FORM = Form(b"\t", 3, ((0, re.compile(rb"\d+")), (2, re.compile(rb"[a-z]"))))


def found(data: bytes, form: Form = FORM) -> list[tuple[int, int, object]]:
    """Return (line, line count, fields or fault) of every record."""
    return [(r.line, r.line_count, r.fault or r.fields) for r in split_records(data, form)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"1\tcat\ta\n", [(2, 1, [b"1", b"cat", b"a"])]),
        (b"1\tcat\ta", [(2, 1, [b"1", b"cat", b"a"])]),
        (b"", []),
        (b"\t\t\n", [(2, 1, [b"", b"", b""])]),
        (b"\n\r\n", [(2, 1, "blank_line"), (3, 1, "blank_line")]),
        (b"1\tcat\n", [(2, 1, "too_few_columns")]),
        (b"1\tcat\ta\textra\n", [(2, 1, "too_many_columns")]),
        (b"1\tcat\tcat\ta\n", [(2, 1, "embedded_tab")]),
        (b"1\tcat\na\ta\n", [(2, 2, "embedded_newline")]),
        (b"1\tc\na\nt\ta\n", [(2, 3, "embedded_newline")]),
        (b"1\tcat\ncat\tdog\n", [(2, 1, "too_few_columns"), (3, 1, "too_few_columns")]),
        (b"1\tcat\n2\tdog\tb\n", [(2, 1, "too_few_columns"), (3, 1, [b"2", b"dog", b"b"])]),
        (b'1\t"a ""big"" cat"\ta\n', [(2, 1, [b"1", b'a "big" cat', b"a"])]),
        (b'1\t5" disk\ta\n', [(2, 1, [b"1", b'5" disk', b"a"])]),
        (b'"1"\t""\t"a"\n', [(2, 1, [b"1", b"", b"a"])]),
        (b'1\t"cat\r\ndog"\ta\n', [(2, 2, [b"1", b"cat dog", b"a"])]),
        (b'1\t"cat"\n', [(2, 1, "too_few_columns")]),
        (b'1\t"cat\ta\n2\tdog\tb\n', [(2, 1, "unbalanced_quote"), (3, 1, [b"2", b"dog", b"b"])]),
        (b'1\t"cat\ta\n2\t"dog"\tb\n', [(2, 1, "unbalanced_quote"), (3, 1, [b"2", b"dog", b"b"])]),
        (b'1\t"cat\ta\n2\tdog"\tb\n', [(2, 1, "unbalanced_quote"), (3, 1, [b"2", b'dog"', b"b"])]),
        (b'1\t"so, ""he"" said\nx\ty"\ta\n', [(2, 2, [b"1", b'so, "he" said x y', b"a"])]),
        (b'1\t"ca"t\ta\n', [(2, 1, "unbalanced_quote")]),
        (b'1\t"cat\ta', [(2, 1, "unbalanced_quote")]),
    ],
)
def test_records(data: bytes, expected: list[tuple[int, int, object]]) -> None:
    assert found(data) == expected


def test_a_quoted_field_ends_within_so_many_lines() -> None:
    for count, is_record in ((MAX_LINES, True), (MAX_LINES + 1, False)):
        data = b'1\t"' + b"\n".join([b"x"] * count) + b'"\ta\n'
        records = list(split_records(data, FORM))
        assert (records[0].fields is not None) == is_record
        assert sum(r.line_count for r in records) == count


def test_repairs_say_what_and_where() -> None:
    data = b'1\tcat\ta\r\n2\t"d\tog"\tb\r\n3\t"co\nw"\tc\n'
    assert [r.repairs for r in split_records(data, FORM)] == [
        (("carriage_return", None),),
        (("carriage_return", None), ("quoted_tab", 1)),
        (("quoted_newline", 1),),
    ]
    as_written = Form(b"\t", 3, is_crlf=True)
    assert [r.repairs for r in split_records(b"1\tcat\ta\r\n", as_written)] == [()]


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"1\tcat\ta", b'2\t"d ""o"" g"\tb', b'"3"\tcow\tc', b"4\towl\td\r"]),  # whole
        st.sampled_from(
            [b"", b"\r", b"5", b"6\tx", b"7\tx\ty\tz", b'8\t"open\ta', b'close"\tb', b'9\t"a"b\tc', b'"', b"x"]
        ),
        st.text(alphabet='1a\t"\r ', max_size=9).map(str.encode),
    ),
    max_size=25,
)


@given(LINES, st.integers(1, 60))
def test_nothing_depends_on_where_a_file_is_cut(lines: list[bytes], unit_bytes: int) -> None:
    header = b"n\tword\tletter\n"
    with Temporary(header + b"\n".join(lines)) as path:
        part = PartFile("photos", path.as_uri(), path.name, ("n", "word", "letter"), len(header), FORM)
        surveyed = survey(part, unit_bytes=unit_bytes)
        whole = survey(part, unit_bytes=1 << 20)
        records = [r for unit in surveyed.units for r in split_records(unit.read(), FORM, unit.first_line)]
        assert records == [r for unit in whole.units for r in split_records(unit.read(), FORM, unit.first_line)]
        assert surveyed.sha256 == whole.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sum(r.line_count for r in records) == surveyed.line_count == whole.line_count
        assert [u.number for u in surveyed.units] == list(range(len(surveyed.units)))
        check_units_adjoin(surveyed.units, records)


def check_units_adjoin(units: tuple[Unit, ...], records: list[Record]) -> None:
    for one, other in itertools.pairwise(units):
        assert one.offset + one.byte_count == other.offset
        before = [record for record in records if record.line < other.first_line]
        assert before[-1].raw == other.previous
        assert before[-1].line + before[-1].line_count == other.first_line


@given(LINES)
def test_every_line_is_in_one_record_and_whole_lines_are_records(lines: list[bytes]) -> None:
    data = b"\n".join(lines)
    expected = data.split(b"\n") if not data.endswith(b"\n") and data else data.split(b"\n")[:-1]
    records = list(split_records(data, FORM))
    assert b"\n".join(r.raw for r in records) == b"\n".join(expected)
    next_line = 2
    for record in records:
        assert record.line == next_line
        next_line += record.line_count
        assert (record.fields is None) == (record.fault is not None)
        assert record.fields is None or len(record.fields) == 3
    alone = {record.line for record in records if record.line_count == 1 and record.fields}
    for number, line in enumerate(expected, 2):
        assert not is_whole(line, FORM) or number in alone


@given(LINES, st.integers(1, 60))
def test_a_cut_behind_many_lines_that_stand_alone_changes_nothing(lines: list[bytes], unit_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (records, text_files):
            patch.setattr(module, "MAX_LINES", 3)
        test_nothing_depends_on_where_a_file_is_cut.hypothesis.inner_test(lines, unit_bytes)  # type: ignore[attr-defined]


def by_comma(rows: list[bytes], column_count: int) -> list[tuple[int, object]]:
    """Return (line, fields or fault) of the records of a file that learned its form from itself."""
    data = b"\n".join(rows) + b"\n"
    return [(r.line, r.fault or r.fields) for r in split_records(data, learn_form(data, b",", column_count))]


IDS = {
    "number": lambda n: b"%d" % (10**8 + 37 * n),
    "sku": lambda n: b"SKU-%d" % n,
    "uuid": lambda n: str(uuid.UUID(int=n**9)).encode(),
    "path": lambda n: b"%d/%d.x" % (n % 7, n),
    "unsplash": lambda n: hashlib.sha256(b"%d" % n).hexdigest()[:11].translate(str.maketrans("012", "-_K")).encode(),
    "words": lambda n: b"item no. %d" % n,
}


@pytest.mark.parametrize("make_id", IDS.values(), ids=IDS)
def test_a_line_inside_a_quoted_text_is_no_record_though_it_has_as_many_columns(
    make_id: Callable[[int], bytes],
) -> None:
    rows = [b'%s,"a shoe%s\nred, with laces\nand soft"' % (make_id(n), b" big" * (n % 3)) for n in range(40)]
    expected = [
        (2 + 3 * n, [make_id(n), b"a shoe" + b" big" * (n % 3) + b" red, with laces and soft"]) for n in range(40)
    ]
    assert by_comma(rows, 2) == expected


@pytest.mark.parametrize("make_id", IDS.values(), ids=IDS)
def test_a_quote_that_is_not_closed_takes_no_line_with_it(make_id: Callable[[int], bytes]) -> None:
    rows = [b"%s,a shoe%s" % (make_id(n), b" big" * (n % 3)) for n in range(40)]
    rows[3] = b'%s,"open' % make_id(3)
    rows[4] = b'%s,10"' % make_id(4)
    rows[20] = b'%s,"open' % make_id(20)
    found = by_comma(rows, 2)
    assert [line for line, _ in found] == list(range(2, 42))
    assert [number for number, (_, fields) in enumerate(found) if fields == "unbalanced_quote"] == [3, 20]


def test_a_record_with_an_odd_value_keeps_the_lines_of_its_text() -> None:
    rows = [b'%d,"a shoe%s\nred, with laces"' % (n, b" big" * (n % 3)) for n in range(40)]
    rows[5] = b'none,"a shoe\nred, with laces"'
    assert by_comma(rows, 2)[5] == (12, [b"none", b"a shoe red, with laces"])


def test_a_text_in_the_first_column_ends_where_its_quote_is_closed() -> None:
    lines = [b'"Shoe%s\nwith laces",https://x.invalid/%d,2025-01-%02d' % (b" red" * n, n, n + 1) for n in range(20)]
    lines[7] = b'"open,https://x.invalid/7,2025-01-08'
    lines[8] = b'shoe 5",https://x.invalid/8,2025-01-09'
    form = learn_form(b"\n".join(lines[:7]), b",", 3)
    found = list(split_records(b"\n".join(lines), form))
    assert [(r.line_count, r.fault) for r in found] == [(2, None)] * 7 + [(1, "unbalanced_quote"), (1, None)] + [
        (2, None)
    ] * 11
    assert (found[8].fields or [])[0] == b'shoe 5"'


def test_free_text_and_columns_of_single_words_have_no_shape() -> None:
    rows = [
        b"%d,shoe%s,%s%s,DE,,2025-12-%02d 10:00:00"
        % (n, b" big" * (n % 3), (b"boots", b"heel")[n % 2], b" old" * (n % 40 == 7), n)
        for n in range(10, 90)
    ]
    form = learn_form(b"\n".join(rows), b",", 6)
    assert [index for index, _ in form.shapes or ()] == [0, 3, 5]


def test_a_file_whose_ids_change_their_form_is_still_cut(tmp_path: Path) -> None:
    early = [b"%d\tword" % number for number in range(5000)]
    late = [b"X-%d-%d\tword" % (number, number) for number in range(5000)]
    path = tmp_path / "keywords.tsv"
    path.write_bytes(b"\n".join([b"photo_id\tkeyword", *early, *late]))
    (part,) = find_parts(str(tmp_path), LAYOUT["keywords"])
    assert len(survey(part, unit_bytes=4096).units) > 20


class Temporary:
    """A file that is there for one example of a property."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __enter__(self) -> Path:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "part.tsv000"
        path.write_bytes(self.data)
        return path

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()


# -- files and columns -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return LayoutFiles(days=1, conversions_per_day=4).write(tmp_path / "data")


def drop_columns(folder: Path, table: str, *names: str) -> None:
    path = folder / f"{table}.tsv000"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    kept = [index for index, name in enumerate(rows[0]) if name not in names]
    path.write_text("".join("\t".join(row[index] for index in kept) + "\n" for row in rows))


LATER = {
    "1.4": {
        "keywords": ("suggested_by_ai_service_3", "confirmed_by_ai_service_3"),
        "conversions": ("device_type", "search_orientation_filter", "search_ordering"),
    },
    "1.3": {"keywords": ("user_suggestion_source",), "collections": ("collection_type",)},
    "1.2": {"photos": ("blur_hash",)},
    "1.1": {"photos": ("photo_description", "photo_width", "photo_height", "photo_aspect_ratio")},
}


def test_the_version_is_told_by_the_columns(folder: Path) -> None:
    versions = [find_source(str(folder)).version]
    for tables in LATER.values():
        for table, names in tables.items():
            drop_columns(folder, table, *names)
        versions.append(find_source(str(folder)).version)
    assert versions == ["1.4", "1.3", "1.2", "1.1", "1.0"]


def test_columns_that_contradict_are_said(folder: Path) -> None:
    drop_columns(folder, "photos", "blur_hash")
    assert find_source(str(folder)).version == "mixed: 1.1 with columns of 1.3, 1.4"
    drop_columns(folder, "conversions", "device_type")
    assert find_source(str(folder)).missing_columns("conversions") == ["device_type"]


def rows_of(folder: Path, table: str) -> list[dict[str, object]]:
    return [row for unit in find_source(str(folder)).units(table) for row in rows_of_unit(unit)]


def rows_of_unit(unit: Unit, forgotten: frozenset[str] = frozenset()) -> list[dict[str, object]]:
    where = {"unit": unit.number, "source_file": unit.part.name}
    rows = UnitReader(unit, b"key", forgotten).rows().to_dicts()
    return [where | row | {"source_line": unit.first_line + row["line"]} for row in rows]


def test_columns_go_by_name_in_any_order_and_by_their_older_names(folder: Path) -> None:
    lines = ["\ufeffAI_Score,hex,photo_id,ai_coverage", "0.5,FFFFFF,photo000001,12.5", '0.25,"000000",photo000002,']
    (folder / "colors.tsv000").unlink()
    (folder / "colors.csv").write_text("\r\n".join(lines))
    first, second = rows_of(folder, "colors")
    assert (first["score"], first["coverage"], first["hex"], first["red"]) == ("0.5", "12.5", "FFFFFF", None)
    assert (second["hex"], second["coverage"], second["repairs"]) == ("000000", None, [])


@pytest.mark.parametrize("name", ["position", "search_position", "result_position"])
def test_a_log_may_say_where_a_photo_stood(folder: Path, name: str) -> None:
    path = folder / "conversions.tsv000"
    path.write_text(path.read_text().replace("\tposition\n", f"\t{name}\n"))
    assert [row["position"] for row in rows_of(folder, "conversions")] == ["1", "2", "3", "4"]
    drop_columns(folder, "conversions", name)
    assert [row["position"] for row in rows_of(folder, "conversions")] == [None] * 4
    assert find_source(str(folder)).version == "1.4"


def test_parts_follow_one_another_and_may_hold_tabs_whatever_they_are_called(folder: Path) -> None:
    path = folder / "keywords.tsv000"
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    for number in (1, 0, 10):
        (folder / f"keywords.csv{number:03}").write_bytes(header + lines[number])
    rows = rows_of(folder, "keywords")
    assert [row["source_file"] for row in rows] == ["keywords.csv000", "keywords.csv001", "keywords.csv010"]
    assert [row["photo_id"] for row in rows] == ["photo000000", "photo000001", "photo000010"]
    assert [row["unit"] for row in rows] == [0, 1, 2]


def test_tables_that_are_not_required_may_be_absent(folder: Path) -> None:
    for table in ("keywords", "collections", "colors", "hidden", "impressions"):
        (folder / f"{table}.tsv000").unlink()
    source = find_source(str(folder))
    assert source.units("keywords") == []
    assert set(source.digests) == {"photos/photos.tsv000", "conversions/conversions.tsv000"}


@pytest.mark.parametrize("table", ["photos", "conversions"])
def test_a_required_table_must_be_there_and_hold_rows(folder: Path, table: str) -> None:
    path = folder / f"{table}.tsv000"
    header = path.read_bytes().split(b"\n")[0]
    path.write_bytes(header + b"\n")
    with raises(MissingInput, "empty_table", table=table):
        find_source(str(folder))
    path.write_bytes(b"")
    with raises(MissingInput, "empty_file", path=str(path)):
        find_source(str(folder))
    path.unlink()
    with raises(MissingInput, "no_such_table", table=table):
        find_source(str(folder))


def compress(path: Path, kind: str, members: int = 1) -> Path:
    """Put a compressed file in a file's place."""
    data, codec = path.read_bytes(), pa.Codec({"gz": "gzip", "zst": "zstd"}[kind])
    step = -(-len(data) // members)
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    made = path.with_name(f"{path.name}.{kind}")
    made.write_bytes(b"".join(codec.compress(piece, asbytes=True) for piece in pieces))
    path.unlink()
    return made


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_compressed_parts_are_read_as_the_plain_ones(folder: Path, kind: str) -> None:
    plain = find_source(str(folder), unit_bytes=64)
    before = {table: rows_of(folder, table) for table in LAYOUT}
    for table in LAYOUT:
        compress(folder / f"{table}.tsv000", kind, members=3)
    packed = find_source(str(folder), unit_bytes=8)
    assert {f"{name}.{kind}": digest for name, digest in plain.digests.items()} == packed.digests
    assert last_complete_day(str(folder)) == DAY
    for table in LAYOUT:
        after = [row for unit in packed.units(table) for row in rows_of_unit(unit)]
        hide = {"unit": 0, "source_file": "", "line": 0}
        assert [row | hide for row in after] == [row | hide for row in before[table]]
        assert len(packed.units(table)) > 1


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("end", [-1, -9, 30])
def test_a_cut_or_broken_compressed_part_is_refused_by_name(folder: Path, kind: str, end: int) -> None:
    path = compress(folder / "keywords.tsv000", kind)
    path.write_bytes(path.read_bytes()[:end])
    with raises(BadInput, "unreadable_file", path=str(path)):
        find_source(str(folder))
    path.write_bytes(b"this is no compressed file")
    with raises(BadInput, "unreadable_file", path=str(path)):
        find_source(str(folder))


def write_days(folder: Path, write: Callable[[Path, list[list[str]]], object]) -> list[Path]:
    """Put a folder with a file a day in the place of a log; rows of a day may lie in a later file."""
    path = folder / "conversions.tsv000"
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    path.unlink()
    made = []
    for day, chosen in (("01", rows[1:]), ("02", rows[:1])):
        made.append(folder / "conversions" / f"day=2026-03-{day}" / "part-0")
        made[-1].parent.mkdir(parents=True)
        write(made[-1], [header, *chosen])
    (folder / "conversions" / "_SUCCESS").touch()
    return made


def as_text(path: Path, rows: list[list[str]]) -> None:
    text = "".join("\t".join(row) + "\n" for row in rows).encode()
    path.with_name("part-0.csv.zst").write_bytes(pa.Codec("zstd").compress(text, asbytes=True))


def as_parquet(path: Path, rows: list[list[str]]) -> None:
    header, *values = rows
    texts = pl.DataFrame(values, header, orient="row").with_columns(pl.all().replace("", None))
    typed = texts.with_columns(
        pl.col("converted_at").str.to_datetime(time_unit="ns").dt.replace_time_zone("UTC"),
        pl.col("position").cast(pl.Int64),
        path=pl.lit(["a", "b"]),
    )
    typed.write_parquet(path.with_name("part-0.parquet"), row_group_size=1)


@pytest.mark.parametrize("write", [as_text, as_parquet])
def test_a_log_may_be_a_folder_of_files_by_day(folder: Path, write: Callable[[Path, list[list[str]]], object]) -> None:
    before = rows_of(folder, "conversions")
    paths = write_days(folder, write)
    after = rows_of(folder, "conversions")
    names = [next(path.parent.iterdir()).relative_to(folder).as_posix() for path in paths]
    assert [row["source_file"] for row in after] == [names[0]] * (len(before) - 1) + [names[1]]
    assert [row["source_line"] for row in after] == [*range(2, len(before) + 1), 2]
    skipped = {"unit", "source_file", "source_line", "line", "converted_at", "record", "record_sha256"}
    seen = [[{k: v for k, v in row.items() if k not in skipped} for row in rows] for rows in (before, after)]
    assert seen[1] == seen[0][1:] + seen[0][:1]
    assert last_complete_day(str(folder)) == DAY
    (folder / "conversions.csv").write_text("converted_at\n")
    with raises(BadInput, "table_in_two_forms", files=["conversions.csv", "conversions/"]):
        find_source(str(folder))


def test_a_mark_of_byte_order_within_a_file_is_the_records_own(folder: Path) -> None:
    (folder / "colors.tsv000").write_text("photo_id\thex\n\ufeffphoto000001\tFFFFFF\n\ufeffphoto000002\t000000\n")
    assert [row["photo_id"] for row in rows_of(folder, "colors")] == ["\ufeffphoto000001", "\ufeffphoto000002"]


def test_a_minute_has_sixty_seconds_however_a_record_is_read(folder: Path) -> None:
    texts = [f"2025-12-01 10:00:{second}{part}" for second in ("59", "60") for part in ("", ".5", "Z")]
    rows = "".join(f"photo000001\tc{number}\t{text}\n" for number, text in enumerate(texts))
    (folder / "collections.tsv000").write_text(f"photo_id\tcollection_id\tphoto_collected_at\n{rows}")
    read = [row["photo_collected_at_read"] is not None for row in rows_of(folder, "collections")]
    assert read == [True] * 3 + [False] * 3


def test_a_parquet_file_may_hold_what_polars_has_no_text_for(folder: Path) -> None:
    """Zones that are no names, as pandas writes them; and types of columns that nobody asks for."""
    row = dict(zip(COLUMNS["conversions"], LayoutFiles(photo_count=1, days=0).row("conversions"), strict=True))
    zoned = pa.array([1764670272_123456], pa.timestamp("us", "+05:30"))
    columns = {name: pa.array([text]) for name, text in row.items()} | {
        "converted_at": zoned,
        "shown_at": pa.DictionaryArray.from_arrays(pa.array([0]), zoned),
        "spent": pa.array([5], pa.duration("s")),
        "price": pa.array([Decimal("1.50")], pa.decimal256(50, 2)),
        "tags": pa.array([["a"]]),
    }
    (folder / "conversions.tsv000").unlink()
    pq.write_table(pa.table(columns), folder / "conversions.parquet")
    [read] = rows_of(folder, "conversions")
    assert read["converted_at"] == "2025-12-02 10:11:12.123456"
    [text] = [UnitReader(unit, b"key").describe(0)[0] for unit in find_source(str(folder)).units("conversions")]
    assert text is not None
    assert text.split("\t")[-3:] == ["2025-12-02 10:11:12.123456", "5", "1.50"]


@pytest.mark.parametrize("has_uuids", [False, True], ids=["short ids", "UUIDs as ids"])
def test_a_visitor_in_the_column_of_photos_is_hidden_in_parquet_as_in_text(folder: Path, has_uuids: bool) -> None:
    def photo(number: int) -> str:
        return str(uuid.UUID(int=number)) if has_uuids else f"photo{number:06}"

    photos = [row | {"photo_id": photo(number)} for number, row in enumerate(good_rows("photos", 30))]
    log = [row | {"photo_id": photo(number)} for number, row in enumerate(good_rows("conversions", 30))]
    log[7] |= {"photo_id": visitor(7), "anonymous_user_id": "US"}
    seen = []
    for ending in ("tsv", "parquet"):
        for table, rows in (("photos", photos), ("conversions", log)):
            for old in folder.glob(f"{table}.*"):
                old.unlink()
            if ending == "tsv":
                pl.DataFrame(rows).write_csv(folder / f"{table}.tsv", separator="\t")
            else:
                pl.DataFrame(rows).write_parquet(folder / f"{table}.parquet")
        found = rows_of(folder, "conversions")
        seen.append([(row["photo_id"], row["visitor_id"], row["has_stray_visitor_id"]) for row in found])
        assert {part.has_long_ids for part in find_source(str(folder)).parts("conversions")} == {has_uuids}
    assert seen[0] == seen[1]
    assert seen[1][7] == (pseudonym(visitor(7), b"key"), pseudonym("US", b"key"), True)


def good_rows(table: str, count: int) -> list[dict[str, str]]:
    files, rows = LayoutFiles(photo_count=0, days=0), []
    for _ in range(count):
        rows.append(dict(zip(COLUMNS[table], files.row(table), strict=True)))
        files.add(table)
    return rows


def test_whole_numbers_with_gaps_stay_whole_numbers_in_parquet(folder: Path) -> None:
    good = dict(zip(COLUMNS["conversions"], LayoutFiles(photo_count=1, days=0).row("conversions"), strict=True))
    (folder / "conversions.tsv000").unlink()
    rows = pl.DataFrame([good] * 3).with_columns(position=pl.Series([1.0, None, 3.0]), score=pl.Series([0.5, 1.0, 2.0]))
    rows.write_parquet(folder / "conversions.parquet")
    assert [row["position"] for row in rows_of(folder, "conversions")] == ["1", None, "3"]


def test_a_parquet_log_meets_the_rules_of_a_text(folder: Path) -> None:
    """What shows in the bytes of a text shows in the values of Parquet; cuts between row groups change nothing."""
    good = dict(zip(COLUMNS["conversions"], LayoutFiles(photo_count=1, days=0).row("conversions"), strict=True))
    odd = [
        good,
        good,
        good | {"keyword": "a\nb\tc"},
        good | {"keyword": f"who is {visitor(3)}"},
        good | {"keyword": "a\0b"},
        good | {"keyword": ""},
    ]
    (folder / "conversions.tsv000").unlink()
    for name, size in (("conversions.parquet", 10), ("conversions.parquet", 1)):
        pl.DataFrame(odd).write_parquet(folder / name, row_group_size=size)
        rows = rows_of(folder, "conversions")
        assert [row["is_duplicate_of_previous"] for row in rows] == [False, True, False, False, False, False]
        assert [row["keyword"] for row in rows[2:]] == [
            "a b c",
            f"who is {pseudonym(visitor(3), b'key')}",
            "a\0b",
            None,
        ]
        assert [one["repair"] for one in rows[2]["repairs"]] == ["quoted_newline", "quoted_tab"]  # type: ignore[attr-defined]
        assert [row["has_stray_visitor_id"] for row in rows] == [False, False, False, True, False, False]
        assert [row["has_nul"] for row in rows] == [False, False, False, False, True, False]
        assert {row["visitor_id"] for row in rows} == {pseudonym(good["anonymous_user_id"], b"key")}
    assert len(find_source(str(folder), unit_bytes=1).units("conversions")) == 6
    (folder / "conversions.parquet").write_bytes(b"PAR1 this is none")
    with raises(BadInput, "unreadable_file"):
        find_source(str(folder))


def test_a_link_that_leads_nowhere_is_refused_by_name(folder: Path) -> None:
    link = folder / "conversions.tsv001"
    link.symlink_to(folder / "nowhere")
    with raises(BadInput, "unreadable_file", path=str(link)):
        find_source(str(folder))


def test_names_of_parts_may_be_spelled_in_any_case(folder: Path) -> None:
    (folder / "keywords.tsv000").rename(folder / "Keywords.TSV000")
    rows = rows_of(folder, "keywords")
    assert len(rows) == 30
    assert {row["source_file"] for row in rows} == {"Keywords.TSV000"}


@pytest.mark.parametrize(
    "name",
    [
        *("conversions-000.tsv", "conversions_2.csv", "photos.orc", "conversions.tsv000.bak", "keywords.tsv (1)"),
        *("conversions.tsv001.bz2", "Photos.xlsx", "colors", "keywords.tsv000~"),
    ],
)
def test_a_file_that_looks_like_a_part_and_is_not_read_is_refused(folder: Path, name: str) -> None:
    (folder / "colors.tsv000").unlink()
    (folder / name).write_text("photo_id\n")
    with raises(BadInput, "unread_file", path=str(folder / name)):
        find_source(str(folder))


def test_what_may_lie_beside_the_parts_is_let_pass(folder: Path) -> None:
    names = (
        "photos-1.jpg",
        "photos.md",
        "keywords.tsv000.sha256",
        "photos.toml",
        "photographers.csv",
        "colorsense.tsv",
    )
    for name in (*names, ".conversions.tsv001.swp", "conversions.tsv000.MD5"):
        (folder / name).write_text("x")
    (folder / "photos").mkdir()
    (folder / "photos.old").mkdir()
    assert set(find_source(str(folder)).digests) == {f"{table}/{table}.tsv000" for table in LAYOUT}


@pytest.mark.parametrize("name", ["Keywords.tsv000", "keywords.tsv000.gz"])
def test_one_part_in_two_files_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"photo_id\tkeyword\n")
    with raises(BadInput, "repeated_part", table="keywords") as caught:
        find_source(str(folder))
    assert set(caught.value.named["files"]) == {name, "keywords.tsv000"}


def test_a_file_of_another_encoding_is_read_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "text"
    text = "Schöne Grüße\n日本語" * 100_000
    for encoding in ("utf-16", "utf-8-sig", "utf-32-le"):
        path.write_bytes(text.encode(encoding))
        with text_files.open_text(str(path), encoding) as file:
            assert file.read().decode() == text
    path.write_bytes(b"a\x81b\n")  # no character of cp1252
    with text_files.open_text(str(path), "cp1252") as file:
        assert file.readline().decode() == "a\ufffdb\n"


@given(st.text(max_size=128))
def test_a_picture_file_stays_in_its_folder_and_is_of_one_photo(photo_id: str) -> None:
    stem = photo_files.file_stem(photo_id)
    assert len(stem.encode()) <= photo_files.MAX_STEM_BYTES
    assert not set(stem) & set("/\\\0")
    assert stem == "" or not stem.startswith(".")
    if len(stem) < 3 * len(photo_id) and "%" in stem:
        assert unquote(stem) == photo_id


def test_no_folder(tmp_path: Path) -> None:
    with raises(MissingInput, "no_such_folder", folder=str(tmp_path / "nowhere")):
        find_source(str(tmp_path / "nowhere"))


def test_two_forms_or_two_copies_of_one_table_are_refused(folder: Path) -> None:
    photos = (folder / "photos.tsv000").read_bytes()
    (folder / "photos.tsv001").write_bytes(photos)
    with raises(BadInput, "repeated_file", first="photos.tsv000") as caught:
        find_source(str(folder))
    assert caught.value.named["path"].endswith("photos.tsv001")
    (folder / "photos.tsv001").rename(folder / "photos.csv")
    with raises(BadInput, "table_in_two_forms", table="photos", files=["photos.csv", "photos.tsv000"]):
        find_source(str(folder))


def test_a_header_must_name_the_columns_once(folder: Path) -> None:
    path = folder / "keywords.tsv000"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"photo_id\t", b"id\t", 1))
    with raises(BadInput, "missing_columns", path=str(path), columns=["photo_id"]):
        find_source(str(folder))
    path.write_bytes(data.replace(b"ai_service_1_confidence", b"keyword", 1))
    with raises(BadInput, "repeated_column", path=str(path), column="keyword"):
        find_source(str(folder))
    path.write_bytes("photo_id\tkeyword\n".encode("utf-16"))
    with raises(BadInput, "missing_columns", path=str(path), columns=["photo_id", "keyword"]):
        find_source(str(folder))


def test_every_layout_names_known_columns() -> None:
    for table, layout in LAYOUT.items():
        assert {column.name for column in layout.columns} <= set(COLUMNS[table])


# -- rows ------------------------------------------------------------------------------------------------


def test_a_visitor_id_becomes_a_pseudonym_wherever_it_stands(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=1)
    stray = visitor(77)
    files.add("conversions", keyword=f"who is {stray}")
    files.add_raw("conversions", b"2025-12-01 10:00:00\tdownload\t" + stray.encode())
    files.add("conversions", keyword=f"{stray[:5]}\u200b{stray[5:]}")
    rows = rows_of(files.write(tmp_path), "conversions")
    assert [row["has_stray_visitor_id"] for row in rows] == [False, True, False, True]
    assert rows[0]["visitor_id"] == pseudonym(visitor(0), b"key")
    assert rows[1]["query"] == f"who is {pseudonym(stray, b'key')}"
    assert (rows[2]["faults"], rows[2]["record"]) == (["too_few_columns"], None)
    assert not any(one in str(rows) for one in (stray, visitor(0), visitor(1)))


def test_an_id_of_a_photo_may_look_like_a_visitors(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=30)
    mine, stray = visitor(700), visitor(701)
    files.add("conversions", photo_id=mine)
    files.add("conversions", photo_id=stray, anonymous_user_id="JP")
    *_, other, _ = rows_of(files.write(tmp_path), "conversions")
    assert (other["photo_id"], other["has_stray_visitor_id"]) == (pseudonym(mine, b"key"), True)
    for number in range(30):
        files.add("photos", photo_id=visitor(700 + number))
    *_, kept, shifted = rows_of(files.write(tmp_path), "conversions")
    assert (kept["photo_id"], kept["has_stray_visitor_id"]) == (mine, False)
    assert (shifted["photo_id"], shifted["has_stray_visitor_id"]) == (pseudonym(stray, b"key"), True)


def test_of_a_forgotten_visitor_a_row_says_only_where_it_stands(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=2)
    files.add("conversions", keyword=f"who is {visitor(0)}")
    folder = files.write(tmp_path)
    gone = frozenset({pseudonym(visitor(0), b"key")})
    units = find_source(str(folder)).units("conversions")
    rows = [row for unit in units for row in rows_of_unit(unit, gone)]
    assert [row["faults"] for row in rows] == [["forgotten"], [], ["forgotten"]]
    assert [row["source_line"] for row in rows] == [2, 3, 4]
    assert rows[1]["visitor_id"] == pseudonym(visitor(1), b"key")
    for row in (rows[0], rows[2]):
        assert {name for name, value in row.items() if isinstance(value, str)} == {"source_file"}


def test_a_repeated_record_is_seen_across_a_cut(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=3)
    files.add_raw("conversions", files.lines["conversions"][-1][:-1])
    folder = files.write(tmp_path)
    for unit_bytes in (1, 1 << 20):
        units = find_source(str(folder), unit_bytes=unit_bytes).units("conversions")
        rows = [row for unit in units for row in rows_of_unit(unit)]
        assert [row["is_duplicate_of_previous"] for row in rows] == [False, False, False, True]


def test_text_is_normalised_and_what_is_not_text_is_told(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=1)
    files.add("conversions", keyword="\u3000")
    for broken in (b"a\x00b", b"fa\xe7ade"):
        row = "\t".join(files.row("conversions", keyword="WORD")).encode()
        files.add_raw("conversions", row.replace(b"WORD", broken))
    rows = rows_of(files.write(tmp_path), "conversions")
    assert [row["query"] for row in rows] == ["grün haus", "", "ab", "fa\ufffdade"]
    assert [row["has_nul"] for row in rows] == [False, False, True, False]
    assert [row["is_utf8"] for row in rows] == [True, True, True, False]


# -- the end of the log ------------------------------------------------------------------------------------

DAY = date(2025, 12, 1)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0: 100, 1: 90, 2: 110}, 2),
        ({0: 100, 1: 90, 2: 9}, 1),  # the log was cut in the first hours of a day
        ({0: 100, 1: 90, 2: 10}, 2),
        ({0: 2900, -200: 1, -190: 1, 4000: 1, 4001: 1, 9000: 1}, 0),  # one day's drop with stray times
        ({0: 5, 1: 5, 2: 4, 3000: 1}, 2),  # stray rows weigh much in a small log, but lie far off
        ({0: 100, 20: 100, 45: 100, 76: 100, 108: 100}, 76),  # up to 30 days without a row are a gap in the log
        ({0: 60, 1: 60, 2: 60, 3000: 70}, 2),  # a clock years ahead on a busy day
        ({0: 1}, 0),
    ],
)
def test_the_last_plausible_day(counts: dict[int, int], expected: int) -> None:
    days = {DAY + timedelta(days=offset): count for offset, count in counts.items()}
    assert last_plausible_day(days) == DAY + timedelta(days=expected)


def test_the_last_complete_day_is_read_from_the_conversions(folder: Path, tmp_path: Path) -> None:
    assert last_complete_day(str(folder)) == DAY
    files = LayoutFiles(days=0)
    for second in range(30):
        files.add("conversions", converted_at=f"2026-02-28 10:00:{second:02}")
    files.add("conversions", converted_at="2034-05-11 08:00:00")
    files.add("conversions", converted_at="yesterday")
    drop = files.write(tmp_path / "drop")
    assert last_complete_day(str(folder), str(drop)) == date(2026, 2, 28)


@pytest.mark.parametrize(
    "form", ["20260228T10:00:{:02}Z", "17722728{:02}", "1772272800{:03}", '"2026-02-28 10:00:{:02}"']
)
def test_the_last_complete_day_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    files = LayoutFiles(days=0)
    for second in range(30):
        files.add("conversions", converted_at=form.format(second))
    assert last_complete_day(str(files.write(tmp_path))) == date(2026, 2, 28)


def test_a_log_without_a_date_is_refused(tmp_path: Path) -> None:
    files = LayoutFiles(days=0)
    files.add("conversions", converted_at="soon")
    with raises(BadInput, "no_readable_date", folder=str(tmp_path)):
        last_complete_day(str(files.write(tmp_path)))
