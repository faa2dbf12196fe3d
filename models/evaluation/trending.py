"""What is being taken just now: recent conversions, decayed by their age, mixed into a model's scores.

Shape letters: N conversions, S states (what is counted, as of an instant), Q searches, B searches of a block, P photos,
M mixtures.

A conversion weighs 2 ** -(age / half-life), so that a trend comes up within hours and is forgotten within days. Counts
are of what lies before an instant, never of what comes after it: whoever asks for them says as of when. Times are
integers, microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Availability, Floats, Ints, Scorer, score_blocks
from models.ragged import ragged_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

HOUR = 3_600_000_000
MOST_HALF_LIVES = 7
"""Conversions that are older weigh less than a hundredth and are not counted."""
ROWS_AT_ONCE = 4_000_000

HALF_LIVES = (6.0, 24.0, 72.0)
QUERY_WEIGHTS = (0.5, 1.0, 2.0, 4.0)
PHOTO_WEIGHTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Mixture:
    """How much recent conversions count beside a model, and how long.

    A photo's score rises by log2(1 + its decayed count) times the weight times the standard deviation of the scores of
    the search's candidates: `query_weight` for the conversions for the same words, `photo_weight` for all of the
    photo's. With both weights 0 it is the model alone.
    """

    half_life_hours: float
    query_weight: float
    photo_weight: float


class Conversions:
    """Past conversions that are counted by a key: a number of the query's words, or 0 for all alike."""

    def __init__(self, key_N: Ints, photo_N: Ints, at_N: Ints, photo_count: int) -> None:
        order = np.lexsort((at_N, key_N))
        self._at_N = np.sort(at_N)
        self._event_N, self._time_N = photo_N[order], at_N[order]
        self._stride = len(at_N) + 1
        # key and place in time as one number, so that a key's conversions up to an instant are one slice
        self._place_N = key_N[order] * self._stride + np.searchsorted(self._at_N, self._time_N)
        self._photo_count = photo_count

    def _ends(self, key_S: Ints, as_of_S: Ints) -> Ints:
        """Return where the conversions of each key that lie before an instant end, shape (S,)."""
        return np.searchsorted(self._place_N, key_S * self._stride + np.searchsorted(self._at_N, as_of_S))

    def between(self, key_S: Ints, start_S: Ints, end_S: Ints) -> Ints:
        """Return how many conversions of each key there were from an instant until before another, shape (S,)."""
        return self._ends(key_S, end_S) - self._ends(key_S, start_S)

    def decayed(self, key_S: Ints, as_of_S: Ints, half_life_hours: float) -> csr_array:
        """Return the decayed counts of every photo before each instant, sparse float32 (S, P)."""
        from scipy import sparse

        half_life = half_life_hours * HOUR
        end_S = self._ends(key_S, as_of_S)
        start_S = self._ends(key_S, as_of_S - int(MOST_HALF_LIVES * half_life))
        length_S = end_S - start_S
        block_S = np.cumsum(length_S) // ROWS_AT_ONCE
        parts = [sparse.csr_array((0, self._photo_count), dtype=np.float32)]
        for some in np.split(np.arange(len(key_S)), np.flatnonzero(np.diff(block_S)) + 1):
            row_R = np.repeat(np.arange(len(some)), length_S[some])
            event_R, _ = ragged_rows(start_S[some], end_S[some])
            weight_R = np.exp2((self._time_N[event_R] - as_of_S[some][row_R]) / half_life).astype(np.float32)
            places = (weight_R, (row_R, self._event_N[event_R]))
            parts.append(sparse.csr_array(places, shape=(len(some), self._photo_count)))
        return sparse.csr_array(sparse.vstack(parts, format="csr"))


@dataclass(frozen=True)
class Searches:
    """Searches whose photo is to be ranked, and as of when conversions are known to them, each of shape (Q,).

    `words` numbers their query's words as the conversions' keys do.
    """

    text: Ints
    words: Ints
    target: Ints
    asked_at: Ints
    known_until: Ints


def mixed_ranks(
    scorer: Scorer,
    searches: Searches,
    by_words: Conversions,
    by_photo: Conversions,
    availability: Availability,
    mixtures: Sequence[Mixture],
) -> NDArray[np.int32]:
    """Return the rank of each search's photo by each mixture, shape (M, Q), 1 for the best.

    Candidates and ties as in `models.evaluation.ranking.rank_targets`; photos that the scorer gives -inf stay behind.
    """
    half_lives = tuple(dict.fromkeys(one.half_life_hours for one in mixtures))
    states, state_Q = np.unique(np.stack([searches.words, searches.known_until], axis=1), axis=0, return_inverse=True)
    instants, instant_Q = np.unique(searches.known_until, return_inverse=True)
    for_words = {half: by_words.decayed(states[:, 0], states[:, 1], half).log1p() for half in half_lives}
    for_photos = {half: by_photo.decayed(np.zeros_like(instants), instants, half).log1p() for half in half_lives}
    rank_MQ = np.empty((len(mixtures), len(searches.text)), dtype=np.int32)
    for block, score_BP in score_blocks(scorer, searches.text, searches.asked_at, availability):
        unit_B1 = _deviation(score_BP)[:, None] / np.float32(np.log(2))
        for half in half_lives:
            words_BP = unit_B1 * for_words[half][state_Q[block]].toarray()
            photos_BP = unit_B1 * for_photos[half][instant_Q[block]].toarray()
            for number, mixture in enumerate(mixtures):
                if mixture.half_life_hours == half:
                    mixed_BP = score_BP + mixture.query_weight * words_BP + mixture.photo_weight * photos_BP
                    rank_MQ[number, block] = availability.ranks(mixed_BP, searches.target[block])
    return rank_MQ


def _deviation(score_BP: Floats) -> Floats:
    """Return the standard deviation of the finite scores of each row, shape (B,); 0 where there is none."""
    finite_BP = np.isfinite(score_BP)
    count_B1 = np.maximum(finite_BP.sum(axis=1, keepdims=True), 1)
    mean_B1 = np.sum(score_BP, axis=1, keepdims=True, where=finite_BP) / count_B1
    centred_BP = np.where(finite_BP, score_BP - mean_B1, 0)
    return np.asarray(np.sqrt(np.einsum("bp,bp->b", centred_BP, centred_BP) / count_B1[:, 0]), dtype=score_BP.dtype)


def tune(
    scorer: Scorer,
    searches: Searches,
    by_words: Conversions,
    by_photo: Conversions,
    availability: Availability,
    k: int = 10,
) -> tuple[Mixture, dict[Mixture, float]]:
    """Return the mixture to take, and the share of the searches' photos that each one tried puts among the first k.

    First half-life and weight of the same words are chosen together, the model alone among the choices, then the weight
    of the photo's conversions. Taken is the one that changes least among those not clearly worse than the best, by two
    standard errors of the paired difference: the best of many is the luckiest.
    """
    rates: dict[Mixture, float] = {}

    def choose(mixtures: list[Mixture]) -> Mixture:
        rank_MQ = mixed_ranks(scorer, searches, by_words, by_photo, availability, mixtures)
        is_hit_MQ = rank_MQ <= k
        rates.update(zip(mixtures, is_hit_MQ.mean(axis=1).tolist(), strict=True))
        lost_MQ = is_hit_MQ[is_hit_MQ.mean(axis=1).argmax()].astype(np.int8) - is_hit_MQ
        is_worse_M = lost_MQ.mean(axis=1) > 2 * lost_MQ.std(axis=1) / np.sqrt(lost_MQ.shape[1])
        return mixtures[int(np.flatnonzero(~is_worse_M)[0])]

    alone = Mixture(HALF_LIVES[1], 0.0, 0.0)
    found = choose([alone, *(Mixture(half, weight, 0.0) for weight in QUERY_WEIGHTS for half in HALF_LIVES)])
    halves = (found.half_life_hours,) if found.query_weight else HALF_LIVES
    more = [Mixture(half, found.query_weight, weight) for weight in PHOTO_WEIGHTS for half in halves]
    return choose([found, *more]), rates
