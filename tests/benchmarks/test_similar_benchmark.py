"""Near duplicates by bands of hashes against all pairs, and the best photos of a block against the bare product."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from models.evaluation.topk_merge import block_top
from models.similar.duplicates import have_close_hash, near_duplicates
from models.similar.picture_hash import WORDS, different_bits

DIM = 64
BLANK_SHARE = 20  # one photo in so many has the hash of a blank picture
COPY_SHARE = 100

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def corpus(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures, some of them copies of an earlier one with six other bits, some blank and more or less alike."""
    rng = np.random.default_rng(count)
    hash_NW = rng.integers(0, 2**16, (count, WORDS)).astype(np.uint16)
    vector_ND = rng.standard_normal((count, DIM), dtype=np.float32)
    shuffled = rng.permutation(count)
    blank, copy, copied = np.split(shuffled, [count // BLANK_SHARE, count // BLANK_SHARE + count // COPY_SHARE])
    copied = copied[: len(copy)]
    hash_NW[copy], vector_ND[copy] = hash_NW[copied], vector_ND[copied]
    for _ in range(6):
        hash_NW[copy, rng.integers(0, WORDS, len(copy))] ^= (1 << rng.integers(0, 16, len(copy))).astype(np.uint16)
    hash_NW[blank] = 0
    colours = rng.standard_normal((5, DIM), dtype=np.float32)
    spread = rng.choice(np.array([0.01, 0.15], np.float32), (len(blank), 1))
    noise = rng.standard_normal((len(blank), DIM), dtype=np.float32)
    vector_ND[blank] = colours[rng.integers(0, 5, len(blank))] + noise * spread
    return vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True), hash_NW


def groups(vector_ND: np.ndarray, hash_NW: np.ndarray) -> np.ndarray:
    """As the stage finds them: by hashes first, then by the vectors of what is close."""
    close = np.flatnonzero(have_close_hash(hash_NW, np.ones(len(hash_NW), np.bool_)))
    group_N = np.arange(len(hash_NW))
    group_N[close] = close[near_duplicates(vector_ND[close], hash_NW[close], np.ones(len(close), np.bool_))]
    return group_N


def pairs_of_all(vector_ND: np.ndarray, hash_NW: np.ndarray) -> int:
    """Count the near duplicates among all pairs, in blocks, without making groups of them."""
    found = 0
    for start in range(0, len(vector_ND), 50):
        row_E, column_E = np.nonzero(vector_ND[start : start + 50] @ vector_ND[start:].T >= 0.97)
        found += int((different_bits(hash_NW[row_E + start], hash_NW[column_E + start]) <= 10).sum())
    return found


def test_near_duplicates_take_time_by_their_number_and_not_by_all_pairs() -> None:
    few = corpus(20_000)
    all_pairs = seconds(lambda: pairs_of_all(*few))
    taken = {}
    for count in (20_000, 100_000, 1_000_000):
        vector_ND, hash_NW = corpus(count)
        tracemalloc.start()
        taken[count] = seconds(lambda: groups(vector_ND, hash_NW))  # noqa: B023
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{count:,} photos: {taken[count]:.1f} CPU-seconds, {peak / 2**20:.0f} MiB beside vectors and hashes")
    print(f"all pairs of 20,000: {all_pairs:.1f} CPU-seconds, of 1,000,000 by that {2500 * all_pairs:,.0f}")
    assert taken[20_000] < all_pairs
    assert taken[1_000_000] < 0.2 * 2500 * all_pairs


def test_the_best_of_a_block_cost_little_more_than_the_product() -> None:
    rng = np.random.default_rng(1)
    query_QD, photo_SD = (rng.standard_normal((count, 256), dtype=np.float32) for count in (1000, 65_536))
    for matrix in (query_QD, photo_SD):
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    place_S = np.arange(len(photo_SD))
    bare = min(seconds(lambda: query_QD @ photo_SD.T) for _ in range(5))
    for k in (26, 100, 220):
        whole = min(seconds(lambda: block_top(query_QD, photo_SD, place_S, k)) for _ in range(5))  # noqa: B023
        print(
            f"1,000 queries, 65,536 photos, the best {k}: {whole:.2f} CPU-seconds, {whole / bare:.2f} times the product"
        )
        assert whole < 3 * bare
