"""What lists are like beyond whether they are right: coverage, diversity, novelty. Only metrics.

Shape letters: V lists (of a visitor or a query), K places, I items, D dimensions.

An item of -1 is a place that is not filled. Lists are as `models.recommend.topk` gives them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def coverage(item_VK: ArrayLike, item_count: int) -> float:
    """Return the share of all items that are in any list, in [0, 1] (Herlocker et al., 2004).

    Three of four items are shown to somebody:

    >>> coverage([[0, 1], [1, 2], [0, -1]], item_count=4)
    0.75
    """
    shown = np.unique(np.asarray(item_VK))
    return float(np.count_nonzero(shown >= 0) / item_count)


def diversity(item_VK: ArrayLike, vector_ID: ArrayLike) -> Floats:
    """Return the mean of 1 - cosine over all pairs of a list's items, in [0, 2], [V] (Ziegler et al., 2005).

    `vector_ID` are unit rows. NaN for a list of fewer than two items.

    Two items alike and one across: the pairs have the distances 0, 1 and 1.

    >>> diversity([[0, 1, 2], [0, 1, -1]], [[1, 0], [1, 0], [0, 1]]).round(3).tolist()
    [0.667, 0.0]
    """
    item_VK, vector_ID = np.asarray(item_VK), np.asarray(vector_ID, dtype=np.float64)
    is_there_VK = item_VK >= 0
    # the sum of all cosines, those of items with themselves included, is the square of the sum of the vectors
    sum_VD = np.zeros((len(item_VK), vector_ID.shape[1]))
    itself_V = np.zeros(len(item_VK))
    for item_V, is_there_V in zip(item_VK.T, is_there_VK.T, strict=True):
        vector_VD = vector_ID[item_V] * is_there_V[:, None]
        sum_VD += vector_VD
        itself_V += (vector_VD**2).sum(axis=1)
    count_V = np.count_nonzero(is_there_VK, axis=1)
    pairs_V = count_V * (count_V - 1.0)
    cosine_V = np.divide(
        (sum_VD**2).sum(axis=1) - itself_V, pairs_V, out=np.full(len(pairs_V), np.nan), where=pairs_V > 0
    )
    return np.asarray(1 - cosine_V, dtype=np.float64)


def novelty(item_VK: ArrayLike, taken_count_I: ArrayLike, visitor_count: int) -> Floats:
    """Return the mean of -log2 of the share of visitors who took an item, over a list's items, in bits, [V].

    The self-information of Zhou et al., 2010, https://doi.org/10.1073/pnas.1000488107, with one visitor more who took
    everything, so that an item that nobody took has a finite value, the highest. NaN for an empty list.

    Of 7 visitors 3 took item 0 and none item 1: (3 + 1) / 8 is one bit, (0 + 1) / 8 are three.

    >>> novelty([[0, 1], [0, -1]], [3, 0], visitor_count=7).tolist()
    [2.0, 1.0]
    """
    item_VK, taken_count_I = np.asarray(item_VK), np.asarray(taken_count_I)
    if taken_count_I.max(initial=0) > visitor_count:
        raise ValueError(f"an item was taken by {taken_count_I.max()} of {visitor_count} visitors: count each once")
    is_there_VK = item_VK >= 0
    bits_VK = -np.log2((taken_count_I + 1) / (visitor_count + 1))[item_VK] * is_there_VK
    count_V = np.count_nonzero(is_there_VK, axis=1)
    mean_V: Floats = np.divide(bits_VK.sum(axis=1), count_V, out=np.full(len(count_V), np.nan), where=count_V > 0)
    return mean_V
