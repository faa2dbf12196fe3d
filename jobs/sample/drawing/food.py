"""Food and drink, and the breakfasts, breads, teas and chips of different countries."""

from __future__ import annotations

from jobs.sample.drawing.kinds import BRIGHT, ON_TABLE, PAINTED, kind
from jobs.sample.drawing.nature import GREEN
from jobs.sample.drawing.pen import RGB, WHITE, Pen, clear, dark, light

_CREAM: RGB = (252, 240, 212)
_CRUST: RGB = (206, 142, 74)
_YOLK: RGB = (250, 186, 52)


def _plate(p: Pen) -> None:
    p.oval(0, 0.62, 0.98, 0.38, (200, 200, 210))
    p.oval(0, 0.57, 0.98, 0.38, (240, 242, 246))


def _steam(p: Pen, y: float) -> None:
    for x in (-0.2, 0.14):
        p.curve([(x, y), (x + 0.09, y - 0.15), (x - 0.07, y - 0.3), (x + 0.04, y - 0.45)], 0.07, clear(WHITE, 0.65))


@kind("food", PAINTED, ON_TABLE)
def mug(p: Pen) -> None:
    p.ring(0.6, 0.3, 0.3, 0.14, p.main)
    p.box(-0.64, -0.3, 0.56, 1.0, p.main, 0.16)
    p.box(-0.64, 0.3, 0.56, 0.46, p.accent)
    p.oval(-0.04, -0.28, 0.6, 0.16, p.light)
    p.oval(-0.04, -0.27, 0.5, 0.11, (92, 56, 36))
    _steam(p, -0.4)


@kind("food", BRIGHT, ON_TABLE)
def cake(p: Pen) -> None:
    p.box(-0.74, 0.1, 0.74, 1.0, (236, 196, 138), 0.06)
    p.box(-0.74, 0.46, 0.74, 0.58, p.main)
    p.box(-0.78, 0.0, 0.78, 0.22, _CREAM, 0.1)
    for x in (-0.66, -0.36, -0.06, 0.26, 0.58):
        p.oval(x, 0.24, 0.13, p.rng.uniform(0.12, 0.24), _CREAM)
    for step, x in enumerate((-0.56, -0.28, 0.0, 0.28, 0.56)):
        p.box(x - 0.045, -0.46, x + 0.045, 0.04, p.main if step % 2 else p.accent)
        p.oval(x, -0.6, 0.07, 0.12, _YOLK)


@kind("food", stands=ON_TABLE)
def pizza(p: Pen) -> None:
    p.poly("-0.8,-0.6 0.8,-0.6 0,1", (248, 206, 96))
    p.line("-0.8,-0.64 0,-0.78 0.8,-0.64", 0.3, _CRUST)
    for x, y in ((-0.34, -0.3), (0.3, -0.26), (0.02, 0.12), (-0.04, 0.56)):
        p.dot(x, y, 0.17, (202, 62, 52))
    for x, y in ((0.0, -0.4), (-0.2, 0.1), (0.24, 0.14), (0.1, 0.44)):
        p.oval(x, y, 0.08, 0.04, GREEN, 40)


# Breakfast


@kind("food", stands=ON_TABLE, concept="breakfast", homes="US MX")
def pancakes(p: Pen) -> None:
    _plate(p)
    for y in (0.5, 0.3, 0.1, -0.1):
        p.oval(0, y + 0.07, 0.7, 0.2, (176, 108, 50))
        p.oval(0, y, 0.7, 0.2, (232, 180, 104))
    p.blob("-0.5,-0.1 0,-0.22 0.5,-0.1 0.58,0.34 0.42,0.1 0.1,0.06 -0.2,0.46 -0.34,0.06", (150, 78, 28))
    p.poly("-0.2,-0.3 0.1,-0.38 0.26,-0.26 -0.04,-0.16", (252, 226, 116))


@kind("food", stands=ON_TABLE, concept="breakfast", homes="GB")
def fried_eggs(p: Pen) -> None:
    _plate(p)
    for x, y in ((-0.4, 0.44), (0.06, 0.32)):
        p.blob([(x - 0.3, y), (x, y - 0.16), (x + 0.3, y), (x + 0.1, y + 0.18), (x - 0.2, y + 0.15)], WHITE)
        p.oval(x, y - 0.02, 0.13, 0.08, _YOLK)
    for y in (0.34, 0.5):
        p.line([(0.36, y - 0.06), (0.74, y + 0.06)], 0.15, (150, 82, 50))
    for x, y in ((-0.1, 0.7), (0.08, 0.76), (0.24, 0.7), (0.06, 0.64), (0.38, 0.76)):
        p.oval(x, y, 0.1, 0.07, (216, 104, 44))
    _steam(p, 0.1)


@kind("food", stands=ON_TABLE, concept="breakfast", homes="FR ES BR")
def croissant(p: Pen) -> None:
    _plate(p)
    for x, y, r in ((0.72, 0.46, 0.2), (0.48, 0.2, 0.27), (0.0, 0.1, 0.36)):
        for side in (-x, x):
            p.oval(side, y, r, r * 1.1, (196, 124, 56), side * 55)
            p.oval(side - 0.04, y - 0.07, r * 0.7, r * 0.5, (232, 174, 94), side * 55)


@kind("food", stands=ON_TABLE, concept="breakfast", homes="DE")
def pretzel(p: Pen) -> None:
    for side in (-1, 1):
        strand = ((0, 0.8), (-0.6, 0.56), (-0.86, 0), (-0.6, -0.5), (-0.2, -0.4), (0.1, 0.1), (0.5, 0.72))
        p.curve([(side * x, y) for x, y in strand], 0.25, (158, 92, 44))
        for x, y in ((-0.7, 0.3), (-0.8, -0.1), (-0.5, -0.46), (0.0, 0.78)):
            p.dot(side * x, y, 0.045, WHITE)


@kind("food", stands=ON_TABLE, concept="breakfast", homes="JP")
def rice_bowl(p: Pen) -> None:
    p.oval(0, 0.06, 0.72, 0.42, WHITE)
    p.bow(0, 0.1, 0.84, 0.84, 0, 180, (48, 74, 130))
    p.box(-0.3, 0.84, 0.3, 1.0, (34, 54, 100), 0.04)
    for x in (-0.5, 0.0, 0.5):
        p.ring(x, 0.44, 0.12, 0.05, (226, 232, 244))
    p.dot(0.02, -0.26, 0.13, (206, 60, 74))
    p.line("0.3,-0.9 0.9,0.24", 0.06, (140, 60, 44))
    p.line("0.5,-0.94 0.98,0.16", 0.06, (140, 60, 44))


# Tea


@kind("food", ("white", "pink", "blue", "green"), ON_TABLE, concept="tea", homes="GB DE FR")
def tea_cup(p: Pen) -> None:
    p.oval(0, 0.82, 0.94, 0.17, p.dark)
    p.oval(0, 0.78, 0.94, 0.17, p.light)
    p.ring(0.6, 0.14, 0.22, 0.1, p.main)
    p.bow(0, -0.1, 0.64, 0.86, 0, 180, p.main)
    p.oval(0, -0.1, 0.64, 0.17, p.light)
    p.oval(0, -0.09, 0.54, 0.12, (176, 106, 52))
    _steam(p, -0.26)


@kind("food", stands=ON_TABLE, concept="tea", homes="JP")
def green_tea(p: Pen) -> None:
    clay = p.rng.choice([(92, 110, 120), (140, 96, 70), (72, 84, 74)])
    p.box(-0.5, -0.3, 0.5, 0.98, clay, 0.18)
    p.oval(0, -0.28, 0.5, 0.16, light(clay, 0.5))
    p.oval(0, -0.27, 0.42, 0.11, (140, 176, 72))
    p.curve("-0.4,0.4 -0.1,0.3 0.14,0.5", 0.06, light(clay, 0.7))
    _steam(p, -0.44)


@kind("food", stands=ON_TABLE, concept="tea", homes="US ES MX BR")
def iced_tea(p: Pen) -> None:
    p.line("0.1,0.6 0.44,-1", 0.09, (226, 72, 72))
    p.poly("-0.5,-0.62 0.5,-0.62 0.4,1 -0.4,1", (222, 234, 240))
    p.poly("-0.47,-0.36 0.47,-0.36 0.38,0.94 -0.38,0.94", (196, 116, 48))
    for x, y in ((-0.2, -0.2), (0.18, -0.1), (-0.06, 0.14)):
        p.box(x - 0.15, y - 0.14, x + 0.15, y + 0.14, (240, 210, 174), 0.04)
    p.dot(-0.48, -0.6, 0.28, (246, 214, 70))
    p.dot(-0.48, -0.6, 0.2, (252, 240, 170))


# Bread


@kind("food", stands=ON_TABLE, concept="bread", homes="FR ES MX BR")
def baguette(p: Pen) -> None:
    p.blob("-1,0.74 -0.84,0.34 0.4,-0.56 0.86,-0.74 0.96,-0.5 0.76,-0.1 -0.5,0.8 -0.86,0.92", (186, 116, 50))
    p.blob("-0.9,0.68 -0.74,0.34 0.4,-0.5 0.82,-0.66 0.8,-0.44 -0.5,0.6", (224, 164, 86))
    for x, y in ((-0.32, 0.19), (-0.02, -0.02), (0.28, -0.23), (0.58, -0.44)):
        p.blob([(x - 0.12, y - 0.02), (x + 0.02, y - 0.13), (x + 0.2, y + 0.0), (x + 0.06, y + 0.06)], _CREAM)
    p.poly("-0.62,0.2 -0.2,-0.1 0.1,0.4 -0.4,0.78", (240, 236, 226))
    p.line("-0.5,0.4 -0.1,0.12", 0.04, (60, 90, 160))


@kind("food", stands=ON_TABLE, concept="bread", homes="DE")
def rye_bread(p: Pen) -> None:
    p.oval(0.1, 0.4, 0.86, 0.58, (104, 62, 38))
    p.oval(0.1, 0.3, 0.78, 0.44, (132, 82, 50))
    for x in (-0.2, 0.14, 0.48):
        p.curve([(x - 0.1, -0.04), (x + 0.04, 0.24), (x - 0.04, 0.56)], 0.07, (216, 188, 150))
    p.oval(-0.62, 0.54, 0.3, 0.44, (84, 50, 32), 8)
    p.oval(-0.64, 0.54, 0.24, 0.37, (158, 112, 76), 8)


@kind("food", stands=ON_TABLE, concept="bread", homes="US GB JP")
def toast(p: Pen) -> None:
    for x, y in ((0.22, -0.12), (-0.18, 0.1)):
        for inset, colour in ((0.0, (186, 118, 56)), (0.1, (246, 216, 160))):
            p.box(x - 0.62 + inset, y - 0.2, x + 0.62 - inset, y + 0.88 - inset, colour, 0.12)
            for side in (-0.3, 0.3):
                p.oval(x + side, y - 0.22, 0.36 - inset, 0.24 - inset / 2, colour)
    p.poly("-0.36,0.3 0,0.24 0.06,0.5 -0.3,0.56", (254, 230, 110))


# Chips


@kind("food", ("red", "white", "blue"), ON_TABLE, concept="chips", homes="GB")
def french_fries(p: Pen) -> None:
    for step in range(9):
        x, top = -0.46 + step * 0.115, -0.64 + p.rng.uniform(-0.2, 0.2)
        p.box(x - 0.07, top, x + 0.07, 0.5, (250, 206, 84) if step % 2 else (236, 180, 60))
    p.poly("-0.66,-0.06 0.66,-0.06 0.46,1 -0.46,1", p.main)
    p.bow(0, -0.08, 0.56, 0.26, 0, 180, (240, 190, 72))
    p.poly("-0.2,0.34 0.2,0.34 0.16,0.8 -0.16,0.8", p.accent)


@kind("food", ("red", "blue", "green", "yellow", "purple"), ON_TABLE, concept="chips", homes="US DE FR ES MX BR JP")
def crisps(p: Pen) -> None:
    p.poly("-0.56,-0.8 0.56,-0.8 0.66,0 0.58,0.9 -0.58,0.9 -0.66,0", p.main)
    for y in (-0.92, 0.8):
        p.box(-0.6, y, 0.6, y + 0.15, light(p.main, 0.5))
    p.oval(0, -0.3, 0.46, 0.22, p.accent)
    for x, y, turn in ((-0.14, 0.3, -30), (0.16, 0.44, 20)):
        p.oval(x, y, 0.27, 0.17, (250, 214, 106), turn)
        p.oval(x, y, 0.13, 0.06, dark(_YOLK, 0.1), turn)
