"""Animals and plants."""

from __future__ import annotations

import math

from jobs.sample.drawing.kinds import AFLOAT, AIR, BRIGHT, ON_TABLE, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, mix

GREEN: RGB = (82, 150, 74)
_FUR = ("black", "orange", "white", "brown", "grey")
_PINK: RGB = (236, 150, 150)
_BARK: RGB = (122, 84, 56)


@kind("animal", _FUR)
def cat(p: Pen) -> None:
    p.curve("0.38,0.85 0.8,0.8 0.86,0.4 0.68,0.14", 0.16, p.dark)
    p.blob("-0.3,-0.1 0.3,-0.1 0.52,0.6 0.42,0.98 -0.42,0.98 -0.52,0.6", p.main)
    p.oval(0, 0.5, 0.22, 0.36, p.light)
    for side in (-1, 1):
        p.oval(side * 0.2, 0.92, 0.16, 0.09, p.light)
        p.poly([(side * 0.46, -0.42), (side * 0.44, -1.0), (side * 0.08, -0.72)], p.main)
        p.poly([(side * 0.4, -0.52), (side * 0.39, -0.84), (side * 0.18, -0.7)], _PINK)
    p.oval(0, -0.4, 0.5, 0.42, p.main)
    p.oval(0, -0.26, 0.2, 0.14, p.light)
    for side in (-1, 1):
        p.oval(side * 0.2, -0.45, 0.1, 0.12, (206, 216, 96))
        p.oval(side * 0.2, -0.45, 0.04, 0.1, BLACK)
    p.poly("-0.06,-0.33 0.06,-0.33 0,-0.26", _PINK)


@kind("animal", _FUR)
def dog(p: Pen) -> None:
    p.curve("-0.4,0.8 -0.74,0.6 -0.82,0.3", 0.15, p.main)
    p.blob("-0.3,0 0.3,0 0.46,0.6 0.4,0.98 -0.44,0.98 -0.5,0.6", p.main)
    p.oval(0, 0.42, 0.22, 0.34, p.light)
    p.box(-0.42, -0.98, 0.42, -0.1, p.main, 0.36)
    for side in (-1, 1):
        p.oval(side * 0.2, 0.94, 0.16, 0.08, p.light)
        p.blob([(side * 0.3, -0.92), (side * 0.6, -0.84), (side * 0.68, -0.3), (side * 0.46, -0.2)], p.dark)
        p.dot(side * 0.18, -0.6, 0.08, BLACK)
    p.oval(0, -0.26, 0.3, 0.26, p.light)
    p.oval(0, 0.0, 0.09, 0.14, (226, 96, 104))
    p.oval(0, -0.38, 0.12, 0.09, BLACK)
    p.box(-0.36, 0.06, 0.36, 0.16, p.accent, 0.05)


@kind("animal", BRIGHT, AFLOAT)
def fish(p: Pen) -> None:
    p.poly("0.5,0 1,-0.5 0.88,0 1,0.5", p.dark)
    p.blob("-0.1,-0.44 0.2,-0.8 0.42,-0.3", p.dark)
    p.oval(-0.12, 0, 0.76, 0.48, p.main)
    p.oval(-0.12, 0.16, 0.6, 0.28, p.light)
    for x in (-0.16, 0.18):
        p.curve([(x, -0.4), (x + 0.1, 0), (x, 0.4)], 0.1, p.accent)
    p.dot(-0.56, -0.1, 0.13, WHITE)
    p.dot(-0.59, -0.1, 0.07, BLACK)


@kind("animal", ("red", "yellow", "blue", "green", "brown", "black"))
def bird(p: Pen) -> None:
    p.line("-1,0.82 1,0.9", 0.12, _BARK)
    for x in (-0.1, 0.14):
        p.line([(x, 0.5), (x, 0.82)], 0.06, (222, 150, 60))
    p.poly("0.3,0.1 1,0.46 0.9,0.62 0.2,0.5", p.dark)
    p.blob("-0.5,-0.5 -0.1,-0.5 0.4,0 0.44,0.4 0,0.64 -0.46,0.4 -0.56,-0.1", p.main)
    p.oval(-0.22, 0.3, 0.26, 0.3, p.light)
    p.dot(-0.36, -0.52, 0.36, p.main)
    p.blob("-0.06,-0.1 0.4,0.1 0.62,0.42 0.1,0.4", p.dark)
    p.poly("-0.68,-0.6 -1,-0.46 -0.66,-0.4", (244, 178, 60))
    p.dot(-0.46, -0.58, 0.08, BLACK)


@kind("animal", BRIGHT, AIR)
def butterfly(p: Pen) -> None:
    for side in (-1, 1):
        upper = ((0.06, -0.1), (0.3, -0.78), (0.9, -0.86), (0.86, -0.2), (0.4, 0.06))
        lower = ((0.06, 0.0), (0.6, 0.08), (0.74, 0.54), (0.4, 0.84), (0.1, 0.4))
        p.blob([(side * x, y) for x, y in upper], p.main)
        p.blob([(side * x, y) for x, y in lower], p.dark)
        p.dot(side * 0.62, -0.54, 0.16, p.accent)
        p.dot(side * 0.44, 0.44, 0.13, p.light)
        p.curve([(0, -0.5), (side * 0.1, -0.8), (side * 0.24, -0.94)], 0.04, BLACK)
    p.oval(0, 0.02, 0.09, 0.56, BLACK)


@kind("plant", ("green", "orange", "red", "pink", "yellow"))
def tree(p: Pen) -> None:
    p.poly("-0.12,1 -0.08,0 0.08,0 0.14,1", _BARK)
    for x, y, r, shade in (
        (-0.4, -0.1, 0.38, p.dark),
        (0.42, -0.12, 0.38, p.dark),
        (0, -0.2, 0.46, p.main),
        (-0.24, -0.46, 0.38, p.main),
        (0.26, -0.5, 0.38, p.main),
        (-0.06, -0.66, 0.3, p.light),
    ):
        p.dot(x, y, r, shade)


@kind("plant", ("white", "yellow", "pink", "purple", "blue", "red", "orange"))
def flower(p: Pen) -> None:
    p.curve("0,1 0.06,0.5 0,-0.2", 0.08, GREEN)
    p.oval(-0.26, 0.66, 0.28, 0.11, GREEN, 28)
    p.oval(0.3, 0.54, 0.28, 0.11, GREEN, -28)
    count = p.rng.choice((6, 8, 10))
    for step in range(count):
        turn = 360 * step / count
        x, y = 0.36 * math.cos(math.radians(turn)), -0.4 + 0.36 * math.sin(math.radians(turn))
        p.oval(x, y, 0.26, 1.1 / count, p.main if step % 2 else mix(p.main, p.dark, 0.25), turn)
    p.dot(0, -0.4, 0.2, (246, 196, 60) if p.main[2] > 100 or p.main[1] < 100 else (126, 78, 44))


@kind("plant", ("green",))
def cactus(p: Pen) -> None:
    p.line("-0.5,-0.2 -0.5,0.36 0,0.42", 0.2, p.dark)
    p.line("0.5,-0.42 0.5,0.1 0,0.18", 0.2, p.dark)
    p.box(-0.24, -0.94, 0.24, 0.66, p.main, 0.24)
    for x in (-0.1, 0.1):
        p.line([(x, -0.74), (x, 0.5)], 0.03, p.dark)
    p.dot(0.04, -0.94, 0.11, (238, 110, 150))
    p.poly("-0.46,0.5 0.46,0.5 0.3,1 -0.3,1", (180, 90, 56))


@kind("plant", ("red", "green", "yellow"), ON_TABLE)
def apple(p: Pen) -> None:
    p.blob("0,-0.42 0.4,-0.56 0.8,-0.2 0.72,0.5 0.3,0.96 0,0.88 -0.3,0.96 -0.72,0.5 -0.8,-0.2 -0.4,-0.56", p.main)
    p.oval(-0.4, -0.04, 0.14, 0.28, clear(WHITE, 0.45), 20)
    p.curve("0,-0.4 0.02,-0.7 0.12,-0.9", 0.09, _BARK)
    p.oval(0.38, -0.74, 0.28, 0.12, GREEN, -22)
