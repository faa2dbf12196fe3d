"""Self-attention over a visitor's items in their order: what comes next.

SASRec (Kang and McAuley, 2018, https://arxiv.org/abs/1808.09781), with one change: an item enters as a learned
projection of its image and text vector, not as a row of a table, so that photos of tonight are scored as all others.

Shape letters: B visitors of a batch, L places, P places that are filled, N negatives per place, M = 1 + N, I items,
U different items of a batch, V visitors, F features of an item (image and text vector), D dimensions, A heads of
attention; in a batch's loss A also all items of the batch, as often as they are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from models.recommend.interactions import NONE, Floats, Interactions, Ints, ItemFeatures, has_vector
from models.recommend.interface import FittedVectors, Recommender
from models.recommend.training import (
    KnownPairs,
    LossCurve,
    Network,
    Training,
    sampled_cross_entropy,
    seeded,
    take_rows,
    train,
)


@dataclass(frozen=True)
class SasRec(Recommender):
    """Every visitor with two likes or more is an example: of the last `length` + 1, each but the first is predicted.

    The loss is binary cross-entropy with sampled negatives, as in the paper.
    """

    dim: int = 64
    block_count: int = 2
    head_count: int = 2
    length: int = 50
    dropout: float = 0.2
    training: Training = field(default_factory=lambda: Training(pass_count=20, batch_size=128, negative_count=1))

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedSasRec:
        feature_IF = items.content()
        liked = log.where((log.weight_N > 0) & has_vector(feature_IF)[log.item_N])
        with seeded(seed):
            network = SasRecNetwork(self, feature_IF.shape[1])
            examples = _Examples(self, network, liked, feature_IF)
            curve = train(network, examples.loss, len(examples.visitor_E), self.training, seed)
        return FittedSasRec(self, network, network.vectors(items), curve)


class SasRecNetwork(Network):
    """Projection of items, places, and blocks of attention."""

    def __init__(self, method: SasRec, feature_count: int) -> None:
        super().__init__(method=method, feature_count=feature_count)
        self.item = nn.Linear(feature_count, method.dim, bias=False)
        self.place = nn.Embedding(method.length, method.dim)
        self.dropout = nn.Dropout(method.dropout)
        self.blocks = nn.Sequential(
            *(Block(method.dim, method.head_count, method.dropout) for _ in range(method.block_count))
        )
        self.norm = nn.LayerNorm(method.dim)

    @torch.inference_mode()
    def vectors(self, items: ItemFeatures) -> Floats:
        """Return the vectors of items, float32 [I, D]."""
        item_ID: Floats = self.item(torch.from_numpy(items.content())).numpy()
        return item_ID

    def forward(self, item_BLD: torch.Tensor) -> torch.Tensor:
        """Return what is expected after each place, [B, L, D], from the vectors of the items up to it."""
        # scaled as in the paper, so that places do not drown the items
        placed_BLD = item_BLD * item_BLD.shape[2] ** 0.5 + self.place.weight[: item_BLD.shape[1]]
        expected: torch.Tensor = self.norm(self.blocks(self.dropout(placed_BLD)))
        return expected


class Block(nn.Module):
    """Attention to earlier places, then a layer for each place by itself, both added to what comes in."""

    def __init__(self, dim: int, head_count: int, dropout: float) -> None:
        super().__init__()
        self.head_count = head_count
        self.attention_norm, self.layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.layer = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_BLD: torch.Tensor) -> torch.Tensor:
        """Return the same shape; what is filled up lies behind all items, where no item looks."""
        heads = self.query_key_value(self.attention_norm(input_BLD)).unflatten(2, (3, self.head_count, -1))
        query_BALD, key_BALD, value_BALD = heads.permute(2, 0, 3, 1, 4)
        seen_BALD = scaled_dot_product_attention(query_BALD, key_BALD, value_BALD, is_causal=True)
        hidden_BLD = input_BLD + self.dropout(self.output(seen_BALD.transpose(1, 2).flatten(2)))
        added: torch.Tensor = hidden_BLD + self.dropout(self.layer(self.layer_norm(hidden_BLD)))
        return added


class _Examples:
    """The visitors as examples, and the loss of a batch of them."""

    def __init__(self, method: SasRec, network: SasRecNetwork, liked: Interactions, feature_IF: Floats) -> None:
        self._method, self._network, self._liked = method, network, liked
        self._feature_IF = torch.from_numpy(feature_IF)
        self._known = KnownPairs(liked)
        self.visitor_E = np.flatnonzero(np.diff(liked.start_V1) > 1)

    def loss(self, example_B: Ints, random: np.random.Generator) -> torch.Tensor:
        visitor_B = self.visitor_E[example_B]
        first_B, end_B = self._liked.start_V1[visitor_B], self._liked.start_V1[visitor_B + 1]
        item_BL1 = self._liked.latest(first_B, end_B, self._method.length + 1)
        item_BL1 = item_BL1[:, : (end_B - first_B).max()]  # no place that nobody fills
        is_there_BL = item_BL1[:, 1:] != NONE
        row_P = np.nonzero(is_there_BL)[0]
        negative_PN, is_negative_PN = self._known.negatives(
            visitor_B[row_P], self._method.training.negative_count, random
        )
        target_PM = np.column_stack([item_BL1[:, 1:][is_there_BL], negative_PN])
        seen_BL = item_BL1[:, :-1].clip(min=0)
        item_U, place = np.unique(np.concatenate([seen_BL.ravel(), target_PM.ravel()]), return_inverse=True)
        vector_AD = take_rows(self._network.item(self._feature_IF[item_U]), place)
        item_BLD = vector_AD[: seen_BL.size].unflatten(0, seen_BL.shape)
        target_PMD = vector_AD[seen_BL.size :].unflatten(0, target_PM.shape)
        expected_PD = self._network(item_BLD)[torch.from_numpy(is_there_BL)]
        logit_PM = torch.einsum("pd,pmd->pm", expected_PD, target_PMD)
        return sampled_cross_entropy(logit_PM[:, 0], logit_PM[:, 1:], torch.from_numpy(is_negative_PN))


@dataclass(eq=False)
class FittedSasRec(FittedVectors):
    """A trained network over the items of a catalogue; `loss_curve` tells how training went."""

    covers_new_items = True
    covers_empty_histories = False

    method: SasRec
    network: SasRecNetwork
    item_ID: Floats
    loss_curve: LossCurve

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedSasRec:
        return replace(self, item_ID=self.network.vectors(items))

    @torch.inference_mode()
    def represent(self, histories: Interactions) -> Floats:
        """Return what is expected after each visitor's last item, float32 [V, 1, D]."""
        known = histories.where((histories.weight_N > 0) & has_vector(self.item_ID)[histories.item_N])
        item_VL = known.last(self.method.length)
        count_V = np.count_nonzero(item_VL != NONE, axis=1)
        item_VLD = torch.from_numpy(self.item_ID[item_VL[:, : max(1, count_V.max(initial=0))].clip(min=0)])
        expected_VLD = self.network(item_VLD).numpy()
        last_VD: Floats = expected_VLD[np.arange(len(count_V)), np.maximum(count_V, 1) - 1]
        last_VD[count_V == 0] = 0
        return last_VD[:, None]
