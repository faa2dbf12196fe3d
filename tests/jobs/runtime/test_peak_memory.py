"""Peak memory is that of the moment that took most, not that of the end."""

from __future__ import annotations

import time

import numpy as np

from jobs.runtime.peak_memory import PeakMemory


def test_memory_that_was_given_back_is_in_the_peak() -> None:
    with PeakMemory() as nothing:
        pass
    with PeakMemory() as memory:
        block = np.ones(100 * 2**17)  # 100 MiB
        time.sleep(0.1)
        del block
    assert 95 < memory.peak_mb - nothing.peak_mb < 200
