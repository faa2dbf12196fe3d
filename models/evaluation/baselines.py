"""Rankings that need no neural model: counts of past conversions, and keyword match. Pure; times are the caller's.

Shape letters: N past conversions, U distinct query texts, B query texts of a block, P photos.

Each function returns a `Scorer` (see `models.evaluation.ranking`). What "past" is, the caller decides: the
evaluation hands over everything before the test window.
"""

from __future__ import annotations

import functools
import itertools
import logging
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from models.evaluation.ranking import Floats, Ints, Scorer
from models.text import normalise_query

_UNSPACED = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "BOPOMOFO ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""Beginnings of the Unicode names of characters in scripts that put no space between words."""
_JOINER = re.compile("[\u180e\u200c\u200d]")
"""What `normalise_query` leaves between the letters of a word."""


POPULARITY_HALF_LIFE_DAYS = 3.0
"""In which a conversion's part in popularity halves: the best of 1 to 60 days on a validation window, see DECISIONS."""


def popularity_scorer(photo_N: Ints, age_days_N: Floats, photo_count: int) -> Scorer:
    """Return the scorer of the photos most converted of late, whatever the query.

    `photo_N` is the photo of each past conversion, `age_days_N` how long before the first query it was; it counts
    2^(-age / half-life). What is popular now is a stronger baseline than what has been (Ji, Sun, Zhang and Li, 2020,
    https://doi.org/10.1145/3397271.3401233). Damping the sums would not change their order.
    """
    weight_N = np.exp2(-age_days_N / POPULARITY_HALF_LIFE_DAYS)
    score_P = np.bincount(photo_N, weight_N, minlength=photo_count)
    return lambda text_B: np.tile(score_P, (len(text_B), 1))


def most_converted_scorer(text_N: Ints, photo_N: Ints, text_count: int, photo_count: int) -> Scorer:
    """Return the scorer of the photos most converted for the same query, ties and unseen queries by popularity.

    `text_N` is the number (0 to `text_count` - 1) of the query text of each past conversion, or -1 for a text that
    is not to be scored; it counts for popularity all the same. One more conversion for the query outweighs any
    difference in popularity: the score is count * L + the popularity's rank among its L distinct values.
    """
    levels, level_P = np.unique(np.bincount(photo_N, minlength=photo_count), return_inverse=True)
    kept = text_N >= 0
    pair, count = np.unique(text_N[kept] * photo_count + photo_N[kept], return_counts=True)
    start_U = np.searchsorted(pair, np.arange(text_count + 1) * photo_count)
    counted_photo, counted = pair % photo_count, count * len(levels)

    def scores(text_B: Ints) -> Floats:
        score_BP = np.tile(level_P.astype(np.float64), (len(text_B), 1))
        for row, text in enumerate(text_B):
            found = slice(start_U[text], start_U[text + 1])
            score_BP[row, counted_photo[found]] += counted[found]
        return score_BP

    return scores


def keyword_scorer(texts: Sequence[str], documents: Sequence[Sequence[str]]) -> Scorer:
    """Return the scorer of keyword match: BM25 of the query's tokens in each photo's document.

    `texts` are the U query texts; `documents` holds for each of the P photos its texts (keywords, description).
    Score: the sum over the query's tokens of the BM25 weight (k1 = 1.5, b = 0.75, Lucene's idf; Robertson and
    Zaragoza, 2009; Kamphuis et al., 2020), 0 where no token matches.
    """
    import bm25s  # slow to import, and a stage whose work is done needs none of it

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # importing it turns its debugging on

    tokens_P = [[token for text in document for token in tokenise(text)] for document in documents]
    if not any(tokens_P):
        return lambda text_B: np.zeros((len(text_B), len(documents)), dtype=np.float32)
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index(tokens_P, show_progress=False)

    def scores(text_B: Ints) -> Floats:
        score_BP = np.zeros((len(text_B), len(documents)), dtype=np.float32)
        for row, text in enumerate(text_B):
            if known := index.get_tokens_ids(tokenise(texts[text])):
                score_BP[row] = index.get_scores_from_ids(known)
        return score_BP

    return scores


@functools.lru_cache(maxsize=200_000)
def tokenise(text: str) -> tuple[str, ...]:
    """Return the tokens of a text in any script, after `normalise_query`.

    A run of letters, marks and digits is a token, without the joiners in it. Where the script puts no space between
    words (Han, kana, Thai, Lao, Khmer, Burmese), each character and each pair of neighbours in a run is a token. A
    symbol or emoji is a token by itself. All else separates.

    >>> tokenise("Black-Cat 黒猫 ❤")
    ('black', 'cat', '黒', '猫', '黒猫', '❤')
    """
    tokens: list[str] = []
    for kind, run in itertools.groupby(_JOINER.sub("", normalise_query(text)), key=_kind):
        characters = list(run)
        if kind == "word":
            tokens.append("".join(characters))
        elif kind != "separator":
            tokens += characters
        if kind == "unspaced":
            tokens += [a + b for a, b in itertools.pairwise(characters)]
    return tuple(tokens)


@functools.lru_cache(maxsize=20_000)
def _kind(character: str) -> str:
    if unicodedata.category(character)[0] in "LMN":
        return "unspaced" if unicodedata.name(character, "").startswith(_UNSPACED) else "word"
    return "symbol" if unicodedata.category(character) == "So" else "separator"
