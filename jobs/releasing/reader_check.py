"""Whether a release's own reader finds what the evaluation found: the same searches, through its index and its rules.

The release knows the conversions of the test window, so it is asked with the tables of the evaluation in place of its
own: they end where that window begins. All else is what a site will read: model, index, reranker, hidden photos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from jobs.datasets.evaluation import EvaluationFacts
from jobs.datasets.features import SplitsFacts
from jobs.evaluation.ranking_task import read_task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.reader import OpenRelease
from jobs.reranking.inputs import KNOWN
from jobs.reranking.tables import read_catalogue
from models.rerank.live import Asked
from models.serving import embed_queries

MOST_SEARCHES = 1000
_CUTOFF = 10


@dataclass(frozen=True)
class ReaderCheck:
    """Hit rates at 10 of the same searches: as they were evaluated, and as the opened release answers them."""

    search_count: int
    evaluated: float
    read: float


def read_through(lake: Lake, inputs: dict[str, Manifest], release: OpenRelease, seed: int) -> ReaderCheck:
    """Return both hit rates, of at most `MOST_SEARCHES` test searches, a sample that the seed decides."""
    task, splits = read_task(lake, inputs["splits"]), SplitsFacts.of(inputs["splits"])
    count = len(task.targets)
    rows = np.sort(np.random.default_rng(seed).choice(count, min(count, MOST_SEARCHES), replace=False))
    asked = task.queries[rows].select("query", "country", "device_type", "orientation_filter")
    searches = [Asked(*one) for one in asked.iter_rows()]

    start, half_life = splits.windows["test"][0], inputs["reranker"].params["half_life_days"]
    catalogue = read_catalogue(lake, inputs, half_life, KNOWN["test"], start)
    live = replace(release.live, catalogue=catalogue)
    assert release.model is not None, "open the release with its model"
    vectors = embed_queries(release.model, [(one.words, one.country) for one in searches])
    lists = live.search(searches, vectors, _CUTOFF, task.asked_at[rows])
    read_Q = catalogue.ranks(lists, task.queries[rows]["photo_id"].to_list())
    challenger = EvaluationFacts.of(inputs["evaluation"]).verdict.challenger
    ranks = lake.read_table(inputs["evaluation"], "ranks").filter(pl.col("arm") == challenger).sort("query_id")["rank"]
    evaluated, read = ((rank_Q <= _CUTOFF).mean() for rank_Q in (ranks.to_numpy()[rows], read_Q))
    return ReaderCheck(len(rows), float(evaluated), float(read))
