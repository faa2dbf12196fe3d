"""The arm `reranked` of the evaluation: the night's reranker on the test searches. Reads; the order is the model's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import EventsCheck, RerankerFacts
from jobs.errors import BadInput
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.inputs import MODELS, Arms, read_second_stage
from models.evaluation.ranking import Ints
from models.rerank.features import Searches
from models.rerank.learning import Reranker
from models.rerank.ordering import final_scores
from models.rerank.rows import SecondStage


@dataclass(frozen=True)
class Reranked:
    """The test searches with everything that reorders them; `check` is what the check of the events found."""

    stage: SecondStage
    reranker: Reranker
    candidate_count: int
    check: EventsCheck

    @classmethod
    def read(cls, lake: Lake, inputs: dict[str, Manifest], task: Task, max_missing_share: float) -> Reranked:
        """Return the arm; `BadInput` if the reranker fits neither arms nor window, `GateFailed` on a leak."""
        manifest = inputs["reranker"]
        test_start = SplitsFacts.of(inputs["splits"]).windows[task.window][0]
        trained_until = RerankerFacts.of(manifest).trained_until
        if trained_until > test_start:
            raise BadInput(
                "reranker_trained_too_late",
                f"{manifest.reference} was trained until {trained_until.isoformat()}, past the beginning of the test "
                f"window {test_start.isoformat()}. Rerun train_reranker.",
                run=manifest.reference,
                trained_until=trained_until.isoformat(),
            )
        params = manifest.params
        stage, check = read_second_stage(
            lake, inputs, task, Arms.of(inputs), params["half_life_days"], max_missing_share
        )
        files = sorted(name for name in manifest.files if name.startswith(MODELS))
        reranker = Reranker([lake.read_file(manifest, name).decode() for name in files])
        if reranker.names != stage.names:
            raise BadInput(
                "reranker_of_other_features",
                f"{manifest.reference} was trained on features {reranker.names}, tonight's arms give {stage.names}. "
                f"Rerun train_reranker.",
                run=manifest.reference,
                features=reranker.names,
            )
        return cls(stage, reranker, int(params["candidate_count"]), check)

    def with_searches(self, text_N: Ints, target_N: Ints, asked_at_N: Ints) -> Reranked:
        """Return the same with searches added: texts that are among those there, asked at other times.

        They stand for everybody who asked them, so no device and no orientation is known of them.
        """
        stage = self.stage
        texts, first = np.unique(stage.text, return_index=True)
        alike_N = first[np.searchsorted(texts, text_N)]
        unknown_N = np.full(len(text_N), -1, dtype=np.int64)
        searches = Searches(
            query=np.concatenate([stage.searches.query, stage.searches.query[alike_N]]),
            country=np.concatenate([stage.searches.country, stage.searches.country[alike_N]]),
            device=np.concatenate([stage.searches.device, unknown_N]),
            orientation=np.concatenate([stage.searches.orientation, unknown_N]),
            asked_at=np.concatenate([stage.searches.asked_at, asked_at_N]),
        )
        both = replace(
            stage,
            text=np.concatenate([stage.text, text_N]),
            target=np.concatenate([stage.target, target_N]),
            searches=searches,
        )
        return replace(self, stage=both)

    def ranks(self) -> NDArray[np.int32]:
        """Return the rank of each search's converted photo, shape (Q,)."""
        rank_Q = np.empty(len(self.stage.target), dtype=np.int32)
        for block in self.stage.blocks(self.candidate_count):
            score_N = self.reranker.scores(block.matrix)
            final_BP = final_scores(block.scores, block.candidates, score_N)
            rank_Q[block.searches] = self.stage.availability.ranks(final_BP, self.stage.target[block.searches])
        return rank_Q
