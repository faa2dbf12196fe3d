"""A picture without keywords is expected to have those of the photos it looks like."""

from __future__ import annotations

import numpy as np
import pytest

from models.ragged import unit_rows
from models.search.completion import NEIGHBOURS, SHRINKAGE, TEMPERATURE, Exemplars

RANDOM = np.random.default_rng(0)


def some(count: int, dim: int = 6) -> np.ndarray:
    return RANDOM.normal(size=(count, dim)).astype(np.float32)


def whitened(exemplars: Exemplars, feature_BD: np.ndarray) -> np.ndarray:
    """The definition by eigenvectors: each principal direction over its deviation, which some variance is added to."""
    mean_D = exemplars.feature_ED.mean(axis=0)
    variance_D, axes_DD = np.linalg.eigh(np.cov(exemplars.feature_ED.T, bias=True).astype(np.float64))
    deviation_D = np.sqrt((1 - SHRINKAGE) * variance_D + SHRINKAGE * variance_D.mean())
    return (feature_BD - mean_D) @ axes_DD / deviation_D


def test_it_is_the_softmax_mean_of_the_nearest_written_out() -> None:
    exemplars, feature_BD = Exemplars(some(40), some(40)), some(7) * 3
    white_ED, white_BD = whitened(exemplars, exemplars.feature_ED), whitened(exemplars, feature_BD)
    for found_D, feature_D, white_D in zip(exemplars.complete(feature_BD), feature_BD, white_BD, strict=True):
        cosines = [float(white_D @ other_D / np.linalg.norm(white_D) / np.linalg.norm(other_D)) for other_D in white_ED]
        nearest = sorted(range(40), key=lambda e: -cosines[e])[:NEIGHBOURS]
        weights = [np.exp(cosines[e] / TEMPERATURE) for e in nearest]
        expected_D = feature_D + sum(w * exemplars.keyword_ED[e] for w, e in zip(weights, nearest, strict=True)) / sum(
            weights
        )
        np.testing.assert_allclose(found_D, expected_D / np.linalg.norm(expected_D), atol=1e-5)


def test_what_tells_pictures_apart_counts_though_they_vary_little_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keywords go by one faint direction of six: whitened features show it, and plain ones hardly."""
    label_E = np.arange(300) % 2
    feature_ED = (
        np.random.default_rng(5).normal(size=(300, 6)) * [20, 20, 20, 20, 1, 1]
        + np.outer(label_E, [0, 0, 0, 0, 0, 5])
        + 50
    )
    keyword_ED = np.eye(6, dtype=np.float32)[label_E] * 1e6

    def share_right() -> float:
        exemplars = Exemplars(feature_ED.astype(np.float32), keyword_ED)
        completed_ED = exemplars.complete(exemplars.feature_ED, np.eye(300, dtype=np.bool_))
        return float(np.mean(completed_ED.argmax(axis=1) == label_E))

    found = share_right()
    monkeypatch.setattr("models.search.completion.SHRINKAGE", 1.0)  # all directions count as they are
    assert found > 0.9 > 0.8 > share_right()


def test_what_is_left_out_is_not_learned_from() -> None:
    exemplars, feature_BD = Exemplars(some(12), some(12)), some(3)
    left_out_BE = np.tile(np.arange(12) > 3, (3, 1))
    found_BD = exemplars.complete(feature_BD, left_out_BE)
    changed = Exemplars(exemplars.feature_ED, np.where(left_out_BE[0][:, None], np.float32(1e9), exemplars.keyword_ED))
    np.testing.assert_array_equal(changed.complete(feature_BD, left_out_BE), found_BD)
    assert (changed.complete(feature_BD) != found_BD).any()


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


def test_exemplars_that_look_the_same_count_the_same() -> None:
    same_ED, keyword_ED, feature_BD = np.ones((3, 6), np.float32), some(3), some(2)
    expected_BD = unit_rows(feature_BD + keyword_ED.mean(axis=0))
    np.testing.assert_allclose(Exemplars(same_ED, keyword_ED).complete(feature_BD), expected_BD, atol=1e-6)
