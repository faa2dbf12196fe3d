"""Random numbers that depend on what they are for, not on when they are drawn: a hash of a key and an id.

What a photo or keyword draws is so the same in whatever process, batch and order it is seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seed: int, stream: int, step: int, ids_U: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Return `count` numbers in [0, 1) for every id, float64 [U, count].

    A chain of the mixing function of SplitMix64 (https://doi.org/10.1145/2714064.2660195) over the key's parts, any
    integers; `stream` tells apart what the numbers are for, `step` when. A larger `count` only adds columns.
    """
    state = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for part in (seed, stream, step):
            state = _mix(state + np.uint64(part % 2**64) + _GOLDEN)
        by_id_U = _mix(ids_U.astype(np.int64).view(np.uint64) + state)
        numbers = by_id_U[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    return (_mix(numbers) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def joint_ids(first_U: npt.NDArray[np.int64], second_U: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return one id for every two, int64 [U], such as that of a pair from those of its photo and text.

    A hash: different combinations get the same id as rarely as chance has it. The order matters.
    """
    with np.errstate(over="ignore"):
        mixed_U = _mix(first_U.astype(np.int64).view(np.uint64) + _GOLDEN)
        return _mix((mixed_U ^ second_U.astype(np.int64).view(np.uint64)) + _GOLDEN).view(np.int64)


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: npt.NDArray[np.uint64] = value ^ (value >> np.uint64(31))
        return mixed
