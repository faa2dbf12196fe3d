"""An arm that ranks by vectors, in tasks: scores of pairs, how many photos are ahead of a target, the best photos.

The parent knows which photo is in which file, and nothing of its vector. It cuts photos into parts and texts into
blocks; a task takes some parts and one block, and the counts of the tasks add up.

Shape letters: Q searches, N targets or pairs, U texts, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise

import numpy as np

from jobs.adapters.task_pool import TaskPool
from jobs.embedding.arm_vectors import photo_arm, query_arm
from jobs.embedding.located_arm import Faults, LocatedArm
from jobs.errors import BadInput
from jobs.evaluation.products import task_product
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.text_vectors import texts_of_arm
from jobs.evaluation.vector_parts import PHOTOS_AT_ONCE, Part, Texts, cut, read_block
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.shared_arrays import Scratch, Shared
from models.evaluation.counting import (
    Block,
    Targets,
    arranged,
    best_listed,
    count_ahead,
    merged,
    scores_of_pairs,
)
from models.evaluation.exact_scores import Matrix
from models.evaluation.ranking import Availability, Bools, Floats, Ints
from models.evaluation.topk_merge import Top, block_top, merge, nothing
from models.rerank.vectors import ListedVectors

_WORK_OF_A_TASK = 1.5e11
"""Multiplications of a task: some seconds of one core."""
_MOST_TASKS = 1024
_FEWEST_TEXTS, _MOST_TEXTS = 256, 16_384
_BASE_MB = 500
"""Memory of a process besides photos and texts."""
_BYTES_OF_LISTS = 2**29
"""Of all texts by all tasks, which the parent merges."""


@dataclass(frozen=True)
class Job:
    """What every task of an arm is told: where its photos lie, part by part, and its texts, block by block."""

    arm: str
    dim: int
    parts: tuple[Shared[Part], ...]
    texts: tuple[Shared[Texts], ...]

    def photos(self, part: int) -> tuple[Block, Faults]:
        """Return a part with its vectors, and what is wrong with these."""
        return read_block(self.parts[part], self.arm, self.dim)

    def block(self, part: int, texts: Texts) -> Block:
        """Return a part, for the texts of a block."""
        found, _ = self.photos(part)
        return replace(found, availability=replace(found.availability, group=texts.group))


@dataclass(frozen=True)
class VectorArm:
    """An arm's photos and texts, laid out for tasks. `edges` are where each block of texts begins, and the end."""

    job: Job
    pool: TaskPool
    scratch: Scratch
    edges: tuple[int, ...]
    part_P: Ints  # the part of each photo
    column_P: Ints  # and its column there
    located: LocatedArm

    @classmethod
    def laid_out(
        cls,
        lake: Lake,
        inputs: dict[str, Manifest],
        task: Task,
        availability: Availability,
        arm: str,
        pool: TaskPool,
        scratch: Scratch,
        limits: Limits,
    ) -> VectorArm:
        """Return the arm of a night.

        Raises `BadInput` that names the arm and the counts: a query without a vector, more than the allowed share of
        photos without one, vectors that differ in length.
        """
        photos, queries = photo_arm(inputs["photo_embeddings"], arm), query_arm(inputs["query_embeddings"], arm)
        if photos.dim != queries.dim:
            raise BadInput(
                "vectors_of_other_model",
                f"arm {arm!r}: query vectors have {queries.dim} numbers, photo vectors {photos.dim}. They come from "
                f"different models: rerun embed_photos and embed_queries.",
                arm=arm,
                dimensions={"queries": queries.dim, "photos": photos.dim},
            )
        located = LocatedArm.of(lake, inputs["photo_embeddings"], arm, task.photos, limits.max_missing_share)
        part_P, column_P = (np.zeros(len(task.photos), dtype=np.int64) for _ in range(2))
        parts = []
        for number, part in enumerate(_parts(located, task, availability, limits.photos_at_once(photos.dim))):
            part_P[part.place], column_P[part.place] = number, np.arange(len(part.place))
            parts.append(scratch.put(part))
        step = limits.texts_of(len(task.photos), photos.dim)
        edges = (*range(0, len(task.texts), step), len(task.texts))
        vector_UD = texts_of_arm(lake, inputs["query_embeddings"], arm, task.texts)
        group_U = availability.group if len(availability.group) else np.zeros(len(task.texts), dtype=np.int64)
        texts = [scratch.put(Texts(start, vector_UD[start:end], group_U[start:end])) for start, end in pairwise(edges)]
        job = Job(arm, photos.dim, tuple(parts), tuple(texts))
        return cls(job, pool, scratch, edges, part_P, column_P, located)

    @property
    def missing_count(self) -> int:
        """How many photos have no vector."""
        return int((~self.located.has_vector_P).sum())

    @property
    def _part_count(self) -> int:
        return len(self.job.parts)

    def check_photos(self) -> None:
        """Check the vectors of the photos, as `of_pairs` does; `BadInput` says what is wrong with them."""
        self.of_pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def of_pairs(self, text_N: Ints, place_N: Ints) -> Floats:
        """Return the exact scores of pairs of a text and a photo, shape (N,); the vectors are checked on the way."""
        order = np.argsort(self.part_P[place_N], kind="stable")
        bounds = np.searchsorted(self.part_P[place_N[order]], np.arange(self._part_count + 1))
        items = []
        for number, (start, end) in enumerate(pairwise(bounds.tolist())):
            rows = order[start:end]
            items.append((number, text_N[rows], self.column_P[place_N[rows]]))
        found = self.pool.each(partial(_score, self.job), items)
        faults = reduce(Faults.plus, [faults for _, faults in found], Faults())
        faults.refuse(self.located.manifest, self.job.arm)
        score_N = np.empty(len(text_N), dtype=np.float32)
        score_N[order] = np.concatenate([np.zeros(0, np.float32), *(score for score, _ in found)])
        return score_N

    def count_ahead(self, targets: Targets) -> Ints:
        """Return how many photos are listed ahead of each target, shape (N,); targets are in the order of texts."""
        bounds = np.searchsorted(targets.text, self.edges).tolist()
        kept = []
        for first, (start, end) in zip(self.edges, pairwise(bounds), strict=False):
            here = targets.of(slice(start, end))
            kept.append(self.scratch.put(replace(here, text=here.text - first)))
        found = self.pool.each(partial(_count, self.job, kept), self._items())
        ahead_N = np.zeros(len(targets.text), dtype=np.int64)
        for (_, block), ahead in zip(self._items(), found, strict=True):
            ahead_N[bounds[block] : bounds[block + 1]] += ahead
        return ahead_N

    def best(self, text_B: Ints, asked_at_B: Ints, k: int) -> list[tuple[Ints, Matrix]]:
        """Return the places and scores of the best k photos that a few searches list, best first."""
        found = self.pool.each(partial(_best, self.job, text_B, asked_at_B, k), range(self._part_count))
        return [merged(parts, k) for parts in zip(*found, strict=True)]

    def lists(self, first: int, last: int, k: int) -> ListedVectors:
        """Return the best k photos of each text, for searches that are made from `first` until `last`.

        Listed are those that all of these may be shown; those that some may be shown are special.
        """
        most = _BYTES_OF_LISTS // (self.edges[-1] * k * 12)
        items = self._items(max(1, most))
        place_UK, score_UK = nothing(self.edges[-1], k)
        for (_, block), top in zip(items, self.pool.each(partial(_list, self.job, first, k), items), strict=True):
            rows = slice(self.edges[block], self.edges[block + 1])
            place_UK[rows], score_UK[rows] = merge((place_UK[rows], score_UK[rows]), top, k)
        found = self.pool.each(partial(_special, self.job, first, last), range(self._part_count))
        special_X, special_XD = (np.concatenate(part) for part in zip(*found, strict=True))
        text_UD = np.concatenate([texts.open().vector for texts in self.job.texts])
        return ListedVectors(place_UK.astype(np.int32), score_UK, text_UD, special_X, special_XD)

    def _items(self, most: int = _MOST_TASKS) -> list[tuple[range, int]]:
        """Return what each task takes: some parts and one block of texts; tasks with the same parts side by side.

        Parts are cut into `most` runs or fewer.
        """
        blocks = len(self.edges) - 1
        work = len(self.part_P) * self.edges[-1] * self.job.dim
        wanted = min(math.ceil(work / _WORK_OF_A_TASK), _MOST_TASKS) // blocks
        runs = max(1, min(self._part_count, most, wanted))
        edges = np.linspace(0, self._part_count, runs + 1).astype(int).tolist()
        return [(range(*parts), block) for parts in pairwise(edges) for block in range(blocks)]


@dataclass(frozen=True)
class Limits:
    """How much of an arm's photos may lack a vector, and how much memory (MiB) a process may take."""

    max_missing_share: float
    max_memory_mb: int

    def photos_at_once(self, dim: int) -> int:
        """Return how many photos of a part fit beside all else; `BadInput` if it is too little to work with."""
        count = int((self.max_memory_mb - _BASE_MB) * 2**20 / 2 / (4 * dim))
        if count < 1024:
            raise BadInput(
                "too_little_memory",
                f"--max-memory-mb {self.max_memory_mb} does not hold 1,024 photos of {dim} numbers beside the program "
                f"itself: allow {_BASE_MB + math.ceil(1024 * 8 * dim / 2**20)} at least.",
                max_memory_mb=self.max_memory_mb,
            )
        return min(PHOTOS_AT_ONCE, count)

    def texts_of(self, photo_count: int, dim: int) -> int:
        """Return how many texts a block has, so that a task with one part takes some seconds."""
        step = int(_WORK_OF_A_TASK / (max(1, min(photo_count, PHOTOS_AT_ONCE)) * dim))
        return min(_MOST_TEXTS, max(_FEWEST_TEXTS, step))


def _parts(arm: LocatedArm, task: Task, availability: Availability, most: int) -> Iterator[Part]:
    """Yield the parts, of photos of one file or of photos that share pictures; first those that have no vector."""
    located = [(f"{arm.lake.root}/{file.info.path}", file.place_R) for file in arm.files]
    is_special_P = availability.special(int(task.asked_at.min()))
    is_shared_P = np.bincount(availability.pictures)[availability.pictures] > 1
    file_P = np.full(len(is_shared_P), -1, dtype=np.int64)
    for number, (_, place_R) in enumerate(located):
        file_P[place_R[place_R >= 0]] = number
    own = np.flatnonzero(~is_shared_P)
    own = own[np.argsort(file_P[own], kind="stable")]
    bounds = np.searchsorted(file_P[own], np.arange(-1, len(located) + 1)).tolist()
    for number, (start, end) in enumerate(pairwise(bounds), start=-1):
        files = located[number : number + 1] if number >= 0 else []
        for some in cut(own[start:end], own[start:end], most):
            yield _part(some, files, is_special_P, availability)
    shared = np.flatnonzero(is_shared_P)
    for some in cut(shared, availability.pictures[shared], most):
        yield _part(some, located, is_special_P, availability)


def _part(place_S: Ints, located: Sequence[tuple[str, Ints]], is_special_P: Bools, availability: Availability) -> Part:
    place_S, special, of_special = arranged(place_S, is_special_P, availability)
    column_S = np.argsort(place_S)
    paths, rows, columns = list[str](), [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for path, place_R in located:
        at_R = np.searchsorted(place_S, place_R, sorter=column_S).clip(max=len(place_S) - 1)
        row = np.flatnonzero(place_S[column_S[at_R]] == place_R)
        if len(row):
            paths.append(path)
            rows.append(row)
            columns.append(column_S[at_R[row]])
    return Part(
        place=place_S,
        special=special,
        availability=of_special,
        path=np.array(paths, dtype=np.str_),
        count=np.array([len(row) for row in rows[1:]], dtype=np.int64),
        row=np.concatenate(rows),
        column=np.concatenate(columns),
    )


# -- the tasks -------------------------------------------------------------------------------------------


def _score(job: Job, item: tuple[int, Ints, Ints]) -> tuple[Matrix, Faults]:
    """Return the exact scores of pairs of a text and a photo of a part, and what is wrong with its vectors."""
    number, text_N, column_N = item
    block, faults = job.photos(number)
    score_N = np.empty(len(text_N), dtype=np.float32)
    for kept in job.texts:
        texts = kept.open()
        here = np.flatnonzero((text_N >= texts.start) & (text_N < texts.start + len(texts.vector)))
        score_N[here] = scores_of_pairs(texts.vector, block.vector, text_N[here] - texts.start, column_N[here])
    return score_N, faults


def _count(job: Job, kept: Sequence[Shared[Targets]], item: tuple[range, int]) -> Ints:
    """Return how many photos of some parts are ahead of the targets of a block of texts."""
    parts, number = item
    targets, texts = kept[number].open(), job.texts[number].open()
    ahead_N = np.zeros(len(targets.text), dtype=np.int64)
    for part in parts:
        ahead_N += count_ahead(texts.vector, job.block(part, texts), targets, task_product())
    return ahead_N


def _best(job: Job, text_B: Ints, asked_at_B: Ints, k: int, part: int) -> list[tuple[Ints, Matrix]]:
    """Return the best k photos of a part that each of a few searches lists."""
    starts = np.array([kept.open().start for kept in job.texts])
    found: list[tuple[Ints, Matrix]] = []
    for row in range(len(text_B)):
        texts = job.texts[int(np.searchsorted(starts, text_B[row], side="right")) - 1].open()
        text, at = text_B[row : row + 1] - texts.start, asked_at_B[row : row + 1]
        found += best_listed(texts.vector[text], job.block(part, texts), text, at, k, task_product())
    return found


def _list(job: Job, first: int, k: int, item: tuple[range, int]) -> Top:
    """Return the best k photos of some parts for the texts of a block, of those that every search may be shown."""
    parts, number = item
    query_UD = job.texts[number].open().vector
    top = nothing(len(query_UD), k)
    for part in parts:
        block, _ = job.photos(part)
        columns = np.flatnonzero(_stays(block, first) & ~np.isnan(block.vector[:, 0]))
        is_all = len(columns) == len(block.place)
        vector_SD = block.vector if is_all else block.vector[columns]
        top = merge(top, block_top(query_UD, vector_SD, block.place[columns], k), k)
    return top


def _special(job: Job, first: int, last: int, part: int) -> tuple[Ints, Matrix]:
    """Return the photos of a part that only some searches from `first` until `last` may be shown, and their vectors."""
    block, _ = job.photos(part)
    available = block.availability
    is_some_S = ~_stays(block, first) & ~np.isnan(block.vector[:, 0])
    is_some_S[block.special :] &= available.since <= last
    is_some_S[block.special + available.hidden] &= (available.hidden_at > first).any(axis=0)
    columns = np.flatnonzero(is_some_S)
    return block.place[columns], block.vector[columns]


def _stays(block: Block, first: int) -> Bools:
    """Tell which photos every search since `first` may be shown, shape (S,)."""
    stays_S = np.ones(len(block.place), dtype=np.bool_)
    stays_S[block.special :] = block.availability.since <= first
    stays_S[block.special + block.availability.hidden] = False
    return stays_S
