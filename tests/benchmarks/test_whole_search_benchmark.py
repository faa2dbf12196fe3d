"""CPU time of a whole search in an evaluation: answered with others like it, against each by itself.

    pytest -n 0 -m benchmark tests/benchmarks/test_whole_search_benchmark.py -s

One thread. 25,000 photos with 768 numbers each, a million conversions, five models of 100 trees; words, countries,
photos and devices as Zipf draws them. Some photos arrive, are hidden or share a picture while the searches are made.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from models.arrays import open_arrays, save_arrays
from models.evaluation.ranking import Availability, Ints
from models.keyword_match import KeywordMatch, Tokens, token_ids
from models.rerank.features import Photos, Searches
from models.rerank.history import DAY, Events, History
from models.rerank.learning import Reranker
from models.rerank.photo_keywords import PhotoKeywords
from models.rerank.replay import HOUR, Replay
from models.rerank.saved import SavedSearch
from models.rerank.search import VECTOR_COUNT, Search
from models.rerank.tables import Conversions, SearchTables, numbers_of
from models.rerank.vectors import listed
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib
from tests.benchmarks.test_search_benchmark import CONVERSIONS, COUNTRIES, NOW, PHOTOS, QUERIES, make_reranker, zipf
from tests.models.rerank.plain import PlainSearch

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]
SEARCHES = int(os.environ.get("NIGHTLENS_BENCHMARK_SEARCHES", "20000"))
DIM, DAYS, PLAIN_SEARCHES, FRESH, PLAIN_REFRESHES = 768, 7, 640, 20_000, 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@dataclass(frozen=True)
class Site:
    """A search, a week of searches, what each converted, and the search told plainly."""

    search: Search
    searches: Searches
    target: np.ndarray
    plain: PlainSearch


def unit(random: np.random.Generator, count: int) -> np.ndarray:
    vectors = random.normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_tables(random: np.random.Generator, words: list[str], available_at: np.ndarray) -> SearchTables:
    pieces = [f"word{number}" for number in range(5_000)]
    keyword_PK = zipf(random, PHOTOS * 8, 5_000).reshape(PHOTOS, 8)
    documents = [[pieces[number] for number in row] for row in keyword_PK]
    keywords = PhotoKeywords.of(np.repeat(np.arange(PHOTOS), 8), keyword_PK.ravel(), unit(random, 5_000), PHOTOS)
    queries = np.sort(token_ids(words))
    events = Events(
        photo=random.permutation(PHOTOS)[zipf(random, CONVERSIONS, PHOTOS)],
        query=np.searchsorted(queries, token_ids(words))[zipf(random, CONVERSIONS, QUERIES)],
        country=zipf(random, CONVERSIONS, COUNTRIES),
        device=random.integers(-1, 3, CONVERSIONS),
        at=random.integers(0, NOW, CONVERSIONS),
    )
    aspect = random.choice([0.66, 1.0, 1.5], PHOTOS)
    return SearchTables(
        photos=Photos(available_at, aspect, np.zeros((PHOTOS, 64), np.float16), keywords),
        history=History.of(events, NOW, available_at, COUNTRIES, 7.0),
        keywords=KeywordMatch.of(documents, available_at < NOW),
        queries=queries,
        countries=np.array([f"{number:02}" for number in range(COUNTRIES)]),
        tastes=np.zeros((COUNTRIES, 64), np.float32),
    )


def make_availability(random: np.random.Generator, available_at: np.ndarray, text_count: int) -> Availability:
    hidden = np.sort(random.choice(PHOTOS, PHOTOS // 100, replace=False))
    hidden_at = NOW + random.integers(0, DAYS * DAY, (1, len(hidden)))
    picture = np.where(random.random(PHOTOS) < 0.02, random.integers(0, PHOTOS // 100, PHOTOS), -1)
    return Availability(available_at, hidden, hidden_at, np.zeros(text_count, np.int64), picture)


def make_site(search_count: int = SEARCHES) -> Site:
    random = np.random.default_rng(0)
    words = [f"word{a} word{b}" for a, b in zip(zipf(random, QUERIES, 5_000), range(QUERIES), strict=True)]
    available_at = np.where(
        random.random(PHOTOS) < 0.007, NOW + random.integers(0, DAYS * DAY, PHOTOS), random.integers(0, NOW, PHOTOS)
    )
    tables = make_tables(random, words, available_at)
    asked, text = np.unique(
        zipf(random, search_count, QUERIES) * COUNTRIES + zipf(random, search_count, COUNTRIES), return_inverse=True
    )
    query, country = np.divmod(asked, COUNTRIES)
    availability = make_availability(random, available_at, len(asked))
    photo_PD = unit(random, PHOTOS)
    query_UD = photo_PD[random.integers(0, PHOTOS, len(asked))] + unit(random, len(asked))
    query_UD /= np.linalg.norm(query_UD, axis=1, keepdims=True)
    own_words = [words[number] for number in query]
    search = Search(
        tables=tables,
        tokens=Tokens.of(own_words),
        vectors=listed(query_UD, photo_PD, availability, NOW, NOW + DAYS * DAY, VECTOR_COUNT),
        availability=availability,
        pictures=availability.pictures,
        reranker=Reranker(make_reranker(random)),
    )
    orientation = np.where(random.random(search_count) < 0.1, random.integers(0, 3, search_count), -1)
    searches = Searches(
        text=text,
        query=np.searchsorted(tables.queries, token_ids(words))[query[text]],
        country=country[text],
        device=random.integers(-1, 3, search_count),
        orientation=orientation,
        asked_at=NOW + random.integers(0, DAYS * DAY, search_count),
        visitor=np.full(search_count, -1),
    )
    near = search.vectors.place_UK[text, np.minimum(zipf(random, search_count, 200), 199)]  # type: ignore[attr-defined]
    anywhere = random.integers(0, PHOTOS, search_count)
    target = np.where((random.random(search_count) < 0.8) & (near >= 0), near, anywhere)
    return Site(search, searches, target, PlainSearch(search, own_words, query_UD, photo_PD))


@pytest.fixture(scope="module")
def site() -> Site:
    return make_site()


def cpu_seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.process_time()
    found = work()
    return found, time.process_time() - begun


def parts_of(site: Site, rows: np.ndarray) -> dict[str, float]:
    """Return the CPU-seconds of the parts of the new path."""
    search, seconds = site.search, dict.fromkeys(("named", "alike", "candidates", "features", "scores", "order"), 0.0)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        found, spent = cpu_seconds(work)
        seconds[part] += spent
        return found

    by_number = replace(search, reranker=None)
    for _, searches in search.blocks(site.searches.of(rows)):
        named = timed("named", lambda s=searches: search.named(s))
        _, first = timed("alike", lambda s=searches, n=named: search.alike(s, n))
        distinct = searches.of(first)
        candidates = timed("candidates", lambda s=distinct, n=named: search.candidates(s, n))
        matrix = timed("features", lambda s=distinct, c=candidates, n=named: search.features(s, c, n))
        timed("scores", lambda m=matrix: search.reranker.scores(m))
        timed("order", lambda c=candidates, m=matrix: by_number.order(c, m))
    return seconds


def test_a_search_answered_with_others_costs_less(site: Site) -> None:
    random = np.random.default_rng(1)
    some = np.sort(random.choice(SEARCHES, PLAIN_SEARCHES, replace=False))

    def plainly() -> None:
        for _, _, candidates, matrix in site.plain.blocks(site.searches.of(some)):
            site.search.order(candidates, matrix)

    plainly()  # memory that is touched first costs more
    _, plain = cpu_seconds(plainly)
    (ranks, sources), ours = cpu_seconds(lambda: site.search.ranks(site.searches, site.target))
    expected, expected_sources = site.plain.ranks(site.searches.of(some), site.target[some])
    np.testing.assert_array_equal(ranks[some], expected)
    np.testing.assert_array_equal(sources[some], expected_sources)
    plain_ms, our_ms = 1000 * plain / len(some), 1000 * ours / SEARCHES
    print(f"\na search by itself: {plain_ms:.2f} CPU ms; among {SEARCHES:,}: {our_ms:.2f} CPU ms")
    print(f"photo among the candidates: {(sources > 0).mean():.2f}")
    for part, seconds in parts_of(site, np.arange(SEARCHES)).items():
        print(f"  {part}: {1000 * seconds / SEARCHES:.3f} CPU ms")
    assert our_ms < plain_ms / 1.5


def fresh_of(site: Site) -> tuple[Replay, np.ndarray, np.ndarray]:
    """Return a replay of the week's searches; and of each text its query and country."""
    random, tables = np.random.default_rng(2), site.search.tables
    texts, first = np.unique(site.searches.text, return_index=True)
    assert len(texts) == len(site.plain.words)
    query = tables.queries[site.searches.query[first]]
    country = tables.countries[site.searches.country[first]]
    asked = random.integers(0, len(texts), FRESH)
    fresh = Conversions(zipf(random, FRESH, PHOTOS), query[asked], country[asked], random.integers(-1, 3, FRESH))
    at = NOW + np.sort(random.integers(0, DAYS * DAY, FRESH))
    return Replay(site.search, fresh, at, query, country), query, country


def test_a_search_replayed_costs_little_more(site: Site) -> None:
    replay, query, country = fresh_of(site)
    ranks, ours = cpu_seconds(lambda: replay.ranks(site.searches, site.target, HOUR))
    base, hour_Q = site.search.tables, site.searches.asked_at // HOUR
    hours = np.unique(hour_Q)[-PLAIN_REFRESHES:]
    seconds, count = {"counts": 0.0, "searches": 0.0}, 0
    for hour in hours:
        rows, known = np.flatnonzero(hour_Q == hour), replay.at < hour * HOUR
        new = Conversions(*(getattr(replay.fresh, one.name)[known] for one in fields(Conversions)))
        counts, spent = cpu_seconds(lambda n=new: base.counts.plus(n, base.photos.available_at))
        seconds["counts"] += spent
        plain = replace(site.plain, search=replace(site.search, tables=base.counting(counts)))
        text = site.searches.text[rows]
        asked = replace(
            site.searches.of(rows),
            query=numbers_of(counts.queries, query[text]),
            country=numbers_of(counts.countries, country[text]),
        )
        (expected, _), spent = cpu_seconds(lambda p=plain, a=asked, r=rows: p.ranks(a, site.target[r]))
        seconds["searches"] += spent
        np.testing.assert_array_equal(ranks[rows], expected)
        count += len(rows)
    each = {part: 1000 * spent / count for part, spent in seconds.items()}
    print(f"\nreplayed hourly, plainly: {each} CPU ms a search; {1000 * ours / SEARCHES:.2f} CPU ms by growing counts")
    assert 1000 * ours / SEARCHES < sum(each.values()) / 1.5


def answer_from(folder: Path, searches: Searches, target_Q: Ints) -> float:
    """Answer in this process and return by how much its memory rose, MiB; what this module imports is not a task's."""
    before = forget_peak()
    open_arrays(SavedSearch, folder).search().ranks(searches, target_Q)
    return memory_mib("VmHWM") - before


@READS_PEAKS
def test_a_task_stays_within_its_memory(site: Site, tmp_path: Path) -> None:
    part = np.argsort(site.searches.text, kind="stable")[:5_000]
    for limit in (512, 2048):
        folder = tmp_path / str(limit)
        folder.mkdir()
        save_arrays(SavedSearch.of(site.search, limit * 2**20 // 8), folder)
        risen = alone(answer_from, folder, site.searches.of(part), site.target[part])
        print(f"\n5,000 searches in a task that may take {limit:,} MiB: {risen:,.0f} MiB and what is imported")
        assert risen < limit / 2
