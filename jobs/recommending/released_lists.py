"""The lists of a release: what to show next to those who were there last, written in tasks, a file of the table each.

A task finds what the methods learned among the night's files, and the rest in the folder `shared` of its stage's.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jobs.adapters.task_pool import task_pool
from jobs.config.settings import Settings
from jobs.datasets.features import SplitsFacts
from jobs.datasets.releases import LISTS, RELEASE
from jobs.evaluation.integers import integers
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun, WorkerOutput
from jobs.recommending.conversion_log import SECOND, count_visitors, name_visitors, read_log
from jobs.recommending.saved_methods import open_method
from models.ann import Visibility
from models.arrays import open_arrays, save_arrays
from models.recommend.interactions import NONE, Interactions
from models.recommend.interface import Fitted
from models.recommend.live import LiveRecommender, NumberedPhotos, ShownPhotos

POPULARITY = "popularity"
DEPTH = 100
"""Photos of a visitor's list."""
_VISITORS_AT_ONCE = 10_000
"""Visitors of a task."""
_VISITORS = "visitors.parquet"


@dataclass(frozen=True)
class ListMaker:
    """By what lists are made: a method of a night, and how; `settings` are those of a `LiveRecommender`."""

    night: str
    method: str
    visibility: Visibility
    settings: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Shared:
    numbered: NumberedPhotos
    shown: ShownPhotos
    histories: Interactions
    name_I: NDArray[np.bytes_]  # of the photos as methods number them


@dataclass(frozen=True)
class _Task:
    maker: ListMaker
    files: WorkerOutput
    table_folder: str


def write_lists(
    settings: Settings,
    splits: Manifest,
    staged: StagedRun,
    maker: ListMaker,
    photos: tuple[NumberedPhotos, ShownPhotos],
    photo_ids: pl.Series,
    most: int,
) -> int:
    """Write the lists of the `most` visitors who were there last, by all that they took; return how many have one."""
    lake = Lake(staged.lake.root_uri, staged.lake.catalogue)
    staged.write_table(LISTS, no_list())  # where nobody follows
    visitors, histories = _histories(lake, splits, photo_ids, maker.settings["codes"], most)
    with staged.worker_input.folder("shared") as folder:
        name_I = np.array([name.encode() for name in photo_ids], np.bytes_)
        save_arrays(_Shared(*photos, histories, name_I), folder)
        visitors.write_parquet(folder / _VISITORS)
    task = _Task(maker, staged.worker_input, staged.table_folder(LISTS))
    starts = range(0, len(visitors), _VISITORS_AT_ONCE)
    try:
        with task_pool(settings, "recommendations", len(histories.item_N)) as pool:
            return sum(pool.each(partial(_write_part, task), [*enumerate(starts)]))
    finally:
        _opened.cache_clear()


def no_list() -> pl.DataFrame:
    """Return the table of lists without a row."""
    return pl.DataFrame(RELEASE.table(LISTS).schema.empty_table())


def _histories(
    lake: Lake, splits: Manifest, photo_ids: pl.Series, codes: Mapping[str, int], most: int
) -> tuple[pl.DataFrame, Interactions]:
    """Return the `most` visitors who were there last, in the order in which the log knows them, and all they took.

    Of each there is visitor_id and country: the last one known, "" if none is.
    """
    last = count_visitors(lake, splits).sort("last_at", "visitor", descending=[True, False]).head(most)
    visitors = last.select("visitor").sort("visitor").with_row_index("place")
    rows, names = read_log(lake, splits, photo_ids, visitors)
    known = rows.filter(pl.col("country") != NONE).sort("at", "item").group_by("place").agg(pl.col("country").last())
    country_V = np.full(len(visitors), NONE, np.int64)
    country_V[integers(known["place"])] = integers(known["country"])
    name_V = np.array([*names, ""])[country_V]  # the last of them for those not known
    histories = Interactions.of(
        integers(rows["place"]),
        integers(rows["item"]),
        rows["at"].to_numpy() / SECOND,
        np.ones(len(rows), np.float32),
        np.array([codes.get(name, NONE) for name in name_V.tolist()], np.int32),
        item_count=len(photo_ids),
        as_of=SplitsFacts.of(splits).test_end.timestamp(),
    )
    ids = name_visitors(lake, splits, integers(visitors["visitor"]))
    countries = pl.Series("country", name_V.tolist(), dtype=pl.String)
    return pl.DataFrame([ids, countries]), histories


def _write_part(task: _Task, part: tuple[int, int]) -> int:
    """Write the lists of the visitors from the part's start; return how many have one."""
    number, start = part
    methods, shared, visitors = _opened(task.files, task.maker.night, task.maker.method)
    live = LiveRecommender(*methods, shared.numbered, shared.shown, task.maker.visibility, **task.maker.settings)
    block = visitors[start : start + _VISITORS_AT_ONCE]
    with threadpool_limits(1):  # by which every machine computes alike
        own = shared.histories.take(np.arange(start, start + len(block)))
        item_VK, score_VK = live.lists(own, block["country"].to_list(), DEPTH)
    row_M, column_M = np.nonzero(item_VK != NONE)
    rows = pl.DataFrame(
        {
            "visitor_id": block["visitor_id"][row_M],
            "position": column_M + 1,
            "photo_id": pl.Series(shared.name_I[item_VK[row_M, column_M]]).cast(pl.String),
            "score": score_VK[row_M, column_M],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(rows.to_arrow().cast(RELEASE.table(LISTS).schema), buffer, compression="zstd")
    Lake(task.files.lake_uri, task.files.catalogue).put(
        f"{task.table_folder}/part-{number:05d}.parquet", buffer.getvalue()
    )
    return len(np.unique(row_M))


@lru_cache(maxsize=1)
def _opened(files: WorkerOutput, night: str, method: str) -> tuple[tuple[Fitted, Fitted], _Shared, pl.DataFrame]:
    """Return the methods and what else the tasks share; a process opens it once."""
    lake = Lake(files.lake_uri, files.catalogue)
    methods = {name: open_method(lake, lake.by_reference(night), name) for name in (method, POPULARITY)}
    with files.reading("shared") as folder:
        visitors = pl.read_parquet(folder / _VISITORS)
        return (methods[method], methods[POPULARITY]), open_arrays(_Shared, folder), visitors
