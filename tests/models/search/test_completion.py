"""A picture without keywords is expected to have those of the photos it looks like."""

from __future__ import annotations

import numpy as np

from models.ragged import unit_rows
from models.search.completion import NEIGHBOURS, TEMPERATURE, Exemplars

RANDOM = np.random.default_rng(0)


def some(count: int, dim: int = 6) -> np.ndarray:
    return RANDOM.normal(size=(count, dim)).astype(np.float32)


def test_it_is_the_softmax_mean_of_the_nearest_written_out() -> None:
    exemplars, feature_BD = Exemplars(some(40), some(40)), some(7) * 3
    for found_D, feature_D in zip(exemplars.complete(feature_BD), feature_BD, strict=True):
        cosines = [
            float(feature_D @ other_D / np.linalg.norm(feature_D) / np.linalg.norm(other_D))
            for other_D in exemplars.feature_ED
        ]
        nearest = sorted(range(40), key=lambda e: -cosines[e])[:NEIGHBOURS]
        weights = [np.exp(cosines[e] / TEMPERATURE) for e in nearest]
        expected_D = feature_D + sum(w * exemplars.keyword_ED[e] for w, e in zip(weights, nearest, strict=True)) / sum(
            weights
        )
        np.testing.assert_allclose(found_D, expected_D / np.linalg.norm(expected_D), atol=1e-5)


def test_what_is_left_out_is_not_learned_from() -> None:
    exemplars, feature_BD = Exemplars(some(12), some(12)), some(3)
    left_out_BE = RANDOM.random((3, 12)) < 0.5
    found_BD = exemplars.complete(feature_BD, left_out_BE)
    for row in range(3):
        kept = Exemplars(exemplars.feature_ED[~left_out_BE[row]], exemplars.keyword_ED[~left_out_BE[row]])
        np.testing.assert_allclose(found_BD[row], kept.complete(feature_BD[row : row + 1])[0], atol=1e-6)


def test_without_exemplars_a_picture_stays_what_it_is() -> None:
    feature_BD = some(3)
    none = Exemplars(np.zeros((0, 6), np.float32), np.zeros((0, 6), np.float32))
    np.testing.assert_array_equal(none.complete(feature_BD), unit_rows(feature_BD))
    few = Exemplars(some(2), some(2))
    np.testing.assert_array_equal(few.complete(feature_BD, np.ones((3, 2), np.bool_)), unit_rows(feature_BD))
    assert few.complete(np.zeros((0, 6), np.float32)).shape == (0, 6)


def test_blocks_do_not_change_what_is_found(monkeypatch) -> None:
    exemplars, feature_BD, left_out_BE = Exemplars(some(20), some(20)), some(11), RANDOM.random((11, 20)) < 0.3
    whole_BD = exemplars.complete(feature_BD, left_out_BE)
    monkeypatch.setattr("models.search.completion._AT_ONCE", 3)
    np.testing.assert_allclose(exemplars.complete(feature_BD, left_out_BE), whole_BD, atol=1e-6)


def test_a_photo_among_the_exemplars_lies_near_where_it_is_indexed() -> None:
    """With features far apart the photo itself is what is near, and so its own keywords are expected."""
    feature_ED, keyword_ED = np.eye(6, dtype=np.float32), some(6)
    np.testing.assert_allclose(
        Exemplars(feature_ED, keyword_ED).complete(feature_ED), unit_rows(feature_ED + keyword_ED), atol=1e-3
    )
