"""What a committed run says of itself: its files, tables, facts, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

MANIFEST = "manifest.json"


def fingerprint(identity: dict[str, Any]) -> str:
    """Return 16 hex digits that name `identity` (a JSON-like dict, order of keys irrelevant).

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class FileInfo(BaseModel):
    """One file of a run. `path` is relative to the catalogue's root, so a run may point into an older one.

    `pages_sha256` is of a Parquet file's pages, all that is before its footer: Java writes some lists of the footer
    in an order that changes from process to process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    byte_count: int
    sha256: str
    pages_sha256: str | None = None
    row_count: int | None = None

    @property
    def content_sha256(self) -> str:
        """What equal content has in common."""
        return self.pages_sha256 or self.sha256


class TableInfo(BaseModel):
    """One table of a run: its Parquet files in order, the number of rows, and the schema found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: list[FileInfo]
    row_count: int
    columns: dict[str, str]


class Manifest(BaseModel):
    """What a committed run consists of and what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    layer: str
    partition: dict[str, str]
    run_id: str
    identity: dict[str, Any]
    input_runs: dict[str, str]
    tables: dict[str, TableInfo]
    files: dict[str, FileInfo]
    facts: dict[str, Any]
    facts_digest: str = ""
    night: str
    git_version: str
    started_at: datetime
    duration_seconds: float
    cpu_seconds: float | None = None  # None: committed before this was measured
    gpu_seconds: float | None = None

    @property
    def own_bytes(self) -> int:
        """Bytes of the run's own files; what it links to is another run's."""
        return sum(info.byte_count for info in self._infos if info.path.startswith(f"{self.reference}/"))

    @property
    def paths(self) -> list[str]:
        """Where the run's files are below the catalogue's root, linked ones as well."""
        return [info.path for info in self._infos]

    @property
    def _infos(self) -> list[FileInfo]:
        return [*self.files.values(), *(info for table in self.tables.values() for info in table.files)]

    @property
    def reference(self) -> str:
        """`layer/dataset/partition/run_id`, readable and unique in the catalogue."""
        return f"{partition_path(self.layer, self.dataset, self.partition)}/run_id={self.run_id}"

    @property
    def digest(self) -> str:
        """Digest of the content: every table's pages, file's bytes and fact; not names, durations or times."""
        content = {
            "facts": self.facts_digest,
            "tables": {name: sorted(f.content_sha256 for f in t.files) for name, t in self.tables.items()},
            "files": {name: f.sha256 for name, f in self.files.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def params(self) -> dict[str, Any]:
        """The parameters the run was made with."""
        params: dict[str, Any] = self.identity["params"]
        return params

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows per table."""
        return {name: table.row_count for name, table in self.tables.items()}


def reference_of(path: str) -> str:
    """Return the reference of the run in whose folder a file is.

    >>> reference_of("clean/images/run_date=2025-12-28/run_id=1f/0a/files/x")
    'clean/images/run_date=2025-12-28/run_id=1f'
    """
    before, _, after = path.partition("/run_id=")
    return f"{before}/run_id={after.split('/', 1)[0]}"


def partition_path(layer: str, dataset: str, partition: dict[str, str]) -> str:
    """Return the folder of a partition below the catalogue's root."""
    return "/".join([layer, dataset, *(f"{key}={value}" for key, value in partition.items())])
