"""The pairwise sigmoid loss of SigLIP (https://arxiv.org/abs/2303.15343), over unique photos and texts.

Shapes: P pairs of the batch, U different photos and V different texts among them.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid


def count_pairs(photo_P: torch.Tensor, text_P: torch.Tensor, photo_count: int, text_count: int) -> torch.Tensor:
    """Return how often each photo and text make a pair, float32 [U, V], from the indices of both per pair."""
    count_UV = torch.zeros(photo_count * text_count, device=photo_P.device)
    count_UV.scatter_add_(0, photo_P * text_count + text_P, torch.ones_like(photo_P, dtype=torch.float32))
    return count_UV.view(photo_count, text_count)


def sigmoid_loss(logits_UV: torch.Tensor, count_UV: torch.Tensor) -> torch.Tensor:
    """Return the loss per pair of a batch given as its unique photos and texts.

    `logits_UV` are scale * cosine + bias; `count_UV` says how many pairs of the batch a photo and a text make.
    Written out over all P x P combinations of the pairs' photos and texts, each pair's own combination is a
    positive and every other is a negative, except those that are a pair elsewhere in the batch (the same photo
    or the same text again): they are left out. Without repetitions this is open_clip's SigLipLoss. The value is
    finite for any finite logits.

    >>> one_pair = sigmoid_loss(torch.zeros(1, 1), torch.ones(1, 1))
    >>> round(one_pair.item(), 4)  # log 2
    0.6931
    """
    photo_pairs_U1 = count_UV.sum(dim=1, keepdim=True)
    text_pairs_1V = count_UV.sum(dim=0, keepdim=True)
    negative_count_UV = photo_pairs_U1 * text_pairs_1V * (count_UV == 0)
    log_likelihood_UV = count_UV * logsigmoid(logits_UV) + negative_count_UV * logsigmoid(-logits_UV)
    return -log_likelihood_UV.sum() / count_UV.sum()


def best_bias(scaled_UV: torch.Tensor, count_UV: torch.Tensor) -> float:
    """Return the bias that makes `sigmoid_loss(scaled_UV + bias, count_UV)` smallest, within -200..200.

    The loss is convex in the bias, so its slope is searched for its zero. For unrelated vectors and P different
    pairs this is about -log(P - 1) minus the common value of `scaled_UV`.
    """
    scaled, count = scaled_UV.double(), count_UV.double()
    negatives = count.sum(1, keepdim=True) * count.sum(0, keepdim=True) * (count == 0)
    low, high = -200.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        chance = torch.sigmoid(scaled + middle)
        slope = (negatives * chance - count * (1 - chance)).sum().item()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def calibrate(cosine_UV: torch.Tensor, count_UV: torch.Tensor, scale: float) -> tuple[float, float]:
    """Return the scale, between 10 and the given one, and the bias with the smallest loss on a batch.

    Towers sure of one task are at first surely wrong on another. A loss far above that of chance then drives
    them together before it teaches them anything; at the calibrated scale it starts below. 10 is where the
    paper starts; a lower scale is left as it is.
    """
    scales = torch.logspace(0, 1, 24).sub(1).div(9)  # 0 to 1, dense near 0
    candidates = [scale] if scale <= 10 else [10 + (scale - 10) * share for share in scales.tolist()]
    fits = [(value, best_bias(value * cosine_UV, count_UV)) for value in candidates]
    return min(fits, key=lambda fit: sigmoid_loss(fit[0] * cosine_UV + fit[1], count_UV).item())
