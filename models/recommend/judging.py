"""What the lists of a method are worth, visitor by visitor. Only judging: no method, no protocol, no interval.

Shape letters: V visitors, K places, M metric columns, N interactions, I items, D dimensions.
"""

from __future__ import annotations

import numpy as np

from models.evaluation.beyond_accuracy import coverage, diversity, novelty
from models.evaluation.metrics import Floats as Doubles
from models.evaluation.metrics import columns, judged_of_counts, list_metrics
from models.recommend.interactions import NONE, Bools, Floats, Interactions, Ints

CUTOFFS = (10, 20, 50, 100)
DEPTH = max(CUTOFFS)
COLUMNS = columns(CUTOFFS)
"""(metric, k) of each column of `visitor_metrics`."""
HISTORY_GROUPS = (("0", 0, 0), ("1", 1, 1), ("2-4", 2, 4), ("5+", 5, np.iinfo(np.int64).max))
"""Name, least and greatest number of past interactions."""


def relevance(item_VK: Ints, truth: Interactions) -> Ints:
    """Return 1 for each place whose item is in the visitor's truth, else 0, int64 [V, K].

    Visitors are those of `truth`, in its order. Raises ValueError for another number of them.
    """
    if len(item_VK) != truth.visitor_count:
        raise ValueError(f"lists of {len(item_VK)} visitors, truth of {truth.visitor_count}")
    row_V1 = np.arange(len(item_VK))[:, None] * truth.item_count
    right = np.unique(truth.row_visitors() * truth.item_count + truth.item_N)
    is_right_VK: Bools = np.isin(row_V1 + item_VK, right) & (item_VK != NONE)
    return is_right_VK.astype(np.int64)


def right_counts(truth: Interactions) -> Ints:
    """Return how many different items are right for each visitor, [V]."""
    end_V1: Ints = truth.matrix(np.ones(len(truth.item_N), np.float32)).indptr.astype(np.int64)
    return np.diff(end_V1)


def visitor_metrics(item_VK: Ints, truth: Interactions) -> Doubles:
    """Return every metric of `COLUMNS` for every visitor, [V, M]; lists shorter than the deepest cutoff are no error.

    A visitor without anything right gets 0 throughout.
    """
    padded_VK = np.pad(item_VK, ((0, 0), (0, max(0, DEPTH - item_VK.shape[1]))), constant_values=NONE)
    count_V = right_counts(truth)
    return list_metrics(relevance(padded_VK, truth), judged_of_counts(count_V, DEPTH), count_V, CUTOFFS)


def beyond_accuracy(item_VK: Ints, vector_ID: Floats, log: Interactions, candidate_count: int) -> dict[str, float]:
    """Return coverage of the candidates, mean diversity and mean novelty (bits) of the lists; NaN where none is filled.

    `log` says how many visitors took an item: those whom the method learned from.
    """
    taken_I = np.bincount(log.matrix(np.ones(len(log.item_N), np.float32)).indices, minlength=log.item_count)
    filled_VK = item_VK[(item_VK != NONE).any(axis=1)]
    if not len(filled_VK):
        return {"coverage": 0.0, "diversity": float("nan"), "novelty": float("nan")}
    several = diversity(filled_VK, vector_ID)
    return {
        "coverage": coverage(item_VK, candidate_count),
        "diversity": float(np.nanmean(several)) if np.isfinite(several).any() else float("nan"),
        "novelty": float(np.nanmean(novelty(filled_VK, taken_I, log.visitor_count))),
    }


def history_group(histories: Interactions) -> list[str]:
    """Return the name of each visitor's group by the number of past interactions."""
    names = np.empty(histories.visitor_count, dtype=object)
    for name, least, greatest in HISTORY_GROUPS:
        count_V = np.diff(histories.start_V1)
        names[(count_V >= least) & (count_V <= greatest)] = name
    return names.tolist()


def is_new_item(log: Interactions) -> Bools:
    """Tell which items nobody in the log has met, [I]."""
    return np.asarray(np.bincount(log.item_N, minlength=log.item_count) == 0)


def is_elsewhere(log: Interactions, country_V: np.ndarray) -> Bools:
    """Tell which visitors are from a known country other than the one with the most interactions of the log, [V].

    How a method serves those whom it has learned least about. All are at home if the log knows no country.
    """
    country_N = np.repeat(log.country_V, np.diff(log.start_V1))
    counts = np.bincount(country_N[country_N != NONE])
    home = int(counts.argmax()) if len(counts) else NONE
    return np.asarray((country_V != NONE) & (country_V != home) & (home != NONE))
