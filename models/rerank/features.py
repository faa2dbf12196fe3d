"""One row of features per candidate of a search. Only features: no choice of candidates, no learning.

Shape letters: B searches of a block, P photos, N candidates, F features.

What is not known is missing (NaN), never zero: a photo that was not there before the cutoff has no history, a
query nobody has asked has no counts. Trees learn where to send missing values; `mask_history` makes sure that they
meet enough of them in training, on photos of every quality, so that a new photo is judged by what can be seen of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.rerank.candidates import Candidates
from models.rerank.history import DAY, Float64s, History

Matrix = NDArray[np.float32]
MISSING = np.nan

HISTORY = (
    "photo_conversions",
    "photo_conversions_decayed",
    "photo_conversions_1_day",
    "photo_conversions_7_days",
    "photo_conversions_28_days",
    "photo_daily_rate",
    "photo_observed_days",
    "photo_last_conversion_days",
    "country_conversions",
    "country_conversions_decayed",
    "country_affinity",
    "query_photo_conversions",
    "query_photo_conversions_decayed",
    "query_photo_share",
    "query_country_conversions",
)
"""Features that come from conversions of the photo; missing for a photo that was not there before the cutoff."""
_SMOOTHING = 5.0
"""Events that the mean of all photos counts for in a share."""
_RATE_DAYS = 3.0


@dataclass(frozen=True)
class Photos:
    """What is known of the P photos from the start."""

    available_at: Ints
    aspect: Float64s  # width / height, NaN where it is not known


@dataclass(frozen=True)
class Searches:
    """The B searches of a block, by number as in `History`; query -1 has no history."""

    query: Ints
    country: Ints
    asked_at: Ints


def feature_names(base: str, others: Sequence[str]) -> list[str]:
    """Return the names of the features, in order; `base` and `others` are the vector arms that give scores."""
    model = [f"{base}_score", f"{base}_rank", f"{base}_gap"]
    scores = [name for arm in others for name in (f"{arm}_score", f"{arm}_gap")]
    seen = ["keyword_score", "keyword_share", "photo_age_days", "photo_aspect", "query_conversions"]
    return [*model, *scores, *seen, *HISTORY]


def feature_matrix(
    searches: Searches,
    candidates: Candidates,
    history: History,
    photos: Photos,
    base: str,
    score_by_arm: Mapping[str, NDArray[np.float32]],
    keyword_N: NDArray[np.float32],
) -> Matrix:
    """Return the features of every candidate, shape (N, F), columns as in `feature_names`.

    `score_by_arm` holds the scores of the other arms, shape (N,), -inf or NaN where the photo has none. Counts are
    damped as log(1 + count). A gap is the distance to the search's best candidate by the same score.
    """
    place_N, row_N = candidates.place, candidates.row
    columns = {
        f"{base}_score": candidates.score,
        f"{base}_rank": candidates.rank,
        f"{base}_gap": _best_of_search(candidates, candidates.score) - candidates.score,
    }
    for arm, score_N in score_by_arm.items():
        score_N = np.where(np.isfinite(score_N), score_N, MISSING)
        columns |= {f"{arm}_score": score_N, f"{arm}_gap": _best_of_search(candidates, score_N) - score_N}
    best_N = _best_of_search(candidates, keyword_N)
    query_N = history.by_query.at(searches.query)[row_N, 0]
    columns |= {
        "keyword_score": keyword_N,
        "keyword_share": np.divide(keyword_N, best_N, out=np.full(len(best_N), MISSING), where=best_N > 0),
        "photo_age_days": (searches.asked_at[row_N] - photos.available_at[place_N]) / DAY,
        "photo_aspect": photos.aspect[place_N],
        "query_conversions": np.log1p(query_N),
    }
    columns |= _history_columns(searches, candidates, history, photos, query_N)
    names = feature_names(base, list(score_by_arm))
    return np.column_stack([np.asarray(columns[name], dtype=np.float32) for name in names])


def _history_columns(
    searches: Searches, candidates: Candidates, history: History, photos: Photos, query_N: Float64s
) -> dict[str, Float64s]:
    place_N, row_N = candidates.place, candidates.row
    country_N, number_N = searches.country[row_N], searches.query[row_N]
    observed_N = (history.cutoff - photos.available_at[place_N]) / DAY
    photo_N = history.photo_sums[place_N]
    in_country_N = history.by_photo_country.at(place_N * history.country_count + country_N)
    key_N = np.where(number_N >= 0, number_N * history.photo_count + place_N, -1)
    of_query_N = history.by_query_photo.at(key_N)
    of_both_N = history.by_query_country_photo.at(np.where(key_N >= 0, key_N * history.country_count + country_N, -1))
    share_N = history.country_share[country_N]
    affinity_N = (in_country_N[:, 0] + _SMOOTHING * share_N) / (photo_N[:, 0] + _SMOOTHING) / share_N
    recent_N, days_N = photo_N[:, 4], np.minimum(observed_N, 28)
    values = {
        "photo_conversions": np.log1p(photo_N[:, 0]),
        "photo_conversions_decayed": np.log1p(photo_N[:, 1]),
        "photo_conversions_1_day": np.log1p(photo_N[:, 2]),
        "photo_conversions_7_days": np.log1p(photo_N[:, 3]),
        "photo_conversions_28_days": np.log1p(recent_N),
        "photo_daily_rate": (recent_N + history.daily_rate * _RATE_DAYS) / (np.maximum(days_N, 0) + _RATE_DAYS),
        "photo_observed_days": observed_N,
        "photo_last_conversion_days": (history.cutoff - history.last_at[place_N]) / DAY,
        "country_conversions": np.log1p(in_country_N[:, 0]),
        "country_conversions_decayed": np.log1p(in_country_N[:, 1]),
        "country_affinity": np.log(affinity_N),
    }
    of_query = {
        "query_photo_conversions": np.log1p(of_query_N[:, 0]),
        "query_photo_conversions_decayed": np.log1p(of_query_N[:, 1]),
        "query_photo_share": of_query_N[:, 0] / (query_N + _SMOOTHING),
        "query_country_conversions": np.log1p(of_both_N[:, 0]),
    }
    values |= {name: np.where(query_N > 0, value, MISSING) for name, value in of_query.items()}
    return {name: np.where(observed_N > 0, value, MISSING) for name, value in values.items()}


def _best_of_search(candidates: Candidates, value_N: NDArray[np.floating]) -> Float64s:
    """Return for each candidate the highest value among its search's candidates; missing values do not count."""
    if len(value_N) == 0:
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(candidates.row, prepend=-1))
    best = np.maximum.reduceat(np.where(np.isnan(value_N), -np.inf, value_N).astype(np.float64), starts)
    best = np.where(np.isfinite(best), best, MISSING)
    return np.repeat(best, np.diff(np.append(starts, len(value_N))))


def mask_history(matrix_NF: Matrix, names: Sequence[str], share: float, seed: int) -> Matrix:
    """Return a copy in which a random share of the rows has no history, as if the photo had just been submitted."""
    is_masked_N = np.random.default_rng(seed).random(len(matrix_NF)) < share
    masked = matrix_NF.copy()
    for column, name in enumerate(names):
        if name in HISTORY:
            masked[is_masked_N, column] = MISSING
    return masked
