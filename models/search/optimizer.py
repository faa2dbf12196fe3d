"""What is optimised and how fast: parameter groups, frozen towers, rates by depth, the schedule, averaged weights.

Tables of vectors (tokens, keywords) get sparse gradients and are moved row by row: a batch touches few rows of a
table that may hold most of a model's numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from models.search.model import SearchModel
from models.search.options import Tower, TrainingConfig

WEIGHT_DECAY = 0.05  # of matrices
SCALE_RATE_FACTOR = 20.0  # learning rate of the scale and bias, in learning rates
_BLOCK = re.compile(r"\.(?:resblocks|blocks|layers)\.(\d+)\.")
_BELOW_BLOCKS = re.compile(
    r"\.(?:conv1|patch_embed|token_embedding|positional_embedding|pos_embed|class_embedding|ln_pre)\b"
)


def freeze(model: SearchModel, tower: Tower) -> None:
    """Let one tower stay as it is: https://arxiv.org/abs/2111.07991 (LiT) freezes the image tower."""
    for name, parameter in model.network.named_parameters():
        parameter.requires_grad_(not name.startswith({"none": " ", "image": "visual.", "text": "text."}[tower]))


def parameter_groups(model: SearchModel, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return the optimiser's groups of what is not frozen.

    Matrices of the towers decay, tables do not; scale, bias and keyword table learn faster. With a `layer_decay`
    below 1 the rate of a tower's block is `layer_decay` times that of the block above it, of what lies below the
    blocks once more (https://arxiv.org/abs/1801.06146, discriminative fine-tuning).
    """
    tables = {id(table.weight) for table in _tables(model)}
    depths = _depths(model)
    groups: dict[tuple[float, float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate, decay, is_table = config.learning_rate, 0.0, id(parameter) in tables
        if name in ("network.logit_scale", "network.logit_bias"):
            rate *= SCALE_RATE_FACTOR
        elif name.startswith("keyword_encoder."):
            rate *= config.keyword_rate_factor
        else:
            rate *= config.layer_decay ** depths[name] * (config.token_rate_factor if is_table else 1.0)
            decay = WEIGHT_DECAY if parameter.ndim >= 2 and not is_table else 0.0
        groups.setdefault((rate, decay, is_table), []).append(parameter)
    names = ("rate", "weight_decay", "is_table")
    return [{"params": members, **dict(zip(names, kind, strict=True))} for kind, members in groups.items()]


def make_optimizers(groups: list[dict[str, Any]]) -> list[torch.optim.Optimizer]:
    """Return the optimisers of `parameter_groups`: AdamW, and Adam on rows for tables that are `moved_by_rows`.

    The latter moves a row in the steps that touch it only, its moments as well (`torch.optim.SparseAdam`).
    """
    others = [group for group in groups if not group["is_table"]]
    tables = [group for group in groups if group["is_table"]]
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=0.0, fused=True)] if others else []
    return [*made, torch.optim.SparseAdam(tables, lr=1e-9)] if tables else made


@contextmanager
def moved_by_rows(model: SearchModel) -> Iterator[None]:
    """Let the model's tables have sparse gradients for the time of the block."""
    tables = _tables(model)
    before = [table.sparse for table in tables]
    for table in tables:
        table.sparse = True
    try:
        yield
    finally:
        for table, was_sparse in zip(tables, before, strict=True):
            table.sparse = was_sparse


def _tables(model: SearchModel) -> list[torch.nn.Embedding | torch.nn.EmbeddingBag]:
    return [module for module in model.modules() if isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)]


def _depths(model: SearchModel) -> dict[str, int]:
    """Return how many blocks lie above each parameter of the towers; what comes after the blocks is at 0."""
    block = {name: int(found[1]) for name, _ in model.named_parameters() if (found := _BLOCK.search(name))}
    counts: dict[str, int] = {}
    for name, number in block.items():
        tower = _tower(name)
        counts[tower] = max(counts.get(tower, 0), number + 1)
    depths = {}
    for name, _ in model.named_parameters():
        count = counts.get(_tower(name), 0)
        depths[name] = count - 1 - block[name] if name in block else count if _BELOW_BLOCKS.search(name) else 0
    return depths


def _tower(name: str) -> str:
    return ".".join(name.split(".")[:2])


def rate_factor(step: int, step_count: int, warmup_share: float) -> float:
    """Return the share of the full learning rate at a step (from 0): linear warm-up, then half a cosine to 0.

    >>> [round(rate_factor(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    warmup = round(step_count * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, step_count - warmup)))


class AveragedWeights:
    """An exponential moving average of a model's weights, its early steps weighted so that none counts too much."""

    def __init__(self, model: SearchModel, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.step_count = 0

    @torch.no_grad()
    def update(self, model: SearchModel) -> None:
        """Take the model's weights in after a step."""
        self.step_count += 1
        decay = min(self.decay, (1 + self.step_count) / (10 + self.step_count))
        for name, value in model.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    @contextmanager
    def in_place(self, model: SearchModel) -> Iterator[None]:
        """Let the model have the averaged weights for the time of the block."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
