"""The symmetric softmax loss of CLIP (InfoNCE, https://arxiv.org/abs/2103.00020), over unique photos and texts.

Each pair's photo is to choose its text among the candidates, and its text its photo; the loss is the mean of both.
The pair's own text is a candidate once. Every other pair's text is one with the weight of its pair, and a text's
extra weight counts as such a pair; masked combinations and, with `Pairs.mask_known_positives`, other positives of the
same photo are no candidates. The bias is ignored: adding it to all logits changes nothing.

Shapes: P pairs of the batch, U different photos and V different texts among them, D features, R photos of a block,
X excluded combinations.
"""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import softplus

from models.search.losses.blocks import Gradients, compute_dtype, with_found_gradients
from models.search.losses.pairs import Pairs, Rows

_LINEAR_FROM = 40.0  # softplus(x) is x to double precision from here


def loss(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    pairs: Pairs,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return the loss per weight of the pairs, for logits scale * photo @ text.

    Without repetitions this is open_clip's ClipLoss. Features are compared as they are: normalise them first. They
    may be of half precision, the loss is computed in float32 or above. Without `chunk_size` all logits are made at
    once and kept for the backward pass; with it that many photos, then texts, are taken at a time and only the
    gradients of the features are kept, to the same value and gradients. The value is finite for any finite logits.

    Raises ValueError for a batch without pairs.
    """
    if not len(pairs.photo_P):
        raise ValueError("a batch without pairs has no loss")
    if chunk_size is not None:
        blocks = partial(_both_ways_and_gradients, pairs=pairs, chunk_size=chunk_size)
        return with_found_gradients(blocks, photo_UD, text_VD, scale) / (2 * pairs.weight_sum)
    with torch.autocast(photo_UD.device.type, enabled=False):
        logits_UV, back = _logits(photo_UD, text_VD, scale), pairs.swapped()
        photo_total = _total_of_logits(logits_UV, pairs.rows(0, pairs.photo_count), pairs.mask_known_positives)
        text_total = _total_of_logits(logits_UV.T, back.rows(0, back.photo_count), back.mask_known_positives)
    return (photo_total + text_total) / (2 * pairs.weight_sum)


def one_way_total(
    photo_UD: torch.Tensor, text_VD: torch.Tensor, scale: torch.Tensor, pairs: Pairs, *, chunk_size: int | None = None
) -> torch.Tensor:
    """Return the weighted sum over the pairs, of which there may be none, of the photos choosing their texts."""
    if chunk_size is not None:
        blocks = partial(_total_and_gradients, pairs=pairs, chunk_size=chunk_size)
        return with_found_gradients(blocks, photo_UD, text_VD, scale)
    with torch.autocast(photo_UD.device.type, enabled=False):
        return _total_of_logits(
            _logits(photo_UD, text_VD, scale), pairs.rows(0, pairs.photo_count), pairs.mask_known_positives
        )


def _both_ways_and_gradients(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    with_gradients: bool,
    *,
    pairs: Pairs,
    chunk_size: int,
) -> tuple[torch.Tensor, Gradients | None]:
    there, there_gradients = _total_and_gradients(
        photo_UD, text_VD, scale, with_gradients, pairs=pairs, chunk_size=chunk_size
    )
    back, back_gradients = _total_and_gradients(
        text_VD, photo_UD, scale, with_gradients, pairs=pairs.swapped(), chunk_size=chunk_size
    )
    if there_gradients is None or back_gradients is None:
        return there + back, None
    photo, text, scale_part = there_gradients
    text_back, photo_back, scale_back = back_gradients
    return there + back, (photo.add_(photo_back), text.add_(text_back), scale_part + scale_back)


def _total_and_gradients(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    with_gradients: bool,
    *,
    pairs: Pairs,
    chunk_size: int,
) -> tuple[torch.Tensor, Gradients | None]:
    dtype = compute_dtype(photo_UD, text_VD)
    photo_UD, text_VD, scale = (tensor.detach().to(dtype) for tensor in (photo_UD, text_VD, scale))
    value = photo_UD.new_zeros(())
    photo_gradient_UD, text_gradient_VD = torch.empty_like(photo_UD), torch.zeros_like(text_VD)
    for start in range(0, len(photo_UD), chunk_size):
        photo_RD = photo_UD[start : start + chunk_size]
        rows = pairs.rows(start, start + len(photo_RD))
        logits_RV = photo_RD * scale @ text_VD.T
        own_P = logits_RV[rows.row_P, rows.text_P].requires_grad_(with_gradients)
        logits_RV += rows.text_weight_V.to(dtype).log()
        logits_RV[_excluded(rows, pairs.mask_known_positives)] = -torch.inf
        others_R = logits_RV.logsumexp(dim=1).requires_grad_(with_gradients)
        with torch.set_grad_enabled(with_gradients):
            part = _total_of_others(others_R, own_P, rows, pairs.mask_known_positives)
        value += part.detach()
        if not with_gradients:
            continue
        others_slope_R, own_slope_P = torch.autograd.grad(part, (others_R, own_P))
        # a photo without any other candidate: its slope is 0, and so is exp(-inf)
        finite_R = others_R.detach().masked_fill(others_R.isinf(), 0)
        slope_RV = logits_RV.sub_(finite_R[:, None]).exp_().mul_(others_slope_R[:, None])
        slope_RV.index_put_((rows.row_P, rows.text_P), own_slope_P, accumulate=True)
        photo_gradient_UD[start : start + chunk_size] = slope_RV @ text_VD
        text_gradient_VD.addmm_(slope_RV.T, photo_RD)
    if not with_gradients:
        return value, None
    scale_gradient = (photo_gradient_UD * photo_UD).sum()  # by definition of the photos' gradient before the scale
    return value, (photo_gradient_UD.mul_(scale), text_gradient_VD.mul_(scale), scale_gradient)


def _logits(photo_UD: torch.Tensor, text_VD: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    dtype = compute_dtype(photo_UD, text_VD)
    return scale * (photo_UD.to(dtype) @ text_VD.to(dtype).T)


def _total_of_logits(logits_RV: torch.Tensor, rows: Rows, is_masked: bool) -> torch.Tensor:
    weighted_RV = logits_RV + rows.text_weight_V.to(logits_RV.dtype).log()
    weighted_RV = weighted_RV.index_put(_excluded(rows, is_masked), logits_RV.new_tensor(-torch.inf))
    own_P = logits_RV[rows.row_P, rows.text_P]
    return _total_of_others(weighted_RV.logsumexp(dim=1), own_P, rows, is_masked)


def _total_of_others(others_R: torch.Tensor, own_P: torch.Tensor, rows: Rows, is_masked: bool) -> torch.Tensor:
    """Sum the loss of each pair from its own logit and the logarithm of its photo's summed up candidates.

    With masks these candidates hold no positive. Without they hold all, so of the pair's own text 1 - `candidate_P`
    too little: what the text's pairs weigh is there, and 1 with what the other pairs weigh should be.
    """
    weight_P, others_P = rows.weight_P.to(own_P.dtype), others_R[rows.row_P]
    if is_masked:
        return weight_P @ softplus(others_P - own_P, threshold=_LINEAR_FROM)
    candidates_P = others_P + torch.log1p((1 - rows.candidate_P.to(own_P.dtype)) * (own_P - others_P).exp())
    return weight_P @ (candidates_P - own_P)


def _excluded(rows: Rows, is_masked: bool) -> tuple[torch.Tensor, torch.Tensor]:
    if not is_masked:
        return rows.row_M, rows.text_M
    return torch.cat((rows.row_M, rows.row_K)), torch.cat((rows.text_M, rows.text_K))
