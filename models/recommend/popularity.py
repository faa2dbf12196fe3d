"""The photos that most visitors of a country liked lately: the baseline that every method has to beat.

Shape letters: V visitors, C candidates, I items, Y countries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.recommend.interactions import Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Recommender, Scorer, with_zero_rows


@dataclass(frozen=True)
class Popularity(Recommender):
    """All likes, halved every `half_life_days`, by country. An item without any has the share 0: that is known of it.

    What is popular now is a stronger baseline than what has been (Ji, Sun, Zhang and Li, 2020,
    https://doi.org/10.1145/3397271.3401233).

    A country counts for as much as it has likes, and the world for `prior_count` likes, so that small countries are
    shown what the world likes and an unknown one nothing else.
    """

    half_life_days: float = 3.0
    prior_count: float = 50.0

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedPopularity:
        liked = log.liked()
        weight_N = np.exp2((liked.at_N - log.as_of) / (86_400 * self.half_life_days))
        country_N = liked.country_V[liked.row_visitors()]
        return FittedPopularity(smoothed_shares(country_N, liked.item_N, weight_N, log.item_count, self.prior_count))


def smoothed_shares(
    country_N: npt.NDArray[np.int32],
    item_N: Ints,
    weight_N: npt.NDArray[np.float64],
    item_count: int,
    prior_count: float,
) -> npt.NDArray[np.float32]:
    """Return each item's share of the likes of every country, float32 [I, Y + 1]; the last column is the world's.

    A like counts `weight_N`, from 0 to 1:
    (likes in the country + prior_count * share in the world) / (all likes in the country + prior_count); a country of
    -1 counts for the world alone.

    Of four likes two are in country 0, one in country 1 and one nowhere. Item 0 has 3 of 4 in the world, and in
    country 0 (1 + 2 * .75) / (2 + 2).

    >>> country_N, item_N = np.array([0, 0, 1, -1]), np.array([0, 1, 0, 0])
    >>> smoothed_shares(country_N, item_N, np.ones(4), 2, prior_count=2.0).round(3).tolist()
    [[0.625, 0.8330000042915344, 0.75], [0.375, 0.16699999570846558, 0.25]]
    """
    total = weight_N.sum()
    world_I = np.bincount(item_N, weight_N, minlength=item_count) / (total if total else 1)
    is_known_N = country_N >= 0
    country_count = int(country_N.max(initial=-1)) + 1
    key_N = item_N[is_known_N] * country_count + country_N[is_known_N]
    count_IY = np.bincount(key_N, weight_N[is_known_N], minlength=item_count * country_count)
    count_IY = count_IY.reshape(item_count, country_count)
    share_IY = (count_IY + prior_count * world_I[:, None]) / (count_IY.sum(axis=0) + prior_count)
    return np.column_stack([share_IY, world_I]).astype(np.float32)


@dataclass(eq=False)
class FittedPopularity(Fitted):
    """Shares by item and country."""

    reads_histories = False

    share_IY: Floats

    @property
    def item_count(self) -> int:
        """I."""
        return len(self.share_IY)

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedPopularity:
        return FittedPopularity(with_zero_rows(self.share_IY, items, number_I))

    def scorer(self, histories: Interactions) -> Scorer:
        """Return the scorer by the visitors' countries."""
        world = self.share_IY.shape[1] - 1
        is_known_V = (histories.country_V >= 0) & (histories.country_V < world)
        column_V = np.where(is_known_V, histories.country_V, world)
        return lambda candidate_C: self.share_IY[candidate_C].T[column_V]
