"""The lists that were shown: their rows, and how every arm would have ordered those of the test window.

An arm orders the photos of a list alone: what was not shown had no chance to be taken, and nothing is known of it. The
whole searches are left out: they choose candidates of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from jobs.datasets.evaluation import AS_SHOWN, EVALUATION, OffPolicyFacts
from jobs.datasets.features import SplitsFacts
from jobs.evaluation.integers import integers
from jobs.evaluation.ranked_arm import RankedArm
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.off_policy import (
    FEWEST_EFFECTIVE,
    LEAST_PROPENSITY,
    MOST_UNSUPPORTED,
    Ints,
    inverse_propensity,
    order_values,
    ranks_in_lists,
)

TAKEN = ("click", "like", "download")
"""Interactions that show that a photo was wanted."""
LIST = ["visitor_id", "query_id", "query_photo_id", "listed_at"]


def read_shown(lake: Lake, validated: Manifest, start: datetime, end: datetime) -> pl.DataFrame:
    """Return a row per photo in a list that was shown in [start, end), whatever rows of the log tell of it.

    Besides the log's columns: `is_taken`, `listed_at` (tells lists without an id apart), `visitor` (number by first
    appearance), and `seek`, what was asked for: a query, or a photo. Rows are in the order of time, then as the
    log has them: pseudonyms decide nothing.
    """
    at = pl.col("shown_at")
    rows = pl.scan_parquet(lake.table_uris(validated, "impressions"), row_index_name="row")
    rows = rows.filter(at >= start, at < end)
    listed = pl.when(pl.col("query_id").is_null()).then(at).alias("listed_at")
    rows = rows.with_columns(listed, pl.col("query").replace("", None))  # a blank query says nothing
    shown = rows.group_by(*LIST, "photo_id", "position").agg(
        at.min(),
        pl.col("query", "country", "arm").drop_nulls().sort().first(),
        pl.col("interaction").is_in(TAKEN).any().alias("is_taken"),
        pl.col("dwell_seconds").max(),
        pl.col("row").min(),
    )
    seek = pl.coalesce("query", pl.format("photo {}", "query_photo_id"))
    visitor = pl.col("number").min().over("visitor_id").rank("dense").cast(pl.Int64).alias("visitor")
    shown_in_order = shown.collect().sort("shown_at", "row").with_row_index("number")
    return shown_in_order.with_columns(seek.alias("seek"), visitor)


@dataclass(frozen=True)
class ShownLists:
    """The photos of the test window's lists, a row each, and their rank in their list by arm.

    Only lists for queries that are ranked tonight are there, and of these only photos of the corpus at places with a
    propensity. `facts` says how many, and why nothing can be told.
    """

    rows: pl.DataFrame  # list, text, place, visitor (numbers), is_taken, propensity
    facts: OffPolicyFacts
    ranks: dict[str, Ints] = field(default_factory=dict)

    @classmethod
    def read(cls, lake: Lake, inputs: dict[str, Manifest], task: Task) -> ShownLists:
        """Return the lists; propensities are those that the training window tells."""
        start, end = SplitsFacts.of(inputs["splits"]).windows["test"]
        shown = read_shown(lake, inputs["validated"], start, end).drop_nulls("query")
        told = lake.read_table(inputs["impressions"], "examination", ["position", "examination"])
        told = told.rename({"examination": "propensity"})
        asked = (
            shown.with_columns(
                pl.col("country").fill_null(""),
                pl.col("number").min().over(LIST).rank("dense").alias("list"),
            )
            .join(task.texts, on=["query", "country"])
            .join(task.photos.select("photo_id", "place"), on="photo_id")
            .join(told, on="position", how="left")
        )
        is_supported = (pl.col("propensity") >= LEAST_PROPENSITY).fill_null(False)
        taken = asked.filter("is_taken")
        unsupported = len(taken.filter(~is_supported)) / max(1, len(taken))
        rows = asked.filter(is_supported).filter(pl.len().over("list") > 1).sort("list", "position", "place")
        if shown.is_empty():
            note = "the log of what was shown has no list for a query in the test window"
        elif told.is_empty():
            note = "nobody can tell how often places are looked at, so there are no propensities"
        elif unsupported > MOST_UNSUPPORTED:
            note = f"{unsupported:.0%} of what was taken stood at places without a propensity"
        else:
            note = ""
        facts = OffPolicyFacts(
            note=note,
            shown_list_count=len(shown.select(LIST).unique()),
            list_count=rows["list"].n_unique(),
            taken_count=int(rows["is_taken"].sum()),
            unsupported_share=unsupported,
        )
        return cls(
            rows,
            facts,
            {AS_SHOWN: ranks_in_lists(integers(rows["list"]), -rows["position"].to_numpy(), integers(rows["place"]))},
        )

    def add(self, name: str, arm: RankedArm) -> None:
        """Rank the photos of each list by an arm; ties as everywhere."""
        text_N, place_N = integers(self.rows["text"]), integers(self.rows["place"])
        score_N = arm.of_pairs(text_N, place_N)
        self.ranks[name] = ranks_in_lists(integers(self.rows["list"]), score_N.astype(np.float64), place_N)

    def values(self) -> tuple[pl.DataFrame, OffPolicyFacts]:
        """Return the table `off_policy`, empty where `note` of the facts says why."""
        empty = pl.DataFrame(EVALUATION.table("off_policy").schema.empty_table())
        if self.facts.note:
            return empty, self.facts
        rank_NA = np.column_stack(list(self.ranks.values())).astype(np.float64)
        gains = {"mrr": 1 / rank_NA, "dcg": 1 / np.log2(1 + rank_NA)}
        appeal_N = inverse_propensity(self.rows["is_taken"].to_numpy(), self.rows["propensity"].to_numpy())
        visitor_N, text_N = integers(self.rows["visitor"]), integers(self.rows["text"])
        values = order_values(np.hstack(list(gains.values())), appeal_N, visitor_N, text_N)
        if values is None:
            note = f"what was taken is worth fewer than {FEWEST_EFFECTIVE:g} visitors of equal weight: too few"
            return empty, self.facts.model_copy(update={"note": note})
        found, effective_count = values
        names = [(arm, metric) for metric in gains for arm in self.ranks]
        table = pl.DataFrame(names, schema=["arm", "metric"], orient="row").with_columns(
            value=pl.Series(found.value), low=pl.Series(found.low), high=pl.Series(found.high)
        )
        return table, self.facts.model_copy(update={"effective_count": effective_count})
