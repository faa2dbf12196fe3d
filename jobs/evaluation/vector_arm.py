"""An arm that ranks by vectors, in tasks: scores of pairs, how many photos are ahead of a target, the best photos.

The parent knows which photo is in which file, and nothing of its vector. It cuts photos into parts and texts into
blocks; a task takes some parts and one block, and the counts of the tasks add up.

Shape letters: Q searches, N targets or pairs, U texts, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from jobs.adapters.task_pool import TaskPool
from jobs.embedding.arm_vectors import batches_of_arm, photo_arm, query_arm
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.integers import integers
from jobs.evaluation.products import task_product
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.vector_parts import (
    PHOTOS_AT_ONCE,
    Faults,
    Part,
    Shelf,
    Source,
    arm_ids,
    cut,
    read_block,
    read_texts,
)
from jobs.lake.catalogue import Lake
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from models.evaluation.counting import (
    Block,
    Matrix,
    Targets,
    arranged,
    best_listed,
    count_ahead,
    merged,
    scores_of_pairs,
)
from models.evaluation.ranking import Availability, Bools, Floats, Ints
from models.evaluation.topk_merge import Top, block_top, merge, nothing

_WORK_OF_A_TASK = 1.5e11
"""Multiplications of a task: some seconds of one core."""
_MOST_TASKS = 1024
_FEWEST_TEXTS, _MOST_TEXTS = 256, 16_384
_BASE_MB = 500
"""Memory of a process besides photos and texts."""
_BYTES_OF_LISTS = 2**29
"""Of all texts by all tasks, which the parent merges."""
_ANY_COUNTRY = ""


@dataclass(frozen=True)
class Job:
    """What every task of an arm is told."""

    shelf: Shelf
    arm: str
    dim: int

    def name(self, what: str, number: int) -> str:
        """Return the name of what is kept of the arm: `part`, `texts` or `targets`."""
        return f"{self.arm}-{what}-{number:05d}"

    def photos(self, part: int) -> tuple[Block, Faults]:
        """Return a part with its vectors, and what is wrong with these."""
        return read_block(self.shelf, self.arm, self.dim, self.name("part", part))

    def texts(self, number: int) -> tuple[Matrix, Ints]:
        """Return the vectors of a block of texts and their groups."""
        return read_texts(self.shelf, self.name("texts", number))


@dataclass(frozen=True)
class TextLists:
    """The best photos of each text, best first, -1 where there are fewer, with their exact scores, shape (U, K).

    `special` are photos that only some searches may be shown, by place, shape (X,), with their vectors.
    """

    place: NDArray[np.int32]
    score: Matrix
    text_vector: Matrix
    special: Ints
    special_vector: Matrix


@dataclass(frozen=True)
class VectorArm:
    """An arm's photos and texts, laid out for tasks. `edges` are where each block of texts begins, and the end."""

    job: Job
    pool: TaskPool
    edges: tuple[int, ...]
    part_P: Ints  # the part of each photo
    column_P: Ints  # and its column there
    part_count: int
    missing_count: int

    @classmethod
    def laid_out(
        cls,
        lake: Lake,
        inputs: dict[str, Manifest],
        task: Task,
        availability: Availability,
        arm: str,
        pool: TaskPool,
        store: Store,
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
        job = Job(Shelf.of(store), arm, photos.dim)
        parts, missing_count = _parts(lake, inputs["photo_embeddings"], task, availability, job, limits)
        part_P, column_P = (np.zeros(len(task.photos), dtype=np.int64) for _ in range(2))
        for number, part in enumerate(parts):
            part.put(job.shelf, job.name("part", number))
            part_P[part.place], column_P[part.place] = number, np.arange(len(part.place))
        step = limits.texts_of(len(task.photos), job.dim)
        edges = (*range(0, len(task.texts), step), len(task.texts))
        group_U = availability.group if len(availability.group) else np.zeros(len(task.texts), dtype=np.int64)
        _write_texts(lake, inputs["query_embeddings"], task, queries.uses_country, job, edges, group_U)
        return cls(job, pool, edges, part_P, column_P, len(parts), missing_count)

    def of_pairs(self, text_N: Ints, place_N: Ints) -> Floats:
        """Return the exact scores of pairs of a text and a photo, shape (N,); the vectors are checked on the way."""
        order = np.argsort(self.part_P[place_N], kind="stable")
        bounds = np.searchsorted(self.part_P[place_N[order]], np.arange(self.part_count + 1))
        items = []
        for number, (start, end) in enumerate(pairwise(bounds.tolist())):
            rows = order[start:end]
            items.append((number, text_N[rows], self.column_P[place_N[rows]]))
        found = self.pool.each(partial(_score, self.job, self.edges), items)
        self._check(reduce(Faults.plus, [faults for _, faults in found], Faults()))
        score_N = np.empty(len(text_N), dtype=np.float32)
        score_N[order] = np.concatenate([np.zeros(0, np.float32), *(score for score, _ in found)])
        return score_N

    def count_ahead(self, targets: Targets) -> Ints:
        """Return how many photos are listed ahead of each target, shape (N,); targets are in the order of texts."""
        bounds = np.searchsorted(targets.text, self.edges).tolist()
        for number, (start, end) in enumerate(pairwise(bounds)):
            here = targets.of(slice(start, end))
            self.job.shelf.put(
                self.job.name("targets", number),
                text=here.text - self.edges[number],
                asked_at=here.asked_at,
                score=here.score,
                place=here.place,
            )
        found = self.pool.each(partial(_count, self.job), self._items())
        ahead_N = np.zeros(len(targets.text), dtype=np.int64)
        for (_, block), ahead in zip(self._items(), found, strict=True):
            ahead_N[bounds[block] : bounds[block + 1]] += ahead
        return ahead_N

    def best(self, text_B: Ints, asked_at_B: Ints, k: int) -> list[tuple[Ints, Matrix]]:
        """Return the places and scores of the best k photos that a few searches list, best first."""
        found = self.pool.each(partial(_best, self.job, self.edges, text_B, asked_at_B, k), range(self.part_count))
        return [merged(parts, k) for parts in zip(*found, strict=True)]

    def lists(self, first: int, last: int, k: int) -> TextLists:
        """Return the best k photos of each text, for searches that are made from `first` until `last`.

        Listed are those that all of these may be shown; those that some may be shown are special.
        """
        most = _BYTES_OF_LISTS // (self.edges[-1] * k * 12)
        items = self._items(max(1, most))
        place_UK, score_UK = nothing(self.edges[-1], k)
        for (_, block), top in zip(items, self.pool.each(partial(_list, self.job, first, k), items), strict=True):
            rows = slice(self.edges[block], self.edges[block + 1])
            place_UK[rows], score_UK[rows] = merge((place_UK[rows], score_UK[rows]), top, k)
        found = self.pool.each(partial(_special, self.job, first, last), range(self.part_count))
        special_X, special_XD = (np.concatenate(part) for part in zip(*found, strict=True))
        text_UD = np.concatenate([self.job.texts(block)[0] for block in range(len(self.edges) - 1)])
        return TextLists(place_UK.astype(np.int32), score_UK, text_UD, special_X, special_XD)

    def _items(self, most: int = _MOST_TASKS) -> list[tuple[range, int]]:
        """Return what each task takes: some parts and one block of texts; tasks with the same parts side by side.

        Parts are cut into `most` runs or fewer.
        """
        blocks = len(self.edges) - 1
        work = len(self.part_P) * self.edges[-1] * self.job.dim
        wanted = min(math.ceil(work / _WORK_OF_A_TASK), _MOST_TASKS) // blocks
        runs = max(1, min(self.part_count, most, wanted))
        edges = np.linspace(0, self.part_count, runs + 1).astype(int).tolist()
        return [(range(*parts), block) for parts in pairwise(edges) for block in range(blocks)]

    def _check(self, faults: Faults) -> None:
        where, named = f"arm {self.job.arm!r}: photos", {"dataset": "photo_embeddings", "arm": self.job.arm}
        _check(faults, where, named, len(self.part_P))


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


def _parts(
    lake: Lake, embeddings: Manifest, task: Task, availability: Availability, job: Job, limits: Limits
) -> tuple[list[Part], int]:
    """Return the parts, of photos of one file or of photos that share pictures, and how many have no vector."""
    places = task.photos.select("photo_id", "place")
    located = _locate(lake, embeddings, places, job.arm)
    _check_share(located, len(places), embeddings, job.arm, limits.max_missing_share)
    is_special_P = availability.special(int(task.asked_at.min()))
    is_shared_P = np.bincount(availability.pictures, minlength=len(places))[availability.pictures] > 1
    most, file_P = limits.photos_at_once(job.dim), np.full(len(places), -1, dtype=np.int64)
    for number, (_, place_R) in enumerate(located):
        file_P[place_R[place_R >= 0]] = number
    own = np.flatnonzero(~is_shared_P)
    own = own[np.argsort(file_P[own], kind="stable")]
    parts = []
    bounds = np.searchsorted(file_P[own], np.arange(-1, len(located) + 1)).tolist()
    for number, (start, end) in enumerate(pairwise(bounds), start=-1):
        files = located[number : number + 1] if number >= 0 else []
        parts += [_part(some, files, is_special_P, availability) for some in cut(own[start:end], own[start:end], most)]
    shared = np.flatnonzero(is_shared_P)
    of_pictures = cut(shared, availability.pictures[shared], most)
    parts += [_part(some, located, is_special_P, availability) for some in of_pictures]
    return parts, int((file_P < 0).sum())


def _locate(lake: Lake, embeddings: Manifest, places: pl.DataFrame, arm: str) -> list[tuple[str, Ints]]:
    """Return the files with photos of an arm, and the place of the photo of each row; -1 for one of no place."""
    lake.table_uris(embeddings, "embeddings")  # which checks the files
    located, seen_P = [], np.zeros(len(places), dtype=np.int64)
    for info in embeddings.tables["embeddings"].files:
        path = f"{lake.root}/{info.path}"
        ids = pl.DataFrame({"photo_id": pl.Series(pl.from_arrow(arm_ids(lake, path, arm)), dtype=pl.String)})
        place_R = integers(ids.join(places, on="photo_id", how="left", maintain_order="left")["place"].fill_null(-1))
        if len(place_R):
            located.append((path, place_R))
            seen_P += np.bincount(place_R[place_R >= 0], minlength=len(places))
    if not located:
        raise MissingInput(
            "arm_not_embedded",
            f"{embeddings.reference} has no vectors of arm {arm!r}. Rerun embed_photos.",
            dataset=embeddings.dataset,
            run=embeddings.reference,
            arm=arm,
        )
    if repeated := int((seen_P - 1).clip(min=0).sum()):
        raise BadInput(
            "vectors_repeated",
            f"arm {arm!r}: {repeated} rows in {embeddings.reference} repeat a photo_id. Rerun embed_photos.",
            dataset=embeddings.dataset,
            run=embeddings.reference,
            arm=arm,
            repeated_count=repeated,
        )
    return located


def _check_share(
    located: Sequence[tuple[str, Ints]], photo_count: int, embeddings: Manifest, arm: str, max_missing_share: float
) -> None:
    missing = photo_count - sum(int((place_R >= 0).sum()) for _, place_R in located)
    if missing > max_missing_share * photo_count:
        raise BadInput(
            "vectors_missing",
            f"arm {arm!r}: {missing} of {photo_count} photos have no vector in {embeddings.reference}, more than the "
            f"allowed share of {max_missing_share:g}. Find out why, then rerun embed_photos.",
            dataset=embeddings.dataset,
            run=embeddings.reference,
            arm=arm,
            missing_count=missing,
        )


def _part(place_S: Ints, located: Sequence[tuple[str, Ints]], is_special_P: Bools, availability: Availability) -> Part:
    place_S, special, of_special = arranged(place_S, is_special_P, availability)
    column_S, sources = np.argsort(place_S), []
    for path, place_R in located:
        at_R = np.searchsorted(place_S, place_R, sorter=column_S).clip(max=len(place_S) - 1)
        column_R = column_S[at_R]
        row = np.flatnonzero(place_S[column_R] == place_R)
        if len(row):
            sources.append(Source(path, row, column_R[row]))
    return Part(place_S, special, of_special, tuple(sources))


def _write_texts(
    lake: Lake, embeddings: Manifest, task: Task, uses_country: bool, job: Job, edges: Sequence[int], group_U: Ints
) -> None:
    """Write the vectors of the texts in blocks; texts and vectors are in the same order, so a block is soon full."""
    country = pl.col("country") if uses_country else pl.lit(_ANY_COUNTRY).alias("country")
    texts = task.texts.select("text", "query", country)
    vector_UD = np.zeros((len(texts), job.dim), dtype=np.float32)
    count_U, lengths = np.zeros(len(texts), dtype=np.int64), set[int]()
    for batch in batches_of_arm(lake, embeddings, job.arm, ["query", "country", "vector"], 4096):
        rows = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch.select(["query", "country"])])))
        found = rows.with_row_index("row").join(texts, on=["query", "country"])
        number, vectors = integers(found["text"]), batch["vector"].cast(pa.list_(pa.float32()))
        lengths |= set(np.diff(vectors.offsets.to_numpy()).tolist())
        if lengths == {job.dim}:
            vector_RD = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, job.dim)
            vector_UD[number] = vector_RD[integers(found["row"])]
        count_U += np.bincount(number, minlength=len(texts))
    named = {"dataset": embeddings.dataset, "run": embeddings.reference, "arm": job.arm}
    if missing := int((count_U == 0).sum()):
        raise BadInput(
            "vectors_missing",
            f"arm {job.arm!r}: {missing} of {len(texts)} distinct {task.window} queries have no vector in "
            f"{embeddings.reference}. The arm is unfinished: rerun embed_queries.",
            **named,
            missing_count=missing,
        )
    if repeated := int((count_U - 1).sum()):
        raise BadInput(
            "vectors_repeated",
            f"arm {job.arm!r}: {repeated} rows in {embeddings.reference} repeat a query. Rerun embed_queries.",
            **named,
            repeated_count=repeated,
        )
    faults = Faults(lengths=tuple(sorted(lengths))) if lengths != {job.dim} else Faults.of(vector_UD)
    _check(faults, f"arm {job.arm!r}: queries in {embeddings.reference}", named, len(texts))
    for block, (start, end) in enumerate(pairwise(edges)):
        job.shelf.put(job.name("texts", block), vector=vector_UD[start:end], group=group_U[start:end])


def _check(faults: Faults, where: str, named: dict[str, str], count: int) -> None:
    if faults.lengths:
        raise BadInput(
            "vectors_differ_in_length",
            f"{where}: vectors have different lengths or none: {list(faults.lengths)}",
            **named,
            lengths=list(faults.lengths),
        )
    if faults.not_finite:
        raise BadInput(
            "vectors_not_finite",
            f"{where}: {faults.not_finite} of {count} vectors hold NaN or infinity. The model has diverged.",
            **named,
            bad_count=faults.not_finite,
        )
    if faults.not_unit:
        raise BadInput(
            "vectors_not_of_length_one",
            f"{where}: {faults.not_unit} of {count} vectors are not of length 1, so they cannot be ranked",
            **named,
            bad_count=faults.not_unit,
        )


# -- the tasks -------------------------------------------------------------------------------------------


def _score(job: Job, edges: Sequence[int], item: tuple[int, Ints, Ints]) -> tuple[Matrix, Faults]:
    """Return the exact scores of pairs of a text and a photo of a part, and what is wrong with its vectors."""
    number, text_N, column_N = item
    block, faults = job.photos(number)
    score_N = np.empty(len(text_N), dtype=np.float32)
    for texts, (start, end) in enumerate(pairwise(edges)):
        here = np.flatnonzero((text_N >= start) & (text_N < end))
        if len(here):
            query_UD, _ = job.texts(texts)
            score_N[here] = scores_of_pairs(query_UD, block.vector, text_N[here] - start, column_N[here])
    return score_N, faults


def _count(job: Job, item: tuple[range, int]) -> Ints:
    """Return how many photos of some parts are ahead of the targets of a block of texts."""
    parts, number = item
    targets = Targets(**job.shelf.get(job.name("targets", number)))
    query_UD, _ = job.texts(number)
    ahead_N = np.zeros(len(targets.text), dtype=np.int64)
    for part in parts:
        ahead_N += count_ahead(query_UD, _block(job, part, number), targets, task_product())
    return ahead_N


def _best(
    job: Job, edges: Sequence[int], text_B: Ints, asked_at_B: Ints, k: int, part: int
) -> list[tuple[Ints, Matrix]]:
    """Return the best k photos of a part that each of a few searches lists."""
    found: list[tuple[Ints, Matrix]] = []
    for row in range(len(text_B)):
        number = int(np.searchsorted(edges, text_B[row], side="right")) - 1
        query_UD, text = job.texts(number)[0], text_B[row : row + 1] - edges[number]
        block = _block(job, part, number)
        found += best_listed(query_UD[text], block, text, asked_at_B[row : row + 1], k, task_product())
    return found


def _list(job: Job, first: int, k: int, item: tuple[range, int]) -> Top:
    """Return the best k photos of some parts for the texts of a block, of those that no search may not be shown."""
    parts, number = item
    query_UD, _ = job.texts(number)
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


def _block(job: Job, part: int, texts: int) -> Block:
    """Return a part, for the texts of a block."""
    block, _ = job.photos(part)
    _, group_U = job.texts(texts)
    return replace(block, availability=replace(block.availability, group=group_U))
