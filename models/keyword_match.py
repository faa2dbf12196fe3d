"""Keyword match: BM25 of a query's tokens in each photo's document, as an inverted index. Reads nothing.

Shape letters: P photos, T distinct tokens, N postings (a token in a document), B queries of a block.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.text import normalise_query

_UNSPACED = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "BOPOMOFO ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""Beginnings of the Unicode names of characters in scripts that put no space between words."""
_JOINER = re.compile("[\u180e\u200c\u200d]")
"""What `normalise_query` leaves between the letters of a word."""
_K1, _B = 1.5, 0.75


@dataclass(frozen=True)
class KeywordMatch:
    """The weight of each token in each photo's document; a query's score is the sum over its tokens.

    Weights are BM25's with k1 = 1.5, b = 0.75 and Lucene's idf (Robertson and Zaragoza, 2009,
    https://doi.org/10.1561/1500000019; Kamphuis et al., 2020, https://doi.org/10.1007/978-3-030-45442-5_4).
    """

    token_T: NDArray[np.uint64]  # `token_ids`, ascending
    start_T: NDArray[np.int64]  # (T + 1,) where each token's postings begin
    place_N: NDArray[np.int32]  # the photo, ascending within a token
    weight_N: NDArray[np.float32]
    photo_count: int

    @classmethod
    def of(cls, documents: Sequence[Sequence[str]], is_counted_P: NDArray[np.bool_]) -> KeywordMatch:
        """Index the texts (keywords, description) of each of the P photos.

        How rare a token is and how long a document should be is told by the photos in `is_counted_P` alone: those that
        were there when the searches began, so that no search is ranked by what came later.
        """
        tokens_P = [[token for text in document for token in tokenise(text)] for document in documents]
        length_P = np.array([len(tokens) for tokens in tokens_P], dtype=np.int64)
        counted = int(is_counted_P.sum())
        mean_length = float(length_P[is_counted_P].mean()) if counted else 0.0
        each_N = token_ids(itertools.chain.from_iterable(tokens_P))
        token_T, token_N = np.unique(each_N, return_inverse=True)
        pair_N = token_N * len(tokens_P) + np.repeat(np.arange(len(tokens_P)), length_P)
        pair_N, frequency_N = np.unique(pair_N, return_counts=True)
        token_N, place_N = np.divmod(pair_N, max(1, len(tokens_P)))
        document_count_T = np.bincount(token_N[is_counted_P[place_N]], minlength=len(token_T))
        idf_T = np.log1p((counted - document_count_T + 0.5) / (document_count_T + 0.5))
        relative_N = length_P[place_N] / (mean_length or 1.0)
        weight_N = idf_T[token_N] * frequency_N / (frequency_N + _K1 * (1 - _B + _B * relative_N))
        return cls(
            token_T=token_T,
            start_T=np.searchsorted(token_N, np.arange(len(token_T) + 1)).astype(np.int64),
            place_N=place_N.astype(np.int32),
            weight_N=weight_N.astype(np.float32),
            photo_count=len(documents),
        )

    def matches(self, query: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the photos in whose documents a token of the query is, ascending, and their scores."""
        token_Q = token_ids(tokenise(query))
        found_Q = np.searchsorted(self.token_T, token_Q).clip(max=max(0, len(self.token_T) - 1))
        is_there_Q = self.token_T[found_Q] == token_Q if len(self.token_T) else np.zeros(len(token_Q), np.bool_)
        parts = [slice(self.start_T[token], self.start_T[token + 1]) for token in found_Q[is_there_Q]]
        place_M = np.concatenate([np.zeros(0, np.int64), *(self.place_N[part] for part in parts)])
        weight_M = np.concatenate([np.zeros(0, np.float32), *(self.weight_N[part] for part in parts)])
        place, number_M = np.unique(place_M, return_inverse=True)
        return place, np.bincount(number_M, weight_M, minlength=len(place)).astype(np.float32)

    def scores(self, query: str) -> NDArray[np.float32]:
        """Return the score of every photo, shape (P,), 0 where no token of the query matches."""
        score_P = np.zeros(self.photo_count, dtype=np.float32)
        place, score = self.matches(query)
        score_P[place] = score
        return score_P


def token_ids(tokens: Iterable[str]) -> NDArray[np.uint64]:
    """Return numbers of tokens, the same everywhere: the first eight bytes of BLAKE2b."""
    return np.fromiter(map(_token_id, tokens), dtype=np.uint64)


@functools.lru_cache(maxsize=200_000)
def _token_id(token: str) -> int:
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little")


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
