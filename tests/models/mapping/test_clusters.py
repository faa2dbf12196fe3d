"""Clusters: found where they are, tried by several settings, taken by the stated rule, told apart by their words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from models.mapping.clusters import (
    ABSENT,
    Clustering,
    Setting,
    choose,
    cluster,
    measure,
    numbered_as_before,
    settings,
    sweep,
    typicality,
)
from models.mapping.plane import Floats, distances
from models.mapping.validity import OUTLIER
from models.mapping.words import keyword_agreement, telling_keywords

SIZES = (30, 20, 10)
TRUE = np.repeat([0, 1, 2, OUTLIER], [*SIZES, 6])
WORDS = [None if label == OUTLIER else f"word {label}" for label in TRUE.tolist()]


@pytest.fixture(scope="module")
def vectors() -> Floats:
    """Three dense groups and six rows anywhere else, in eight dimensions."""
    random = np.random.default_rng(3)
    rows = np.concatenate([np.repeat(np.eye(3, 8), SIZES, axis=0), -np.eye(6, 8, 2)])
    rows = rows + 0.05 * random.normal(size=rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("setting", [Setting("hdbscan", 2, 5, "eom"), Setting("dbscan", 5, radius=0.4, quantile=0.9)])
def test_groups_are_found_and_numbered_by_size(vectors: Floats, setting: Setting) -> None:
    assert cluster(distances(vectors), setting).tolist() == TRUE.tolist()


def test_a_sweep_is_measured_and_its_best_is_what_is_there(vectors: Floats) -> None:
    apart = distances(vectors)
    tried = settings(apart, (2, 5), (5, 10), (0.1, 0.5, 0.9))
    assert [one.method for one in tried] == ["hdbscan"] * 8 + ["dbscan"] * 6
    found = sweep(apart, tried, WORDS, 8)
    assert [one.setting for one in found] == tried
    best = choose(found)
    assert best is not None
    one = found[best]
    assert one.label_N.tolist() == TRUE.tolist()
    assert (one.cluster_count, one.agreement, one.purity) == (3, pytest.approx(1), 1.0)
    assert (one.outlier_share, one.largest_share) == (pytest.approx(6 / 66), pytest.approx(30 / 66))
    assert one.silhouette > 0.7
    assert one.dbcv > 0.5


def test_settings_that_so_few_rows_do_not_allow_are_left_out() -> None:
    apart = np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))
    tried = settings(apart, (2, 9), (3, 5), (0.1, 0.9))
    assert {(one.method, one.min_samples, one.min_cluster_size) for one in tried} == {
        ("hdbscan", 2, 3),
        ("dbscan", 3, None),
        ("dbscan", 5, None),
    }
    assert not settings(np.zeros((8, 8)), (9,), (3,), (0.5,))  # a radius of 0 is none


MADE = Clustering(Setting("dbscan", 5), np.zeros(0, np.int64), 3, 0.3, 0.2, 0.1, 0.4, 0.5, 0.5)


def test_the_rule_takes_the_highest_dbcv_within_the_limits() -> None:
    outliers, one_big, none = (
        replace(MADE, dbcv=0.9, outlier_share=0.61),
        replace(MADE, dbcv=0.8, largest_share=0.51),
        [replace(MADE, dbcv=math.nan)],
    )
    assert choose([outliers, one_big, replace(MADE, dbcv=0.3), MADE, MADE]) == 3
    assert choose([*none, one_big, outliers]) == 2
    assert choose(none) is None
    assert choose([]) is None


def test_what_is_not_defined_is_nan_and_never_a_zero() -> None:
    apart = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    nothing = measure(apart, MADE.setting, np.full(4, OUTLIER), ["a", None, None, None], 1)
    assert (nothing.cluster_count, nothing.outlier_share, nothing.largest_share) == (0, 1.0, 0.0)
    assert all(math.isnan(v) for v in (nothing.silhouette, nothing.dbcv, nothing.agreement, nothing.purity))
    assert math.isnan(measure(apart, MADE.setting, np.zeros(4, np.int64), [None] * 4, 1).dbcv)


def test_typical_is_near_the_middle_and_alone_is_far_from_all(vectors: Floats) -> None:
    middle, off = np.eye(3)[0], np.array([0.8, 0.6, 0.0])
    rows = np.stack([middle, middle, off, np.eye(3)[1], np.eye(3)[2]])
    found = typicality(rows, np.array([0, 0, 0, OUTLIER, OUTLIER]))
    assert found[0] == found[1] > found[2]
    assert found[3:].tolist() == pytest.approx([0.6, 0.0])


def test_agreement_leaves_out_what_has_no_cluster_or_no_word() -> None:
    labels = np.array([0, 0, 1, 1, OUTLIER, 1])
    assert keyword_agreement(labels, ["a", "a", "b", "b", "a", None]) == pytest.approx(1)
    assert keyword_agreement(labels, ["a", "b", "a", "b", "c", None]) < 0.1
    assert math.isnan(keyword_agreement(labels, [None] * 6))


def test_telling_words_are_those_of_the_formula() -> None:
    """Two clusters of two photos and an outlier; 'flag' is in both of the first and 'all' everywhere."""
    words = [frozenset(of) for of in ({"all", "flag"}, {"all", "flag"}, {"all", "sea"}, {"all", "sea"}, {"all"})]
    labels = np.array([0, 0, 1, 1, OUTLIER])
    found = telling_keywords(labels, words, 3)
    assert [(one.cluster, one.keyword, one.photo_count) for one in found] == [(0, "flag", 2), (1, "sea", 2)]
    # 4 words inside, 5 outside, 9 in all; flag twice, none of them outside
    prior, priors = 0.01 * 2, 0.01 * 9
    odds = math.log((2 + prior) / (4 + priors - 2 - prior)) - math.log(prior / (5 + priors - prior))
    assert found[0].z_score == pytest.approx(odds / math.sqrt(1 / (2 + prior) + 1 / prior))


def test_a_word_of_many_comes_before_one_of_few_and_a_single_photos_word_is_none() -> None:
    words = [frozenset({"bird", f"name {i}"} | ({"blue"} if i < 3 else set())) for i in range(10)]
    words += [frozenset({"sea", "other", f"at {i}"}) for i in range(10)]
    found = telling_keywords(np.repeat([0, 1], 10), words, 2)
    assert [(one.cluster, one.keyword) for one in found][:2] == [(0, "bird"), (0, "blue")]
    assert {one.keyword for one in found if one.cluster == 1} == {"sea", "other"}


def test_the_only_word_there_is_tells_nothing() -> None:
    assert telling_keywords(np.array([0, 0, 1, 1]), [frozenset({"x"})] * 4, 3) == []
    assert telling_keywords(np.array([0, 0, 1, 1]), [frozenset()] * 4, 3) == []


@pytest.mark.parametrize(
    ("label_N", "earlier_N", "expected_N", "new"),
    [
        ([0, 0, 0, 1, 1, -1], [3, 3, 3, 0, 0, -1], [3, 3, 3, 0, 0, -1], []),
        ([0, 0, 0, 1, 1, 1], [4, 4, 4, 4, 4, 4], [0, 0, 0, 1, 1, 1], [0, 1]),  # halves: neither is more than a half
        ([0, 0, 0, 0, 1, 1], [4, 4, 4, 4, 4, 4], [4, 4, 4, 4, 0, 0], [0]),
        ([0, 0, 1, 1], [1, 1, -1, -1], [1, 1, 0, 0], [0]),  # out of what was of no cluster
        ([0, 0, 0, 1, 1], [1, ABSENT, ABSENT, 0, 0], [1, 1, 1, 0, 0], []),  # new photos do not count
        ([0, 0], [ABSENT, ABSENT], [0, 0], [0]),
        ([-1, -1], [0, 0], [-1, -1], []),
    ],
)
def test_a_cluster_that_keeps_most_of_its_rows_keeps_its_number(
    label_N: list[int], earlier_N: list[int], expected_N: list[int], new: list[int]
) -> None:
    found_N, found_new = numbered_as_before(np.array(label_N), np.array(earlier_N))
    assert (found_N.tolist(), found_new) == (expected_N, new)


def test_no_two_clusters_get_one_number_and_the_division_is_the_same() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        label_N, noise_N = random.integers(-1, 6, 60), random.integers(-2, 6, 60)
        earlier_N = np.where(random.random(60) < 0.7, (label_N + 3) % 6, noise_N)
        found_N, _ = numbered_as_before(label_N, earlier_N)
        pairs = set(zip(label_N.tolist(), found_N.tolist(), strict=True))
        assert len(pairs) == len(set(label_N.tolist())) == len(set(found_N.tolist()))
        assert (found_N == OUTLIER).tolist() == (label_N == OUTLIER).tolist()
