"""Whole searches as arms of the evaluation, as of the test window's beginning: the candidate's and the champion's."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.config.params.arms import CHAMPION_ARM
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import EventsCheck, LiveReranker, RerankerFacts
from jobs.errors import BadInput
from jobs.evaluation.by_query import Judgements
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.answering import Answering
from jobs.reranking.inputs import WindowSearch
from jobs.reranking.saved import read_reranker
from models.evaluation.ranking import Ints
from models.rerank.candidates import SOURCES
from models.rerank.features import Searches
from models.rerank.pasts import NOBODYS


@dataclass(frozen=True)
class Reranked:
    """The test searches and the whole search that answers them."""

    asked: WindowSearch

    @classmethod
    def read_champion(
        cls, lake: Lake, inputs: dict[str, Manifest], task: Task, live: LiveReranker, where: Answering
    ) -> Reranked:
        """Return the search that is live, by the tables that the candidate's has too; errors as in `read`."""
        params: dict[str, Any] = live.model_dump(include={"half_life_days", "candidate_count"})
        params |= {"max_missing_share": inputs["reranker"].params["max_missing_share"]}
        reranker = read_reranker(lake, inputs["champion"])
        return cls(WindowSearch.read(lake, inputs, task, CHAMPION_ARM, params, where, reranker=reranker))

    @classmethod
    def read(cls, lake: Lake, inputs: dict[str, Manifest], task: Task, where: Answering) -> Reranked:
        """Return the candidate's search.

        `BadInput` if the reranker fits neither features nor window, `GateFailed` on a leak.
        """
        manifest = inputs["reranker"]
        test_start = SplitsFacts.of(inputs["splits"]).windows[task.window][0]
        facts = RerankerFacts.of(manifest)
        if facts.trained_until > test_start:
            raise BadInput(
                "reranker_trained_too_late",
                f"{manifest.reference} was trained until {facts.trained_until.isoformat()}, past the beginning of the "
                f"test window {test_start.isoformat()}. Rerun train_reranker.",
                run=manifest.reference,
                trained_until=facts.trained_until.isoformat(),
            )
        reranker = read_reranker(lake, manifest)
        asked = WindowSearch.read(lake, inputs, task, facts.base_arm, manifest.params, where, reranker=reranker)
        return cls(asked)

    @property
    def check(self) -> EventsCheck:
        """What the check of the events found."""
        return self.asked.check

    def ranks(self, where: Answering) -> tuple[NDArray[np.int32], dict[str, float]]:
        """Return the rank of each search's converted photo, shape (Q,), and the shares of `candidate_recall`."""
        rank_Q, sources_Q = where.ranks(self.asked.search, self.asked.searches, self.asked.target)
        return rank_Q, candidate_recall(sources_Q)

    def without_past(self, where: Answering) -> tuple[Ints, NDArray[np.int32]]:
        """Return the searches of visitors who took something before the window, and their ranks without that."""
        asked = self.asked
        with_past, _ = asked.search.pasts.of_visitors(asked.searches.visitor)
        rows = np.unique(with_past)
        rank, _ = where.ranks(replace(asked.search, pasts=NOBODYS), asked.searches.of(rows), asked.target[rows])
        return rows, rank

    def ranks_both_ways(
        self, judgements: Judgements, where: Answering
    ) -> tuple[tuple[NDArray[np.int32], NDArray[np.int32]], dict[str, float]]:
        """Return the ranks of the photos converted, shape (Q,), and judged, shape (N,), and `candidate_recall`."""
        asked, search_count = self.asked, len(self.asked.target)
        judged = self.judged(judgements.text_ids, judgements.asked_at)
        target = np.concatenate([asked.target, judgements.targets])
        rank, sources = where.ranks(asked.search, asked.searches.joined(judged), target)
        return (rank[:search_count], rank[search_count:]), candidate_recall(sources[:search_count])

    def tops(self, rows: Ints, k: int) -> list[tuple[Ints, NDArray[np.float64]]]:
        """Return the places and scores of the best k photos of some searches, best first."""
        searches = self.asked.searches.of(rows)
        found = self.asked.search.results(searches)
        starts = np.searchsorted(found.row, np.arange(len(rows) + 1))
        lists = [slice(start, min(end, start + k)) for start, end in itertools.pairwise(starts)]
        return [(found.place[one], found.score[one]) for one in lists]

    def judged(self, text_N: Ints, asked_at_N: Ints) -> Searches:
        """Return searches for texts at other times, of whatever device.

        They stand for everybody who asked, so no device, no orientation and no visitor is known of them.
        """
        of_text = self.asked.searches
        texts, first = np.unique(of_text.text, return_index=True)
        alike_N = first[np.searchsorted(texts, text_N)]
        unknown_N = np.full(len(text_N), -1, dtype=np.int64)
        query_N, country_N = of_text.query[alike_N], of_text.country[alike_N]
        return Searches(text_N, query_N, country_N, unknown_N, unknown_N, asked_at_N, unknown_N)


def candidate_recall(sources_Q: NDArray[np.uint8]) -> dict[str, float]:
    """Return the share of searches whose photo is a candidate: by any source, and by each of them.

    `sources_Q` are bits as in `Candidates.sources`, 0 where no source named the photo.
    """
    shares = {"any": (sources_Q > 0).mean()}
    shares |= {source: (sources_Q >> bit & 1).mean() for bit, source in enumerate(SOURCES)}
    return {name: float(share) for name, share in shares.items()}
