"""The tables of the evaluation of similar photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from jobs.config.params.evaluation import Truth
from jobs.datasets.evaluation import SIMILAR, TruthFacts
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.tables import comparisons_table, counts, estimate_rows
from models.evaluation.scorecard import Scorecard
from models.evaluation.topk_merge import Ints, Top
from models.similar import truths
from models.similar.duplicates import Units, arrange
from models.similar.neighbours import Judged

SHEET_PHOTOS = 6
SHEET_DEPTH = SHEET_PHOTOS + 51
"""The best photos of a query that the contact sheet draws from: its own and near duplicates are among them."""


@dataclass
class Asked:
    """A ground truth with the photos that it has answers for."""

    name: Truth
    truth: truths.Truth
    judged: Judged = field(init=False)
    cluster_count: int = 0

    @property
    def count(self) -> int:
        """How many query photos there are."""
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


def sheet_queries(shown: Asked | None, count: int) -> Ints:
    """Return the first photos of a truth, of as many clusters; none without a truth."""
    if shown is None:
        return np.zeros(0, np.int64)
    _, first = np.unique(shown.judged.cluster_Q, return_index=True)
    return shown.judged.query_Q[np.sort(first)[:count]]


def sheet_rows(
    task: Task, units: Units, asked: Sequence[Asked], queries: Ints, found: Mapping[str, Top]
) -> pl.DataFrame:
    """Return the table `contact_sheet`: what every arm finds for some photos, from its best photos for each."""
    answers = {one.name: _answers(one.truth, queries) for one in asked}
    photo_ids = task.photos["photo_id"]
    rows = []
    for arm, (place_SK, score_SK) in found.items():
        for number, (query, place_K, score_K) in enumerate(zip(queries.tolist(), place_SK, score_SK, strict=True)):
            order = place_K[place_K >= 0]
            shown = arrange(
                units.group[order], order == query, units.is_hidden[order], int(units.group[query]), SHEET_PHOTOS
            )
            for position, (place, alike) in enumerate(zip(shown.places, shown.alike, strict=True), start=1):
                photo = int(order[place])
                rows.append(
                    {
                        "query_photo_id": photo_ids[query],
                        "arm": arm,
                        "position": position,
                        "photo_id": photo_ids[photo],
                        "score": float(score_K[place]),
                        "truths": [name for name, are in answers.items() if (number, photo) in are],
                        "alike": [photo_ids[int(order[other])] for other in alike],
                    }
                )
    return pl.DataFrame(rows, schema=pl.DataFrame(SIMILAR.table("contact_sheet").schema.empty_table()).schema)


def _answers(truth: truths.Truth, queries: Ints) -> set[tuple[int, int]]:
    """Return which photos are like which of the queries, given by their numbers."""
    blocks = truth.gains(queries)
    return {
        (block.start + row, place)
        for block, cells in blocks
        for row, place in zip(cells.row_N.tolist(), cells.place_N.tolist(), strict=True)
    }
