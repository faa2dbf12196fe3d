"""One row of features per candidate of a search. Only features: no choice of candidates, no learning.

Shape letters: B searches, U distinct texts, P photos, N candidates, F features.

What is not known is missing (NaN), never zero: a photo that was not there before the cutoff has no history, a
query nobody has asked has no counts. Trees learn where to send missing values; `mask_history` makes sure that they
meet enough of them in training, on photos of every quality, so that a new photo is judged by what can be seen of it.

The device and the orientation filter of a search are known when it is made, before anything is shown or taken: they are
of the search, like its words, and of no future. What past searches say of devices is cut off as all history is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.rerank.candidates import Candidates
from models.rerank.history import DAY, Float64s, History
from models.rerank.likeness import likeness, taste_match
from models.rerank.photo_keywords import PhotoKeywords

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
    "device_affinity",
    "query_photo_conversions",
    "query_photo_conversions_decayed",
    "query_photo_share",
    "query_country_conversions",
)
"""Features that come from conversions of the photo; missing for a photo that was not there before the cutoff."""
VISITOR = ("visitor_taken",)
"""Features that come from what the visitor took before; missing for a photo that the visitor did not take, as far as
that is known."""
_SMOOTHING = 5.0
"""Events that the mean of all photos counts for in a share."""
_RATE_DAYS = 3.0
ORIENTATIONS = ("landscape", "portrait", "squarish")
"""What a search can be narrowed to, by number."""
_SQUARISH = 1.1
"""A photo whose longer side is at most this many times the shorter."""


@dataclass(frozen=True)
class Photos:
    """What is known of the P photos from the start.

    Where they are not dated, all count as there from the beginning. Then a photo without a past may be new or unwanted,
    nobody can tell: it has no history, and no photo an age.
    """

    available_at: Ints
    aspect: Float64s  # width / height, NaN where it is not known
    vector: NDArray[np.float16]  # (P, K) see `models.rerank.likeness`, zero where there is none
    keywords: PhotoKeywords
    is_dated: bool = True


@dataclass(frozen=True)
class Words:
    """How the words of each candidate's search match the photo's document (see `models.keyword_match`), shapes (N,).

    `closest` compares meanings (see `PhotoKeywords.likeness`).
    """

    count: Ints  # tokens of the search
    score: NDArray[np.float32]  # of keyword match, 0 where no token matches
    covered: NDArray[np.float32]  # share of the tokens that the document has
    closest: Float64s


@dataclass(frozen=True)
class Searches:
    """B searches: `text` is the number of what was asked, query and country are numbers as in `History`.

    Query -1 has no history, country -1 is one that no conversion came from, device -1 is unknown. Orientation is a
    place in `ORIENTATIONS`, -1 where none was asked for or it is not known. Visitor is a number as in `Pasts`, -1 where
    it is not known who searches.
    """

    text: Ints
    query: Ints
    country: Ints
    device: Ints
    orientation: Ints
    asked_at: Ints
    visitor: Ints

    def of(self, kept: Ints) -> Searches:
        """Return some of the searches."""
        return Searches(*(getattr(self, field.name)[kept] for field in fields(self)))

    def joined(self, more: Searches) -> Searches:
        """Return these searches and further ones."""
        pairs = ((getattr(self, field.name), getattr(more, field.name)) for field in fields(self))
        return Searches(*(np.concatenate(pair) for pair in pairs))


FEATURES = (
    "vector_score",
    "vector_rank",
    "vector_gap",
    "keyword_score",
    "keyword_share",
    "words",
    "words_covered",
    "keyword_likeness",
    "query_likeness",
    "query_country_likeness",
    "country_taste",
    "photo_age_days",
    "photo_aspect",
    "orientation_match",
    "device",
    "query_conversions",
    *HISTORY,
    *VISITOR,
)
"""The columns of `feature_matrix`, in order."""


def feature_matrix(
    searches: Searches,
    candidates: Candidates,
    history: History,
    photos: Photos,
    words: Words,
    taste_CK: Matrix,
    taken_N: Float64s,
) -> Matrix:
    """Return the features of every candidate, shape (N, F), columns as in `FEATURES`.

    `taste_CK` is of the countries (see `models.rerank.likeness`); one without a row is unknown. `taken_N` is as
    `Pasts.taken` has it. Counts are damped as log(1 + count). A gap is the distance to the search's best candidate by
    the same score. A photo's age is counted in days of the calendar (UTC), so that searches of one day are alike.
    """
    keyword_N = words.score
    place_N, row_N = candidates.place, candidates.row
    best_N = _best_of_search(candidates, keyword_N)
    query_N, device_N = history.by_query.at(searches.query)[row_N, 0], searches.device[row_N]
    columns = {
        "vector_score": candidates.score,
        "vector_rank": candidates.rank,
        "vector_gap": _best_of_search(candidates, candidates.score) - candidates.score,
        "keyword_score": keyword_N,
        "keyword_share": np.divide(keyword_N, best_N, out=np.full(len(best_N), MISSING), where=best_N > 0),
        "words": words.count,
        "words_covered": words.covered,
        "keyword_likeness": words.closest,
        "photo_age_days": _where_dated(photos, (searches.asked_at // DAY)[row_N] - photos.available_at[place_N] // DAY),
        "photo_aspect": photos.aspect[place_N],
        "orientation_match": orientation_match(searches.orientation[row_N], photos.aspect[place_N]),
        "device": np.where(device_N >= 0, device_N, MISSING),
        "query_conversions": np.log1p(query_N),
    }
    columns |= _history_columns(searches, candidates, history, photos, query_N)
    columns["country_taste"] = taste_match(photos.vector[place_N].astype(np.float32), searches.country[row_N], taste_CK)
    columns["visitor_taken"] = taken_N
    return np.column_stack([np.asarray(columns[name], dtype=np.float32) for name in FEATURES])


def orientation_match(orientation_N: Ints, aspect_N: Float64s) -> Float64s:
    """Return 1 where the photo is of the orientation asked for, 0 where not, NaN where there is nothing to say.

    >>> orientation_match(np.array([0, 1, 1, 2, -1]), np.array([1.5, 1.5, np.nan, 0.95, 1.5])).tolist()
    [1.0, 0.0, nan, 1.0, nan]
    """
    fits_NO = np.column_stack([aspect_N > 1, aspect_N < 1, np.maximum(aspect_N, 1 / aspect_N) <= _SQUARISH])
    found_N = np.take_along_axis(fits_NO, np.maximum(orientation_N, 0)[:, None], axis=1)[:, 0]
    return np.where((orientation_N >= 0) & ~np.isnan(aspect_N), found_N, MISSING)


def _history_columns(
    searches: Searches, candidates: Candidates, history: History, photos: Photos, query_N: Float64s
) -> dict[str, Float64s]:
    place_N, row_N = candidates.place, candidates.row
    country_N, number_N = searches.country[row_N], searches.query[row_N]
    observed_N = (history.cutoff - photos.available_at[place_N]) / DAY
    photo_N = history.photo_sums[place_N]
    is_known_N = country_N >= 0
    in_country_N = history.by_photo_country.at(np.where(is_known_N, place_N * history.country_count + country_N, -1))
    key_N = np.where(number_N >= 0, number_N * history.photo_count + place_N, -1)
    of_query_N = history.by_query_photo.at(key_N)
    both_N = np.where(is_known_N & (key_N >= 0), key_N * history.country_count + country_N, -1)
    of_both_N = history.by_query_country_photo.at(both_N)
    recent_N, days_N = photo_N[:, 4], np.minimum(observed_N, 28)
    has_history_N = observed_N > 0 if photos.is_dated else photo_N[:, 0] > 0
    daily_rate_N = (recent_N + history.daily_rate * _RATE_DAYS) / (np.maximum(days_N, 0) + _RATE_DAYS)
    vector_NK = photos.vector[place_N].astype(np.float32)
    values = {
        "photo_conversions": np.log1p(photo_N[:, 0]),
        "photo_conversions_decayed": np.log1p(photo_N[:, 1]),
        "photo_conversions_1_day": np.log1p(photo_N[:, 2]),
        "photo_conversions_7_days": np.log1p(photo_N[:, 3]),
        "photo_conversions_28_days": np.log1p(recent_N),
        "photo_daily_rate": _where_dated(photos, daily_rate_N),
        "photo_observed_days": _where_dated(photos, observed_N),
        "photo_last_conversion_days": (history.cutoff - history.last_at[place_N]) / DAY,
        "country_conversions": np.log1p(in_country_N[:, 0]),
        "country_conversions_decayed": np.log1p(in_country_N[:, 1]),
        "country_affinity": _affinity(in_country_N[:, 0], photo_N[:, 0], history.country_share[country_N]),
        "device_affinity": _device_affinity(searches.device[row_N], place_N, history),
    }
    of_query = {
        "query_photo_conversions": np.log1p(of_query_N[:, 0]),
        "query_photo_conversions_decayed": np.log1p(of_query_N[:, 1]),
        "query_photo_share": of_query_N[:, 0] / (query_N + _SMOOTHING),
        "query_country_conversions": np.log1p(of_both_N[:, 0]),
    }
    values |= {name: np.where(query_N > 0, value, MISSING) for name, value in of_query.items()}
    return {name: np.where(has_history_N, value, MISSING) for name, value in values.items()} | {
        "query_likeness": likeness(vector_NK, of_query_N[:, 0], row_N),
        "query_country_likeness": likeness(vector_NK, of_both_N[:, 0], row_N),
    }


def _where_dated(photos: Photos, value_N: Float64s | Ints) -> Float64s:
    return np.where(photos.is_dated, value_N, MISSING)


def _affinity(own_N: Float64s, all_N: Float64s, share_N: Float64s) -> Float64s:
    """Return how much larger a part of the photo's conversions is than the same part of everybody's, as a logarithm."""
    return np.log((own_N + _SMOOTHING * share_N) / (all_N + _SMOOTHING) / share_N)


def _device_affinity(device_N: Ints, place_N: Ints, history: History) -> Float64s:
    by_device_ND = history.photo_devices[place_N]
    own_N = np.take_along_axis(by_device_ND, np.maximum(device_N, 0)[:, None], axis=1)[:, 0]
    affinity_N = _affinity(own_N, by_device_ND.sum(axis=1), history.device_share[device_N])
    return np.where(device_N >= 0, affinity_N, MISSING)


def _best_of_search(candidates: Candidates, value_N: NDArray[np.floating]) -> Float64s:
    """Return for each candidate the highest value among its search's candidates; missing values do not count."""
    if len(value_N) == 0:
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(candidates.row, prepend=-1))
    best = np.maximum.reduceat(np.where(np.isnan(value_N), -np.inf, value_N).astype(np.float64), starts)
    best = np.where(np.isfinite(best), best, MISSING)
    return np.repeat(best, np.diff(np.append(starts, len(value_N))))


def mask_history(matrix_NF: Matrix, share: float, seed: int) -> None:
    """Take the history from a random share of the rows, in place, as if the photo had just been submitted."""
    is_masked_N = np.random.default_rng(seed).random(len(matrix_NF)) < share
    for column, name in enumerate(FEATURES):
        if name in HISTORY:
            matrix_NF[is_masked_N, column] = MISSING
