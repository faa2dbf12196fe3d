"""Training losses, one per file, and their names.

A loss is of a batch's unique photos and texts, features normalised, per weight of its pairs, a scalar. It is called
with photo_UD, text_VD, scale, bias, the pairs, and `chunk_size`: with that it holds the logits of so many photos at a
time and keeps none, to the same result.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from models.search.losses import distributed, sigmoid, softmax

LOSSES: dict[str, Callable[..., torch.Tensor]] = {"sigmoid": sigmoid.loss, "softmax": softmax.loss}
DISTRIBUTED_LOSSES = {"sigmoid": distributed.sigmoid_by_gather, "softmax": distributed.softmax_by_gather}
