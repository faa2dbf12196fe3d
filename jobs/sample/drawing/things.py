"""Objects of daily life; balls, letter boxes, money and flags by country."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from jobs.sample.drawing.kinds import AIR, BRIGHT, ON_TABLE, PAINTED, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, dark, light, path

_WOOD: RGB = (176, 120, 72)
_GOLD: RGB = (240, 196, 76)


@kind("thing", PAINTED)
def umbrella(p: Pen) -> None:
    p.line("0,-0.98 0,0.74", 0.07, (96, 72, 56))
    p.curve("0,0.7 0.04,0.94 0.22,0.94 0.28,0.76", 0.09, (96, 72, 56))
    for half, colour in ((0.96, p.main), (0.6, p.accent), (0.24, p.main)):
        p.bow(0, 0.06, half, 0.92, 180, 360, colour)


@kind("thing", PAINTED, ON_TABLE)
def clock(p: Pen) -> None:
    for side in (-1, 1):
        p.line([(side * 0.4, 0.76), (side * 0.6, 0.98)], 0.12, p.dark)
        p.oval(side * 0.44, -0.72, 0.27, 0.2, p.dark, side * 40)
    p.dot(0, 0.1, 0.82, p.main)
    p.dot(0, 0.1, 0.66, WHITE)
    for step in range(12):
        a = math.radians(step * 30)
        p.dot(0.55 * math.cos(a), 0.1 + 0.55 * math.sin(a), 0.05, BLACK)
    for reach in (0.36, 0.5):
        a = p.rng.uniform(0, 2 * math.pi)
        p.line([(0, 0.1), (reach * math.cos(a), 0.1 + reach * math.sin(a))], 0.08, BLACK)


@kind("thing", PAINTED)
def chair(p: Pen) -> None:
    for x, y in ((-0.34, 0.8), (0.34, 0.8), (-0.54, 0.97), (0.58, 0.97)):
        p.line([(x, 0.2), (x, y)], 0.11, dark(_WOOD, 0.2))
    p.box(-0.5, -0.96, 0.5, 0.1, p.main, 0.16)
    p.box(-0.36, -0.82, 0.36, -0.1, p.light, 0.1)
    p.box(-0.62, 0.04, 0.66, 0.34, p.dark, 0.1)
    p.box(-0.62, 0.0, 0.66, 0.2, p.main, 0.1)


@kind("thing", ("brown", "red", "black", "blue", "orange"))
def guitar(p: Pen) -> None:
    p.line("0.3,-0.3 0.72,-0.88", 0.15, (86, 58, 44))
    p.line("0.7,-0.84 0.84,-1", 0.23, (60, 40, 34))
    for x, y, r, colour in ((0.1, -0.06, 0.4, p.main), (-0.28, 0.46, 0.54, p.main), (-0.31, 0.5, 0.42, p.light)):
        p.dot(x, y, r, colour)
    p.dot(-0.06, 0.14, 0.17, BLACK)
    p.line("-0.48,0.52 -0.22,0.74", 0.1, (60, 40, 34))
    p.line("-0.36,0.64 0.76,-0.9", 0.03, (246, 240, 224))


@kind("thing", BRIGHT, AIR)
def balloons(p: Pen) -> None:
    for x, y, colour in ((-0.46, -0.3, p.accent), (0.46, -0.36, p.dark), (0.0, -0.58, p.main)):
        p.curve([(x, y + 0.4), (x * 0.3, 0.6), (0.0, 1.0)], 0.03, (120, 110, 110))
        p.oval(x, y, 0.36, 0.42, colour)
        p.oval(x - 0.13, y - 0.16, 0.07, 0.13, clear(WHITE, 0.6), 25)


@kind("thing", BRIGHT, AIR)
def kite(p: Pen) -> None:
    p.curve("-0.24,0.28 -0.6,0.5 -0.3,0.74 -0.8,0.96", 0.04, (110, 96, 96))
    p.poly("-0.66,0.41 -0.34,0.59 -0.34,0.41 -0.66,0.59", p.accent)
    p.poly("-0.6,0.65 -0.28,0.83 -0.28,0.65 -0.6,0.83", p.accent)
    p.poly("0.5,-0.96 0.92,-0.3 -0.24,0.3 -0.2,-0.56", p.main)
    p.poly("0.5,-0.96 0.92,-0.3 0.2,-0.4", p.accent)
    p.poly("-0.24,0.3 -0.2,-0.56 0.2,-0.4", p.light)


@kind("thing", BRIGHT, ON_TABLE)
def gift(p: Pen) -> None:
    p.box(-0.76, -0.1, 0.76, 1.0, p.main, 0.04)
    p.box(-0.86, -0.34, 0.86, 0.0, p.light, 0.04)
    p.box(-0.15, -0.34, 0.15, 1.0, p.accent)
    p.blob("0,-0.36 0.3,-0.86 0.66,-0.72 0.46,-0.4", p.accent)
    p.blob("0,-0.36 -0.3,-0.86 -0.66,-0.72 -0.46,-0.4", p.accent)


# Football


@kind("thing", concept="football", homes="US")
def american_football(p: Pen) -> None:
    p.blob("-0.98,0.5 -0.5,-0.2 0.1,-0.44 0.6,-0.36 0.98,-0.14 0.56,0.56 0,0.86 -0.5,0.84", (140, 76, 44))
    for x, y in ((-0.64, 0.34), (0.66, 0.06)):
        p.line([(x - 0.1, y - 0.3), (x + 0.12, y + 0.3)], 0.12, WHITE)
    p.line("-0.32,0.3 0.36,0.04", 0.07, WHITE)
    for x, y in ((-0.24, 0.27), (-0.07, 0.2), (0.1, 0.14), (0.27, 0.07)):
        p.line([(x - 0.05, y - 0.11), (x + 0.05, y + 0.11)], 0.05, WHITE)


@kind("thing", concept="football", homes="GB DE FR ES MX BR JP")
def soccer_ball(p: Pen) -> None:
    p.dot(0, 0.16, 0.84, BLACK)
    p.dot(0, 0.16, 0.81, WHITE)
    start = p.rng.uniform(0, 2 * math.pi)
    for step in range(5):
        x, y = math.cos(start + step * 2 * math.pi / 5), math.sin(start + step * 2 * math.pi / 5)
        p.line([(0, 0.16), (0.6 * x, 0.16 + 0.6 * y)], 0.05, BLACK)
        p.dot(0.64 * x, 0.16 + 0.64 * y, 0.17, BLACK)
    p.dot(0, 0.16, 0.27, BLACK)


# Letter box


@kind("thing", concept="mailbox", homes="US")
def blue_mailbox(p: Pen) -> None:
    blue = (40, 84, 160)
    for x in (-0.44, 0.44):
        p.box(x - 0.09, 0.7, x + 0.09, 1.0, dark(blue))
    p.box(-0.6, -0.4, 0.6, 0.8, blue)
    p.bow(0, -0.38, 0.6, 0.56, 180, 360, blue)
    p.box(-0.44, -0.4, 0.44, -0.1, light(blue, 0.25), 0.06)
    p.box(-0.3, -0.36, 0.3, -0.28, BLACK)
    p.poly("-0.3,0.34 0.34,0.16 0.1,0.5 -0.3,0.5", WHITE)


@kind("thing", concept="mailbox", homes="GB")
def pillar_box(p: Pen) -> None:
    red = (198, 36, 40)
    p.box(-0.5, 0.84, 0.5, 1.0, BLACK, 0.03)
    p.box(-0.44, -0.6, 0.44, 0.9, red)
    p.oval(0, -0.64, 0.54, 0.16, dark(red, 0.2))
    p.bow(0, -0.66, 0.5, 0.34, 180, 360, red)
    p.box(-0.28, -0.4, 0.28, -0.28, BLACK, 0.03)
    p.box(-0.2, -0.06, 0.16, 0.26, WHITE)


@kind("thing", concept="mailbox", homes="DE FR ES MX BR")
def yellow_mailbox(p: Pen) -> None:
    yellow = (250, 204, 40)
    p.box(-0.1, 0.4, 0.1, 1.0, (110, 112, 120))
    p.box(-0.64, -0.8, 0.64, 0.54, yellow, 0.1)
    p.box(-0.72, -0.9, 0.72, -0.7, dark(yellow, 0.2), 0.08)
    p.box(-0.46, -0.56, 0.46, -0.42, BLACK, 0.03)
    p.ring(-0.02, 0.06, 0.2, 0.08, BLACK)
    p.poly("0.12,-0.02 0.4,-0.18 0.4,0.2 0.16,0.12", BLACK)


@kind("thing", concept="mailbox", homes="JP")
def red_mailbox(p: Pen) -> None:
    p.box(-0.14, 0.3, 0.14, 1.0, (150, 152, 160))
    p.box(-0.76, -0.76, 0.76, 0.44, (220, 60, 44), 0.12)
    for x in (-0.36, 0.36):
        p.box(x - 0.28, -0.52, x + 0.28, -0.38, BLACK, 0.03)
    for y in (-0.14, 0.02):
        p.box(-0.3, y, 0.3, y + 0.09, WHITE)
    p.box(-0.05, -0.14, 0.05, 0.34, WHITE)


# Money


def _note(p: Pen, paper: RGB, sign: str) -> None:
    """Draw two banknotes and a coin that bears a currency sign, given as strokes."""
    for y, tint in ((0.16, 0.2), (0.0, 0.0)):
        p.poly([(-0.96, -0.3 + y), (0.8, -0.5 + y), (0.92, 0.36 + y), (-0.84, 0.56 + y)], light(paper, tint))
        p.poly([(-0.84, -0.2 + y), (0.72, -0.38 + y), (0.82, 0.28 + y), (-0.74, 0.46 + y)], light(paper, 0.4))
    p.oval(-0.1, 0.06, 0.26, 0.3, paper)
    p.dot(0.4, 0.46, 0.54, dark(_GOLD, 0.25))
    p.dot(0.4, 0.44, 0.48, _GOLD)
    for stroke in sign.split("; "):
        p.line([(0.4 + x * 0.3, 0.44 + y * 0.36) for x, y in path(stroke)], 0.09, dark(_GOLD, 0.6))


_DOLLAR = "0.6,-0.5 0.2,-0.7 -0.4,-0.6 -0.5,-0.2 0.4,0.15 0.5,0.5 0,0.72 -0.6,0.5; 0,-0.98 0,0.98"
_POUND = "0.6,-0.5 0.3,-0.8 -0.1,-0.7 -0.2,-0.2 -0.1,0.3 -0.5,0.75 0.6,0.75; -0.5,0.05 0.3,0.05"
_EURO = "0.6,-0.6 0.1,-0.8 -0.35,-0.4 -0.4,0.3 0.1,0.8 0.6,0.6; -0.75,-0.15 0.3,-0.15; -0.75,0.2 0.3,0.2"
_YEN = "-0.6,-0.8 0,-0.1 0.6,-0.8; 0,-0.1 0,0.85; -0.5,0.1 0.5,0.1; -0.5,0.4 0.5,0.4"
for _name, _homes, _paper, _sign in (
    ("dollars", "US MX BR", (112, 160, 104), _DOLLAR),
    ("pounds", "GB", (150, 112, 160), _POUND),
    ("euros", "DE FR ES", (112, 150, 196), _EURO),
    ("yen", "JP", (186, 150, 112), _YEN),
):
    kind("thing", stands=ON_TABLE, concept="money", homes=_homes, can_flip=False, name=_name)(
        partial(_note, paper=_paper, sign=_sign)
    )


# Flag


def _stars(p: Pen) -> None:
    p.box(-0.84, -0.86, 0.0, -0.17, (48, 60, 120))
    for row in range(3):
        for column in range(4):
            p.dot(-0.72 + column * 0.2, -0.74 + row * 0.22, 0.045, WHITE)


def _crosses(p: Pen) -> None:
    for half, colour in ((0.13, WHITE), (0.05, (200, 30, 50))):
        p.poly([(-0.84, -0.86), (-0.84 + half, -0.86), (0.96, 0.34), (0.96 - half, 0.34)], colour)
        p.poly([(-0.84, 0.34), (-0.84 + half, 0.34), (0.96, -0.86), (0.96 - half, -0.86)], colour)
    for half, colour in ((0.18, WHITE), (0.1, (200, 30, 50))):
        p.box(0.06 - half, -0.86, 0.06 + half, 0.34, colour)
        p.box(-0.84, -0.26 - half, 0.96, -0.26 + half, colour)


def _globe(p: Pen) -> None:
    p.poly("-0.72,-0.26 0.06,-0.76 0.84,-0.26 0.06,0.24", (252, 212, 40))
    p.dot(0.06, -0.26, 0.28, (36, 54, 130))


def _disc(p: Pen, r: float, colour: RGB) -> None:
    p.dot(0.06, -0.26, r, colour)


def _flag(p: Pen, bands: Sequence[RGB], is_upright: bool = False, emblem: Callable[[Pen], None] | None = None) -> None:
    """Draw a pole and a flag: its bands and what is on them."""
    p.line("-0.88,-0.94 -0.88,1", 0.08, (150, 130, 110))
    for step, colour in enumerate(bands):
        low, high = step / len(bands), (step + 1) / len(bands)
        if is_upright:
            p.box(-0.84 + 1.8 * low, -0.86, -0.84 + 1.8 * high, 0.34, colour)
        else:
            p.box(-0.84, -0.86 + 1.2 * low, 0.96, -0.86 + 1.2 * high, colour)
    if emblem:
        emblem(p)


_RED: RGB = (198, 38, 50)
_YELLOW: RGB = (250, 200, 44)
_FLAGS = {
    "US": partial(_flag, bands=[_RED, WHITE] * 3 + [_RED], emblem=_stars),
    "GB": partial(_flag, bands=[(24, 42, 110)], emblem=_crosses),
    "DE": partial(_flag, bands=[BLACK, _RED, _YELLOW]),
    "FR": partial(_flag, bands=[(30, 60, 150), WHITE, _RED], is_upright=True),
    "ES": partial(_flag, bands=[_RED, _YELLOW, _YELLOW, _RED]),
    "MX": partial(
        _flag, bands=[(20, 110, 74), WHITE, _RED], is_upright=True, emblem=partial(_disc, r=0.16, colour=_WOOD)
    ),
    "JP": partial(_flag, bands=[WHITE], emblem=partial(_disc, r=0.36, colour=_RED)),
    "BR": partial(_flag, bands=[(30, 150, 74)], emblem=_globe),
}
for _home, _draw in _FLAGS.items():
    kind("thing", concept="flag", homes=_home, can_flip=False, name=f"flag_{_home.lower()}")(_draw)
