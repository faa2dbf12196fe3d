"""The committed vectors of one arm, read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.datasets.embeddings import PhotoArmFacts, PhotoEmbeddingsFacts, QueryArmFacts, QueryEmbeddingsFacts
from jobs.errors import MissingInput

if TYPE_CHECKING:
    from jobs.lake.catalogue import Lake
    from jobs.lake.files import LakeFiles
    from jobs.lake.manifest import FileInfo, Manifest

A = TypeVar("A")


def photo_arm(embeddings: Manifest, arm: str) -> PhotoArmFacts:
    """Return by which model an arm's photo vectors are; `MissingInput` if there are none."""
    return _arm(embeddings, PhotoEmbeddingsFacts.of(embeddings).arms, arm)


def query_arm(embeddings: Manifest, arm: str) -> QueryArmFacts:
    """Return by which model an arm's query vectors are; `MissingInput` if there are none."""
    return _arm(embeddings, QueryEmbeddingsFacts.of(embeddings).arms, arm)


def _arm(embeddings: Manifest, arms: Mapping[str, A], arm: str) -> A:
    if arm not in arms:
        raise MissingInput(
            "arm_not_embedded",
            f"{embeddings.reference} has no vectors of arm {arm!r}; it has {sorted(arms)}",
            run=embeddings.reference,
            arm=arm,
        )
    return arms[arm]


def batches_of_arm(
    lake: Lake, embeddings: Manifest, arm: str, columns: list[str], size: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of an arm's vectors, at most `size` rows at a time, reading one file after the other."""
    for info in embeddings.tables["embeddings"].files:
        yield from batches_of_file(lake, info, arm, columns, size)


def batches_of_file(
    lake: LakeFiles, info: FileInfo, arm: str, columns: list[str], size: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of an arm's vectors in one file, at most `size` rows at a time."""
    with lake.open_whole(info) as file:
        for batch in pq.ParquetFile(file).iter_batches(size, columns=["arm", *columns]):
            rows = batch.filter(pc.equal(batch["arm"], arm))
            if len(rows):
                yield rows.select(columns)


def files_of_arm(lake: Lake, embeddings: Manifest, arm: str) -> list[FileInfo]:
    """Return the files that may have vectors of an arm, as their footers say. Of many photos each is of one arm."""
    files = []
    for info in embeddings.tables["embeddings"].files:
        with lake.fs.open(f"{lake.root}/{info.path}", "rb") as file:
            footer = pq.read_metadata(file)
        column = footer.schema.names.index("arm")
        ranges = [footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups)]
        if any(found is None or not found.has_min_max or found.min <= arm <= found.max for found in ranges):
            files.append(info)
    return files


def count_photos(lake: Lake, embeddings: Manifest, arm: str) -> int:
    """Return how many photos of an arm have vectors; `MissingInput` if none has."""
    count = sum(len(batch) for batch in batches_of_arm(lake, embeddings, arm, ["photo_id"]))
    if not count:
        raise MissingInput(
            "arm_not_embedded",
            f"{embeddings.reference} has no vectors of arm {arm!r}",
            run=embeddings.reference,
            arm=arm,
        )
    return count
