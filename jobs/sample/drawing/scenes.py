"""Where an object stands: sky, backdrop and ground of each scene, by time of day.

A scene is drawn in units of the picture's height: y from 0 (top) to 1, x from 0 to `width`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from jobs.sample.drawing.kinds import WATER
from jobs.sample.drawing.pen import PAPER, RGB, Pen, clear, dark, light, mix

DAY, EVENING, NIGHT = "day", "evening", "night"

_SKY: dict[str, tuple[RGB, RGB]] = {
    DAY: ((92, 170, 232), (206, 234, 246)),
    EVENING: ((96, 78, 150), (252, 176, 122)),
    NIGHT: ((12, 18, 52), (44, 60, 112)),
}
_AMBIENT: dict[str, tuple[float, float, float]] = {
    DAY: (1.0, 1.0, 1.0),
    EVENING: (0.98, 0.8, 0.74),
    NIGHT: (0.36, 0.42, 0.62),
}


@dataclass
class Scene:
    """One picture's background while it is drawn."""

    image: Image.Image
    rng: Random
    hour: str
    ground: str
    is_ink: bool

    def __post_init__(self) -> None:
        self.width = self.image.width / self.image.height
        self.pen = Pen(self.image, (0, 0), self.image.height, is_ink=self.is_ink)
        self.horizon = self.rng.uniform(0.52, 0.66) if self.ground != WATER else self.rng.uniform(0.42, 0.5)

    def lit(self, colour: RGB) -> RGB:
        """Return the colour as the time of day shows it."""
        r, g, b = (round(value * ambient) for value, ambient in zip(colour, _AMBIENT[self.hour], strict=True))
        return r, g, b

    def fade(self, y0: float, y1: float, top: RGB, bottom: RGB) -> None:
        """Paint a vertical gradient over the full width, from y0 to y1."""
        if self.is_ink:
            top, bottom = mix(PAPER, top, 0.22), mix(PAPER, bottom, 0.22)
        first, last = max(0, round(y0 * self.image.height)), min(self.image.height, round(y1 * self.image.height))
        if first < last:
            share = np.linspace(0, 1, last - first)[:, None]
            column = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
            strip = Image.fromarray(column.round().astype(np.uint8)[:, None, :])
            self.image.paste(strip.resize((self.image.width, last - first)), (0, first))

    def sky(self, colours: tuple[RGB, RGB] | None = None) -> None:
        """Paint the sky down to the horizon, with stars at night."""
        top, bottom = colours or _SKY[self.hour]
        self.fade(0, self.horizon + 0.02, top, bottom)
        if self.hour == NIGHT:
            for _ in range(26):
                x, y = self.rng.uniform(0, self.width), self.rng.uniform(0, self.horizon)
                self.pen.dot(x, y, self.rng.uniform(0.004, 0.009), clear((255, 255, 230), 0.85))

    def orb(self, size: float, y: float) -> None:
        """Draw the sun, or the moon at night."""
        x = self.rng.uniform(0.12, self.width - 0.12)
        colour = {DAY: (255, 236, 130), EVENING: (255, 196, 96), NIGHT: (238, 240, 222)}[self.hour]
        self.pen.dot(x, y, size * 1.5, clear(colour, 0.22))
        self.pen.dot(x, y, size, colour)

    def clouds(self, count: int, colour: RGB = (255, 255, 255)) -> None:
        """Draw clouds."""
        for _ in range(count):
            x, y = self.rng.uniform(0, self.width), self.rng.uniform(0.06, self.horizon * 0.6)
            for dx, dy, r in ((-0.07, 0.01, 0.035), (0, -0.015, 0.055), (0.07, 0.01, 0.04)):
                self.pen.oval(x + dx, y + dy, r * 1.4, r, clear(self.lit(colour), 0.75))

    def hills(self, base: float, height: float, colour: RGB, bumps: int) -> None:
        """Draw rolling ground whose top is about `height` above `base`."""
        top = [(self.width * step / bumps, base - height * self.rng.uniform(0.1, 1.0)) for step in range(-1, bumps + 2)]
        points = [(-0.6, 1.1), (-0.6, base), *top, (self.width + 0.6, base), (self.width + 0.6, 1.1)]
        self.pen.blob(points, self.lit(colour))

    def peaks(self, base: float, height: float, colour: RGB) -> None:
        """Draw pointed mountains with snow caps."""
        x = -0.15
        while x < self.width + 0.1:
            half, tall = self.rng.uniform(0.2, 0.34), height * self.rng.uniform(0.6, 1.0)
            top = base - tall
            self.pen.poly([(x - half, base), (x, top), (x + half, base)], self.lit(colour))
            self.pen.poly([(x, top), (x + half, base), (x + half * 0.1, base)], self.lit(dark(colour, 0.2)))
            u, v = half * 0.34, tall * 0.34
            self.pen.poly([(x - u, top + v), (x, top), (x + u, top + v), (x, top + v * 0.8)], self.lit((248, 250, 254)))
            x += self.rng.uniform(0.22, 0.36)

    def pine(self, x: float, base: float, tall: float, colour: RGB) -> None:
        """Draw a fir."""
        self.pen.box(x - tall * 0.04, base - tall * 0.15, x + tall * 0.04, base, self.lit((92, 64, 44)))
        for step in range(3):
            low = base - tall * (0.12 + 0.25 * step)
            half = tall * (0.3 - 0.07 * step)
            self.pen.poly([(x - half, low), (x, low - tall * 0.42), (x + half, low)], self.lit(colour))

    def floor(self, top: RGB, bottom: RGB) -> None:
        """Paint the ground below the horizon: that of the scene, or water where the object needs it."""
        if self.ground == WATER:
            self.water(self.horizon)
        else:
            self.fade(self.horizon, 1.0, self.lit(top), self.lit(bottom))

    def water(self, level: float, end: float = 1.0) -> None:
        """Paint water with ripples from `level` down to `end`."""
        sheen = mix(_SKY[self.hour][1], (70, 160, 200), 0.45 if self.hour != NIGHT else 0.15)
        deep: RGB = {DAY: (22, 104, 164), EVENING: (72, 62, 128), NIGHT: (10, 20, 56)}[self.hour]
        self.fade(level, end, sheen, deep)
        for _ in range(14):
            x, y = self.rng.uniform(0, self.width), self.rng.uniform(level + 0.02, max(level + 0.03, end - 0.02))
            half = self.rng.uniform(0.03, 0.09) * (0.5 + y)
            self.pen.line([(x - half, y), (x + half, y)], 0.012, clear((255, 255, 255), 0.4))


def beach(s: Scene) -> None:
    s.sky()
    s.orb(0.08, 0.16)
    s.clouds(s.rng.randint(0, 2))
    shore = s.horizon + 0.13
    s.water(s.horizon, 1.0 if s.ground == WATER else shore + 0.02)
    if s.ground == WATER:
        return
    s.fade(shore, 1.0, s.lit((250, 226, 170)), s.lit((226, 190, 124)))
    s.pen.curve([(x * s.width / 5, shore + 0.012 * (-1) ** x) for x in range(6)], 0.03, clear((255, 255, 255), 0.85))
    x = s.rng.choice((0.1, s.width - 0.1))
    lean = 0.1 if x < 0.5 else -0.1
    s.pen.curve([(x - lean, 0.95), (x - lean * 0.5, 0.6), (x, 0.3)], 0.05, s.lit((146, 104, 66)))
    for dx, dy in ((-0.2, 0.03), (-0.15, -0.1), (0.0, -0.13), (0.15, -0.1), (0.2, 0.03), (0.12, 0.12), (-0.12, 0.12)):
        s.pen.curve([(x, 0.3), (x + dx * 0.6, 0.26 + dy * 0.7), (x + dx, 0.3 + dy)], 0.035, s.lit((56, 142, 74)))


def sunset(s: Scene) -> None:
    s.hour = EVENING
    s.sky(s.rng.choice(_DUSK))
    x = s.rng.uniform(0.3, 0.7) * s.width
    for r, share in ((0.34, 0.18), (0.27, 0.25)):
        s.pen.bow(x, s.horizon, r, r, 180, 360, clear((255, 226, 130), share))
    s.pen.bow(x, s.horizon, 0.2, 0.2, 180, 360, (255, 234, 150))
    for y in (0.12, 0.24, 0.34):
        s.pen.oval(s.rng.uniform(0, s.width), y, s.rng.uniform(0.2, 0.4), 0.016, clear((255, 214, 190), 0.5))
    if s.ground == WATER or s.rng.random() < 0.5:
        s.fade(s.horizon, 1.0, (236, 128, 92), (70, 44, 92))
        for step in range(7):
            y = s.horizon + 0.03 + step * 0.055
            half = 0.17 - step * 0.012 + s.rng.uniform(-0.03, 0.03)
            s.pen.line([(x - half, y), (x + half, y)], 0.02, clear((255, 232, 160), 0.75))
    else:
        s.fade(s.horizon, 1.0, (112, 58, 74), (48, 28, 52))
        s.hills(s.horizon + 0.05, 0.1, (84, 50, 74), 4)


def city(s: Scene) -> None:
    s.sky()
    if s.hour == DAY:
        s.clouds(2)
    _skyline(s, [(158, 172, 190), (186, 178, 170), (140, 154, 178), (204, 190, 172)], (228, 240, 250), 0.75)
    s.floor((150, 150, 154), (112, 112, 118))
    if s.ground != WATER:
        y = s.horizon + 0.06
        s.fade(s.horizon, y, s.lit((196, 192, 186)), s.lit((176, 172, 168)))
        for step in range(5):
            x = s.width * (step + 0.2) / 5
            s.pen.box(x, 0.88, x + s.width / 9, 0.9, s.lit((240, 236, 220)))


def city_night(s: Scene) -> None:
    s.hour = NIGHT
    s.sky(((14, 12, 46), (70, 44, 110)))
    s.orb(0.06, 0.14)
    s.hour = DAY  # the lit windows keep their colour
    _skyline(s, [(30, 30, 62), (40, 36, 76), (24, 26, 52)], (255, 214, 104), 0.5)
    s.hour = NIGHT
    s.fade(s.horizon, 1.0, (44, 42, 84), (16, 16, 40))
    for _ in range(12):
        x, y = s.rng.uniform(0, s.width), s.rng.uniform(s.horizon + 0.04, 0.97)
        colour = s.rng.choice([(255, 206, 96), (255, 120, 140), (110, 200, 255)])
        s.pen.oval(x, y, 0.012 if s.ground != WATER else 0.05, 0.05 if s.ground != WATER else 0.01, clear(colour, 0.5))


def _skyline(s: Scene, walls: list[RGB], window: RGB, share: float) -> None:
    x = -0.03
    while x < s.width:
        wide, tall = s.rng.uniform(0.12, 0.22), s.rng.uniform(0.18, 0.5)
        top = s.horizon - tall
        s.pen.box(x, top, x + wide, s.horizon + 0.01, s.lit(s.rng.choice(walls)))
        row = top + 0.035
        while row < s.horizon - 0.04 and not s.is_ink:
            for column in range(3):
                if s.rng.random() < share:
                    left = x + wide * (0.14 + 0.28 * column)
                    s.pen.box(left, row, left + wide * 0.16, row + 0.03, s.lit(window))
            row += 0.06
        x += wide + s.rng.uniform(0.0, 0.02)


def forest(s: Scene) -> None:
    s.fade(0, 1, s.lit((176, 214, 168)), s.lit((96, 150, 96)))
    if s.ground != WATER:
        s.horizon = max(s.horizon, 0.6)
    for depth, colour in ((0.0, (120, 168, 116)), (0.03, (74, 128, 82)), (0.07, (40, 92, 62))):
        for _ in range(6):
            tall = s.rng.uniform(0.4, 0.62) + depth * 2
            s.pine(s.rng.uniform(0, s.width), s.horizon + depth, tall, colour)
    s.floor((88, 128, 62), (52, 84, 44))


def desert(s: Scene) -> None:
    s.sky(((108, 184, 226), (252, 230, 186)) if s.hour == DAY else None)
    s.orb(0.08, 0.17)
    s.floor((238, 190, 116), (206, 138, 74))
    if s.ground == WATER:
        return
    s.hills(s.horizon + 0.08, 0.12, (232, 178, 104), 3)
    s.hills(s.horizon + 0.22, 0.12, (216, 152, 82), 2)
    for x in s.rng.sample([0.08, 0.22, s.width - 0.2, s.width - 0.08], 2):
        y, green = s.horizon + s.rng.uniform(0.02, 0.14), s.lit((70, 128, 78))
        s.pen.line([(x, y), (x, y - 0.2)], 0.05, green)
        for dx in (-0.06, 0.06):
            s.pen.line([(x + dx, y - 0.16), (x + dx, y - 0.1), (x, y - 0.09)], 0.03, green)


def snow(s: Scene) -> None:
    s.sky(((150, 186, 216), (230, 240, 248)) if s.hour == DAY else None)
    s.hills(s.horizon + 0.02, 0.16, (214, 226, 240), 3)
    for _ in range(5):
        x, base = s.rng.uniform(0, s.width), s.horizon + s.rng.uniform(0.0, 0.05)
        s.pine(x, base, s.rng.uniform(0.24, 0.4), (62, 108, 96))
    s.floor((244, 248, 252), (204, 218, 236))
    if s.ground != WATER:
        s.hills(s.horizon + 0.14, 0.08, (246, 249, 253), 3)
    for _ in range(34):
        s.pen.dot(s.rng.uniform(0, s.width), s.rng.uniform(0, 1), 0.01, clear((255, 255, 255), 0.9))


def meadow(s: Scene) -> None:
    s.sky()
    s.orb(0.07, 0.15)
    s.clouds(2)
    s.hills(s.horizon + 0.03, 0.14, (134, 184, 98), 3)
    s.floor((126, 190, 84), (84, 150, 62))
    if s.ground == WATER:
        return
    s.hills(s.horizon + 0.12, 0.08, (112, 178, 76), 3)
    for _ in range(26):
        x, y = s.rng.uniform(0, s.width), s.rng.uniform(s.horizon + 0.12, 0.99)
        colour = s.rng.choice([(255, 255, 255), (252, 214, 72), (236, 96, 124), (190, 130, 220)])
        s.pen.dot(x, y, 0.008 + 0.012 * y, clear(s.lit(colour), 0.95))


def mountains(s: Scene) -> None:
    s.sky()
    if s.rng.random() < 0.6:
        s.orb(0.06, 0.13)
    s.peaks(s.horizon, 0.46, (122, 136, 164))
    s.hills(s.horizon + 0.03, 0.12, (84, 108, 112), 4)
    s.floor((120, 152, 96), (82, 112, 72))


def room(s: Scene) -> None:
    s.hour = DAY if s.hour == EVENING else s.hour
    wall = s.rng.choice([(236, 214, 190), (206, 220, 214), (232, 206, 204), (214, 214, 232), (240, 228, 196)])
    s.horizon = s.rng.uniform(0.66, 0.74)
    s.fade(0, s.horizon, s.lit(light(wall, 0.2)), s.lit(wall))
    x = s.rng.choice((0.08, s.width - 0.46))
    pane = (176, 216, 240) if s.hour == DAY else (24, 30, 74)
    s.pen.box(x - 0.025, 0.075, x + 0.405, 0.505, s.lit((250, 248, 242)))
    for dx in (0.0, 0.2):
        for dy in (0.1, 0.3):
            s.pen.box(x + dx, dy, x + dx + 0.18, dy + 0.18, pane)
    curtain = s.rng.choice([(198, 90, 80), (84, 128, 150), (150, 160, 90)])
    for edge in (x - 0.05, x + 0.36):
        s.pen.box(edge, 0.05, edge + 0.08, 0.58, s.lit(curtain))
    s.fade(s.horizon, 1.0, s.lit((176, 128, 88)), s.lit((140, 96, 64)))
    for step in range(1, 5):
        y = s.horizon + (1 - s.horizon) * (step / 5) ** 1.3
        s.pen.line([(0, y), (s.width, y)], 0.008, clear((80, 50, 30), 0.5))


def rain(s: Scene) -> None:
    s.hour = DAY
    s.sky(((104, 118, 138), (176, 188, 200)))
    s.clouds(4, (196, 204, 214))
    s.clouds(3, (142, 152, 168))
    s.hills(s.horizon + 0.02, 0.1, (112, 134, 122), 4)
    s.floor((122, 132, 138), (88, 98, 110))
    for _ in range(30):
        x, y = s.rng.uniform(0, s.width), s.rng.uniform(0, 0.95)
        s.pen.line([(x, y), (x - 0.03, y + 0.09)], 0.011, clear((226, 238, 250), 0.7))


def studio(s: Scene) -> None:
    s.hour = DAY
    tone = s.rng.choice(_STUDIO)
    s.fade(0, 0.76, light(tone, 0.25), tone)
    s.fade(0.76, 1, dark(tone, 0.06), light(tone, 0.2))


_DUSK: list[tuple[RGB, RGB]] = [
    ((88, 44, 120), (255, 150, 80)),
    ((180, 54, 88), (255, 200, 96)),
    ((60, 60, 140), (250, 130, 110)),
]
_STUDIO: list[RGB] = [(232, 226, 216), (206, 222, 236), (250, 224, 160), (196, 226, 204), (240, 190, 150)]

SCENES: dict[str, Callable[[Scene], None]] = {
    scene.__name__: scene
    for scene in (beach, sunset, city, city_night, forest, desert, snow, meadow, mountains, room, rain, studio)
}
HOURS: dict[str, tuple[str, ...]] = {
    name: (DAY, EVENING, NIGHT) if name in {"beach", "desert", "snow", "meadow", "mountains"} else (DAY,)
    for name in SCENES
} | {"room": (DAY, NIGHT), "city": (DAY, EVENING), "forest": (DAY, NIGHT)}
"""The times of day a scene is drawn in; the others have one of their own."""


def table_top(s: Scene) -> None:
    """Put a wooden table in front of the scene."""
    s.fade(0.74, 0.79, s.lit((206, 156, 108)), s.lit((188, 138, 92)))
    s.fade(0.79, 1.0, s.lit((178, 126, 80)), s.lit((150, 102, 62)))
    for y in (0.85, 0.93):
        s.pen.line([(0, y), (s.width, y)], 0.008, clear((92, 56, 30), 0.45))
