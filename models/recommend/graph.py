"""The graph of visitors, photos and keywords, and samples of its neighbours. Only indices: no features, no network.

Shape letters: N edges, X nodes of a kind, B nodes that are looked at, E edges that are found.

Sampled here and not by PyTorch Geometric's loaders, which need extensions that have to be compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.ragged import ragged_rows
from models.recommend.interactions import Bools, Interactions, Ints, ItemFeatures

Edges = tuple[Ints, Ints]
"""The neighbours, [E], and the place of the node that each is a neighbour of, [E]."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The neighbours of every node of a kind: node x has neighbour_N[start_X1[x]:start_X1[x + 1]]."""

    start_X1: Ints
    neighbour_N: Ints

    @classmethod
    def of_visitors(cls, liked: Interactions) -> Neighbours:
        """Return the photos of every visitor."""
        return cls(liked.start_V1, liked.item_N)

    @classmethod
    def turned(cls, start_X1: Ints, neighbour_N: Ints, count: int) -> Neighbours:
        """Return the edges seen from their other end, of which there are `count` nodes."""
        node_N = np.repeat(np.arange(len(start_X1) - 1), np.diff(start_X1))
        order = np.argsort(neighbour_N, kind="stable")
        turned_X1 = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(neighbour_N, minlength=count), out=turned_X1[1:])
        return cls(turned_X1, node_N[order])

    def all_of(self, node_B: Ints) -> Edges:
        """Return all neighbours of some nodes."""
        row_E, start_B1 = ragged_rows(self.start_X1[node_B], self.start_X1[node_B + 1])
        return self.neighbour_N[row_E], np.repeat(np.arange(len(node_B)), np.diff(start_B1))

    def sample(self, node_B: Ints, fanout: int, random: np.random.Generator) -> Edges:
        """Return at most `fanout` neighbours of each node, see `sample_slices`."""
        row_E, place_E = sample_slices(self.start_X1[node_B], self.start_X1[node_B + 1], fanout, random)
        return self.neighbour_N[row_E], place_E


@dataclass(frozen=True, eq=False)
class Graph:
    """Who liked which photo, and which photo carries which keyword, seen from each end."""

    photos_of_visitor: Neighbours
    visitors_of_photo: Neighbours
    keywords_of_photo: Neighbours
    photos_of_keyword: Neighbours

    @classmethod
    def of(cls, photos_of_visitor: Neighbours, items: ItemFeatures) -> Graph:
        """Return the graph; items that no visitor has are photos that nobody liked."""
        return cls(
            photos_of_visitor,
            Neighbours.turned(photos_of_visitor.start_X1, photos_of_visitor.neighbour_N, items.item_count),
            *keyword_neighbours(items),
        )


def keyword_neighbours(items: ItemFeatures) -> tuple[Neighbours, Neighbours]:
    """Return the keywords of every photo and the photos of every keyword."""
    keywords = items.keyword_rows()
    return Neighbours(keywords.starts, keywords.rows), Neighbours.turned(
        keywords.starts, keywords.rows, items.keyword_count
    )


def sample_slices(first_B: Ints, end_B: Ints, fanout: int, random: np.random.Generator) -> Edges:
    """Return at most `fanout` rows of each slice first_B:end_B, and the slice's place for each.

    A slice of at most `fanout` rows is taken whole. A longer one is cut into `fanout` equal stretches and one row is
    drawn from each, so that every row is as likely as any other, and old and new ones are both there.
    """
    count_B = end_B - first_B
    taken_B = np.minimum(count_B, fanout)
    place_E = np.repeat(np.arange(len(first_B)), taken_B)
    number_E = np.arange(len(place_E)) - np.repeat(np.cumsum(taken_B) - taken_B, taken_B)
    count_E = count_B[place_E]
    drawn_E = ((number_E + random.random(len(place_E))) * (count_E / fanout)).astype(np.int64)
    offset_E = np.where(count_E > fanout, np.minimum(drawn_E, count_E - 1), number_E)
    return first_B[place_E] + offset_E, place_E


def without(edges: Edges, is_dropped_E: Bools) -> Edges:
    """Return the edges that are not dropped."""
    return edges[0][~is_dropped_E], edges[1][~is_dropped_E]
