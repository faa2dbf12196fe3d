"""Keywords of clusters: one word for every photo, how well words and clusters agree, and what tells a cluster apart.

Shape letters: N photos. Labels are cluster numbers, `OUTLIER` for none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.mapping.plane import Ints
from models.mapping.validity import OUTLIER


def top_keywords(keywords: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return each photo's keyword of the highest confidence; of equal ones the commonest, then the first by name.

    >>> top_keywords({"a": {"cat": 1.0, "pet": 1.0}, "b": {"pet": 0.9, "sea": 0.4}, "c": {}})
    {'a': 'pet', 'b': 'pet'}
    """
    counts = Counter(word for words in keywords.values() for word in words)
    best = {}
    for photo, words in keywords.items():
        if words:
            best[photo] = min(words, key=lambda word: (-words[word], -counts[word], word))
    return best


def keyword_agreement(label_N: Ints, top_N: Sequence[str | None]) -> float:
    """Return how much clusters and top keywords say of each other: adjusted mutual information; NaN for no photo.

    1 if they are the same division, 0 if they agree as by chance (Vinh, Epps and Bailey, 2010). Photos without a
    keyword are left out, and so are those of no cluster: their share stands beside.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    rows = [row for row, top in enumerate(top_N) if top is not None and label_N[row] != OUTLIER]
    if not rows:
        return float("nan")
    return float(adjusted_mutual_info_score([top_N[row] for row in rows], label_N[rows]))


def purity(label_N: Ints, top_N: Sequence[str | None]) -> float:
    """Return the share of photos whose top keyword is the commonest of their cluster; left out are the same.

    NaN where none is left.

    >>> purity(np.array([0, 0, 0, 1, -1]), ["cat", "cat", "sea", "sea", "sea"])
    0.75
    """
    by_cluster: dict[int, Counter[str]] = {}
    for label, top in zip(label_N.tolist(), top_N, strict=True):
        if top is not None and label != OUTLIER:
            by_cluster.setdefault(label, Counter())[top] += 1
    total = sum(counts.total() for counts in by_cluster.values())
    return sum(max(counts.values()) for counts in by_cluster.values()) / total if total else float("nan")


@dataclass(frozen=True)
class Telling:
    """A keyword that tells a cluster apart: how many of its photos have it, and by how many deviations it is more."""

    cluster: int
    keyword: str
    photo_count: int
    z_score: float


def telling_keywords(
    label_N: Ints, words_N: Sequence[frozenset[str]], most: int, prior_weight: float = 0.01
) -> list[Telling]:
    """Return the `most` keywords of every cluster that tell it from all other photos, the strongest first.

    By the log-odds ratio of the photos of the cluster that have the word against all others (those of no cluster
    among them), in its standard deviations, with a Dirichlet prior of the word's frequency everywhere times
    `prior_weight` (Monroe, Colaresi and Quinn, 2008, "Fightin' Words", equations 16, 20 and 22,
    https://doi.org/10.1093/pan/mpn018). So a word of one photo does not come before one of most, and a word of all
    clusters tells nothing. Only words of two photos of the cluster, or of all its photos, and only above 0.
    """
    everywhere = Counter(word for words in words_N for word in words)
    total, found = everywhere.total(), []
    for cluster in np.unique(label_N[label_N != OUTLIER]).tolist():
        rows = np.flatnonzero(label_N == cluster).tolist()
        inside = Counter(word for row in rows for word in words_N[row])
        count = inside.total()
        scored = []
        for word, mine in inside.items():
            if mine < min(2, len(rows)) or everywhere[word] == total:  # the only word there is tells nothing
                continue
            theirs, others = everywhere[word] - mine, total - count
            prior, priors = prior_weight * everywhere[word], prior_weight * total
            odds = math.log((mine + prior) / (count + priors - mine - prior))
            other_odds = math.log((theirs + prior) / (others + priors - theirs - prior))
            deviation = math.sqrt(1 / (mine + prior) + 1 / (theirs + prior))
            z_score = (odds - other_odds) / deviation
            if z_score > 0:
                scored.append(Telling(cluster, word, mine, z_score))
        found += sorted(scored, key=lambda one: (-one.z_score, one.keyword))[:most]
    return found
