"""Recommenders at 1M interactions: training time and memory of ALS, two towers and GraphSAGE; scoring in blocks.

The log is of 100,000 visitors and 50,000 photos, popularity as in Zipf's law, features of 128 dimensions. Each job runs
in a process of its own, and its peak is the most that was resident while it ran (VmHWM) above what was before. What
each is compared with, in the same run:

ALS: the library called by itself on the same matrix. Two towers: the same loss with every item of the batch encoded
as often as it is there, instead of once. GraphSAGE: one step over the whole graph, forward and backward, as without
sampling; it sees all nodes at once, so its memory is what is compared. Scoring: the same products in the same blocks
and nothing done with them.

Run with `pytest -m benchmark tests/benchmarks/test_recommend_benchmark.py -s`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from models.ragged import unit_rows
from models.recommend import graphsage, two_tower
from models.recommend.als import Als
from models.recommend.graph import Graph, Neighbours
from models.recommend.graphsage import DEPTH, SOURCES, GraphSage
from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.interface import FittedVectors
from models.recommend.topk import CELLS_PER_BLOCK, top_k
from models.recommend.training import Training, sampled_cross_entropy, seeded, train
from models.recommend.two_tower import TwoTower
from models.search.keywords import RaggedKeywords
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib

INTERACTIONS, VISITORS, ITEMS = 1_000_000, 100_000, 50_000
SCORED = 100_000  # visitors, and as many photos
FEATURES, KEYWORDS, FACTORS, K = 128, 2000, 64, 100
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
            towers = two_tower.Towers.of(features, training, method.hidden_dim, method.dim)
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
            network = graphsage.GraphNetwork.of(features, training, method.dim)
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
            network = graphsage.GraphNetwork.of(features, training, GraphSage().dim)
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


class Given(FittedVectors):
    """Visitors and items whose vectors are there already."""

    covers_new_items = False
    covers_empty_histories = True

    def __init__(self, visitor_VD: np.ndarray, item_ID: np.ndarray) -> None:
        self._visitor_VD, self.item_ID = visitor_VD, item_ID

    def _over(self, items: ItemFeatures, number_I: np.ndarray) -> Given:
        raise NotImplementedError  # what is measured here never grows

    def represent(self, histories: Interactions) -> np.ndarray:
        return self._visitor_VD[histories.visitor_V][:, None]


def vectors() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    visitor_VD, item_ID = (random.normal(size=(SCORED, FACTORS)).astype(np.float32) for _ in range(2))
    return visitor_VD, item_ID


def our_scoring() -> Callable[[], Any]:
    visitor_VD, item_ID = vectors()
    random = np.random.default_rng(3)
    seen = Interactions.of(
        np.repeat(np.arange(SCORED), 10),
        random.integers(0, SCORED, 10 * SCORED),
        np.zeros(10 * SCORED),
        np.ones(10 * SCORED, np.float32),
        np.zeros(SCORED, np.int32),
        item_count=SCORED,
        as_of=1.0,
    )

    def score() -> Any:
        best = top_k(Given(visitor_VD, item_ID), seen, K)
        return best.item_VK[:50], seen.item_N[: seen.start_V1[50]], best.score_VK[:50]

    return score


def plain_products() -> Callable[[], Any]:
    visitor_VD, item_ID = vectors()
    height, width = 1024, CELLS_PER_BLOCK // 1024

    def score() -> Any:
        for visitor in range(0, SCORED, height):
            for item in range(0, SCORED, width):
                visitor_VD[visitor : visitor + height] @ item_ID[item : item + width].T
        return visitor_VD[:50] @ item_ID.T

    return score


def test_the_best_of_all_cost_little_more_than_their_products() -> None:
    title = f"scoring: {SCORED:,} visitors x {SCORED:,} photos, {FACTORS} factors, the best {K} of each; scores"
    found = compare(title, {"ours": our_scoring, "plain products": plain_products}, SCORED**2)
    (found_items, seen, found_scores), cost = found["ours"]
    score_VI, plain_cost = found["plain products"]
    for visitor, score_I in enumerate(score_VI):
        score_I[seen[10 * visitor : 10 * visitor + 10]] = -np.inf
        np.testing.assert_allclose(found_scores[visitor], np.sort(score_I)[::-1][:K], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(score_I[found_items[visitor]], found_scores[visitor], rtol=1e-4, atol=1e-4)
    assert cost["cpu"] < 3 * plain_cost["cpu"]
    kept_mib = SCORED * K * 36 / 2**20  # keys, items and scores of the result, and their copies
    assert cost["mib"] < kept_mib + 400
