"""The Unsplash layout: which tables and columns there are, where the part files lie, how they are cut for work.

A table is one or more part files: photos.tsv000, photos.tsv001 ..., photos.tsv, or the same with csv. The header
of each part names its columns and shows the delimiter; the extension is not trusted (one release holds tabs in
files called csv). Nothing here looks at a row; that is `jobs.ingest.records`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import fsspec

from jobs.errors import BadInput, MissingInput
from jobs.ingest.dataset_file import NAME, DatasetFile, read_dataset_file
from jobs.ingest.records import is_whole

UNIT_BYTES = 8 << 20
_MAX_UNIT_BYTES = 1 << 30


@dataclass(frozen=True)
class Column:
    """A column that is read: the name used here, other names it had, and what the reader makes of it."""

    name: str
    aliases: tuple[str, ...] = ()
    is_required: bool = False
    normal_form: str | None = None  # a further column with the text's normal form
    pseudonym: str | None = None  # the column that takes its place, holding a keyed pseudonym
    is_key: bool = False  # only tells rows apart: a keyed digest takes the value's place, as it may be a visitor's id
    is_time: bool = False  # a further column <name>_read holds the time that the text names, in UTC
    shape: str | None = None  # what a value looks like, to tell where columns are shifted

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the column may stand in a header."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class TableLayout:
    """One table of the layout. A table that is not required may be absent; its rows are then none."""

    name: str
    columns: tuple[Column, ...]
    is_required: bool = False

    @property
    def visitor(self) -> Column | None:
        """The column with visitor ids, if the table has one."""
        return next((column for column in self.columns if column.pseudonym), None)


PHOTO_ID_PATTERN = r"\A(?!\s)[^\p{C}\p{Zl}\p{Zp}]{1,128}(?<!\s)\z"
"""Java's pattern of a photo's id: a site's own text, of printable characters, without white space around it."""
_PHOTO_ID = Column("photo_id", is_required=True, shape=r"[A-Za-z0-9_-]{11}")
_TIME_SHAPE = r"\d{4}-\d\d-\d\d[ T].*"


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


LAYOUT: dict[str, TableLayout] = {
    table.name: table
    for table in (
        TableLayout(
            "photos",
            (
                _PHOTO_ID,
                Column("photo_image_url", is_required=True),
                Column("photo_submitted_at", is_required=True, is_time=True, shape=_TIME_SHAPE),
                *_columns(
                    "photo_featured",
                    "photo_width",
                    "photo_height",
                    "photo_description",
                    "photographer_username",
                    "photographer_first_name",
                    "photographer_last_name",
                    "photo_location_country",
                    "stats_views",
                    "stats_downloads",
                    "ai_description",
                    "blur_hash",
                ),
            ),
            is_required=True,
        ),
        TableLayout(
            "keywords",
            (
                _PHOTO_ID,
                Column("keyword", is_required=True, normal_form="normal_keyword"),
                *_columns("ai_service_1_confidence", "ai_service_2_confidence", "suggested_by_user"),
            ),
        ),
        TableLayout(
            "conversions",
            (
                Column("converted_at", is_required=True, is_time=True, shape=_TIME_SHAPE),
                Column("conversion_type", is_required=True),
                Column("keyword", is_required=True, normal_form="query"),
                _PHOTO_ID,
                Column("anonymous_user_id", is_required=True, pseudonym="visitor_id"),
                Column("conversion_country", is_required=True, shape="[A-Za-z]{2}"),
                *_columns("device_type", "search_orientation_filter", "search_ordering"),
                # no release of the data set has it, a log of one's own may
                Column("position", aliases=("search_position", "result_position")),
            ),
            is_required=True,
        ),
        TableLayout(
            "collections",
            (
                _PHOTO_ID,
                Column("collection_id", is_required=True),
                Column("collection_title"),
                Column("photo_collected_at", is_time=True, shape=_TIME_SHAPE),
                Column("collection_type"),
            ),
        ),
        TableLayout(
            "colors",
            (
                _PHOTO_ID,
                Column("hex", is_required=True, shape="[0-9A-Fa-f]{6}"),
                *_columns("red", "green", "blue", "keyword"),
                Column("coverage", aliases=("ai_coverage",)),
                Column("score", aliases=("ai_score",)),
            ),
        ),
        # no release of the data set has it, a site that removes photos may
        TableLayout("hidden", (_PHOTO_ID, *_columns("country", "reason"))),
        # nor this, which a site's own log of what it showed may give: a photo in a list a row
        TableLayout(
            "impressions",
            (
                Column("shown_at", aliases=("timestamp",), is_required=True, is_time=True, shape=_TIME_SHAPE),
                Column("user_id", aliases=("anonymous_user_id",), is_required=True, pseudonym="visitor_id"),
                Column("query_id", is_key=True),
                Column("query_photo_id"),
                _PHOTO_ID,
                Column("position", is_required=True),
                Column("interaction", aliases=("interaction_type",)),
                Column("country", aliases=("location", "conversion_country")),
                Column("dwell_seconds", aliases=("dwell",)),
                Column("arm"),
                Column("keyword", normal_form="query"),
            ),
        ),
    )
}

# The columns by which a version of the data set differs from the one before it.
VERSION_MARKS: dict[str, dict[str, tuple[str, ...]]] = {
    "1.1": {"photos": ("photo_description", "photo_width", "photo_height", "photo_aspect_ratio")},
    "1.2": {"photos": ("blur_hash",)},
    "1.3": {"keywords": ("user_suggestion_source",), "collections": ("collection_type",)},
    "1.4": {
        "keywords": ("suggested_by_ai_service_3", "confirmed_by_ai_service_3"),
        "conversions": ("device_type", "search_orientation_filter", "search_ordering"),
    },
}


@dataclass(frozen=True)
class PartFile:
    """One part of a table, known by its header. `name` is the file's name without its folder."""

    table: str
    uri: str
    name: str
    delimiter: bytes
    header: tuple[str, ...]
    header_bytes: int
    is_crlf: bool  # the header ends in CR LF, so the whole file is taken to

    def position(self, column: Column) -> int | None:
        """Return the index of a column in this part, or None if the part has no such column."""
        return next((self.header.index(name) for name in column.names if name in self.header), None)


@dataclass(frozen=True)
class Unit:
    """A stretch of whole records of one part file: what one task reads.

    `previous` is the line before the stretch, whole or empty, so that a repeated record is seen across the cut.
    """

    part: PartFile
    number: int
    offset: int
    byte_count: int
    first_line: int
    previous: bytes

    def read(self) -> bytes:
        """Return the unit's bytes."""
        fs, path = fsspec.url_to_fs(self.part.uri)
        with fs.open(path, "rb") as file:
            file.seek(self.offset)
            return bytes(file.read(self.byte_count))


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
    def digests(self) -> dict[str, str]:
        """SHA-256 of every part file by table and name, and of what `dataset.toml` says."""
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


def find_source(folder: str, conversions_folder: str | None = None, unit_bytes: int = UNIT_BYTES) -> Source:
    """Find and survey every part file below `folder` (a path or URL); conversions may lie in a folder of their own.

    Raises `MissingInput` if the folder, a required table or its rows are not there, `BadInput` if a file cannot be
    what its name says: required columns missing, a column named twice, two forms or two copies of one table.
    """
    surveys = {}
    for table in LAYOUT.values():
        where = conversions_folder if table.name == "conversions" and conversions_folder else folder
        surveys[table.name] = tuple(_survey_all(find_parts(where, table), unit_bytes))
        if table.is_required and not any(survey.line_count for survey in surveys[table.name]):
            raise MissingInput(
                "empty_table",
                f"{table.name} in {where} has a header but no row: put the table's rows there",
                folder=where,
                table=table.name,
            )
        _refuse_copies(surveys[table.name])
    return Source(surveys, read_dataset_file(folder))


def find_parts(folder: str, table: TableLayout) -> list[PartFile]:
    """Return the part files of a table in order of their names, each with its header checked."""
    fs, path = fsspec.url_to_fs(folder)
    if not fs.isdir(path):
        raise MissingInput(
            "no_such_folder",
            f"no folder {folder}: name a folder with photos.tsv000, conversions.tsv000 and so on",
            folder=folder,
        )
    fs.invalidate_cache()
    pattern = re.compile(rf"{table.name}\.(tsv|csv)\d*")
    names = sorted(name for found in fs.ls(path, detail=False) if pattern.fullmatch(name := found.rsplit("/", 1)[-1]))
    forms = {name.split(".")[1][:3]: name for name in names}
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
    return [_read_header(fs.unstrip_protocol(f"{path.rstrip('/')}/{name}"), name, table) for name in names]


def _read_header(uri: str, name: str, table: TableLayout) -> PartFile:
    fs, path = fsspec.url_to_fs(uri)
    with fs.open(path, "rb") as file:
        line = file.readline(1 << 20)
    if not line.strip():
        raise MissingInput("empty_file", f"{path} is empty: its first line must name the columns", path=path)
    delimiter = b"\t" if b"\t" in line else b","
    text = line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    header = tuple(cell.strip().strip('"').lower() for cell in text.split(delimiter.decode()))
    part = PartFile(table.name, uri, name, delimiter, header, len(line), line.endswith(b"\r\n"))
    missing = [column.name for column in table.columns if column.is_required and part.position(column) is None]
    if missing:
        raise BadInput(
            "missing_columns",
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. Its first line must name "
            f"the columns in UTF-8, separated by tabs or commas; found were: {', '.join(header)[:300]}",
            path=path,
            columns=missing,
        )
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise BadInput(
            "repeated_column",
            f"{path} names the column {repeated[0]} more than once: rename or remove one of them",
            path=path,
            column=repeated[0],
        )
    return part


def _survey_all(parts: list[PartFile], unit_bytes: int) -> Iterator[Survey]:
    number = 0
    for part in parts:
        yield (surveyed := survey(part, number, unit_bytes))
        number += len(surveyed.units)


def survey(part: PartFile, first_number: int = 0, unit_bytes: int = UNIT_BYTES) -> Survey:
    """Read a part file once: digest, line count, and units of about `unit_bytes`.

    Units end where a record must end, after a line that is a record by itself (`records.is_whole`), so what is
    read does not depend on where the cuts are. A file of any size is thus read by as many tasks as it has units;
    only this pass, which runs as fast as the disk and SHA-256, is sequential.
    """
    fs, path = fsspec.url_to_fs(part.uri)
    digest, previous = hashlib.sha256(), b""
    units: list[Unit] = []
    line = 2
    with fs.open(path, "rb") as file:
        digest.update(file.read(part.header_bytes))
        offset = part.header_bytes
        while block := file.read(unit_bytes):
            last = block[block.rfind(b"\n") + 1 :]
            pieces = [block]
            while more := file.readline():
                pieces.append(more)
                last += more
                if is_whole(last, part.delimiter, len(part.header)):
                    break
                last = b""
                if sum(map(len, pieces)) > _MAX_UNIT_BYTES:
                    raise BadInput(
                        "endless_line",
                        f"{path}: from line {line} on, a gigabyte has no line of {len(part.header)} columns, the "
                        f"number its header names. Check the header and the delimiter.",
                        path=path,
                        line=line,
                    )
            stretch = b"".join(pieces)
            digest.update(stretch)
            units.append(Unit(part, first_number + len(units), offset, len(stretch), line, previous))
            offset += len(stretch)
            line += stretch.count(b"\n") + (not stretch.endswith(b"\n"))
            previous = last.removesuffix(b"\n")
    return Survey(part, digest.hexdigest(), line - 2, tuple(units))


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
