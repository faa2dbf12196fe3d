"""The list of every visitor: the best by a method, or chosen from these again so that they are less alike."""

from __future__ import annotations

from collections.abc import Callable

from jobs.config.params.evaluation import EvaluateRecommendersParams
from models.recommend.diversity import diversified
from models.recommend.interactions import Floats, Interactions, Ints
from models.recommend.interface import Fitted
from models.recommend.topk import top_k


def best_lists(
    fitted: Fitted,
    histories: Interactions,
    k: int,
    params: EvaluateRecommendersParams,
    vectors: Callable[[], Floats],
    *,
    candidates: Ints | None = None,
    excludes_seen: bool = True,
) -> Ints:
    """Return the `k` photos for every visitor, best first, int64 [V, K]; -1 fills the rows up.

    With a `diversity` above 0 they are chosen by marginal relevance from the `diversity_candidates` best, by the unit
    rows that `vectors` gives.
    """
    if not params.diversity:
        return top_k(fitted, histories, k, candidates=candidates, excludes_seen=excludes_seen).item_VK
    depth = max(k, params.diversity_candidates)
    pool = top_k(fitted, histories, depth, candidates=candidates, excludes_seen=excludes_seen)
    return diversified(pool.item_VK, pool.score_VK, vectors(), k, 1 - params.diversity)
