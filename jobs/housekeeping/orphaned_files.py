"""What cleaning up removes beside the lake's runs: checkpoints, vectors, kept rows, fresh counts, published pages.

None of it is part of a run, so nothing that is committed can break: a rerun trains from the start or embeds anew. What
somebody may still be writing or reading is left by its age. Another cleaner may be at work: files that are gone are
no fault. Downloaded pictures are not touched: a night takes them over without writing anything that could be seen here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.datasets.clean import VALIDATED
from jobs.datasets.releases import RELEASE
from jobs.ingest import kept_rows, settled_units
from jobs.lake.catalogue import Lake
from jobs.lake.inventory import last_written, remove_files, stored
from jobs.lake.manifest import Manifest
from jobs.releasing import fresh_counts
from models.search.identity import IDENTITY, ModelIdentity

_PAGE = re.compile(r"(\d{4}-\d{2}-\d{2})\.html")
_OF_THE_PAGE = "-data-docs", "-ablation.md", "-retraining.md", "-backtest.md"


@dataclass(frozen=True)
class Removal:
    """Something that was removed, or would be."""

    what: str
    byte_count: int


def remove_from_stores(lake: Lake, gone: Collection[str], since: datetime, *, dry_run: bool = False) -> list[Removal]:
    """Remove checkpoints of killed trainings, and vectors, kept rows and counts that no run but `gone` has.

    Only what was last written before `since`. The runs are listed here, after the caller has removed others, so a model
    that was committed meanwhile keeps its vectors.
    """
    runs = [manifest for manifest in lake.manifests() if manifest.reference not in gone]
    found = []
    orphans = [
        _checkpoints(lake),
        _unused_vectors(lake, runs),
        _orphaned_counts(lake, runs),
        _unused_rows(lake, runs, since),
    ]
    for what, paths in itertools.chain(*orphans):
        if not _was_written_since(lake, paths, since):
            found.append(Removal(what, sum(paths.values())))
            if not dry_run:
                remove_files(lake, paths)
    return found


def remove_pages(folder: Path, nights: Collection[str], since: datetime, *, dry_run: bool = False) -> list[Removal]:
    """Remove published pages, with what lies beside them, of nights that are not among `nights`.

    The newest stays, for `latest.html` is its copy, and so does what was written after `since`.
    """
    pages = sorted(path for path in folder.glob("*.html") if _PAGE.fullmatch(path.name))
    found = []
    for page in pages[:-1]:
        run_date = page.stem
        files = list(_files_of(folder, run_date))
        with suppress(FileNotFoundError):  # another cleaner takes it
            stats = [path.stat() for path in files]
            if run_date in nights or max(stat.st_mtime for stat in stats) >= since.timestamp():
                continue
            found.append(Removal(f"published page of the night of {run_date}", sum(stat.st_size for stat in stats)))
            if not dry_run:
                _unlink(folder, files)
    return found


def _checkpoints(lake: Lake) -> Iterator[tuple[str, dict[str, int]]]:
    for (dataset, run_id), paths in sorted(stored(lake, "checkpoints", depth=2).items()):
        yield f"checkpoints of {dataset}, run {run_id}", paths


def _unused_vectors(lake: Lake, runs: Collection[Manifest]) -> Iterator[tuple[str, dict[str, int]]]:
    identities = _identities(lake, runs)
    used = {
        "photo_vectors": {identity.image_digest for identity in identities},
        "query_vectors": {identity.text_digest for identity in identities},
    }
    for store, digests in used.items():
        for (encoder,), paths in sorted(stored(lake, store, depth=1).items()):
            if encoder.split("-", 1)[0] not in digests:
                yield f"{store} of {encoder}", paths


def _unused_rows(lake: Lake, runs: Collection[Manifest], since: datetime) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the kept units that no validated night was read in, and their outcomes that none consists of, by table."""
    nights = [manifest for manifest in runs if manifest.dataset == VALIDATED.name and "units" in manifest.tables]
    used = {
        kept_rows.STORE: {name for night in nights for name in lake.read_table(night, "units", ["kept"])["kept"]},
        settled_units.STORE: {_stem(path) for night in nights for path in night.paths},
    }
    for store, names in used.items():
        for (table,), paths in sorted(stored(lake, store, depth=1).items()):
            unused = {path: size for path, size in paths.items() if _stem(path) not in names}
            old = {path: size for path, size in unused.items() if not _was_written_since(lake, [path], since)}
            if old:
                yield f"{store} of {table}, {len(old):,} files that no night needs", old


def _stem(path: str) -> str:
    """Return what the files of one unit have in common.

    >>> _stem("store/settled/photos/0a1b.quarantine.parquet")
    '0a1b'
    """
    return path.rsplit("/", 1)[-1].split(".", 1)[0]


def _orphaned_counts(lake: Lake, runs: Collection[Manifest]) -> Iterator[tuple[str, dict[str, int]]]:
    releases = [manifest for manifest in runs if manifest.dataset == RELEASE.name]
    for (folder, name), paths in sorted(stored(lake, "published", depth=2).items()):
        if folder == fresh_counts.FOLDER and not any(fresh_counts.is_of(name, release) for release in releases):
            yield f"fresh counts {name}", paths


def _identities(lake: Lake, runs: Collection[Manifest]) -> list[ModelIdentity]:
    """Return who the models of some runs are; a model that several link to is read once."""
    files = {
        info.sha256: (manifest, name)
        for manifest in runs
        for name, info in manifest.files.items()
        if name.rsplit("/", 1)[-1] == IDENTITY
    }
    return [ModelIdentity.model_validate_json(lake.read_file(*place)) for place in files.values()]


def _was_written_since(lake: Lake, paths: Collection[str], since: datetime) -> bool:
    try:
        return last_written(lake, paths) >= since
    except FileNotFoundError:  # its writer or another cleaner is at it
        return True


def _files_of(folder: Path, run_date: str) -> Iterator[Path]:
    yield folder / f"{run_date}.html"
    for ending in _OF_THE_PAGE:
        beside = folder / f"{run_date}{ending}"
        yield from (path for path in beside.rglob("*") if path.is_file()) if beside.is_dir() else ()
        if beside.is_file():
            yield beside


def _unlink(folder: Path, files: list[Path]) -> None:
    """Remove files, then the folders that this leaves empty."""
    for path in files:
        path.unlink(missing_ok=True)
    inner = {parent for path in files for parent in path.parents if folder in parent.parents}
    for parent in sorted(inner, key=lambda one: len(one.parts), reverse=True):
        with suppress(OSError):  # gone, or somebody has written there
            parent.rmdir()
