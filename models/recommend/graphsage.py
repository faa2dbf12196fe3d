"""Vectors of visitors and photos from their neighbours in the graph of visitors, photos and keywords.

GraphSAGE (Hamilton, Ying and Leskovec, 2017, https://arxiv.org/abs/1706.02216), with the layers of PyTorch Geometric.
It is inductive: a new photo is its features and keywords, a new visitor a country and a history; neither is trained.

Shape letters: B nodes or rows of a batch, M = 1 + negatives per row, E edges, X nodes of a kind, I items, V visitors,
F features of an item (image and text vector), D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import normalize

from models.recommend.graph import Edges, Graph, Neighbours, keyword_neighbours, sample_slices, without
from models.recommend.interactions import Bools, Floats, Interactions, Ints, ItemFeatures, has_vector
from models.recommend.interface import FittedVectors, Recommender, with_zero_rows
from models.recommend.training import (
    NO_CURVE,
    KnownPairs,
    LossCurve,
    Network,
    Training,
    drawn_candidates,
    gain_by,
    hold_out,
    item_inputs,
    item_layer,
    learned_items,
    sampled_cross_entropy,
    seeded,
    softmax_among,
    take_rows,
    train,
)

DEPTH = 2
SOURCES = {"visitor": ("photo",), "photo": ("visitor", "keyword"), "keyword": ("photo",)}
"""What the neighbours of each kind of node are."""
_NODES_AT_ONCE = 4096
Messages = Mapping[str, tuple[torch.Tensor, Edges]]
"""By kind of neighbour: vectors, and edges whose first end is a row of these vectors."""


@dataclass(frozen=True)
class GraphSage(Recommender):
    """Two layers with mean aggregation, trained on visitors while they are cold.

    The objective is the sum of y log s(f(u, i)) + (1 - y) log(1 - s(f(u, i))), with f a scaled cosine: y is 1 for a
    photo that the visitor liked next, 0 for sampled ones. Examples are the first `cold_count` likes of each visitor,
    the visitor being the likes before, so that what is trained is what a visitor with hardly a history needs.
    Items without features are learned rows, and their objective is a softmax over all items, or over many.
    `fanouts` are the neighbours sampled of each node, nearest first.
    """

    dim: int = 64
    fanouts: tuple[int, int] = (10, 5)
    cold_count: int = 20
    training: Training = field(default_factory=Training)

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedGraphSage:
        liked = log.liked()
        learned, held = hold_out(liked, self.training)

        def fitted(graph: Graph, curve: LossCurve = NO_CURVE) -> FittedGraphSage:
            photo_ID = network.photos(items)
            means = VisitorMeans.of(network, graph, liked.country_V, photo_ID)
            return FittedGraphSage.of(network, means, items, photo_ID, curve)

        with seeded(seed):
            network = GraphNetwork.of(items, log, dim=self.dim)
            examples = Examples(self, network, learned, items)
            gain_of = gain_by(held, lambda: fitted(examples.graph))
            curve = train(network, examples.loss, len(examples.row_E), self.training, seed, gain_of)
        return fitted(Graph.of(Neighbours.of_visitors(liked), items), curve)


class GraphNetwork(Network):
    """What nodes are by themselves, and the layers that bring in their neighbours."""

    def __init__(
        self, *, feature_count: int, keyword_count: int, country_count: int, dim: int, item_count: int = 0
    ) -> None:
        from torch_geometric.nn import SAGEConv  # slow to import

        arguments = {"feature_count": feature_count, "keyword_count": keyword_count, "country_count": country_count}
        super().__init__(**arguments, dim=dim, item_count=item_count)
        self.keyword_count = keyword_count
        self.has_features = feature_count > 0
        self.photo = item_layer(feature_count, item_count, dim)
        self.country = nn.Embedding(country_count + 1, dim, padding_idx=0)  # 0, always zero: not known
        self.keyword = nn.Embedding(max(1, keyword_count), dim)
        self.layers = nn.ModuleDict(
            {
                _layer_name(depth, source, kind): SAGEConv((dim, dim), dim)
                for depth in range(1, DEPTH + 1)
                for kind in SOURCES
                for source in SOURCES[kind]
            }
        )
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(0.0))

    @torch.inference_mode()
    def photos(self, items: ItemFeatures) -> torch.Tensor:
        """Return what photos are by themselves, [I, D]."""
        by_itself: torch.Tensor = self.photo(
            item_inputs(np.arange(items.item_count), torch.from_numpy(items.content()))
        )
        return by_itself

    def countries(self, country_B: npt.NDArray[np.int32]) -> torch.Tensor:
        """Return what visitors are by themselves, [B, D]."""
        code_B = torch.from_numpy(country_B.astype(np.int64) + 1)
        known: torch.Tensor = self.country(code_B.masked_fill(code_B >= self.country.num_embeddings, 0))
        return known

    def step(self, depth: int, kind: str, own_BD: torch.Tensor, messages: Messages) -> torch.Tensor:
        """Return the nodes after layer `depth`, from 1: the sum of what each kind of neighbour makes of them."""
        parts = [
            self.layers[_layer_name(depth, source, kind)]((source_XD, own_BD), torch.from_numpy(np.stack(edges)))
            for source, (source_XD, edges) in messages.items()
        ]
        total = torch.stack(parts).sum(dim=0)
        if depth < DEPTH:
            return torch.relu(total)
        return normalize(total, dim=1) if self.has_features else total  # a learned item is popular by its length


def _layer_name(depth: int, source: str, kind: str) -> str:
    return f"{source}_to_{kind}_{depth}"


class Examples:
    """The first likes of visitors as examples, and the loss of a batch, by neighbours sampled anew each time."""

    def __init__(self, method: GraphSage, network: GraphNetwork, liked: Interactions, items: ItemFeatures) -> None:
        self.fanouts, self.network, self.liked = method.fanouts, network, liked
        self._negative_count = method.training.negative_count
        self.graph = Graph.of(Neighbours.of_visitors(liked), items)
        self.feature_IF = torch.from_numpy(items.content())
        self._visitor_N, self._known = liked.row_visitors(), KnownPairs(liked)
        self._item_K = np.flatnonzero(learned_items(liked, items))
        self.row_E = np.flatnonzero(np.arange(len(liked.item_N)) - liked.start_V1[self._visitor_N] < method.cold_count)

    def loss(self, example_B: Ints, random: np.random.Generator) -> torch.Tensor:
        """Return the loss of a batch of examples."""
        row_B = self.row_E[example_B]
        visitor_B, item_B = self._visitor_N[row_B], self.liked.item_N[row_B]
        if not self.network.has_features:
            return self._plain_loss(row_B, random)
        negative_BN, is_negative_BN = self._known.negatives(visitor_B, self._negative_count, random)
        item_BM = np.column_stack([item_B, negative_BN])
        item_U, place = np.unique(item_BM, return_inverse=True)
        user_BD, item_UD = self._vectors(row_B, item_U, random)
        item_BMD = take_rows(item_UD, place.reshape(item_BM.shape))
        cosine_BM = torch.einsum("bd,bmd->bm", user_BD, item_BMD)
        logit_BM = self.network.log_scale.exp() * cosine_BM + self.network.bias
        return sampled_cross_entropy(logit_BM[:, 0], logit_BM[:, 1:], torch.from_numpy(is_negative_BN))

    def _plain_loss(self, row_B: Ints, random: np.random.Generator) -> torch.Tensor:
        """Return the loss of items that are learned rows: what was liked is told from all, or from many."""
        item_B = self.liked.item_N[row_B]
        candidate_C, share = drawn_candidates(self._item_K, random)
        item_U, place = np.unique(np.concatenate([item_B, candidate_C]), return_inverse=True)
        user_BD, item_UD = self._vectors(row_B, item_U, random)
        target_BD, candidate_CD = (take_rows(item_UD, one) for one in np.split(place, [len(item_B)]))
        is_target_BC = torch.from_numpy(item_B[:, None] == candidate_C)
        return softmax_among(user_BD, target_BD, candidate_CD, is_target_BC, share)

    def _vectors(self, row_B: Ints, item_U: Ints, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the visitors as of some rows and the items, [B, D] and [U, D].

        What is to be told must not be read off the graph. So a visitor is hidden from the photo that is to be told. Of
        any other photo one visitor is hidden too: else who has lost a visitor would give itself away.
        """
        visitor_B, item_B = self._visitor_N[row_B], self.liked.item_N[row_B]
        other = np.setdiff1d(item_U, item_B)
        fan_E, place_E = self.graph.visitors_of_photo.sample(other, 1, random)
        hidden = np.concatenate([self.pair(visitor_B, item_B), self.pair(fan_E, other[place_E])])
        sample = Sample(self, random, np.unique(hidden))
        user_BD = sample.visitors(self.liked.start_V1[visitor_B], row_B, self.liked.country_V[visitor_B], DEPTH)
        return user_BD, sample.photos(item_U, DEPTH)

    def pair(self, visitor: Ints, item: Ints) -> Ints:
        """Return one number for every visitor and item."""
        return visitor * self.liked.item_count + item


class Sample:
    """The nodes around one batch: each call samples neighbours, whose vectors it finds by the same calls."""

    def __init__(self, examples: Examples, random: np.random.Generator, hidden_pairs: Ints) -> None:
        self._examples, self._random, self._hidden_pairs = examples, random, hidden_pairs
        self._network, self._graph = examples.network, examples.graph

    def visitors(self, first_B: Ints, end_B: Ints, country_B: npt.NDArray[np.int32], depth: int) -> torch.Tensor:
        """Return visitors whose histories are slices of the log's rows."""
        if depth == 0:
            return self._network.countries(country_B)
        row_E, place_E = sample_slices(first_B, end_B, self._fanout(depth), self._random)
        edges = self._graph.photos_of_visitor.neighbour_N[row_E], place_E
        own_BD = self.visitors(first_B, end_B, country_B, depth - 1)
        return self._network.step(depth, "visitor", own_BD, {"photo": self._found(edges, self.photos, depth)})

    def photos(self, photo_B: Ints, depth: int) -> torch.Tensor:
        """Return photos, visitors of hidden pairs left out."""
        if depth == 0:
            raw: torch.Tensor = self._network.photo(item_inputs(photo_B, self._examples.feature_IF))
            return raw
        fans = self._graph.visitors_of_photo.sample(photo_B, self._fanout(depth), self._random)
        pair_E = self._examples.pair(fans[0], photo_B[fans[1]])
        fans = without(fans, np.isin(pair_E, self._hidden_pairs))
        carried = self._graph.keywords_of_photo.sample(photo_B, self._fanout(depth), self._random)
        messages = {
            "visitor": self._found(fans, self._whole_visitors, depth),
            "keyword": self._found(carried, self.keywords, depth),
        }
        return self._network.step(depth, "photo", self.photos(photo_B, depth - 1), messages)

    def keywords(self, keyword_B: Ints, depth: int) -> torch.Tensor:
        """Return keywords."""
        if depth == 0:
            raw: torch.Tensor = self._network.keyword(torch.from_numpy(keyword_B))
            return raw
        edges = self._graph.photos_of_keyword.sample(keyword_B, self._fanout(depth), self._random)
        own_BD = self.keywords(keyword_B, depth - 1)
        return self._network.step(depth, "keyword", own_BD, {"photo": self._found(edges, self.photos, depth)})

    def _whole_visitors(self, visitor_B: Ints, depth: int) -> torch.Tensor:
        liked = self._examples.liked
        return self.visitors(
            liked.start_V1[visitor_B], liked.start_V1[visitor_B + 1], liked.country_V[visitor_B], depth
        )

    def _fanout(self, depth: int) -> int:
        return self._examples.fanouts[DEPTH - depth]

    def _found(
        self, edges: Edges, vectors: Callable[[Ints, int], torch.Tensor], depth: int
    ) -> tuple[torch.Tensor, Edges]:
        """Return the vectors of the different neighbours one layer below, and the edges by their rows."""
        node_U, place_E = np.unique(edges[0], return_inverse=True)
        return vectors(node_U, depth - 1), (place_E, edges[1])


@dataclass(frozen=True, eq=False)
class VisitorMeans:
    """What visitors bring into the layers of the photos they liked: all that is kept of a log, and who it was is not.

    `means` [I, D], one for each layer: the mean of a photo's visitors after the layer before, zeros for a photo nobody
    liked. With two layers these stay as they are when photos are added: a visitor after one layer is a country and
    liked photos by themselves.
    """

    means: list[Floats]
    is_liked_I: Bools

    @classmethod
    @torch.inference_mode()
    def of(
        cls, network: GraphNetwork, graph: Graph, country_V: npt.NDArray[np.int32], photo_ID: torch.Tensor
    ) -> VisitorMeans:
        """Return the means over all visitors of each photo, from what photos are by themselves."""
        fans = graph.visitors_of_photo
        nodes = {"visitor": network.countries(country_V), "photo": photo_ID}
        after_one_VD = _layer(network, 1, "visitor", nodes, {"photo": graph.photos_of_visitor})
        return cls([_means(nodes["visitor"], fans), _means(after_one_VD, fans)], np.diff(fans.start_X1) > 0)

    def over(self, items: ItemFeatures, number_I: Ints) -> VisitorMeans:
        """Return the same over a grown catalogue: nobody has liked the photos that are new."""
        is_liked_I = np.zeros(items.item_count, np.bool_)
        is_liked_I[number_I] = self.is_liked_I
        return VisitorMeans([with_zero_rows(mean_ID, items, number_I) for mean_ID in self.means], is_liked_I)


def _means(node_XD: torch.Tensor, neighbours: Neighbours) -> Floats:
    """Return the mean of the neighbours of each node, zeros where there is none, block by block."""
    count = len(neighbours.start_X1) - 1
    blocks = [np.zeros((0, node_XD.shape[1]), np.float32)]
    for start in range(0, count, _NODES_AT_ONCE):
        node_B = np.arange(start, min(start + _NODES_AT_ONCE, count))
        neighbour_E, place_E = (torch.from_numpy(end_E) for end_E in neighbours.all_of(node_B))
        total_BD = torch.zeros(len(node_B), node_XD.shape[1]).index_add_(0, place_E, node_XD[neighbour_E])
        degree_B1 = torch.bincount(place_E, minlength=len(node_B)).clamp(min=1)[:, None]
        blocks.append((total_BD / degree_B1).numpy())
    return np.concatenate(blocks)


@dataclass(eq=False)
class FittedGraphSage(FittedVectors):
    """Trained layers over the graph of the training log; `loss_curve` tells how training went.

    For scoring nothing is sampled: every layer is computed for all nodes from all their neighbours. `layers` are the
    photos after each of them.
    """

    network: GraphNetwork
    visitor_means: VisitorMeans
    layers: list[Floats]
    loss_curve: LossCurve

    def __post_init__(self) -> None:
        self.item_ID = self.layers[DEPTH]

    @classmethod
    def of(
        cls,
        network: GraphNetwork,
        visitor_means: VisitorMeans,
        items: ItemFeatures,
        photo_ID: torch.Tensor,
        loss_curve: LossCurve,
    ) -> FittedGraphSage:
        """Return the layers over items."""
        layers = [layer_ID.numpy() for layer_ID in photo_layers(network, visitor_means, items, photo_ID)]
        return cls(network, visitor_means, layers, loss_curve)

    @property
    def keyword_count(self) -> int:
        """K."""
        return self.network.keyword_count

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedGraphSage:
        means = self.visitor_means.over(items, number_I)
        if self.network.has_features:
            photo_ID = self.network.photos(items)
        else:
            photo_ID = torch.from_numpy(with_zero_rows(self.layers[0], items, number_I))
        return FittedGraphSage.of(self.network, means, items, photo_ID, self.loss_curve)

    @torch.inference_mode()
    def represent(self, histories: Interactions) -> Floats:
        """Return the vectors of the visitors, float32 [V, D], who need not be in the graph."""
        liked = histories.liked()
        if not self.network.has_features:
            liked = liked.where(has_vector(self.item_ID)[liked.item_N])
        edges = liked.item_N, liked.row_visitors()
        visitor_VD = self.network.countries(liked.country_V)
        for depth in range(1, DEPTH + 1):
            messages = {"photo": (torch.from_numpy(self.layers[depth - 1]), edges)}
            visitor_VD = self.network.step(depth, "visitor", visitor_VD, messages)
        return visitor_VD.numpy()


@torch.inference_mode()
def photo_layers(
    network: GraphNetwork, visitor_means: VisitorMeans, items: ItemFeatures, photo_ID: torch.Tensor
) -> list[torch.Tensor]:
    """Return the photos after each layer, float32 [I, D] each, from none, `photo_ID`, to all.

    A photo without features, keywords and visitors ends as zero: nothing is known of it.
    """
    keywords_of_photo, photos_of_keyword = keyword_neighbours(items)
    of_visitors = Neighbours(
        np.append(0, np.cumsum(visitor_means.is_liked_I)), np.flatnonzero(visitor_means.is_liked_I)
    )
    keyword_XD = network.keyword.weight[: items.keyword_count]
    layers = [photo_ID]
    for depth in range(1, DEPTH + 1):
        nodes = {"photo": photo_ID, "keyword": keyword_XD, "visitor": torch.from_numpy(visitor_means.means[depth - 1])}
        photo_ID = _layer(network, depth, "photo", nodes, {"visitor": of_visitors, "keyword": keywords_of_photo})
        if depth < DEPTH:
            keyword_XD = _layer(network, depth, "keyword", nodes, {"photo": photos_of_keyword})
        layers.append(photo_ID)
    is_alone_I = ~visitor_means.is_liked_I & (np.diff(keywords_of_photo.start_X1) == 0)
    layers[DEPTH][torch.from_numpy(is_alone_I & ~items.content().any(axis=1))] = 0
    return layers


def _layer(
    network: GraphNetwork,
    depth: int,
    kind: str,
    nodes: Mapping[str, torch.Tensor],
    neighbours: Mapping[str, Neighbours],
) -> torch.Tensor:
    """Return all nodes of a kind after a layer, from all their neighbours, block by block."""
    blocks = []
    for start in range(0, max(1, len(nodes[kind])), _NODES_AT_ONCE):
        node_B = np.arange(start, min(start + _NODES_AT_ONCE, len(nodes[kind])))
        messages = {source: (nodes[source], neighbours[source].all_of(node_B)) for source in SOURCES[kind]}
        blocks.append(network.step(depth, kind, nodes[kind][torch.from_numpy(node_B)], messages))
    return torch.cat(blocks)
