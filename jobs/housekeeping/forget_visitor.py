"""`nightlens forget`: remove a visitor from the lake and from what later nights read, and prove it.

Runs are immutable but for this. Every row that carries the visitor's pseudonym goes from every table of every run, with
the rejected rows of failed nights; files of text lose the pseudonym; manifests get the new counts and digests, and the
pointer to a published release follows. Fresh counts beside it are dropped, and so are kept units that hold the visitor:
the next refresh and the next night make them without. The pseudonym stays on a list by which the visitor's rows are
blanked whenever the log is read from now on, for the log itself is not ours to change. Models that learned from these
rows are not changed: train in full and promote, then roll nothing back.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.datasets.releases import RELEASE
from jobs.errors import BadInput, MissingInput, NightlensError
from jobs.ingest import kept_rows
from jobs.ingest.forgotten import forgotten_list
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, TableInfo
from jobs.releasing.fresh_counts import drop_counts
from jobs.releasing.published_pointer import follow_content

_HOLDERS = ("visitor_id", "record")  # columns that may hold a pseudonym: as it is, or in a bad row's text
_TEXT_FILES = (".json", ".html", ".md", ".csv", ".txt")
_ERASED = "[forgotten]"
_AGAIN = "Then run forget again: until it says that no file holds the visitor, some may."


@dataclass(frozen=True)
class Receipt:
    """What was removed and what was searched afterwards, in vain."""

    pseudonym: str
    forgotten_at: str
    removed_rows: dict[str, int]  # by file of the lake
    changed_files: list[str]
    searched_files: int

    def text(self) -> str:
        """Return it as people read it."""
        rows = sum(self.removed_rows.values())
        return (
            f"{rows:,} rows removed from {len(self.removed_rows)} tables' files, {len(self.changed_files)} files of "
            f"text changed. {self.searched_files:,} files searched afterwards: none holds the visitor. Later nights "
            f"leave the visitor's rows out. The log itself and models trained before are not changed."
        )


def forget(lake: Lake, raw_id: str, hide: Callable[[str], str], at: datetime) -> Receipt:
    """Remove a visitor, as of the moment `at`; safe to run again, also after it was cut short.

    `hide` makes the pseudonym of an id. Raises `MissingInput` if the visitor is nowhere and was not forgotten before,
    so that no receipt is written for a mistyped id. Raises `NightlensError` if a trace is left. `BadInput` names a
    damaged manifest before any row goes, and a damaged table when its turn comes: what was removed until then stays
    removed.
    """
    pseudonym, store = hide(raw_id), forgotten_list(lake)
    if store.get(f"{pseudonym}.json") is None:
        _refuse_stranger(lake, raw_id, hide)
        store.put(f"{pseudonym}.json", b"{}")  # first of all: a night that begins now leaves the visitor out
    drop_counts(lake)  # they hold no id, but count the visitor's conversions
    _manifests(lake)
    removed, changed = _remove_kept_rows(lake, pseudonym), []
    for path in _files(lake):
        if path.endswith(".parquet"):
            if count := _remove_rows(lake, path, pseudonym):
                removed[_name(lake, path)] = count
        elif path.endswith(_TEXT_FILES) and not path.endswith("/manifest.json") and _blank(lake, path, pseudonym):
            changed.append(_name(lake, path))
    _mend_manifests(lake)
    searched = _prove(lake, [pseudonym, raw_id])
    receipt = Receipt(pseudonym, at.isoformat(timespec="seconds"), removed, changed, searched)
    store.put(f"{pseudonym}.json", json.dumps(asdict(receipt), indent=1).encode())
    return receipt


def _refuse_stranger(lake: Lake, raw_id: str, hide: Callable[[str], str]) -> None:
    """Raise `MissingInput` if no file holds the visitor; name the ids that are there and differ in what is not seen."""
    paths = _files(lake)
    if any(_holds(lake, path, [hide(raw_id), raw_id]) for path in paths):
        return
    alike = [one for one in _alike(raw_id) if any(_holds(lake, path, [hide(one)]) for path in paths)]
    hint = f" It holds {' and '.join(map(repr, alike))}: spaces and case count." if alike else ""
    raise MissingInput(
        "no_such_visitor",
        f"no file of {lake.root} holds the visitor {raw_id!r}, so nothing was removed and nobody is on the list of the "
        f"forgotten.{hint} Give the id exactly as it stands in the log.",
        visitor=raw_id,
        alike=alike,
    )


def _alike(raw_id: str) -> list[str]:
    """Return the ids that a person may have meant: other case, no spaces, quotes or braces around.

    >>> _alike("'0A1B '")
    ['0a1b', '0A1B']
    """
    bare = "".join(raw_id.split()).strip("'\"{}<>")
    return sorted({bare, bare.lower(), bare.upper()} - {raw_id}, reverse=True)


def _manifests(lake: Lake) -> dict[str, Manifest]:
    """Return every manifest by its path; `BadInput` if one is damaged, for it cannot be told what its files are now."""
    found = {}
    for path in _files(lake):
        if path.endswith("/manifest.json"):
            try:
                manifest = lake.read_manifest(path)
            except BadInput as error:
                raise BadInput("damaged_manifest", f"{error} {_AGAIN}", path=path) from error
            if manifest is not None:  # else it was removed just now
                found[path] = manifest
    return found


def _files(lake: Lake) -> list[str]:
    """Return every file of the catalogue but the list itself."""
    own = f"{forgotten_list(lake).folder}/"
    return [path for path in sorted(lake.fs.find(lake.root)) if not path.startswith(own)]


def _name(lake: Lake, path: str) -> str:
    return path[len(lake.root) + 1 :]


def _remove_rows(lake: Lake, path: str, pseudonym: str) -> int:
    """Rewrite a Parquet file without the visitor's rows; return how many there were."""
    with _readable(path), lake.fs.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        holders = [name for name in _HOLDERS if name in parquet.schema_arrow.names]
        if not holders:
            return 0
        table = parquet.read()
    keep = None
    for name in holders:
        found = pc.fill_null(pc.match_substring(table[name], pseudonym), False)
        keep = pc.invert(found) if keep is None else pc.and_(keep, pc.invert(found))
    kept = table.filter(keep)
    if len(kept) < len(table):
        buffer = io.BytesIO()
        pq.write_table(kept, buffer, compression="zstd")
        lake.put(path, buffer.getvalue())
    return len(table) - len(kept)


def _remove_kept_rows(lake: Lake, pseudonym: str) -> dict[str, int]:
    """Remove the kept units that hold the visitor; return how many rows of theirs each held."""
    found = {}
    paths = [path for path in _files(lake) if path.startswith(f"{lake.store(kept_rows.STORE).folder}/")]
    for path in paths:
        if path.endswith(kept_rows.SAMPLE) or not _holds(lake, path, [pseudonym]):
            continue
        with _readable(path), lake.fs.open(path, "rb") as file:
            visitors = pq.ParquetFile(file).read(["visitor_id"])["visitor_id"]
        found[_name(lake, path)] = pc.sum(pc.equal(visitors, pseudonym)).as_py() or 0
        for beside in (path, path.removesuffix(".parquet") + kept_rows.SAMPLE):
            if beside in paths:
                lake.fs.rm_file(beside)
    return found


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn what a damaged Parquet file does to its reader into `BadInput`."""
    try:
        yield
    except (pa.ArrowException, FileNotFoundError) as error:
        raise BadInput(
            "damaged_file",
            f"{path} is gone or no Parquet file any more ({error}). Restore it from a copy, or delete the run or the "
            f"part of a store that it belongs to and rerun the stage. {_AGAIN}",
            path=path,
        ) from error


def _blank(lake: Lake, path: str, pseudonym: str) -> bool:
    """Replace the pseudonym in a file of text; return whether it was there."""
    data = bytes(lake.fs.cat_file(path))
    blanked = data.replace(pseudonym.encode(), _ERASED.encode())
    if blanked != data:
        lake.put(path, blanked)
    return blanked != data


def _mend_manifests(lake: Lake) -> None:
    """Let every manifest say what its files are now."""
    for path, manifest in _manifests(lake).items():
        tables = {name: _mended(lake, info) for name, info in manifest.tables.items()}
        files = {
            name: lake.measure(f"{lake.root}/{info.path}", None) if info.path.endswith(_TEXT_FILES) else info
            for name, info in manifest.files.items()
        }
        mended = manifest.model_copy(update={"tables": tables, "files": files})
        if mended != manifest:
            if manifest.dataset == RELEASE.name:
                follow_content(lake, manifest, mended)
            lake.put(path, mended.model_dump_json(indent=1).encode())


def _mended(lake: Lake, table: TableInfo) -> TableInfo:
    """Measure a table that may have lost rows; the others, vectors above all, stay as they were measured."""
    if not set(_HOLDERS) & set(table.columns):
        return table
    infos = []
    for info in table.files:
        path = f"{lake.root}/{info.path}"
        with _readable(path), lake.fs.open(path, "rb") as file:
            row_count = pq.read_metadata(file).num_rows
        infos.append(lake.measure(path, row_count))
    return table.model_copy(update={"files": infos, "row_count": sum(info.row_count or 0 for info in infos)})


def _prove(lake: Lake, traces: list[str]) -> int:
    """Search every file for the visitor; return how many were searched. `NightlensError` names those with a trace."""
    paths = _files(lake)
    left = [_name(lake, path) for path in paths if _holds(lake, path, traces)]
    if left:
        raise NightlensError(
            "visitor_still_there",
            f"the visitor is still in {', '.join(left[:5])} ({len(left)} files). Run forget again.",
            files=left,
        )
    return len(paths)


def _holds(lake: Lake, path: str, traces: list[str]) -> bool:
    if not path.endswith(".parquet"):
        data = bytes(lake.fs.cat_file(path))
        return any(trace.encode() in data for trace in traces)
    with _readable(path), lake.fs.open(path, "rb") as file:
        return any(_column_holds(column, traces) for column in _text_columns(pq.ParquetFile(file)))


def _text_columns(parquet: pq.ParquetFile) -> Iterator[Any]:
    names = [field.name for field in parquet.schema_arrow if _is_text(field.type)]
    for batch in parquet.iter_batches(columns=names) if names else ():
        for column in batch.columns:
            yield column.flatten() if _is_list(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _column_holds(column: Any, traces: list[str]) -> bool:
    return any(pc.any(pc.match_substring(column, trace)).as_py() for trace in traces)
