"""A site's files, as batches of rows of which each says its file and line: text as the night reads it, or by polars.

A record whose columns cannot be told apart is handed on as such. What the rows mean is `jobs.catalogues.rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from jobs.catalogues.mapping import DataFile
from jobs.catalogues.rows import Columns
from jobs.errors import BadInput, MissingInput
from jobs.ingest.records import Record, split_records
from jobs.ingest.text_files import Head, compression, find_separator, line_count, open_text, read_head, stretches

T = TypeVar("T")
BATCH_ROWS = 50_000
_STRETCH_BYTES = 8 << 20
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ","}
_ROW = "\0row"  # no column of a site is called so
_PLACES = {"file": pl.String, "line": pl.Int64}
_BROKEN = pl.Schema({**_PLACES, "reason": pl.String, "value": pl.String})


class Batch(NamedTuple):
    """Rows as they were made, with `file`, `line` and `is_replaced`; and records that have no columns.

    Those have `file`, `line`, `reason` and `value`, the record's text.
    """

    rows: pl.DataFrame
    broken: pl.DataFrame


class SiteTable:
    """The files of one table of a source."""

    def __init__(self, folder: Path, file: DataFile, table: str, source: str) -> None:
        """Look at the files' heads; raises `MissingInput` without a file, `BadInput` if one cannot be read."""
        self._folder, self._file = folder, file
        self._paths = sorted(folder.glob(file.path))
        if not self._paths:
            raise MissingInput(
                "no_such_file",
                f"no file {folder / file.path}, which the mapping names for the {table} of {source!r}",
                path=folder / file.path,
                source=source,
            )
        kinds = {_kind(path) for path in self._paths}
        if len(kinds) > 1:
            raise BadInput(
                "unknown_file_format",
                f"{folder / file.path} stands for files of several formats ({', '.join(sorted(kinds))}): name one kind",
                path=folder / file.path,
            )
        self._kind = kinds.pop()
        self._heads: dict[Path, Head] = {}
        self._whole: dict[Path, pl.DataFrame] = {}
        self.columns = Columns(self._schema(), f"{file.path} of source {source!r}")

    @property
    def unused_columns(self) -> list[str]:
        """The columns that the mapping does not name."""
        return [name for name in self.columns.schema if name not in self.columns.used]

    @property
    def odd_separators(self) -> list[str]:
        """The files whose columns something else separates than the mapping or the name says."""
        found = {self._name(path): head.form.delimiter.decode() for path, head in self._heads.items()}
        return [name for name, separator in found.items() if separator != self._expected]

    @property
    def _expected(self) -> str:
        return self._file.separator or _SEPARATORS[self._kind]

    def batches(self, made: dict[str, pl.Expr]) -> Iterator[Batch]:
        """Yield what is made of the rows of all files, in order. `BadInput` names the file that cannot be read."""
        for path in self._paths:
            yield from self._text(path, made) if self._kind in _SEPARATORS else self._by_polars(path, made)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else str(path)

    def _schema(self) -> pl.Schema:
        if self._kind in _SEPARATORS:
            for path in self._paths:
                with open_text(str(path), self._file.encoding) as opened:
                    self._heads[path] = read_head(opened, str(path), self._delimiter)
            names = dict.fromkeys(name for head in self._heads.values() for name in _columns(head))
            return pl.Schema(dict.fromkeys(names, pl.String))
        if self._kind == ".json":  # one array: it can only be read whole
            frames = [_polars(path, lambda path: pl.read_json(path, infer_schema_length=None)) for path in self._paths]
            whole, start = pl.concat(frames, how="diagonal_relaxed"), 0
            for path, frame in zip(self._paths, frames, strict=True):
                self._whole[path] = whole.slice(start, len(frame))
                start += len(frame)
            return whole.schema
        schemas = [_polars(path, lambda path: self._scan(path).collect_schema()) for path in self._paths]
        if self._kind == ".parquet":
            return schemas[0]
        return _polars(self._paths[0], lambda _: pl.scan_ndjson(self._paths, infer_schema_length=None).collect_schema())

    def _delimiter(self, line: bytes) -> bytes:
        return find_separator(line.decode(errors="replace"), self._expected).encode()

    def _scan(self, path: Path, schema: pl.Schema | None = None) -> pl.LazyFrame:
        if self._kind == ".json":
            return self._whole[path].lazy()
        if self._kind == ".parquet":
            return pl.scan_parquet(path)
        return pl.scan_ndjson(path, schema=schema, infer_schema_length=None)

    def _by_polars(self, path: Path, made: dict[str, pl.Expr]) -> Iterator[Batch]:
        frame = self._scan(path, self.columns.schema)
        found = _polars(path, lambda _: frame.collect_schema())
        self._check(path, {name for name, kind in found.items() if kind == self.columns.schema.get(name)})
        places = {"file": pl.lit(self._name(path)), "line": pl.col(_ROW).cast(pl.Int64)}
        chosen = frame.with_row_index(_ROW, 1).select(**made, **places, is_replaced=pl.lit(False))
        batches = chosen.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        while (batch := _polars(path, lambda _: next(batches, None))) is not None:
            yield Batch(batch.unnest("time") if "time" in made else batch, _BROKEN.to_frame())

    def _text(self, path: Path, made: dict[str, pl.Expr]) -> Iterator[Batch]:
        head = self._heads[path]
        self._check(path, set(_columns(head)))
        records: list[Record] = []
        for record in _records(path, head, self._file.encoding):
            records.append(record)
            if len(records) == BATCH_ROWS:
                yield self._batch(path, head, records, made)
                records = []
        yield self._batch(path, head, records, made)

    def _batch(self, path: Path, head: Head, records: list[Record], made: dict[str, pl.Expr]) -> Batch:
        good = [record for record in records if record.fields is not None]
        values = [[field.decode(errors="replace") or None for field in record.fields or ()] for record in good]
        frame = pl.DataFrame(values, dict.fromkeys(_columns(head), pl.String), orient="row")
        rows = _polars(path, lambda _: frame.select(**made))
        is_utf8 = self._file.is_utf8
        rows = (rows.unnest("time") if "time" in made else rows).with_columns(
            pl.lit(self._name(path)).alias("file"),
            pl.Series("line", [record.line for record in good], pl.Int64),
            pl.Series("is_replaced", [_is_replaced(record.raw, is_utf8) for record in good], pl.Boolean),
        )
        broken = [
            (self._name(path), record.line, record.fault, record.raw.decode(errors="replace"))
            for record in records
            if record.fields is None
        ]
        return Batch(rows, pl.DataFrame(broken, _BROKEN, orient="row"))

    def _check(self, path: Path, names: Iterable[str]) -> None:
        if lacking := sorted(self.columns.used - set(names)):
            raise BadInput(
                "missing_columns",
                f"{path} lacks the column {', '.join(lacking)}, or has it of another type than the other files of "
                f"{self._file.path}",
                path=path,
                columns=lacking,
            )


def _kind(path: Path) -> str:
    name = path.with_suffix("") if compression(path.name) else path
    kind = {".ndjson": ".jsonl", ".pq": ".parquet"}.get(name.suffix.lower(), name.suffix.lower())
    if kind in _SEPARATORS or (kind in (".json", ".jsonl", ".parquet") and name is path):
        return kind
    raise BadInput(
        "unknown_file_format",
        f"{path}: files are read that end in .csv, .tsv or .txt (also with .gz or .zst behind it), .json (one array), "
        f".jsonl, .ndjson or .parquet",
        path=path,
    )


def _columns(head: Head) -> list[str]:
    return [name or f"(column {number})" for number, name in enumerate(head.names, 1)]


def _records(path: Path, head: Head, encoding: str) -> Iterator[Record]:
    line = 2
    with open_text(str(path), encoding) as opened:
        opened.read(head.byte_count)
        for stretch in stretches(opened, head.form, _STRETCH_BYTES, str(path)):
            yield from split_records(stretch, head.form, line)
            line += line_count(stretch)


def _is_replaced(raw: bytes, is_utf8: bool) -> bool:
    """Tell whether a record holds bytes that were no text."""
    if not is_utf8:
        return "\ufffd".encode() in raw
    try:
        raw.decode()
    except UnicodeDecodeError:
        return True
    return False


def _polars(path: Path, read: Callable[[Path], T]) -> T:
    """Return what polars reads of a file; `BadInput` with the file's name if it cannot."""
    try:
        return read(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).partition("\n\n")[0].split())
        raise BadInput("unreadable_file", f"{path} cannot be read: {reason}", path=path) from error
