"""Methods without training against their formulas written out: means, the session's recurrence, neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from models.ragged import unit_rows
from models.recommend.content import Content
from models.recommend.interactions import NONE, Interactions, ItemFeatures
from models.recommend.item_knn import ItemKnn, cosines
from models.recommend.mean_embedding import MeanEmbedding
from models.recommend.session_embedding import SessionEmbedding, follow
from tests.models.recommend.tastes import AS_OF, DAY, histories, log_of

ITEMS, DIM = 10, 4


def vectors(seed: int = 0, count: int = ITEMS) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, DIM)))


def one_visitor(rows: list[tuple[int, float, float]]) -> Interactions:
    """A history of (item, days before the end, weight)."""
    item, days, weight = (np.array(column) for column in zip(*rows, strict=True))
    return log_of(np.zeros(len(rows)), item, AS_OF - days * DAY, weight, [0], ITEMS)


def test_the_mean_embedding_written_out() -> None:
    # liked: e0 twice as much by kind, but one half life older than e1, so both weigh 1; disliked: e2 and e3 alike
    axes = np.eye(4, dtype=np.float32)
    log = one_visitor([(0, 31.0, 2.0), (1, 1.0, 1.0), (2, 1.0, -3.0), (3, 1.0, -3.0)])
    method = MeanEmbedding(liked_weight=1.0, disliked_weight=0.5, half_life_days=30.0)
    visitor_VD = method.represent(log, np.vstack([axes, np.zeros((ITEMS - 4, 4), np.float32)]))
    assert visitor_VD.shape == (1, 4)
    np.testing.assert_allclose(visitor_VD[0], [0.5, 0.5, -0.25, -0.25], rtol=1e-6)


@given(st.integers(0, 1000))
def test_the_mean_embedding_equals_its_formula(seed: int) -> None:
    random, item_ID = np.random.default_rng(seed), vectors(seed)
    item_ID[0] = 0  # has no vector, so no part in it
    rows = [(int(random.integers(0, ITEMS)), float(random.integers(1, 90)), w) for w in (1.0, 0.5, -1.0, 2.0, -0.5)]
    found_D = MeanEmbedding(liked_weight=0.8, disliked_weight=0.3, half_life_days=7.0).represent(
        one_visitor(rows), item_ID
    )[0]
    expected_D = np.zeros(DIM)
    for sign, factor in ((1, 0.8), (-1, -0.3)):
        part = [(item, abs(w) * 0.5 ** (days / 7)) for item, days, w in rows if w * sign > 0 and item != 0]
        if part:
            expected_D += factor * sum(w * item_ID[item] for item, w in part) / sum(w for _, w in part)
    np.testing.assert_allclose(found_D, expected_D, atol=1e-5)


@given(st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=6), min_size=1, max_size=5))
def test_the_session_follows_the_recurrence(sessions: list[list[int]]) -> None:
    item_ID = vectors()
    item_VL = np.array([(session + [NONE] * 6)[:6] for session in sessions])
    for found_D, session in zip(follow(item_VL, item_ID), sessions, strict=True):
        state = np.zeros(DIM)
        for step, item in enumerate(session):
            new = item_ID[item].astype(np.float64)
            if step == 0:
                state = new
                continue
            cosine = state @ new / (np.linalg.norm(state) * np.linalg.norm(new))
            share = (cosine + 1) / 2
            state = share * state + (1 - share) * new
        np.testing.assert_allclose(found_D, state, atol=1e-5)


def test_a_session_is_the_last_likes_that_have_a_vector() -> None:
    item_ID = vectors()
    item_ID[7] = 0
    log = one_visitor([(1, 9.0, 1.0), (2, 8.0, 1.0), (3, 7.0, -1.0), (7, 6.0, 1.0), (4, 5.0, 1.0)])
    found_VD = SessionEmbedding(length=2).represent(log, item_ID)
    np.testing.assert_array_equal(found_VD, follow(np.array([[2, 4]]), item_ID))


def test_content_is_the_cosine_of_both_vectors_to_the_mean_of_the_liked() -> None:
    image_ID, text_IE = vectors(1), vectors(2)
    log = one_visitor([(0, 2.0, 3.0), (1, 1.0, 1.0), (2, 1.0, -1.0)])
    items = ItemFeatures(image_ID, text_IE)
    score_C = Content().fit(log, items, seed=0).scores(log, np.arange(ITEMS))[0]
    both = np.hstack([image_ID, text_IE]).astype(np.float64)
    taste = 3 * both[0] + both[1]
    expected = both @ taste / (np.linalg.norm(both, axis=1) * np.linalg.norm(taste))
    np.testing.assert_allclose(score_C, expected, atol=1e-6)


@given(st.integers(0, 1000), st.integers(1, 12))
def test_neighbours_are_the_highest_of_the_dense_cosines(seed: int, count: int) -> None:
    taken_VI = (np.random.default_rng(seed).random((9, ITEMS)) < 0.3).astype(np.float32)
    length = np.linalg.norm(taken_VI, axis=0)
    unit = np.divide(taken_VI, length, out=np.zeros_like(taken_VI), where=length > 0)
    dense = unit.T @ unit
    np.fill_diagonal(dense, 0)
    for row in dense:
        row[np.argsort(-row.round(5), kind="stable")[count:]] = 0
    np.testing.assert_allclose(cosines(csr_array(taken_VI), count).toarray(), dense, atol=1e-6)


def test_a_score_is_the_sum_of_cosines_by_weight() -> None:
    log = histories([(0, 0, 1.0), (0, 1, 1.0), (1, 0, 1.0), (1, 2, 1.0), (2, 1, -1.0)], 3, 4)
    probe = histories([(0, 1, 2.0), (0, 2, -1.0)], 1, 4)
    items = ItemFeatures(np.zeros((4, 1), np.float32))
    # items 1 and 2 were each liked by one of the two who liked item 0; the dislike of item 1 in the log counts nothing
    for dislike_weight in (0.0, 1.0):
        fitted = ItemKnn(dislike_weight=dislike_weight).fit(log, items, seed=0)
        expected = (2 - dislike_weight) / np.sqrt(2)
        np.testing.assert_allclose(fitted.scores(probe, np.arange(4))[0], [expected, 0, 0, -np.inf], atol=1e-6)
