"""Which pairs a pass of training sees, how much each weighs, and which combinations are known positives.

Shapes: P pairs, U photos and V texts of a batch, M combinations that are masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def merge_pairs(photo_P: Indices, text_P: Indices) -> tuple[Indices, Indices, npt.NDArray[np.float32]]:
    """Return every different pair once, sorted, with the weight 1 + ln(number of times it is there).

    >>> [values.tolist() for values in merge_pairs(np.array([4, 2, 4]), np.array([7, 7, 7]))]
    [[2, 4], [7, 7], [1.0, 1.6931471824645996]]
    """
    pairs, counts = np.unique(np.stack([photo_P, text_P]), axis=1, return_counts=True)
    return pairs[0], pairs[1], (1 + np.log(counts)).astype(np.float32)


def draw_pairs(photo_P: Indices, exponent: float, generator: np.random.Generator) -> Indices:
    """Return the order of one pass, P positions of pairs.

    With an exponent of 0 every pair comes once. Otherwise pairs are drawn with replacement, in proportion to
    (pairs of the same photo) ** -exponent: photos of many pairs come less often, rare ones more often; at 1 every
    photo comes equally often.
    """
    if exponent == 0:
        return generator.permutation(len(photo_P))
    _, photo, counts = np.unique(photo_P, return_inverse=True, return_counts=True)
    chance_P = counts[photo].astype(np.float64) ** -exponent
    return generator.choice(len(photo_P), len(photo_P), p=chance_P / chance_P.sum())


@dataclass(frozen=True)
class KnownPositives:
    """The texts of every photo, of the whole training log: combinations that must never serve as negatives."""

    texts: Indices  # of all photos, one after the other, ascending within each
    starts: Indices  # photo i has texts[starts[i]:starts[i + 1]]

    @classmethod
    def of(cls, photo_P: Indices, text_P: Indices, photo_count: int) -> KnownPositives:
        """Collect the different texts of each of `photo_count` photos."""
        photos, texts = np.unique(np.stack([photo_P, text_P]), axis=1)
        return cls(texts, np.searchsorted(photos, np.arange(photo_count + 1)))

    def among(self, photo_U: Indices, text_V: Indices) -> Indices:
        """Return the known combinations of these photos and texts, as positions in both, [2, M].

        `text_V` is ascending. The cost is that of the photos' texts, not of U x V.
        """
        counts = self.starts[photo_U + 1] - self.starts[photo_U]
        ends = np.cumsum(counts)
        position = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[photo_U] - ends + counts, counts)
        texts = self.texts[position]
        place = np.searchsorted(text_V, texts)
        place[place == len(text_V)] = 0
        is_there = text_V[place] == texts if len(text_V) else np.zeros(len(texts), np.bool_)
        return np.stack([np.repeat(np.arange(len(photo_U)), counts)[is_there], place[is_there]])
