"""Keyword match on documents small enough to work out by hand, and against bm25s on many."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
import pytest

from models.keyword_match import KeywordMatch, tokenise


def match(documents: Sequence[Sequence[str]]) -> KeywordMatch:
    return KeywordMatch.of(documents, np.ones(len(documents), np.bool_))


DOCUMENTS = [
    ["black cat", "night"],
    ["black dog", "a very good dog on a long walk in the park"],
    ["黒猫", "夜"],
    ["हिन्दी कविता"],
    [],
    ["❤️", "любовь"],
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cat", [0]),
        ("CAT!", [0]),
        ("cats", []),  # no stemming
        ("black cat", [0, 1]),
        ("猫", [2]),
        ("黒猫", [2]),
        ("हिन्दी", [3]),  # vowel signs do not cut the word
        ("Любовь", [5]),
        ("❤", [5]),
        ("", []),
        ("?!", []),
        ("no such word", []),
    ],
)
def test_keywords_match_in_every_script(query: str, expected: list[int]) -> None:
    score_P = match(DOCUMENTS).scores(query)
    assert [int(i) for i in np.argsort(-score_P, kind="stable") if score_P[i] > 0] == expected


def test_an_emoji_is_one_token_in_colour_or_not() -> None:
    assert tokenise("❤\ufe0f") == tokenise("❤") == ("❤",)


def test_a_rare_word_weighs_more_and_a_long_document_less() -> None:
    documents = [["cat tree"], ["dog tree"], ["dog tree"], ["dog and many other words that say little tree"]]
    assert match(documents).scores("cat dog").argmax() == 0
    assert np.argsort(-match(documents).scores("dog"), kind="stable").tolist() == [1, 2, 3, 0]


def test_bm25_equals_the_formula() -> None:
    documents = [["cat cat tree"], ["dog tree"], ["tree"]]
    score_P = match(documents).scores("cat tree")
    mean_length = 2.0

    def weight(count: int, length: int, document_count: int) -> float:
        idf = np.log(1 + (3 - document_count + 0.5) / (document_count + 0.5))
        return float(idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * length / mean_length)))

    expected = [weight(2, 3, 1) + weight(1, 3, 3), weight(1, 2, 3), weight(1, 1, 3)]
    np.testing.assert_allclose(score_P, expected, rtol=1e-5)


def test_a_catalogue_without_any_word_ties_everything() -> None:
    assert match([[], ["?"]]).scores("cat").tolist() == [0.0, 0.0]
    assert match([]).scores("cat").tolist() == []


def test_it_equals_bm25s_on_many_documents() -> None:
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(60)]
    documents = [random.choice(words, random.integers(0, 12)).tolist() for _ in range(300)]
    peer = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    peer.index(documents, show_progress=False)
    ours = match(documents)
    for _ in range(20):
        query = random.choice(words, 3).tolist()
        expected = peer.get_scores_from_ids(peer.get_tokens_ids(query))
        np.testing.assert_allclose(ours.scores(" ".join(query)), expected, rtol=1e-5)


def test_photos_that_came_later_change_nothing_for_those_that_were_there() -> None:
    early = [["cat tree"], ["dog tree"], ["tree in a park"]]
    late = [["cat cat cat and many more words"], ["cat"], ["zebra"]]
    both = KeywordMatch.of([*early, *late], np.arange(6) < 3)
    assert both.scores("cat tree")[:3].tolist() == match(early).scores("cat tree").tolist()
    assert both.scores("cat tree")[3:].min() == 0.0
    assert (both.scores("cat")[3:5] > 0).all()
    assert both.scores("zebra")[5] > both.scores("cat")[4]  # a word that was in no document is the rarest
    assert (KeywordMatch.of(late, np.zeros(3, np.bool_)).scores("cat")[:2] > 0).all()  # nothing was there before
