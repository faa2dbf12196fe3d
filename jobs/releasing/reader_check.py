"""Whether a release's own reader finds what the evaluation found: the same searches, through its index and its rules.

The release knows the conversions of the test window, so it is asked with the tables of the evaluation in place of its
own: they end where that window begins. It also has photos that came after a search: these are passed over in its lists.
Searches for photos that are hidden by now are not put to it: it does right not to find them. All else is what a site
will read: model, index, reranker, hidden photos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from jobs.datasets.evaluation import EvaluationFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import RerankerFacts
from jobs.evaluation.ranking_task import read_task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.reader import OpenRelease
from jobs.reranking.inputs import KNOWN
from jobs.reranking.tables import read_catalogue, read_taken
from models.rerank.live import Asked
from models.serving import embed_queries

MOST_SEARCHES = 1000
_CUTOFF, _SPARE = 10, 100


@dataclass(frozen=True)
class ReaderCheck:
    """Hit rates at 10 of the same searches: as they were evaluated, and as the opened release answers them."""

    search_count: int
    evaluated: float
    read: float


def read_through(lake: Lake, inputs: dict[str, Manifest], release: OpenRelease, seed: int) -> ReaderCheck:
    """Return both hit rates, of at most `MOST_SEARCHES` test searches, a sample that the seed decides."""
    task, splits = read_task(lake, inputs["splits"]), SplitsFacts.of(inputs["splits"])
    is_hidden_Q = release.live.visibility.hides(task.queries["photo_id"].to_list(), task.queries["country"].to_list())
    shown = np.flatnonzero(~is_hidden_Q)
    rows = np.sort(np.random.default_rng(seed).choice(shown, min(len(shown), MOST_SEARCHES), replace=False))
    asked = task.queries[rows].select("query", "country", "device_type", "orientation_filter", "visitor_id")
    start, half_life = splits.windows["test"][0], inputs["reranker"].params["half_life_days"]
    arm = RerankerFacts.of(inputs["reranker"]).base_arm
    taken = read_taken(lake, inputs["splits"], KNOWN["test"], start, asked["visitor_id"].to_list())
    searches = [
        Asked(words, country, device, orientation, taken.get(visitor_id, ()))
        for words, country, device, orientation, visitor_id in asked.iter_rows()
    ]
    catalogue = read_catalogue(lake, inputs, arm, half_life, KNOWN["test"], start)
    live = replace(release.live, catalogue=catalogue)
    assert release.model is not None, "open the release with its model"
    vectors = embed_queries(release.model, [(one.words, one.country) for one in searches])
    came_at = dict(zip(task.photos["photo_id"], task.available_at.tolist(), strict=True))
    asked_at_Q = task.asked_at[rows]
    lists = [
        [photo for photo in found if came_at[photo.photo_id] <= asked_at]
        for found, asked_at in zip(
            live.search(searches, vectors, _CUTOFF + _SPARE, asked_at_Q), asked_at_Q.tolist(), strict=True
        )
    ]
    read_Q = catalogue.ranks(lists, task.queries[rows]["photo_id"].to_list())
    challenger = EvaluationFacts.of(inputs["evaluation"]).verdict.challenger
    ranks = lake.read_table(inputs["evaluation"], "ranks").filter(pl.col("arm") == challenger).sort("query_id")["rank"]
    evaluated, read = ((rank_Q <= _CUTOFF).mean() for rank_Q in (ranks.to_numpy()[rows], read_Q))
    return ReaderCheck(len(rows), float(evaluated), float(read))
