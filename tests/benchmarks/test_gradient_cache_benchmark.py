"""One step of a batch of 4,096 pairs through a small SigLIP on the CPU: whole, and encoded in chunks of 128.

"peak" is the most memory of the process that was resident during the step (VmHWM), against before, in a process of its
own; gradients are those of every parameter, and have to be equal.

Run with `pytest -n 0 -m benchmark -s tests/benchmarks/test_gradient_cache_benchmark.py`.
"""

from __future__ import annotations

import time
from functools import partial

import pytest
import torch

from models.search.gradient_cache import backward_in_chunks
from models.search.losses import LOSSES
from models.search.losses.pairs import Pairs
from models.search.model import build_tiny_model
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib

PAIRS, CHUNK = 4096, 128
Result = tuple[float, dict[str, torch.Tensor], float, float]

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200), READS_PEAKS]


def step(chunk_size: int | None) -> Result:
    """Return loss, gradients, peak memory in MiB and seconds of one step."""
    model = build_tiny_model(image_size=48, vision_width=128, vision_layers=4, text_width=128, text_layers=2)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (PAIRS, 3, 48, 48), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(1, 40_000, (PAIRS, model.tokenize(["a"]).shape[1]), generator=generator)
    index = torch.arange(PAIRS)
    pairs = Pairs(index, index, PAIRS, PAIRS)
    scale, bias = model.network.logit_scale, model.network.logit_bias

    def photos(start: int, stop: int) -> torch.Tensor:
        return model.combine(model.encode_images(pixels[start:stop]), None)

    def texts(start: int, stop: int) -> torch.Tensor:
        return model.encode_tokens(tokens[start:stop])

    loss = partial(LOSSES["sigmoid"], scale=scale, bias=bias, pairs=pairs, chunk_size=512)
    model.train()
    loss(photos(0, 8), texts(0, 8), pairs=Pairs(index[:8], index[:8], 8, 8)).backward()  # threads and libraries
    model.zero_grad(set_to_none=True)
    before = forget_peak()
    begun = time.perf_counter()
    if chunk_size is None:
        value = loss(photos(0, PAIRS), texts(0, PAIRS))
        value.backward()
    else:
        device = torch.device("cpu")
        value = backward_in_chunks(photos, PAIRS, texts, PAIRS, loss, chunk_size=chunk_size, device=device)
    seconds = time.perf_counter() - begun
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return value.item(), gradients, memory_mib("VmHWM") - before, seconds


def test_a_large_batch_takes_the_memory_of_a_small_one() -> None:
    found: list[Result] = [alone(step, chunk_size) for chunk_size in (None, CHUNK)]
    (value, gradients, peak, seconds), (own_value, own_gradients, own_peak, own_seconds) = found
    print(f"\n{PAIRS:,} pairs, {torch.get_num_threads()} threads, gradients equal")
    print(f"{'':<16}{'peak MiB':>10}{'seconds':>10}")
    print(f"{'whole':<16}{peak:>10.0f}{seconds:>10.1f}")
    print(f"{f'chunks of {CHUNK}':<16}{own_peak:>10.0f}{own_seconds:>10.1f}")
    assert own_value == pytest.approx(value, rel=1e-5)
    assert own_gradients.keys() == gradients.keys()
    for name, expected in gradients.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(own_gradients[name], expected, rtol=0, atol=1e-3 * scale + 1e-7, msg=name)
    assert own_peak < peak / 4
