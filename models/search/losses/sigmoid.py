"""The pairwise sigmoid loss of SigLIP (https://arxiv.org/abs/2303.15343), over unique photos and texts.

Shapes: P pairs of the batch, U different photos and V different texts among them, D features, R photos of a block,
K different combinations that are a pair, M masked ones.
"""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import softplus

from models.search.losses.blocks import Gradients, compute_dtype, with_found_gradients
from models.search.losses.pairs import Pairs


def loss(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    pairs: Pairs,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return the loss per weight of the pairs, for logits scale * photo @ text + bias; see `Pairs` for the weights.

    Features are compared as they are: normalise them first. They may be of half precision, the loss is computed
    in float32 or above. Without `chunk_size` all logits are made at once and kept for the backward pass; with it
    that many photos are taken at a time and only the gradients of the features are kept, to the same value and
    gradients. The value is finite for any finite logits.

    Raises ValueError for a batch without pairs.
    """
    if not len(pairs.photo_P):
        raise ValueError("a batch without pairs has no loss")
    return total(photo_UD, text_VD, scale, bias, pairs, chunk_size=chunk_size) / pairs.weight_sum


def total(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    pairs: Pairs,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return `loss` before it is divided by the weight of the pairs, of which there may be none."""
    if chunk_size is not None:
        blocks = partial(total_and_gradients, pairs=pairs, chunk_size=chunk_size)
        return with_found_gradients(blocks, photo_UD, text_VD, scale, bias)
    dtype = compute_dtype(photo_UD, text_VD)
    with torch.autocast(photo_UD.device.type, enabled=False):
        logits_UV = scale * (photo_UD.to(dtype) @ text_VD.to(dtype).T) + bias
        return _total_of_logits(logits_UV, *pairs.dense())


def total_and_gradients(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    with_gradients: bool,
    *,
    pairs: Pairs,
    chunk_size: int,
) -> tuple[torch.Tensor, Gradients | None]:
    """Return `total` and its gradients by photo, text, scale and bias, holding one block of logits at a time.

    A combination's slope is a logistic function times the weights of its photo and its text. These weights are
    applied to the features, so that a block is passed over once for the value and once for the slope.
    """
    dtype = compute_dtype(photo_UD, text_VD)
    photo_UD, text_VD, scale, bias = (tensor.detach().to(dtype) for tensor in (photo_UD, text_VD, scale, bias))
    text_weight_V1 = pairs.text_weights.to(dtype)[:, None]
    weighted_text_VD = text_VD * text_weight_V1
    value, bias_gradient = photo_UD.new_zeros(()), photo_UD.new_zeros(())
    photo_gradient_UD, text_gradient_VD = torch.empty_like(photo_UD), torch.zeros_like(text_VD)
    for start in range(0, len(photo_UD), chunk_size):
        photo_RD = photo_UD[start : start + chunk_size]
        rows = pairs.rows(start, start + len(photo_RD))
        photo_weight_R1 = rows.photo_weight_R.to(dtype)[:, None]
        positive_K, negative_K = rows.positive_K.to(dtype), rows.negative_K.to(dtype)
        logits_RV = torch.addmm(bias, photo_RD * scale, text_VD.T)
        logits_K = logits_RV[rows.row_K, rows.text_K]
        logits_RV[rows.row_K, rows.text_K] = -torch.inf  # neither value nor slope
        logits_RV[rows.row_M, rows.text_M] = -torch.inf
        value += (photo_weight_R1.T @ (_cost(logits_RV) @ text_weight_V1)).squeeze()
        value += positive_K @ _cost(-logits_K) + negative_K @ _cost(logits_K)
        if not with_gradients:
            continue
        slope_RV = logits_RV.sigmoid_()
        slope_K = negative_K * torch.sigmoid(logits_K) - positive_K * torch.sigmoid(-logits_K)
        slope_RV[rows.row_K, rows.text_K] = slope_K / photo_weight_R1[rows.row_K, 0] / text_weight_V1[rows.text_K, 0]
        weighted_photo_RD = photo_RD * photo_weight_R1
        photo_gradient_UD[start : start + chunk_size] = slope_RV @ weighted_text_VD * photo_weight_R1
        text_gradient_VD.addmm_(slope_RV.T, weighted_photo_RD)
        bias_gradient += (photo_weight_R1.T @ (slope_RV @ text_weight_V1)).squeeze()
    if not with_gradients:
        return value, None
    scale_gradient = (photo_gradient_UD * photo_UD).sum()  # by definition of the photos' gradient before the scale
    return value, (
        photo_gradient_UD.mul_(scale),
        text_gradient_VD.mul_(text_weight_V1 * scale),
        scale_gradient,
        bias_gradient,
    )


def best_bias(scaled_UV: torch.Tensor, positive_UV: torch.Tensor, negative_UV: torch.Tensor) -> float:
    """Return the bias that makes the loss of the logits `scaled_UV + bias` smallest, within -200..200.

    The loss is convex in the bias, so its slope is searched for its zero. For unrelated vectors and P different
    pairs this is about -log(P - 1) minus the common value of `scaled_UV`.
    """
    scaled, positive, negative = scaled_UV.double(), positive_UV.double(), negative_UV.double()
    low, high = -200.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        chance = torch.sigmoid(scaled + middle)
        slope = (negative * chance - positive * (1 - chance)).sum().item()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def calibrate(
    cosine_UV: torch.Tensor, positive_UV: torch.Tensor, negative_UV: torch.Tensor, scale: float
) -> tuple[float, float]:
    """Return the scale, between 10 and the given one, and the bias with the smallest loss by weights as of `dense`.

    Towers sure of one task are at first surely wrong on another. A loss far above that of chance then drives
    them together before it teaches them anything; at the calibrated scale it starts below. 10 is where the
    paper starts; a lower scale is left as it is.
    """
    scales = torch.logspace(0, 1, 24).sub(1).div(9)  # 0 to 1, dense near 0
    candidates = [scale] if scale <= 10 else [10 + (scale - 10) * share for share in scales.tolist()]
    fits = [(value, best_bias(value * cosine_UV, positive_UV, negative_UV)) for value in candidates]
    weight = positive_UV.sum()
    return min(
        fits,
        key=lambda fit: (_total_of_logits(fit[0] * cosine_UV + fit[1], positive_UV, negative_UV) / weight).item(),
    )


def _total_of_logits(logits_UV: torch.Tensor, positive_UV: torch.Tensor, negative_UV: torch.Tensor) -> torch.Tensor:
    return (positive_UV * _cost(-logits_UV) + negative_UV * _cost(logits_UV)).sum()


def _cost(logits: torch.Tensor) -> torch.Tensor:
    """Return -log(1 - logistic), to double precision and, unlike logsigmoid on a CPU, without a buffer kept."""
    return softplus(logits, threshold=40)
