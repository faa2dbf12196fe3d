"""`nightlens convert_catalogue`: other sites' catalogues as one folder in the Unsplash layout, with what was dropped.

Files are read in batches, lazily; what is held of a source is the ids and times of its photos. A source is a part file
of every table. The folder is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from jobs.catalogues import rows
from jobs.catalogues.mapping import Mapping, SourceMapping, _File
from jobs.errors import BadInput, MissingInput

BATCH_ROWS = 50_000
REPORT = "conversion.json"
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
_PHOTO_COLUMNS = ("photo_id", "image_url", "submitted_at", "width", "height", "description", "photographer")
_CONVERSION_COLUMNS = (
    "converted_at",
    "conversion_type",
    "query",
    "photo_id",
    "user_id",
    "country",
    "device_type",
    "position",
)
_IMPRESSION_COLUMNS = (
    "shown_at",
    "user_id",
    "query_id",
    "query_photo_id",
    "photo_id",
    "position",
    "interaction",
    "country",
    "dwell_seconds",
    "arm",
    "query",
)
_HEADERS = {
    "photos": (
        "photo_id",
        "photo_image_url",
        "photo_submitted_at",
        "photo_width",
        "photo_height",
        "photo_description",
        "photographer_username",
    ),
    "keywords": ("photo_id", "keyword", "suggested_by_user"),
    "collections": ("photo_id", "collection_id", "collection_title", "collection_type"),
    "conversions": (
        "converted_at",
        "conversion_type",
        "keyword",
        "photo_id",
        "anonymous_user_id",
        "conversion_country",
        "device_type",
        "position",
    ),
    "impressions": (*_IMPRESSION_COLUMNS[:-1], "keyword"),
    "source_ids": ("photo_id", "source", "source_id"),
}
_OF_PHOTOS = ("photos", "keywords", "collections", "source_ids")


@dataclass
class Tally:
    """What became of the rows of one table of a source; read = used + the sum of `dropped`."""

    read: int = 0
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # by reason: the first time that was dropped for it
    unused_columns: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as the report holds it."""
        counts = {"dropped": dict(sorted(self.dropped.items())), "guessed": dict(sorted(self.guessed.items()))}
        more = {"examples": self.examples, "unused_columns": self.unused_columns}
        return {"read": self.read, "used": self.used, **counts, **more}


def convert(mapping: Mapping, out: Path) -> dict[str, Any]:
    """Write the catalogues into `out`, which must not exist or be empty; return the report, also `conversion.json`.

    Raises `BadInput` or `MissingInput` if a file or column is not as the mapping says, or nothing is left of a source.
    """
    out = out.absolute()
    if out.exists() and any(out.iterdir()):
        raise BadInput(
            "folder_not_empty", f"{out} is not empty: name a new folder, or delete this one first", folder=out
        )
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "photos").mkdir(parents=True)
    try:
        found = {
            source.name: _Source(mapping.folder, source, unfinished, number).convert()
            for number, source in enumerate(mapping.source)
        }
        report = {"sources": {name: {table: t.as_json() for table, t in one.items()} for name, one in found.items()}}
        (unfinished / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a table with what was dropped and guessed below it."""
    head = ("source", "table", "read", "used", "dropped", "guessed")
    lines, notes = [head], []
    for source, tables in report["sources"].items():
        for table, t in tables.items():
            counts = (t["read"], t["used"], sum(t["dropped"].values()), sum(t["guessed"].values()))
            lines.append((source, table, *(f"{count:,}" for count in counts)))
            for what in ("dropped", "guessed"):
                for name, count in t[what].items():
                    example = f", first {t['examples'][name]!r}" if name in t["examples"] else ""
                    notes.append(f"{source} {table}: {what} {name} {count:,}{example}")
            if t["unused_columns"]:
                notes.append(f"{source} {table}: columns not used: {', '.join(t['unused_columns'])}")
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    spelled = [
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([*spelled, "", *notes])


class _Source:
    """One source on its way into part files."""

    def __init__(self, folder: Path, source: SourceMapping, out: Path, number: int) -> None:
        self._folder, self._source, self._out, self._number = folder, source, out, number
        self._submitted: dict[str, str] = {}  # of the photos that are used, by their id there
        self._ids: dict[str, str] = {}  # id here to the id there that made it, of all photos seen

    def convert(self) -> dict[str, Tally]:
        tallies = {"photos": self._photos()}
        if not self._submitted:
            raise BadInput(
                "no_usable_photo",
                f"source {self._source.name!r}: none of {tallies['photos'].read:,} photos can be used: "
                f"{dict(tallies['photos'].dropped)}. Look at the mapping.",
                source=self._source.name,
                dropped=dict(tallies["photos"].dropped),
            )
        if self._source.conversions is not None:
            tallies["conversions"] = self._conversions()
        if self._source.impressions is not None:
            tallies["impressions"] = self._impressions()
        return tallies

    def _photos(self) -> Tally:
        mapping = self._source.photos
        frame, columns = self._open(mapping, "photos")
        made, tally = rows.photo_columns(columns, self._source), Tally()
        with ExitStack() as stack:
            files = {name: stack.enter_context(self._table(name)) for name in _OF_PHOTOS}
            for batch in _batches(frame.select(**made)):
                used = _sift(
                    self._known_pictures(batch).rename({"at": "submitted_at"}), rows.photo_reasons(mapping), tally
                )
                used = self._described(used, tally)
                tally.guessed["submitted_at"] += int(used["is_guessed"].sum())
                self._submitted |= dict(used.select("source_id", "submitted_at").iter_rows())
                self._copy_pictures(used)
                _write(files["photos"], used.select(_PHOTO_COLUMNS))
                _write(files["keywords"], self._keywords(used))
                _write(files["collections"], self._topics(used))
                named = pl.lit(self._source.name).alias("source")
                _write(files["source_ids"], used.select("photo_id", named, "source_id"))
        return _finish(tally, frame, columns)

    def _known_pictures(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Add ids, whether one was there before, and where the picture is."""
        there = batch["source_id"].to_list()
        here = [None if one is None else rows.own_id(self._source.prefix, one) for one in there]
        is_repeated = []
        for mine, theirs in zip(here, there, strict=True):
            is_repeated.append(mine is not None and mine in self._ids)
            if mine is not None and self._ids.setdefault(mine, theirs) != theirs:
                raise BadInput(
                    "colliding_ids",
                    f"ids {theirs!r} and {self._ids[mine]!r} of {self._source.name!r} give one id here: {mine}",
                    source=self._source.name,
                    ids=[theirs, self._ids[mine]],
                )
        files = [None if one is None else self._picture(one) for one in batch["image_file"].to_list()]
        found = batch.with_columns(
            pl.Series("photo_id", here, pl.String),
            pl.Series("is_repeated", is_repeated, pl.Boolean),
            pl.Series("image_file", files, pl.String),
        )
        is_url = pl.col("image_url").str.contains(r"^https?://").fill_null(False)
        return found.with_columns((is_url | pl.col("image_file").is_not_null()).alias("has_image"))

    def _picture(self, name: str) -> str | None:
        """Return where a picture is, if it is: what a site's column names is data and leads nowhere else."""
        path = (self._folder / name).resolve()
        return str(path) if path.is_relative_to(self._folder.resolve()) and path.is_file() else None

    def _described(self, used: pl.DataFrame, tally: Tally) -> pl.DataFrame:
        """Put together the words of every photo; they stand in for descriptions where the mapping says so."""
        single = [pl.concat_list(pl.col(name)).list.drop_nulls() for name in ("brand", "price_band")]
        lists = [pl.col(name).fill_null(pl.lit([], pl.List(pl.String))) for name in ("categories", "keywords")]
        used = used.with_columns(pl.concat_list(*lists, *single).list.unique(maintain_order=True).alias("words"))
        if self._source.photos.missing_description != "words":
            return used
        is_guessed = pl.col("description").is_null() & (pl.col("words").list.len() > 0)
        tally.guessed["description"] += int(used.select(is_guessed.sum()).item())
        words = pl.when(is_guessed).then(pl.col("words").list.join(", ")).otherwise("description")
        return used.with_columns(words.alias("description"))

    def _copy_pictures(self, used: pl.DataFrame) -> None:
        for mine, file in used.select("photo_id", "image_file").drop_nulls().iter_rows():
            suffix = Path(file).suffix.lower()
            if suffix not in _PICTURES:
                raise BadInput(
                    "unknown_file_format",
                    f"{file} is no picture that is read: its name must end in one of {', '.join(_PICTURES)}",
                    path=file,
                )
            shutil.copyfile(file, self._out / "photos" / f"{mine}{suffix}")

    def _keywords(self, used: pl.DataFrame) -> pl.DataFrame:
        words = used.select("photo_id", keyword="words").explode("keyword").drop_nulls()
        # the table tells keywords apart without their case
        return words.unique(
            ["photo_id", pl.col("keyword").str.to_lowercase()], keep="first", maintain_order=True
        ).select("photo_id", "keyword", pl.lit("t").alias("suggested_by_user"))

    def _topics(self, used: pl.DataFrame) -> pl.DataFrame:
        topics = used.select("photo_id", title="categories").explode("title").drop_nulls()
        topics = topics.unique(maintain_order=True)
        identity = pl.format("{}:{}", pl.lit(self._source.prefix), "title").alias("collection_id")
        return topics.select("photo_id", identity, "title", pl.lit("topic").alias("collection_type"))

    def _conversions(self) -> Tally:
        mapping = self._source.conversions
        assert mapping is not None
        frame, columns = self._open(mapping, "conversions")
        made, tally = rows.conversion_columns(columns, mapping, self._source), Tally()
        known = self._known()
        with self._table("conversions") as file:
            for batch in _batches(frame.select(**made)):
                joined = batch.join(known, on="source_id", how="left", maintain_order="left")
                joined = joined.with_columns(pl.col("photo_id").is_not_null().alias("is_known"))
                used = _sift(joined, rows.CONVERSION_REASONS, tally)
                tally.guessed["country"] += int(used["is_country_guessed"].sum())
                tally.guessed["device_type left empty"] += int(used["is_device_dropped"].sum())
                used = used.with_columns(conversion_type=pl.lit("download")).rename({"at": "converted_at"})
                _write(file, used.select(_CONVERSION_COLUMNS))
        return _finish(tally, frame, columns)

    def _impressions(self) -> Tally:
        mapping = self._source.impressions
        assert mapping is not None
        frame, columns = self._open(mapping, "impressions")
        made, tally = rows.impression_columns(columns, mapping, self._source), Tally()
        known = self._known()
        asked = known.select(source_query_id="source_id", query_photo_id="photo_id")
        with self._table("impressions") as file:
            for batch in _batches(frame.select(**made)):
                joined = batch.join(known, on="source_id", how="left", maintain_order="left")
                joined = joined.join(asked, on="source_query_id", how="left", maintain_order="left")
                used = _sift(joined, rows.IMPRESSION_REASONS, tally)
                tally.guessed["country left empty"] += int(used["is_country_dropped"].sum())
                _write(file, used.rename({"at": "shown_at"}).select(_IMPRESSION_COLUMNS))
        return _finish(tally, frame, columns)

    def _known(self) -> pl.DataFrame:
        """Return the photos that are used: their ids there and here, and since when they are there."""
        return pl.DataFrame(
            {"source_id": list(self._submitted), "submitted_at": list(self._submitted.values())},
            schema={"source_id": pl.String, "submitted_at": pl.String},
        ).with_columns(pl.col("source_id").map_batches(rows.own_ids(self._source.prefix), pl.String).alias("photo_id"))

    def _open(self, file: _File, table: str) -> tuple[pl.LazyFrame, rows.Columns]:
        where = f"{file.path} of source {self._source.name!r}"
        paths = sorted(self._folder.glob(file.path))
        if not paths:
            raise MissingInput(
                "no_such_file",
                f"no file {self._folder / file.path}, which the mapping names for the {table} of {self._source.name!r}",
                path=self._folder / file.path,
                source=self._source.name,
            )
        try:
            frame = _scan(paths, file)
            schema = frame.collect_schema()
        except pl.exceptions.PolarsError as error:
            raise BadInput(
                "unreadable_file", f"{where} cannot be read: {error}", path=file.path, source=self._source.name
            ) from error
        return frame, rows.Columns(schema, where)

    def _table(self, table: str) -> BinaryIO:
        name = f"{table}.tsv{self._number:03d}" if table != "source_ids" else f"source_ids.{self._number:03d}"
        file = (self._out / name).open("wb")
        file.write("\t".join(_HEADERS[table]).encode() + b"\n")
        return file


def _scan(paths: list[Path], file: _File) -> pl.LazyFrame:
    kind = paths[0].suffix.lower()
    if kind in (".csv", ".tsv", ".txt"):
        separator = file.separator or ("\t" if kind == ".tsv" else ",")
        return pl.scan_csv(paths, separator=separator, infer_schema=False, encoding=file.encoding)
    if kind in (".jsonl", ".ndjson"):
        return pl.scan_ndjson(paths, infer_schema_length=None)
    if kind == ".json":  # one array: it can only be read whole
        return pl.concat(
            [pl.read_json(path, infer_schema_length=None) for path in paths], how="diagonal_relaxed"
        ).lazy()
    if kind in (".parquet", ".pq"):
        return pl.scan_parquet(paths)
    raise BadInput(
        "unknown_file_format",
        f"{paths[0]}: files are read that end in .csv, .tsv, .json (one array), .jsonl, .ndjson or .parquet",
        path=paths[0],
    )


def _batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    try:
        for batch in frame.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            yield batch.unnest("time")
    except pl.exceptions.PolarsError as error:
        raise BadInput("unreadable_rows", f"a file does not hold what its first rows promised: {error}") from error


def _sift(batch: pl.DataFrame, reasons: list[tuple[str, pl.Expr]], tally: Tally) -> pl.DataFrame:
    """Return the rows that are used; count the others by the first reason that holds."""
    first = pl.coalesce(*(pl.when(holds.fill_null(False)).then(pl.lit(name)) for name, holds in reasons))
    marked = batch.with_columns(first.alias("dropped"))
    used = marked.filter(pl.col("dropped").is_null())
    tally.read, tally.used = tally.read + len(batch), tally.used + len(used)
    tally.dropped += Counter(marked["dropped"].drop_nulls().to_list())
    unread = marked.filter(pl.col("dropped").is_in(rows.TIME_FAULTS) & pl.col("given").is_not_null())
    for fault, given in unread.select("dropped", "given").unique("dropped", keep="first", maintain_order=True).rows():
        tally.examples.setdefault(fault, given)
    return used


def _finish(tally: Tally, frame: pl.LazyFrame, columns: rows.Columns) -> Tally:
    tally.guessed = +tally.guessed  # without what never happened
    tally.unused_columns = [name for name in frame.collect_schema() if name not in columns.used]
    return tally


def _write(file: BinaryIO, frame: pl.DataFrame) -> None:
    frame.write_csv(file, include_header=False, separator="\t", quote_style="necessary")
