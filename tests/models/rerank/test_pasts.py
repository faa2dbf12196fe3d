"""What visitors took before: looked up as a plain count would, kept short, and nothing of the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.rerank.features import FEATURES
from models.rerank.history import DAY
from models.rerank.pasts import LATEST, NOBODYS, UNKNOWN, Pasts
from models.rerank.search import Search
from tests.models.rerank.test_learning import ByColumns
from tests.models.rerank.test_searches_alike import COARSE, asked_of, plain_of
from tests.models.rerank.world import Asked

VISITORS = 12
LEAVES_TAKEN = ByColumns(
    lambda column: (
        COARSE.scores(np.stack([column[name] for name in FEATURES], axis=1))
        - 5 * np.nan_to_num(column["visitor_taken"])
    )
)
COLUMN = FEATURES.index("visitor_taken")


def log_of(random: np.random.Generator, count: int, photo_count: int, queries: int) -> tuple[np.ndarray, ...]:
    """Return visitor, place, query and time of conversions before and after day 100."""
    visitor, place = random.integers(0, VISITORS, count), random.integers(0, photo_count, count)
    query = random.integers(0, queries, count).astype(np.uint64)
    return visitor, place, query, random.integers(0, 110, count) * DAY + random.integers(0, 3, count)


def with_pasts(asked: Asked, pasts: Pasts, seed: int) -> Asked:
    """Return the searches as of visitors, some of whom have no past and some are not known."""
    visitor = np.random.default_rng(seed).integers(-1, VISITORS + 2, len(asked.target))
    search = replace(asked.search, pasts=pasts, reranker=LEAVES_TAKEN)
    return replace(asked, search=search, searches=replace(asked.searches, visitor=visitor))


@given(st.integers(0, 10_000), st.integers(0, 300))
def test_a_photo_was_taken_if_the_visitors_latest_before_the_cutoff_hold_it(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    visitor, place, query, at = log_of(random, count, 30, 4)
    cutoff = int(random.integers(0, 110)) * DAY
    found = Pasts.of(visitor, place, query, at, cutoff, 30)
    asked = np.array([(v, p, q) for v in range(-1, VISITORS) for p in range(30) for q in range(4)])
    taken = found.taken(asked[:, 0], asked[:, 1], asked[:, 2].astype(np.uint64))
    for (one, photo, words), value in zip(asked.tolist(), taken.tolist(), strict=True):
        own = [row for row in range(count) if visitor[row] == one and at[row] < cutoff]
        own = [row for row in sorted(own, key=lambda row: (-at[row], place[row]))[:LATEST] if place[row] == photo]
        for_words = words != UNKNOWN and words in query[own].tolist()
        assert (value == (2 if for_words else 1)) if own else np.isnan(value)


def test_of_a_long_past_the_latest_are_kept() -> None:
    photos = np.arange(2 * LATEST)
    found = Pasts.of(0 * photos, photos, photos.astype(np.uint64) + 1, photos, 10**9, 2 * LATEST)
    assert found.key.tolist() == list(range(LATEST, 2 * LATEST))
    row, place = found.of_visitors(np.array([-1, 5, 0]))
    assert row.tolist() == [2] * LATEST
    assert place.tolist() == found.key.tolist()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_taken_at_the_cutoff_or_later_changes_nothing(seed: int) -> None:
    asked, random = asked_of(seed), np.random.default_rng(seed)
    cutoff = asked.search.tables.history.cutoff
    log = log_of(random, 200, 90, 6)
    future = log[3] >= cutoff
    assert 0 < future.sum() < len(future)
    past = tuple(column[~future] for column in log)
    features = [
        np.concatenate([matrix for *_, matrix in with_pasts(asked, Pasts.of(*one, cutoff, 90), seed).blocks()])
        for one in (log, past, tuple(column[:0] for column in log))
    ]
    np.testing.assert_array_equal(features[0], features[1])
    assert np.isfinite(features[0][:, COLUMN]).any()
    assert np.isnan(features[2][:, COLUMN]).all()
    np.testing.assert_array_equal(features[0][:, :COLUMN], features[2][:, :COLUMN])


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([200_000, 1 << 28]))
def test_visitors_searches_are_answered_as_each_by_itself(seed: int, block_bytes: int) -> None:
    random = np.random.default_rng(seed)
    asked = with_pasts(asked_of(seed), Pasts.of(*log_of(random, 600, 90, 6), 100 * DAY, 90), seed)
    search = replace(asked.search, block_bytes=block_bytes)
    target = random.integers(0, 90, len(asked.target))
    expected, _ = plain_of(asked).ranks(asked.searches, target)
    np.testing.assert_array_equal(search.ranks(asked.searches, target)[0], expected)
    without, _ = replace(search, pasts=NOBODYS).ranks(asked.searches, target)
    assert (without != expected).any()


def test_only_searches_whose_visitor_took_what_is_named_are_told_apart() -> None:
    asked = asked_of(4)
    same = asked.searches.of(np.zeros(6, dtype=np.int64))
    same = replace(same, visitor=np.array([-1, 0, 1, 1, 2, 3]))
    named = asked.search.named(same)
    place = next(iter(named.hits.values())).place
    elsewhere = np.setdiff1d(np.arange(90), np.concatenate([hits.place for hits in named.hits.values()]))[0]
    pasts = Pasts.of(
        np.array([1, 2, 3]), np.array([place[0], place[0], elsewhere]), np.ones(3, np.uint64), np.zeros(3), 1, 90
    )
    search: Search = replace(asked.search, pasts=pasts)
    alike, first = search.alike(same, named)
    assert len(first) == 3
    assert alike[0] == alike[1] == alike[5]
    assert alike[2] == alike[3]
    assert len({alike[0], alike[2], alike[4]}) == 3
