"""The whole search: its order is that of a plain loop, and a release's index answers as the evaluation does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.ann import ShardedIndex, Visibility
from models.evaluation.ranking import NOT_FOUND, Availability, tie_order
from models.indexing.ids import hashed_ids
from models.rerank.candidates import VECTOR
from models.rerank.learning import Reranker
from models.rerank.vectors import IndexVectors
from tests.models.indexing.vectors import build, names
from tests.models.rerank.test_learning import ByColumns, trained_on
from tests.models.rerank.world import Asked, World


def plain_lists(asked: Asked) -> list[list[int]]:
    """The places of each search in order, by a loop."""
    lists: list[list[int]] = [[] for _ in asked.target]
    pictures = asked.search.availability.picture
    for block, searches, found, matrix in asked.blocks():
        score = asked.search.reranker.scores(matrix)
        for row in range(len(searches.text)):
            own = np.flatnonzero(found.row == row)
            seen = set()
            for n in sorted(own, key=lambda n: (-score[n], found.place[n])):
                place = int(found.place[n])
                picture = pictures[place] if len(pictures) and pictures[place] >= 0 else -1 - place
                if picture not in seen:
                    lists[block[row]].append(place)
                seen.add(picture)
    return lists


@pytest.mark.parametrize("seed", range(3))
def test_order_and_ranks_equal_a_plain_loop(seed: int) -> None:
    asked = World.of(seed).asked(80, vector_count=20)
    random = np.random.default_rng(seed)
    picture = random.integers(-1, 40, 150)
    coarse = ByColumns(lambda column: np.round(column["photo_age_days"] / 20))  # many equal scores
    availability = replace(asked.search.availability, picture=picture)
    asked = asked.shown_by(availability)
    search = replace(asked.search, reranker=coarse)
    asked = replace(asked, search=search)
    lists = plain_lists(asked)
    for block, searches in search.blocks(asked.searches):
        results = search.results(searches)
        target = random.integers(0, 150, len(block))
        rank = results.ranks(np.arange(len(block)), target, search.pictures)
        for row, number in enumerate(block):
            assert results.place[results.row == row].tolist() == lists[number]
            own = [p for p in lists[number] if p == target[row] or picture[p] == picture[target[row]] >= 0]
            assert rank[row] == (lists[number].index(own[0]) + 1 if own else NOT_FOUND)


def test_a_search_alone_finds_what_it_finds_among_others() -> None:
    asked = World.of(2).asked(120)
    model = trained_on(asked)
    search = replace(asked.search, reranker=Reranker([model.text]))
    for block, searches in search.blocks(asked.searches):
        together = search.results(searches)
        for row in range(0, len(block), 7):
            alone = search.results(searches.of(np.array([row])))
            own = together.row == row
            assert alone.place.tolist() == together.place[own].tolist()
            assert alone.score.tolist() == together.score[own].tolist()


def test_without_a_reranker_the_vectors_decide() -> None:
    asked = World.of(2).asked(30, vector_count=10, sources=(VECTOR,))
    for block, searches in asked.search.blocks(asked.searches):
        results = asked.search.results(searches)
        assert np.bincount(results.row).tolist() == [10] * len(block)
        score_BP = asked.query_UD[searches.text] @ asked.photo_PD.T
        score = score_BP[results.row, results.place]
        np.testing.assert_allclose(results.score, score, rtol=1e-5)
        assert all(np.all(np.diff(results.score[results.row == row]) <= 0) for row in range(len(block)))


@pytest.mark.parametrize(("kind", "shard_size"), [("flat", 1000), ("flat", 40), ("hnsw", 1000), ("ivf_pq", 1000)])
def test_a_release_answers_as_the_evaluation_does(tmp_path: Path, kind: str, shard_size: int) -> None:
    world = World.of(5, new_count=0)
    asked = world.asked(300)
    photo_PD = asked.photo_PD / np.linalg.norm(asked.photo_PD, axis=1, keepdims=True)
    order = tie_order(names(150))  # of names by place
    id_P = hashed_ids([names(150)[number] for number in order])
    assert (np.diff(id_P) > 0).all()  # the index's order is the one that decides ties
    build(tmp_path, photo_PD[np.argsort(order)], kind, shard_size=shard_size)
    hidden = np.arange(3, 150, 7)
    always = np.full((1, len(hidden)), np.iinfo(np.int64).min)
    availability = Availability(world.available_at, hidden, always, np.zeros(len(asked.query_UD), dtype=np.int64))
    reranker = Reranker([trained_on(asked).text])
    asked = replace(asked, search=replace(asked.search, reranker=reranker, vector_count=20), photo_PD=photo_PD)
    dense = asked.shown_by(availability).search
    with ShardedIndex.open(tmp_path, "m1") as index:
        rules = Visibility.of([names(150)[order[place]] for place in hidden])
        vectors = IndexVectors(index, id_P, rules, asked.query_UD, [""] * len(asked.query_UD))
        live = replace(dense, vectors=vectors)
        blocks = [searches for _, searches in dense.blocks(asked.searches)]
        pairs = [(dense.results(searches), live.results(searches)) for searches in blocks]
        alone = [live.results(asked.searches.of(np.array([n]))) for n in range(0, 300, 30)]
    for evaluated, released in pairs:
        if kind == "ivf_pq":  # keeps codes: it may name others
            assert np.intersect1d(evaluated.place, released.place).size > 0
            assert not np.isin(released.place, hidden).any()
            continue
        assert released.row.tolist() == evaluated.row.tolist()
        assert released.place.tolist() == evaluated.place.tolist()
        assert released.score.tolist() == evaluated.score.tolist()
    first = dense.results(asked.searches)
    for n, found in zip(range(0, 300, 30), alone, strict=True):
        if kind != "ivf_pq":
            assert found.place.tolist() == first.place[first.row == n].tolist()
