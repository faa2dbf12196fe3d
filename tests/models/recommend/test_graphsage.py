"""Neighbours are those of the graph, a layer is a mean written out, and nothing that is to be told can be read off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from models.recommend import graphsage
from models.recommend.graph import Graph, Neighbours, sample_slices
from models.recommend.graphsage import DEPTH, Examples, GraphNetwork, GraphSage, Sample, VisitorMeans, photo_layers
from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.saving import ARRAYS, save
from models.recommend.training import Training, seeded
from tests.models.recommend.tastes import ITEMS, Tastes

EVERYBODY = (1000, 1000)
"""Fanouts beyond every degree: nothing is left out."""


def made(log: Interactions, items: ItemFeatures) -> tuple[GraphNetwork, Examples]:
    with seeded(0):
        network = GraphNetwork.of(items, log, dim=8)
    return network, Examples(GraphSage(dim=8, fanouts=EVERYBODY), network, log.liked(), items)


def nothing_hidden(examples: Examples) -> Sample:
    return Sample(examples, np.random.default_rng(0), np.zeros(0, np.int64))


def layers_of(network: GraphNetwork, liked: Interactions, items: ItemFeatures) -> list[torch.Tensor]:
    graph = Graph.of(Neighbours.of_visitors(liked), items)
    photo_ID = network.photos(items)
    return photo_layers(network, VisitorMeans.of(network, graph, liked.country_V, photo_ID), items, photo_ID)


def test_the_graph_is_the_log_and_the_keywords_from_both_ends(tastes: Tastes) -> None:
    liked = tastes.log.liked()
    graph = Graph.of(Neighbours.of_visitors(liked), tastes.grown)
    pairs = {(int(v), int(i)) for v, i in zip(liked.row_visitors(), liked.item_N, strict=True)}
    photos, place = graph.photos_of_visitor.all_of(np.array([3, 0]))
    assert sorted(zip(place.tolist(), photos.tolist(), strict=True)) == sorted(
        (at, item) for at, visitor in enumerate([3, 0]) for v, item in pairs if v == visitor
    )
    visitors, place = graph.visitors_of_photo.all_of(np.array([7, ITEMS]))
    assert sorted(visitors[place == 0].tolist()) == sorted(v for v, item in pairs if item == 7)
    assert len(visitors[place == 1]) == 0
    photos, place = graph.photos_of_keyword.all_of(np.array([1]))
    assert photos.tolist() == list(range(1, ITEMS + 4, 2))


def test_a_slice_is_taken_whole_or_sampled_evenly() -> None:
    first, end = np.array([0, 10, 13, 13]), np.array([10, 13, 13, 14])
    counts = np.zeros(14)
    for seed in range(2000):
        row_E, place_E = sample_slices(first, end, 4, np.random.default_rng(seed))
        assert place_E.tolist() == [0] * 4 + [1] * 3 + [3]
        assert row_E[4:].tolist() == [10, 11, 12, 13]
        counts += np.bincount(row_E, minlength=14)
    assert abs(counts[:10] / 2000 - 0.4).max() < 0.05  # 4 of 10


def test_a_layer_is_the_mean_of_the_neighbours_written_out(tastes: Tastes) -> None:
    network, _ = made(tastes.log, tastes.items)
    random = np.random.default_rng(0)
    own_BD, visitor_XD, keyword_XD = (random.normal(size=(n, 8)).astype(np.float32) for n in (3, 5, 2))
    visitor_edges = np.array([0, 4, 4, 2]), np.array([0, 0, 0, 2])
    keyword_edges = np.array([1]), np.array([1])
    expected_BD = np.zeros((3, 8))
    for source, vector_XD, (neighbour, place) in (
        ("visitor", visitor_XD, visitor_edges),
        ("keyword", keyword_XD, keyword_edges),
    ):
        layer = network.layers[f"{source}_to_photo_1"]
        weight, bias, own_weight = (
            parameter.detach().numpy() for parameter in (layer.lin_l.weight, layer.lin_l.bias, layer.lin_r.weight)
        )
        for node in range(3):
            found = vector_XD[neighbour[place == node]]
            mean = found.mean(axis=0) if len(found) else np.zeros(8)
            expected_BD[node] += weight @ mean + bias + own_weight @ own_BD[node]
    messages = {
        "visitor": (torch.from_numpy(visitor_XD), visitor_edges),
        "keyword": (torch.from_numpy(keyword_XD), keyword_edges),
    }
    found_BD = network.step(1, "photo", torch.from_numpy(own_BD), messages).detach().numpy()
    np.testing.assert_allclose(found_BD, np.maximum(expected_BD, 0), atol=1e-5)


def test_a_sample_of_all_neighbours_equals_the_whole_graph_in_layers(tastes: Tastes) -> None:
    network, examples = made(tastes.log, tastes.items)
    liked = tastes.log.liked()
    whole = layers_of(network, liked, tastes.items)
    for depth in range(DEPTH + 1):
        sampled = nothing_hidden(examples).photos(np.arange(ITEMS), depth)
        np.testing.assert_allclose(sampled.detach().numpy(), whole[depth].numpy(), atol=1e-5)


def test_a_pair_that_is_to_be_told_is_as_if_it_had_not_been(tastes: Tastes) -> None:
    network, examples = made(tastes.log, tastes.items)
    liked = tastes.log.liked()
    visitor, item = int(liked.row_visitors()[0]), int(liked.item_N[0])
    is_pair_N = (liked.row_visitors() == visitor) & (liked.item_N == item)
    before = liked.where(~is_pair_N)
    expected = layers_of(network, before, tastes.items)[DEPTH][item]
    hidden = Sample(examples, np.random.default_rng(0), np.array([visitor * ITEMS + item]))
    found = hidden.photos(np.array([item]), DEPTH)[0]
    np.testing.assert_allclose(found.detach().numpy(), expected.numpy(), atol=1e-5)
    shown = nothing_hidden(examples).photos(np.array([item]), DEPTH)[0]
    assert not np.allclose(shown.detach().numpy(), expected.numpy(), atol=1e-4)


def test_a_loss_hides_what_it_asks_for_and_takes_each_visitor_as_of_then(
    tastes: Tastes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, examples = made(tastes.log, tastes.items)
    asked: list[tuple[list[int], list[int], list[int]]] = []

    class Watched(Sample):
        def visitors(self, first_B, end_B, country_B, depth):
            if not asked:  # the first call is for the visitors of the batch, all others are within it
                asked.append((first_B.tolist(), end_B.tolist(), self._hidden_pairs.tolist()))
            return super().visitors(first_B, end_B, country_B, depth)

    monkeypatch.setattr(graphsage, "Sample", Watched)
    liked, row_B = tastes.log.liked(), np.array([2, 9, 30])
    assert np.isfinite(examples.loss(row_B, np.random.default_rng(0)).item())
    visitor_B = liked.row_visitors()[row_B]
    [(first_B, end_B, hidden)] = asked
    assert (first_B, end_B) == (liked.start_V1[visitor_B].tolist(), row_B.tolist())
    told = set((visitor_B * ITEMS + liked.item_N[row_B]).tolist())
    others = [pair % ITEMS for pair in set(hidden) - told]
    assert told <= set(hidden)
    # one visitor of each other photo of the batch, so that who has lost one tells nothing
    assert len(set(others)) == len(others) > 0
    assert not set(others) & set(liked.item_N[row_B].tolist())
    assert set(hidden) <= set((liked.row_visitors() * ITEMS + liked.item_N).tolist())


def test_a_visitor_as_of_then_is_one_who_did_nothing_since(tastes: Tastes) -> None:
    liked, row = tastes.log.liked(), 3
    visitor = liked.row_visitors()[row]
    cut = liked.where((liked.row_visitors() != visitor) | (np.arange(len(liked.item_N)) < row))
    slices = liked.start_V1[[visitor]], np.array([row]), liked.country_V[[visitor]]
    found, expected = (nothing_hidden(made(log, tastes.items)[1]).visitors(*slices, DEPTH) for log in (liked, cut))
    torch.testing.assert_close(found, expected)


def test_photos_added_later_are_as_if_they_had_been_there(tastes: Tastes) -> None:
    model = GraphSage(dim=8, training=Training(1, 64)).fit(tastes.log, tastes.items, seed=0)
    expected = layers_of(model.network, tastes.log.liked(), tastes.grown)
    found = model.with_items(tastes.grown, np.arange(ITEMS)).layers
    for depth in range(DEPTH + 1):
        np.testing.assert_allclose(found[depth], expected[depth].numpy(), atol=1e-6)


def test_nothing_that_is_kept_has_a_row_for_a_visitor_or_a_like(tastes: Tastes, tmp_path: Path) -> None:
    liked = tastes.log.liked()
    save(GraphSage(dim=8, training=Training(1, 64)).fit(tastes.log, tastes.items, seed=0), tmp_path)
    lengths = {name: array.shape[0] for name, array in load_file(tmp_path / ARRAYS).items() if array.ndim}
    assert not {liked.visitor_count, liked.visitor_count + 1, len(liked.item_N)} & set(lengths.values()), lengths
    assert ITEMS in lengths.values()


def test_only_the_first_likes_of_a_visitor_are_examples(tastes: Tastes) -> None:
    liked = tastes.log.liked()
    network, _ = made(tastes.log, tastes.items)
    rows = Examples(GraphSage(cold_count=2), network, liked, tastes.items).row_E
    assert rows.tolist() == [
        row for visitor in range(liked.visitor_count) for row in range(*liked.history(visitor).indices(1000))[:2]
    ]


def test_a_photo_of_which_nothing_is_known_is_not_scored(tastes: Tastes) -> None:
    model = GraphSage(dim=8, training=Training(1, 64)).fit(tastes.log, tastes.items, seed=0)
    image_ID = np.vstack([tastes.items.image_ID, np.zeros((1, 6), np.float32)])
    text_IE = np.vstack([tastes.items.text_IE, np.zeros((1, 6), np.float32)])
    keywords = replace(tastes.items.keywords, starts=np.append(tastes.items.keywords.starts, 2 * ITEMS))
    grown = model.with_items(ItemFeatures(image_ID, text_IE, keywords, 3), np.arange(ITEMS))
    assert (grown.scores(tastes.probes, np.array([ITEMS])) == -np.inf).all()
