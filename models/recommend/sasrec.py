"""Self-attention over a visitor's items in their order: what comes next.

SASRec (Kang and McAuley, 2018, https://arxiv.org/abs/1808.09781), with these changes. An item that has an image or text
vector enters as a learned projection of it, so that photos of tonight are scored as all others; where no item has any,
it is a row of a table, as in the paper. The loss is a softmax over all items, or over many of them: binary
cross-entropy with one negative makes scores too sure of themselves (Petrov and Macdonald, 2023,
https://arxiv.org/abs/2308.07192).

Shape letters: B visitors of a batch, L places, P places that are filled, C candidates, I items, U different
items of a batch, K items that can be learned, V visitors, F features of an item (image and text vector), D dimensions,
A heads of attention; in a batch's loss A also all items of the batch, as often as they are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from models.recommend.interactions import NONE, Floats, Interactions, Ints, ItemFeatures, has_vector
from models.recommend.interface import FittedVectors, Recommender, with_zero_rows
from models.recommend.training import (
    NO_CURVE,
    LossCurve,
    Network,
    Training,
    drawn_candidates,
    gain_by,
    hold_out,
    item_inputs,
    item_layer,
    learned_items,
    seeded,
    softmax_among,
    take_rows,
    train,
)


@dataclass(frozen=True)
class SasRec(Recommender):
    """Every visitor with two likes or more is an example: of the last `length` + 1, each but the first is predicted.

    Training leaves out the likes by which it is stopped, see `hold_out`.
    """

    dim: int = 64
    block_count: int = 2
    head_count: int = 2
    length: int = 50
    dropout: float = 0.2
    training: Training = field(default_factory=lambda: Training(pass_count=100, batch_size=128, patience=10))

    def _learned(self, log: Interactions, items: ItemFeatures, seed: int) -> FittedSasRec:
        liked = log.liked()
        is_learned_I = learned_items(liked, items)
        learned, held = hold_out(liked.where(is_learned_I[liked.item_N]), self.training)

        def fitted(curve: LossCurve = NO_CURVE) -> FittedSasRec:
            return FittedSasRec(self, network, network.vectors(items) * is_learned_I[:, None], curve)

        with seeded(seed):
            network = SasRecNetwork(self, items.content_dim, 0 if items.content_dim else items.item_count)
            examples = _Examples(self, network, learned, items)
            gain_of = gain_by(held, fitted)
            return fitted(train(network, examples.loss, len(examples.visitor_E), self.training, seed, gain_of))


class SasRecNetwork(Network):
    """Projection of items, places, and blocks of attention."""

    def __init__(self, method: SasRec, feature_count: int, item_count: int = 0) -> None:
        super().__init__(method=method, feature_count=feature_count, item_count=item_count)
        self.item = item_layer(feature_count, item_count, method.dim, bias=False)
        self.place = nn.Embedding(method.length, method.dim)
        self.dropout = nn.Dropout(method.dropout)
        self.blocks = nn.Sequential(
            *(Block(method.dim, method.head_count, method.dropout) for _ in range(method.block_count))
        )
        self.norm = nn.LayerNorm(method.dim)

    @torch.inference_mode()
    def vectors(self, items: ItemFeatures) -> Floats:
        """Return the vectors of items, float32 [I, D]."""
        feature_IF = torch.from_numpy(items.content())
        item_ID: Floats = self.item(item_inputs(np.arange(items.item_count), feature_IF)).numpy()
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

    def __init__(self, method: SasRec, network: SasRecNetwork, liked: Interactions, items: ItemFeatures) -> None:
        self._network, self._liked, self._length = network, liked, method.length
        self._item_K = np.flatnonzero(learned_items(liked, items))
        self._feature_IF = torch.from_numpy(items.content())
        self.visitor_E = np.flatnonzero(np.diff(liked.start_V1) > 1)

    def loss(self, example_B: Ints, random: np.random.Generator) -> torch.Tensor:
        visitor_B = self.visitor_E[example_B]
        first_B, end_B = self._liked.start_V1[visitor_B], self._liked.start_V1[visitor_B + 1]
        item_BL1 = self._liked.latest(first_B, end_B, self._length + 1)
        item_BL1 = item_BL1[:, : (end_B - first_B).max()]  # no place that nobody fills
        is_there_BL = item_BL1[:, 1:] != NONE
        seen_BL, target_P = item_BL1[:, :-1].clip(min=0), item_BL1[:, 1:][is_there_BL]
        candidate_C, share = drawn_candidates(self._item_K, random)
        parts = [seen_BL.ravel(), target_P, candidate_C]
        item_U, place_A = np.unique(np.concatenate(parts), return_inverse=True)
        vector_UD = self._network.item(item_inputs(item_U, self._feature_IF))
        seen_AD, target_PD, candidate_CD = (
            take_rows(vector_UD, place) for place in np.split(place_A, np.cumsum([len(one) for one in parts[:2]]))
        )
        expected_PD = self._network(seen_AD.unflatten(0, seen_BL.shape))[torch.from_numpy(is_there_BL)]
        is_target_PC = torch.from_numpy(target_P[:, None] == candidate_C)
        return softmax_among(expected_PD, target_PD, candidate_CD, is_target_PC, share)


@dataclass(eq=False)
class FittedSasRec(FittedVectors):
    """A trained network over the items of a catalogue; `loss_curve` tells how training went."""

    method: SasRec
    network: SasRecNetwork
    item_ID: Floats
    loss_curve: LossCurve

    def _over(self, items: ItemFeatures, number_I: Ints) -> FittedSasRec:
        if not items.content_dim:
            return replace(self, item_ID=with_zero_rows(self.item_ID, items, number_I))
        return replace(self, item_ID=self.network.vectors(items))

    @torch.inference_mode()
    def represent(self, histories: Interactions) -> Floats:
        """Return what is expected after each visitor's last item, float32 [V, D]."""
        known = histories.where((histories.weight_N > 0) & has_vector(self.item_ID)[histories.item_N])
        item_VL = known.last(self.method.length)
        count_V = np.count_nonzero(item_VL != NONE, axis=1)
        item_VLD = torch.from_numpy(self.item_ID[item_VL[:, : max(1, count_V.max(initial=0))].clip(min=0)])
        expected_VLD = self.network(item_VLD).numpy()
        last_VD: Floats = expected_VLD[np.arange(len(count_V)), np.maximum(count_V, 1) - 1]
        last_VD[count_V == 0] = 0
        return last_VD
