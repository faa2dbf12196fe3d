"""ALS by Spark's MLlib, for logs whose factorisation is beyond one machine. It learns; scoring is that of any ALS.

The log itself is handed over from here, 20 bytes an interaction, of a larger one a sample as to all methods; what Spark
spreads is the work.

MLlib regularises by count. Its objective is that of `models.recommend.als.Objective` but for the penalty, which is
r * sum n_u |x_u|^2 + r * sum n_i |y_i|^2 with n_u the likes of a visitor and n_i those of an item. Scores stay if x is
divided by a number and y multiplied by it, so only the product of both penalties matters: r = regularization /
sqrt(mean n_u * mean n_i) makes them as strong as the objective's for the mean visitor and item. Multiplying y by
(mean n_i / mean n_u)^(1/4) then gives each side the objective's own penalty, by which visitors are folded in. Where all
visitors have equally many likes, and all items, both objectives are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jobs.adapters.spark_session import spark_session
from jobs.config.settings import Settings
from models.recommend.als import Als, FittedAls
from models.recommend.interactions import Floats, Interactions, ItemFeatures
from models.recommend.interface import Recommender, TooLittleToLearn

_PAIRS_PER_BLOCK = 1_000_000
_FEWEST_BLOCKS = 4


@dataclass(frozen=True)
class SparkAls(Recommender):
    """What `als` says, by Spark. A session that is running is used."""

    settings: Settings
    als: Als = field(default_factory=Als)

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedAls:
        """Factorise the log; the same arguments give the same factors but for the order in which Spark adds up.

        Visitors and items without a like have no part in it: their factors would be zero.
        """
        weight_VI = self.als.objective.weights(log).tocoo()
        is_liked_N = weight_VI.data > 0
        if not is_liked_N.any():
            raise TooLittleToLearn("nothing_to_learn_from", "the log has nothing to learn from: nothing in it is liked")
        visitor_N, item_N = weight_VI.coords
        likes_V = np.bincount(visitor_N[is_liked_N], minlength=log.visitor_count)
        likes_I = np.bincount(item_N[is_liked_N], minlength=log.item_count)
        is_kept_N = (likes_V[visitor_N] > 0) & (likes_I[item_N] > 0)
        pairs = pa.table(
            {
                "visitor": pa.array(visitor_N[is_kept_N], pa.int32()),
                "item": pa.array(item_N[is_kept_N], pa.int32()),
                "weight": pa.array(weight_VI.data[is_kept_N], pa.float32()),
            }
        )
        per_visitor, per_item = likes_V[likes_V > 0].mean(), likes_I[likes_I > 0].mean()
        strength = self.als.objective.regularization / np.sqrt(per_visitor * per_item)
        item_ID = self._factorised(pairs, log.item_count, float(strength), seed)
        return FittedAls(item_ID * np.float32((per_item / per_visitor) ** 0.25), self.als.objective)

    def _factorised(self, pairs: pa.Table, item_count: int, strength: float, seed: int) -> Floats:
        """Return MLlib's factors of the items, float32 [I, D]; zero for those that are in no pair."""
        with spark_session(self.settings, "als") as spark:
            from pyspark.ml.recommendation import ALS

            blocks = max(_FEWEST_BLOCKS, pairs.num_rows // _PAIRS_PER_BLOCK)
            model = ALS(
                rank=self.als.factor_count,
                maxIter=self.als.pass_count,
                regParam=strength,
                alpha=self.als.objective.alpha,
                implicitPrefs=True,
                numUserBlocks=blocks,
                numItemBlocks=blocks,
                userCol="visitor",
                itemCol="item",
                ratingCol="weight",
                seed=seed,
            ).fit(spark.createDataFrame(pairs))
            found = model.itemFactors.toArrow().combine_chunks()
        item_ID = np.zeros((item_count, self.als.factor_count), np.float32)
        factors = found["features"].combine_chunks().values.to_numpy(zero_copy_only=False)
        item_ID[found["id"].to_numpy()] = factors.reshape(-1, self.als.factor_count)
        return item_ID
