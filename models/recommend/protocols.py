"""How a log is cut to see whether a method recommends well: what it learns from, whom it is asked about, what is right.

Shape letters: N interactions, V visitors, I items.

Only `temporal` measures what a site would see: everything learned lies before everything asked. The others repeat how
such methods are often published. `no_split` asks for the very items that it was told of, so its figures flatter: a
method that hands a history back would be perfect. Where a share of every history is held out, other visitors' later
interactions are learned from, and what was popular afterwards leaks in.

By every protocol a method is handed the items that it may learn of, and no others: those that are only scored come in
afterwards. So nothing that a method draws or counts, such as a negative, can be an item of the future.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.recommend.interactions import Bools, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Recommender, TooLittleToLearn

TEMPORAL = "temporal"
"""The name of the night's own protocol."""
FOLD_COUNT = 5
HELD_OUT_SHARE = 0.2
COLD_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Trial:
    """A log to learn from, and visitors with what is known of each and what each then liked.

    `histories` and `truth` are of the same visitors, each with something in `truth`. Where `excludes_seen`, an item of
    a history is neither recommended nor right. `pool_J` are the items that may be learned of, ascending: those of the
    log, and more that nobody took. Raises ValueError for visitors that differ.
    """

    log: Interactions
    histories: Interactions
    truth: Interactions
    pool_J: Ints
    excludes_seen: bool = True

    def __post_init__(self) -> None:
        """Check that both are of the same visitors, and that there is something to find for each."""
        if not np.array_equal(self.histories.visitor_V, self.truth.visitor_V):
            raise ValueError("histories and truth are of different visitors")
        if (np.diff(self.truth.start_V1) == 0).any():
            raise ValueError("a visitor has nothing to find: leave it out")

    @classmethod
    def of(
        cls,
        log: Interactions,
        histories: Interactions,
        truth: Interactions,
        pool_J: Ints,
        *,
        excludes_seen: bool = True,
    ) -> Trial:
        """Return the trial of those visitors for whom there is something to find."""
        if excludes_seen:
            truth = truth.where(~_is_in(truth, histories))
        asked_V = np.flatnonzero(np.diff(truth.start_V1))
        return cls(log, histories.take(asked_V), truth.take(asked_V), pool_J, excludes_seen)

    def learn(self, method: Recommender, items: ItemFeatures, seed: int) -> Fitted:
        """Let a method learn from the log and from the items of the pool, and return it over all `items`.

        Raises `TooLittleToLearn` as the method does, ValueError for a log with items outside of the pool.
        """
        if not len(self.pool_J):
            raise TooLittleToLearn("nothing_to_learn_from", "there was no photo yet to learn from")
        known = method.fit(self.log.of_items(self.pool_J), items.take(self.pool_J), seed=seed)
        return known.with_items(items, self.pool_J)


def temporal(
    log: Interactions, start: float, available_at_I: npt.NDArray[np.float64], country_before_V: npt.NDArray[np.int32]
) -> Trial:
    """Return the trial of a site's night: learn from what came before `start`, find what was liked from then on.

    All who came afterwards are asked about, also those with an empty history. What may be learned of are the items that
    were there before `start` (`available_at_I`, seconds UTC) and the countries that were known of visitors by then.
    """
    before = log.before(start)
    learned = replace(before, country_V=country_before_V)
    later = log.liked().where(log.liked().at_N >= start)
    return Trial.of(learned, before, later, np.flatnonzero(available_at_I < start))


def no_split(log: Interactions) -> Trial:
    """Return the trial in which the whole history is learned from, known, and to be found."""
    return Trial.of(log, log, log.liked(), np.arange(log.item_count), excludes_seen=False)


def held_out(log: Interactions, share: float) -> Trial:
    """Return the trial in which the latest `share` of every history is held out: rounded, one at least and not all.

    A history of one interaction is learned from, and its visitor is not asked about. Raises ValueError for a share
    that is not between 0 and 1.
    """
    is_late_N = _is_late(log, share)
    early = log.where(~is_late_N)
    return Trial.of(early, early, log.where(is_late_N).liked(), np.arange(log.item_count))


def folds(log: Interactions, seed: int, count: int = FOLD_COUNT, share: float = HELD_OUT_SHARE) -> Iterator[Trial]:
    """Give `count` trials, each with a part of the visitors of whom nothing is learned, as `held_out` asks about them.

    Every visitor is in one of the parts.
    """
    fold_V = np.random.default_rng(seed).permutation(np.arange(log.visitor_count) % count)
    is_late_N = _is_late(log, share)
    early, late = log.where(~is_late_N), log.where(is_late_N).liked()
    for number in range(count):
        own_V = np.flatnonzero(fold_V == number)
        others = log.take(np.flatnonzero(fold_V != number))
        yield Trial.of(others, early.take(own_V), late.take(own_V), np.arange(log.item_count))


def leave_cold(log: Interactions, seed: int, share: float = COLD_SHARE) -> Trial:
    """Return the trial of cold visitors and cold items: of a `share` of each drawn at random nothing is learned.

    Cold items are not in the pool either: no method draws them as negatives, or counts their keywords.

    Cold visitors are asked about by what else they took, and right are the cold items that they liked.
    """
    random = np.random.default_rng(seed)
    is_cold_V, is_cold_I = (_drawn(count, share, random) for count in (log.visitor_count, log.item_count))
    is_cold_N = is_cold_I[log.item_N]
    cold_V, warm_V = np.flatnonzero(is_cold_V), np.flatnonzero(~is_cold_V)
    known = log.where(~is_cold_N)
    truth = log.where(is_cold_N).liked().take(cold_V)
    return Trial.of(known.take(warm_V), known.take(cold_V), truth, np.flatnonzero(~is_cold_I))


PROTOCOLS: Mapping[str, Callable[[Interactions, int], list[Trial]]] = {
    "no_split": lambda log, seed: [no_split(log)],
    "half_held_out": lambda log, seed: [held_out(log, 0.5)],
    "fifth_held_out": lambda log, seed: [held_out(log, 0.2)],
    "folds": lambda log, seed: list(folds(log, _seed(seed, "folds"))),
    "leave_cold": lambda log, seed: [leave_cold(log, _seed(seed, "leave_cold"))],
}
"""The protocols that need nothing but a log and a seed; `temporal` needs an instant."""


def _seed(seed: int, name: str) -> int:
    return zlib.crc32(f"{seed} {name}".encode())


def _is_late(log: Interactions, share: float) -> Bools:
    """Tell which interactions are among the latest `share` of their visitor's, [N]."""
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} of a history cannot be held out: it has to be between 0 and 1")
    count_V = np.diff(log.start_V1)
    late_V = np.where(count_V > 1, np.clip(np.rint(share * count_V), 1, np.maximum(count_V - 1, 1)), 0)
    place_N = np.arange(len(log.item_N)) - np.repeat(log.start_V1[:-1], count_V)
    return np.asarray(place_N >= np.repeat(count_V - late_V, count_V))


def _is_in(rows: Interactions, histories: Interactions) -> Bools:
    """Tell which interactions are with an item of the same visitor's history, [N]."""
    row_N, known_M = (one.row_visitors() * one.item_count + one.item_N for one in (rows, histories))
    return np.isin(row_N, known_M)


def _drawn(count: int, share: float, random: np.random.Generator) -> Bools:
    is_drawn = np.zeros(count, np.bool_)
    is_drawn[random.permutation(count)[: round(share * count)]] = True
    return is_drawn
