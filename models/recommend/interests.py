"""Several vectors per visitor: the photos in the middle of what the visitor likes, one for each interest.

The mean of a love of cats and a love of cars is near neither. PinnerSage (Pal et al., 2020,
https://arxiv.org/abs/2007.03634) parts a history into clusters by Ward's method and takes the medoid of each: a photo
that is there, so near to what is liked.

Shape letters: N interactions, M different items of a history, R interests, V visitors, I items, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from models.recommend.interactions import Floats, Interactions, Ints, has_vector
from models.recommend.untrained import VectorRecommender


@dataclass(frozen=True)
class Interests(VectorRecommender):
    """The medoids of the `interest_count` weightiest clusters among the last `length` items that were liked.

    Clusters are not joined beyond `max_distance` in Ward's sense (for two unit vectors sqrt(2 - 2 cos)). A cluster
    weighs what its interactions do, halved every `half_life_days`.
    """

    interest_count: int = 3
    max_distance: float = 1.0
    half_life_days: float = 30.0
    length: int = 100

    def represent(self, histories: Interactions, item_ID: Floats) -> Floats:
        """Return the medoids of every visitor, weightiest first, float32 [V, R, D].

        Clusters one visitor after the other: the dearest of the methods that train nothing.
        """
        liked = histories.where((histories.weight_N > 0) & has_vector(item_ID)[histories.item_N])
        weight_N = liked.weight_N * liked.decayed(self.half_life_days)
        interest_VRD = np.zeros((histories.visitor_count, self.interest_count, item_ID.shape[1]), np.float32)
        for visitor in range(liked.visitor_count):
            history = liked.history(visitor)
            rows = slice(max(history.start, history.stop - self.length), history.stop)
            item_M, place_N = np.unique(liked.item_N[rows], return_inverse=True)
            weight_M = np.bincount(place_N, weight_N[rows])
            found = medoids(item_ID[item_M], weight_M, self.max_distance)[: self.interest_count]
            interest_VRD[visitor, : len(found)] = item_ID[item_M[found]]
        return interest_VRD


def medoids(vector_MD: Floats, weight_M: npt.NDArray[Any], max_distance: float) -> Ints:
    """Return the medoid of each cluster by its row, those of weightier clusters first, int64 [clusters].

    The medoid is the row with the smallest sum of squared distances to its cluster, each times the weight of the
    other; of equal ones the first, and of clusters that weigh the same that of the first row.

    Two rows alike and a third across: two clusters, of which the pair weighs more.

    >>> medoids(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float32), np.array([1.5, 1.0, 1.0]), 0.5).tolist()
    [1, 0]
    """
    if len(vector_MD) < 2:
        return np.arange(len(vector_MD))
    cluster_M = fcluster(linkage(vector_MD.astype(np.float64), "ward"), max_distance, "distance")
    best, total = [], []
    for cluster in np.unique(cluster_M):
        row = np.flatnonzero(cluster_M == cluster)
        squared = ((vector_MD[row, None].astype(np.float64) - vector_MD[None, row]) ** 2).sum(axis=2)
        best.append(row[(squared @ weight_M[row]).argmin()])
        total.append(weight_M[row].sum())
    return np.array(best, np.int64)[np.lexsort((best, -np.array(total)))]
