"""Candidates are those of a plain sort of each source: exact, by the one rule for ties, only what may be shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.ranking import Availability
from models.rerank import candidates as c
from models.rerank.history import DAY
from models.rerank.search import OTHER_COUNT
from tests.models.rerank.world import World


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_best_of_dense_scores_equal_a_plain_sort(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    score_BP = random.integers(0, 4, random.integers(1, 9, 2)).astype(np.float32)  # few values: many ties
    score_BP[random.random(score_BP.shape) < 0.2] = np.nan
    score_BP[random.random(score_BP.shape) < 0.1] = -np.inf
    row, place = np.nonzero(np.isfinite(score_BP))
    found = c.Hits(row, place, score_BP[row, place]).best(k)
    for row, score_P in enumerate(score_BP):
        expected = sorted(np.flatnonzero(np.isfinite(score_P)), key=lambda place: (-score_P[place], place))[:k]
        own = found.row == row
        assert found.place[own].tolist() == expected
        assert found.score[own].tolist() == score_P[expected].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_each_source_names_what_a_plain_count_names_and_a_photo_is_a_candidate_once(seed: int) -> None:
    world = World.of(seed, photo_count=120, text_count=12, event_count=2500)
    asked = world.asked(40, vector_count=15)
    log, tables = world.events, asked.search.tables
    for _, searches, found, _ in asked.blocks():
        assert len({*zip(found.row.tolist(), found.place.tolist(), strict=True)}) == len(found.row)
        assert found.count.tolist() == np.bincount(found.row, minlength=len(searches.text)).tolist()
        for row in range(len(searches.text)):
            text, country, at = searches.query[row], searches.country[row], searches.asked_at[row]
            is_there = world.available_at <= at
            of_query = log.query == text
            vector = asked.query_UD[searches.text[row]] @ asked.photo_PD.T
            match = tables.keywords.scores(f"word{text}")
            in_country = np.bincount(log.photo[of_query & (log.country == country)], minlength=120)
            expected = {c.VECTOR: (vector, 15), c.CONVERTED_IN_COUNTRY: (in_country, OTHER_COUNT)}
            expected |= {c.KEYWORDS: (match, OTHER_COUNT)}
            for source, (score, k) in expected.items():
                ordered = [p for p in np.argsort(-score, kind="stable") if is_there[p]]
                best = [p for p in ordered if source == c.VECTOR or score[p] > 0][:k]
                bit = 1 << c.SOURCES.index(source)
                named = found.place[(found.row == row) & (found.sources & bit > 0)]
                assert sorted(named) == sorted(best), source
            count = np.bincount(log.photo[of_query], minlength=120)
            age = (world.cutoff - log.at[of_query]) / DAY / 7
            fresh = np.bincount(log.photo[of_query], 0.5**age, minlength=120)
            ordered = sorted(np.flatnonzero((count > 0) & is_there), key=lambda p: (-count[p], -fresh[p], p))
            bit = 1 << c.SOURCES.index(c.CONVERTED)
            named = found.place[(found.row == row) & (found.sources & bit > 0)]
            assert sorted(named) == sorted(ordered[:OTHER_COUNT])
            own = found.row == row
            by_vector = np.argsort(-vector + np.where(is_there, 0, np.inf), kind="stable")[:15].tolist()
            ranks = [by_vector.index(p) + 1 if p in by_vector else np.nan for p in found.place[own]]
            np.testing.assert_array_equal(found.rank[own], ranks)


def test_nothing_hidden_is_a_candidate_of_any_source() -> None:
    world = World.of(1)
    asked = world.asked(60)
    hidden = np.arange(0, 150, 2)
    never, always = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    at_GH = np.where(hidden % 4 == 0, [[always] * 75, [always] * 75], [[never] * 75, [always] * 75])
    group = np.arange(len(asked.query_UD)) % 2
    availability = Availability(world.available_at, hidden, at_GH, group)
    for _, searches, found, _ in asked.shown_by(availability).blocks():
        group_N = group[searches.text[found.row]]
        assert not (found.place % 4 == 0).any()
        assert not ((found.place % 2 == 0) & (group_N == 1)).any()
        assert ((found.place % 2 == 0) & (group_N == 0)).any()
        assert (world.available_at[found.place] <= searches.asked_at[found.row]).all()
