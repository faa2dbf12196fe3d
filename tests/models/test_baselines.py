"""The counting baselines on catalogues small enough to work out by hand."""

from __future__ import annotations

import numpy as np

from models.evaluation import baselines as b
from models.evaluation.ranking import Availability, top_photos


def ranking(scorer: object, text: int, photo_count: int) -> list[int]:
    """Places of all photos, best first, ties by place."""
    always = np.zeros(photo_count, dtype=int)
    return top_photos(scorer, np.array([text]), np.array([0]), Availability(always), photo_count)[0][0].tolist()  # type: ignore[arg-type]


def test_what_was_taken_of_late_is_more_popular_than_what_was_taken_before() -> None:
    half = b.POPULARITY_HALF_LIFE_DAYS
    score_BP = b.popularity_scorer(np.array([0, 1, 1, 1, 2]), np.array([0, 1, 2, 2, 3]) * half, 4)(np.array([7]))
    assert score_BP.tolist() == [[1, 1, 0.125, 0]]


def test_popularity_is_the_count_for_every_query() -> None:
    scorer = b.popularity_scorer(np.array([2, 2, 0, 2, 0, 3]), np.zeros(6), photo_count=5)
    assert scorer(np.array([0, 9])).tolist() == [[2, 0, 3, 1, 0]] * 2


def test_the_count_for_the_query_comes_first_then_popularity() -> None:
    photo_N = np.array([1, 1, 3, 3, 0, 0, 0, 0, 0, 2])
    text_N = np.array([0, 0, 0, 0, 0, 1, 1, -1, -1, -1])
    scorer = b.most_converted_scorer(text_N, photo_N, text_count=3, photo_count=5)
    # 1 and 3 twice for the query (equal popularity: by place), 0 once though it is the most popular, then 2, then 4
    assert ranking(scorer, 0, 5) == [1, 3, 0, 2, 4]
    assert ranking(scorer, 1, 5)[0] == 0
    popularity = b.popularity_scorer(photo_N, np.zeros(len(photo_N)), 5)
    assert ranking(scorer, 2, 5) == ranking(popularity, 2, 5) == [0, 1, 3, 2, 4]  # a query nobody asked before


def test_counts_equal_a_plain_count() -> None:
    random = np.random.default_rng(0)
    text_N, photo_N = random.integers(-1, 20, 3000), random.integers(0, 15, 3000)
    scorer = b.most_converted_scorer(text_N, photo_N, 21, 15)
    popularity = np.bincount(photo_N, minlength=15)
    score_UP = scorer(np.arange(21))
    for text in range(21):
        count = np.array([np.sum((text_N == text) & (photo_N == photo)) for photo in range(15)])
        expected = sorted(range(15), key=lambda photo: (-count[photo], -popularity[photo], photo))
        assert np.argsort(-score_UP[text], kind="stable").tolist() == expected


def test_no_past_conversion_at_all_ties_everything() -> None:
    nobody = np.array([], dtype=int)
    assert np.unique(b.popularity_scorer(nobody, np.zeros(0), 4)(np.array([0]))).size == 1
    assert np.unique(b.most_converted_scorer(nobody, nobody, 1, 4)(np.array([0]))).size == 1
