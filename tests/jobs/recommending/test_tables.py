"""The best of many methods is called better only where it would be so among as many equal ones too."""

from __future__ import annotations

import numpy as np
import polars as pl

from jobs.recommending.tables import measure
from models.recommend.judging import COLUMNS


def test_the_best_of_eleven_equal_methods_is_rarely_called_better_than_another() -> None:
    random, wrong, about = np.random.default_rng(3), 0, {"protocol": "p", "segment_kind": "all", "segment": "all"}
    for _ in range(40):
        served_V = random.beta(1, 3, 300)  # some visitors are easy to please, by whatever method
        hits = (random.random((11, 300)) < served_V).astype(float)
        values = {str(arm): np.repeat(hit_V[:, None], len(COLUMNS), axis=1) for arm, hit_V in enumerate(hits)}
        found = measure(about, values)["comparisons"].filter(pl.col("metric") == "hit_rate", pl.col("k") == 10)
        wrong += (found["p_value"] < 0.05).any()
        assert ((found["low"] > 0) == (found["p_value"] < 0.05)).all()
    assert wrong <= 5
