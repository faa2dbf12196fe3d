"""Buildings; houses and castles by country."""

from __future__ import annotations

from jobs.sample.drawing.kinds import kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, dark, light

_PANE: RGB = (176, 214, 236)
_STONE: RGB = (186, 182, 176)
_TIMBER: RGB = (92, 60, 42)


def _window(p: Pen, x: float, y: float, half: float, frame: RGB = WHITE) -> None:
    p.box(x - half - 0.03, y - half - 0.03, x + half + 0.03, y + half + 0.03, frame)
    p.box(x - half, y - half, x + half, y + half, _PANE)
    p.line([(x, y - half), (x, y + half)], 0.03, frame)
    p.line([(x - half, y), (x + half, y)], 0.03, frame)


@kind("building", ("white", "blue", "grey", "green", "yellow"), concept="house", homes="US")
def wooden_house(p: Pen) -> None:
    p.box(0.36, -0.86, 0.54, -0.3, (160, 84, 66))
    p.box(-0.74, -0.06, 0.74, 1.0, p.main)
    for step in range(6):
        p.line([(-0.74, 0.06 + step * 0.15), (0.74, 0.06 + step * 0.15)], 0.02, p.dark)
    p.poly("-0.94,0 0,-0.86 0.94,0", (92, 96, 108))
    p.poly("-0.52,-0.08 0,-0.56 0.52,-0.08", p.light)
    for x, y in ((0.0, -0.22), (-0.46, 0.34), (0.46, 0.34)):
        _window(p, x, y, 0.12)
    p.box(-0.16, 0.3, 0.16, 1.0, (160, 52, 46))


@kind("building", concept="house", homes="GB")
def brick_house(p: Pen) -> None:
    for left, door in ((-0.92, (40, 76, 120)), (0.0, (36, 96, 66))):
        brick = (176, 86, 62) if left else (156, 78, 60)
        p.box(left + 0.1, -0.94, left + 0.32, -0.5, dark(brick, 0.2))
        p.poly([(left, -0.42), (left + 0.14, -0.76), (left + 0.78, -0.76), (left + 0.92, -0.42)], (84, 86, 98))
        p.box(left, -0.42, left + 0.92, 1.0, brick)
        for row in range(8):
            p.line([(left, -0.3 + row * 0.16), (left + 0.92, -0.3 + row * 0.16)], 0.03, clear(light(brick, 0.5), 0.35))
        for x, y in ((0.28, -0.12), (0.68, -0.12), (0.3, 0.5)):
            _window(p, left + x, y, 0.14)
        p.box(left + 0.6, 0.38, left + 0.82, 1.0, door)


@kind("building", ("white", "yellow", "pink"), concept="house", homes="DE FR")
def timber_house(p: Pen) -> None:
    p.box(-0.7, -0.2, 0.7, 1.0, light(p.main, 0.4))
    p.poly("-0.9,-0.1 0,-1 0.9,-0.1", (158, 70, 52))
    p.poly("-0.62,-0.14 0,-0.78 0.62,-0.14", light(p.main, 0.4))
    for beam in ("-0.68,-0.16 0.68,-0.16", "-0.68,0.36 0.68,0.36", "-0.3,-0.46 0.3,-0.46", "0,-0.74 0,-0.46"):
        p.line(beam, 0.08, _TIMBER)
    for side in (-1, 1):
        for x in (0.24, 0.68):
            p.line([(side * x, -0.16), (side * x, 0.98)], 0.08, _TIMBER)
        p.line([(side * 0.66, 0.36), (side * 0.26, -0.14)], 0.08, _TIMBER)
        p.line([(side * 0.66, 0.38), (side * 0.26, 0.96)], 0.08, _TIMBER)
    _window(p, 0.0, 0.1, 0.13, _TIMBER)
    p.box(-0.15, 0.46, 0.15, 1.0, (110, 68, 44))


@kind("building", concept="house", homes="JP")
def tiled_house(p: Pen) -> None:
    roof = (70, 82, 98)
    p.box(-0.66, -0.2, 0.66, 1.0, (238, 228, 206))
    for x in (-0.44, 0.0, 0.44):
        _window(p, x, 0.6, 0.17, (112, 72, 50))
    p.poly("-1,0.22 -0.7,-0.02 0.7,-0.02 1,0.22", roof)
    p.box(-0.46, -0.36, 0.46, 0.0, (238, 228, 206))
    _window(p, 0.0, -0.18, 0.12, (112, 72, 50))
    p.blob("-0.98,-0.22 -0.5,-0.5 -0.3,-0.84 0.3,-0.84 0.5,-0.5 0.98,-0.22 0.4,-0.34 -0.4,-0.34", roof)
    p.box(-0.34, -0.9, 0.34, -0.78, dark(roof, 0.3), 0.04)


@kind("building", concept="house", homes="ES MX BR")
def white_house(p: Pen) -> None:
    blue = (44, 104, 176)
    p.box(-0.9, -0.1, 0.5, 1.0, (248, 246, 240))
    p.box(0.1, -0.6, 0.86, 1.0, (236, 234, 230))
    for x0, x1, y in ((-0.94, 0.1, -0.1), (0.06, 0.9, -0.6)):
        p.box(x0, y - 0.1, x1, y + 0.04, (206, 116, 76), 0.04)
    for x, y in ((0.34, -0.26), (0.64, -0.26), (-0.6, 0.24), (0.5, 0.46)):
        p.box(x - 0.11, y - 0.14, x + 0.11, y + 0.14, blue)
    p.box(-0.28, 0.36, 0.02, 1.0, blue)
    p.bow(-0.13, 0.37, 0.15, 0.16, 180, 360, blue)
    for x, y, r in ((-0.84, 0.8, 0.18), (-0.66, 0.88, 0.14)):
        p.dot(x, y, r, (80, 144, 76))
        p.dot(x, y - 0.08, 0.07, (216, 60, 130))


@kind("building", concept="castle", homes="JP")
def pagoda_castle(p: Pen) -> None:
    roof = (64, 92, 110)
    p.poly("-0.8,1 -0.6,0.66 0.6,0.66 0.8,1", (150, 146, 140))
    for y, half in ((0.66, 0.5), (0.2, 0.38), (-0.26, 0.26)):
        wide = half + 0.24
        p.box(-half, y - 0.36, half, y, (248, 246, 240))
        for x in (-half * 0.55, 0.0, half * 0.55):
            p.box(x - 0.05, y - 0.22, x + 0.05, y - 0.06, (60, 60, 70))
        p.poly([(-wide, y - 0.22), (-half * 0.7, y - 0.48), (half * 0.7, y - 0.48), (wide, y - 0.22)], roof)
    p.poly("-0.2,-0.7 0,-0.94 0.2,-0.7", roof)
    p.dot(0.0, -0.92, 0.06, (230, 190, 80))


@kind("building", concept="castle", homes="US GB DE FR ES MX BR")
def stone_castle(p: Pen) -> None:
    for x, half, top, colour in (
        (-0.72, 0.22, -0.4, dark(_STONE, 0.1)),
        (0.72, 0.22, -0.4, dark(_STONE, 0.1)),
        (0.0, 0.54, 0.0, _STONE),
        (0.0, 0.22, -0.46, light(_STONE, 0.3)),
    ):
        p.box(x - half, top, x + half, 1.0, colour)
        if half < 0.5:
            p.poly([(x - half - 0.07, top + 0.02), (x, top - 0.5), (x + half + 0.07, top + 0.02)], (92, 84, 128))
            p.box(x - 0.05, top + 0.3, x + 0.05, top + 0.56, (60, 60, 70), 0.05)
    p.poly("0,-1.06 0.24,-0.99 0,-0.92", p.accent)
    p.box(-0.2, 0.56, 0.2, 1.0, _TIMBER)
    p.bow(0, 0.57, 0.2, 0.2, 180, 360, _TIMBER)


@kind("building", ("red", "blue", "black", "green"))
def lighthouse(p: Pen) -> None:
    p.poly("-0.2,-0.66 -1,-0.9 -1,-0.5", clear((255, 240, 160), 0.55))
    p.poly("0.2,-0.66 1,-0.9 1,-0.5", clear((255, 240, 160), 0.55))
    p.blob("-0.7,1 -0.4,0.8 0.4,0.78 0.74,1", (128, 118, 112))
    p.poly("-0.24,-0.46 0.24,-0.46 0.38,0.92 -0.38,0.92", WHITE)
    p.poly("-0.27,-0.24 0.27,-0.24 0.3,0.08 -0.3,0.08", p.main)
    p.poly("-0.33,0.4 0.33,0.4 0.36,0.7 -0.36,0.7", p.main)
    p.box(-0.34, -0.54, 0.34, -0.44, BLACK)
    p.box(-0.19, -0.8, 0.19, -0.52, (255, 236, 140))
    p.poly("-0.26,-0.78 0,-1 0.26,-0.78", p.main)
