"""Keyword match: BM25 of a query's tokens in each photo's document, as an inverted index. Reads nothing.

Shape letters: P photos, T distinct tokens, N postings (a token in a document), U texts, W distinct ones, L tokens of
all of these, M matches.
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

    def matches(self, tokens: Tokens) -> Matches:
        """Return the photos in whose documents a token of each distinct text is."""
        found_L, count_L = self._postings(tokens)
        text_L = np.repeat(np.arange(len(tokens.start) - 1), np.diff(tokens.start))
        at_M = spans(self.start_T[found_L], count_L)
        key_M, number_M = np.unique(
            np.repeat(text_L, count_L) * self.photo_count + self.place_N[at_M], return_inverse=True
        )
        score_M = np.bincount(number_M, self.weight_N[at_M], minlength=len(key_M))
        covered_M = np.bincount(number_M, minlength=len(key_M)) / np.diff(tokens.start)[key_M // self.photo_count]
        return Matches(key_M, score_M.astype(np.float32), covered_M.astype(np.float32), self.photo_count)

    def match_counts(self, tokens: Tokens) -> NDArray[np.int64]:
        """Return how many photos match each distinct text, at most, shape (W,)."""
        _, count_L = self._postings(tokens)
        before_L = np.append(0, np.cumsum(count_L))
        counts: NDArray[np.int64] = np.diff(before_L[tokens.start])
        return counts

    def scores(self, query: str) -> NDArray[np.float32]:
        """Return the score of every photo, shape (P,), 0 where no token of the query matches."""
        score_P = np.zeros(self.photo_count, dtype=np.float32)
        found = self.matches(Tokens.of([query]))
        score_P[found.place] = found.score
        return score_P

    def _postings(self, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each token's place among the known ones, shape (L,), and how many postings it has, 0 if unknown."""
        if not len(self.token_T):
            return (np.zeros(len(tokens.token), dtype=np.int64),) * 2
        found_L = np.searchsorted(self.token_T, tokens.token).clip(max=len(self.token_T) - 1)
        count_L = self.start_T[found_L + 1] - self.start_T[found_L]
        return found_L, np.where(self.token_T[found_L] == tokens.token, count_L, 0)


@dataclass(frozen=True)
class Tokens:
    """The tokens of U texts, equal texts held once: those of text u are of the distinct text `number[u]`."""

    number: NDArray[np.int64]  # (U,)
    start: NDArray[np.int64]  # (W + 1,) where each distinct text's tokens begin
    token: NDArray[np.uint64]  # (L,)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Tokens:
        """Cut texts into tokens."""
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        each = [tokenise(text) for text in numbers]
        start = np.cumsum([0, *map(len, each)], dtype=np.int64)
        number = np.array([numbers[text] for text in texts], dtype=np.int64)
        return cls(number, start, token_ids(itertools.chain.from_iterable(each)))

    def of_texts(self, text_U: NDArray[np.int64]) -> Tokens:
        """Return the tokens of some of the texts."""
        distinct, number_U = np.unique(self.number[text_U], return_inverse=True)
        count_W = self.start[distinct + 1] - self.start[distinct]
        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(count_W)])
        return Tokens(number_U, start, self.token[spans(self.start[distinct], count_W)])


@dataclass(frozen=True)
class Matches:
    """Which photos match which distinct text: text * P + place, ascending; scores, and the share of tokens covered."""

    key: NDArray[np.int64]  # (M,)
    score: NDArray[np.float32]  # (M,)
    covered: NDArray[np.float32]  # (M,) of the text's tokens those in the photo's document, 0..1
    photo_count: int

    @property
    def place(self) -> NDArray[np.int64]:
        """The places of the photos, shape (M,)."""
        return self.key % self.photo_count

    def at(self, key_N: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return score and share covered of each pair of a text and a photo, shapes (N,), 0 where there is no match."""
        if not len(self.key):
            return np.zeros(len(key_N), dtype=np.float32), np.zeros(len(key_N), dtype=np.float32)
        at_N = np.searchsorted(self.key, key_N).clip(max=len(self.key) - 1)
        is_match_N = self.key[at_N] == key_N
        nothing = np.float32(0)
        return np.where(is_match_N, self.score[at_N], nothing), np.where(is_match_N, self.covered[at_N], nothing)


def spans(start_S: NDArray[np.int64], count_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of several spans, one span after the other.

    >>> spans(np.array([5, 1]), np.array([2, 3])).tolist()
    [5, 6, 1, 2, 3]
    """
    before_S = np.cumsum(count_S) - count_S
    numbers: NDArray[np.int64] = np.arange(count_S.sum()) + np.repeat(start_S - before_S, count_S)
    return numbers


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
