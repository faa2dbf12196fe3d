"""The final order of a search: candidates by the reranker, then the base arm's order.

Shape letters: B searches, N candidates of all searches, P photos.

Which photos a search is shown is no matter of the order: see `models.evaluation.ranking.Availability`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Floats
from models.rerank.candidates import Candidates


def final_scores(score_BP: Floats, candidates: Candidates, score_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores that give the final order, shape (B, P), NaN where `score_BP` is.

    Below the candidates the base arm's order goes on, so every photo has a rank, and ties follow the one rule: of equal
    scores the earlier place first.

    >>> found = Candidates(row=np.array([0, 0]), place=np.array([2, 1]), score=np.zeros(2), rank=np.ones(2), count=[2])
    >>> final_scores(np.array([[0.1, 0.2, 0.3]]), found, np.array([5.0, 9.0])).round(1).tolist()
    [[0.1, 2.3, 1.3]]
    """
    order = np.lexsort((candidates.place, -score_N, candidates.row))
    row_N, place_N = candidates.row[order], candidates.place[order]
    final_BP = score_BP.astype(np.float64)
    best_B = np.max(final_BP, axis=1, initial=-np.inf, where=np.isfinite(final_BP))
    from_last_N = np.searchsorted(row_N, row_N, side="right") - np.arange(len(row_N))  # 1 for a search's last candidate
    final_BP[row_N, place_N] = best_B[row_N] + from_last_N
    return final_BP
