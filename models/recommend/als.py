"""Factors of low rank by alternating least squares on implicit feedback.

Hu, Koren and Volinsky, 2008, https://doi.org/10.1109/ICDM.2008.22, as the library `implicit` has it. A visitor's
factors follow from those of the items in closed form, so they are never kept: every visitor is folded in when scores
are asked for, seen in training or not. Item factors of the same objective from elsewhere serve as well.

Shape letters: V visitors, I items, D factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits

from models.recommend.interactions import Floats, Interactions, Ints, ItemFeatures, has_vector
from models.recommend.interface import FittedVectors, Recommender, TooLittleToLearn, with_zero_rows


@dataclass(frozen=True)
class Objective:
    """sum c (p - x y)^2 + regularization * (|x|^2 + |y|^2) over all visitors and items.

    The preference p is 1 for what is liked, else 0. The confidence c is 1 + alpha * |weight|, with the weights of a
    visitor's interactions with an item summed: 1 for what was never met, more for what was liked. A dislike weighs
    `dislike_weight` times as much as a like: at 0 a photo that was seen and not liked is as one never met, since a
    rating under a limit says more for a taste than against it.
    """

    regularization: float = 0.05
    alpha: float = 10.0
    dislike_weight: float = 0.0

    def weights(self, log: Interactions) -> csr_array:
        """Return the summed weights where they are not 0, [V, I]."""
        weight_VI: csr_array = log.matrix(log.weights(self.dislike_weight))
        weight_VI.eliminate_zeros()
        return weight_VI

    def confidences(self, log: Interactions) -> csr_matrix:
        """Return the confidences where they are not 1, with the sign of the weight as `implicit` has it, [V, I]."""
        weight_VI = self.weights(log)
        weight_VI.data = np.sign(weight_VI.data) * (1 + self.alpha * np.abs(weight_VI.data))
        return csr_matrix(weight_VI, dtype=np.float32)


@dataclass(frozen=True)
class Als(Recommender):
    """Alternating least squares."""

    factor_count: int = 64
    pass_count: int = 15
    objective: Objective = Objective()

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedAls:
        if not (log.weight_N > 0).any():
            raise TooLittleToLearn("nothing_to_learn_from", "the log has nothing to learn from: nothing in it is liked")
        confidence_VI = self.objective.confidences(log)
        model = _model(self.factor_count, self.objective, iterations=self.pass_count, random_state=seed)
        with threadpool_limits(1, "blas"):  # the library runs its own threads, each of which would start BLAS's
            model.fit(confidence_VI, show_progress=False)
        item_ID = np.array(model.item_factors, np.float32)
        item_ID[np.bincount(log.item_N, minlength=log.item_count) == 0] = 0
        return FittedAls(item_ID, self.objective)


@dataclass(eq=False)
class FittedAls(FittedVectors):
    """Factors of items, zero for those without interactions, and the objective that they are of."""

    item_ID: Floats
    objective: Objective

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedAls:
        return FittedAls(with_zero_rows(self.item_ID, items, number_I), self.objective)

    def represent(self, histories: Interactions) -> Floats:
        """Return the factors of the visitors, float32 [V, D]: what makes the objective smallest for these items.

        (sum over all items of y y' + sum over the history of (c - 1) y y' + regularization) x = sum of the liked c y.
        """
        known = histories.where(has_vector(self.item_ID)[histories.item_N])
        model = _model(self.item_ID.shape[1], self.objective)
        model.item_factors = self.item_ID
        with threadpool_limits(1, "blas"):
            factor_VD = model.recalculate_user(np.arange(known.visitor_count), self.objective.confidences(known))
        return np.asarray(factor_VD, dtype=np.float32)


def _model(factor_count: int, objective: Objective, **options: Any) -> Any:
    from implicit.cpu.als import AlternatingLeastSquares  # slow to import

    with threadpool_limits(1, "blas"):
        return AlternatingLeastSquares(factors=factor_count, regularization=objective.regularization, **options)
