"""A perceptual hash: bits of a picture that stay when it is resized, recompressed or a little brighter.

Whether two pictures with nearly the same bits are the same picture, this alone does not say: see `duplicates`.

Shape letters: N pictures, W words of 16 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Words = NDArray[np.uint16]

HASH_VERSION = 1  # raise it when other bits come out: hashes are kept over the nights
WORDS = 8
BITS = 16 * WORDS
_SIDE = 8
_MARGIN = 2
"""Steps of grey, of 255, that count as no change: what compression does to an even surface."""


def picture_hash(image: Image.Image) -> Words:
    """Return 128 bits of a picture, shape (8,): whether a field of its grey is brighter than that left of it or above.

    The difference hash (Krawetz, 2013) with rows and columns, on 8 x 8 fields each way: areas are averaged, so that a
    resized picture has the same fields. Colour is not in it, and neither is what turns or mirrors a picture.

    >>> np.bitwise_count(picture_hash(Image.linear_gradient("L"))).sum()  # brighter from row to row, never along one
    np.uint64(64)
    """
    grey = image.convert("L")
    across = _fields(grey, _SIDE + 1, _SIDE)
    down = _fields(grey, _SIDE, _SIDE + 1)
    steps = np.concatenate([np.diff(across, axis=1).ravel(), np.diff(down, axis=0).ravel()])
    return np.packbits(steps > _MARGIN).view(np.uint16)


def _fields(grey: Image.Image, width: int, height: int) -> NDArray[np.int16]:
    small = grey.resize((width, height), Image.Resampling.BOX, reducing_gap=3.0)
    return np.asarray(small, dtype=np.int16)


def different_bits(first_NW: Words, second_NW: Words) -> NDArray[np.int64]:
    """Return in how many bits hashes differ, shape (N,).

    >>> different_bits(np.array([[0b1100, 0]], np.uint16), np.array([[0b1010, 1]], np.uint16))
    array([3])
    """
    bits_N: NDArray[np.int64] = np.bitwise_count(first_NW ^ second_NW).sum(axis=-1, dtype=np.int64)
    return bits_N
