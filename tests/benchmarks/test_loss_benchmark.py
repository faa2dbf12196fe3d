"""Losses of 8,192 pairs x 256 features on the CPU, forward and backward: equal results, time and memory as a table.

"kept" is what autograd holds between the passes, by `saved_tensors_hooks`: different storages still alive after the
forward pass, features excluded. "resident" is how much more of the process's memory is resident then (VmRSS), "peak"
the most during both passes (VmHWM), both against before, in a process of its own. Time is the best of several
rounds, in which the losses take turns so that other work on the machine meets them all; the target is on the time of
the processor, all threads together, which other work changes least.

The installed open_clip (3.3) cannot chunk. A later one takes `chunk_size` and loops over rows of photos
(https://github.com/mlfoundations/open_clip/pull/1145), or checkpoints each of them as well
(https://github.com/mlfoundations/open_clip/pull/1214, proposed). Both ways are written out below to compare with;
an open_clip with `chunk_size` takes the place of the first.

Run with `pytest -m benchmark tests/benchmarks/test_loss_benchmark.py -s`.
"""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import logsigmoid, normalize
from torch.utils.checkpoint import checkpoint

from models.search.losses import LOSSES
from models.search.losses.pairs import Pairs
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib

PAIRS, FEATURES, CHUNK, ROUNDS = 8192, 256, 512, 3
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
Cost = dict[str, float]


def ours(name: str, chunk_size: int | None, inputs: Inputs) -> torch.Tensor:
    count = len(inputs[0])
    index = torch.arange(count)
    return LOSSES[name](*inputs, Pairs(index, index, count, count), chunk_size=chunk_size)


def open_clip_sigmoid(inputs: Inputs) -> torch.Tensor:
    return SigLipLoss()(*inputs)


def open_clip_softmax(inputs: Inputs) -> torch.Tensor:
    return ClipLoss()(*inputs[:3])


def open_clip_chunked(inputs: Inputs) -> torch.Tensor:
    if "chunk_size" in inspect.signature(SigLipLoss).parameters:
        return SigLipLoss(chunk_size=CHUNK)(*inputs)
    return sum(rows_loss(start, *inputs) for start in range(0, len(inputs[0]), CHUNK)) / len(inputs[0])


def checkpointed(inputs: Inputs) -> torch.Tensor:
    starts = range(0, len(inputs[0]), CHUNK)
    return sum(checkpoint(rows_loss, start, *inputs, use_reentrant=False) for start in starts) / len(inputs[0])


def rows_loss(
    start: int, photo_UD: torch.Tensor, text_VD: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    logits_RV = scale * photo_UD[start : start + CHUNK] @ text_VD.T + bias
    own_R = logits_RV.diagonal(start)
    return -logsigmoid(-logits_RV).sum() - own_R.sum()


SIGMOIDS: dict[str, Callable[[Inputs], torch.Tensor]] = {
    "plain": partial(ours, "sigmoid", None),
    "open_clip": open_clip_sigmoid,
    "open_clip chunked": open_clip_chunked,
    "checkpointed": checkpointed,
    "ours": partial(ours, "sigmoid", CHUNK),
}
SOFTMAXES: dict[str, Callable[[Inputs], torch.Tensor]] = {
    "plain": partial(ours, "softmax", None),
    "open_clip": open_clip_softmax,
    "ours": partial(ours, "softmax", CHUNK),
}


def make_inputs(count: int) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    photo_UD, noise_UD = (torch.randn(count, FEATURES, generator=generator) for _ in range(2))
    sides = (normalize(photo_UD, dim=-1), normalize(photo_UD + 2 * noise_UD, dim=-1))
    photo, text, scale, bias = (x.requires_grad_() for x in (*sides, torch.tensor(20.0), torch.tensor(-9.0)))
    return photo, text, scale, bias


def kept_mib(loss: Callable[[Inputs], torch.Tensor], inputs: Inputs) -> float:
    held: list[weakref.ref[torch.Tensor]] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        held.append(weakref.ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = loss(inputs)
    storages = {
        x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for ref in held if (x := ref()) is not None
    }
    features = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    assert value.requires_grad  # and holds its graph until here
    return sum(size for pointer, size in storages.items() if pointer not in features) / 2**20


def measure_memory(loss: Callable[[Inputs], torch.Tensor]) -> tuple[list[np.ndarray], Cost]:
    """Return value and gradients by photo and text, and the memory that they took."""
    loss(make_inputs(64)).backward()  # threads and libraries are there
    inputs = make_inputs(PAIRS)
    before = forget_peak()
    value = loss(inputs)
    resident = memory_mib("VmRSS") - before
    gradients = torch.autograd.grad(value, inputs[:2])
    peak = memory_mib("VmHWM") - before
    result = [tensor.numpy() for tensor in (value.detach(), *gradients)]
    del value
    return result, {"kept": kept_mib(loss, inputs), "resident": resident, "peak": peak}


def measure_time(losses: dict[str, Callable[[Inputs], torch.Tensor]]) -> dict[str, Cost]:
    inputs = make_inputs(PAIRS)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in losses}
    for _ in range(ROUNDS):
        for name, loss in losses.items():
            wall, cpu = time.perf_counter(), time.process_time()
            loss(inputs).backward()
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    best = {name: [min(column) for column in zip(*rounds, strict=True)] for name, rounds in found.items()}
    return {name: {"seconds": wall, "cpu": cpu} for name, (wall, cpu) in best.items()}


def compare(title: str, losses: dict[str, Callable[[Inputs], torch.Tensor]]) -> dict[str, Cost]:
    measured = {name: alone(measure_memory, loss) for name, loss in losses.items()}
    expected, _ = measured["plain"]
    for name, (result, _) in measured.items():
        for found, right in zip(result, expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-6, err_msg=name)
    seconds = alone(measure_time, losses)
    costs = {name: cost | seconds[name] for name, (_, cost) in measured.items()}
    print(f"\n{title}: {PAIRS:,} pairs x {FEATURES}, {torch.get_num_threads()} threads, values and gradients equal")
    print(f"{'':<20}{'kept MiB':>10}{'resident MiB':>14}{'peak MiB':>10}{'seconds':>10}{'CPU s':>8}")
    for name, c in costs.items():
        memory = f"{c['kept']:>10.1f}{c['resident']:>14.1f}{c['peak']:>10.1f}"
        print(f"{name:<20}{memory}{c['seconds']:>10.2f}{c['cpu']:>8.2f}")
    return costs


pytestmark = [pytest.mark.benchmark, READS_PEAKS]


def test_blocks_keep_the_gradients_of_the_features_and_take_no_longer() -> None:
    costs = compare("sigmoid", SIGMOIDS)
    assert costs["ours"]["kept"] < 20
    assert costs["ours"]["cpu"] < 1.3 * costs["plain"]["cpu"]


def test_the_softmax_in_blocks_keeps_no_more() -> None:
    costs = compare("softmax", SOFTMAXES)
    assert costs["ours"]["kept"] < 20
