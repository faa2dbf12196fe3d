"""Training losses, one per file, and their names."""

from __future__ import annotations

from typing import Protocol

import torch

from models.search.losses import distributed, sigmoid, softmax
from models.search.losses.pairs import Pairs


class Loss(Protocol):
    """A loss of a batch's unique photos and texts, features normalised, per weight of its pairs.

    With `chunk_size` it holds the logits of that many photos at a time and keeps none, to the same result.
    """

    def __call__(
        self,
        photo_UD: torch.Tensor,
        text_VD: torch.Tensor,
        scale: torch.Tensor,
        bias: torch.Tensor,
        pairs: Pairs,
        *,
        chunk_size: int | None = None,
    ) -> torch.Tensor:
        """Return the loss, a scalar."""


LOSSES: dict[str, Loss] = {"sigmoid": sigmoid.loss, "softmax": softmax.loss}
DISTRIBUTED_LOSSES = {
    "sigmoid": distributed.sigmoid_by_gather,
    "softmax": distributed.softmax_by_gather,
}
