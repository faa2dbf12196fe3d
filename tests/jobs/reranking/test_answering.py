"""What tasks answer together is what one search answers alone, however the searches are cut."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.lake.shared_arrays import Scratch
from jobs.reranking import answering
from jobs.reranking.answering import Answering
from models.evaluation.ranking import NOT_FOUND
from models.rerank.history import DAY
from models.rerank.learning import Reranker, Rows
from models.rerank.replay import HOUR, Replay
from models.rerank.tables import Conversions
from tests.models.rerank.world import COUNTRIES, Asked, World
from tests.tiny_reranker import tiny_reranker


class Travelling:
    """A pool in this process, to which all travels as it would to another."""

    def __init__(self) -> None:
        self.count = 0

    def each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.count += len(items)
        return [pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(item))) for item in items]


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Tasks of a few searches, of which a block holds one or two."""
    for name in ("_SEARCHES_PER_TASK", "_REPLAYED_PER_TASK"):
        monkeypatch.setattr(answering, name, 17)
    monkeypatch.setattr(answering, "_BLOCKS_PER_TASK", 1 << 12)
    return Answering(Travelling(), Scratch(str(tmp_path), "lake", str(tmp_path / "scratch")), 512)


@pytest.fixture
def asked() -> Asked:
    made = World.of(6, photo_count=80, text_count=8, event_count=400).asked(90, vector_count=15)
    tables = replace(
        made.search.tables,
        queries=np.arange(8, dtype=np.uint64),
        countries=np.array([f"c{number}" for number in range(COUNTRIES)]),
    )
    return replace(made, search=replace(made.search, tables=tables, reranker=Reranker([tiny_reranker()])))


def nothing_left(where: Answering) -> bool:
    return not any(path.is_file() for path in Path(where.scratch.folder).rglob("*"))


def test_ranks_do_not_depend_on_the_parts(asked: Asked, where: Answering) -> None:
    ranks, sources = where.ranks(asked.search, asked.searches, asked.target)
    expected, expected_sources = asked.search.ranks(asked.searches, asked.target)
    assert where.pool.count == 6
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(sources, expected_sources)
    assert (ranks != NOT_FOUND).any()
    assert nothing_left(where)


def test_a_replay_does_not_depend_on_the_parts(asked: Asked, where: Answering) -> None:
    random = np.random.default_rng(0)
    fresh = Conversions(
        random.integers(0, 60, 200),
        random.integers(0, 8, 200).astype(np.uint64),
        random.choice([f"c{number}" for number in range(COUNTRIES + 2)], 200),
        random.integers(-1, 3, 200),
    )
    at = asked.searches.asked_at.min() + random.integers(0, 7 * DAY, 200)
    query, country = np.divmod(np.arange(8 * COUNTRIES), COUNTRIES)
    replay = Replay(asked.search, fresh, at, query.astype(np.uint64), asked.search.tables.countries[country])
    found = where.replayed(replay, asked.searches, asked.target, [24, 72])
    for hours, ranks in zip([24, 72], found, strict=True):
        np.testing.assert_array_equal(ranks, replay.ranks(asked.searches, asked.target, hours * HOUR))
    assert where.pool.count == 12
    assert nothing_left(where)


def test_rows_do_not_depend_on_the_parts_and_are_of_searches_that_teach(asked: Asked, where: Answering) -> None:
    visitor = np.arange(len(asked.target)) // 3
    found = where.rows(asked.search, asked.searches, asked.target, visitor)
    expected = Rows.joined(
        [
            Rows(
                matrix,
                candidates.place == asked.target[block][candidates.row],
                candidates.count,
                visitor[block],
                asked.target[block],
            )
            for block, _, candidates, matrix in asked.blocks()
        ]
    ).learnable()
    for field in fields(Rows):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)
    assert 0 < len(found.count) < len(asked.target)
