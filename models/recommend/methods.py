"""Every method of recommendation by its name. Only names: what a method is stands in its own module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from models.recommend.als import Als
from models.recommend.content import Content
from models.recommend.ease import Ease
from models.recommend.graphsage import GraphSage
from models.recommend.interface import Recommender
from models.recommend.item_knn import ItemKnn
from models.recommend.mean_embedding import MeanEmbedding
from models.recommend.popularity import Popularity
from models.recommend.random_order import RandomOrder
from models.recommend.sasrec import SasRec
from models.recommend.session_embedding import SessionEmbedding
from models.recommend.two_tower import TwoTower

METHODS: Mapping[str, Callable[..., Recommender]] = {
    "random": RandomOrder,
    "popularity": Popularity,
    "item_knn": ItemKnn,
    "mean_embedding": MeanEmbedding,
    "session_embedding": SessionEmbedding,
    "content": Content,
    "als": Als,
    "ease": Ease,
    "sasrec": SasRec,
    "two_tower": TwoTower,
    "graphsage": GraphSage,
}
"""What each is called with: the parameters of its class, all of which have defaults."""
