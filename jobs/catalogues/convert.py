"""`nightlens convert_catalogue`: other sites' catalogues as one folder in the Unsplash layout, with what was dropped.

Files are read in batches; what is held of a source is the ids and times of its photos. A source is a part file of every
table. The folder is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from jobs.catalogues import rows
from jobs.catalogues.files import SiteTable
from jobs.catalogues.mapping import DataFile, Mapping, SourceMapping
from jobs.catalogues.tally import DROPPED_COLUMNS, Tally, as_notes
from jobs.errors import BadInput
from jobs.ingest.photo_files import EXTENSIONS, file_stem
from models.text import normalise_query

REPORT, DROPPED, SETTINGS = "conversion.json", "dropped.tsv", "dataset.toml"
MAX_NAMED = 100
_COMPARED_IDS = 2_000
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
}
_OF_PHOTOS = ("photos", "keywords", "collections")


@dataclass
class _Corpus:
    """What the sources have in common: where they are written, which ids they share, which values they log."""

    folder: Path
    dropped_file: BinaryIO
    has_several: bool
    shared_ids: frozenset[str]
    taken_ids: dict[str, str] = field(default_factory=dict)  # id here to the source it is of
    types: Counter[str] = field(default_factory=Counter)
    devices: Counter[str] = field(default_factory=Counter)


def convert(mapping: Mapping, out: Path) -> dict[str, Any]:
    """Write the catalogues into `out`, which must not exist or be empty; return the report, also `conversion.json`.

    Raises `BadInput` or `MissingInput` if a file or column is not as the mapping says, or nothing is left of a table.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(
            "folder_not_empty", f"{out} is not empty: name a new folder, or delete this one first", folder=out
        )
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "photos").mkdir(parents=True)
    try:
        with (unfinished / DROPPED).open("wb") as dropped_file:
            dropped_file.write("\t".join(DROPPED_COLUMNS).encode() + b"\n")
            corpus = _Corpus(unfinished, dropped_file, len(mapping.source) > 1, _shared_ids(mapping))
            tallies = [
                tally
                for number, source in enumerate(mapping.source)
                for tally in _Source(mapping.folder, source, corpus, number).convert()
            ]
        report: dict[str, Any] = {"sources": {}}
        for tally in tallies:
            report["sources"].setdefault(tally.source, {})[tally.table] = tally.as_json()
        (unfinished / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (unfinished / SETTINGS).write_text(_settings(corpus), encoding="utf-8")
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _shared_ids(mapping: Mapping) -> frozenset[str]:
    """Return the ids of photos that more than one source has."""
    if len(mapping.source) == 1:
        return frozenset()
    counts: Counter[str] = Counter()
    for source in mapping.source:
        table = SiteTable(mapping.folder, source.photos, "photos", source.name)
        made = {"photo_id": table.columns.identity(source.photos.photo_id)}
        ids: set[str] = set()
        for batch in table.batches(made):
            ids.update(batch.rows["photo_id"].drop_nulls())
        counts.update(ids)
    return frozenset(one for one, count in counts.items() if count > 1)


def _settings(corpus: _Corpus) -> str:
    """Return what the night should know of the data set, as TOML: a list of strings is written as in JSON."""
    lists = {"types": corpus.types, "devices": corpus.devices}
    named = {name: sorted(value for value, _ in counts.most_common(MAX_NAMED)) for name, counts in lists.items()}
    lines = [f"{name} = {json.dumps(values, ensure_ascii=False)}" for name, values in named.items()]
    title = "# What the catalogues call the types of conversions and the devices."
    return "\n".join([title, "[conversions]", *lines]) + "\n"


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a table with what was dropped and guessed below it."""
    head = ("source", "table", "read", "used", "dropped", "guessed")
    lines, notes = [head], []
    for source, tables in report["sources"].items():
        for table, t in tables.items():
            counts = (t["read"], t["used"], sum(t["dropped"].values()), sum(t["guessed"].values()))
            lines.append((source, table, *(f"{count:,}" for count in counts)))
            notes += [f"{source} {table}: {note}" for note in as_notes(t)]
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

    def __init__(self, folder: Path, source: SourceMapping, corpus: _Corpus, number: int) -> None:
        self._folder, self._source, self._corpus, self._number = folder, source, corpus, number
        self._prefix = source.prefix if corpus.has_several else None
        self._here: dict[str, str] = {}  # id there to the id here, of all photos seen
        self._submitted: dict[str, str] = {}  # of the photos that are used, by their id there

    def convert(self) -> Iterator[Tally]:
        """Yield what became of each table as soon as it is written; `BadInput` if nothing can be used of one."""
        yield self._photos()
        if self._source.conversions is not None:
            yield self._conversions()
        if self._source.impressions is not None:
            yield self._impressions()

    def _photos(self) -> Tally:
        mapping = self._source.photos
        table, tally = self._open(mapping, "photos")
        with ExitStack() as stack:
            files = {name: stack.enter_context(self._part(name)) for name in _OF_PHOTOS}
            for batch in table.batches(rows.photo_columns(table.columns, self._source)):
                tally.drop(batch.broken)
                used = tally.sift(self._known_pictures(batch.rows), rows.photo_reasons(mapping))
                used = tally.sift(used.with_columns(self._are_repeated(used)), rows.REPEATED)
                tally.use(used)
                used = self._described(used.rename({"at": "submitted_at"}), tally)
                tally.guess("submitted_at", used, pl.col("is_guessed"))
                self._submitted |= dict(used.select("source_id", "submitted_at").iter_rows())
                self._copy_pictures(used)
                _write(files["photos"], used.select(_PHOTO_COLUMNS))
                _write(files["keywords"], self._keywords(used))
                _write(files["collections"], self._topics(used))
        return self._finish(table, tally)

    def _known_pictures(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Add the ids, and the path at which each picture is expected."""
        there = batch["source_id"].to_list()
        for one in there:
            if one is not None and one not in self._here:
                self._here[one] = self._id_here(one)
        pictures = [self._picture(name) for name in batch["image_file"].to_list()]
        found = batch.with_columns(
            pl.Series("photo_id", [None if one is None else self._here[one] for one in there], pl.String),
            pl.Series("image_wanted", [wanted for wanted, _, _ in pictures], pl.String),
            pl.Series("image_file", [file for _, file, _ in pictures], pl.String),
            pl.Series("is_other_format", [is_other for _, _, is_other in pictures], pl.Boolean),
        )
        return found.with_columns(pl.col("image_url").str.contains(r"^https?://").fill_null(False).alias("has_url"))

    def _are_repeated(self, batch: pl.DataFrame) -> pl.Series:
        """Return which rows are of a photo of which an earlier one is used."""
        first = batch["source_id"].is_first_distinct().to_list()
        known = [one in self._submitted for one in batch["source_id"].to_list()]
        return pl.Series("is_repeated", [not new or old for new, old in zip(first, known, strict=True)], pl.Boolean)

    def _id_here(self, there: str) -> str:
        """Return the site's own id, behind the prefix if another site has the same."""
        here = f"{self._prefix}:{there}" if there in self._corpus.shared_ids else there
        owner = self._corpus.taken_ids.setdefault(here, self._source.name) if self._corpus.has_several else None
        if owner not in (None, self._source.name):
            raise BadInput(
                "colliding_ids",
                f"{here!r} is a photo of {owner!r} and, with its prefix, {there!r} of {self._source.name!r}: choose "
                f"another prefix",
                source=self._source.name,
                ids=[there, here],
            )
        return here

    def _picture(self, name: str | None) -> tuple[str | None, str | None, bool]:
        """Return the path expected for a picture, the path if it can be read, and whether its format is not read.

        What a site's column names is data and leads to no file outside the mapping's folder.
        """
        if name is None:
            return None, None, False
        wanted = os.path.normpath(self._folder.absolute() / name)
        try:
            path = (self._folder / name).resolve()
            is_there = path.is_relative_to(self._folder.resolve()) and path.is_file()
        except (OSError, RuntimeError, ValueError):  # no name of a file, or links in a circle
            is_there = False
        is_read = is_there and path.suffix[1:].lower() in EXTENSIONS
        return wanted, str(path) if is_read else None, is_there and not is_read

    def _described(self, used: pl.DataFrame, tally: Tally) -> pl.DataFrame:
        """Put together the words of every photo; they stand in for descriptions where the mapping says so."""
        single = [pl.concat_list(pl.col(name)).list.drop_nulls() for name in ("brand", "price_band")]
        lists = [pl.col(name).fill_null(pl.lit([], pl.List(pl.String))) for name in ("categories", "keywords")]
        used = used.with_columns(pl.concat_list(*lists, *single).list.unique(maintain_order=True).alias("words"))
        if self._source.photos.missing_description != "words":
            return used
        is_guessed = pl.col("description").is_null() & (pl.col("words").list.len() > 0)
        tally.guess("description", used, is_guessed)
        words = pl.when(is_guessed).then(pl.col("words").list.join(", ")).otherwise("description")
        return used.with_columns(words.alias("description"))

    def _copy_pictures(self, used: pl.DataFrame) -> None:
        for mine, file in used.select("photo_id", "image_file").drop_nulls().iter_rows():
            name = file_stem(mine) + Path(file).suffix.lower()
            shutil.copyfile(file, self._corpus.folder / "photos" / name)

    def _keywords(self, used: pl.DataFrame) -> pl.DataFrame:
        words = used.select("photo_id", keyword="words").explode("keyword").drop_nulls()
        form = pl.col("keyword").map_elements(normalise_query, pl.String)  # by which the table tells keywords apart
        return words.unique(["photo_id", form], keep="first", maintain_order=True).select(
            "photo_id", "keyword", pl.lit("t").alias("suggested_by_user")
        )

    def _topics(self, used: pl.DataFrame) -> pl.DataFrame:
        topics = used.select("photo_id", title="categories").explode("title").drop_nulls()
        topics = topics.unique(maintain_order=True)
        identity = rows.prefixed(pl.col("title"), self._prefix).alias("collection_id")
        return topics.select("photo_id", identity, "title", pl.lit("topic").alias("collection_type"))

    def _conversions(self) -> Tally:
        mapping = self._source.conversions
        assert mapping is not None
        table, tally = self._open(mapping, "conversions")
        known = self._known()
        with self._part("conversions") as file:
            for batch in table.batches(rows.conversion_columns(table.columns, mapping)):
                tally.drop(batch.broken)
                joined = batch.rows.join(known, on="source_id", how="left", maintain_order="left")
                used = tally.sift(joined, rows.CONVERSION_REASONS)
                tally.use(used)
                tally.guess("country", used, pl.col("is_country_guessed"))
                self._corpus.types.update(used["conversion_type"].drop_nulls())
                self._corpus.devices.update(used["device_type"].drop_nulls())
                used = used.rename({"at": "converted_at"}).with_columns(self._prefixed("user_id"))
                _write(file, used.select(_CONVERSION_COLUMNS))
        return self._finish(table, tally)

    def _impressions(self) -> Tally:
        mapping = self._source.impressions
        assert mapping is not None
        table, tally = self._open(mapping, "impressions")
        known = self._known()
        asked = known.select(source_query_id="source_id", query_photo_id="photo_id")
        with self._part("impressions") as file:
            for batch in table.batches(rows.impression_columns(table.columns, mapping)):
                tally.drop(batch.broken)
                joined = batch.rows.join(known, on="source_id", how="left", maintain_order="left")
                joined = joined.join(asked, on="source_query_id", how="left", maintain_order="left")
                used = tally.sift(joined, rows.IMPRESSION_REASONS)
                tally.use(used)
                tally.guess("country left empty", used, pl.col("is_country_dropped"))
                used = used.rename({"at": "shown_at"}).with_columns(
                    self._prefixed("user_id"), self._prefixed("query_id")
                )
                _write(file, used.select(_IMPRESSION_COLUMNS))
        return self._finish(table, tally)

    def _prefixed(self, name: str) -> pl.Expr:
        return rows.prefixed(pl.col(name), self._prefix).alias(name)

    def _known(self) -> pl.DataFrame:
        """Return the photos that are used: their ids there and here, and since when they are there."""
        return pl.DataFrame(
            {
                "source_id": list(self._submitted),
                "photo_id": [self._here[one] for one in self._submitted],
                "submitted_at": list(self._submitted.values()),
            },
            dict.fromkeys(("source_id", "photo_id", "submitted_at"), pl.String),
        )

    def _open(self, file: DataFile, table: str) -> tuple[SiteTable, Tally]:
        opened = SiteTable(self._folder, file, table, self._source.name)
        tally = Tally(self._source.name, table, table != "photos", self._corpus.dropped_file)
        return opened, tally

    @contextmanager
    def _part(self, table: str) -> Iterator[BinaryIO]:
        with (self._corpus.folder / f"{table}.tsv{self._number:03d}").open("wb") as file:
            file.write("\t".join(_HEADERS[table]).encode() + b"\n")
            yield file

    def _finish(self, table: SiteTable, tally: Tally) -> Tally:
        tally.unused_columns = table.unused_columns
        tally.guessed["separator"] += len(table.odd_separators)
        tally.guessed = +tally.guessed  # without what never happened
        if tally.used:
            return tally
        text = (
            f"source {self._source.name!r}: none of {tally.read:,} {tally.table} can be used: "
            f"{tally.told() or 'there are no rows'}.{self._likely_id(tally)} Look at the mapping."
        )
        named = {"source": self._source.name, "dropped": dict(tally.dropped)}
        if tally.table == "photos":
            raise BadInput("no_usable_photo", text, **named)
        raise BadInput("no_usable_row", text, table=tally.table, **named)

    def _likely_id(self, tally: Tally) -> str:
        """Return a sentence with an unknown id and the most similar known one; empty if all photos are known."""
        wanted = tally.examples.get("unknown_photo", {}).get("value")
        if wanted is None:
            return ""
        ids = list(islice(self._submitted, _COMPARED_IDS))
        return f" {wanted!r} is no id of a photo; {get_close_matches(wanted, ids, 1, 0.0)[0]!r} is one."


def _write(file: BinaryIO, frame: pl.DataFrame) -> None:
    frame.write_csv(file, include_header=False, separator="\t", quote_style="necessary")
