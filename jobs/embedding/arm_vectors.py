"""The committed vectors of one arm, read in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.errors import MissingInput

if TYPE_CHECKING:
    from jobs.lake.catalogue import Lake
    from jobs.lake.manifest import Manifest


def batches_of_arm(
    lake: Lake, embeddings: Manifest, arm: str, columns: list[str], size: int = 65_536
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of an arm's vectors, at most `size` rows at a time, reading one file after the other."""
    for info in embeddings.tables["embeddings"].files:
        with lake.fs.open(f"{lake.root}/{info.path}", "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(size, columns=["arm", *columns]):
                rows = batch.filter(pc.equal(batch["arm"], arm))
                if len(rows):
                    yield rows.select(columns)


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
