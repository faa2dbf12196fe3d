"""From searches to blocks of candidates with their features. Ties the other modules together; reads nothing.

Shape letters: Q searches, B searches of a block, P photos, N candidates of a block, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Availability, Floats, Ints, Scorer, score_blocks
from models.rerank.candidates import Candidates, top_candidates
from models.rerank.features import Matrix, Photos, Searches, feature_matrix, feature_names
from models.rerank.history import History


@dataclass(frozen=True)
class Block:
    """Some searches with their candidates."""

    searches: Ints  # (B,) their numbers
    candidates: Candidates
    matrix: Matrix
    is_converted: NDArray[np.bool_]
    scores: Floats  # (B, P), by the base arm; NaN for photos that the search could not be shown


@dataclass(frozen=True)
class SecondStage:
    """Q searches and everything their candidates are judged by, as of `history.cutoff`.

    `text_Q` numbers the texts that the scorers know; `base` is the arm whose best photos are the candidates.
    """

    text: Ints
    target: Ints
    searches: Searches  # (Q,)
    photos: Photos
    availability: Availability
    history: History
    base: str
    scorers: Mapping[str, Scorer]
    keyword_scorer: Scorer

    @property
    def names(self) -> list[str]:
        """The features, in order."""
        return feature_names(self.base, self.others)

    @property
    def others(self) -> list[str]:
        """The arms that only give features."""
        return [arm for arm in self.scorers if arm != self.base]

    def blocks(self, candidate_count: int) -> Iterator[Block]:
        """Give all searches in blocks, each with the best `candidate_count` photos that it could be shown."""
        blocks = score_blocks(self.scorers[self.base], self.text, self.searches.asked_at, self.availability)
        for block, score_BP in blocks:
            found = top_candidates(score_BP, candidate_count)
            searches = self.searches.of(block)
            others = {arm: self._pair_scores(self.scorers[arm], block, found) for arm in self.others}
            keyword_N = self._pair_scores(self.keyword_scorer, block, found)
            yield Block(
                searches=block,
                candidates=found,
                matrix=feature_matrix(searches, found, self.history, self.photos, self.base, others, keyword_N),
                is_converted=found.place == self.target[block][found.row],
                scores=score_BP,
            )

    def _pair_scores(self, scorer: Scorer, block: Ints, found: Candidates) -> NDArray[np.float32]:
        distinct, inverse = np.unique(self.text[block], return_inverse=True)
        return scorer(distinct)[inverse[found.row], found.place].astype(np.float32)
