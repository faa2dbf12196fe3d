"""Two towers that meet in a dot product: one over a visitor's history and country, one over a photo and its keywords.

Covington, Adams and Sargin, 2016, https://doi.org/10.1145/2959100.2959190 (history and country as a mean and an
embedding); Yi et al., 2019, https://doi.org/10.1145/3298689.3346996 (two towers).

Shape letters: B rows of a batch, U different items of a batch, N negatives per row, L places of a history, I items,
V visitors, F features of an item (image and text vector), H hidden width, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import embedding_bag, normalize

from models.recommend.interactions import NONE, Floats, Interactions, Ints, ItemFeatures, has_vector
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
from models.search.keywords import KeywordEncoder, RaggedKeywords

_ITEMS_AT_ONCE = 16_384


@dataclass(frozen=True)
class TwoTower(Recommender):
    """Every like is an example, with what the visitor liked before as its history, the last `length` of it.

    The loss is binary cross-entropy with sampled negatives. Items without features are learned rows, and theirs is a
    softmax over all items, or over many.
    """

    dim: int = 64
    hidden_dim: int = 128
    length: int = 50
    training: Training = field(default_factory=Training)

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedTwoTower:
        liked = log.liked()
        is_learned_I = learned_items(liked, items)
        learned, held = hold_out(liked, self.training)

        def fitted(curve: LossCurve = NO_CURVE) -> FittedTwoTower:
            if items.content_dim:
                return FittedTwoTower.of(self, towers, items, curve)
            item_ID = towers.vectors(items.content(), items.keyword_rows())
            rows_IH = towers.rows.numpy(force=True)
            return FittedTwoTower(self, towers, rows_IH * is_learned_I[:, None], item_ID * is_learned_I[:, None], curve)

        with seeded(seed):
            towers = Towers.of(items, log, hidden_dim=self.hidden_dim, dim=self.dim)
            examples = Examples(self, towers, learned, items)
            gain_of = gain_by(held, fitted)
            return fitted(train(towers, examples.loss, len(learned.item_N), self.training, seed, gain_of))


class Towers(Network):
    """Both towers, their vectors at unit length, and what makes a logit of their cosine."""

    def __init__(
        self,
        *,
        feature_count: int,
        keyword_count: int,
        country_count: int,
        hidden_dim: int,
        dim: int,
        item_count: int = 0,
    ) -> None:
        arguments = {"feature_count": feature_count, "keyword_count": keyword_count, "country_count": country_count}
        super().__init__(**arguments, hidden_dim=hidden_dim, dim=dim, item_count=item_count)
        self.keyword_count = keyword_count
        self.has_features = feature_count > 0
        self.photo = item_layer(feature_count, item_count, hidden_dim)
        self.keywords = KeywordEncoder(max(1, keyword_count), hidden_dim)
        self.item_top = nn.Linear(hidden_dim, dim)
        self.history = item_layer(feature_count, item_count, hidden_dim)
        self.country = nn.Embedding(country_count + 1, hidden_dim, padding_idx=0)  # 0, always zero: not known
        self.user_top = nn.Linear(hidden_dim, dim)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(0.0))

    @torch.inference_mode()
    def vectors(self, feature_IF: Floats, keywords: RaggedKeywords) -> Floats:
        """Return the vectors of all items, block by block; zero for one of which nothing is known, float32 [I, D]."""
        blocks = np.array_split(np.arange(len(feature_IF)), -(-len(feature_IF) // _ITEMS_AT_ONCE))
        item_ID = np.concatenate(
            [
                self.items(item_inputs(item_U, torch.from_numpy(feature_IF)), keywords.take(item_U)).numpy()
                for item_U in blocks
            ]
        )
        if self.has_features:
            item_ID[~feature_IF.any(axis=1) & (np.diff(keywords.starts) == 0)] = 0
        return item_ID

    def items(self, input_U: torch.Tensor, keywords: RaggedKeywords) -> torch.Tensor:
        """Return the vectors of items, float32 [U, D], from their `item_inputs`."""
        return self._ended(self.item_top(torch.relu(self.photo(input_U) + self.keywords(keywords))))

    def users(self, mean_BF: torch.Tensor, country_B: npt.NDArray[np.int32]) -> torch.Tensor:
        """Return the vectors of visitors, float32 [B, D], from the mean of their history's features, or of its rows."""
        code_B = torch.from_numpy(country_B.astype(np.int64) + 1)
        code_B = code_B.masked_fill(code_B >= self.country.num_embeddings, 0)
        history_BH = self.history(mean_BF) if self.has_features else mean_BF
        return self._ended(self.user_top(torch.relu(history_BH + self.country(code_B))))

    @property
    def rows(self) -> torch.Tensor:
        """What items without features bring into a history, [I, H]."""
        assert isinstance(self.history, nn.Embedding)
        return self.history.weight

    def _ended(self, top_BD: torch.Tensor) -> torch.Tensor:
        """Return vectors as they are compared: a learned item is popular by its length, one of features is not."""
        return normalize(top_BD, dim=1) if self.has_features else top_BD

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
        self._item_K = np.flatnonzero(learned_items(liked, items))

    def loss(self, row_B: Ints, random: np.random.Generator) -> torch.Tensor:
        """Return the loss of a batch of interactions."""
        visitor_B, item_B = self._visitor_N[row_B], self._liked.item_N[row_B]
        history_BL = self._liked.latest(self._liked.start_V1[visitor_B], row_B, self._method.length)
        row_IF = self.feature_IF if self.towers.has_features else self.towers.rows
        user_BD = self.towers.users(mean_features(history_BL, row_IF), self._liked.country_V[visitor_B])
        if not self.towers.has_features:
            candidate_C, share = drawn_candidates(self._item_K, random)
            is_target_BC = torch.from_numpy(item_B[:, None] == candidate_C)
            return softmax_among(user_BD, self.items(item_B), self.items(candidate_C), is_target_BC, share)
        negative_BN, is_negative_BN = self._known.negatives(visitor_B, self._method.training.negative_count, random)
        item_BMD = self.items(np.column_stack([item_B, negative_BN]))
        logit_BM = self.towers.logits(torch.einsum("bd,bmd->bm", user_BD, item_BMD))
        return sampled_cross_entropy(logit_BM[:, 0], logit_BM[:, 1:], torch.from_numpy(is_negative_BN))

    def items(self, item: Ints) -> torch.Tensor:
        """Return the vectors of items of any shape, each different one encoded once."""
        item_U, place = np.unique(item, return_inverse=True)
        item_UD = self.towers.items(item_inputs(item_U, self.feature_IF), self.keywords.take(item_U))
        return take_rows(item_UD, place.reshape(item.shape))


@dataclass(eq=False)
class FittedTwoTower(FittedVectors):
    """Trained towers over the items of a catalogue; `loss_curve` tells how training went."""

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
        if self.towers.has_features:
            return FittedTwoTower.of(self.method, self.towers, items, self.loss_curve)
        row_IF, item_ID = (with_zero_rows(one, items, number_I) for one in (self.feature_IF, self.item_ID))
        return replace(self, feature_IF=row_IF, item_ID=item_ID)

    @torch.inference_mode()
    def represent(self, histories: Interactions) -> Floats:
        """Return the vectors of the visitors, float32 [V, D]."""
        liked = histories.liked()
        if not self.towers.has_features:
            liked = liked.where(has_vector(self.item_ID)[liked.item_N])
        item_VL = liked.last(self.method.length)
        mean_VF = mean_features(item_VL, torch.from_numpy(self.feature_IF))
        return self.towers.users(mean_VF, histories.country_V).numpy()
