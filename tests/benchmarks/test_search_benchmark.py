"""A released search from words to photos: cold start, opening, single searches, batches, memory; beside its libraries.

    pytest -m benchmark tests/benchmarks/test_search_benchmark.py -s

NIGHTLENS_BENCHMARK_PHOTOS (25000) photos and NIGHTLENS_BENCHMARK_CONVERSIONS (1000000) conversions, made up (Zipf), a
tiny SigLIP as the sample's, with random weights, a flat index, one thread. The floor is what two libraries take for the
same search without anything around them: FAISS's 200 nearest vectors, and five LightGBM models on as many rows. A cold
process does all of it once, from the start of Python; its floor is a process that imports PyTorch.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from models import ann
from models.evaluation.ranking import tie_order
from models.indexing.building import build_index
from models.keyword_match import KeywordMatch, token_ids
from models.rerank.features import FEATURES, Photos
from models.rerank.history import DAY, Events, History
from models.rerank.learning import Options, Reranker, Rows, train
from models.rerank.live import Asked, Catalogue, LiveSearch
from models.rerank.photo_keywords import PhotoKeywords
from models.rerank.tables import SearchTables
from models.search.identity import ModelIdentity
from models.search.model import build_tiny_model
from models.search.query_model import QueryModel
from models.serving import embed_queries

PHOTOS = int(os.environ.get("NIGHTLENS_BENCHMARK_PHOTOS", "25000"))
CONVERSIONS = int(os.environ.get("NIGHTLENS_BENCHMARK_CONVERSIONS", "1000000"))
QUERIES, COUNTRIES, CANDIDATES, SEARCHES, NOW = 20_000, 40, 200, 500, 400 * DAY

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


def zipf(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """So many draws of `size` things, a few of which are most."""
    return np.minimum((size ** random.random(count)).astype(np.int64), size - 1)


def make_catalogue(random: np.random.Generator, words: list[str], dim: int) -> Catalogue:
    names = [f"photo-{number}" for number in range(PHOTOS)]
    names = [names[number] for number in tie_order(names)]
    available_at = random.integers(0, NOW, PHOTOS)
    pieces = [f"word{number}" for number in range(5_000)]
    keyword_PK = zipf(random, PHOTOS * 8, 5_000).reshape(PHOTOS, 8)
    documents = [[pieces[number] for number in row] for row in keyword_PK]
    meaning_WD = random.normal(size=(5_000, dim)).astype(np.float32)
    keywords = PhotoKeywords.of(np.repeat(np.arange(PHOTOS), 8), keyword_PK.ravel(), meaning_WD, PHOTOS)
    queries = np.sort(token_ids(words))
    number_of = np.searchsorted(queries, token_ids(words))
    events = Events(
        photo=zipf(random, CONVERSIONS, PHOTOS),
        query=number_of[zipf(random, CONVERSIONS, QUERIES)],
        country=zipf(random, CONVERSIONS, COUNTRIES),
        device=random.integers(-1, 3, CONVERSIONS),
        at=random.integers(0, NOW, CONVERSIONS),
    )
    tables = SearchTables(
        photos=Photos(available_at, np.full(PHOTOS, 1.5), np.zeros((PHOTOS, 64), np.float16), keywords),
        history=History.of(events, NOW, available_at, COUNTRIES, 7.0),
        keywords=KeywordMatch.of(documents, np.ones(PHOTOS, np.bool_)),
        queries=queries,
        countries=np.array([f"{number:02}" for number in range(COUNTRIES)]),
        tastes=np.zeros((COUNTRIES, 64), np.float32),
    )
    return Catalogue.of(names, np.arange(PHOTOS), tables)


def make_reranker(random: np.random.Generator) -> list[str]:
    """Five models of as many trees as an order is learned with, at most."""
    matrix = random.normal(size=(20_000, len(FEATURES))).astype(np.float32)
    score_SC = (matrix[:, :12].sum(axis=1) + 2 * random.normal(size=20_000)).reshape(400, 50)
    rows = Rows(
        matrix,
        (score_SC == score_SC.max(axis=1, keepdims=True)).ravel(),
        np.full(400, 50),
        np.arange(400),
        np.arange(400),
    )
    twice, is_held_out = Rows.joined([rows, rows]), np.arange(800) >= 400
    return [train(twice, is_held_out, Options(rounds=100, patience=100, seed=seed)).text for seed in range(5)]


def milliseconds(one: Callable[[int], object], count: int) -> np.ndarray:
    """How long each of so many calls takes."""
    seconds = []
    for number in range(count):
        begun = time.perf_counter()
        one(number)
        seconds.append(time.perf_counter() - begun)
    return 1000 * np.array(seconds)


def make_release(folder: Path) -> tuple[list[str], list[str]]:
    """Write index, search and model; return the words of queries and the rerankers."""
    random = np.random.default_rng(0)
    words = [f"word{a} word{b}" for a, b in zip(zipf(random, QUERIES, 5_000), range(QUERIES), strict=True)]
    model = build_tiny_model(uses_country=True, texts=words[:2_000])
    catalogue = make_catalogue(random, words, model.dim)
    vector_PD = random.normal(size=(PHOTOS, model.dim)).astype(np.float32)
    vector_PD /= np.linalg.norm(vector_PD, axis=1, keepdims=True)
    for name in ("index", "search", "model"):
        (folder / name).mkdir()
    names = [name.decode() for name in catalogue.names]
    build_index(folder / "index", vector_PD, names, "flat", model_digest=model.digest, shard_size=PHOTOS)
    catalogue.save(folder / "search", CANDIDATES)
    model.save(folder / "model")
    np.save(folder / "vectors.npy", vector_PD)
    return words, make_reranker(random)


def floor(folder: Path, rerankers: list[str], query_QD: ann.Floats) -> np.ndarray:
    """The milliseconds of FAISS and LightGBM alone."""
    flat, reranker = faiss.IndexFlatIP(query_QD.shape[1]), Reranker(rerankers)
    flat.add(np.load(folder / "vectors.npy"))
    rows = np.random.default_rng(0).normal(size=(CANDIDATES, len(FEATURES))).astype(np.float32)

    def search(number: int) -> None:
        flat.search(query_QD[number : number + 1], CANDIDATES)
        reranker.scores(rows)

    search(0)
    return milliseconds(search, len(query_QD))


COLD = """
import sys
from pathlib import Path
from models import ann
from models.rerank.learning import Reranker
from models.rerank.live import Asked, LiveSearch
from models.search.identity import ModelIdentity
from models.search.query_model import QueryModel
from models.serving import embed_queries

folder, words, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
model = QueryModel.load(folder / "model")
index = ann.ShardedIndex.open(folder / "index", ModelIdentity.read(folder / "model").digest)
reranker = Reranker([path.read_text() for path in sorted(folder.glob("reranker-*.txt"))])
live = LiveSearch.open(folder / "search", index, ann.Visibility.of(), reranker)
assert len(live.search([Asked(words)], embed_queries(model, [(words, "")]), 10, at)[0]) == 10
"""


def processor_seconds(code: str, *arguments: str) -> float:
    """Return what a process that ends without taking its libraries apart has used; the second of two runs."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", f"{code}\nimport os; os._exit(0)", *arguments], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_search_from_words_to_photos(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    words, rerankers = make_release(tmp_path)
    files = [path for name in ("index", "search") for path in (tmp_path / name).iterdir()]
    byte_count = sum(path.stat().st_size for path in files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    model = QueryModel.load(tmp_path / "model")
    index = ann.ShardedIndex.open(tmp_path / "index", ModelIdentity.read(tmp_path / "model").digest, threads=1)
    live = LiveSearch.open(tmp_path / "search", index, ann.Visibility.of(), Reranker(rerankers))
    open_seconds = time.perf_counter() - begun
    numbers = zipf(np.random.default_rng(1), SEARCHES, QUERIES)
    asked = [Asked(words[number], f"{number % COUNTRIES:02}", "mobile") for number in numbers]

    def embed(searches: list[Asked]) -> ann.Floats:
        return embed_queries(model, [(one.words, one.country) for one in searches])

    def search(searches: list[Asked]) -> object:
        return live.search(searches, embed(searches), 10, NOW)

    search(asked[:1])
    taken = milliseconds(lambda number: search([asked[number]]), SEARCHES)
    batch = milliseconds(lambda _: search(asked), 1)[0]
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    embedding = milliseconds(lambda number: embed([asked[number]]), SEARCHES)
    least = floor(tmp_path, rerankers, embed(asked))
    p50, p99 = np.percentile(taken, (50, 99))
    for number, text in enumerate(rerankers):
        (tmp_path / f"reranker-{number}.txt").write_text(text)
    cold = processor_seconds(COLD, str(tmp_path), words[0], str(NOW))
    print(f"\na cold process: {cold:.1f} processor seconds; importing PyTorch {processor_seconds('import torch'):.1f}")
    print(f"\n{PHOTOS:,} photos, {CONVERSIONS:,} conversions: {byte_count / PHOTOS:,.0f} bytes a photo")
    print(f"open {open_seconds:.2f} s; a search {p50:.1f} ms (p50), {p99:.1f} ms (p99)")
    print(f"{1000 * SEARCHES / batch:,.0f}/s in a batch of {SEARCHES}; {memory:,.0f} MiB more at the peak")
    print(f"of a search, embedding {np.median(embedding):.1f} ms; FAISS and LightGBM alone {np.median(least):.1f} ms")
    assert p50 <= 3 * np.median(least)
