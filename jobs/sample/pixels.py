"""What the tables say about the pixels of a picture: its main colours and its blurhash."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageColor

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"


@dataclass(frozen=True)
class Colour:
    """One main colour of a picture: RGB, nearest CSS name, percent of the picture, and how striking it is."""

    rgb: tuple[int, int, int]
    name: str
    percent: float
    score: float


def main_colours(image: Image.Image, count: int = 8) -> list[Colour]:
    """Return the main colours, most frequent first. Scores grow with share and saturation; they sum to 1."""
    small = image.quantize(count, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = small.getpalette() or []
    counts = np.bincount(np.asarray(small).ravel(), minlength=count)
    rgbs = np.array(palette[: 3 * count], dtype=int).reshape(-1, 3)
    merged: dict[tuple[int, int, int], int] = {}
    for (red, green, blue), pixels in zip(rgbs.tolist(), counts.tolist(), strict=False):
        merged[red, green, blue] = merged.get((red, green, blue), 0) + pixels
    found = sorted(((pixels, rgb) for rgb, pixels in merged.items() if pixels), reverse=True)
    total = image.width * image.height
    weights = [(pixels / total) ** 0.5 * (0.2 + (max(rgb) - min(rgb)) / 255) for pixels, rgb in found]
    return [
        Colour(rgb, _css_name(*rgb), 100 * pixels / total, weight / sum(weights))
        for (pixels, rgb), weight in zip(found, weights, strict=True)
    ]


@cache
def _css() -> tuple[list[str], np.ndarray]:
    names = sorted(set(ImageColor.colormap) - {name for name in ImageColor.colormap if "grey" in name})
    return names, np.array([ImageColor.getrgb(name)[:3] for name in names], dtype=float)


def _css_name(red: int, green: int, blue: int) -> str:
    names, values = _css()
    return names[int(((values - (red, green, blue)) ** 2).sum(axis=1).argmin())]


def blurhash(image: Image.Image, across: int = 4, down: int = 3) -> str:
    """Return the blurhash with `across` x `down` components (https://github.com/woltapp/blurhash, Algorithm.md)."""
    pixels = np.asarray(image, dtype=float) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    y = np.cos(np.pi * np.outer(np.arange(down), np.arange(image.height)) / image.height)
    x = np.cos(np.pi * np.outer(np.arange(across), np.arange(image.width)) / image.width)
    factors = np.einsum("jy,yxc,ix->jic", y, linear, x, optimize=True).reshape(-1, 3)
    factors *= 2 / (image.width * image.height)
    factors[0] /= 2
    strongest = np.abs(factors[1:]).max()
    quantised = max(0, min(82, math.floor(strongest * 166 - 0.5)))
    scale = (quantised + 1) / 166
    text = _base83((across - 1) + (down - 1) * 9, 1) + _base83(quantised, 1)
    srgb = np.where(factors[0] <= 0.0031308, factors[0] * 12.92, 1.055 * factors[0].clip(0) ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in (srgb * 255 + 0.5).clip(0, 255))
    text += _base83((red << 16) + (green << 8) + blue, 4)
    for factor in factors[1:]:
        steps = np.floor(np.sign(factor) * np.sqrt(np.abs(factor) / scale) * 9 + 9.5).clip(0, 18).astype(int)
        text += _base83(int(steps[0] * 19 * 19 + steps[1] * 19 + steps[2]), 2)
    return text


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**power % 83] for power in reversed(range(length)))
