"""The tables of the evaluation of similar photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.evaluation import Truth
from jobs.datasets.evaluation import SIMILAR, TruthFacts
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.tables import comparisons_table, counts, estimate_rows
from models.evaluation.ranking import Scorer
from models.evaluation.scorecard import Scorecard
from models.similar import truths
from models.similar.duplicates import Shown, Units, arrange
from models.similar.neighbours import Judged

SHEET_PHOTOS = 6
_SPARE = 50
"""Photos looked at beyond those shown, of which some are hidden or near duplicates."""


@dataclass
class Asked:
    """A ground truth with the photos that it has answers for."""

    name: Truth
    truth: truths.Truth
    judged: Judged = field(init=False)
    cluster_count: int = 0

    @property
    def count(self) -> int:
        """How many photos are searched with."""
        return len(self.judged.query_Q)

    def facts(self, fewest: int) -> TruthFacts:
        """Return what the truth amounts to, which is measured with so many photos at least."""
        is_measured = self.count >= fewest
        return TruthFacts(
            query_count=self.count,
            cluster_count=self.cluster_count,
            group_count=self.truth.group_count,
            mean_relevant=float(self.judged.relevant_Q.mean()) if self.count else None,
            note="" if is_measured else f"{self.count} photos have an answer, which is too few to measure by",
        )


def metric_rows(card: Scorecard, truth: str) -> pl.DataFrame:
    """Return rows of the table `metrics`."""
    return pl.concat(
        estimate_rows(card.estimates(arm), "value").with_columns(truth=pl.lit(truth), arm=pl.lit(arm), **counts(card))
        for arm in card.arms
    )


def comparison_rows(card: Scorecard, truth: str, challenger: str) -> pl.DataFrame:
    """Return rows of the table `comparisons`: the challenger less every other arm."""
    return comparisons_table(card, challenger).with_columns(truth=pl.lit(truth))


def query_rows(asked: Sequence[Asked], task: Task) -> pl.DataFrame:
    """Return the table `queries`."""
    photo_ids = task.photos["photo_id"]
    empty = pl.DataFrame(SIMILAR.table("queries").schema.empty_table())
    frames = (
        pl.DataFrame(
            {
                "photo_id": photo_ids[one.judged.query_Q],
                "relevant_count": one.judged.relevant_Q,
                "cluster": one.judged.cluster_Q,
            }
        ).select(pl.lit(one.name).alias("truth"), pl.all())
        for one in asked
    )
    return pl.concat([empty, *frames])


def sheet_rows(
    task: Task,
    units: Units,
    asked: Sequence[Asked],
    shown: Asked | None,
    arms: Sequence[str],
    load: Callable[[str], Scorer],
    count: int,
    counting: Sequence[str],
) -> pl.DataFrame:
    """Return the table `contact_sheet`: what every arm finds for the first photos of a truth, of as many clusters."""
    empty = pl.DataFrame(SIMILAR.table("contact_sheet").schema.empty_table())
    if shown is None:
        return empty
    _, first = np.unique(shown.judged.cluster_Q, return_index=True)
    queries = shown.judged.query_Q[np.sort(first)[:count]]
    answers = {one.name: one.truth.gains(queries) > 0 for one in asked}
    photo_ids = task.photos["photo_id"].to_list()
    rows = []
    for arm in arms:
        score_BP = load(arm)(queries)
        if arm in counting:  # what has nothing in common with a photo is no find
            score_BP = np.where(score_BP > 0, score_BP, -np.inf)
        for number, (query, score_P) in enumerate(zip(queries, score_BP, strict=True)):
            order, found = first_shown(units, int(query), score_P, SHEET_PHOTOS)
            for position, (place, alike) in enumerate(zip(found.places, found.alike, strict=True), start=1):
                photo = int(order[place])
                rows.append(
                    {
                        "query_photo_id": photo_ids[query],
                        "arm": arm,
                        "position": position,
                        "photo_id": photo_ids[photo],
                        "score": float(score_P[photo]),
                        "truths": [name for name, is_answer in answers.items() if is_answer[number, photo]],
                        "alike": [photo_ids[order[other]] for other in alike],
                    }
                )
    return pl.DataFrame(rows, schema=empty.schema)


def first_shown(units: Units, query: int, score_P: Any, k: int) -> tuple[Any, Shown]:
    """Return photos by falling score, and which of them the business filter shows of the best `k`."""
    order = np.argsort(-score_P, kind="stable")
    order = order[np.isfinite(score_P[order])][: k + 1 + _SPARE + int(units.is_hidden.sum())]
    found = arrange(units.group[order], order == query, units.is_hidden[order], int(units.group[query]), k)
    return order, found
