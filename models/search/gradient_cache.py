"""Batches larger than memory, with the gradients they would have had in one piece (GradCache).

A contrastive loss compares all examples of a batch, so gradients of parts of it cannot simply be added up. But it
sees the examples only through their features: these are found chunk by chunk without a graph, then the loss's
gradient by the features, and then each chunk is encoded once more and that gradient goes on through it. Encoding
costs twice the forward time and the memory of one chunk (https://arxiv.org/abs/2101.06983).

Shapes: U photos, V texts, D features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Encode = Callable[[int, int], torch.Tensor]  # rows start up to stop: their features, [stop - start, D]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # photo_UD, text_VD: a scalar


def backward_in_chunks(
    encode_photos: Encode,
    photo_count: int,
    encode_texts: Encode,
    text_count: int,
    loss: Loss,
    *,
    chunk_size: int,
    device: torch.device,
) -> torch.Tensor:
    """Return the loss, without a graph, after adding its gradients to the parameters behind all three functions.

    Encoding must give the same twice: random numbers do, since the state of the generators (that of the CPU and
    that of `device`) is replayed for each chunk, and they go on afterwards as if each chunk had been encoded once.
    Dropout therefore is that of a batch encoded in these chunks. Layers that update themselves, such as batch
    normalisation, see every chunk twice. An encoder whose features need no gradient is not run again.
    `DistributedDataParallel` sends gradients with every chunk unless run under its `no_sync`.
    """
    photos = _Chunks(encode_photos, photo_count, chunk_size, device)
    texts = _Chunks(encode_texts, text_count, chunk_size, device)
    photo_UD, text_VD = (side.features().requires_grad_() for side in (photos, texts))
    with torch.enable_grad():
        value = loss(photo_UD, text_VD)
    value.backward()
    for side, features in ((photos, photo_UD), (texts, text_VD)):
        if features.grad is not None:
            side.backward(features.grad)
    return value.detach()


class _Chunks:
    """One side of the batch and the state of the generators before each of its chunks."""

    def __init__(self, encode: Encode, count: int, chunk_size: int, device: torch.device) -> None:
        self.encode, self.device = encode, device
        self.ranges = [(start, min(start + chunk_size, count)) for start in range(0, count, chunk_size)]
        self.states: list[list[torch.Tensor]] = []

    @torch.no_grad()
    def features(self) -> torch.Tensor:
        """Encode every chunk without a graph and remember where its random numbers began."""
        encoded = []
        for start, stop in self.ranges:
            self.states.append(_random_state(self.device))
            encoded.append(self.encode(start, stop))
        return torch.cat(encoded)

    def backward(self, gradient: torch.Tensor) -> None:
        """Encode every chunk again, from the same random numbers, and send its gradient through it."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            for (start, stop), state in zip(self.ranges, self.states, strict=True):
                _set_random_state(state, self.device)
                with torch.enable_grad():
                    features = self.encode(start, stop)
                if not features.requires_grad:
                    return
                features.backward(gradient[start:stop])


def _random_state(device: torch.device) -> list[torch.Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
