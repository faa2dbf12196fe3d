"""How near a query is to a photo's keywords: the closest one counts, whatever is asked beside."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.rerank import photo_keywords
from models.rerank.photo_keywords import PhotoKeywords

AXES = np.eye(3, dtype=np.float32)


def test_the_closest_keyword_counts_and_without_any_nothing_is_known() -> None:
    place_K, keyword_K = np.array([2, 0, 2, 2]), np.array([1, 0, 2, 2])
    keywords = PhotoKeywords.of(place_K, keyword_K, AXES, 3)
    query_UD = np.array([[0.6, 0.8, 0], [0, 0.6, 0.8]], np.float32)
    found = keywords.likeness(query_UD, np.array([0, 0, 0, 1]), np.array([0, 1, 2, 2]))
    np.testing.assert_array_almost_equal(found, [0.6, np.nan, 0.8, 0.8])
    assert keywords.start_P.tolist() == [0, 1, 1, 3]


def test_photos_without_keywords_can_be_asked() -> None:
    found = PhotoKeywords.none(2).likeness(AXES, np.array([0, 1]), np.array([1, 0]))
    assert np.isnan(found).all()


@given(st.integers(0, 1000), st.integers(1, 40))
def test_what_is_computed_at_once_changes_nothing(seed: int, at_once: int) -> None:
    random = np.random.default_rng(seed)
    vector_WD = random.normal(size=(6, 3)).astype(np.float32)
    vector_WD /= np.linalg.norm(vector_WD, axis=1, keepdims=True)
    keywords = PhotoKeywords.of(random.integers(0, 5, 12), random.integers(0, 6, 12), vector_WD, 5)
    text_N, place_N = random.integers(0, 3, 20), random.integers(0, 5, 20)
    whole = keywords.likeness(AXES, text_N, place_N)
    was, photo_keywords._NUMBERS_AT_ONCE = photo_keywords._NUMBERS_AT_ONCE, at_once
    try:
        np.testing.assert_array_equal(keywords.likeness(AXES, text_N, place_N), whole)
    finally:
        photo_keywords._NUMBERS_AT_ONCE = was
