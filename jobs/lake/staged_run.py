"""A run being written: its tables and files, checked and committed under a manifest that is written last."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.datasets.schema import Dataset, Facts, Table
from jobs.errors import MissingInput, NightlensError
from jobs.lake.files import LakeFiles, Store
from jobs.lake.manifest import MANIFEST, FileInfo, Manifest, TableInfo, partition_path
from jobs.runtime.resource_meter import Meter

_NOTHING_FOUND = Facts()


@dataclass(frozen=True)
class WorkerOutput:
    """Where worker processes put files of a run being written, or find what they share; it can be sent to them."""

    lake_uri: str
    catalogue: str
    attempt: str

    @contextmanager
    def folder(self, prefix: str) -> Iterator[Path]:
        """Give a temporary local folder; its files become `prefix/...` of the run when the block ends well.

        Each is there whole or not at all, and one of an earlier try is replaced, so a task may be tried again.
        """
        lake = LakeFiles(self.lake_uri, self.catalogue)
        scratch = None
        if lake.is_local:  # where its files need only be renamed
            scratch = f"{self.attempt}/scratch"
            Path(scratch).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="nightlens-", dir=scratch) as temporary:
            yield Path(temporary)
            for path in sorted(Path(temporary).iterdir()):
                target = self.path(f"{prefix}/{path.name}")
                if lake.is_local:
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                    path.replace(target)
                else:
                    lake.fs.put_file(str(path), target)

    @contextmanager
    def reading(self, prefix: str) -> Iterator[Path]:
        """Give what `folder` put below `prefix/` as a local folder; files of an object store are copied to one."""
        lake = LakeFiles(self.lake_uri, self.catalogue)
        if lake.is_local:
            yield Path(self.path(prefix))
            return
        with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
            for path in lake.fs.find(self.path(prefix)):
                lake.fs.get_file(path, f"{temporary}/{path.rsplit('/', 1)[1]}")
            yield Path(temporary)

    def remove(self, prefix: str) -> None:
        """Remove what is below `prefix/`."""
        LakeFiles(self.lake_uri, self.catalogue).fs.rm(self.path(prefix), recursive=True)

    def path(self, name: str) -> str:
        """Return where a file of the run is."""
        return f"{self.attempt}/files/{name}"

    def read(self, path: str) -> bytes:
        """Return a file of the lake, of this run or of another."""
        return bytes(LakeFiles(self.lake_uri, self.catalogue).fs.cat_file(path))


class StagedRun:
    """A run being written. Its files lie below an attempt folder of their own, so two writers never mix."""

    def __init__(self, lake: LakeFiles, dataset: Dataset, record: dict[str, Any], manifest: Manifest | None) -> None:
        self.lake = lake
        self.dataset = dataset
        self.manifest = manifest
        self.run_id: str = record["run_id"]
        self._record = record
        self._begun = time.perf_counter()
        self._meter = Meter()
        if manifest is not None:  # there is nothing to do
            self._meter.stop()
        folder = partition_path(dataset.layer, dataset.name, record["partition"])
        self._run_folder = f"{lake.root}/{folder}/run_id={self.run_id}"
        self._attempt = f"{self._run_folder}/{uuid.uuid4().hex[:12]}"
        self._linked_files: dict[str, FileInfo] = {}
        self._linked_tables: dict[str, TableInfo] = {}

    def table_folder(self, table: str) -> str:
        """Return the folder of the lake that a declared table's Parquet files are written into."""
        return f"{self._attempt}/tables/{self.dataset.table(table).name}"

    def write_table(self, table: str, frame: pl.DataFrame, shard: int = 0) -> None:
        """Write a table, or a shard of it: columns in the declared order and cast to the declared types where safe."""
        declared = self.dataset.table(table)
        missing = set(declared.schema.names) - set(frame.columns)
        if missing or set(frame.columns) - set(declared.schema.names):
            raise NightlensError(
                "undeclared_schema",
                f"{self.dataset.name}.{table}: columns are {frame.columns}, declared are {declared.schema.names}",
                table=f"{self.dataset.name}.{table}",
            )
        arrow = frame.select(declared.schema.names).to_arrow().cast(declared.schema)
        buffer = io.BytesIO()
        pq.write_table(arrow, buffer, compression="zstd")
        self.lake.put(f"{self._attempt}/tables/{table}/part-{shard:05d}.parquet", buffer.getvalue())

    def write_file(self, name: str, data: bytes) -> None:
        """Write one file; `name` may hold slashes."""
        self.lake.put(f"{self._attempt}/files/{name}", data)

    @contextmanager
    def local_folder(self, prefix: str) -> Iterator[Path]:
        """Give a local folder to write into; its files become `prefix/...` of the run when the block ends."""
        if self.lake.is_local:
            folder = Path(f"{self._attempt}/files/{prefix}")
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="nightlens-") as temporary:
            yield Path(temporary)
            for path in sorted(Path(temporary).rglob("*")):
                if path.is_file():
                    name = path.relative_to(temporary).as_posix()
                    self.lake.fs.put_file(str(path), f"{self._attempt}/files/{prefix}/{name}")

    @property
    def worker_output(self) -> WorkerOutput:
        """Where worker processes put files of this run."""
        return WorkerOutput(self.lake.root_uri, self.lake.catalogue, self._attempt)

    def link_file(self, manifest: Manifest, name: str) -> None:
        """Take over one file of a committed run without copying it."""
        self._linked_files[name] = self.lake.file_info(manifest, name)

    def link_files(self, manifest: Manifest, prefix: str, new_prefix: str | None = None) -> None:
        """Take over the files below `prefix/` of a committed run without copying them."""
        target = prefix if new_prefix is None else new_prefix
        names = [name for name in manifest.files if name.startswith(f"{prefix}/")]
        if not names:
            raise MissingInput(
                "not_in_run", f"{manifest.reference} has no files below {prefix!r}", run=manifest.reference, name=prefix
            )
        for name in names:
            self._linked_files[target + name[len(prefix) :]] = manifest.files[name]

    def link_table(self, manifest: Manifest, table: str) -> None:
        """Take over a table of a committed run without copying it."""
        self._linked_tables[self.dataset.table(table).name] = manifest.tables[table]

    def link_parts(self, table: str, parts: Sequence[FileInfo]) -> None:
        """Let a table consist of Parquet files that a store holds; of no file at all it is empty."""
        declared = self.dataset.table(table)
        if not parts:
            self.write_table(table, pl.DataFrame(pl.from_arrow(declared.schema.empty_table())))
            return
        self._linked_tables[table] = TableInfo(
            files=list(parts),
            row_count=sum(info.row_count or 0 for info in parts),
            columns={one.name: str(one.type) for one in declared.schema},
        )

    def commit(self, facts: Facts = _NOTHING_FOUND) -> Manifest:
        """Check every declared table (present, schema, rows), then write the manifest and swap the pointer.

        Raises `NightlensError` and commits nothing if a table is missing, empty or of another schema. If
        another writer committed the same run first, its manifest is returned and this attempt is dropped.
        """
        tables = {table.name: self._table_info(table) for table in self.dataset.tables}
        files = self._file_infos() | self._linked_files
        cpu_seconds, gpu_seconds = self._meter.stop()
        manifest = Manifest(
            **self._record,
            tables=tables,
            files=files,
            facts=facts.as_json(),
            facts_digest=facts.digest,
            duration_seconds=round(time.perf_counter() - self._begun, 3),
            cpu_seconds=cpu_seconds,
            gpu_seconds=gpu_seconds,
        )
        path, winner = f"{self._run_folder}/{MANIFEST}", manifest
        while not self.lake.create(path, manifest.model_dump_json(indent=1).encode()):
            found = self.lake.read_manifest(path)
            if found is not None:  # else it was removed just now
                winner = found
                self.abandon()
                break
        self.lake.point_to(winner)
        self.manifest = winner
        return winner

    def abandon(self) -> None:
        """Remove what this attempt wrote."""
        self._meter.stop()
        if self.lake.is_local:
            shutil.rmtree(self._attempt, ignore_errors=True)
        elif self.lake.fs.exists(self._attempt):
            self.lake.fs.rm(self._attempt, recursive=True)

    def _table_info(self, table: Table) -> TableInfo:
        if table.name in self._linked_tables:
            return self._linked_tables[table.name]
        where = f"{self.dataset.name}.{table.name}"
        folder = f"{self._attempt}/tables/{table.name}"
        paths = sorted(self.lake.fs.glob(f"{folder}/**/*.parquet")) if self.lake.fs.exists(folder) else []
        if not paths:
            raise NightlensError("table_not_written", f"{where} was not written; nothing is committed", table=where)
        infos, schema, row_count = [], None, 0
        for path in paths:
            with self.lake.fs.open(path, "rb") as file:
                metadata = pq.read_metadata(file)
            schema = metadata.schema.to_arrow_schema()
            _check_schema(where, schema, table.schema)
            if metadata.num_rows == 0 and len(paths) > 1:
                continue  # Spark writes empty parts; one is kept when the whole table is empty
            infos.append(self.lake.measure(path, metadata.num_rows))
            row_count += metadata.num_rows
        if row_count == 0 and not table.may_be_empty:
            raise MissingInput(
                "table_came_out_empty",
                f"{where} came out empty; nothing is committed. Look at the rows of its inputs.",
                table=where,
            )
        if not infos:
            infos = [self.lake.measure(paths[0], 0)]
        assert schema is not None
        return TableInfo(files=infos, row_count=row_count, columns={f.name: str(f.type) for f in schema})

    def _file_infos(self) -> dict[str, FileInfo]:
        folder = f"{self._attempt}/files"
        if not self.lake.fs.exists(folder):
            return {}
        return {path[len(folder) + 1 :]: self.lake.measure(path, None) for path in sorted(self.lake.fs.find(folder))}

    @property
    def worker_input(self) -> WorkerOutput:
        """Where worker processes find files that this stage has for them alone; they are no part of the run."""
        own = self._attempt.rsplit("/", 1)[1]  # else two attempts at the same run would remove each other's
        return WorkerOutput(self.lake.root_uri, self.lake.catalogue, f"{self.checkpoints.folder}/{own}")

    @cached_property
    def checkpoints(self) -> Store:
        """Where a long stage keeps what a rerun of the very same run resumes from; clear it after commit."""
        return self.lake.store("checkpoints", self.dataset.name, self.run_id)


def _check_schema(where: str, found: pa.Schema, declared: pa.Schema) -> None:
    found_types = {field.name: field.type for field in found}
    declared_types = {field.name: field.type for field in declared}
    if found_types.keys() != declared_types.keys() or any(
        not _same_type(found_types[name], kind) for name, kind in declared_types.items()
    ):
        raise NightlensError(
            "undeclared_schema",
            f"{where}: schema is { ({n: str(t) for n, t in found_types.items()}) }, "
            f"declared is { ({n: str(t) for n, t in declared_types.items()}) }; nothing is committed",
            table=where,
        )


def _same_type(found: pa.DataType, declared: pa.DataType) -> bool:
    """Types are equal up to the name of a list's element and its nullability, which writers spell differently."""
    if pa.types.is_list(declared):
        return pa.types.is_list(found) and _same_type(found.value_type, declared.value_type)
    return bool(found.equals(declared))
