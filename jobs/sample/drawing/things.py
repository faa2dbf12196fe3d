"""Objects of daily life; balls, letter boxes, money and flags by country."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from jobs.sample.drawing.kinds import AIR, BRIGHT, ON_TABLE, PAINTED, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, Point, clear, dark, light, path

_WOOD: RGB = (176, 120, 72)
_GOLD: RGB = (240, 196, 76)
_STEEL: RGB = (180, 186, 196)


@kind("thing", PAINTED)
def umbrella(p: Pen) -> None:
    p.line([(0.0, -0.8), (0.0, 0.74)], 0.07, (96, 72, 56))
    p.curve([(0.0, 0.7), (0.04, 0.94), (0.22, 0.94), (0.28, 0.76)], 0.09, (96, 72, 56))
    p.bow(0, 0.06, 0.96, 0.92, 180, 360, p.main)
    p.bow(0, 0.06, 0.6, 0.92, 180, 360, p.accent)
    p.bow(0, 0.06, 0.24, 0.92, 180, 360, p.main)
    for x, half in ((-0.78, 0.18), (-0.42, 0.18), (0.0, 0.24), (0.42, 0.18), (0.78, 0.18)):
        p.bow(x, 0.08, half, 0.12, 180, 360, p.dark)
    p.line([(0.0, -0.84), (0.0, -0.98)], 0.06, (96, 72, 56))


@kind("thing", PAINTED, ON_TABLE)
def clock(p: Pen) -> None:
    for side in (-1, 1):
        p.line([(side * 0.4, 0.76), (side * 0.6, 0.98)], 0.12, p.dark)
        p.oval(side * 0.44, -0.72, 0.27, 0.2, p.dark, side * 40)
    p.dot(0, 0.1, 0.82, p.main)
    p.dot(0, 0.1, 0.66, WHITE)
    for step in range(12):
        a = math.radians(step * 30)
        p.dot(0.55 * math.cos(a), 0.1 + 0.55 * math.sin(a), 0.06 if step % 3 == 0 else 0.035, BLACK)
    for reach, width in ((0.36, 0.09), (0.5, 0.06)):
        a = math.radians(p.rng.uniform(0, 360))
        p.line([(0, 0.1), (reach * math.cos(a), 0.1 + reach * math.sin(a))], width, BLACK)
    p.dot(0, 0.1, 0.07, p.main)


@kind("thing", BRIGHT, ON_TABLE)
def lamp(p: Pen) -> None:
    p.poly([(-0.5, 0.0), (0.5, 0.0), (0.9, 0.9), (-0.9, 0.9)], clear((255, 238, 150), 0.35))
    p.oval(0, 0.92, 0.4, 0.09, _WOOD)
    p.blob(path("-0.12,0 0.12,0 0.26,0.5 0.12,0.9 -0.12,0.9 -0.26,0.5"), p.accent)
    p.poly([(-0.36, -0.92), (0.36, -0.92), (0.72, 0.04), (-0.72, 0.04)], p.main)
    p.poly([(-0.36, -0.92), (-0.1, -0.92), (-0.26, 0.04), (-0.72, 0.04)], p.light)
    p.box(-0.74, -0.02, 0.74, 0.08, p.dark)


@kind("thing", PAINTED)
def chair(p: Pen) -> None:
    for x in (-0.5, 0.56):
        p.line([(x, 0.2), (x * 1.08, 0.97)], 0.11, dark(_WOOD, 0.2))
    for x in (-0.34, 0.34):
        p.line([(x, 0.2), (x, 0.8)], 0.1, dark(_WOOD, 0.35))
    p.box(-0.5, -0.96, 0.5, 0.1, p.main, 0.16)
    p.box(-0.36, -0.82, 0.36, -0.1, p.light, 0.1)
    p.box(-0.62, 0.04, 0.66, 0.34, p.dark, 0.1)
    p.box(-0.62, 0.0, 0.66, 0.2, p.main, 0.1)


@kind("thing", ("brown", "red", "black", "blue", "orange"))
def guitar(p: Pen) -> None:
    p.line([(0.3, -0.3), (0.72, -0.88)], 0.15, (86, 58, 44))
    p.line([(0.7, -0.84), (0.84, -1.0)], 0.23, (60, 40, 34))
    p.dot(0.1, -0.06, 0.4, p.main)
    p.dot(-0.28, 0.46, 0.54, p.main)
    p.dot(-0.31, 0.5, 0.42, p.light)
    p.dot(0.08, -0.03, 0.3, p.light)
    p.dot(-0.06, 0.14, 0.17, BLACK)
    p.line([(-0.48, 0.52), (-0.22, 0.74)], 0.1, (60, 40, 34))
    for shift in (-0.04, 0.02, 0.08):
        p.line([(-0.38 + shift, 0.62 + shift), (0.74 + shift, -0.92 + shift)], 0.018, (246, 240, 224))


@kind("thing", PAINTED, ON_TABLE)
def book(p: Pen) -> None:
    p.poly(path("-0.98,-0.4 0,-0.2 0.98,-0.4 0.98,0.8 0,1 -0.98,0.8"), p.main)
    for side in (-1, 1):
        p.blob(
            [
                (0.0, -0.26),
                (side * 0.44, -0.52),
                (side * 0.88, -0.46),
                (side * 0.88, 0.66),
                (side * 0.44, 0.62),
                (0.0, 0.86),
            ],
            (250, 246, 234),
        )
        for step in range(5):
            y = -0.22 + step * 0.17
            p.line([(side * 0.18, y + 0.02), (side * 0.72, y - 0.08)], 0.045, (176, 170, 164))
    p.line([(0.0, -0.22), (0.0, 0.86)], 0.05, (190, 184, 172))
    p.poly(path("0.1,-0.3 0.26,-0.38 0.26,0.3 0.18,0.22 0.1,0.34"), p.accent)


@kind("thing", ("black", "red", "brown", "blue", "white"), ON_TABLE)
def camera(p: Pen) -> None:
    p.box(-0.4, -0.6, 0.3, -0.2, p.dark, 0.1)
    p.box(0.5, -0.5, 0.76, -0.3, (206, 60, 54), 0.05)
    p.box(-0.94, -0.36, 0.94, 0.86, p.main, 0.16)
    p.box(-0.94, -0.36, 0.94, -0.06, _STEEL, 0.12)
    p.dot(0.0, 0.3, 0.5, BLACK)
    p.dot(0.0, 0.3, 0.4, (70, 76, 96))
    p.dot(0.0, 0.3, 0.25, (36, 46, 84))
    p.oval(-0.12, 0.16, 0.1, 0.07, clear(WHITE, 0.8), -30)
    p.box(-0.8, -0.26, -0.5, -0.12, (240, 240, 220))


@kind("thing", BRIGHT, AIR)
def balloons(p: Pen) -> None:
    colours = [p.main, p.main, p.accent] if p.rng.random() < 0.5 else [p.main, p.dark, p.light]
    spots = ((-0.46, -0.3, colours[2]), (0.46, -0.36, colours[1]), (0.0, -0.58, colours[0]))
    for x, y, colour in spots:
        p.curve([(x, y + 0.4), (x * 0.3, 0.6), (0.0, 1.0)], 0.03, (120, 110, 110))
        p.poly([(x - 0.07, y + 0.48), (x, y + 0.36), (x + 0.07, y + 0.48)], dark(colour))
        p.oval(x, y, 0.36, 0.42, colour)
        p.oval(x - 0.13, y - 0.16, 0.07, 0.13, clear(WHITE, 0.6), 25)


@kind("thing", BRIGHT, AIR)
def kite(p: Pen) -> None:
    p.curve([(-0.24, 0.28), (-0.6, 0.5), (-0.3, 0.74), (-0.8, 0.96)], 0.04, (110, 96, 96))
    for x, y in ((-0.5, 0.5), (-0.44, 0.74)):
        p.poly([(x - 0.16, y - 0.09), (x, y), (x - 0.16, y + 0.09)], p.accent)
        p.poly([(x + 0.16, y - 0.09), (x, y), (x + 0.16, y + 0.09)], p.accent)
    p.poly([(0.5, -0.96), (0.92, -0.3), (-0.24, 0.3), (-0.2, -0.56)], p.main)
    p.poly([(0.5, -0.96), (0.92, -0.3), (0.2, -0.4)], p.accent)
    p.poly([(-0.24, 0.3), (-0.2, -0.56), (0.2, -0.4)], p.light)
    p.line([(0.5, -0.96), (-0.24, 0.3)], 0.04, (96, 70, 54))
    p.line([(-0.2, -0.56), (0.92, -0.3)], 0.04, (96, 70, 54))


@kind("thing", stands=ON_TABLE)
def key(p: Pen) -> None:
    metal = p.rng.choice([_GOLD, _STEEL, (196, 130, 70)])
    p.line([(-0.2, 0.1), (0.88, 0.66)], 0.17, metal)
    p.line([(0.6, 0.52), (0.46, 0.84)], 0.15, metal)
    p.line([(0.86, 0.66), (0.72, 0.94)], 0.15, metal)
    p.ring(-0.46, -0.08, 0.4, 0.2, metal)
    p.ring(-0.46, -0.08, 0.42, 0.05, light(metal, 0.5))


@kind("thing", PAINTED, ON_TABLE)
def hat(p: Pen) -> None:
    p.oval(0, 0.6, 0.98, 0.3, p.dark)
    p.oval(0, 0.54, 0.98, 0.28, p.main)
    p.blob(
        path("-0.56,0.5 -0.5,-0.4 -0.2,-0.56 0,-0.48 0.2,-0.56 0.5,-0.4 0.56,0.5 0,0.64"),
        p.main,
    )
    p.poly(path("-0.57,0.2 0,0.34 0.57,0.2 0.58,0.46 0,0.62 -0.58,0.46"), p.accent)


@kind("thing", PAINTED)
def sneaker(p: Pen) -> None:
    p.blob(
        path("-0.9,-0.4 -0.5,-0.5 -0.36,-0.1 0.2,0.14 0.86,0.36 0.96,0.7 -0.9,0.72 -0.86,0.2"),
        p.main,
    )
    p.blob([(0.5, 0.24), (0.9, 0.36), (0.98, 0.66), (0.5, 0.66)], p.light)
    p.box(-0.96, 0.64, 0.98, 0.92, WHITE, 0.12)
    p.box(-0.96, 0.76, 0.98, 0.84, p.accent)
    for x, y in ((-0.24, 0.06), (-0.02, 0.14), (0.2, 0.24)):
        p.line([(x - 0.06, y + 0.14), (x + 0.14, y - 0.1)], 0.07, WHITE)
    p.curve([(-0.7, 0.5), (-0.3, 0.5), (0.1, 0.36)], 0.1, p.accent)
    p.oval(-0.66, -0.4, 0.24, 0.1, p.dark, -10)


@kind("thing", PAINTED, ON_TABLE)
def candle(p: Pen) -> None:
    p.dot(0, -0.6, 0.42, clear((255, 226, 130), 0.4))
    p.oval(0, 0.86, 0.6, 0.14, _GOLD)
    p.box(-0.25, -0.24, 0.25, 0.84, p.main, 0.07)
    p.oval(0, -0.22, 0.25, 0.08, p.light)
    p.box(0.16, -0.16, 0.3, 0.3, p.light, 0.07)
    p.line([(0, -0.24), (0, -0.42)], 0.05, BLACK)
    p.blob(path("0,-0.98 0.16,-0.6 0.1,-0.38 -0.1,-0.38 -0.16,-0.6"), (250, 160, 50))
    p.oval(0, -0.5, 0.07, 0.14, (255, 240, 160))


@kind("thing", BRIGHT, ON_TABLE)
def gift(p: Pen) -> None:
    p.box(-0.76, -0.1, 0.76, 1.0, p.main, 0.04)
    p.box(-0.86, -0.34, 0.86, 0.0, p.light, 0.04)
    p.box(-0.15, -0.34, 0.15, 1.0, p.accent)
    for side in (-1, 1):
        p.blob([(0.0, -0.36), (side * 0.3, -0.86), (side * 0.66, -0.72), (side * 0.46, -0.4)], p.accent)
        p.oval(side * 0.34, -0.58, 0.13, 0.09, dark(p.accent), side * -40)
    p.dot(0, -0.4, 0.14, dark(p.accent, 0.15))


@kind("thing", PAINTED)
def backpack(p: Pen) -> None:
    p.curve([(-0.24, -0.74), (-0.14, -0.98), (0.14, -0.98), (0.24, -0.74)], 0.1, p.dark)
    for side in (-1, 1):
        p.box(side * 0.68 - 0.15, 0.1, side * 0.68 + 0.15, 0.86, p.dark, 0.1)
    p.box(-0.62, -0.84, 0.62, 1.0, p.main, 0.36)
    p.box(-0.46, 0.2, 0.46, 0.86, p.light, 0.1)
    p.box(-0.46, 0.2, 0.46, 0.42, p.accent, 0.08)
    p.line([(-0.46, -0.2), (0.46, -0.2)], 0.06, p.dark)
    p.box(-0.06, 0.34, 0.06, 0.52, _GOLD)


@kind("thing", ("grey", "blue", "red", "green", "yellow"))
def robot(p: Pen) -> None:
    p.line([(0.0, -0.7), (0.0, -0.94)], 0.06, _STEEL)
    p.dot(0.0, -0.94, 0.09, (226, 60, 56))
    for side in (-1, 1):
        p.line([(side * 0.5, 0.14), (side * 0.8, 0.3), (side * 0.76, 0.56)], 0.13, _STEEL)
        p.dot(side * 0.76, 0.6, 0.12, p.dark)
        p.box(side * 0.24 - 0.12, 0.7, side * 0.24 + 0.12, 0.96, _STEEL)
        p.box(side * 0.26 - 0.19, 0.88, side * 0.26 + 0.19, 1.0, p.dark, 0.04)
    p.box(-0.52, 0.0, 0.52, 0.78, p.main, 0.1)
    p.box(-0.34, 0.14, 0.34, 0.54, p.light, 0.04)
    for x, lamp_colour in ((-0.2, (226, 70, 60)), (0.0, _GOLD), (0.2, (90, 180, 100))):
        p.dot(x, 0.34, 0.08, lamp_colour)
    p.box(-0.46, -0.7, 0.46, -0.06, p.main, 0.12)
    p.box(-0.36, -0.56, 0.36, -0.26, (40, 48, 66), 0.1)
    for x in (-0.17, 0.17):
        p.dot(x, -0.41, 0.09, (130, 230, 240))
    p.line([(-0.2, -0.17), (0.2, -0.17)], 0.05, p.dark)


@kind("thing", ("brown", "red", "blue", "green", "black", "pink"))
def suitcase(p: Pen) -> None:
    p.curve([(-0.26, -0.4), (-0.22, -0.7), (0.22, -0.7), (0.26, -0.4)], 0.12, p.dark)
    p.box(-0.92, -0.44, 0.92, 0.98, p.main, 0.16)
    for x in (-0.54, 0.54):
        p.box(x - 0.1, -0.44, x + 0.1, 0.98, p.dark)
        p.box(x - 0.08, 0.0, x + 0.08, 0.16, _GOLD)
    p.dot(0.0, 0.5, 0.2, p.accent)
    p.box(-0.2, -0.2, 0.2, 0.06, light(p.accent, 0.4), 0.03)


@kind("thing")
def snowman(p: Pen) -> None:
    for side in (-1, 1):
        p.line([(side * 0.36, 0.0), (side * 0.86, -0.24)], 0.05, (110, 78, 54))
        p.line([(side * 0.7, -0.17), (side * 0.8, -0.02)], 0.04, (110, 78, 54))
    p.dot(0, 0.56, 0.46, (238, 244, 250))
    p.dot(0, 0.0, 0.36, (246, 250, 254))
    p.dot(0, -0.48, 0.28, (252, 253, 255))
    p.box(-0.24, -0.98, 0.24, -0.66, BLACK)
    p.box(-0.38, -0.72, 0.38, -0.62, BLACK, 0.04)
    p.box(-0.3, -0.28, 0.3, -0.16, p.accent, 0.05)
    p.box(0.1, -0.22, 0.24, 0.12, p.accent, 0.04)
    for y in (0.04, 0.2, 0.5):
        p.dot(0, y, 0.05, BLACK)
    for x in (-0.1, 0.1):
        p.dot(x, -0.54, 0.045, BLACK)
    p.poly([(0.0, -0.5), (0.3, -0.42), (0.0, -0.4)], (240, 140, 50))


@kind("thing", ("black", "brown", "white"))
def piano(p: Pen) -> None:
    p.blob(path("-0.9,-0.06 -0.7,-0.94 -0.1,-0.8 0.3,-0.4 0.9,-0.5 0.86,-0.06"), p.dark)
    p.line([(0.5, -0.1), (0.1, -0.6)], 0.04, _GOLD)
    p.box(-0.94, -0.1, 0.94, 0.36, p.main, 0.06)
    p.box(-0.84, 0.1, 0.84, 0.3, WHITE)
    for step in range(11):
        x = -0.72 + step * 0.144
        if step % 7 not in (2, 6):
            p.box(x - 0.035, 0.1, x + 0.035, 0.21, BLACK)
    for x in (-0.78, 0.78):
        p.line([(x, 0.36), (x, 0.98)], 0.12, p.dark)
    p.line([(0.0, 0.36), (0.0, 0.9)], 0.08, _GOLD)


@kind("thing", BRIGHT)
def drum(p: Pen) -> None:
    p.box(-0.76, -0.1, 0.76, 0.76, p.main)
    p.oval(0, 0.76, 0.76, 0.22, p.main)
    for step in range(6):
        x = -0.76 + step * 0.304
        p.line([(x, -0.06), (x + 0.15, 0.86 - abs(x + 0.15) * 0.16), (min(0.76, x + 0.3), -0.06)], 0.04, _GOLD)
    p.oval(0, -0.12, 0.78, 0.25, _GOLD)
    p.oval(0, -0.15, 0.7, 0.2, (248, 240, 222))
    for x0, x1 in ((-0.2, -0.7), (0.2, 0.74)):
        p.line([(x0, -0.2), (x1, -0.86)], 0.07, _WOOD)
        p.dot(x0, -0.22, 0.09, dark(_WOOD))


# Football


@kind("thing", concept="football", homes="US")
def american_football(p: Pen) -> None:
    leather = (140, 76, 44)
    p.blob(
        path("-0.98,0.5 -0.5,-0.2 0.1,-0.44 0.6,-0.36 0.98,-0.14 0.56,0.56 0,0.86 -0.5,0.84"),
        leather,
    )
    p.oval(-0.2, -0.02, 0.34, 0.12, clear(WHITE, 0.2), -30)
    for x, y in ((-0.64, 0.34), (0.66, 0.06)):
        p.line([(x - 0.1, y - 0.3), (x + 0.12, y + 0.3)], 0.12, WHITE)
    p.line([(-0.32, 0.3), (0.36, 0.04)], 0.07, WHITE)
    for step in range(4):
        x, y = -0.24 + step * 0.17, 0.27 - step * 0.065
        p.line([(x - 0.05, y - 0.11), (x + 0.05, y + 0.11)], 0.05, WHITE)


@kind("thing", concept="football", homes="GB DE FR ES MX BR JP")
def soccer_ball(p: Pen) -> None:
    p.dot(0, 0.16, 0.84, (36, 36, 42))
    p.dot(0, 0.16, 0.81, WHITE)
    start = p.rng.uniform(0, 72)

    def corner(angle: float, reach: float) -> Point:
        a = math.radians(start + angle)
        return reach * math.cos(a), 0.16 + reach * math.sin(a)

    p.poly([corner(step * 72, 0.3) for step in range(5)], BLACK)
    for step in range(5):
        p.line([corner(step * 72, 0.3), corner(step * 72, 0.56)], 0.04, BLACK)
        p.poly(
            [corner(step * 72 + d, r) for d, r in ((-18, 0.64), (0, 0.54), (18, 0.64), (15, 0.81), (-15, 0.81))], BLACK
        )
        p.line([corner(step * 72 + 18, 0.64), corner(step * 72 + 54, 0.64)], 0.03, BLACK)


@kind("thing")
def basketball(p: Pen) -> None:
    p.dot(0, 0.16, 0.84, (70, 40, 28))
    p.dot(0, 0.16, 0.8, (230, 124, 50))
    p.line([(-0.8, 0.16), (0.8, 0.16)], 0.05, BLACK)
    p.line([(0.0, -0.64), (0.0, 0.96)], 0.05, BLACK)
    for side in (-1, 1):
        p.curve([(side * 0.6, -0.38), (side * 0.3, 0.16), (side * 0.6, 0.7)], 0.05, BLACK)


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
    p.poly([(-0.3, 0.34), (0.34, 0.16), (0.1, 0.5), (-0.3, 0.5)], WHITE)


@kind("thing", concept="mailbox", homes="GB", can_flip=False)
def pillar_box(p: Pen) -> None:
    red = (198, 36, 40)
    p.box(-0.5, 0.84, 0.5, 1.0, BLACK, 0.03)
    p.box(-0.44, -0.6, 0.44, 0.9, red)
    p.box(0.2, -0.56, 0.4, 0.88, dark(red, 0.25))
    p.oval(0, -0.64, 0.54, 0.16, dark(red, 0.2))
    p.bow(0, -0.66, 0.5, 0.34, 180, 360, red)
    p.box(-0.28, -0.4, 0.28, -0.28, BLACK, 0.03)
    p.box(-0.2, -0.06, 0.16, 0.26, WHITE)


@kind("thing", concept="mailbox", homes="DE FR ES BR")
def yellow_mailbox(p: Pen) -> None:
    yellow = (250, 204, 40)
    p.box(-0.1, 0.4, 0.1, 1.0, (110, 112, 120))
    p.box(-0.64, -0.8, 0.64, 0.54, yellow, 0.1)
    p.box(-0.72, -0.9, 0.72, -0.7, dark(yellow, 0.2), 0.08)
    p.box(-0.46, -0.56, 0.46, -0.42, BLACK, 0.03)
    p.ring(-0.02, 0.06, 0.2, 0.08, BLACK)
    p.poly([(0.12, -0.02), (0.4, -0.18), (0.4, 0.2), (0.16, 0.12)], BLACK)


@kind("thing", concept="mailbox", homes="JP")
def red_mailbox(p: Pen) -> None:
    red = (220, 60, 44)
    p.box(-0.14, 0.3, 0.14, 1.0, (150, 152, 160))
    p.box(-0.34, 0.92, 0.34, 1.0, (130, 132, 140))
    p.box(-0.76, -0.76, 0.76, 0.44, red, 0.12)
    for x in (-0.36, 0.36):
        p.box(x - 0.28, -0.52, x + 0.28, -0.38, BLACK, 0.03)
    p.box(-0.3, -0.14, 0.3, -0.05, WHITE)
    p.box(-0.3, 0.02, 0.3, 0.11, WHITE)
    p.box(-0.05, -0.14, 0.05, 0.34, WHITE)


@kind("thing", concept="mailbox", homes="MX")
def post_mailbox(p: Pen) -> None:
    green = (44, 130, 96)
    p.box(-0.1, 0.1, 0.1, 1.0, _WOOD)
    p.box(-0.84, -0.5, 0.84, 0.2, green, 0.04)
    p.bow(0, -0.46, 0.84, 0.36, 180, 360, green)
    p.box(0.46, -0.46, 0.84, 0.2, dark(green, 0.2))
    p.line([(-0.3, -0.1), (-0.3, -0.84)], 0.07, WHITE)
    p.box(-0.3, -0.92, 0.06, -0.68, (220, 50, 50))


# Money


def _note(p: Pen, paper: RGB, sign: str) -> None:
    """Draw two banknotes and a coin that bears a currency sign, given as strokes."""
    for shift in (0.16, 0.0):
        p.poly(
            [(-0.96, -0.3 + shift), (0.8, -0.5 + shift), (0.92, 0.36 + shift), (-0.84, 0.56 + shift)],
            light(paper, 0.2 if shift else 0.0),
        )
        p.poly(
            [(-0.84, -0.2 + shift), (0.72, -0.38 + shift), (0.82, 0.28 + shift), (-0.74, 0.46 + shift)],
            light(paper, 0.4),
        )
    p.oval(-0.1, 0.06, 0.26, 0.3, paper)
    p.dot(0.4, 0.46, 0.54, dark(_GOLD, 0.25))
    p.dot(0.4, 0.44, 0.48, _GOLD)
    for stroke in sign.split("; "):
        p.line([(0.4 + x * 0.3, 0.44 + y * 0.36) for x, y in path(stroke)], 0.09, dark(_GOLD, 0.6))


for _name, _homes, _paper, _sign in (
    (
        "dollars",
        "US MX BR",
        (112, 160, 104),
        "0.6,-0.5 0.2,-0.7 -0.4,-0.6 -0.5,-0.2 0.4,0.15 0.5,0.5 0,0.72 -0.6,0.5; 0,-0.98 0,0.98",
    ),
    (
        "pounds",
        "GB",
        (150, 112, 160),
        "0.6,-0.5 0.3,-0.8 -0.1,-0.7 -0.2,-0.2 -0.1,0.3 -0.5,0.75 0.6,0.75; -0.5,0.05 0.3,0.05",
    ),
    (
        "euros",
        "DE FR ES",
        (112, 150, 196),
        "0.6,-0.6 0.1,-0.8 -0.35,-0.4 -0.4,0.3 0.1,0.8 0.6,0.6; -0.75,-0.15 0.3,-0.15; -0.75,0.2 0.3,0.2",
    ),
    (
        "yen",
        "JP",
        (186, 150, 112),
        "-0.6,-0.8 0,-0.1 0.6,-0.8; 0,-0.1 0,0.85; -0.5,0.1 0.5,0.1; -0.5,0.4 0.5,0.4",
    ),
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
    for width, colour in ((0.26, WHITE), (0.1, (200, 30, 50))):
        half = width * 0.5
        for a, b in (((-0.84, -0.86), (0.96, 0.34)), ((-0.84, 0.34), (0.96, -0.86))):
            dx = half if a[1] < b[1] else -half
            p.poly([a, (a[0] + half * 1.2, a[1]), b, (b[0] - half * 1.2, b[1])], colour)
            p.poly([a, (a[0], a[1] + dx), b, (b[0], b[1] - dx)], colour)
    for width, colour in ((0.36, WHITE), (0.2, (200, 30, 50))):
        p.box(0.06 - width / 2, -0.86, 0.06 + width / 2, 0.34, colour)
        p.box(-0.84, -0.26 - width / 2, 0.96, -0.26 + width / 2, colour)


def _eagle(p: Pen) -> None:
    p.dot(0.06, -0.26, 0.16, (150, 100, 56))
    p.bow(0.06, -0.22, 0.2, 0.17, 0, 180, (90, 140, 70))


def _globe(p: Pen) -> None:
    p.poly([(-0.72, -0.26), (0.06, -0.76), (0.84, -0.26), (0.06, 0.24)], (252, 212, 40))
    p.dot(0.06, -0.26, 0.28, (36, 54, 130))
    p.curve([(-0.2, -0.3), (0.06, -0.32), (0.32, -0.2)], 0.05, WHITE)


def _flag(p: Pen, bands: Sequence[RGB], is_upright: bool = False, emblem: Callable[[Pen], None] | None = None) -> None:
    """Draw a pole and a flag: bands, what is on them, folds."""
    p.line([(-0.88, -0.94), (-0.88, 1.0)], 0.08, (150, 130, 110))
    p.dot(-0.88, -0.95, 0.07, _GOLD)
    for step, colour in enumerate(bands):
        low, high = step / len(bands), (step + 1) / len(bands)
        if is_upright:
            p.box(-0.84 + 1.8 * low, -0.86, -0.84 + 1.8 * high, 0.34, colour)
        else:
            p.box(-0.84, -0.86 + 1.2 * low, 0.96, -0.86 + 1.2 * high, colour)
    if emblem:
        emblem(p)
    for x in (-0.3, 0.3, 0.86):
        p.box(x, -0.86, x + 0.12, 0.34, clear((20, 20, 40), 0.1))


_RED, _ROJO, _GUALDA = (190, 40, 56), (190, 36, 40), (248, 196, 40)
_FLAGS = {
    "US": partial(_flag, bands=[_RED, WHITE] * 3 + [_RED], emblem=_stars),
    "GB": partial(_flag, bands=[(24, 42, 110)], emblem=_crosses),
    "DE": partial(_flag, bands=[(34, 34, 36), (206, 40, 44), (250, 204, 50)]),
    "FR": partial(_flag, bands=[(30, 60, 150), WHITE, (214, 46, 56)], is_upright=True),
    "ES": partial(
        _flag,
        bands=[_ROJO, _GUALDA, _GUALDA, _ROJO],
        emblem=lambda p: p.box(-0.5, -0.46, -0.24, -0.08, (170, 70, 50), 0.06),
    ),
    "MX": partial(_flag, bands=[(20, 110, 74), WHITE, (200, 36, 50)], is_upright=True, emblem=_eagle),
    "JP": partial(_flag, bands=[WHITE], emblem=lambda p: p.dot(0.06, -0.26, 0.36, (196, 30, 58))),
    "BR": partial(_flag, bands=[(30, 150, 74)], emblem=_globe),
}
for _home, _draw in _FLAGS.items():
    kind("thing", concept="flag", homes=_home, can_flip=False, name=f"flag_{_home.lower()}")(_draw)
