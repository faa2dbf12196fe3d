"""One vector per visitor that follows the visitor: near steps hardly move it, a far one takes it along.

Shape letters: V visitors, I items, L steps, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.recommend.interactions import NONE, Floats, Interactions, Ints, has_vector
from models.recommend.untrained import VectorRecommender


@dataclass(frozen=True)
class SessionEmbedding(VectorRecommender):
    """The last `length` items that were liked, one after another."""

    length: int = 50

    def represent(self, histories: Interactions, item_ID: Floats) -> Floats:
        """Return the vectors of the visitors, float32 [V, D]; items without a vector are skipped."""
        liked = histories.where((histories.weight_N > 0) & has_vector(item_ID)[histories.item_N])
        return follow(liked.last(self.length), item_ID)


def follow(item_VL: Ints, item_ID: Floats) -> Floats:
    """Return the state after the steps, float32 [V, D]; zeros without any. `NONE` is no step.

    s_1 = f(v_1), then s_t = a1 * s_(t-1) + a2 * f(v_t) with a1 = (cos(f(v_t), s_(t-1)) + 1) / 2 and a2 = 1 - a1.

    From (1, 0) to (0, 1) the cosine is 0, both halves count alike. Then to (-1, 0): the cosine to (.5, .5) is -.707, so
    a1 is .146 and the state .146 * (.5, .5) + .854 * (-1, 0).

    >>> vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    >>> follow(np.array([[0, 1, NONE], [0, 1, 2]]), vectors).round(3).tolist()
    [[0.5, 0.5], [-0.7799999713897705, 0.0729999989271164]]
    """
    state_VD = np.zeros((len(item_VL), item_ID.shape[1]), np.float32)
    for step, item_V in enumerate(item_VL.T):
        is_step_V = item_V != NONE
        new_VD, old_VD = item_ID[item_V[is_step_V]], state_VD[is_step_V]
        if step == 0:
            state_VD[is_step_V] = new_VD
            continue
        length_V = np.linalg.norm(old_VD, axis=1) * np.linalg.norm(new_VD, axis=1)
        cosine_V = np.divide(
            np.einsum("vd,vd->v", old_VD, new_VD), length_V, out=np.zeros_like(length_V), where=length_V > 0
        )
        kept_V1 = ((cosine_V + 1) / 2)[:, None]
        state_VD[is_step_V] = kept_V1 * old_VD + (1 - kept_V1) * new_VD
    return state_VD
