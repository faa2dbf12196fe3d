"""All pairs of hashes that differ in few bits, found without comparing all pairs, and none is missed.

Bits are dealt to bands in turn. Of hashes that differ in at most b bits, cut into b // 2 + 1 bands, one band differs in
one bit at most. So whoever agrees in a band, or does so once a bit of it is flipped, is compared, and nobody else
(multi-index hashing: Norouzi, Punjani and Fleet, 2012, https://doi.org/10.1109/CVPR.2012.6248043). Of 128 bits and ten
different ones a band has 21 bits, and of a million random hashes one in 19,000 pairs is compared.

Shape letters: U hashes, W words of a hash, X codes of 64 bits, E pairs, R runs (hashes with one key, which lie side by
side), T tiles (parts of two runs).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.similar.picture_hash import Words

Ints = NDArray[np.int64]
Codes = NDArray[np.uint64]
Pairs = tuple[Ints, Ints]
"""Two ends of each pair, shape (E,) each."""

TILE = 512
_PAIRS = 2 * TILE * TILE  # held at a time


def codes(hash_UW: Words) -> Codes:
    """Return hashes as codes of 64 bits, shape (U, X)."""
    padded = np.pad(hash_UW, ((0, 0), (0, -hash_UW.shape[1] % 4)))
    return np.ascontiguousarray(padded).view(np.uint64)


def close_pairs(code_UX: Codes, max_bits: int) -> Iterator[Pairs]:
    """Yield all pairs of hashes that differ in at most `max_bits` bits, each once, as many at a time as memory bounds.

    >>> hash_UW = np.array([[0b1111], [0b1000], [0b1001]], np.uint16)
    >>> sorted(tuple(sorted(map(int, pair))) for pairs in close_pairs(codes(hash_UW), 2) for pair in zip(*pairs))
    [(0, 2), (1, 2)]
    """
    bit_count = 64 * code_UX.shape[1]
    band_count = max(max_bits // 2 + 1, code_UX.shape[1])
    bands = [range(number, bit_count, band_count) for number in range(band_count)]
    radius = max_bits // band_count
    for number, bits in enumerate(bands):
        for first_E, second_E in _pairs_by_key(_keys(code_UX, bits), len(bits), radius):
            different_EX = code_UX[first_E] ^ code_UX[second_E]
            kept_E = np.flatnonzero(_count(different_EX) <= max_bits)
            for earlier in bands[:number]:  # the bands that have yielded a pair already
                kept_E = kept_E[_count(different_EX[kept_E] & _mask(earlier, code_UX.shape[1])) > radius]
            if len(kept_E):
                yield first_E[kept_E], second_E[kept_E]


def run_pairs(start_R: Ints, count_R: Ints, other_start_R: Ints, other_count_R: Ints) -> Iterator[Pairs]:
    """Yield the pairs of every place of a run with every place of another, in tiles of 512 x 512 at most."""
    row_T, height_T, column_T, width_T = _tiles(start_R, count_R, other_start_R, other_count_R)
    size_T = height_T * width_T
    chunk_T = (np.cumsum(size_T) - size_T) // _PAIRS
    for part in np.split(np.arange(len(size_T)), np.flatnonzero(np.diff(chunk_T)) + 1):
        tile_E, at_E = _counted(size_T[part])
        row_E, column_E = np.divmod(at_E, width_T[part][tile_E])
        yield row_T[part][tile_E] + row_E, column_T[part][tile_E] + column_E


def pairs_within(start_R: Ints, count_R: Ints) -> Iterator[Pairs]:
    """Yield the pairs of the places of each run, each once."""
    many_R = count_R > 1
    for first_E, second_E in run_pairs(*(start_R[many_R], count_R[many_R]) * 2):
        yield first_E[first_E < second_E], second_E[first_E < second_E]


def runs(key_U: Codes) -> Pairs:
    """Return where runs of equal keys start, and their lengths, shape (R,) each."""
    start_R = np.flatnonzero(np.concatenate([np.ones(min(1, len(key_U)), np.bool_), key_U[1:] != key_U[:-1]]))
    return start_R, np.diff(start_R, append=len(key_U))


def _pairs_by_key(key_U: Codes, width: int, radius: int) -> Iterator[Pairs]:
    """Yield the pairs of equal keys and, by radius 1, of keys of so many bits that differ in one."""
    order = np.argsort(key_U, kind="stable")
    sorted_U = key_U[order]
    start_R, count_R = runs(sorted_U)
    for first_E, second_E in pairs_within(start_R, count_R):
        yield order[first_E], order[second_E]
    key_R = sorted_U[start_R]
    for bit in range(width if radius else 0):
        one_R = np.flatnonzero(key_R & np.uint64(1 << bit) == 0)
        flipped_R = key_R[one_R] | np.uint64(1 << bit)
        other_R = np.searchsorted(key_R, flipped_R).clip(max=len(key_R) - 1)
        is_there_R = key_R[other_R] == flipped_R
        one_R, other_R = one_R[is_there_R], other_R[is_there_R]
        for first_E, second_E in run_pairs(start_R[one_R], count_R[one_R], start_R[other_R], count_R[other_R]):
            yield order[first_E], order[second_E]


def _tiles(start_R: Ints, count_R: Ints, other_start_R: Ints, other_count_R: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return first rows, heights, first columns and widths of the tiles of pairs of runs, shape (T,) each."""
    across_R = -(-other_count_R // TILE)
    run_T, at_T = _counted(-(-count_R // TILE) * across_R)
    down_T, right_T = np.divmod(at_T, across_R[run_T])
    return (
        start_R[run_T] + TILE * down_T,
        np.minimum(TILE, count_R[run_T] - TILE * down_T),
        other_start_R[run_T] + TILE * right_T,
        np.minimum(TILE, other_count_R[run_T] - TILE * right_T),
    )


def _counted(count_R: Ints) -> Pairs:
    """Return as many rows for each count: which it is of, and its number among them.

    >>> [part.tolist() for part in _counted(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    of_E = np.repeat(np.arange(len(count_R)), count_R)
    return of_E, np.arange(len(of_E)) - np.repeat(np.cumsum(count_R) - count_R, count_R)


def _keys(code_UX: Codes, bits: range) -> Codes:
    """Return some bits of each hash as a number, shape (U,)."""
    key_U = np.zeros(len(code_UX), np.uint64)
    for place, bit in enumerate(bits):
        key_U |= (code_UX[:, bit // 64] >> np.uint64(bit % 64) & np.uint64(1)) << np.uint64(place)
    return key_U


def _mask(bits: range, code_count: int) -> Codes:
    """Return codes with some bits set, shape (X,)."""
    return np.array([sum(1 << bit % 64 for bit in bits if bit // 64 == code) for code in range(code_count)], np.uint64)


def _count(code_EX: Codes) -> Ints:
    """Return how many bits are set in each row, shape (E,)."""
    return np.asarray(np.bitwise_count(code_EX).sum(axis=1, dtype=np.int64))
