"""Animals."""

from __future__ import annotations

from jobs.sample.drawing.kinds import AFLOAT, AIR, BRIGHT, kind
from jobs.sample.drawing.pen import BLACK, WHITE, Pen, clear, dark, light, mix, path

FUR = ("black", "orange", "white", "brown", "grey")
_PINK = (236, 150, 150)


def _eyes(p: Pen, x: float, y: float, r: float) -> None:
    """Draw two eyes at -x and x."""
    for side in (-x, x):
        p.dot(side, y, r, BLACK)
        p.dot(side + r * 0.3, y - r * 0.35, r * 0.35, WHITE)


@kind("animal", FUR)
def cat(p: Pen) -> None:
    p.curve([(0.38, 0.85), (0.8, 0.8), (0.86, 0.4), (0.68, 0.14)], 0.16, p.dark)
    p.blob(path("-0.3,-0.1 0.3,-0.1 0.52,0.6 0.42,0.98 -0.42,0.98 -0.52,0.6"), p.main)
    p.oval(0, 0.5, 0.22, 0.36, p.light)
    for side in (-1, 1):
        p.oval(side * 0.2, 0.92, 0.16, 0.09, p.light)
        p.poly([(side * 0.46, -0.42), (side * 0.44, -1.0), (side * 0.08, -0.72)], p.main)
        p.poly([(side * 0.4, -0.52), (side * 0.39, -0.84), (side * 0.18, -0.7)], _PINK)
    p.oval(0, -0.4, 0.5, 0.42, p.main)
    if p.rng.random() < 0.5:
        for x in (-0.14, 0, 0.14):
            p.line([(x, -0.8), (x * 0.8, -0.64)], 0.06, p.dark)
    p.oval(0, -0.26, 0.2, 0.14, p.light)
    for side in (-1, 1):
        p.oval(side * 0.2, -0.45, 0.1, 0.12, (206, 216, 96))
        p.oval(side * 0.2, -0.45, 0.04, 0.1, BLACK)
        for y in (-0.3, -0.22):
            p.line([(side * 0.16, -0.25), (side * 0.62, y - 0.02)], 0.025, clear(WHITE, 0.8))
    p.poly([(-0.06, -0.33), (0.06, -0.33), (0, -0.26)], _PINK)


@kind("animal", FUR)
def dog(p: Pen) -> None:
    p.curve([(-0.4, 0.8), (-0.74, 0.6), (-0.82, 0.3)], 0.15, p.main)
    p.blob(path("-0.3,0 0.3,0 0.46,0.6 0.4,0.98 -0.44,0.98 -0.5,0.6"), p.main)
    p.oval(0, 0.42, 0.22, 0.34, p.light)
    for side in (-1, 1):
        p.box(side * 0.2 - 0.13, 0.55, side * 0.2 + 0.13, 1.0, p.main, 0.1)
        p.oval(side * 0.2, 0.94, 0.16, 0.08, p.light)
    p.box(-0.42, -0.98, 0.42, -0.1, p.main, 0.36)
    for side in (-1, 1):
        p.blob([(side * 0.3, -0.92), (side * 0.6, -0.84), (side * 0.68, -0.3), (side * 0.46, -0.2)], p.dark)
    p.oval(0, -0.26, 0.3, 0.26, p.light)
    p.oval(0, 0.0, 0.09, 0.14, (226, 96, 104))
    p.oval(0, -0.38, 0.12, 0.09, BLACK)
    _eyes(p, 0.18, -0.6, 0.08)
    p.box(-0.36, 0.06, 0.36, 0.16, p.accent, 0.05)
    p.dot(0, 0.2, 0.07, (246, 206, 80))


@kind("animal", BRIGHT, AFLOAT)
def fish(p: Pen) -> None:
    p.poly([(0.5, 0.0), (1.0, -0.5), (0.88, 0.0), (1.0, 0.5)], p.dark)
    p.blob([(-0.1, -0.44), (0.2, -0.8), (0.42, -0.3)], p.dark)
    p.oval(-0.12, 0, 0.76, 0.48, p.main)
    p.oval(-0.12, 0.16, 0.6, 0.28, p.light)
    for x in (-0.16, 0.18, 0.44):
        half = 0.42 - 0.22 * max(0.0, x)
        p.curve([(x, -half), (x + 0.1, 0), (x, half)], 0.1, p.accent)
    p.poly([(-0.1, 0.06), (0.2, 0.3), (-0.06, 0.36)], p.dark)
    p.dot(-0.56, -0.1, 0.13, WHITE)
    p.dot(-0.59, -0.1, 0.07, BLACK)
    p.curve([(-0.86, 0.1), (-0.76, 0.16), (-0.66, 0.14)], 0.04, p.dark)
    for x, y, r in ((-0.8, -0.5, 0.07), (-0.64, -0.74, 0.05)):
        p.dot(x, y, r, clear(WHITE, 0.6))


@kind("animal", ("red", "yellow", "blue", "green", "brown", "black"))
def bird(p: Pen) -> None:
    p.line([(-1.0, 0.82), (1.0, 0.9)], 0.12, (116, 82, 56))
    p.line([(0.5, 0.86), (0.8, 0.6)], 0.07, (116, 82, 56))
    p.oval(0.82, 0.55, 0.14, 0.08, (96, 160, 84), -40)
    for x in (-0.1, 0.14):
        p.line([(x, 0.5), (x, 0.82)], 0.06, (222, 150, 60))
    p.poly([(0.3, 0.1), (1.0, 0.46), (0.9, 0.62), (0.2, 0.5)], p.dark)
    p.blob(path("-0.5,-0.5 -0.1,-0.5 0.4,0 0.44,0.4 0,0.64 -0.46,0.4 -0.56,-0.1"), p.main)
    p.oval(-0.22, 0.3, 0.26, 0.3, p.light)
    p.dot(-0.36, -0.52, 0.36, p.main)
    p.blob([(-0.06, -0.1), (0.4, 0.1), (0.62, 0.42), (0.1, 0.4)], p.dark)
    p.poly([(-0.68, -0.6), (-1.0, -0.46), (-0.66, -0.4)], (244, 178, 60))
    p.dot(-0.46, -0.58, 0.08, BLACK)
    p.dot(-0.48, -0.61, 0.03, WHITE)


@kind("animal", BRIGHT, AIR)
def butterfly(p: Pen) -> None:
    for side in (-1, 1):
        p.blob(
            [(side * 0.06, -0.1), (side * 0.3, -0.78), (side * 0.9, -0.86), (side * 0.86, -0.2), (side * 0.4, 0.06)],
            p.main,
        )
        p.blob(
            [(side * 0.06, 0.0), (side * 0.6, 0.08), (side * 0.74, 0.54), (side * 0.4, 0.84), (side * 0.1, 0.4)], p.dark
        )
        p.dot(side * 0.62, -0.54, 0.16, p.accent)
        p.dot(side * 0.36, -0.3, 0.09, p.light)
        p.dot(side * 0.44, 0.44, 0.13, p.light)
        p.curve([(0, -0.5), (side * 0.1, -0.8), (side * 0.24, -0.94)], 0.04, BLACK)
    p.oval(0, 0.02, 0.09, 0.56, BLACK)
    p.dot(0, -0.52, 0.11, BLACK)


@kind("animal", ("grey", "blue", "pink"))
def elephant(p: Pen) -> None:
    for x in (-0.1, 0.56):
        p.box(x - 0.14, 0.3, x + 0.14, 1.0, p.dark, 0.06)
    p.curve([(0.84, -0.1), (0.98, 0.1), (0.94, 0.36)], 0.06, p.dark)
    p.oval(0.32, 0.04, 0.6, 0.52, p.main)
    for x in (0.08, 0.72):
        p.box(x - 0.15, 0.3, x + 0.15, 1.0, p.main, 0.06)
        p.box(x - 0.13, 0.92, x + 0.13, 1.0, p.light, 0.04)
    p.curve([(-0.6, -0.1), (-0.8, 0.3), (-0.78, 0.7), (-0.94, 0.82)], 0.2, p.main)
    p.dot(-0.4, -0.26, 0.42, p.main)
    p.poly([(-0.54, 0.06), (-0.66, 0.36), (-0.42, 0.1)], WHITE)
    p.oval(-0.08, -0.3, 0.32, 0.42, p.dark, 12)
    p.oval(-0.06, -0.3, 0.22, 0.31, mix(p.main, _PINK, 0.5), 12)
    p.dot(-0.56, -0.32, 0.06, BLACK)


@kind("animal", ("green", "brown"))
def turtle(p: Pen) -> None:
    skin = light(p.main, 0.35)
    for x in (-0.42, 0.42):
        p.box(x - 0.16, 0.5, x + 0.16, 1.0, dark(skin, 0.12), 0.12)
    p.poly([(0.66, 0.6), (0.98, 0.74), (0.66, 0.76)], skin)
    p.box(-0.94, 0.2, -0.56, 0.66, skin, 0.16)
    p.oval(-0.78, 0.16, 0.22, 0.19, skin)
    p.bow(0, 0.66, 0.74, 0.9, 180, 360, p.main)
    p.box(-0.78, 0.58, 0.78, 0.74, dark(p.main, 0.35), 0.08)
    for x, y, r in ((0, 0.14, 0.22), (-0.4, 0.34, 0.15), (0.4, 0.34, 0.15)):
        p.poly(
            [
                (x + r * dx, y + r * dy)
                for dx, dy in ((-0.5, -0.9), (0.5, -0.9), (1, 0), (0.5, 0.9), (-0.5, 0.9), (-1, 0))
            ],
            dark(p.main, 0.35),
        )
    p.dot(-0.84, 0.12, 0.05, BLACK)


@kind("animal", ("brown", "grey", "white"))
def owl(p: Pen) -> None:
    for side in (-1, 1):
        p.poly([(side * 0.56, -0.5), (side * 0.6, -0.98), (side * 0.14, -0.7)], p.dark)
    p.oval(0, 0.1, 0.62, 0.86, p.main)
    p.oval(0, 0.36, 0.42, 0.54, p.light)
    for row in range(3):
        for x in (-0.2, 0.0, 0.2):
            p.pie(x, 0.16 + row * 0.2, 0.09, 0, 180, p.dark)
    for side in (-1, 1):
        p.oval(side * 0.56, 0.2, 0.15, 0.52, p.dark, side * -8)
        p.dot(side * 0.26, -0.38, 0.28, light(p.light, 0.5))
        p.dot(side * 0.24, -0.38, 0.19, (246, 180, 50))
        p.dot(side * 0.24, -0.38, 0.11, BLACK)
        p.oval(side * 0.2, 0.96, 0.14, 0.06, (236, 160, 60))
    p.poly([(-0.09, -0.3), (0.09, -0.3), (0, -0.06)], (236, 160, 60))


@kind("animal", ("white", "grey", "brown", "black"))
def rabbit(p: Pen) -> None:
    for side, turn in ((-1, -10), (1, 14)):
        p.oval(side * 0.2, -0.66, 0.14, 0.38, p.main, turn)
        p.oval(side * 0.2, -0.64, 0.07, 0.27, _PINK, turn)
    p.dot(0.5, 0.72, 0.18, p.light)
    p.blob(path("-0.26,0.1 0.26,0.1 0.54,0.6 0.4,0.98 -0.4,0.98 -0.54,0.6"), p.main)
    p.oval(0, 0.62, 0.26, 0.3, p.light)
    p.oval(0, -0.08, 0.42, 0.36, p.main)
    for side in (-1, 1):
        p.oval(side * 0.26, 0.94, 0.2, 0.09, p.light)
        p.oval(side * 0.1, 0.08, 0.12, 0.1, p.light)
    _eyes(p, 0.2, -0.14, 0.07)
    p.poly([(-0.06, -0.02), (0.06, -0.02), (0, 0.05)], _PINK)
    p.box(-0.05, 0.12, 0.05, 0.22, WHITE)


@kind("animal", ("blue", "grey", "black"), AFLOAT)
def whale(p: Pen) -> None:
    for side in (-1, 1):
        p.curve([(-0.3, -0.5), (-0.3 + side * 0.1, -0.84), (-0.3 + side * 0.36, -0.76)], 0.08, (206, 234, 250))
    p.blob(
        path("-0.94,0.1 -0.76,-0.36 -0.2,-0.5 0.4,-0.2 0.72,-0.1 0.8,-0.36 0.94,-0.1 0.74,0.34 0.2,0.62 -0.6,0.58"),
        p.main,
    )
    p.poly(path("0.82,-0.2 0.54,-0.66 0.86,-0.5 1.06,-0.62 0.96,-0.14"), p.main)
    p.blob(path("-0.9,0.2 -0.4,0.3 0.2,0.34 0.3,0.5 -0.2,0.62 -0.7,0.54"), p.light)
    for x in (-0.6, -0.4, -0.2, 0.0):
        p.line([(x, 0.34), (x + 0.04, 0.56)], 0.03, p.dark)
    p.blob([(-0.16, 0.36), (0.12, 0.4), (0.2, 0.74), (0.0, 0.66)], p.dark)
    p.dot(-0.62, 0.08, 0.07, WHITE)
    p.dot(-0.63, 0.08, 0.045, BLACK)


@kind("animal", ("yellow", "white", "brown", "green"), AFLOAT)
def duck(p: Pen) -> None:
    p.blob(path("-0.5,0.3 0,0.14 0.5,0.2 0.96,-0.06 0.8,0.6 0.3,0.86 -0.4,0.8"), p.main)
    p.blob([(-0.6, 0.4), (-0.6, -0.1), (-0.3, -0.2), (-0.1, 0.3)], p.main)
    p.dot(-0.38, -0.36, 0.36, p.main)
    p.blob(path("-0.1,0.34 0.4,0.3 0.74,0.36 0.4,0.66 0,0.6"), p.dark)
    p.blob([(-0.68, -0.36), (-1.0, -0.3), (-0.98, -0.16), (-0.64, -0.18)], (244, 140, 50))
    p.dot(-0.48, -0.44, 0.08, BLACK)
    p.dot(-0.5, -0.47, 0.03, WHITE)


@kind("animal")
def penguin(p: Pen) -> None:
    for side in (-1, 1):
        p.oval(side * 0.22, 0.94, 0.2, 0.08, (244, 160, 52))
        p.oval(side * 0.56, 0.2, 0.12, 0.46, (38, 44, 66), side * -14)
    p.oval(0, 0.2, 0.56, 0.76, (48, 54, 78))
    p.oval(0, 0.3, 0.4, 0.62, WHITE)
    p.oval(0, -0.56, 0.4, 0.4, (48, 54, 78))
    for side in (-1, 1):
        p.oval(side * 0.16, -0.46, 0.19, 0.22, WHITE)
    _eyes(p, 0.15, -0.54, 0.07)
    p.poly([(-0.12, -0.42), (0.12, -0.42), (0, -0.26)], (244, 160, 52))
    if p.rng.random() < 0.5:
        p.box(-0.42, -0.26, 0.42, -0.12, p.accent, 0.06)
        p.box(0.14, -0.2, 0.32, 0.22, p.accent, 0.04)


@kind("animal", ("brown", "black", "white", "grey"))
def bear(p: Pen) -> None:
    for side in (-1, 1):
        p.dot(side * 0.4, -0.8, 0.19, p.main)
        p.dot(side * 0.4, -0.8, 0.1, p.light)
        p.oval(side * 0.6, 0.3, 0.18, 0.36, p.main, side * -24)
        p.oval(side * 0.36, 0.88, 0.26, 0.14, p.dark)
    p.oval(0, 0.4, 0.56, 0.56, p.main)
    p.oval(0, 0.46, 0.34, 0.38, p.light)
    p.oval(0, -0.46, 0.52, 0.46, p.main)
    p.oval(0, -0.3, 0.24, 0.2, p.light)
    p.oval(0, -0.4, 0.1, 0.07, BLACK)
    p.curve([(-0.1, -0.24), (0, -0.2), (0.1, -0.24)], 0.04, BLACK)
    _eyes(p, 0.22, -0.54, 0.07)


@kind("animal", stands=AIR)
def bee(p: Pen) -> None:
    for x, turn in ((-0.1, -24), (0.3, 20)):
        p.oval(x, -0.5, 0.22, 0.4, (222, 238, 250), turn)
    p.poly([(0.7, 0.1), (0.98, 0.2), (0.7, 0.3)], BLACK)
    p.oval(0.14, 0.14, 0.66, 0.46, (248, 204, 62))
    for x, half in ((0.04, 0.44), (0.34, 0.42), (0.6, 0.3)):
        p.curve([(x, 0.14 - half), (x + 0.06, 0.14), (x, 0.14 + half)], 0.13, BLACK)
    p.dot(-0.5, 0.1, 0.32, (248, 204, 62))
    p.dot(-0.6, 0.04, 0.08, BLACK)
    p.curve([(-0.74, 0.2), (-0.66, 0.26), (-0.56, 0.24)], 0.04, BLACK)
    for x in (-0.7, -0.44):
        p.curve([(x + 0.08, -0.18), (x, -0.4), (x - 0.1, -0.46)], 0.04, BLACK)
