"""Things that drive, fly and sail; taxis, buses and trains by country."""

from __future__ import annotations

from functools import partial

from jobs.sample.drawing.kinds import AFLOAT, AIR, BRIGHT, PAINTED, kind
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, dark, light, path

_PANE: RGB = (186, 220, 240)
_STEEL: RGB = (176, 182, 192)
_TYRE: RGB = (44, 44, 50)
_LAMP: RGB = (255, 244, 184)


def _wheels(p: Pen, xs: tuple[float, ...], y: float, r: float, hub: RGB = _STEEL) -> None:
    for x in xs:
        p.dot(x, y, r, _TYRE)
        p.dot(x, y, r * 0.5, hub)


def _windows(p: Pen, xs: tuple[float, ...], top: float, wide: float, tall: float, pane: RGB = _PANE) -> None:
    for x in xs:
        p.box(x, top, x + wide, top + tall, pane, 0.03)


def _saloon(p: Pen, body: RGB) -> None:
    """Draw a car seen from the side."""
    p.blob("-0.62,0.3 -0.4,-0.2 -0.1,-0.32 0.3,-0.28 0.62,0.26", body)
    p.poly("-0.5,0.2 -0.34,-0.14 -0.04,-0.2 -0.04,0.2", _PANE)
    p.poly("0.05,0.2 0.05,-0.2 0.3,-0.16 0.5,0.2", _PANE)
    p.box(-0.98, 0.2, 0.98, 0.72, body, 0.2)
    p.box(-0.96, 0.54, 0.96, 0.72, clear(dark(body, 0.4), 0.6), 0.08)
    p.oval(-0.9, 0.36, 0.07, 0.09, _LAMP)
    p.oval(0.92, 0.36, 0.05, 0.09, (214, 40, 40))
    _wheels(p, (-0.54, 0.54), 0.74, 0.25)


@kind("vehicle", PAINTED)
def car(p: Pen) -> None:
    _saloon(p, p.main)
    p.line("0,0.24 0,0.6", 0.03, p.dark)


def _taxi(p: Pen, body: RGB, band: RGB) -> None:
    p.box(-0.2, -0.5, 0.2, -0.26, (250, 246, 220), 0.05)
    p.box(-0.12, -0.43, 0.12, -0.33, BLACK)
    _saloon(p, body)
    p.box(-0.96, 0.34, 0.96, 0.48, band)


for _name, _homes, _body, _band in (
    ("yellow_taxi", "US BR", (250, 202, 44), BLACK),
    ("black_taxi", "GB", (46, 46, 54), (46, 46, 54)),
    ("white_taxi", "DE FR ES", (246, 240, 220), (246, 240, 220)),
    ("pink_taxi", "MX", (226, 60, 130), WHITE),
    ("green_taxi", "JP", (44, 140, 92), (246, 204, 60)),
):
    kind("vehicle", concept="taxi", homes=_homes, name=_name)(partial(_taxi, body=_body, band=_band))


@kind("vehicle", concept="bus", homes="US MX")
def school_bus(p: Pen) -> None:
    p.box(-0.98, 0.14, -0.5, 0.74, (248, 186, 40), 0.1)
    p.box(-0.72, -0.5, 0.98, 0.74, (248, 186, 40), 0.12)
    _windows(p, (-0.6, -0.3, 0.0, 0.3, 0.6), -0.34, 0.23, 0.32)
    for y in (0.14, 0.36):
        p.box(-0.96, y, 0.98, y + 0.06, BLACK)
    _wheels(p, (-0.56, 0.56), 0.76, 0.23)


@kind("vehicle", concept="bus", homes="GB")
def double_decker(p: Pen) -> None:
    p.box(-0.82, -0.9, 0.82, 0.8, (200, 40, 44), 0.14)
    for y in (-0.72, 0.0):
        _windows(p, (-0.72, -0.42, -0.12, 0.18, 0.48), y, 0.24, 0.36)
    p.box(-0.82, -0.24, 0.82, -0.1, (240, 226, 190))
    p.oval(-0.76, 0.58, 0.06, 0.08, _LAMP)
    _wheels(p, (-0.48, 0.48), 0.8, 0.2)


@kind("vehicle", concept="bus", homes="DE FR ES JP BR")
def city_bus(p: Pen) -> None:
    body = p.rng.choice([(46, 128, 170), (64, 150, 110), (236, 236, 232)])
    p.box(-0.98, -0.5, 0.98, 0.76, body, 0.14)
    p.box(-0.9, -0.36, 0.9, 0.12, (44, 60, 78), 0.06)
    _windows(p, (-0.86, -0.5, -0.14, 0.22, 0.58), -0.32, 0.29, 0.4)
    p.box(0.04, -0.32, 0.34, 0.7, (150, 190, 214))
    p.box(-0.98, 0.34, -0.02, 0.44, light(body, 0.6))
    _wheels(p, (-0.56, 0.62), 0.78, 0.2)


@kind("vehicle", concept="train", homes="GB")
def steam_train(p: Pen) -> None:
    for x, y, r in ((-0.5, -0.72, 0.15), (-0.22, -0.86, 0.2), (0.16, -0.9, 0.22)):
        p.dot(x, y, r, (226, 228, 232))
    p.box(-0.76, -0.56, -0.54, -0.06, BLACK, 0.04)
    p.box(-0.9, -0.16, 0.3, 0.46, (52, 110, 72), 0.24)
    p.box(0.2, -0.56, 0.9, 0.56, (44, 96, 62))
    p.box(0.12, -0.68, 0.98, -0.52, BLACK, 0.05)
    p.box(0.36, -0.4, 0.72, -0.04, _PANE)
    p.box(-0.92, 0.42, 0.94, 0.6, (170, 44, 40))
    p.poly("-0.9,0.5 -1,0.92 -0.66,0.6", (130, 36, 34))
    _wheels(p, (-0.6, -0.16), 0.76, 0.2, (200, 60, 50))
    _wheels(p, (0.52,), 0.66, 0.3, (200, 60, 50))


@kind("vehicle", concept="train", homes="DE FR ES JP")
def bullet_train(p: Pen) -> None:
    p.blob("-0.98,0.62 -0.8,0.3 -0.4,-0.06 0,-0.2 1,-0.24 1.3,0.3 1,0.74 -0.9,0.78", (242, 244, 248))
    p.poly("-0.5,0.14 -0.3,-0.06 -0.08,-0.1 -0.16,0.14", (40, 54, 80))
    _windows(p, (0.06, 0.3, 0.54, 0.78), -0.08, 0.15, 0.2, (40, 54, 80))
    p.poly("-0.94,0.5 -0.5,0.36 1.05,0.28 1.05,0.46 -0.6,0.58", (40, 90, 180))
    p.box(-0.8, 0.76, 1.05, 0.9, (80, 86, 96))
    p.line("-1,0.95 1.05,0.95", 0.07, (120, 112, 104))


@kind("vehicle", concept="train", homes="US MX BR")
def freight_train(p: Pen) -> None:
    body = p.rng.choice([(232, 130, 40), (40, 84, 150), (214, 160, 40)])
    p.poly("-0.96,0.6 -0.96,-0.02 -0.72,-0.1 -0.66,-0.5 -0.26,-0.5 -0.26,0.6", body)
    p.poly("-0.66,-0.1 -0.6,-0.4 -0.34,-0.4 -0.34,-0.1", _PANE)
    p.box(-0.26, -0.3, 0.98, 0.6, dark(body, 0.15))
    _windows(p, (-0.1, 0.16, 0.42, 0.68), -0.14, 0.17, 0.42, dark(body, 0.4))
    p.box(-0.96, 0.34, 0.98, 0.46, WHITE)
    p.box(-0.98, 0.58, 0.98, 0.72, (60, 62, 70))
    p.dot(-0.86, 0.12, 0.07, _LAMP)
    _wheels(p, (-0.74, -0.42, 0.42, 0.74), 0.82, 0.16)


@kind("vehicle", PAINTED)
def bicycle(p: Pen) -> None:
    for x in (-0.58, 0.58):
        p.ring(x, 0.54, 0.4, 0.09, _TYRE)
    for tube in ("-.58,.54 -.24,-.14 .42,-.14 0,.54 -.58,.54", "-.3,-.34 0,.54", ".58,.54 .36,-.4"):
        p.line(tube, 0.11, p.main)
    p.line("-0.46,-0.4 -0.16,-0.36", 0.15, BLACK)
    p.line("0.2,-0.46 0.36,-0.42 0.52,-0.5", 0.1, BLACK)
    p.dot(0.0, 0.54, 0.11, _STEEL)


@kind("vehicle", PAINTED, AFLOAT)
def sailing_boat(p: Pen) -> None:
    p.line("0,-0.96 0,0.5", 0.07, (120, 84, 56))
    p.poly("0.06,-0.92 0.76,0.32 0.06,0.36", p.main)
    p.poly("-0.06,-0.66 -0.06,0.36 -0.6,0.34", WHITE)
    p.blob("-0.9,0.5 0,0.54 0.92,0.46 0.6,0.9 -0.6,0.9", p.main)
    p.poly("-0.84,0.58 0.84,0.56 0.8,0.66 -0.78,0.68", WHITE)
    p.curve("-1,0.92 -0.6,0.86 -0.2,0.94 0.2,0.86 0.6,0.94 1,0.88", 0.08, clear(WHITE, 0.8))


@kind("vehicle", ("white", "red", "blue", "green", "purple"), AIR)
def rocket(p: Pen) -> None:
    p.blob("-0.2,0.5 0.2,0.5 0.12,0.8 0,1 -0.12,0.8", (250, 150, 50))
    p.poly("0.26,0 0.64,0.46 0.6,0.66 0.24,0.46", p.accent)
    p.poly("-0.26,0 -0.64,0.46 -0.6,0.66 -0.24,0.46", p.accent)
    p.blob("0,-1 0.26,-0.6 0.34,0 0.24,0.54 -0.24,0.54 -0.34,0 -0.26,-0.6", p.main)
    p.blob("0,-1 0.2,-0.72 0.26,-0.54 -0.26,-0.54 -0.2,-0.72", p.accent)
    p.dot(0.0, -0.22, 0.19, _STEEL)
    p.dot(0.0, -0.22, 0.13, (92, 160, 214))


@kind("vehicle", BRIGHT, AIR)
def hot_air_balloon(p: Pen) -> None:
    for x in (-0.5, 0.5):
        p.line([(x, 0.16), (x * 0.3, 0.72)], 0.03, (96, 72, 52))
    balloon = path("0,-1 0.56,-0.76 0.7,-0.3 0.44,0.14 0.16,0.42 -0.16,0.42 -0.44,0.14 -0.7,-0.3 -0.56,-0.76")
    for share, colour in ((1.0, p.main), (0.58, p.accent), (0.22, p.main)):
        p.blob([(x * share, y) for x, y in balloon], colour)
    p.box(-0.19, 0.68, 0.19, 1.0, (160, 112, 68), 0.05)


@kind("vehicle", ("white", "red", "blue", "yellow", "grey"), AIR)
def aeroplane(p: Pen) -> None:
    p.poly("0.62,-0.1 0.98,-0.62 0.84,-0.64 0.4,-0.12", p.accent)
    p.poly("0,-0.16 0.44,-0.6 0.28,-0.62 -0.24,-0.14", p.dark)
    p.blob("-0.96,0.06 -0.7,-0.16 0,-0.22 0.6,-0.16 1,-0.12 0.7,0.12 0,0.22 -0.74,0.2", p.main)
    for step in range(6):
        p.dot(-0.44 + step * 0.17, -0.05, 0.05, (60, 84, 120))
    p.poly("-0.88,-0.04 -0.7,-0.12 -0.62,-0.02 -0.82,0.02", (60, 84, 120))
    p.poly("-0.16,0.1 0.16,0.08 0.5,0.72 0.3,0.74", p.dark)
