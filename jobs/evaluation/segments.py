"""The slices of the test queries: what kinds there are, and which slice of each kind a query belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.datasets.features import SplitsFacts
from jobs.evaluation.integers import integers, microseconds
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.segments import Events, FrequencyCuts, is_rising, script_of

_WINDOWS = ("train", "validation", "test")
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR


@dataclass(frozen=True)
class Segments:
    """The slice of every test query: a column per kind, a row per query of the task."""

    labels: pl.DataFrame
    frequency_cuts: FrequencyCuts

    def masks(self) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
        """Give kind, name and queries (mask of shape (Q,)) of each slice, the whole first; none is empty."""
        for kind in self.labels.columns:
            for name in self.labels[kind].unique().sort():
                yield kind, name, (self.labels[kind] == name).to_numpy()


def read_segments(lake: Lake, splits: Manifest, task: Task) -> Segments:
    """Return the slices of the task's queries.

    Kinds: all; country; photo_age (was the photo there in the training window); query_seen (were the words searched
    for in it); query_frequency (head, torso or tail by its searches, see `FrequencyCuts`); query_trend (rising: asked
    far more on the day before than in training, see `is_rising`); visitor (one-off: all searches of the visitor in the
    three windows fall on one day, UTC); script (of the query's letters).
    """
    rising = pl.Series(_is_rising(lake, splits, task))
    counts = _scan(lake, splits, "train").group_by("query").agg(pl.len().alias("past_count")).collect()
    cuts = FrequencyCuts.of(counts["past_count"].to_numpy())
    scripts = {query: script_of(query) for query in task.texts["query"].unique()}
    queries = task.queries.join(counts, on="query", how="left", maintain_order="left").join(
        _day_counts(lake, splits, task), on="visitor_id", how="left", maintain_order="left"
    )
    labels = queries.select(
        all=pl.lit("all"),
        country=pl.when(pl.col("country") == "").then(pl.lit("unknown")).otherwise("country"),
        photo_age=pl.when("is_in_train").then(pl.lit("old")).otherwise(pl.lit("new")),
        query_seen=pl.when("is_seen").then(pl.lit("seen")).otherwise(pl.lit("unseen")),
        query_frequency=pl.Series(list(map(cuts.name, queries["past_count"].fill_null(0)))),
        query_trend=pl.when(rising).then(pl.lit("rising")).otherwise(pl.lit("steady")),
        visitor=pl.when(pl.col("day_count") > 1).then(pl.lit("returning")).otherwise(pl.lit("one-off")),
        script=pl.col("query").replace_strict(scripts, return_dtype=pl.String),
    )
    return Segments(labels, cuts)


def _is_rising(lake: Lake, splits: Manifest, task: Task) -> NDArray[np.bool_]:
    """Tell of every search whether its words were asked for far more on the day before than in training, (Q,).

    The day ends with the last full hour before the search.
    """
    words = task.texts.select("query").unique().sort("query").with_row_index("words")
    is_asked = pl.col("query").is_in(words["query"].implode())
    scans = [_scan(lake, splits, name).select("query", "converted_at").filter(is_asked) for name in _WINDOWS]
    rows = pl.concat(scans).collect().join(words, on="query")
    asked = Events(integers(rows["words"]), integers(rows["converted_at"]))
    words_U = integers(task.texts.join(words, on="query", how="left", maintain_order="left")["words"])
    words_Q, now_Q = words_U[task.text_ids], task.asked_at // _HOUR * _HOUR
    start, end = (np.full(len(now_Q), microseconds(bound)) for bound in SplitsFacts.of(splits).windows["train"])
    usual_Q = asked.between(words_Q, start, end) / max((end[0] - start[0]) / _DAY, 1)
    return is_rising(asked.between(words_Q, now_Q - _DAY, now_Q), usual_Q)


def _day_counts(lake: Lake, splits: Manifest, task: Task) -> pl.DataFrame:
    """Return on how many days each visitor of the test window searched, in any window."""
    tested = task.queries.lazy().select("visitor_id").unique()
    days = pl.concat(
        _scan(lake, splits, window).select("visitor_id", pl.col("converted_at").dt.date().alias("day"))
        for window in _WINDOWS
    )
    days = days.join(tested, on="visitor_id", how="semi")
    return days.group_by("visitor_id").agg(pl.col("day").n_unique().alias("day_count")).collect()


def _scan(lake: Lake, splits: Manifest, table: str) -> pl.LazyFrame:
    """Return a table that is not read whole: a year of searches is far more than those of a test window."""
    return pl.scan_parquet(lake.table_uris(splits, table))
