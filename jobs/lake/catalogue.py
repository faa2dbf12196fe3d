"""The lake: immutable runs of datasets on a local folder or an object store.

Layout: ``<root>/<catalogue>/<layer>/<dataset>/<partition>=<value>/run_id=<id>/``. A run's data is written
below its folder first and ``manifest.json`` last; without a manifest the run does not exist. ``run_id`` is a
digest of what the run was made from (inputs, params, code, seed), so the same work has the same name and is
done once. ``current.json`` beside the runs is a small pointer that is swapped whole. Nothing here relies on
renaming folders. Only this room joins paths of the lake: manifests (manifest), files and
stores (files), a run being written (staged_run), and what takes place and can be removed (inventory).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.datasets.schema import LAYERS, Dataset
from jobs.errors import BadInput, MissingInput
from jobs.lake.files import POINTER, LakeFiles
from jobs.lake.manifest import MANIFEST, Manifest, TableInfo, partition_path
from jobs.lake.staged_run import StagedRun


def _shard_number(path: str) -> int:
    """Return the number of a file among those of its table.

    >>> _shard_number("tables/train/part-00012-6d2c.c000.zstd.parquet")
    12
    """
    return int(path.rsplit("/", 1)[1].removeprefix("part-")[:5])


def _read(file: IO[bytes], columns: list[str] | None) -> pa.Table:
    """Return a Parquet file; pyarrow's own function for one or many, `read_table`, imports pandas."""
    rows = pq.ParquetFile(file).read(columns)
    return rows if columns is None else rows.select(columns)


def catalogues(root_uri: str) -> list[str]:
    """Return the names of the catalogues that a lake has, in order."""
    fs, root = fsspec.url_to_fs(root_uri, use_listings_cache=False)
    if not fs.exists(root):
        return []
    entries = fs.ls(root, detail=True)
    return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "directory")


def open_catalogue(root_uri: str, catalogue: str) -> Lake:
    """Return the lake of a catalogue that is there already; `MissingInput` names those there are."""
    known = catalogues(root_uri)
    if catalogue not in known:
        there = f"There are: {', '.join(known)}." if known else "There is none yet: run a night (make nightly)."
        raise MissingInput(
            "no_such_catalogue",
            f"no catalogue {catalogue!r} in the lake {root_uri}. {there}",
            catalogue=catalogue,
            catalogues=known,
        )
    return Lake(root_uri, catalogue)


class Lake(LakeFiles):
    """Runs of one catalogue under `root_uri` (a folder or any fsspec URL)."""

    def current(self, dataset: Dataset, partition: dict[str, str]) -> Manifest:
        """Return the manifest `current.json` points to; `MissingInput` says which stage is to be run."""
        folder = partition_path(dataset.layer, dataset.name, partition)
        pointer = f"{self.root}/{folder}/{POINTER}"
        if not self.fs.exists(pointer):
            raise MissingInput(
                "stage_not_run",
                f"no committed run of {dataset.name!r} for {partition} below {self.root}. "
                f"Run the stage that makes it first (nightlens --help lists the stages in order).",
                dataset=dataset.name,
                partition=partition,
            )
        run_id = self.pointed_to(pointer)
        manifest = self.find(dataset, partition, run_id)
        if manifest is None:
            raise BadInput(
                "damaged_run_pointer",
                f"{pointer} points to run {run_id!r}, which has no readable manifest. Rerun the stage.",
                path=pointer,
            )
        return manifest

    def find(self, dataset: Dataset, partition: dict[str, str], run_id: str) -> Manifest | None:
        """Return one run's manifest, or None if the run was never committed."""
        folder = partition_path(dataset.layer, dataset.name, partition)
        return self.read_manifest(f"{self.root}/{folder}/run_id={run_id}/{MANIFEST}")

    def by_reference(self, reference: str) -> Manifest:
        """Return the manifest of a run by its reference, as manifests name their inputs; `MissingInput` if none."""
        manifest = self.read_manifest(f"{self.root}/{reference}/{MANIFEST}")
        if manifest is None:
            raise MissingInput(
                "no_such_run",
                f"the lake {self.root} has no run {reference!r}: it was never committed, or is removed",
                run=reference,
            )
        return manifest

    def history(self, dataset: Dataset) -> list[Manifest]:
        """Return the current manifest of every partition of a dataset, by partition value, oldest first."""
        pattern = f"{self.root}/{dataset.layer}/{dataset.name}/*/{POINTER}"
        manifests = []
        for pointer in sorted(self.fs.glob(pattern)):
            folder = pointer.rsplit("/", 1)[0]
            manifest = self.read_manifest(f"{folder}/run_id={self.pointed_to(pointer)}/{MANIFEST}")
            if manifest is not None:
                manifests.append(manifest)
        return manifests

    def pointed_to(self, pointer: str) -> str:
        """Return the run that a `current.json` names."""
        try:
            return str(json.loads(self.fs.cat_file(pointer))["run_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                "damaged_run_pointer",
                f"{pointer} is damaged. Delete it and rerun the stage, which writes it again.",
                path=pointer,
            ) from error

    def table_uris(self, manifest: Manifest, table: str) -> list[str]:
        """Return the Parquet files of a table, in order, as URIs."""
        return [self.uri(self._whole(info)) for info in self._table(manifest, table).files]

    def spark_uris(self, manifest: Manifest, table: str) -> list[str]:
        """Return the Parquet files of a table of a local lake as Spark spells them."""
        return [self.spark_uri(self._whole(info)) for info in self._table(manifest, table).files]

    def read_table(self, manifest: Manifest, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a whole table into memory. For tables that may be large use `table_uris` and a lazy scan."""
        return pl.DataFrame(pl.from_arrow(pa.concat_tables(self._tables(manifest, table, columns))))

    def table_files(self, manifest: Manifest, table: str, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield a table, or some columns of it, a file at a time."""
        for rows in self._tables(manifest, table, columns):
            yield pl.DataFrame(pl.from_arrow(rows))

    def _tables(self, manifest: Manifest, table: str, columns: list[str] | None) -> Iterator[pa.Table]:
        for info in self._table(manifest, table).files:
            with self.open_whole(info) as file:
                yield _read(file, columns)

    def read_shards(
        self, manifest: Manifest, table: str, shards: Collection[int] | None = None, columns: list[str] | None = None
    ) -> pl.DataFrame:
        """Read some of a table's files, or all, into memory; the column `shard` (int64) says which a row is from.

        Shards are numbered as the writer numbered its files, `part-<number>...`. Of files of other shards only the
        footer is read.
        """
        parts = []
        for info in self._table(manifest, table).files:
            shard = _shard_number(info.path)
            if shards is None or shard in shards:
                with self.open_whole(info) as file:
                    rows = _read(file, columns)
            else:  # its footer only, for the types
                with self.fs.open(f"{self.root}/{info.path}", "rb") as file:
                    rows = pq.read_schema(file).empty_table()
                rows = rows if columns is None else rows.select(columns)
            parts.append(rows.append_column("shard", pa.array([shard] * len(rows), pa.int64())))
        return pl.DataFrame(pl.from_arrow(pa.concat_tables(parts)))

    def read_file(self, manifest: Manifest, name: str) -> bytes:
        """Return one file of a run; `MissingInput` names the files there are."""
        return bytes(self.fs.cat_file(self._whole(self.file_info(manifest, name))))

    @contextmanager
    def local_folder(self, manifest: Manifest, prefix: str) -> Iterator[Path]:
        """Give the files of a run below `prefix/` as a local folder; treat it as read-only.

        A folder of a local lake is handed out as it is, or, if its files are of several runs, as a temporary folder of
        links; files of an object store are copied to one.
        """
        names = [name for name in manifest.files if name.startswith(f"{prefix}/")]
        if not names:
            raise MissingInput(
                "not_in_run",
                f"{manifest.reference} has no files below {prefix!r}; it has {sorted(manifest.files)}",
                run=manifest.reference,
                name=prefix,
            )
        paths = {name: f"{self.root}/{manifest.files[name].path}" for name in names}
        folders = {path.removesuffix(name.removeprefix(f"{prefix}/")) for name, path in paths.items()}
        if self.is_local and len(folders) == 1 and not folders & set(paths.values()):
            yield Path(folders.pop())
            return
        with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
            for name, path in paths.items():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if self.is_local:
                    target.symlink_to(path)
                else:
                    self.fs.get_file(path, str(target))
            yield Path(folder) / prefix

    def _table(self, manifest: Manifest, table: str) -> TableInfo:
        if table not in manifest.tables:
            raise MissingInput(
                "not_in_run",
                f"{manifest.reference} has no table {table!r}; it has {sorted(manifest.tables)}",
                run=manifest.reference,
                name=table,
            )
        return manifest.tables[table]

    def begin(
        self,
        dataset: Dataset,
        partition: dict[str, str],
        *,
        run_id: str,
        identity: dict[str, Any],
        input_runs: dict[str, str],
        started_at: datetime,
        night: str,
        git_version: str,
    ) -> StagedRun:
        """Open a run for writing; if it was committed before, make it current and say so in `.manifest`."""
        record = {
            "dataset": dataset.name,
            "layer": dataset.layer,
            "partition": partition,
            "run_id": run_id,
            "identity": identity,
            "input_runs": input_runs,
            "started_at": started_at,
            "night": night,
            "git_version": git_version,
        }
        manifest = self.find(dataset, partition, run_id)
        if manifest is not None:
            self.point_to(manifest)
        return StagedRun(self, dataset, record, manifest)

    def manifests(self, dataset: Dataset | None = None) -> Iterator[Manifest]:
        """Yield the manifest of every committed run of a dataset, or of all."""
        for path in self._paths_of(f"run_id=*/{MANIFEST}", dataset):
            manifest = self.read_manifest(path)
            if manifest is not None:
                yield manifest

    def pointed(self) -> set[str]:
        """Return the references of the runs that are current, of every dataset and partition."""
        found = set()
        for path in self._paths_of(POINTER):
            folder = path[len(self.root) + 1 :].rsplit("/", 1)[0]
            found.add(f"{folder}/run_id={json.loads(self.fs.cat_file(path))['run_id']}")
        return found

    def _paths_of(self, name: str, dataset: Dataset | None = None) -> Iterator[str]:
        """Yield the paths of files of this name (a pattern) in the partitions of a dataset, or of all."""
        places = [f"{layer}/*" for layer in LAYERS] if dataset is None else [f"{dataset.layer}/{dataset.name}"]
        for place in places:
            for partition in ("*", "*/*/*"):  # a night, or also variant and repeat
                yield from sorted(self.fs.glob(f"{self.root}/{place}/{partition}/{name}"))
