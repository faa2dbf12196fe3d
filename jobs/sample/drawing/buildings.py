"""Buildings; houses and castles by country."""

from __future__ import annotations

import math

from jobs.sample.drawing.kinds import BRIGHT, PAINTED, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, dark, light, path

_PANE: RGB = (176, 214, 236)
_STONE: RGB = (186, 182, 176)
_TIMBER: RGB = (92, 60, 42)

_BEAMS = (
    "-0.68,-0.16 0.68,-0.16; -0.68,0.36 0.68,0.36; -0.68,-0.16 -0.68,0.98; 0.68,-0.16 0.68,0.98; "
    "-0.24,-0.16 -0.24,0.98; 0.24,-0.16 0.24,0.98; -0.66,0.36 -0.26,-0.14; 0.66,0.36 0.26,-0.14; "
    "-0.66,0.38 -0.26,0.96; 0.66,0.38 0.26,0.96; -0.3,-0.46 0.3,-0.46; 0.0,-0.74 0.0,-0.46"
)


def _window(p: Pen, x: float, y: float, half: float, frame: RGB = WHITE) -> None:
    p.box(x - half - 0.03, y - half - 0.03, x + half + 0.03, y + half + 0.03, frame)
    p.box(x - half, y - half, x + half, y + half, _PANE)
    p.line([(x, y - half), (x, y + half)], 0.03, frame)
    p.line([(x - half, y), (x + half, y)], 0.03, frame)


@kind("building", ("white", "blue", "grey", "green", "yellow"), concept="house", homes="US")
def wooden_house(p: Pen) -> None:
    p.box(0.36, -0.86, 0.54, -0.3, (160, 84, 66))
    p.box(-0.74, -0.06, 0.74, 0.94, p.main)
    for step in range(6):
        p.line([(-0.74, 0.06 + step * 0.15), (0.74, 0.06 + step * 0.15)], 0.02, p.dark)
    p.poly([(-0.94, 0.0), (0.0, -0.86), (0.94, 0.0)], (92, 96, 108))
    p.poly([(-0.52, -0.08), (0.0, -0.56), (0.52, -0.08)], p.light)
    _window(p, 0.0, -0.22, 0.1)
    for x in (-0.46, 0.46):
        _window(p, x, 0.3, 0.14)
    p.box(-0.14, 0.4, 0.14, 0.94, (160, 52, 46))
    p.poly(path("-0.5,0.34 0,0.12 0.5,0.34 0.5,0.4 -0.5,0.4"), (92, 96, 108))
    for x in (-0.42, 0.42):
        p.box(x - 0.04, 0.4, x + 0.04, 0.94, WHITE)
    p.box(-0.86, 0.92, 0.86, 1.0, (170, 160, 148))


@kind("building", concept="house", homes="GB")
def brick_house(p: Pen) -> None:
    brick = (176, 86, 62)
    for left, tint in ((-0.92, brick), (0.0, dark(brick, 0.12))):
        p.box(left + 0.1, -0.94, left + 0.32, -0.5, dark(brick, 0.2))
        p.poly([(left, -0.42), (left + 0.14, -0.76), (left + 0.78, -0.76), (left + 0.92, -0.42)], (84, 86, 98))
        p.box(left, -0.42, left + 0.92, 0.98, tint)
        for row in range(9):
            y = -0.34 + row * 0.15
            for column in range(4):
                x = left + 0.04 + column * 0.23 + (row % 2) * 0.1
                p.box(x, y, x + 0.1, y + 0.05, clear(light(tint, 0.5), 0.35))
        _window(p, left + 0.28, -0.12, 0.13)
        _window(p, left + 0.68, -0.12, 0.13)
        _window(p, left + 0.3, 0.5, 0.18)
        p.box(left + 0.6, 0.38, left + 0.82, 0.98, (40, 76, 120) if left < -0.5 else (36, 96, 66))
    p.box(-0.96, 0.94, 0.96, 1.0, _STONE)


@kind("building", ("white", "yellow", "pink"), concept="house", homes="DE FR")
def timber_house(p: Pen) -> None:
    p.box(-0.7, -0.2, 0.7, 1.0, light(p.main, 0.4))
    p.poly([(-0.9, -0.1), (0.0, -1.0), (0.9, -0.1)], (158, 70, 52))
    p.poly([(-0.62, -0.14), (0.0, -0.78), (0.62, -0.14)], light(p.main, 0.4))
    for beam in _BEAMS.split("; "):
        p.line(path(beam), 0.08, _TIMBER)
    _window(p, 0.0, 0.1, 0.13, _TIMBER)
    p.box(-0.15, 0.46, 0.15, 1.0, (110, 68, 44))
    for x in (-0.13, 0.0, 0.13):
        p.dot(x, 0.27, 0.06, (216, 60, 70))


@kind("building", concept="house", homes="JP")
def tiled_house(p: Pen) -> None:
    roof = (70, 82, 98)
    p.box(-0.66, -0.2, 0.66, 0.9, (238, 228, 206))
    for x in (-0.64, -0.22, 0.22, 0.64):
        p.box(x - 0.04, 0.0, x + 0.04, 0.9, (112, 72, 50))
    for x in (-0.44, 0.0, 0.44):
        p.box(x - 0.16, 0.28, x + 0.16, 0.9, (250, 246, 234))
        p.line([(x - 0.16, 0.5), (x + 0.16, 0.5)], 0.025, (112, 72, 50))
        p.line([(x, 0.28), (x, 0.9)], 0.025, (112, 72, 50))
    p.poly([(-1.0, 0.22), (-0.7, -0.02), (0.7, -0.02), (1.0, 0.22)], roof)
    p.box(-0.46, -0.36, 0.46, 0.0, (238, 228, 206))
    _window(p, 0.0, -0.18, 0.12, (112, 72, 50))
    p.blob(
        path("-0.98,-0.22 -0.5,-0.5 -0.3,-0.84 0.3,-0.84 0.5,-0.5 0.98,-0.22 0.4,-0.34 -0.4,-0.34"),
        roof,
    )
    p.box(-0.34, -0.9, 0.34, -0.78, dark(roof, 0.3), 0.04)
    p.box(-0.86, 0.88, 0.86, 1.0, _STONE)


@kind("building", concept="house", homes="ES")
def white_house(p: Pen) -> None:
    p.box(-0.9, -0.1, 0.5, 1.0, (248, 246, 240))
    p.box(0.1, -0.6, 0.86, 1.0, (236, 234, 230))
    for x0, x1, y in ((-0.94, 0.1, -0.1), (0.06, 0.9, -0.6)):
        p.box(x0, y - 0.1, x1, y + 0.04, (206, 116, 76), 0.04)
    blue = (44, 104, 176)
    for x, y in ((0.34, -0.26), (0.64, -0.26), (-0.6, 0.24)):
        p.box(x - 0.11, y - 0.14, x + 0.11, y + 0.14, blue)
        p.box(x - 0.07, y - 0.1, x + 0.07, y + 0.1, (110, 160, 206))
    p.box(-0.28, 0.36, 0.02, 1.0, blue)
    p.bow(-0.13, 0.37, 0.15, 0.16, 180, 360, blue)
    p.box(0.36, 0.3, 0.64, 0.6, blue)
    for x, y, r in (
        (-0.84, 0.78, 0.16),
        (-0.68, 0.88, 0.14),
        (-0.46, 0.1, 0.06),
        (0.5, 0.66, 0.07),
        (-0.74, 0.6, 0.08),
    ):
        p.dot(x, y, r, (216, 60, 130) if r < 0.1 else (80, 144, 76))


@kind("building", BRIGHT, concept="house", homes="MX BR")
def painted_house(p: Pen) -> None:
    p.box(-0.86, -0.3, 0.86, 1.0, p.main)
    p.box(-0.86, 0.74, 0.86, 1.0, p.accent)
    p.poly([(-0.98, -0.26), (-0.8, -0.56), (0.8, -0.56), (0.98, -0.26)], (196, 96, 62))
    for step in range(9):
        x = -0.84 + step * 0.21
        p.bow(x, -0.28, 0.1, 0.12, 0, 180, (172, 76, 48))
    for x in (-0.52, 0.52):
        p.box(x - 0.2, -0.02, x + 0.2, 0.5, WHITE, 0.03)
        p.box(x - 0.14, 0.04, x + 0.14, 0.46, (92, 62, 50))
        p.line([(x, 0.04), (x, 0.46)], 0.04, WHITE)
    p.box(-0.2, 0.1, 0.2, 1.0, WHITE, 0.04)
    p.box(-0.14, 0.16, 0.14, 1.0, p.accent)
    p.dot(0.08, 0.6, 0.04, (250, 220, 110))


@kind("building", concept="castle", homes="JP")
def pagoda_castle(p: Pen) -> None:
    roof = (64, 92, 110)
    p.poly([(-0.8, 1.0), (-0.6, 0.66), (0.6, 0.66), (0.8, 1.0)], (150, 146, 140))
    for level, half in ((0.66, 0.5), (0.2, 0.38), (-0.26, 0.26)):
        p.box(-half, level - 0.36, half, level, (248, 246, 240))
        for x in (-half * 0.55, 0.0, half * 0.55):
            p.box(x - 0.05, level - 0.22, x + 0.05, level - 0.06, (60, 60, 70))
        wide = half + 0.24
        p.poly(
            [
                (-wide, level - 0.22),
                (-half * 0.7, level - 0.48),
                (half * 0.7, level - 0.48),
                (wide, level - 0.22),
                (half, level - 0.3),
                (-half, level - 0.3),
            ],
            roof,
        )
    p.poly([(-0.2, -0.7), (0.0, -0.94), (0.2, -0.7)], roof)
    p.dot(0.0, -0.92, 0.06, (230, 190, 80))


@kind("building", concept="castle", homes="US GB DE FR ES MX BR")
def stone_castle(p: Pen) -> None:
    flag = p.accent
    for x in (-0.72, 0.72):
        p.box(x - 0.22, -0.4, x + 0.22, 1.0, dark(_STONE, 0.1))
        p.poly([(x - 0.28, -0.38), (x, -0.9), (x + 0.28, -0.38)], (92, 84, 128))
        p.box(x - 0.05, 0.0, x + 0.05, 0.26, (60, 60, 70), 0.05)
    p.box(-0.54, 0.0, 0.54, 1.0, _STONE)
    for step in range(4):
        x = -0.5 + step * 0.28
        p.box(x, -0.14, x + 0.16, 0.04, _STONE)
    p.box(-0.22, -0.46, 0.22, 0.4, light(_STONE, 0.3))
    p.poly([(-0.3, -0.44), (0.0, -0.9), (0.3, -0.44)], (92, 84, 128))
    p.line([(0.0, -0.88), (0.0, -1.0)], 0.03, BLACK)
    p.poly([(0.0, -1.02), (0.24, -0.95), (0.0, -0.88)], flag)
    p.box(-0.05, -0.2, 0.05, 0.08, (60, 60, 70), 0.05)
    p.box(-0.2, 0.56, 0.2, 1.0, (92, 60, 44))
    p.bow(0, 0.57, 0.2, 0.2, 180, 360, (92, 60, 44))


@kind("building", ("red", "blue", "black", "green"))
def lighthouse(p: Pen) -> None:
    p.poly([(-0.2, -0.66), (-1.0, -0.9), (-1.0, -0.5)], clear((255, 240, 160), 0.55))
    p.poly([(0.2, -0.66), (1.0, -0.9), (1.0, -0.5)], clear((255, 240, 160), 0.55))
    p.blob([(-0.7, 1.0), (-0.4, 0.8), (0.4, 0.78), (0.74, 1.0)], (128, 118, 112))
    p.poly([(-0.24, -0.46), (0.24, -0.46), (0.38, 0.92), (-0.38, 0.92)], WHITE)
    for top, bottom in ((-0.24, 0.08), (0.4, 0.7)):
        a, b = 0.27 + 0.1 * (top + 0.24), 0.27 + 0.1 * (bottom + 0.24)
        p.poly([(-a, top), (a, top), (b, bottom), (-b, bottom)], p.main)
    p.box(-0.34, -0.54, 0.34, -0.44, BLACK)
    p.box(-0.19, -0.8, 0.19, -0.52, (255, 236, 140))
    p.poly([(-0.26, -0.78), (0.0, -1.0), (0.26, -0.78)], p.main)
    p.box(-0.1, 0.68, 0.1, 0.94, _TIMBER, 0.06)


@kind("building", ("white", "red", "blue", "brown"))
def windmill(p: Pen) -> None:
    p.poly([(-0.3, -0.4), (0.3, -0.4), (0.5, 1.0), (-0.5, 1.0)], p.main)
    p.bow(0, -0.38, 0.32, 0.34, 180, 360, _TIMBER)
    p.box(-0.14, 0.62, 0.14, 1.0, _TIMBER)
    p.box(-0.08, 0.16, 0.08, 0.34, _PANE)
    start = p.rng.uniform(10, 80)
    for step in range(4):
        a = math.radians(start + step * 90)
        u, v = (math.cos(a), math.sin(a)), (-math.sin(a), math.cos(a))
        p.poly(
            [
                (u[0] * s + v[0] * t, -0.42 + u[1] * s + v[1] * t)
                for s, t in ((0.2, 0.03), (0.74, 0.03), (0.74, 0.24), (0.2, 0.2))
            ],
            (240, 232, 212),
        )
        p.line([(0, -0.42), (u[0] * 0.76, -0.42 + u[1] * 0.76)], 0.06, _TIMBER)
    p.dot(0, -0.42, 0.09, BLACK)


@kind("building", ("red", "grey", "black"))
def bridge(p: Pen) -> None:
    p.box(-1.1, 0.34, 1.1, 0.48, dark(p.main, 0.2))
    p.line([(-1.1, 0.32), (1.1, 0.32)], 0.05, p.light)
    for x in (-0.5, 0.5):
        p.box(x - 0.09, -0.8, x + 0.09, 1.0, p.main)
        p.box(x - 0.13, -0.86, x + 0.13, -0.76, p.dark)
    for low, high, middle in ((-1.1, -0.5, None), (-0.5, 0.5, 0.0), (0.5, 1.1, None)):
        if middle is None:
            y0, y1 = (0.3, -0.78) if low < -1 else (-0.78, 0.3)
            p.line([(low, y0), (high, y1)], 0.05, p.main)
        else:
            p.curve([(low, -0.78), (-0.25, -0.02), (0.0, 0.16), (0.25, -0.02), (high, -0.78)], 0.05, p.main)
    for step in range(9):
        x = -0.4 + step * 0.1
        p.line([(x, -0.78 + 0.94 * (1 - (x / 0.5) ** 2)), (x, 0.34)], 0.02, p.light)
    p.box(-1.1, 0.92, 1.1, 1.0, clear((220, 236, 246), 0.4))


@kind("building", PAINTED)
def tent(p: Pen) -> None:
    p.poly([(0.1, -0.7), (0.62, -0.52), (1.0, 0.9), (0.6, 0.98)], p.dark)
    p.poly([(0.1, -0.7), (-0.9, 0.98), (0.6, 0.98)], p.main)
    p.poly([(0.06, -0.46), (-0.3, 0.98), (0.28, 0.98)], (60, 48, 56))
    p.poly([(0.06, -0.46), (-0.3, 0.98), (-0.5, 0.98)], p.light)
    p.line([(0.1, -0.7), (0.1, -0.9)], 0.05, _TIMBER)
    for a, b in (((-0.9, 0.98), (-1.0, 1.0)), ((0.62, -0.52), (1.05, 0.5))):
        p.line([a, b], 0.025, (240, 236, 220))
