"""Which pairs a pass of training sees, how much each weighs, and which combinations are known positives.

Shapes: R rows of the log, P pairs, K shards, U photos and V texts of a batch, M combinations that are masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.ragged import ragged_rows

Indices = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
WeightedPairs = tuple[Indices, Indices, npt.NDArray[np.float32]]
_ORDER = 1  # stream of random numbers


def merge_pairs(photo_R: Indices, text_R: Indices, weight_R: Float64s | None = None) -> WeightedPairs:
    """Return every different pair once, sorted, with the weight 1 + ln(number of times it is there).

    With weights of the rows, that is multiplied by the mean of the pair's rows.

    >>> [values.tolist() for values in merge_pairs(np.array([4, 2, 4]), np.array([7, 7, 7]))]
    [[2, 4], [7, 7], [1.0, 1.6931471824645996]]
    """
    row_2R = np.stack([photo_R, text_R])
    if weight_R is None:
        pairs, counts = np.unique(row_2R, axis=1, return_counts=True)
        return pairs[0], pairs[1], (1 + np.log(counts)).astype(np.float32)
    pairs, pair_R, counts = np.unique(row_2R, axis=1, return_inverse=True, return_counts=True)
    mean_P = np.bincount(pair_R.reshape(-1), weight_R, minlength=len(counts)) / counts
    return pairs[0], pairs[1], ((1 + np.log(counts)) * mean_P).astype(np.float32)


def count_pairs(photo_R: Indices, text_R: Indices, weight_R: Float64s | None = None) -> WeightedPairs:
    """Return every pair as often as it is there, sorted, with the weight of its row, 1 where none is given.

    >>> [values.tolist() for values in count_pairs(np.array([4, 2, 4]), np.array([7, 7, 7]))]
    [[2, 4, 4], [7, 7, 7], [1.0, 1.0, 1.0]]
    """
    weight_R = np.ones(len(photo_R)) if weight_R is None else weight_R
    order = np.lexsort((weight_R, text_R, photo_R))
    return photo_R[order], text_R[order], weight_R[order].astype(np.float32)


class PairStream:
    """Which pairs every step sees: batches cut from an endless row of passes over the pairs.

    Pairs lie in shards by their photo. Each shard has its own row of passes, and each batch takes from every shard
    what its share of the pairs comes to, whole pairs only, so that what a process takes from its shards does not
    depend on how many processes hold the others. (A shard of less than a pair a batch may miss a turn or give a pair
    twice.) Every pair comes once a pass.

    `shard_P` says in which shard each pair held here lies; within a shard, pairs must be in the same order wherever
    it is held. `count_K` says how many pairs each shard has, of all processes.
    """

    def __init__(
        self,
        shard_P: Indices,
        count_K: npt.NDArray[np.float64],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self._batch_size, self._seed = batch_size, seed
        self._pairs = {shard: np.flatnonzero(shard_P == shard) for shard in np.unique(shard_P).tolist()}
        self._edges = np.concatenate([[0.0], np.cumsum(count_K) / count_K.sum()])
        self._edges[-1] = 1.0
        self._passes: dict[int, dict[int, Indices]] = {shard: {} for shard in self._pairs}

    def rows(self, step: int) -> Indices:
        """Return the pairs of a step that are held here, by position; steps count from 0."""
        parts = []
        for shard in self._pairs:
            first, last = self._taken(shard, step), self._taken(shard, step + 1)
            parts.append(self._slice(shard, first, last))
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def first(self, count: int) -> Indices:
        """Return the first pairs, at most `count`, of the first pass of the first shard held here that has any."""
        return self._pass(min(self._pairs), 0)[:count] if self._pairs else np.zeros(0, np.int64)

    def _taken(self, shard: int, step: int) -> int:
        """Return how many pairs of a shard the steps before this one have taken."""
        low, high = np.floor(step * self._batch_size * self._edges[shard : shard + 2] + 1e-6)
        return int(high - low)

    def _slice(self, shard: int, first: int, last: int) -> Indices:
        length = len(self._pairs[shard])
        numbers = np.arange(first, last)
        parts = [
            self._pass(shard, number)[numbers[numbers // length == number] % length]
            for number in range(first // length, (last - 1) // length + 1)
            if last > first
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _pass(self, shard: int, number: int) -> Indices:
        """Return the pairs of one pass in order; the latest two are kept."""
        kept = self._passes[shard]
        if number not in kept:
            generator = np.random.default_rng([self._seed, _ORDER, shard, number])
            kept[number] = generator.permutation(self._pairs[shard])
            for old in [known for known in kept if known < number - 1]:
                del kept[old]
        return kept[number]


@dataclass(frozen=True)
class KnownPositives:
    """The texts of every photo, of the whole training log: combinations that must never serve as negatives.

    Texts are told apart by any numbers: their positions, or the ids of their groups.
    """

    texts: Indices  # of all photos, one after the other, ascending within each
    starts: Indices  # photo i has texts[starts[i]:starts[i + 1]]

    @classmethod
    def of(cls, photo_P: Indices, text_P: Indices, photo_count: int) -> KnownPositives:
        """Collect the different texts of each of `photo_count` photos."""
        photos, texts = np.unique(np.stack([photo_P, text_P]), axis=1)
        return cls(texts, np.searchsorted(photos, np.arange(photo_count + 1)))

    def among(self, photo_U: Indices, text_V: Indices) -> Indices:
        """Return the known combinations of these photos and texts, as positions in both, [2, M].

        The cost is that of the photos' texts, not of U x V. A text that is there twice is found twice.
        """
        different, place_V = np.unique(text_V, return_inverse=True)
        photo_M, found_M = self._among(photo_U, different)
        edges = np.append(0, np.cumsum(np.bincount(place_V, minlength=len(different))))
        row, starts = ragged_rows(edges[found_M], edges[found_M + 1])
        return np.stack([np.repeat(photo_M, np.diff(starts)), np.argsort(place_V, kind="stable")[row]])

    def of_photos(self, photo_U: Indices) -> Indices:
        """Return the known combinations of these photos, as positions in them and texts, [2, M]."""
        position, starts = ragged_rows(self.starts[photo_U], self.starts[photo_U + 1])
        return np.stack([np.repeat(np.arange(len(photo_U)), np.diff(starts)), self.texts[position]])

    def _among(self, photo_U: Indices, text_V: Indices) -> Indices:
        """Do the same for different texts in ascending order."""
        photos, texts = self.of_photos(photo_U)
        place = np.searchsorted(text_V, texts)
        place[place == len(text_V)] = 0
        is_there = text_V[place] == texts if len(text_V) else np.zeros(len(texts), np.bool_)
        return np.stack([photos[is_there], place[is_there]])
