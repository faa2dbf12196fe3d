"""Two towers that meet in a dot product: one over a visitor's history and country, one over a photo and its keywords.

Covington, Adams and Sargin, 2016, https://doi.org/10.1145/2959100.2959190 (history and country as a mean and an
embedding); Yi et al., 2019, https://doi.org/10.1145/3298689.3346996 (two towers, softmax in the batch).

Shape letters: B rows of a batch, U different items of a batch, N negatives per row, L places of a history, I items,
V visitors, F features of an item (image and text vector), H hidden width, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import embedding_bag, normalize

from models.recommend.interactions import NONE, Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import FittedVectors, Recommender
from models.recommend.training import (
    KnownPairs,
    LossCurve,
    Network,
    Training,
    in_batch_softmax,
    sampled_cross_entropy,
    seeded,
    take_rows,
    train,
)
from models.search.keywords import KeywordEncoder, RaggedKeywords

_ITEMS_AT_ONCE = 16_384


@dataclass(frozen=True)
class TwoTower(Recommender):
    """Every like is an example, with what the visitor liked before as its history, the last `length` of it.

    The loss is binary cross-entropy with sampled negatives, or a softmax over the batch's items.
    """

    dim: int = 64
    hidden_dim: int = 128
    length: int = 50
    loss: Literal["sampled", "in_batch"] = "sampled"
    training: Training = field(default_factory=Training)

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedTwoTower:
        liked = log.liked()
        with seeded(seed):
            towers = Towers.of(items, log, hidden_dim=self.hidden_dim, dim=self.dim)
            examples = Examples(self, towers, liked, items)
            curve = train(towers, examples.loss, len(liked.item_N), self.training, seed)
        return FittedTwoTower.of(self, towers, items, curve)


class Towers(Network):
    """Both towers, their vectors at unit length, and what makes a logit of their cosine."""

    def __init__(
        self, *, feature_count: int, keyword_count: int, country_count: int, hidden_dim: int, dim: int
    ) -> None:
        arguments = {"feature_count": feature_count, "keyword_count": keyword_count, "country_count": country_count}
        super().__init__(**arguments, hidden_dim=hidden_dim, dim=dim)
        self.keyword_count = keyword_count
        self.photo = nn.Linear(feature_count, hidden_dim)
        self.keywords = KeywordEncoder(max(1, keyword_count), hidden_dim)
        self.item_top = nn.Linear(hidden_dim, dim)
        self.history = nn.Linear(feature_count, hidden_dim)
        self.country = nn.Embedding(country_count + 1, hidden_dim, padding_idx=0)  # 0, always zero: not known
        self.user_top = nn.Linear(hidden_dim, dim)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(0.0))

    @torch.inference_mode()
    def vectors(self, feature_IF: Floats, keywords: RaggedKeywords) -> Floats:
        """Return the vectors of all items, block by block; zero for one of which nothing is known, float32 [I, D]."""
        blocks = np.array_split(np.arange(len(feature_IF)), -(-len(feature_IF) // _ITEMS_AT_ONCE))
        item_ID = np.concatenate(
            [self.items(torch.from_numpy(feature_IF[item_U]), keywords.take(item_U)).numpy() for item_U in blocks]
        )
        item_ID[~feature_IF.any(axis=1) & (np.diff(keywords.starts) == 0)] = 0
        return item_ID

    def items(self, feature_UF: torch.Tensor, keywords: RaggedKeywords) -> torch.Tensor:
        """Return the vectors of items, float32 [U, D]."""
        hidden_UH = torch.relu(self.photo(feature_UF) + self.keywords(keywords))
        return normalize(self.item_top(hidden_UH), dim=1)

    def users(self, mean_BF: torch.Tensor, country_B: npt.NDArray[np.int32]) -> torch.Tensor:
        """Return the vectors of visitors, float32 [B, D], from the mean of their history's features."""
        code_B = torch.from_numpy(country_B.astype(np.int64) + 1)
        code_B = code_B.masked_fill(code_B >= self.country.num_embeddings, 0)
        return normalize(self.user_top(torch.relu(self.history(mean_BF) + self.country(code_B))), dim=1)

    def logits(self, cosine: torch.Tensor) -> torch.Tensor:
        """Return the logits of cosines."""
        return self.log_scale.exp() * cosine + self.bias


def mean_features(item_BL: Ints, feature_IF: torch.Tensor) -> torch.Tensor:
    """Return the mean of the features of each row's items, float32 [B, F]; zeros without any.

    >>> mean_features(np.array([[0, 1], [1, NONE], [NONE, NONE]]), torch.tensor([[2.0], [4.0]])).tolist()
    [[3.0], [4.0], [0.0]]
    """
    is_there_BL = item_BL != NONE
    offset_B = np.cumsum(is_there_BL.sum(axis=1)) - is_there_BL.sum(axis=1)
    item = torch.from_numpy(item_BL[is_there_BL])
    return embedding_bag(item, feature_IF, torch.from_numpy(offset_B), mode="mean")


class Examples:
    """The likes as examples, and the loss of a batch of them."""

    def __init__(self, method: TwoTower, towers: Towers, liked: Interactions, items: ItemFeatures) -> None:
        self._method, self.towers, self._liked = method, towers, liked
        self._visitor_N = liked.row_visitors()
        self._known = KnownPairs(liked)
        self.feature_IF, self.keywords = torch.from_numpy(items.content()), items.keyword_rows()

    def loss(self, row_B: Ints, random: np.random.Generator) -> torch.Tensor:
        """Return the loss of a batch of interactions."""
        visitor_B, item_B = self._visitor_N[row_B], self._liked.item_N[row_B]
        history_BL = self._liked.latest(self._liked.start_V1[visitor_B], row_B, self._method.length)
        user_BD = self.towers.users(mean_features(history_BL, self.feature_IF), self._liked.country_V[visitor_B])
        if self._method.loss == "in_batch":
            logits_BB = self.towers.logits(user_BD @ self.items(item_B).T)
            is_known_BB = self._known.has(visitor_B[:, None], item_B)
            return in_batch_softmax(logits_BB, torch.from_numpy(is_known_BB))
        negative_BN, is_negative_BN = self._known.negatives(visitor_B, self._method.training.negative_count, random)
        item_BMD = self.items(np.column_stack([item_B, negative_BN]))
        logit_BM = self.towers.logits(torch.einsum("bd,bmd->bm", user_BD, item_BMD))
        return sampled_cross_entropy(logit_BM[:, 0], logit_BM[:, 1:], torch.from_numpy(is_negative_BN))

    def items(self, item: Ints) -> torch.Tensor:
        """Return the vectors of items of any shape, each different one encoded once."""
        item_U, place = np.unique(item, return_inverse=True)
        item_UD = self.towers.items(self.feature_IF[item_U], self.keywords.take(item_U))
        return take_rows(item_UD, place.reshape(item.shape))


@dataclass(eq=False)
class FittedTwoTower(FittedVectors):
    """Trained towers over the items of a catalogue; `loss_curve` tells how training went."""

    covers_new_items = True
    covers_empty_histories = True

    method: TwoTower
    towers: Towers
    feature_IF: Floats
    item_ID: Floats
    loss_curve: LossCurve

    @classmethod
    def of(cls, method: TwoTower, towers: Towers, items: ItemFeatures, loss_curve: LossCurve) -> FittedTwoTower:
        """Return the towers over items."""
        feature_IF = items.content()
        return cls(method, towers, feature_IF, towers.vectors(feature_IF, items.keyword_rows()), loss_curve)

    @property
    def keyword_count(self) -> int:
        """K."""
        return self.towers.keyword_count

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedTwoTower:
        return FittedTwoTower.of(self.method, self.towers, items, self.loss_curve)

    @torch.inference_mode()
    def represent(self, histories: Interactions) -> Floats:
        """Return the vectors of the visitors, float32 [V, 1, D]."""
        item_VL = histories.liked().last(self.method.length)
        mean_VF = mean_features(item_VL, torch.from_numpy(self.feature_IF))
        return self.towers.users(mean_VF, histories.country_V).numpy()[:, None]
