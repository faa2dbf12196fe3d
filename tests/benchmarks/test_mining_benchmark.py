"""Memory and time of mining hard negatives: of a block of photos, however many photos there are.

pytest -n 0 -m benchmark tests/benchmarks/test_mining_benchmark.py -s
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from models.search.negatives import Candidates, Indices, mine
from models.search.sampling import KnownPositives
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib

pytestmark = pytest.mark.benchmark

TEXTS, DIM, KEPT = 4000, 128, 50
FEW, MANY = 25_000, 200_000


def mined(photo_count: int) -> tuple[float, float]:
    """Return what mining among so many photos takes: MiB above what was there before, and CPU-seconds."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    text_TD = normalize(torch.randn(TEXTS, DIM, generator=torch.Generator().manual_seed(0)), dim=1)
    photo_P, text_P = random.integers(0, photo_count, 5 * TEXTS), random.integers(0, TEXTS, 5 * TEXTS)
    known, positions = KnownPositives.of(photo_P, text_P, photo_count), np.arange(photo_count)

    def embed(some: Indices) -> torch.Tensor:
        return normalize(torch.randn(len(some), DIM, generator=torch.Generator().manual_seed(int(some[0]))), dim=1)

    photos = Candidates(positions, positions, embed)
    before, begun = forget_peak(), time.process_time()
    mine(text_TD, photos, text_P, photo_P, known, np.arange(TEXTS), k=KEPT, max_share=0.95)
    return memory_mib("VmHWM") - before, time.process_time() - begun


@READS_PEAKS
def test_memory_of_mining_is_that_of_a_block_of_photos() -> None:
    (few_mib, few_seconds), (many_mib, many_seconds) = (alone(mined, count) for count in (FEW, MANY))
    print(
        f"\nhard negatives of {TEXTS:,} texts among {FEW:,} and {MANY:,} photos of {DIM} numbers: {few_mib:.0f} and "
        f"{many_mib:.0f} MiB, {few_seconds:.1f} and {many_seconds:.1f} CPU s"
    )
    assert many_mib < 2 * few_mib  # of eight times as many photos
