"""A loss that finds its gradients while it finds its value, as one node of autograd's graph.

What a loss over all combinations of a batch keeps for its backward pass is what makes it dear. A loss of features
needs not keep it: block by block, value and gradients come from the same logits, which are then forgotten. What
remains until the backward pass is the gradient of the features, as large as they are. The gradients cannot be
differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

Gradients = tuple[torch.Tensor, ...]
Compute = Callable[..., tuple[torch.Tensor, Gradients | None]]


def with_found_gradients(compute: Compute, *inputs: torch.Tensor) -> torch.Tensor:
    """Return the scalar of `compute(*inputs, with_gradients)`, whose gradients it gives itself.

    `compute` returns the value and, if `with_gradients`, one gradient per input, else None. It runs without a
    graph and outside autocast.
    """
    needs_gradients = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    value: torch.Tensor = _FoundGradients.apply(compute, needs_gradients, *inputs)
    return value


def compute_dtype(*inputs: torch.Tensor) -> torch.dtype:
    """Return what to compute in: float32, or float64 where an input is."""
    dtype = torch.float32
    for tensor in inputs:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


class _FoundGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, needs_gradients: bool, *inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inputs[0].device.type, enabled=False):
            value, gradients = compute(*inputs, needs_gradients)
        if gradients is not None:
            found = zip(gradients, inputs, strict=True)
            ctx.save_for_backward(*(gradient.to(tensor.dtype) for gradient, tensor in found))
        return value

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = zip(ctx.saved_tensors, ctx.needs_input_grad[2:], strict=True)
        return None, None, *(value * gradient.to(value.dtype) if is_needed else None for value, is_needed in found)
