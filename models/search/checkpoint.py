"""Checkpoints as one blob of safetensors: named tensors and a JSON state. No pickle."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import load as unpack_tensors
from safetensors.torch import save as pack_tensors

_STATE = "state"


def pack(groups: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> bytes:
    """Return groups of tensors and a JSON-like state as bytes; floats of the state survive exactly."""
    tensors = {_STATE: torch.frombuffer(bytearray(json.dumps(state).encode()), dtype=torch.uint8)}
    for group, members in groups.items():
        tensors |= {f"{group}.{name}": tensor.detach().cpu().contiguous() for name, tensor in members.items()}
    return bytes(pack_tensors(tensors))


def unpack(blob: bytes) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Return what `pack` was given; groups without tensors are absent."""
    tensors = unpack_tensors(blob)
    state: dict[str, Any] = json.loads(tensors.pop(_STATE).numpy().tobytes())
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        group, rest = name.split(".", 1)
        groups.setdefault(group, {})[rest] = tensor
    return groups, state
