"""Food and drink, and the breakfasts, breads, teas and chips of different countries."""

from __future__ import annotations

from jobs.sample.drawing.kinds import BRIGHT, ON_TABLE, PAINTED, kind
from jobs.sample.drawing.pen import RGB, WHITE, Pen, clear, dark, light, mix, path
from jobs.sample.drawing.plants import GREEN

CRUST: RGB = (206, 142, 74)
_CREAM: RGB = (252, 240, 212)
_COFFEE: RGB = (92, 56, 36)
_YOLK: RGB = (250, 186, 52)


def _plate(p: Pen, colour: RGB = (240, 242, 246)) -> None:
    p.oval(0, 0.62, 0.98, 0.38, dark(colour, 0.16))
    p.oval(0, 0.57, 0.98, 0.38, colour)
    p.oval(0, 0.57, 0.74, 0.27, dark(colour, 0.07))


def _steam(p: Pen, xs: tuple[float, ...], y: float) -> None:
    for x in xs:
        p.curve([(x, y), (x + 0.09, y - 0.15), (x - 0.07, y - 0.3), (x + 0.04, y - 0.45)], 0.07, clear(WHITE, 0.65))


@kind("food", PAINTED, ON_TABLE)
def mug(p: Pen) -> None:
    p.ring(0.6, 0.3, 0.3, 0.14, p.main)
    p.box(-0.64, -0.3, 0.56, 1.0, p.main, 0.16)
    p.box(0.3, -0.1, 0.5, 0.92, clear(p.dark, 0.55), 0.1)
    p.box(-0.64, 0.3, 0.56, 0.46, p.accent)
    p.oval(-0.04, -0.28, 0.6, 0.16, p.light)
    p.oval(-0.04, -0.27, 0.5, 0.11, _COFFEE)
    _steam(p, (-0.26, 0.1), -0.4)


@kind("food", ("red", "white", "yellow"), ON_TABLE)
def wine(p: Pen) -> None:
    glass = (228, 238, 246)
    p.oval(0, 0.94, 0.4, 0.08, glass)
    p.line([(0, 0.2), (0, 0.94)], 0.08, glass)
    p.blob(path("-0.4,-0.96 0.4,-0.96 0.48,-0.3 0.2,0.24 -0.2,0.24 -0.48,-0.3"), glass)
    p.blob(
        path("-0.43,-0.46 0.43,-0.46 0.42,-0.2 0.16,0.16 -0.16,0.16 -0.42,-0.2"),
        mix(p.main, (120, 20, 50), 0.3),
    )
    p.oval(0, -0.47, 0.44, 0.08, p.light)
    p.line([(-0.3, -0.8), (-0.34, -0.4)], 0.06, clear(WHITE, 0.8))


@kind("food", BRIGHT, ON_TABLE)
def cake(p: Pen) -> None:
    p.oval(0, 0.9, 0.96, 0.12, (226, 228, 236))
    p.box(-0.74, 0.1, 0.74, 0.9, (236, 196, 138), 0.06)
    p.box(-0.74, 0.46, 0.74, 0.58, p.main)
    p.box(-0.78, 0.0, 0.78, 0.22, _CREAM, 0.1)
    for x in (-0.66, -0.36, -0.06, 0.26, 0.58):
        p.oval(x, 0.24, 0.13, p.rng.uniform(0.12, 0.24), _CREAM)
    for step in range(5):
        x = -0.56 + step * 0.28
        p.box(x - 0.045, -0.46, x + 0.045, 0.04, p.main if step % 2 else p.accent)
        p.oval(x, -0.6, 0.07, 0.12, _YOLK)


@kind("food", BRIGHT, ON_TABLE)
def cupcake(p: Pen) -> None:
    p.poly([(-0.6, 0.16), (0.6, 0.16), (0.44, 1.0), (-0.44, 1.0)], p.accent)
    for x in (-0.4, -0.14, 0.14, 0.4):
        p.line([(x, 0.2), (x * 0.76, 0.98)], 0.05, dark(p.accent, 0.2))
    for y, r in ((0.08, 0.72), (-0.2, 0.54), (-0.46, 0.34)):
        p.oval(0, y, r, 0.25, p.main)
        p.oval(-r * 0.3, y - 0.07, r * 0.4, 0.07, clear(WHITE, 0.4))
    p.dot(0, -0.76, 0.17, (206, 40, 56))


@kind("food", ("pink", "brown", "green", "yellow", "white"), ON_TABLE)
def ice_cream(p: Pen) -> None:
    p.poly([(-0.44, -0.1), (0.44, -0.1), (0.0, 1.0)], (224, 168, 96))
    for a, b in (
        ((-0.26, 0.0), (0.16, 0.6)),
        ((0.02, 0.0), (0.26, 0.4)),
        ((0.26, 0.0), (-0.16, 0.6)),
        ((-0.02, 0.0), (-0.26, 0.4)),
    ):
        p.line([a, b], 0.04, (180, 122, 60))
    p.dot(-0.26, -0.24, 0.34, p.main)
    p.dot(0.26, -0.24, 0.34, p.dark)
    p.dot(0.0, -0.6, 0.36, p.light)
    p.oval(-0.14, -0.74, 0.1, 0.06, clear(WHITE, 0.7), -30)


@kind("food", stands=ON_TABLE)
def pizza(p: Pen) -> None:
    p.poly([(-0.8, -0.6), (0.8, -0.6), (0.0, 1.0)], (248, 206, 96))
    p.line([(-0.8, -0.64), (0.0, -0.78), (0.8, -0.64)], 0.3, CRUST)
    for x, y in ((-0.34, -0.3), (0.3, -0.26), (0.02, 0.12), (-0.04, 0.56)):
        p.dot(x, y, 0.17, (202, 62, 52))
        p.dot(x - 0.04, y - 0.04, 0.06, (226, 110, 90))
    for x, y in ((0.0, -0.4), (-0.2, 0.1), (0.24, 0.14), (0.1, 0.44)):
        p.oval(x, y, 0.08, 0.04, GREEN, 40)
    p.line([(0.2, 0.66), (0.2, 0.86)], 0.08, (248, 206, 96))


@kind("food", stands=ON_TABLE)
def burger(p: Pen) -> None:
    p.box(-0.8, 0.56, 0.8, 0.98, (216, 150, 78), 0.2)
    p.box(-0.86, 0.34, 0.86, 0.6, (104, 62, 40), 0.12)
    p.poly(path("-0.84,0.28 0.84,0.28 0.4,0.54 0.16,0.34 -0.4,0.34"), (250, 196, 70))
    p.box(-0.8, 0.16, 0.8, 0.3, (206, 64, 56), 0.06)
    for x in (-0.7, -0.35, 0.0, 0.35, 0.7):
        p.oval(x, 0.12, 0.22, 0.1, (120, 180, 70))
    p.bow(0, 0.08, 0.84, 0.8, 180, 360, (222, 156, 80))
    for x, y in ((-0.4, -0.3), (0, -0.48), (0.36, -0.3), (-0.14, -0.18), (0.2, -0.12)):
        p.oval(x, y, 0.06, 0.035, _CREAM, 20)


# Breakfast


@kind("food", stands=ON_TABLE, concept="breakfast", homes="US")
def pancakes(p: Pen) -> None:
    _plate(p)
    for step in range(4):
        y = 0.5 - step * 0.2
        p.oval(0, y + 0.07, 0.7, 0.2, (176, 108, 50))
        p.oval(0, y, 0.7, 0.2, (232, 180, 104))
    p.blob(
        path("-0.5,-0.1 0,-0.22 0.5,-0.1 0.58,0.34 0.42,0.1 0.1,0.06 -0.2,0.46 -0.34,0.06"),
        (150, 78, 28),
    )
    p.poly([(-0.2, -0.3), (0.1, -0.38), (0.26, -0.26), (-0.04, -0.16)], (252, 226, 116))


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
    p.pie(-0.5, 0.72, 0.18, 180, 360, (208, 62, 52))
    _steam(p, (-0.3, 0.2), 0.1)


@kind("food", stands=ON_TABLE, concept="breakfast", homes="FR")
def croissant(p: Pen) -> None:
    _plate(p)
    for x, y, r, turn in (
        (-0.72, 0.46, 0.2, -40),
        (0.72, 0.46, 0.2, 40),
        (-0.48, 0.2, 0.27, -28),
        (0.48, 0.2, 0.27, 28),
    ):
        p.oval(x, y, r, r * 1.1, (196, 124, 56), turn)
        p.oval(x - 0.04, y - 0.07, r * 0.7, r * 0.5, (228, 166, 86), turn)
    p.oval(0, 0.1, 0.36, 0.36, (206, 136, 62))
    p.oval(0, 0.0, 0.26, 0.17, (238, 184, 104))
    for x in (-0.28, 0.28):
        p.curve([(x, -0.18), (x * 0.8, 0.1), (x, 0.38)], 0.04, (150, 86, 36))


@kind("food", stands=ON_TABLE, concept="breakfast", homes="DE")
def pretzel(p: Pen) -> None:
    crust = (158, 92, 44)
    p.curve(path("0,0.8 -0.6,0.56 -0.86,0 -0.6,-0.5 -0.2,-0.4 0.1,0.1 0.5,0.72"), 0.25, crust)
    p.curve(path("0,0.8 0.6,0.56 0.86,0 0.6,-0.5 0.2,-0.4 -0.1,0.1 -0.5,0.72"), 0.25, crust)
    for x, y in (
        (-0.7, 0.3),
        (-0.8, -0.1),
        (-0.5, -0.46),
        (0.0, 0.02),
        (0.5, -0.46),
        (0.8, -0.1),
        (0.7, 0.3),
        (0.0, 0.78),
    ):
        p.box(x - 0.04, y - 0.04, x + 0.04, y + 0.04, WHITE)


@kind("food", stands=ON_TABLE, concept="breakfast", homes="JP")
def rice_bowl(p: Pen) -> None:
    p.oval(0, 0.06, 0.72, 0.42, WHITE)
    for x, y in ((-0.4, -0.14), (-0.1, -0.26), (0.24, -0.2), (0.46, -0.04), (0.0, -0.06)):
        p.oval(x, y, 0.1, 0.05, (228, 226, 218), 30)
    p.bow(0, 0.1, 0.84, 0.84, 0, 180, (48, 74, 130))
    p.box(-0.3, 0.84, 0.3, 1.0, (34, 54, 100), 0.04)
    for x in (-0.5, 0.0, 0.5):
        p.ring(x, 0.44, 0.12, 0.05, (226, 232, 244))
    p.dot(0.02, -0.26, 0.13, (206, 60, 74))
    p.line([(0.3, -0.9), (0.9, 0.24)], 0.06, (140, 60, 44))
    p.line([(0.5, -0.94), (0.98, 0.16)], 0.06, (140, 60, 44))


@kind("food", stands=ON_TABLE, concept="breakfast", homes="MX")
def tacos(p: Pen) -> None:
    for x, y in ((0.3, 0.2), (-0.22, 0.44)):
        p.bow(x + 0.1, y + 0.36, 0.62, 0.66, 180, 360, (206, 146, 64))
        for dx in (-0.4, -0.2, 0.0, 0.2, 0.4):
            top = y - 0.16 + abs(dx) * 0.6
            p.dot(x + dx, top, 0.15, GREEN if dx in (-0.4, 0.0, 0.4) else (204, 66, 52))
        p.bow(x, y + 0.44, 0.62, 0.6, 180, 360, (244, 196, 96))
        for dx, dy in ((-0.3, 0.3), (0.1, 0.14), (0.3, 0.32)):
            p.dot(x + dx, y + dy, 0.05, (214, 156, 66))


@kind("food", stands=ON_TABLE, concept="breakfast", homes="ES")
def churros(p: Pen) -> None:
    for x0, x1 in ((0.2, 0.86), (0.0, 0.56), (0.4, 0.96)):
        p.line([(x0, 0.86), (x1, -0.7)], 0.2, (196, 126, 58))
        p.line([(x0 - 0.03, 0.84), (x1 - 0.03, -0.66)], 0.05, (232, 176, 104))
    p.box(-0.86, 0.06, 0.1, 0.98, (232, 236, 242), 0.2)
    p.ring(-0.86, 0.5, 0.2, 0.1, (232, 236, 242))
    p.oval(-0.38, 0.08, 0.48, 0.15, WHITE)
    p.oval(-0.38, 0.09, 0.4, 0.11, (78, 44, 30))


@kind("food", stands=ON_TABLE, concept="breakfast", homes="BR")
def papaya(p: Pen) -> None:
    _plate(p, (240, 232, 214))
    for x, y, turn in ((-0.3, 0.3, -16), (0.34, 0.36, 14)):
        p.oval(x, y, 0.3, 0.62, (240, 168, 60), turn)
        p.oval(x, y, 0.23, 0.52, (246, 122, 62), turn)
        p.oval(x, y + 0.04, 0.09, 0.3, (180, 70, 40), turn)
        for dy in (-0.14, 0.02, 0.18):
            p.dot(x + p.rng.uniform(-0.04, 0.04), y + dy, 0.05, (40, 34, 36))


# Tea


@kind("food", ("white", "pink", "blue", "green"), ON_TABLE, concept="tea", homes="GB DE FR")
def tea_cup(p: Pen) -> None:
    p.oval(0, 0.82, 0.94, 0.17, p.dark)
    p.oval(0, 0.78, 0.94, 0.17, p.light)
    p.ring(0.6, 0.14, 0.22, 0.1, p.main)
    p.bow(0, -0.1, 0.64, 0.86, 0, 180, p.main)
    p.oval(0, -0.1, 0.64, 0.17, p.light)
    p.oval(0, -0.09, 0.54, 0.12, (176, 106, 52))
    for x in (-0.3, 0.0, 0.3):
        p.dot(x, 0.3, 0.08, p.accent)
    _steam(p, (-0.16, 0.16), -0.26)


@kind("food", stands=ON_TABLE, concept="tea", homes="JP")
def green_tea(p: Pen) -> None:
    clay = p.rng.choice([(92, 110, 120), (140, 96, 70), (72, 84, 74)])
    p.box(-0.5, -0.3, 0.5, 0.98, clay, 0.18)
    p.box(0.2, -0.2, 0.44, 0.9, clear(dark(clay), 0.6), 0.1)
    p.oval(0, -0.28, 0.5, 0.16, light(clay, 0.5))
    p.oval(0, -0.27, 0.42, 0.11, (140, 176, 72))
    p.curve([(-0.4, 0.4), (-0.1, 0.3), (0.14, 0.5)], 0.06, light(clay, 0.7))
    _steam(p, (-0.14, 0.14), -0.44)


@kind("food", stands=ON_TABLE, concept="tea", homes="US MX ES")
def iced_tea(p: Pen) -> None:
    p.line([(0.1, 0.6), (0.44, -1.0)], 0.09, (226, 72, 72))
    p.poly([(-0.5, -0.62), (0.5, -0.62), (0.4, 1.0), (-0.4, 1.0)], (222, 234, 240))
    p.poly([(-0.47, -0.36), (0.47, -0.36), (0.38, 0.94), (-0.38, 0.94)], (196, 116, 48))
    for x, y in ((-0.2, -0.2), (0.18, -0.1), (-0.06, 0.14)):
        p.box(x - 0.15, y - 0.14, x + 0.15, y + 0.14, light((226, 170, 110), 0.5), 0.04)
    p.dot(-0.48, -0.6, 0.28, (246, 214, 70))
    p.dot(-0.48, -0.6, 0.2, (252, 240, 170))


@kind("food", stands=ON_TABLE, concept="tea", homes="BR")
def mate(p: Pen) -> None:
    p.line([(0.0, 0.2), (0.56, -0.96)], 0.1, (190, 194, 200))
    p.oval(0.56, -0.94, 0.13, 0.07, (190, 194, 200), -60)
    p.blob(path("-0.44,-0.3 0.44,-0.3 0.7,0.4 0.4,0.96 -0.4,0.96 -0.7,0.4"), (126, 76, 44))
    p.oval(-0.34, 0.3, 0.14, 0.3, clear(WHITE, 0.25), 10)
    p.oval(0, -0.3, 0.48, 0.14, (206, 206, 208))
    p.oval(0, -0.31, 0.38, 0.1, (106, 138, 56))


# Bread


@kind("food", stands=ON_TABLE, concept="bread", homes="FR ES")
def baguette(p: Pen) -> None:
    p.blob(path("-1,0.74 -0.84,0.34 0.4,-0.56 0.86,-0.74 0.96,-0.5 0.76,-0.1 -0.5,0.8 -0.86,0.92"), (186, 116, 50))
    p.blob(path("-0.9,0.68 -0.74,0.34 0.4,-0.5 0.82,-0.66 0.8,-0.44 -0.5,0.6"), (224, 164, 86))
    for step in range(5):
        x, y = -0.62 + step * 0.3, 0.4 - step * 0.21
        p.blob([(x - 0.12, y - 0.02), (x + 0.02, y - 0.13), (x + 0.2, y + 0.0), (x + 0.06, y + 0.06)], (250, 226, 172))
    p.poly([(-0.62, 0.2), (-0.2, -0.1), (0.1, 0.4), (-0.4, 0.78)], (240, 236, 226))
    p.line([(-0.5, 0.4), (-0.1, 0.12)], 0.04, (60, 90, 160))


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
        p.box(x - 0.62, y - 0.2, x + 0.62, y + 0.88, (186, 118, 56), 0.12)
        for side in (-0.32, 0.32):
            p.oval(x + side, y - 0.24, 0.36, 0.24, (186, 118, 56))
        p.box(x - 0.52, y - 0.2, x + 0.52, y + 0.78, (246, 216, 160), 0.1)
        for side in (-0.28, 0.28):
            p.oval(x + side, y - 0.2, 0.28, 0.17, (246, 216, 160))
    p.poly([(-0.36, 0.3), (0.0, 0.24), (0.06, 0.5), (-0.3, 0.56)], (254, 230, 110))


@kind("food", ("pink", "yellow", "white", "brown"), ON_TABLE, concept="bread", homes="MX BR")
def sweet_bun(p: Pen) -> None:
    p.oval(0, 0.86, 0.9, 0.14, (206, 140, 72))
    p.bow(0, 0.84, 0.9, 1.16, 180, 360, (226, 164, 88))
    p.bow(0, 0.6, 0.76, 0.98, 180, 360, p.light)
    for x in (-0.5, -0.25, 0.0, 0.25, 0.5):
        p.curve([(0.0, -0.38), (x * 0.8, 0.0), (x * 1.25, 0.58)], 0.06, p.dark)


# Chips


@kind("food", ("red", "white", "blue"), ON_TABLE, concept="chips", homes="GB")
def french_fries(p: Pen) -> None:
    for step in range(9):
        x = -0.46 + step * 0.115
        p.box(
            x - 0.07,
            -0.84 + 0.4 * abs(x) + p.rng.uniform(-0.1, 0.2),
            x + 0.07,
            0.5,
            (250, 206, 84) if step % 2 else (236, 180, 60),
        )
    p.poly([(-0.66, -0.06), (0.66, -0.06), (0.46, 1.0), (-0.46, 1.0)], p.main)
    p.bow(0, -0.08, 0.56, 0.26, 0, 180, (240, 190, 72))
    p.poly([(-0.2, 0.34), (0.2, 0.34), (0.16, 0.8), (-0.16, 0.8)], p.accent)


@kind("food", ("red", "blue", "green", "yellow", "purple"), ON_TABLE, concept="chips", homes="US DE FR ES MX BR JP")
def crisps(p: Pen) -> None:
    p.poly(path("-0.56,-0.8 0.56,-0.8 0.66,0 0.58,0.9 -0.58,0.9 -0.66,0"), p.main)
    for y in (-0.92, 0.8):
        p.box(-0.6, y, 0.6, y + 0.15, light(p.main, 0.5))
    p.poly(path("0.3,-0.7 0.5,-0.7 0.58,0 0.5,0.76 0.3,0.76"), clear(p.dark, 0.5))
    p.oval(0, -0.3, 0.46, 0.22, p.accent)
    for x, y, turn in ((-0.14, 0.3, -30), (0.16, 0.44, 20)):
        p.oval(x, y, 0.27, 0.17, (250, 214, 106), turn)
        p.oval(x, y, 0.13, 0.06, (232, 182, 70), turn)
