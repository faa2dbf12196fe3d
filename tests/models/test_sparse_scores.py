"""Ranks by counts and keywords against the plain ranking of all scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.baselines import CountsByQuery
from models.evaluation.counting import Lookups
from models.evaluation.sparse_scores import SparseScores
from tests.models.test_counting import corpus
from tests.plain_ranking import plain_list, rank_targets


@given(st.integers(0, 1_000_000))
def test_ranks_and_lists_are_those_of_all_scores_sorted(seed: int) -> None:
    random = np.random.default_rng(seed)
    query_UD, photo_PD, _, availability, searches = corpus(random)
    score_UP = np.tile(random.integers(0, 3, len(photo_PD)).astype(np.float64), (len(query_UD), 1))
    sparse = SparseScores(score_UP[0].copy(), CountsByQuery(np.arange(len(score_UP)), *of_texts(random, score_UP)))
    plain_Q = rank_targets(score_UP, *searches, availability)
    lookups = Lookups.of(*searches, availability)
    targets = lookups.targets(sparse.of_pairs(lookups.text, lookups.place))
    is_special_P = availability.special(int(searches[2].min()))
    assert lookups.ranks(sparse.count_ahead(targets, is_special_P, availability)).tolist() == plain_Q.tolist()
    text, asked_at = int(searches[0][0]), int(searches[2][0])
    places, scores = sparse.best(text, asked_at, availability, 5)
    assert places.tolist() == plain_list(score_UP[text], text, asked_at, availability)[:5]
    assert scores.tolist() == score_UP[text, places].tolist()


def of_texts(random: np.random.Generator, score_UP: np.ndarray) -> tuple[np.ndarray, ...]:
    """Add to the scores of some photos for some texts; return what was added."""
    text_N, photo_N = np.nonzero(random.random(score_UP.shape) < 0.3)
    more_N = random.integers(-1, 3, len(text_N)).astype(np.float64)
    score_UP[text_N, photo_N] += more_N
    return text_N, photo_N, more_N
