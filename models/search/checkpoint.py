"""Checkpoints as one blob of safetensors, behind its SHA-256: named tensors and a JSON state. No pickle."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from safetensors.torch import load as unpack_tensors
from safetensors.torch import save as pack_tensors

from models.search.errors import ModelError

_STATE = "state"
_DIGEST_BYTES = 32


def pack(groups: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> bytes:
    """Return groups of tensors and a JSON-like state as bytes; floats of the state survive exactly."""
    tensors = {_STATE: torch.frombuffer(bytearray(json.dumps(state).encode()), dtype=torch.uint8)}
    for group, members in groups.items():
        tensors |= {f"{group}.{name}": tensor.detach().cpu().contiguous() for name, tensor in members.items()}
    packed = bytes(pack_tensors(tensors))
    return hashlib.sha256(packed).digest() + packed


def unpack(blob: bytes) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Return what `pack` was given; groups without tensors are absent. Raises `ModelError` if a byte is another."""
    digest, packed = blob[:_DIGEST_BYTES], blob[_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        raise ModelError(
            "checkpoint_damaged",
            "the checkpoint to go on from is damaged or no checkpoint (its SHA-256 differs): remove it from the "
            "lake's store/checkpoints and run the same command again, which trains from the beginning",
        )
    tensors = unpack_tensors(packed)
    state: dict[str, Any] = json.loads(tensors.pop(_STATE).numpy().tobytes())
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        group, rest = name.split(".", 1)
        groups.setdefault(group, {})[rest] = tensor
    return groups, state
