"""Things that drive, fly and sail; taxis, buses and trains by country."""

from __future__ import annotations

from functools import partial

from jobs.sample.drawing.kinds import AFLOAT, AIR, BRIGHT, PAINTED, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, dark, light, mix, path

_PANE: RGB = (186, 220, 240)
_STEEL: RGB = (176, 182, 192)
_TYRE: RGB = (44, 44, 50)


def _wheel(p: Pen, x: float, y: float, r: float, hub: RGB = _STEEL) -> None:
    p.dot(x, y, r, _TYRE)
    p.dot(x, y, r * 0.5, hub)


def _saloon(p: Pen, body: RGB) -> None:
    """Draw a car seen from the side."""
    p.blob(path("-0.62,0.3 -0.4,-0.2 -0.1,-0.32 0.3,-0.28 0.62,0.26"), body)
    p.poly([(-0.5, 0.2), (-0.34, -0.14), (-0.04, -0.2), (-0.04, 0.2)], _PANE)
    p.poly([(0.05, 0.2), (0.05, -0.2), (0.3, -0.16), (0.5, 0.2)], _PANE)
    p.box(-0.98, 0.2, 0.98, 0.72, body, 0.2)
    p.box(-0.96, 0.54, 0.96, 0.72, clear(dark(body, 0.4), 0.6), 0.08)
    p.oval(-0.9, 0.36, 0.07, 0.09, (255, 240, 180))
    p.oval(0.92, 0.36, 0.05, 0.09, (214, 40, 40))
    for x in (-0.54, 0.54):
        _wheel(p, x, 0.74, 0.25)


@kind("vehicle", PAINTED)
def car(p: Pen) -> None:
    _saloon(p, p.main)
    p.line([(0.0, 0.24), (0.0, 0.6)], 0.03, p.dark)


def _taxi(p: Pen, body: RGB, band: RGB | None) -> None:
    p.box(-0.2, -0.5, 0.2, -0.26, (250, 246, 220), 0.05)
    p.box(-0.12, -0.43, 0.12, -0.33, BLACK)
    _saloon(p, body)
    if band == BLACK:
        for step in range(11):
            p.box(-0.88 + step * 0.16, 0.36 + 0.07 * (step % 2), -0.8 + step * 0.16, 0.43 + 0.07 * (step % 2), BLACK)
    elif band:
        p.box(-0.96, 0.34, 0.96, 0.5, band)


for _name, _homes, _body, _band in (
    ("yellow_taxi", "US BR", (250, 202, 44), BLACK),
    ("black_taxi", "GB", (46, 46, 54), None),
    ("white_taxi", "DE FR ES", (246, 240, 220), None),
    ("pink_taxi", "MX", (226, 60, 130), WHITE),
    ("green_taxi", "JP", (44, 140, 92), (246, 204, 60)),
):
    kind("vehicle", concept="taxi", homes=_homes, name=_name)(partial(_taxi, body=_body, band=_band))


@kind("vehicle", concept="bus", homes="US MX")
def school_bus(p: Pen) -> None:
    body = (248, 186, 40)
    p.box(-0.98, 0.14, -0.5, 0.74, body, 0.1)
    p.box(-0.72, -0.5, 0.98, 0.74, body, 0.12)
    for step in range(4):
        x = -0.3 + step * 0.3
        p.box(x, -0.34, x + 0.23, -0.02, _PANE, 0.03)
    p.poly([(-0.66, 0.1), (-0.58, -0.34), (-0.38, -0.34), (-0.38, 0.1)], _PANE)
    for y in (0.14, 0.36):
        p.box(-0.96, y, 0.98, y + 0.06, BLACK)
    p.oval(-0.92, 0.46, 0.06, 0.08, WHITE)
    for x in (-0.56, 0.56):
        _wheel(p, x, 0.76, 0.23)


@kind("vehicle", concept="bus", homes="GB")
def double_decker(p: Pen) -> None:
    body = (200, 40, 44)
    p.box(-0.82, -0.9, 0.82, 0.8, body, 0.14)
    for y in (-0.72, 0.0):
        for step in range(5):
            x = -0.72 + step * 0.3
            p.box(x, y, x + 0.24, y + 0.36, _PANE, 0.03)
    p.box(-0.82, -0.24, 0.82, -0.1, (240, 226, 190))
    p.oval(-0.76, 0.58, 0.06, 0.08, (255, 244, 190))
    for x in (-0.48, 0.48):
        _wheel(p, x, 0.8, 0.2)


@kind("vehicle", concept="bus", homes="DE FR ES JP BR")
def city_bus(p: Pen) -> None:
    body = p.rng.choice([(46, 128, 170), (64, 150, 110), (236, 236, 232)])
    p.box(-0.98, -0.5, 0.98, 0.76, body, 0.14)
    p.box(-0.9, -0.36, 0.9, 0.12, (44, 60, 78), 0.06)
    for step in range(5):
        x = -0.86 + step * 0.36
        p.box(x, -0.32, x + 0.29, 0.08, _PANE, 0.02)
    p.box(0.04, -0.32, 0.34, 0.7, (150, 190, 214))
    p.line([(0.19, -0.32), (0.19, 0.7)], 0.03, (44, 60, 78))
    p.box(-0.98, 0.34, -0.02, 0.44, light(body, 0.6))
    for x in (-0.56, 0.62):
        _wheel(p, x, 0.78, 0.2)


@kind("vehicle", concept="train", homes="GB")
def steam_train(p: Pen) -> None:
    for x, y, r in ((-0.5, -0.72, 0.15), (-0.22, -0.86, 0.2), (0.16, -0.9, 0.22)):
        p.dot(x, y, r, (226, 228, 232))
    p.box(-0.76, -0.56, -0.54, -0.06, BLACK, 0.04)
    p.box(-0.84, -0.6, -0.46, -0.46, BLACK, 0.04)
    p.box(-0.9, -0.16, 0.3, 0.46, (52, 110, 72), 0.24)
    for x in (-0.5, -0.1):
        p.box(x, -0.16, x + 0.07, 0.46, (214, 176, 80))
    p.box(0.2, -0.56, 0.9, 0.56, (44, 96, 62))
    p.box(0.12, -0.68, 0.98, -0.52, BLACK, 0.05)
    p.box(0.36, -0.4, 0.72, -0.04, _PANE)
    p.box(-0.92, 0.42, 0.94, 0.6, (170, 44, 40))
    p.poly([(-0.9, 0.5), (-1.0, 0.92), (-0.66, 0.6)], (130, 36, 34))
    for x, r in ((-0.6, 0.2), (-0.16, 0.2), (0.52, 0.3)):
        _wheel(p, x, 0.96 - r, r, (200, 60, 50))
    p.line([(-0.6, 0.78), (0.52, 0.72)], 0.06, _STEEL)


@kind("vehicle", concept="train", homes="JP FR")
def bullet_train(p: Pen) -> None:
    p.blob(
        path("-0.98,0.62 -0.8,0.3 -0.4,-0.06 0,-0.2 1,-0.24 1.3,0.3 1,0.74 -0.9,0.78"),
        (242, 244, 248),
    )
    p.poly([(-0.5, 0.14), (-0.3, -0.06), (-0.08, -0.1), (-0.16, 0.14)], (40, 54, 80))
    for step in range(4):
        x = 0.06 + step * 0.24
        p.box(x, -0.08, x + 0.15, 0.12, (40, 54, 80), 0.04)
    p.poly(path("-0.94,0.5 -0.5,0.36 1.05,0.28 1.05,0.46 -0.6,0.58"), (40, 90, 180))
    p.box(-0.8, 0.76, 1.05, 0.9, (80, 86, 96))
    p.line([(-1.0, 0.95), (1.05, 0.95)], 0.07, (120, 112, 104))


@kind("vehicle", concept="train", homes="US MX BR")
def freight_train(p: Pen) -> None:
    body = p.rng.choice([(232, 130, 40), (40, 84, 150), (214, 160, 40)])
    p.poly(path("-0.96,0.6 -0.96,-0.02 -0.72,-0.1 -0.66,-0.5 -0.26,-0.5 -0.26,0.6"), body)
    p.poly([(-0.66, -0.1), (-0.6, -0.4), (-0.34, -0.4), (-0.34, -0.1)], _PANE)
    p.box(-0.26, -0.3, 0.98, 0.6, dark(body, 0.15))
    for x in (-0.1, 0.16, 0.42, 0.68):
        p.box(x, -0.14, x + 0.17, 0.28, dark(body, 0.4))
    p.box(-0.96, 0.34, 0.98, 0.46, WHITE)
    p.box(-0.98, 0.58, 0.98, 0.72, (60, 62, 70))
    p.dot(-0.86, 0.12, 0.07, (255, 244, 180))
    for x in (-0.74, -0.42, 0.42, 0.74):
        _wheel(p, x, 0.82, 0.16)


@kind("vehicle", concept="train", homes="DE ES")
def tram(p: Pen) -> None:
    body = p.rng.choice([(206, 50, 46), (244, 200, 60), (60, 140, 90)])
    p.line([(-0.2, -0.6), (0.1, -0.96), (0.36, -0.6)], 0.05, (70, 74, 84))
    p.line([(-1.0, -0.97), (1.0, -0.97)], 0.04, (70, 74, 84))
    p.box(-0.94, -0.6, 0.94, 0.76, body, 0.16)
    p.box(-0.94, -0.6, 0.94, -0.42, (244, 240, 226), 0.1)
    for x in (-0.84, -0.18, 0.48):
        p.box(x, -0.34, x + 0.36, 0.14, _PANE, 0.04)
    for x in (-0.42, 0.24):
        p.box(x, -0.34, x + 0.18, 0.7, light(body, 0.55), 0.02)
    p.box(-0.7, 0.74, 0.7, 0.86, (60, 62, 70))
    for x in (-0.5, -0.2, 0.2, 0.5):
        p.dot(x, 0.87, 0.12, _TYRE)


@kind("vehicle", PAINTED)
def bicycle(p: Pen) -> None:
    for x in (-0.58, 0.58):
        p.ring(x, 0.54, 0.4, 0.09, _TYRE)
        for dx, dy in ((0.38, 0.0), (0.19, 0.33), (-0.19, 0.33)):
            p.line([(x - dx, 0.54 - dy), (x + dx, 0.54 + dy)], 0.02, _STEEL)
    for tube in ("-.58,.54 -.24,-.14 .42,-.14 0,.54 -.58,.54", "-.3,-.34 0,.54", ".58,.54 .36,-.4"):
        p.line(path(tube), 0.11, p.main)
    p.line([(-0.46, -0.4), (-0.16, -0.36)], 0.15, BLACK)
    p.line([(0.2, -0.46), (0.36, -0.42), (0.52, -0.5)], 0.1, BLACK)
    p.dot(0.0, 0.54, 0.11, _STEEL)


@kind("vehicle", PAINTED, AFLOAT)
def sailing_boat(p: Pen) -> None:
    p.line([(0.0, -0.96), (0.0, 0.5)], 0.07, (120, 84, 56))
    p.poly([(0.06, -0.92), (0.76, 0.32), (0.06, 0.36)], p.main)
    p.poly([(-0.06, -0.66), (-0.06, 0.36), (-0.6, 0.34)], WHITE)
    p.poly([(0.0, -0.98), (0.2, -0.92), (0.0, -0.84)], p.accent)
    p.blob(path("-0.9,0.5 0,0.54 0.92,0.46 0.6,0.9 -0.6,0.9"), p.main)
    p.poly([(-0.84, 0.58), (0.84, 0.56), (0.8, 0.66), (-0.78, 0.68)], WHITE)
    p.curve(path("-1,0.92 -0.6,0.86 -0.2,0.94 0.2,0.86 0.6,0.94 1,0.88"), 0.08, clear(WHITE, 0.8))


@kind("vehicle", ("red", "black", "white", "blue", "green"), AFLOAT)
def ship(p: Pen) -> None:
    for x, r in ((0.2, 0.13), (0.36, 0.17), (0.58, 0.2)):
        p.dot(x, -0.72 - x * 0.3, r, (214, 216, 222))
    for x in (-0.2, 0.14):
        p.box(x - 0.1, -0.6, x + 0.1, 0.0, p.accent)
        p.box(x - 0.1, -0.6, x + 0.1, -0.44, BLACK)
    p.box(-0.5, -0.16, 0.56, 0.3, WHITE)
    for x in (-0.38, -0.14, 0.1, 0.34):
        p.dot(x, 0.06, 0.07, (70, 110, 150))
    p.poly([(-0.94, 0.24), (0.98, 0.24), (0.7, 0.9), (-0.66, 0.9)], p.main)
    p.poly([(-0.86, 0.42), (0.9, 0.42), (0.86, 0.5), (-0.83, 0.5)], light(p.main, 0.6))
    p.curve(path("-1,0.92 -0.5,0.86 0,0.94 0.5,0.86 1,0.92"), 0.09, clear(WHITE, 0.8))


@kind("vehicle", ("white", "red", "blue", "green", "purple"), AIR)
def rocket(p: Pen) -> None:
    p.blob(path("-0.2,0.5 0.2,0.5 0.12,0.8 0,1 -0.12,0.8"), (250, 150, 50))
    p.blob([(-0.1, 0.5), (0.1, 0.5), (0.0, 0.8)], (254, 226, 110))
    for side in (-1, 1):
        p.poly([(side * 0.26, 0.0), (side * 0.64, 0.46), (side * 0.6, 0.66), (side * 0.24, 0.46)], p.accent)
    p.blob(path("0,-1 0.26,-0.6 0.34,0 0.24,0.54 -0.24,0.54 -0.34,0 -0.26,-0.6"), p.main)
    p.blob(path("0,-1 0.2,-0.72 0.26,-0.54 -0.26,-0.54 -0.2,-0.72"), p.accent)
    p.dot(0.0, -0.22, 0.19, _STEEL)
    p.dot(0.0, -0.22, 0.13, (92, 160, 214))
    p.box(-0.28, 0.4, 0.28, 0.54, p.accent)


@kind("vehicle", BRIGHT, AIR)
def hot_air_balloon(p: Pen) -> None:
    for x in (-0.5, 0.5):
        p.line([(x, 0.16), (x * 0.3, 0.72)], 0.03, (96, 72, 52))
    balloon = path("0,-1 0.56,-0.76 0.7,-0.3 0.44,0.14 0.16,0.42 -0.16,0.42 -0.44,0.14 -0.7,-0.3 -0.56,-0.76")
    p.blob(balloon, p.main)
    p.blob([(x * 0.58, y) for x, y in balloon], p.accent)
    p.blob([(x * 0.22, y) for x, y in balloon], p.main)
    p.oval(-0.4, -0.6, 0.1, 0.2, clear(WHITE, 0.4), 24)
    p.box(-0.19, 0.7, 0.19, 1.0, (160, 112, 68), 0.05)
    p.box(-0.22, 0.66, 0.22, 0.76, (124, 82, 50), 0.04)


@kind("vehicle", ("white", "red", "blue", "yellow", "grey"), AIR)
def aeroplane(p: Pen) -> None:
    p.poly([(0.62, -0.1), (0.98, -0.62), (0.84, -0.64), (0.4, -0.12)], p.accent)
    p.poly([(0.0, -0.16), (0.44, -0.6), (0.28, -0.62), (-0.24, -0.14)], dark(p.main, 0.2))
    p.blob(
        path("-0.96,0.06 -0.7,-0.16 0,-0.22 0.6,-0.16 1,-0.12 0.7,0.12 0,0.22 -0.74,0.2"),
        p.main,
    )
    for step in range(6):
        p.dot(-0.44 + step * 0.17, -0.05, 0.05, (60, 84, 120))
    p.poly([(-0.88, -0.04), (-0.7, -0.12), (-0.62, -0.02), (-0.82, 0.02)], (60, 84, 120))
    p.poly([(-0.16, 0.1), (0.16, 0.08), (0.5, 0.72), (0.3, 0.74)], mix(p.main, p.dark, 0.5))
    p.oval(0.1, 0.4, 0.15, 0.07, p.accent)


@kind("vehicle", ("red", "green", "blue", "yellow", "orange"))
def tractor(p: Pen) -> None:
    p.box(0.0, -0.8, 0.66, 0.1, p.main, 0.06)
    p.box(0.1, -0.64, 0.54, -0.1, _PANE)
    p.box(-0.06, -0.9, 0.74, -0.76, p.dark, 0.05)
    p.box(-0.86, -0.06, 0.3, 0.5, p.main, 0.1)
    p.box(-0.66, -0.6, -0.54, 0.0, BLACK)
    for y in (0.08, 0.22):
        p.line([(-0.76, y), (-0.3, y)], 0.05, p.dark)
    _wheel(p, 0.46, 0.46, 0.52, (246, 206, 70))
    _wheel(p, -0.6, 0.68, 0.3, (246, 206, 70))


@kind("vehicle", PAINTED)
def lorry(p: Pen) -> None:
    p.box(-0.34, -0.6, 0.98, 0.56, p.accent, 0.04)
    p.box(-0.24, -0.1, 0.88, 0.1, p.main)
    p.poly(path("-0.98,0.62 -0.98,0.1 -0.84,-0.3 -0.42,-0.3 -0.42,0.62"), p.main)
    p.poly([(-0.88, 0.08), (-0.78, -0.2), (-0.54, -0.2), (-0.54, 0.08)], _PANE)
    p.box(-0.98, 0.52, 0.98, 0.68, (60, 62, 70))
    for x in (-0.66, 0.26, 0.7):
        _wheel(p, x, 0.76, 0.22)
