"""A night of any number of made-up photos, written block by block, and its index built in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.arms import FULL
from jobs.config.params.base import Params
from jobs.config.params.index import BuildIndexParams
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, PhotoEmbeddingsFacts
from jobs.datasets.features import SPLITS
from jobs.nights.stage_runner import run_stage
from models.indexing.filling import Floats
from tests.benchmarks.measuring import context, run_measured
from tests.made_up_facts import made_up
from tests.validated_lake import complete

MODEL_DIGEST = "made-up"
_ROWS_PER_FILE = 65_536  # as embed_photos writes them
_PHOTOS_PER_DAY = 5_000
_CENTRES = 2_000


def vectors(count: int, dim: int, seed: int) -> Floats:
    """Unit vectors around common centres, as those of pictures are; another seed gives others of the same kind."""
    centre_CD = np.random.default_rng(0).normal(size=(_CENTRES, dim)).astype(np.float32)
    random = np.random.default_rng([1, seed])
    noise_ND = random.standard_normal((count, dim), dtype=np.float32)
    vector_ND = centre_CD[random.integers(0, _CENTRES, count)] + noise_ND
    return vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)


def photo_blocks(count: int, dim: int) -> Iterator[tuple[int, Floats]]:
    """Yield the first row and the vectors of each file."""
    for number, first in enumerate(range(0, count, _ROWS_PER_FILE)):
        yield first, vectors(min(_ROWS_PER_FILE, count - first), dim, number)


def commit_night(ctx: RunContext, count: int, dim: int) -> None:
    """Commit vectors of photos p0, p1 ... and the days they were submitted on; no process holds them all."""
    staged = ctx.begin(PHOTO_EMBEDDINGS, Params(), {})
    for first, photo_ND in photo_blocks(count, dim):
        names = [f"p{row}" for row in range(first, first + len(photo_ND))]
        frame = pl.DataFrame({"arm": FULL, "photo_id": names, "vector": photo_ND})
        staged.write_table(
            "embeddings", frame.with_columns(pl.col("vector").arr.to_list()), shard=first // _ROWS_PER_FILE
        )
    for table in ("quarantine", "exemplars"):
        staged.write_table(table, complete(pl.DataFrame(), PHOTO_EMBEDDINGS.table(table).schema))
    staged.commit(made_up(PhotoEmbeddingsFacts, arms={FULL: {"model_digest": MODEL_DIGEST, "dim": dim}}))

    staged = ctx.begin(SPLITS, Params(), {})
    for table in ("train", "validation", "test", "photo_keywords"):
        rows = pl.DataFrame({"photo_id": [None] if table in ("train", "test") else []}, schema={"photo_id": pl.String})
        staged.write_table(table, complete(rows, SPLITS.table(table).schema))
    for first in range(0, count, 1_000_000):
        row = pl.int_range(first, min(count, first + 1_000_000), eager=True)
        photos = pl.DataFrame({"photo_id": pl.select(pl.format("p{}", row)).to_series(), "row": row})
        submitted = pl.lit(datetime(2010, 1, 1, tzinfo=UTC)) + pl.duration(days=pl.col("row") // _PHOTOS_PER_DAY)
        photos = photos.select("photo_id", submitted_at=submitted.dt.cast_time_unit("us"), is_in_train=pl.lit(True))
        staged.write_table("photos", complete(photos, SPLITS.table("photos").schema), shard=first // 1_000_000)
    staged.commit()


def build(state_dir: Path, **params: Any) -> tuple[dict[str, Any], float]:
    """Build the index of a committed night in a process of its own; return its facts and the peak of all processes."""
    arguments = [str(state_dir), json.dumps(params)]
    found = run_measured([sys.executable, "-m", "tests.benchmarks.index_night", *arguments])
    return found.printed, found.peak_bytes / 2**20


if __name__ == "__main__":
    manifest = run_stage(context(Path(sys.argv[1])), "build_index", BuildIndexParams(**json.loads(sys.argv[2])))
    print(json.dumps(manifest.facts))
