"""A folder's files one after another, so that a folder of any length can be read.

fsspec lists a whole folder before it gives the first name. A local folder and S3 are read piece by piece instead; of
other file systems the names of one folder are in memory at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def entries(fs: AbstractFileSystem, folder: str) -> Iterator[dict[str, Any]]:
    """Yield what `fs.ls(folder, detail=True)` holds, in any order; of files at least name, type, size and time."""
    if isinstance(fs, LocalFileSystem):
        yield from _local_entries(fs, folder)
    elif hasattr(fs, "call_s3"):
        yield from _s3_entries(fs, folder)
    else:
        yield from fs.ls(folder, detail=True, refresh=True)


def _local_entries(fs: LocalFileSystem, folder: str) -> Iterator[dict[str, Any]]:
    with os.scandir(folder) as found:
        for entry in found:
            try:
                if entry.is_file(follow_symlinks=False):  # `fs.info` says the same, in four times the time
                    status = entry.stat(follow_symlinks=False)
                    info = {"name": entry.path, "type": "file", "size": status.st_size, "mtime": status.st_mtime}
                else:
                    info = fs.info(entry)
            except FileNotFoundError:  # removed just now
                continue
            yield info


def _s3_entries(fs: Any, folder: str) -> Iterator[dict[str, Any]]:
    bucket, _, prefix = folder.partition("/")
    asked = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else "", "Delimiter": "/"}
    while True:
        page = fs.call_s3("list_objects_v2", **asked)
        for found in page.get("Contents", ()):
            name = f"{bucket}/{found['Key']}"
            yield {"name": name, "type": "file", "size": found["Size"], "LastModified": found["LastModified"]}
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]
