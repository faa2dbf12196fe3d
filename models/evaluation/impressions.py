"""What lists that were shown say: how often photos were taken, how long they were looked at, which places are seen.

A photo is taken if it is looked at and appeals: the position-based model (Craswell et al.,
https://doi.org/10.1145/1341531.1341545; Chuklin, Markov, de Rijke, "Click Models for Web Search", 2015, section 3.3).
Which of the two it was shows only where one photo was shown for one query at several places: intervention harvesting
(Agarwal et al., https://arxiv.org/abs/1812.05161). All else says how good the ranking is, not where people look.

Shape letters: R impressions, L pairs of a query and a photo, V visitors, K places from the first on, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.evaluation.statistics import Clusters, Floats, estimates

Ints = NDArray[np.int64]
_TOLERANCE, _MAX_ROUNDS = 1e-5, 2000
_MAX_UNTOLD = 0.025
"""Share of resamples that may leave a place untold: no more than lie beyond one end of an interval."""


@dataclass(frozen=True)
class Share:
    """A mean over impressions with the ends of its 95 % interval; all NaN where there is none."""

    count: int
    value: float
    low: float
    high: float


def mean_by_visitor(value_R: NDArray[np.float64], visitor_R: Ints) -> Share:
    """Return the mean of values, none below 0, with its interval, clustered by visitor.

    Values are 1 for a photo that was taken and 0 for one that was not (click-through rate), or seconds. NaN counts for
    nothing.

    >>> mean_by_visitor(np.array([1.0, 0.0, np.nan]), np.array([4, 4, 5])).value
    0.5
    """
    is_known_R = ~np.isnan(value_R)
    if not is_known_R.any():
        return Share(0, np.nan, np.nan, np.nan)
    value_R, visitor_R = value_R[is_known_R], visitor_R[is_known_R]
    clusters = Clusters.of(visitor_R)
    variance_D1 = clusters.covariances(value_R[:, None])[:, 0]
    found = estimates([value_R.mean()], variance_D1, clusters.effective_counts, 0.0, max(value_R.max(), 1.0))
    return Share(len(value_R), float(found.value[0]), float(found.low[0]), float(found.high[0]))


@dataclass(frozen=True)
class Examination:
    """How often each place is looked at, as a share of the first place; the first is 1.

    NaN where the log cannot tell: nothing that was shown there was also shown at a place that leads to the first, or
    nothing was taken there, so that nobody can tell a place that few look at from one that nobody does. Where nothing
    was taken at the first place, none is told: the measure of the others is not there. Ends are NaN too where more than
    one resample of forty does not tell. `counts` are the impressions that told, those of pairs shown at two places or
    more.
    """

    value: Floats  # (K,)
    low: Floats  # (K,), NaN where nothing was resampled
    high: Floats  # (K,)
    counts: Ints  # (K,)


def estimate_examination(
    pair_R: Ints,
    place_R: Ints,
    is_taken_R: NDArray[np.bool_],
    visitor_R: Ints,
    place_count: int,
    *,
    resample_count: int = 0,
    seed: int = 0,
) -> Examination:
    """Estimate how often each of the first `place_count` places is looked at, from impressions.

    `pair_R` numbers what was shown for what (query and photo), `place_R` counts from 1; deeper places are left out. A
    photo of pair l is taken at place k with probability examination_k * appeal_l. Its maximum under Poisson counts with
    an effect per pair is taken: pairs cancel out, so that their number does not bias the places as it does in the
    likelihood of single clicks, and only the product has to be right, not the distribution (Hausman, Hall, Griliches,
    https://doi.org/10.2307/1911191; Wooldridge, https://doi.org/10.1016/S0304-4076(98)00033-5). Appeal may differ
    from pair to pair and visitor to visitor, but must not change with the place: what makes the ranking move a photo
    must not be what makes people take it.

    Intervals are of 95 %, from `resample_count` resamples of visitors.
    """
    table = _Harvest.of(pair_R, place_R, is_taken_R, visitor_R, place_count)
    counts = np.bincount(table.place, minlength=place_count).astype(np.int64)
    unknown = np.full(place_count, np.nan)
    if not len(table.place):
        return Examination(unknown, unknown, unknown, counts)
    value = table.fit(np.ones(len(table.place)), np.ones(place_count))
    value[value == 0] = np.nan  # nothing was taken there; in a resample, 0 is how low it may be
    if resample_count == 0 or np.isnan(value).all():
        return Examination(value, unknown, unknown, counts)
    random, start = np.random.default_rng(seed), np.where(np.isfinite(value), value, 1.0)
    value_BK = np.stack([table.fit(table.resampled(random), start) for _ in range(resample_count)])
    is_told_K = np.isfinite(value) & (np.isnan(value_BK).mean(axis=0) <= _MAX_UNTOLD)
    ends_2K = np.full((2, place_count), np.nan)
    if is_told_K.any():
        ends_2K[:, is_told_K] = np.nanquantile(value_BK[:, is_told_K], [0.025, 0.975], axis=0)
    return Examination(value, ends_2K[0], ends_2K[1], counts)


@dataclass(frozen=True)
class _Harvest:
    """The impressions of pairs that were shown at two places or more; pairs and visitors numbered from 0."""

    pair: Ints
    place: Ints  # from 0
    is_taken: Floats
    visitor: Ints
    place_count: int

    @classmethod
    def of(
        cls, pair_R: Ints, place_R: Ints, is_taken_R: NDArray[np.bool_], visitor_R: Ints, place_count: int
    ) -> _Harvest:
        is_in_R = (place_R >= 1) & (place_R <= place_count)
        pair, place = pair_R[is_in_R], place_R[is_in_R].astype(np.int64) - 1
        names, pair = np.unique(pair, return_inverse=True)
        cells = np.unique(pair * place_count + place)
        is_moved_L = np.bincount(cells // place_count, minlength=len(names)) > 1
        kept = is_moved_L[pair]
        visitors = np.unique(visitor_R[is_in_R][kept], return_inverse=True)[1]
        numbers = np.unique(pair[kept], return_inverse=True)[1]
        return cls(numbers, place[kept], is_taken_R[is_in_R][kept].astype(np.float64), visitors, place_count)

    def resampled(self, random: np.random.Generator) -> Floats:
        """Return how often each impression is there when visitors are drawn with replacement."""
        count = int(self.visitor.max()) + 1
        return np.bincount(random.integers(0, count, count), minlength=count)[self.visitor].astype(np.float64)

    def fit(self, weight_R: Floats, start_K: Floats) -> Floats:
        """Return examination by place, the first being 1: equations of the maximum, solved in turn.

        NaN where no pair leads to the first place, and everywhere if nothing was taken there. Else 0 where nothing was.
        """
        taken_R = weight_R * self.is_taken
        pair_count = int(self.pair.max(initial=-1)) + 1
        taken_L = np.bincount(self.pair, taken_R, minlength=pair_count)
        # a pair nobody took says nothing of places, and one that is not drawn neither
        is_kept_R = (taken_L[self.pair] > 0) & (weight_R > 0)
        pair, place, weight_R = self.pair[is_kept_R], self.place[is_kept_R], weight_R[is_kept_R]
        taken_K = np.bincount(self.place, taken_R, minlength=self.place_count)
        value = np.where(taken_K > 0, start_K, 0.0)
        for _ in range(_MAX_ROUNDS):
            exposed_L = np.bincount(pair, weight_R * value[place], minlength=pair_count)
            appeal_L = np.divide(taken_L, exposed_L, out=np.zeros_like(taken_L), where=exposed_L > 0)
            exposed_K = np.bincount(place, weight_R * appeal_L[pair], minlength=self.place_count)
            found = np.divide(taken_K, exposed_K, out=np.zeros(self.place_count), where=exposed_K > 0)
            if found[0] == 0:
                return np.full(self.place_count, np.nan)
            found = found / found[0]
            if np.abs(found - value).max(initial=0.0) < _TOLERANCE * max(1.0, found.max(initial=0.0)):
                break
            value = found
        return np.where(self._is_linked(pair, place), value, np.nan)

    def _is_linked(self, pair: Ints, place: Ints) -> NDArray[np.bool_]:
        """Return which places are led to from the first by pairs shown at both, shape (K,)."""
        pair_count = int(pair.max(initial=-1)) + 1
        size = self.place_count + pair_count
        links = coo_array((np.ones(len(pair)), (place, self.place_count + pair)), shape=(size, size))
        component = connected_components(links, directed=False)[1][: self.place_count]
        is_shown_K = np.bincount(place, minlength=self.place_count) > 0
        linked: NDArray[np.bool_] = (component == component[0]) & is_shown_K & is_shown_K[0]
        return linked


def examination_weights(position_R: Floats, examination_K: Floats, cap: float) -> Floats:
    """Return what a photo taken from each position counts: the inverse of how often that place is looked at.

    Few look far down, so what is taken from there counts for those who did not (Joachims, Swaminathan, Schnabel,
    https://arxiv.org/abs/1608.04468), clipped at `cap` so that no single conversion counts for very many. A place
    that was not told counts as the last one above it that was, and so do places past the last; a photo whose
    position is unknown (NaN) counts 1.

    >>> examination_weights(np.array([1.0, 2.0, 3.0, 9.0, np.nan]), np.array([1.0, 0.5, np.nan, 0.01]), 10.0).tolist()
    [1.0, 2.0, 2.0, 10.0, 1.0]
    """
    is_told_K = np.isfinite(examination_K) & (examination_K > 0)
    if not len(examination_K) or not is_told_K[0]:
        raise ValueError("the first place is the measure of the others: it must be told")
    last_told_K = np.maximum.accumulate(np.where(is_told_K, np.arange(len(examination_K)), 0))
    weight_K = np.clip(1 / examination_K[last_told_K], None, cap)
    is_known_R = ~np.isnan(position_R)
    place_R = np.clip(np.where(is_known_R, position_R, 1).astype(np.int64) - 1, 0, len(weight_K) - 1)
    return np.where(is_known_R, weight_K[place_R], 1.0)
