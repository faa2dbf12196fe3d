"""The keyword vocabulary and encoder: who gets a row, what is added to a photo, and that nothing is at first."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.search.keywords import KeywordEncoder, KeywordVocabulary, RaggedKeywords

PHOTOS = [
    [("Cat", 0.9), ("cat ", 0.5), ("sofa", 0.4)],
    [("cat", 1.0), ("sleep", 0.2)],
    [],
    [("sofa", 0.5)],
]
COUNTS = KeywordVocabulary.count(PHOTOS)
VOCABULARY = KeywordVocabulary.of_counts(COUNTS, min_count=2, hash_rows=3)


def test_a_keyword_needs_enough_photos_for_a_row_of_its_own() -> None:
    assert VOCABULARY.keywords == ("cat", "sofa")
    assert VOCABULARY.row_count == 5
    assert VOCABULARY.row("cat") == VOCABULARY.row("  CAT") == 0
    assert KeywordVocabulary.of_counts(COUNTS, min_count=3, hash_rows=3).keywords == ()  # "cat" twice on one is once


def test_rare_and_unknown_keywords_share_hashed_rows_the_same_everywhere() -> None:
    rows = {word: VOCABULARY.row(word) for word in ("sleep", "猫", "never seen")}
    assert all(2 <= row < 5 for row in rows.values())
    assert rows["sleep"] == 2  # after two own rows comes crc32("sleep") % 3 = 0, whatever the process's hash seed
    assert KeywordVocabulary.from_json(VOCABULARY.to_json()) == VOCABULARY


def test_photos_are_taken_in_any_order_and_number() -> None:
    taken = RaggedKeywords.encode(VOCABULARY, PHOTOS).take(np.array([3, 2, 0, 3]))
    assert taken.starts.tolist() == [0, 1, 1, 4, 5]
    assert taken.rows.tolist() == [1, 0, 0, 1, 1]
    assert taken.weights.tolist() == np.array([0.5, 0.9, 0.5, 0.4, 0.5], np.float32).tolist()
    assert RaggedKeywords.encode(VOCABULARY, PHOTOS).take(np.array([], np.int64)).starts.tolist() == [0]


def test_dropping_takes_the_asked_share_and_spares_the_rest() -> None:
    many = RaggedKeywords.encode(VOCABULARY, [[("cat", 0.5), ("sleep", 0.5)]] * 2000)
    photo_ids = np.arange(2000) * 10**9
    dropped = many.dropped(0.25, (0, 7), photo_ids)
    assert set(dropped.weights.tolist()) == {0.0, 0.5}
    assert abs((dropped.weights == 0).mean() - 0.25) < 0.03
    both = (dropped.weights.reshape(2000, 2) == 0).all(axis=1).mean()
    assert abs(both - 0.25**2) < 0.02  # keywords of one photo are dropped one by one
    assert np.array_equal(many.dropped(0.0, (0, 7), photo_ids).weights, many.weights)
    assert not np.array_equal(many.dropped(0.25, (0, 8), photo_ids).weights, dropped.weights)


def test_what_is_dropped_does_not_depend_on_the_other_photos() -> None:
    many = RaggedKeywords.encode(VOCABULARY, [[("cat", 0.5), ("sleep", 0.5)]] * 50)
    photo_ids = np.arange(50) * 10**9
    some = np.array([40, 3, 17])
    alone = many.take(some).dropped(0.5, (1, 2), photo_ids[some])
    assert np.array_equal(alone.weights, many.dropped(0.5, (1, 2), photo_ids).take(some).weights)


def test_the_encoder_adds_nothing_at_first_and_then_vectors_times_confidence() -> None:
    encoder = KeywordEncoder(VOCABULARY.row_count, dim=2)
    keywords = RaggedKeywords.encode(VOCABULARY, PHOTOS)
    assert not encoder(keywords).any()
    with torch.no_grad():
        encoder.bag.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 10.0], [0.0, 1.0], [5.0, 5.0], [5.0, 5.0]]))
    expected = torch.tensor([[1.4, 4.0], [1.0, 0.2], [0.0, 0.0], [0.0, 5.0]])  # "sleep" is in row 2
    torch.testing.assert_close(encoder(keywords), expected)


def test_a_share_of_the_photos_loses_all_keywords_whatever_batch_they_are_in() -> None:
    vocabulary = KeywordVocabulary(("a", "b"), 1)
    many = RaggedKeywords.encode(vocabulary, [[("a", 1.0), ("b", 0.5)]] * 4000)
    photo_ids = np.arange(4000)
    bare = many.dropped(0.0, (0, 7), photo_ids, keyword_free_share=0.3)
    weight_N2 = bare.weights.reshape(-1, 2)
    is_bare_N = ~weight_N2.any(axis=1)
    assert is_bare_N.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(weight_N2[~is_bare_N], [[1.0, 0.5]] * int((~is_bare_N).sum()))
    some = np.array([5, 17, 3999])
    alone = many.take(some).dropped(0.0, (0, 7), photo_ids[some], keyword_free_share=0.3)
    assert np.array_equal(alone.weights, bare.take(some).weights)
    assert not np.array_equal(many.dropped(0.0, (0, 8), photo_ids, keyword_free_share=0.3).weights, bare.weights)
