"""Kinds of queries that are looked at one by one: how often they were asked, whether that rises, in what script.

Shape letters: T distinct queries of the past, Q searches.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.evaluation.ranking import Ints

HEAD_SHARE, TORSO_SHARE = 0.5, 0.9
"""The most frequent queries with up to half of the past searches are the head, those up to nine tenths the torso."""

RISING_LEAST, RISING_TIMES = 5, 3
"""A query rises if it was asked at least so often on the last day, and so many times as often as is usual in a day."""

_SCRIPTS = {"CJK": "han", "IDEOGRAPHIC": "han", "HIRAGANA": "japanese", "KATAKANA": "japanese", "HANGUL": "korean"}
"""First words of the Unicode names of letters, where they do not name the script people know."""
WITHOUT_LETTERS = "no letters"


@dataclass(frozen=True)
class FrequencyCuts:
    """From how many past searches a query is head or torso; all others, those never asked among them, are tail."""

    head_min_count: int
    torso_min_count: int

    @classmethod
    def of(cls, count_T: ArrayLike) -> FrequencyCuts:
        """Return the cuts that `HEAD_SHARE` and `TORSO_SHARE` give for the past counts (each at least 1).

        A query is head if it and all that were asked at least as often make up at most half of the past searches, and
        torso if they make up at most nine tenths. Queries asked equally often are never parted; a group that lies
        across a cut falls below it, so that where no query was asked twice all are tail.

        >>> FrequencyCuts.of([50, 30, 10, 2, 2, 2, 2, 2])
        FrequencyCuts(head_min_count=50, torso_min_count=10)
        """
        value, number = np.unique(np.asarray(count_T, dtype=np.int64), return_counts=True)
        share = np.cumsum((value * number)[::-1])[::-1] / max((value * number).sum(), 1)  # of those at least as often
        above = np.append(value, value.max(initial=0) + 1)  # where no group is frequent enough, no query is
        return cls(*(int(above[np.count_nonzero(share > most)]) for most in (HEAD_SHARE, TORSO_SHARE)))

    def name(self, count: int) -> str:
        """Return head, torso or tail for the number of past searches of a query."""
        if count >= self.head_min_count:
            return "head"
        return "torso" if count >= self.torso_min_count else "tail"


class Events:
    """What happened to numbered things, counted between instants (integers of one unit)."""

    def __init__(self, key_N: Ints, at_N: Ints) -> None:
        self._at_N = np.sort(at_N)
        self._stride = len(at_N) + 1
        # key and place in time as one number, so that a key's events up to an instant are one slice
        self._place_N = np.sort(key_N * self._stride + np.searchsorted(self._at_N, at_N))

    def between(self, key_S: Ints, start_S: Ints, end_S: Ints) -> Ints:
        """Return how many events of each key there were from an instant until before another, shape (S,)."""
        return self._before(key_S, end_S) - self._before(key_S, start_S)

    def _before(self, key_S: Ints, as_of_S: Ints) -> Ints:
        return np.searchsorted(self._place_N, key_S * self._stride + np.searchsorted(self._at_N, as_of_S))


def is_rising(last_day_Q: ArrayLike, usual_Q: ArrayLike) -> NDArray[np.bool_]:
    """Tell which searches are for what is asked more and more, shape (Q,).

    `last_day_Q` is how often the query was asked on the day before the search, `usual_Q` how often in a day of the
    training window. The least number keeps out rare queries that happen to come twice.

    >>> is_rising([5, 4, 12, 12, 9], [0, 0, 4, 4.1, 3.0])
    array([ True, False,  True, False,  True])
    """
    last_day_Q = np.asarray(last_day_Q)
    return (last_day_Q >= RISING_LEAST) & (last_day_Q >= RISING_TIMES * np.asarray(usual_Q))


def script_of(text: str) -> str:
    """Return the script most letters of a text are written in, lower case; of equally many, the one that comes first.

    By the Unicode names of the letters. Any kana makes a text japanese, Han characters alone are han; a text without
    letters (digits, emoji) has `WITHOUT_LETTERS`. A script is not a language: latin is English as well as Spanish.

    >>> [script_of(text) for text in ("café noir", "чёрный кот", "黒い猫", "黑猫", "고양이", "2024 ❤")]
    ['latin', 'cyrillic', 'japanese', 'han', 'korean', 'no letters']
    """
    scripts = Counter(script for script in map(_script_of_character, text) if script)
    if not scripts:
        return WITHOUT_LETTERS
    if "japanese" in scripts:
        scripts["japanese"] += scripts.pop("han", 0)
    return scripts.most_common(1)[0][0]


@functools.lru_cache(maxsize=20_000)
def _script_of_character(character: str) -> str | None:
    """Return the script of a letter, or None for any other character."""
    if unicodedata.category(character) not in ("Lu", "Ll", "Lt", "Lo"):
        return None
    first = unicodedata.name(character, "").partition(" ")[0]
    return _SCRIPTS.get(first, first.lower()) or None
