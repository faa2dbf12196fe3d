"""What every arm finds for each query photo, in tasks that rank a part of the corpus each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial, reduce

import numpy as np
from numpy.typing import NDArray

from jobs.adapters.task_pool import TaskPool
from jobs.context import Inputs, RunContext
from jobs.embedding.located_arm import Faults, LocatedArm
from jobs.evaluation.ranking_task import Task
from jobs.similar.arm_blocks import Ask, Look, look, rank
from jobs.similar.by_file import picture_vectors
from jobs.similar.inputs import BASELINES, BY_FILE, RANDOM, likeness_of
from jobs.similar.tables import SHEET_DEPTH
from models.evaluation.metrics import CUTOFFS
from models.evaluation.topk_merge import Ints, Top, merge, nothing
from models.similar.duplicates import Units
from models.similar.neighbours import random_units, without_own

DEPTH = max(CUTOFFS)
_PLACES = 65_536  # of a task of the random arm


@dataclass(frozen=True)
class Searches:
    """Searches with the Q photos at `queries` (places, ascending); `sheet` are those of the contact sheet."""

    ctx: RunContext
    inputs: Inputs
    task: Task
    units: Units
    queries: Ints
    sheet: Ints
    pool: TaskPool
    vectors: Callable[[str], LocatedArm]

    def lists(self, arm: str, challenger: str) -> tuple[Ints, Top]:
        """Return the best groups for each query without its own, shape (Q, 25), and the best photos for the sheet."""
        if arm == RANDOM:
            top, photos = self._random(), nothing(len(self.sheet), SHEET_DEPTH)
        elif arm in BASELINES:
            likeness = likeness_of(self.ctx.lake, self.inputs["splits"], self.task, arm)
            top = likeness.units(self.units, self.queries, DEPTH + 1)
            photos = likeness.photos(self.units, self.sheet, SHEET_DEPTH)
        else:
            top, photos = self._by_vectors(arm, challenger)
        return without_own(top, self.units, self.queries, DEPTH), photos

    @cached_property
    def _shown(self) -> NDArray[np.int32]:
        """The number of each photo's group, -1 for hidden ones and, at the end, for photos outside the corpus."""
        return np.append(self.units.shown, -1).astype(np.int32)

    def _random(self) -> Top:
        count = len(self.task.photos)
        blocks = [np.arange(start, min(count, start + _PLACES)) for start in range(0, count, _PLACES)]
        items = [(place_S, self._shown[place_S]) for place_S in blocks]
        tops = self.pool.each(partial(_rank_randomly, self.queries, self.ctx.seed), items)
        return reduce(partial(merge, k=DEPTH + 1), tops)

    def _by_vectors(self, arm: str, challenger: str) -> tuple[Top, Top]:
        found = self.vectors(challenger if arm == BY_FILE else arm)
        looks = self.pool.each(partial(look, found.lake, found.arm, self.queries), found.files)
        reduce(Faults.plus, [one.faults for one in looks]).refuse(found.manifest, found.arm)
        if arm == BY_FILE:
            query_QD = picture_vectors(self.ctx, self.inputs, self.task, challenger, self.queries, self.units.group)
        else:
            query_QD = _rows(looks, self.queries)
        ask = Ask(query_QD, DEPTH + 1, np.searchsorted(self.queries, self.sheet), SHEET_DEPTH)
        items = [(file, self._shown[file.place_R]) for file in found.files]
        tops = self.pool.each(partial(rank, found.lake, found.arm, ask), items)
        return (
            reduce(partial(merge, k=DEPTH + 1), [units for units, _ in tops]),
            reduce(partial(merge, k=SHEET_DEPTH), [photos for _, photos in tops]),
        )


def _rank_randomly(query_Q: Ints, seed: int, item: tuple[Ints, NDArray[np.int32]]) -> Top:
    place_S, unit_S = item
    return random_units(query_Q, place_S, unit_S.astype(np.int64), seed, DEPTH + 1)


def _rows(looks: list[Look], queries: Ints) -> NDArray[np.float32]:
    """Return the vectors of the queries, shape (Q, D), zero where there is none."""
    query_QD = np.zeros((len(queries), max(looks[0].faults.lengths)), np.float32)
    for one in looks:
        query_QD[np.searchsorted(queries, one.places)] = np.concatenate(one.vectors)
    return query_QD
