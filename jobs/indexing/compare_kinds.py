"""Other kinds of index beside the night's own: each is built from the same photos, measured, and thrown away."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.index import VerifyIndexParams
from jobs.config.settings import Settings
from jobs.datasets.all import named
from jobs.datasets.indexes import PHOTO_INDEX, PhotoIndexFacts
from jobs.errors import BadInput, MissingInput
from jobs.indexing.held_out_queries import Queries, model_of, photo_blocks, read_queries
from jobs.indexing.measured_index import CUTOFFS, Measured, measure, recalls
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models import ann
from models.evaluation.statistics import Estimates
from models.indexing.building import build_index
from models.indexing.filling import Floats
from models.indexing.kinds import KINDS, Kind, fewest_photos

Photos = Sequence[tuple[list[str], Floats]]
_PLAIN: Any = {
    "tbl_formatting": "NOTHING",
    "tbl_hide_column_data_types": True,
    "tbl_hide_dataframe_shape": True,
    "tbl_cols": -1,
    "tbl_width_chars": -1,
}


def compare_kinds(settings: Settings, catalogue: str, run_date: date | None, kinds: Sequence[str] = ()) -> str:
    """Return a table of kinds of index (default: all), measured as `verify_index` measures the night's own.

    Each is built as one shard and searched as thoroughly as is usual for it. This process holds all photo vectors and
    searches with one thread from now on. Without a `run_date` it is the latest night with an index. Of all kinds, those
    that need more photos are left out by name. Raises `BadInput` for a kind in `kinds` that is unknown or needs more
    photos, `MissingInput` for a night without an index.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise BadInput(
            "no_such_kind", f"unknown kind {', '.join(unknown)}; there are {', '.join(KINDS)}", kinds=unknown
        )
    lake, params = Lake(settings.lake_uri, catalogue), VerifyIndexParams.model_validate({})
    index = _index(lake, run_date)
    names = ("splits", "photo_embeddings", "query_embeddings")
    inputs = {name: lake.current(named(name), index.partition) for name in names} | {"photo_index": index}
    arm, seed = str(index.params["arm"]), int(index.identity["seed"])
    model_of(inputs, arm)
    queries = read_queries(lake, inputs, arm, params.query_count, seed)
    dim = queries.vectors.shape[1]
    photos = list(photo_blocks(lake, inputs["photo_embeddings"], arm, dim))
    photo_count = sum(len(names) for names, _ in photos)
    wanted = [kind for kind in KINDS if kind in (kinds or KINDS)]
    left_out = {kind: fewest for kind in wanted if photo_count < (fewest := fewest_photos(kind, dim))}
    notes = [f"{kind} is left out: it learns from {fewest:,} photos at least." for kind, fewest in left_out.items()]
    if kinds and left_out:
        raise BadInput(
            "too_few_photos_for_kind",
            f"the night of {index.partition['run_date']} has {photo_count:,} photos. {' '.join(notes)} Name other "
            f"kinds by --kinds, or none to compare all that suit.",
            photo_count=photo_count,
            fewest=left_out,
        )
    tried = {kind: _try(kind, photos, queries, params.batch_size, seed) for kind in wanted if kind not in left_out}
    measured = [one for one, _ in tried.values()]
    found = recalls(settings, lake, inputs["photo_embeddings"], arm, measured, queries)
    title = (
        f"{catalogue}, night of {index.partition['run_date']}: {photo_count:,} photos, "
        f"{len(queries.vectors):,} {queries.window} queries, batches of {params.batch_size}. The night's index is "
        f"{PhotoIndexFacts.of(index).kind}."
    )
    rows = [_row(kind, *tried[kind], recall) for kind, recall in zip(tried, found, strict=True)]
    with pl.Config(**_PLAIN):
        return "\n".join([title, str(pl.DataFrame(rows)), *notes])


def _index(lake: Lake, run_date: date | None) -> Manifest:
    if run_date is not None:
        return lake.current(PHOTO_INDEX, {"run_date": run_date.isoformat()})
    runs = lake.history(PHOTO_INDEX)
    if not runs:
        raise MissingInput(
            "no_night_yet", f"there is no index below {lake.root}. Run a night: make nightly", lake=str(lake.root)
        )
    return runs[-1]


def _try(kind: Kind, photos: Photos, queries: Queries, batch_size: int, seed: int) -> tuple[Measured, float]:
    """Build an index of the kind, measure it, and return also the seconds that building took."""
    photo_ids = [photo_id for names, _ in photos for photo_id in names]
    photo_ND = np.concatenate([photo_BD for _, photo_BD in photos])
    with tempfile.TemporaryDirectory(prefix="nightlens-") as name:
        folder, begun = Path(name), time.perf_counter()
        build_index(folder, photo_ND, photo_ids, kind, model_digest="tried", shard_size=len(photo_ids), seed=seed)
        seconds = time.perf_counter() - begun
        with ann.ShardedIndex.open(folder, "tried", is_trusted=True) as index:
            return measure(index, queries.vectors, batch_size), seconds


def _row(kind: Kind, one: Measured, seconds: float, found: Estimates) -> dict[str, str | float]:
    ends = zip(CUTOFFS, found.value, found.low, found.high, strict=True)
    return {
        "kind": kind,
        **{f"recall@{k}": f"{value:.3f} ({low:.3f}-{high:.3f})" for k, value, low, high in ends},
        "p50 ms": one.single.p50_ms,
        "p99 ms": one.single.p99_ms,
        "batch p50 ms": one.batch.p50_ms,
        "built in s": round(seconds, 2),
        "bytes per photo": one.bytes_per_vector,
    }
