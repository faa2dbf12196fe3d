"""An arm by vectors, ranked in tasks: the same ranks and lists as of all scores sorted, however the work is cut."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from jobs.adapters.task_pool import LocalPool
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.errors import BadInput
from jobs.evaluation import vector_arm
from jobs.evaluation.products import device_product
from jobs.evaluation.ranked_arm import rank
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.vector_arm import Limits, VectorArm
from jobs.lake.shared_arrays import Scratch
from models.evaluation import counting
from models.evaluation.exact_scores import exact_scores
from models.evaluation.ranking import Availability
from tests.conftest import Contexts
from tests.errors import raises
from tests.made_up_facts import made_up
from tests.plain_ranking import plain_list, rank_targets
from tests.validated_lake import commit_tables

ARM, DIM, PHOTOS, TEXTS, SEARCHES, WITHOUT = "full", 6, 60, 14, 90, 4
pytestmark = pytest.mark.integration


@dataclasses.dataclass
class Corpus:
    """A night's vectors in three files, and what is asked of them."""

    ctx: RunContext
    query_UD: np.ndarray
    photo_PD: np.ndarray
    task: Task
    availability: Availability

    def arm(self, max_memory_mb: int = 2048) -> VectorArm:
        random = np.random.default_rng(5)
        rows = random.permutation(np.arange(WITHOUT, PHOTOS))  # files are in no order of places
        ids = self.task.photos["photo_id"].gather(rows)
        vectors = pl.DataFrame({"arm": ARM, "photo_id": ids, "vector": self.photo_PD[rows].tolist()})
        other = vectors.with_columns(arm=pl.lit("zero_shot"), vector=pl.lit([0.0, 1.0]))
        queries = pl.DataFrame({"arm": ARM, "query": self.task.texts["query"].unique(maintain_order=True)})
        queries = queries.with_columns(country=pl.lit(""), vector=pl.Series(self.query_UD[::2].tolist()))
        arms = {ARM: {"dim": DIM}}
        commit_tables(
            self.ctx,
            PHOTO_EMBEDDINGS,
            {"embeddings": pl.concat([other, vectors])},
            facts=made_up(PHOTO_EMBEDDINGS.facts, arms=arms),
            shard_count=3,
        )
        facts = made_up(QUERY_EMBEDDINGS.facts, arms=arms)
        commit_tables(self.ctx, QUERY_EMBEDDINGS, {"embeddings": queries}, facts=facts)
        inputs = {dataset.name: self.ctx.read(dataset) for dataset in (PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS)}
        folder = Scratch(self.ctx.lake.root_uri, self.ctx.lake.catalogue, f"{self.ctx.lake.root}/scratch")
        limits = Limits(0.1, max_memory_mb)
        return VectorArm.laid_out(self.ctx.lake, inputs, self.task, self.availability, ARM, LocalPool(), folder, limits)

    @property
    def scores(self) -> np.ndarray:
        found = np.stack([exact_scores(query, self.photo_PD) for query in self.query_UD])
        found[:, :WITHOUT] = -np.inf
        return found


@pytest.fixture
def corpus(make_context: Contexts) -> Corpus:
    random = np.random.default_rng(3)
    directions = np.eye(DIM, dtype=np.float32)
    query_UD = np.repeat(directions[random.integers(0, DIM, TEXTS // 2)], 2, axis=0)  # one vector in two countries
    photo_PD = directions[random.integers(0, DIM, PHOTOS)]  # many ties
    photo_PD[::2] = random.normal(size=(PHOTOS // 2, DIM))
    photo_PD /= np.linalg.norm(photo_PD, axis=1, keepdims=True)
    hidden = np.sort(random.choice(PHOTOS, 6, replace=False))
    availability = Availability(
        since=np.where(random.random(PHOTOS) < 0.8, 0, random.integers(0, 20, PHOTOS)),
        hidden=hidden,
        hidden_at=random.integers(5, 40, (2, 6)),
        group=np.arange(TEXTS) % 2,
        picture=np.where(random.random(PHOTOS) < 0.5, random.integers(0, 8, PHOTOS), -1),
    )
    targets = random.integers(0, PHOTOS, SEARCHES)
    asked_at = np.maximum(availability.since[targets], random.integers(3, 30, SEARCHES))
    texts = pl.DataFrame({"query": [f"q{i // 2}" for i in range(TEXTS)], "country": ["DE", "US"] * (TEXTS // 2)})
    task = Task(
        window="test",
        photos=pl.DataFrame({"photo_id": [f"p{i:02}" for i in range(PHOTOS)]}).with_row_index("place"),
        queries=texts,
        texts=texts.with_row_index("text"),
        text_ids=random.integers(0, TEXTS, SEARCHES),
        targets=targets,
        visitors=targets,
        asked_at=asked_at,
        available_at=availability.since,
    )
    return Corpus(make_context(), query_UD, photo_PD, task, availability)


@pytest.fixture(params=["whole", "cut"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "cut":
        monkeypatch.setattr(vector_arm, "PHOTOS_AT_ONCE", 7)
        monkeypatch.setattr(vector_arm, "_FEWEST_TEXTS", 4)
        monkeypatch.setattr(vector_arm, "_WORK_OF_A_TASK", 150.0)


@pytest.mark.usefixtures("cut")
def test_ranks_and_lists_are_those_of_all_scores_sorted(corpus: Corpus) -> None:
    arm, task, score_UP = corpus.arm(), corpus.task, corpus.scores
    assert arm.missing_count == WITHOUT
    searches = task.text_ids, task.targets, task.asked_at
    assert (
        rank(arm, *searches, corpus.availability).tolist()
        == rank_targets(score_UP, *searches, corpus.availability).tolist()
    )
    for row, (places, scores) in enumerate(arm.best(task.text_ids[:5], task.asked_at[:5], 9)):
        expected = plain_list(score_UP[task.text_ids[row]], task.text_ids[row], task.asked_at[row], corpus.availability)
        assert places.tolist() == [place for place in expected if place >= WITHOUT][:9]
        assert scores.tolist() == score_UP[task.text_ids[row], places].tolist()


@pytest.mark.usefixtures("cut")
def test_listed_are_the_best_of_what_all_searches_may_be_shown(corpus: Corpus) -> None:
    arm, score_UP, available = corpus.arm(), corpus.scores, corpus.availability
    first, last = int(corpus.task.asked_at.min()), int(corpus.task.asked_at.max())
    found = arm.lists(first, last, 8)
    stays_P = (available.since <= first) & ~np.isin(np.arange(PHOTOS), available.hidden)
    stays_P[:WITHOUT] = False
    for text in range(TEXTS):
        best = sorted(np.flatnonzero(stays_P), key=lambda place: (-score_UP[text, place], place))[:8]
        assert found.place_UK[text].tolist() == best
        assert found.score_UK[text].tolist() == score_UP[text, best].tolist()
    hidden_at_P = np.full(PHOTOS, np.iinfo(np.int64).max)
    hidden_at_P[available.hidden] = available.hidden_at.max(axis=0)
    is_special_P = ~stays_P & (available.since <= last) & (hidden_at_P > first)
    assert sorted(found.special_X) == [place for place in np.flatnonzero(is_special_P) if place >= WITHOUT]
    np.testing.assert_array_equal(found.special_XD, corpus.photo_PD[found.special_X])
    np.testing.assert_array_equal(found.query_UD, corpus.query_UD)


def test_too_little_memory_says_what_would_do(corpus: Corpus) -> None:
    with raises(BadInput, "too_little_memory", max_memory_mb=500):
        corpus.arm(max_memory_mb=500)


def test_a_product_of_torch_gives_the_same_counts(corpus: Corpus) -> None:
    place_P = np.arange(WITHOUT, PHOTOS)
    block = counting.Block(corpus.photo_PD[place_P], place_P, len(place_P), corpus.availability.only(place_P[:0]))
    text_N = np.repeat(np.arange(TEXTS), 5)
    targets = counting.Targets(text_N, text_N, corpus.scores[text_N, WITHOUT + text_N % 9], WITHOUT + text_N % 9)
    here = counting.count_ahead(corpus.query_UD, block, targets)
    assert here.tolist() == counting.count_ahead(corpus.query_UD, block, targets, device_product("cpu")).tolist()
    assert here.any()
