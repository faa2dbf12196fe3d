"""The part files of a data set: where they lie, what their headers name, and how they are cut for work.

A table is one or more part files: photos.tsv000, photos.tsv001 ..., photos.tsv, or the same with csv, in any case, and
compressed or not (.gz, .zst), or photos.parquet. The header of each part names its columns and shows the delimiter; the
extension is not trusted (one release holds tabs in files called csv). A log may also be a folder of such files, called
as they like, as exporters write them day by day: conversions/2026-03-01.csv.gz. Nothing here looks at a row; that is
`jobs.ingest.records`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from uuid import UUID

import fsspec
import polars as pl

from jobs.errors import BadInput, LostWork, MissingInput
from jobs.ingest import parquet_files
from jobs.ingest.dataset_file import NAME, DatasetFile, read_dataset_file
from jobs.ingest.layout import LAYOUT, PHOTO_ID, VERSION_MARKS, Column, TableLayout
from jobs.ingest.photo_files import EXTENSIONS
from jobs.ingest.records import LEARNED_RECORDS, Form, Shapes, learn_shapes
from jobs.ingest.text_files import (
    COMPRESSIONS,
    compression,
    line_count,
    open_text,
    read_head,
    refuse_repeated,
    skip,
    stretches,
)

UNIT_BYTES = 16 << 20
COMPRESSED_UNITS = 4  # a compressed file cannot be entered in the middle: fewer units, as each reads from the start
_BESIDE = ("md5", "sha1", "sha256", "crc", "asc", "sig", "md", "toml", *EXTENSIONS)
"""Endings of files that may lie beside the tables under a table's name: checksums, notes, pictures."""


@dataclass(frozen=True)
class PartFile:
    """One part of a table, known by its header. `name` is the file's name below the data set's folder."""

    table: str
    uri: str
    name: str
    header: tuple[str, ...]
    header_bytes: int
    form: Form
    has_long_ids: bool = False  # ids in the table of photos may look like visitors' ids

    @property
    def is_parquet(self) -> bool:
        """Whether it is no text but Parquet."""
        return parquet_files.is_parquet(self.name)

    def position(self, column: Column) -> int | None:
        """Return the index of a column in this part, or None if the part has no such column."""
        return next((self.header.index(name) for name in column.names if name in self.header), None)


@dataclass(frozen=True)
class Unit:
    """A stretch of whole records of one part file: what one task reads.

    `previous` is the line before the stretch, whole or empty, so that a repeated record is seen across the cut. Of a
    Parquet file `offset` is a row group, `byte_count` says how many, and a row's line is its number, from 2.
    """

    part: PartFile
    number: int
    offset: int
    byte_count: int
    first_line: int
    previous: bytes
    sha256: str

    def read(self) -> bytes:
        """Return the unit's bytes, decompressed; `LostWork` if they are no longer what was surveyed."""
        with open_text(self.part.uri) as file:
            skip(file, self.offset)
            data = file.read(self.byte_count)
        self._check(hashlib.sha256(data).hexdigest())
        return data

    def read_texts(self) -> pl.DataFrame:
        """Return the texts of a unit of Parquet in columns "0", "1" ...; `LostWork` as `read`."""
        self._check(_group_digest(file_digest(self.part.uri), self.offset, self.byte_count))
        return self._texts(self.offset, self.byte_count)

    def read_text_before(self) -> pl.DataFrame:
        """Return the row before a unit of Parquet, none if it is the file's first, in the same columns."""
        return self._texts(max(self.offset - 1, 0), 1 if self.offset else 0).tail(1)

    def _texts(self, first: int, count: int) -> pl.DataFrame:
        texts = parquet_files.read_texts(self.part.uri, first, count)
        return texts.rename({name: str(place) for place, name in enumerate(texts.columns)})

    def _check(self, sha256: str) -> None:
        if sha256 != self.sha256:
            raise LostWork(
                "source_changed",
                f"{self.part.uri} changed while it was read. Run the same command again when nobody writes to it.",
                path=self.part.uri,
            )


@dataclass(frozen=True)
class Survey:
    """A part file read once from end to end: digest, lines after the header, and the cuts."""

    part: PartFile
    sha256: str
    line_count: int
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Source:
    """A data set as it was found: the surveyed parts of every table, in order, and what `dataset.toml` says."""

    surveys: dict[str, tuple[Survey, ...]] = field(default_factory=dict)
    names: DatasetFile = field(default_factory=DatasetFile)

    def parts(self, table: str) -> list[PartFile]:
        """Return the part files of a table, none if it is absent."""
        return [survey.part for survey in self.surveys[table]]

    def units(self, table: str) -> list[Unit]:
        """Return the units of a table, in the order of their rows."""
        return [unit for survey in self.surveys[table] for unit in survey.units]

    def line_count(self, table: str) -> int:
        """Lines of a table, headers left out."""
        return sum(survey.line_count for survey in self.surveys[table])

    @property
    def row_count(self) -> int:
        """Lines of all tables, headers left out."""
        return sum(self.line_count(table) for table in self.surveys)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the text of every part file, decompressed, by table and name, and of what `dataset.toml` says."""
        parts = {f"{s.part.table}/{s.part.name}": s.sha256 for table in self.surveys.values() for s in table}
        said = self.names.model_dump_json(exclude_defaults=True)
        return parts if said == "{}" else parts | {NAME: hashlib.sha256(said.encode()).hexdigest()}

    @property
    def version(self) -> str:
        """The data set's version by its columns, such as '1.4'; 'mixed' and what speaks for it if they disagree.

        A table that is absent says nothing.
        """
        found, later = "1.0", []
        is_complete = True
        for version, marks in VERSION_MARKS.items():
            present = [
                all(name in part.header for name in names)
                for table, names in marks.items()
                for part in self.parts(table)
            ]
            if any(present) and not (is_complete and all(present)):
                later.append(version)
            is_complete = is_complete and all(present)
            found = version if is_complete and present else found
        return f"mixed: {found} with columns of {', '.join(later)}" if later else found

    def missing_columns(self, table: str) -> list[str]:
        """Columns that at least one part of a table lacks; their values are null."""
        parts = self.parts(table)
        return [c.name for c in LAYOUT[table].columns if any(part.position(c) is None for part in parts)]


def find_source(
    folder: str,
    conversions_folder: str | None = None,
    unit_bytes: int = UNIT_BYTES,
    tables: Collection[str] = tuple(LAYOUT),
) -> Source:
    """Find and survey every part file below `folder` (a path or URL); conversions may lie in a folder of their own.

    Of the other `tables` than those wanted nothing is surveyed.

    Raises `MissingInput` if the folder, a required table or its rows are not there, `BadInput` if a file cannot be
    what its name says: required columns missing, a column named twice, two forms or two copies of one table.
    """
    surveys: dict[str, tuple[Survey, ...]] = {}
    has_long_ids = any(_has_long_ids(part) for part in find_parts(folder, LAYOUT["photos"]))
    for table in (LAYOUT[name] for name in tables):
        where = conversions_folder if table.name == "conversions" and conversions_folder else folder
        parts = find_parts(where, table)
        if table.visitor and has_long_ids:
            parts = [replace(part, has_long_ids=True) for part in parts]
        surveys[table.name] = tuple(_survey_all(parts, unit_bytes))
        if table.is_required and not any(survey.line_count for survey in surveys[table.name]):
            raise MissingInput(
                "empty_table",
                f"{table.name} in {where} has a header but no row: put the table's rows there",
                folder=where,
                table=table.name,
            )
        _refuse_copies(surveys[table.name])
    return Source(surveys, read_dataset_file(folder))


def _has_long_ids(part: PartFile) -> bool:
    """Tell whether ids of photos may be UUIDs or long hexadecimal numbers, as ids of visitors are."""
    place = part.position(PHOTO_ID)
    shape = next((shape for index, shape in part.form.shapes or () if index == place), None)
    return shape is None or any(shape.fullmatch(one) for one in (b"0" * 24, b"0" * 32, str(UUID(int=0)).encode()))


def find_parts(folder: str, table: TableLayout) -> list[PartFile]:
    """Return the part files of a table in order of their names, each with its header checked.

    Raises `BadInput` for a file that looks like one and would not be read, and for a part that is there twice.
    """
    fs, path = fsspec.url_to_fs(folder)
    if not fs.isdir(path):
        raise MissingInput(
            "no_such_folder",
            f"no folder {folder}: name a folder with photos.tsv000, conversions.tsv000 and so on",
            folder=folder,
        )
    fs.invalidate_cache()
    root = path.rstrip("/")
    begin = re.compile(rf"{table.name}(?![A-Za-z])", re.IGNORECASE)
    found = [name for one in fs.ls(path, detail=False) if begin.match(name := one.rsplit("/", 1)[-1])]
    names = _part_names(folder, table, [name for name in found if not fs.isdir(f"{root}/{name}")])
    forms = {_form_of(name): name for name in names}
    if table.visitor is not None and table.name in found and fs.isdir(f"{root}/{table.name}"):
        of_days = _names_of_days(folder, table, [one[len(root) + 1 :] for one in fs.find(f"{root}/{table.name}")])
        names += of_days
        forms |= {"folder": f"{table.name}/"} if of_days else {}
    if len(forms) > 1:
        raise BadInput(
            "table_in_two_forms",
            f"{folder} holds {table.name} twice, as {' and as '.join(sorted(forms.values()))}: "
            f"keep the parts of one form and move the others away",
            folder=folder,
            table=table.name,
            files=sorted(forms.values()),
        )
    if not names and table.is_required:
        raise MissingInput(
            "no_such_table",
            f"no {table.name}.tsv000 (or {table.name}.tsv, {table.name}.csv ...) in {folder}",
            folder=folder,
            table=table.name,
        )
    return [_read_header(fs.unstrip_protocol(f"{root}/{name}"), name, table) for name in names]


def _form_of(name: str) -> str:
    """Return the form of a part by its name.

    >>> _form_of("photos.tsv000.gz"), _form_of("Photos.CSV"), _form_of("photos.parquet")
    ('tsv', 'csv', 'par')
    """
    return name.split(".")[1][:3].lower()


def _part_names(folder: str, table: TableLayout, names: list[str]) -> list[str]:
    """Return the parts of a table in order, of files that begin with its name; `BadInput` if one is not read."""
    pattern = re.compile(rf"({table.name}\.(?:(?:tsv|csv)\d*(?=$|\.))){_PACKED}|({table.name}\.parquet)", re.IGNORECASE)
    return _readable(folder, table, names, pattern, f"{table.name}.tsv000, {table.name}.csv or {table.name}.tsv000.gz")


def _names_of_days(folder: str, table: TableLayout, names: list[str]) -> list[str]:
    """Return the parts of a log that is a folder, in order; `BadInput` if it holds a file that is not read.

    What exporters leave beside them begins with a point or an underscore.
    """
    seen = [name for name in names if not any(one.startswith((".", "_")) for one in name.split("/"))]
    pattern = re.compile(rf"(.+\.(?:(?:tsv|csv)\d*)){_PACKED}|(.+\.parquet)", re.IGNORECASE)
    return _readable(folder, table, seen, pattern, "as you like, ending in .tsv, .csv, .csv.gz, .csv.zst or .parquet")


_PACKED = rf"(?:\.(?:{'|'.join(COMPRESSIONS)}))?"


def _readable(folder: str, table: TableLayout, names: list[str], pattern: re.Pattern[str], called: str) -> list[str]:
    parts: dict[str, str] = {}
    for name in sorted(names, key=str.lower):
        found = pattern.fullmatch(name)
        if found is None:
            if name.rpartition(".")[2].lower() not in _BESIDE:
                raise BadInput(
                    "unread_file",
                    f"{folder}/{name} looks like a part of {table.name} and is not read. Parts are called "
                    f"{called}: rename it, or move it away.",
                    path=f"{folder}/{name}",
                    table=table.name,
                )
            continue
        part = (found[1] or found[2]).lower()
        twin = parts.setdefault(part, name)
        if twin != name:
            raise BadInput(
                "repeated_part",
                f"{folder} holds the part {part} twice, as {twin} and as {name}: move one of them away",
                folder=folder,
                table=table.name,
                files=[twin, name],
            )
    return list(parts.values())


def _read_header(uri: str, name: str, table: TableLayout) -> PartFile:
    fs, path = fsspec.url_to_fs(uri)
    if not fs.exists(path):
        raise BadInput(
            "unreadable_file",
            f"{path} is a link that leads nowhere, or was removed just now: mend it, or move it away",
            path=path,
        )
    if parquet_files.is_parquet(name):
        names = parquet_files.read_names(uri)
        refuse_repeated(names, path)
        part = PartFile(table.name, uri, name, names, 0, Form(b"\t", len(names), _shapes_of_ids(uri, names, table)))
    else:
        with open_text(uri) as file:
            head = read_head(file, path, lambda line: b"\t" if b"\t" in line else b",", str.lower)
        part = PartFile(table.name, uri, name, head.names, head.byte_count, head.form)
    missing = [column.name for column in table.columns if column.is_required and part.position(column) is None]
    if missing:
        where = "It must have them" if part.is_parquet else _HEADER
        raise BadInput(
            "missing_columns",
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. {where}; found were: "
            f"{', '.join(part.header)[:300]}",
            path=path,
            columns=missing,
        )
    return part


def _shapes_of_ids(uri: str, names: tuple[str, ...], table: TableLayout) -> Shapes:
    """Return the shapes of the ids of visitors and photos in a Parquet file, by which they are told apart."""
    wanted = {name for column in table.columns if column.pseudonym or column.is_photo for name in column.names}
    texts = parquet_files.read_first_texts(uri, LEARNED_RECORDS, wanted)
    return learn_shapes(
        (names.index(one.name), tuple((text or "").encode() for text in one.to_list())) for one in texts
    )


_HEADER = "Its first line must name the columns in UTF-8, separated by tabs or commas"


def _survey_all(parts: list[PartFile], unit_bytes: int) -> Iterator[Survey]:
    number = 0
    for part in parts:
        yield (surveyed := survey(part, number, unit_bytes))
        number += len(surveyed.units)


def survey(part: PartFile, first_number: int = 0, unit_bytes: int = UNIT_BYTES) -> Survey:
    """Read a part file once: digest, line count, and units of about `unit_bytes`, larger ones if it is compressed.

    A file of any size is read by as many tasks as it has units; only this pass, which runs as fast as the disk and
    SHA-256, is sequential.
    """
    if part.is_parquet:
        return _survey_parquet(part, first_number, unit_bytes)
    _, path = fsspec.url_to_fs(part.uri)
    size = unit_bytes * (COMPRESSED_UNITS if compression(part.name) else 1)
    digest, previous = hashlib.sha256(), b""
    units: list[Unit] = []
    line, offset = 2, part.header_bytes
    with open_text(part.uri) as file:
        digest.update(file.read(part.header_bytes))
        for stretch in stretches(file, part.form, size, path):
            digest.update(stretch)
            sha256 = hashlib.sha256(stretch).hexdigest()
            units.append(Unit(part, first_number + len(units), offset, len(stretch), line, previous, sha256))
            offset += len(stretch)
            line += line_count(stretch)
            previous = stretch[stretch.rfind(b"\n", 0, -1) + 1 :].removesuffix(b"\n")
    return Survey(part, digest.hexdigest(), line - 2, tuple(units))


def _survey_parquet(part: PartFile, first_number: int, unit_bytes: int) -> Survey:
    sha256 = file_digest(part.uri)
    found = parquet_files.groups(part.uri, unit_bytes)
    units = tuple(
        Unit(
            part,
            first_number + number,
            group.first,
            group.count,
            2 + group.first_row,
            b"",
            _group_digest(sha256, group.first, group.count),
        )
        for number, group in enumerate(found)
    )
    return Survey(part, sha256, sum(group.row_count for group in found), units)


def file_digest(uri: str) -> str:
    """Return the SHA-256 of a file's bytes."""
    with fsspec.open(uri, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _group_digest(sha256: str, first: int, count: int) -> str:
    return hashlib.sha256(f"{sha256} {first} {count}".encode()).hexdigest()


def _refuse_copies(surveys: tuple[Survey, ...]) -> None:
    by_digest: dict[str, Survey] = {}
    for surveyed in surveys:
        twin = by_digest.setdefault(surveyed.sha256, surveyed)
        if twin is not surveyed and surveyed.line_count:
            raise BadInput(
                "repeated_file",
                f"{surveyed.part.uri} is a copy of {twin.part.name}: remove one of the two",
                path=surveyed.part.uri,
                first=twin.part.name,
            )
