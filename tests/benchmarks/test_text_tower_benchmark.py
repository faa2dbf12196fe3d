"""A step of a text tower, there and back, with and without the positions behind the texts' ends, on one CPU thread.

Peer: open_clip's own forward pass of the same tower on the same tokens, which gives the same vectors and gradients (see
tests/models/search/test_text_tower.py). Queries are of one to three words, one in twenty of ten.

Run with `pytest -n 0 -m benchmark -s tests/benchmarks/test_text_tower_benchmark.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from open_clip.transformer import TextTransformer

from models.search.text_tower import TextTower

END = 8191
TOWERS = {
    "small: 16 places, 128 x 2": (16, {"width": 128, "heads": 4, "layers": 2}, 256),
    "ViT-B-32: 77 places, 512 x 12": (77, {"width": 512, "heads": 8, "layers": 12}, 16),
}

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


def queries(count: int, places: int) -> torch.Tensor:
    """Return tokens [count, places]: words, the end token, padding."""
    random = np.random.default_rng(0)
    tokens = np.zeros((count, places), np.int64)
    for row in tokens:
        length = 10 if random.random() < 0.05 else random.integers(1, 4)
        row[:length] = random.integers(1, END, length)
        row[length] = END
    return torch.from_numpy(tokens)


def seconds_per_step(encode: Callable[[], torch.Tensor], rounds: int = 3) -> float:
    """Return the shortest of some steps, after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        encode().square().sum().backward()
        taken.append(time.perf_counter() - begun)
    return min(taken[1:])


@pytest.mark.parametrize("name", TOWERS)
def test_short_texts_cost_what_they_are_long(name: str) -> None:
    places, sizes, count = TOWERS[name]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    text_cfg = {"context_length": places, "vocab_size": END + 1, "pool_type": "argmax", **sizes}
    tower = TextTransformer(**text_cfg, output_dim=64)
    own = TextTower.of_weights({"embed_dim": 64, "text_cfg": text_cfg}, tower.state_dict())
    tokens = queries(count, places)
    try:
        plain = seconds_per_step(lambda: tower(tokens))
        shortened = seconds_per_step(lambda: own(tokens))
    finally:
        torch.set_num_threads(threads)
    length = (tokens != 0).sum(1).float().mean()
    print(
        f"\n{name}, {count} queries of {length:.1f} tokens: open_clip {plain * 1e3:,.0f} ms, "
        f"shortened {shortened * 1e3:,.0f} ms: {plain / shortened:.1f} times as fast"
    )
    torch.testing.assert_close(own(tokens), tower(tokens), rtol=1e-4, atol=1e-5)
    assert shortened < plain
