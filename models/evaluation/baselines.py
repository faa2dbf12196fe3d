"""Rankings by counts of past conversions. Pure; times are the caller's.

Shape letters: N past conversions, U distinct query texts, B query texts of a block, P photos.

Each function returns a `Scorer` (see `models.evaluation.ranking`). What "past" is, the caller decides: the
evaluation hands over everything before the test window.
"""

from __future__ import annotations

import numpy as np

from models.evaluation.ranking import Floats, Ints, Scorer

POPULARITY_HALF_LIFE_DAYS = 3.0
"""In which a conversion's part in popularity halves: the best of 1 to 60 days on a validation window, see DECISIONS."""


def popularity_scorer(photo_N: Ints, age_days_N: Floats, photo_count: int) -> Scorer:
    """Return the scorer of the photos most converted of late, whatever the query.

    `photo_N` is the photo of each past conversion, `age_days_N` how long before the first query it was; it counts
    2^(-age / half-life). What is popular now is a stronger baseline than what has been (Ji, Sun, Zhang and Li, 2020,
    https://doi.org/10.1145/3397271.3401233). Damping the sums would not change their order.
    """
    weight_N = np.exp2(-age_days_N / POPULARITY_HALF_LIFE_DAYS)
    score_P = np.bincount(photo_N, weight_N, minlength=photo_count)
    return lambda text_B: np.tile(score_P, (len(text_B), 1))


def most_converted_scorer(text_N: Ints, photo_N: Ints, text_count: int, photo_count: int) -> Scorer:
    """Return the scorer of the photos most converted for the same query, ties and unseen queries by popularity.

    `text_N` is the number (0 to `text_count` - 1) of the query text of each past conversion, or -1 for a text that
    is not to be scored; it counts for popularity all the same. One more conversion for the query outweighs any
    difference in popularity: the score is count * L + the popularity's rank among its L distinct values.
    """
    levels, level_P = np.unique(np.bincount(photo_N, minlength=photo_count), return_inverse=True)
    kept = text_N >= 0
    pair, count = np.unique(text_N[kept] * photo_count + photo_N[kept], return_counts=True)
    start_U = np.searchsorted(pair, np.arange(text_count + 1) * photo_count)
    counted_photo, counted = pair % photo_count, count * len(levels)

    def scores(text_B: Ints) -> Floats:
        score_BP = np.tile(level_P.astype(np.float64), (len(text_B), 1))
        for row, text in enumerate(text_B):
            found = slice(start_U[text], start_U[text + 1])
            score_BP[row, counted_photo[found]] += counted[found]
        return score_BP

    return scores
