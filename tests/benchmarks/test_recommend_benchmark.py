"""Recommenders at 1M interactions: training time and memory of ALS, two towers and GraphSAGE; scoring in blocks.

The log is of 100,000 visitors and 50,000 photos, popularity as in Zipf's law, features of 128 dimensions. Each job runs
in a process of its own, and its peak is the most that was resident while it ran (VmHWM) above what was before. What
each is compared with, in the same run:

ALS: the library called by itself on the same matrix. Two towers: the same loss with every item of the batch encoded
as often as it is there, instead of once. GraphSAGE: one step over the whole graph, forward and backward, as without
sampling; it sees all nodes at once, so its memory is what is compared. Lists, of 100,000 visitors and as many photos in
tasks: matrix products in the same blocks and as many processes, and nothing done with them.

Run with `pytest -m benchmark tests/benchmarks/test_recommend_benchmark.py -s`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from threadpoolctl import threadpool_limits

from jobs.adapters.task_pool import LocalPool, core_count
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.lake.staged_run import WorkerOutput
from jobs.recommending.conversion_log import count_visitors, read_log
from jobs.recommending.inputs import choose_visitors
from jobs.recommending.lists_in_tasks import Scoring, cuts
from models.ragged import unit_rows
from models.recommend import graphsage, two_tower
from models.recommend.als import Als
from models.recommend.graph import Graph, Neighbours
from models.recommend.graphsage import DEPTH, SOURCES, GraphSage
from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.interface import Fitted
from models.recommend.item_knn import ItemKnn
from models.recommend.topk import CELLS_PER_BLOCK, VISITORS_PER_BLOCK
from models.recommend.training import Training, sampled_cross_entropy, seeded, train
from models.recommend.two_tower import FittedTwoTower, TwoTower
from models.search.keywords import RaggedKeywords
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib

INTERACTIONS, VISITORS, ITEMS = 1_000_000, 100_000, 50_000
SCORED = 100_000  # visitors, and as many photos
FEATURES, KEYWORDS, FACTORS, K = 128, 2000, 64, 100
READ, READ_FILES = 20_000_000, 10  # conversions
WIDTH = 128  # numbers of the vectors that are scored
TOWER_EXAMPLES, GRAPH_EXAMPLES = 200_000, 40_000  # of a pass, which has 1,000,000
Cost = dict[str, float]

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600), READS_PEAKS]


def log() -> Interactions:
    random = np.random.default_rng(0)
    chance = 1 / np.arange(1, ITEMS + 1) ** 0.8
    return Interactions.of(
        random.integers(0, VISITORS, INTERACTIONS),
        random.choice(ITEMS, INTERACTIONS, p=chance / chance.sum()),
        random.random(INTERACTIONS) * 1e7,
        np.ones(INTERACTIONS, np.float32),
        random.integers(0, 50, VISITORS).astype(np.int32),
        item_count=ITEMS,
        as_of=1e7,
    )


def items() -> ItemFeatures:
    random = np.random.default_rng(1)
    image = unit_rows(random.normal(size=(ITEMS, FEATURES)).astype(np.float32))
    rows = random.integers(0, KEYWORDS, 5 * ITEMS)
    keywords = RaggedKeywords(rows, np.ones(len(rows), np.float32), 5 * np.arange(ITEMS + 1))
    return ItemFeatures(image, None, keywords, KEYWORDS)


def measured(prepare: Callable[[], Callable[[], Any]]) -> tuple[Any, Cost]:
    """Return what the prepared job returns, and what it took."""
    job = prepare()
    warm_up()
    before, wall, cpu = forget_peak(), time.perf_counter(), time.process_time()
    result = job()
    cost = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return result, cost | {"mib": memory_mib("VmHWM") - before}


def warm_up() -> None:
    """Load what libraries load when they are first used."""
    for name in ("implicit.cpu.als", "torch_geometric.nn"):
        importlib.import_module(name)

    network = torch.nn.Linear(1, 1)
    train(network, lambda example, random: network(torch.ones(1, 1)).sum(), 1, Training(1), 0)


def compare(title: str, jobs: dict[str, Callable[[], Callable[[], Any]]], count: int) -> dict[str, tuple[Any, Cost]]:
    found = {name: alone(measured, prepare) for name, prepare in jobs.items()}
    print(f"\n{title}, {torch.get_num_threads()} threads")
    print(f"{'':<24}{'seconds':>9}{'CPU s':>9}{'per CPU s':>12}{'peak MiB':>10}")
    for name, (_, c) in found.items():
        print(f"{name:<24}{c['seconds']:>9.1f}{c['cpu']:>9.1f}{count / c['cpu']:>12,.0f}{c['mib']:>10.0f}")
    return found


PASSES = 5


def our_als() -> Callable[[], Any]:
    training, features = log(), items()
    return lambda: Als(factor_count=FACTORS, pass_count=PASSES).fit(training, features, seed=0).item_ID[:100]


def implicits_als() -> Callable[[], Any]:
    from implicit.cpu.als import AlternatingLeastSquares

    method = Als(factor_count=FACTORS, pass_count=PASSES)
    matrix = method.objective.confidences(log())
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            FACTORS, regularization=method.objective.regularization, iterations=PASSES, random_state=0
        )

    def fit() -> Any:
        with threadpool_limits(1, "blas"):
            model.fit(matrix, show_progress=False)
        return model.item_factors[:100]

    return fit


def test_als_costs_what_its_library_costs() -> None:
    title = f"ALS: {INTERACTIONS:,} interactions, {FACTORS} factors, {PASSES} passes"
    found = compare(title, {"ours": our_als, "implicit": implicits_als}, PASSES * INTERACTIONS)
    (ours, cost), (theirs, plain_cost) = found["ours"], found["implicit"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert cost["cpu"] < 1.3 * plain_cost["cpu"]


class EveryItem(two_tower.Examples):
    """Encodes every item as often as it is there."""

    def items(self, item: np.ndarray) -> torch.Tensor:
        flat = item.ravel()
        vector_ND = self.towers.items(self.feature_IF[flat], self.keywords.take(flat))
        return vector_ND.unflatten(0, item.shape)


def tower_training(kind: type[two_tower.Examples]) -> Callable[[], Any]:
    training, features = log(), items()
    method = TwoTower(training=Training(pass_count=1))

    def fit() -> float:
        with seeded(0):
            towers = two_tower.Towers.of(features, training, hidden_dim=method.hidden_dim, dim=method.dim)
            examples = kind(method, towers, training, features)
            return float(train(towers, examples.loss, TOWER_EXAMPLES, method.training, 0)[0])

    return fit


def our_towers() -> Callable[[], Any]:
    return tower_training(two_tower.Examples)


def plain_towers() -> Callable[[], Any]:
    return tower_training(EveryItem)


def test_two_towers_encode_an_item_once() -> None:
    title = f"two towers: {TOWER_EXAMPLES:,} examples of {INTERACTIONS:,} interactions, 4 negatives each"
    found = compare(title, {"ours": our_towers, "every item": plain_towers}, TOWER_EXAMPLES)
    (ours, cost), (plain, plain_cost) = found["ours"], found["every item"]
    assert ours == pytest.approx(plain, rel=1e-3)
    assert cost["cpu"] < 1.1 * plain_cost["cpu"]


def sampled_graph() -> Callable[[], Any]:
    training, features = log(), items()
    method = GraphSage(training=Training(pass_count=1))

    def fit() -> float:
        with seeded(0):
            network = graphsage.GraphNetwork.of(features, training, dim=method.dim)
            examples = graphsage.Examples(method, network, training, features)
            return float(train(network, examples.loss, GRAPH_EXAMPLES, method.training, 0)[0])

    return fit


def whole_graph() -> Callable[[], Any]:
    training, features = log(), items()
    graph = Graph.of(Neighbours.of_visitors(training), features)
    neighbours = {
        "visitor": {"photo": graph.photos_of_visitor},
        "photo": {"visitor": graph.visitors_of_photo, "keyword": graph.keywords_of_photo},
        "keyword": {"photo": graph.photos_of_keyword},
    }

    def step() -> float:
        with seeded(0):
            network = graphsage.GraphNetwork.of(features, training, dim=GraphSage().dim)
        nodes = {
            "visitor": network.countries(training.country_V),
            "photo": network.photo(torch.from_numpy(features.content())),
            "keyword": network.keyword.weight,
        }
        counts = {kind: np.arange(len(vectors)) for kind, vectors in nodes.items()}
        for depth in range(1, DEPTH + 1):
            nodes = {
                kind: network.step(
                    depth,
                    kind,
                    nodes[kind],
                    {
                        source: (nodes[source], neighbours[kind][source].all_of(counts[kind]))
                        for source in SOURCES[kind]
                    },
                )
                for kind in SOURCES
            }
        visitor, item = torch.from_numpy(training.row_visitors()[:1024]), torch.from_numpy(training.item_N[:1024])
        logit_B = (nodes["visitor"][visitor] * nodes["photo"][item]).sum(dim=1)
        loss = sampled_cross_entropy(logit_B, logit_B.new_zeros(1024, 0), torch.zeros(1024, 0, dtype=torch.bool))
        loss.backward()
        return loss.item()

    return step


def test_sampled_neighbours_need_less_memory_than_the_whole_graph() -> None:
    title = f"GraphSAGE: {GRAPH_EXAMPLES:,} examples of {INTERACTIONS:,} interactions; the whole graph: one step"
    found = compare(title, {"ours": sampled_graph, "whole graph, one step": whole_graph}, GRAPH_EXAMPLES)
    loss, cost = found["ours"]
    assert np.isfinite(loss)
    assert cost["mib"] < 0.5 * found["whole graph, one step"][1]["mib"]


class LogFiles:
    """Conversions in the files of a lake's splits."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def table_uris(self, splits: object, window: str) -> list[str]:
        return [str(path) for path in sorted(Path(self._folder).glob(f"{window}-*"))]


def write_log(folder: str) -> None:
    random = np.random.default_rng(6)
    visitor_ids, photo_ids = (
        pl.int_range(count, eager=True).cast(pl.String).str.zfill(width)
        for count, width in ((READ // 10, 32), (SCORED, 11))
    )
    for number in range(READ_FILES):
        visitor_N = random.integers(0, len(visitor_ids), READ // READ_FILES)
        rows = pl.DataFrame(
            {
                "visitor": visitor_N,
                "visitor_id": visitor_ids[visitor_N],
                "photo_id": photo_ids[random.integers(0, SCORED, len(visitor_N))],
                "country": pl.Series(["GB", "US", "JP"])[random.integers(0, 3, len(visitor_N))],
                "converted_at": pl.Series(random.integers(0, 10**15, len(visitor_N))).cast(pl.Datetime("us", "UTC")),
            }
        )
        rows.write_parquet(f"{folder}/{'test' if number == READ_FILES - 1 else 'train'}-{number}.parquet")


def by_file(folder: str, most: int) -> Callable[[], int]:
    lake, ids = LogFiles(folder), pl.int_range(SCORED, eager=True).cast(pl.String).str.zfill(11)

    def read() -> int:
        params = EvaluateRecommendersParams(max_learning_conversions=most)
        visitors, _ = choose_visitors(count_visitors(lake, None), params)
        return len(read_log(lake, None, ids, visitors)[0])

    return read


def as_one_frame(folder: str) -> Callable[[], int]:
    return lambda: len(pl.read_parquet(f"{folder}/*.parquet"))


def test_a_log_read_by_file_takes_less_than_its_names(tmp_path: Path) -> None:
    write_log(str(tmp_path))
    jobs = {
        "by file": partial(by_file, str(tmp_path), 2 * READ),
        "by file, a sample": partial(by_file, str(tmp_path), READ // 10),
        "one frame with names": partial(as_one_frame, str(tmp_path)),
    }
    found = compare(f"reading: {READ:,} conversions in {READ_FILES} files, a sample of a tenth", jobs, READ)
    assert found["by file"][0] == found["one frame with names"][0] == READ
    assert READ // 12 < found["by file, a sample"][0] < READ // 4
    mib = {name: cost["mib"] for name, (_, cost) in found.items()}
    assert mib["by file, a sample"] < mib["by file"] < mib["one frame with names"]


def fitted_towers() -> tuple[Fitted, Interactions]:
    random = np.random.default_rng(2)
    features = ItemFeatures(unit_rows(random.normal(size=(SCORED, FEATURES)).astype(np.float32)))
    method, asked = TwoTower(dim=WIDTH), likes()
    with seeded(0):
        towers = two_tower.Towers.of(features, asked, hidden_dim=method.hidden_dim, dim=WIDTH)
    return FittedTwoTower.of(method, towers, features, np.zeros(1)), asked


def fitted_neighbours() -> tuple[Fitted, Interactions]:
    asked = likes()
    return ItemKnn().fit(asked, ItemFeatures(np.zeros((SCORED, 1), np.float32)), seed=0), asked


def likes() -> Interactions:
    random = np.random.default_rng(3)
    chance = 1 / np.arange(1, SCORED + 1) ** 0.8
    return Interactions.of(
        np.repeat(np.arange(SCORED), 10),
        random.choice(SCORED, 10 * SCORED, p=chance / chance.sum()),
        np.zeros(10 * SCORED),
        np.ones(10 * SCORED, np.float32),
        np.zeros(SCORED, np.int32),
        item_count=SCORED,
        as_of=1.0,
    )


class MeasuredPool:
    """The pool of this machine, and the memory of its processes."""

    def __init__(self) -> None:
        self.mib: list[tuple[float, float]] = []

    def each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        results, self.mib = zip(*LocalPool().each(partial(with_memory, function), items), strict=True)
        return list(results)


def with_memory(function: Callable[[Any], Any], item: Any) -> tuple[Any, tuple[float, float]]:
    return function(item), (memory_mib("VmHWM"), memory_mib("RssAnon"))


def plain_products(folder: str, cut: tuple[int, int]) -> None:
    """Score a cut by the bare matrix products."""
    visitor_VD, item_ID = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("visitors", "items"))
    for visitor in range(*cut, VISITORS_PER_BLOCK):
        for item in range(0, SCORED, CELLS_PER_BLOCK // VISITORS_PER_BLOCK):
            block_VD = visitor_VD[visitor : min(visitor + VISITORS_PER_BLOCK, cut[1])]
            block_VD @ item_ID[item : item + CELLS_PER_BLOCK // VISITORS_PER_BLOCK].T


@pytest.mark.parametrize(("prepare", "most"), [(fitted_towers, 4.0), (fitted_neighbours, 12.0)])
def test_lists_in_tasks_cost_little_more_than_matrix_products(
    prepare: Callable[[], tuple[Fitted, Interactions]], most: float, tmp_path: Path
) -> None:
    fitted, asked = prepare()
    pool = MeasuredPool()
    scoring = Scoring(pool, WorkerOutput(str(tmp_path), "log", str(tmp_path / "own")), max_memory_mb=2048)
    options = {"diversity": 0.0, "pool_count": K, "excludes_seen": True}
    begun = time.perf_counter()
    item_VK, _ = scoring.lists(fitted, fitted, asked, K, vectors=lambda: np.zeros((0, 0), np.float32), **options)
    seconds = time.perf_counter() - begun
    for name in ("visitors", "items"):
        np.save(tmp_path / name, np.random.default_rng(4).normal(size=(SCORED, WIDTH)).astype(np.float32))
    begun = time.perf_counter()
    LocalPool().each(partial(plain_products, str(tmp_path)), cuts(SCORED, SCORED))
    plain_seconds = time.perf_counter() - begun
    peak, own = (max(mib) for mib in zip(*pool.mib, strict=True))
    print(
        f"\n{type(fitted).__name__}: the best {K} of {SCORED:,} photos for {SCORED:,} visitors, {len(pool.mib)} tasks "
        f"on {core_count()} cores: {seconds:.0f} s; the bare products of {WIDTH} numbers: {plain_seconds:.0f} s. "
        f"A process: at most {peak:.0f} MiB, of which {own:.0f} MiB are its own."
    )
    some = np.sort(np.random.default_rng(5).choice(SCORED, 50, replace=False))
    score_VI = fitted.scores(asked.take(some), np.arange(SCORED))
    for visitor, score_I in zip(some.tolist(), score_VI, strict=True):
        score_I[asked.item_N[asked.history(visitor)]] = -np.inf
        found_K = score_I[item_VK[visitor]]
        np.testing.assert_allclose(found_K, np.sort(score_I)[::-1][:K], rtol=1e-4, atol=1e-5)
    assert seconds < most * plain_seconds
    assert peak < 2048
