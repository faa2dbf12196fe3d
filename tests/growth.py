"""How much a piece of work takes, so that tests can say how it grows. By bytes, never by the clock."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most bytes that numpy and Python held at a time while `work` ran, beyond those held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class _Largest(TorchDispatchMode):
    """Looks at every tensor that torch makes, whose memory Python does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = (one.numel() * one.element_size() for one in tree_leaves(made) if isinstance(one, torch.Tensor))
        self.bytes = max(self.bytes, *sizes, 0)
        return made


def largest_tensor_bytes(work: Callable[[], object]) -> int:
    """Return the size of the largest tensor that torch made while `work` ran."""
    with _Largest() as largest:
        work()
    return largest.bytes
