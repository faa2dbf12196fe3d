"""Plants and fruit."""

from __future__ import annotations

import math

from jobs.sample.drawing.kinds import BRIGHT, ON_TABLE, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, dark, light, mix, path

GREEN: RGB = (82, 150, 74)
_BARK: RGB = (122, 84, 56)


@kind("plant", ("green", "orange", "red", "pink", "yellow"))
def tree(p: Pen) -> None:
    p.poly([(-0.12, 1.0), (-0.08, 0.0), (0.08, 0.0), (0.14, 1.0)], _BARK)
    p.line([(0.02, 0.4), (0.3, 0.1)], 0.08, _BARK)
    for x, y, r, shade in (
        (-0.4, -0.1, 0.38, p.dark),
        (0.42, -0.12, 0.38, p.dark),
        (0, -0.2, 0.46, p.main),
        (-0.24, -0.46, 0.38, p.main),
        (0.26, -0.5, 0.38, p.main),
        (-0.06, -0.66, 0.3, p.light),
    ):
        p.dot(x, y, r, shade)
    for _ in range(9):
        p.dot(p.rng.uniform(-0.5, 0.5), p.rng.uniform(-0.7, 0.0), 0.05, clear(p.accent, 0.5))


@kind("plant", ("white", "yellow", "pink", "purple", "blue", "red", "orange"))
def flower(p: Pen) -> None:
    p.curve([(0.0, 1.0), (0.06, 0.5), (0.0, -0.2)], 0.08, GREEN)
    p.oval(-0.26, 0.66, 0.28, 0.11, GREEN, 28)
    p.oval(0.3, 0.54, 0.28, 0.11, dark(GREEN, 0.12), -28)
    count = p.rng.choice((6, 8, 10))
    for step in range(count):
        turn = 360 * step / count
        x, y = 0.36 * math.cos(math.radians(turn)), -0.4 + 0.36 * math.sin(math.radians(turn))
        p.oval(x, y, 0.26, 1.1 / count, p.main if step % 2 else mix(p.main, p.dark, 0.25), turn)
    p.dot(0, -0.4, 0.2, (246, 196, 60) if p.main[2] > 100 or p.main[1] < 100 else (126, 78, 44))
    p.dot(-0.05, -0.45, 0.07, clear(WHITE, 0.5))


@kind("plant", BRIGHT)
def tulip(p: Pen) -> None:
    p.curve([(0.0, 1.0), (-0.04, 0.4), (0.0, -0.1)], 0.09, GREEN)
    p.blob([(0.0, 0.98), (-0.34, 0.5), (-0.46, 0.0), (-0.2, 0.44)], GREEN)
    p.blob([(0.0, 0.98), (0.36, 0.56), (0.52, 0.1), (0.2, 0.5)], dark(GREEN, 0.12))
    p.blob(path("-0.1,-0.1 -0.2,-0.7 0,-0.98 0.2,-0.7 0.1,-0.1"), p.dark)
    for side in (-1, 1):
        p.blob(
            [(0.0, 0.02), (side * 0.4, -0.16), (side * 0.44, -0.6), (side * 0.36, -0.92), (side * 0.06, -0.5)], p.main
        )
    p.blob([(0.0, 0.02), (-0.2, -0.2), (0, -0.66), (0.2, -0.2)], p.light)


@kind("plant", ("green",))
def cactus(p: Pen) -> None:
    p.line([(-0.5, 0.1), (-0.5, 0.36), (0.0, 0.42)], 0.2, p.dark)
    p.line([(-0.5, -0.2), (-0.5, 0.36)], 0.2, p.dark)
    p.line([(0.5, -0.42), (0.5, 0.1), (0.0, 0.18)], 0.2, p.dark)
    p.box(-0.24, -0.94, 0.24, 0.66, p.main, 0.24)
    for x in (-0.1, 0.1):
        p.line([(x, -0.74), (x, 0.5)], 0.03, p.dark)
    for y in (-0.6, -0.3, 0.0, 0.3):
        for x in (-0.2, 0.0, 0.2):
            p.line([(x, y), (x + 0.05, y - 0.05)], 0.025, (250, 244, 210))
    p.dot(0.04, -0.94, 0.11, (238, 110, 150))
    p.box(-0.46, 0.5, 0.46, 0.62, (196, 104, 66), 0.03)
    p.poly([(-0.4, 0.62), (0.4, 0.62), (0.3, 1.0), (-0.3, 1.0)], (180, 90, 56))


@kind("plant", ("red", "brown", "orange", "purple"))
def mushroom(p: Pen) -> None:
    p.blob(path("-0.18,-0.1 0.18,-0.1 0.3,0.9 0,1 -0.3,0.9"), (244, 232, 210))
    p.oval(0, 0.06, 0.5, 0.12, (222, 204, 176))
    p.bow(0, 0.06, 0.84, 0.96, 180, 360, p.main)
    p.oval(0, 0.06, 0.84, 0.1, p.dark)
    for x, y, r in (
        (-0.44, -0.26, 0.13),
        (0.04, -0.56, 0.16),
        (0.46, -0.26, 0.14),
        (-0.04, -0.16, 0.1),
        (-0.3, -0.6, 0.07),
    ):
        p.oval(x, y, r, r * 0.85, WHITE)


@kind("plant", ("green",))
def palm_tree(p: Pen) -> None:
    p.curve([(-0.16, 1.0), (0.02, 0.4), (0.06, -0.36)], 0.17, (154, 112, 70))
    for y in (0.8, 0.56, 0.32, 0.08, -0.16):
        p.line([(-0.08 - y * 0.08, y), (0.12 - y * 0.1, y)], 0.035, (116, 80, 50))
    for dx, dy, shade in (
        (-0.8, 0.34, p.dark),
        (0.86, 0.34, p.dark),
        (-0.9, -0.16, p.main),
        (0.92, -0.14, p.main),
        (-0.5, -0.5, p.light),
        (0.6, -0.5, p.light),
    ):
        p.blob(
            [(0.06, -0.42), (0.06 + dx * 0.5, -0.58 + dy * 0.5), (dx, -0.36 + dy), (dx * 0.5, -0.38 + dy * 0.6)], shade
        )
    for x in (-0.08, 0.12, 0.24):
        p.dot(x, -0.24, 0.1, (120, 78, 44))


@kind("plant", ("orange", "green", "white"))
def pumpkin(p: Pen) -> None:
    p.line([(0.0, -0.36), (0.08, -0.7)], 0.15, (92, 130, 60))
    p.curve([(0.06, -0.5), (0.4, -0.74), (0.62, -0.5)], 0.05, (92, 130, 60))
    for x, r, shade in (
        (-0.52, 0.4, p.dark),
        (0.52, 0.4, p.dark),
        (-0.28, 0.42, p.main),
        (0.28, 0.42, p.main),
        (0, 0.36, p.light),
    ):
        p.oval(x, 0.28, r, 0.68, shade)


@kind("plant", ("red", "green", "yellow"), ON_TABLE)
def apple(p: Pen) -> None:
    p.blob(path("0,-0.42 0.4,-0.56 0.8,-0.2 0.72,0.5 0.3,0.96 0,0.88 -0.3,0.96 -0.72,0.5 -0.8,-0.2 -0.4,-0.56"), p.main)
    p.oval(-0.4, -0.04, 0.14, 0.28, clear(WHITE, 0.45), 20)
    p.curve([(0, -0.4), (0.02, -0.7), (0.12, -0.9)], 0.09, _BARK)
    p.oval(0.38, -0.74, 0.28, 0.12, GREEN, -22)


@kind("plant", ("yellow", "green"), ON_TABLE)
def banana(p: Pen) -> None:
    for drop, shade in ((0.26, p.dark), (0.0, p.main)):
        p.blob(
            [
                (-0.86, -0.5 + drop),
                (-0.6, 0.1 + drop),
                (0.0, 0.42 + drop),
                (0.7, 0.2 + drop),
                (0.94, -0.1 + drop),
                (0.98, 0.16 + drop),
                (0.6, 0.62 + drop),
                (0.0, 0.76 + drop),
                (-0.66, 0.4 + drop),
                (-0.96, -0.3 + drop),
            ],
            shade,
        )
    p.line([(-0.9, -0.42), (-0.84, -0.74)], 0.15, mix(p.dark, _BARK, 0.5))
    p.dot(0.95, 0.02, 0.08, BLACK)
    p.curve([(-0.78, -0.14), (-0.4, 0.4), (0.2, 0.58), (0.76, 0.34)], 0.04, p.dark)


@kind("plant", ("red", "purple"), ON_TABLE)
def cherries(p: Pen) -> None:
    for x, bend in ((-0.42, -0.2), (0.44, 0.3)):
        p.curve([(0.1, -0.86), (x * 0.5 + bend * 0.4, -0.3), (x, 0.3)], 0.06, (96, 120, 60))
        p.dot(x, 0.54, 0.42, p.main)
        p.oval(x - 0.14, 0.38, 0.09, 0.15, clear(WHITE, 0.55), 30)
    p.blob([(0.1, -0.86), (0.46, -0.98), (0.86, -0.7), (0.5, -0.6)], GREEN)


@kind("plant", stands=ON_TABLE)
def watermelon(p: Pen) -> None:
    p.bow(0, -0.36, 0.98, 1.16, 0, 180, (54, 122, 62))
    p.bow(0, -0.36, 0.88, 1.04, 0, 180, (226, 240, 200))
    p.bow(0, -0.36, 0.8, 0.94, 0, 180, (226, 66, 76))
    for x, y in (
        (-0.5, -0.14),
        (-0.18, -0.1),
        (0.16, -0.14),
        (0.5, -0.1),
        (-0.32, 0.14),
        (0.02, 0.16),
        (0.34, 0.14),
        (-0.1, 0.38),
        (0.16, 0.4),
    ):
        p.oval(x, y, 0.04, 0.07, BLACK)


@kind("plant", ("yellow", "orange", "green"), ON_TABLE)
def citrus(p: Pen) -> None:
    p.dot(0.34, 0.3, 0.6, p.dark)
    p.dot(-0.3, 0.32, 0.66, p.main)
    p.dot(-0.3, 0.32, 0.57, light(p.light, 0.6))
    for step in range(8):
        p.pie(-0.3, 0.32, 0.5, step * 45 + 4, step * 45 + 41, mix(p.main, p.light, 0.35))
    p.oval(0.6, -0.36, 0.24, 0.1, GREEN, -30)
