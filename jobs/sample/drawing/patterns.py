"""Pictures that are all texture: stripes, bricks, waves and so on, in two colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from jobs.sample.drawing.pen import Pen, clear, dark, light, mix

Pattern = Callable[[Pen, float, Random], None]
PATTERNS: dict[str, Pattern] = {}


def pattern(draw: Pattern) -> Pattern:
    """Register a pattern under the function's name. It is given a pen in units of the height, and the width."""
    PATTERNS[draw.__name__] = draw
    return draw


@pattern
def stripes(p: Pen, width: float, rng: Random) -> None:
    gap, slant = rng.choice((0.12, 0.18)), rng.choice((0.0, 0.5, 1.0))
    for step in range(-12, int(width / gap / 2) + 2):
        x = step * gap * 2
        p.poly([(x, 0), (x + gap, 0), (x + gap + slant, 1), (x + slant, 1)], p.accent)


@pattern
def polka_dots(p: Pen, width: float, rng: Random) -> None:
    gap = rng.choice((0.18, 0.26))
    for row in range(-1, int(1 / gap) + 2):
        for column in range(-1, int(width / gap) + 2):
            p.dot((column + row % 2 / 2) * gap, row * gap * 0.87, gap * 0.3, p.accent)


@pattern
def checks(p: Pen, width: float, rng: Random) -> None:
    gap = rng.choice((0.14, 0.2))
    for row in range(int(1 / gap) + 1):
        for column in range(int(width / gap) + 1):
            if (row + column) % 2:
                p.box(column * gap, row * gap, column * gap + gap, row * gap + gap, p.accent)


@pattern
def waves(p: Pen, width: float, rng: Random) -> None:
    gap, phase = rng.choice((0.16, 0.22)), rng.uniform(0, 6)
    for row in range(-1, int(1 / gap) + 2):
        path = [(x * width / 24, row * gap + 0.06 * math.sin(x * 0.9 + phase)) for x in range(-1, 27)]
        p.line(path, gap * 0.42, p.accent)


@pattern
def bricks(p: Pen, width: float, rng: Random) -> None:
    p.box(0, 0, width, 1, light(p.main, 0.7))
    tall, wide = 0.13, 0.3
    for row in range(9):
        for column in range(-1, int(width / wide) + 2):
            x, y = (column + row % 2 / 2) * wide, row * tall
            p.box(x, y, x + wide - 0.025, y + tall - 0.025, mix(p.main, p.dark, rng.random() * 0.6))


@pattern
def leaves(p: Pen, width: float, rng: Random) -> None:
    for _ in range(46):
        x, y, turn = rng.uniform(0, width), rng.uniform(0, 1), rng.uniform(0, 180)
        shade = mix(p.main, rng.choice([p.accent, p.dark, p.light]), rng.uniform(0, 0.7))
        p.oval(x, y, 0.12, 0.05, shade, turn)
        dx, dy = 0.1 * math.cos(math.radians(turn)), 0.1 * math.sin(math.radians(turn))
        p.line([(x - dx, y - dy), (x + dx, y + dy)], 0.01, clear(dark(shade), 0.7))


@pattern
def circles(p: Pen, width: float, rng: Random) -> None:
    x, y = rng.uniform(0.3, width - 0.3), rng.uniform(0.3, 0.7)
    for step in range(9, 0, -1):
        p.dot(x, y, step * 0.12, p.accent if step % 2 else p.main)


@pattern
def triangles(p: Pen, width: float, rng: Random) -> None:
    size = 0.25
    for row in range(4):
        for column in range(-1, int(width / size) + 1):
            x, y = (column + row % 2 / 2) * size, row * size
            shade = mix(p.main, p.accent, rng.random())
            p.poly([(x, y + size), (x + size / 2, y), (x + size, y + size)], shade)
            p.poly([(x + size / 2, y), (x + size, y + size), (x + size * 1.5, y)], dark(shade, 0.15))
