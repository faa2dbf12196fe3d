"""A world with a provable answer: two tastes, photos of one or the other, visitors who like one and dislike the other.

Even photos and visitors are of taste 0, odd ones of taste 1. A visitor likes all photos of the own taste but one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from models.ragged import unit_rows
from models.recommend.interactions import Interactions, ItemFeatures
from models.search.keywords import RaggedKeywords

ITEMS, VISITORS, NEW, DIM = 12, 24, 4, 6
DAY = 86_400.0
AS_OF = 100 * DAY


@dataclass(frozen=True)
class Tastes:
    """The log, its items, the same with `NEW` more behind them, and visitors who are not in the log."""

    log: Interactions
    items: ItemFeatures
    grown: ItemFeatures
    probes: Interactions

    def own(self, visitor: int, item: np.ndarray) -> np.ndarray:
        """Tell which items are of a visitor's taste."""
        return item % 2 == visitor % 2


def features(count: int, seed: int = 0) -> ItemFeatures:
    """Photos whose vectors say their taste, with some noise; each has its taste's keyword and a common one."""
    random = np.random.default_rng(seed)
    taste = np.arange(count) % 2
    image, text = (
        unit_rows(np.eye(DIM)[taste + 2 * side] + 0.15 * random.normal(size=(count, DIM))) for side in (0, 1)
    )
    rows = np.column_stack([taste, np.full(count, 2)]).ravel().astype(np.int64)
    keywords = RaggedKeywords(rows, np.ones(2 * count, np.float32), 2 * np.arange(count + 1))
    return ItemFeatures(image, text, keywords, keyword_count=3)


def log_of(
    visitor: ArrayLike,
    item: ArrayLike,
    at: ArrayLike,
    weight: ArrayLike,
    country: ArrayLike,
    item_count: int,
    as_of: float = AS_OF,
) -> Interactions:
    """A log of columns, each of any type."""
    columns = zip(
        (visitor, item, at, weight, country), (np.int64, np.int64, np.float64, np.float32, np.int32), strict=True
    )
    return Interactions.of(*(np.asarray(c, dtype) for c, dtype in columns), item_count=item_count, as_of=as_of)


def histories(rows: list[tuple[int, int, float]], visitors: int, item_count: int = ITEMS) -> Interactions:
    """Histories of (visitor, item, weight), each a minute after the one before."""
    visitor, item, weight = ([row[column] for row in rows] for column in range(3))
    at = AS_OF - DAY + 60.0 * np.arange(len(rows))
    return log_of(visitor, item, at, weight, np.arange(visitors) % 3, item_count)


def world(seed: int = 0) -> Tastes:
    random = np.random.default_rng(seed)
    rows: list[tuple[int, int, float]] = []
    for visitor in range(VISITORS):
        own = np.flatnonzero(np.arange(ITEMS) % 2 == visitor % 2)
        left_out = own[visitor // 2 % len(own)]
        rows += [(visitor, item, 1.0) for item in own if item != left_out]
        rows.append((visitor, int(random.integers(0, ITEMS // 2)) * 2 + 1 - visitor % 2, -1.0))
    rows = [rows[n] for n in random.permutation(len(rows))]
    probes = [(visitor, 2 * number + visitor % 2, 1.0) for visitor in range(6) for number in (visitor % 3, 3, 4)]
    items, grown = features(ITEMS), features(ITEMS + NEW)
    grown = replace(
        grown,
        image_ID=np.vstack([items.image_ID, grown.image_ID[ITEMS:]]),
        text_IE=np.vstack([items.text_IE, grown.text_IE[ITEMS:]]),
    )
    return Tastes(histories(rows, VISITORS), items, grown, histories(probes, 6))


def permuted(log: Interactions, items: ItemFeatures, number_I: np.ndarray) -> tuple[Interactions, ItemFeatures]:
    """The same world with item i under the number `number_I[i]`."""
    order = np.argsort(number_I)
    assert items.text_IE is not None
    assert items.keywords is not None
    renamed = ItemFeatures(items.image_ID[order], items.text_IE[order], items.keywords.take(order), items.keyword_count)
    return replace(log, item_N=number_I[log.item_N], item_count=len(number_I)), renamed
