"""What the tables say about the pixels of a picture: its main colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageColor


@dataclass(frozen=True)
class Colour:
    """One main colour of a picture: RGB, nearest CSS name, percent of the picture, and how striking it is."""

    rgb: tuple[int, int, int]
    name: str
    percent: float
    score: float


def main_colours(image: Image.Image, count: int = 8) -> list[Colour]:
    """Return the main colours, most frequent first. Scores grow with share and saturation; they sum to 1."""
    small = image.quantize(count, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    rgbs, counts = np.unique(np.asarray(small).reshape(-1, 3), axis=0, return_counts=True)
    found = sorted(zip(counts.tolist(), map(tuple, rgbs.tolist()), strict=True), reverse=True)
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
