"""The pen: filled shapes in an object's own units, drawn large so that edges are smooth once scaled down.

Colours are tuples of 0..255: RGB, or RGBA to blend with what is below. Angles are in degrees, clockwise, since y
points down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Colour = tuple[int, int, int] | tuple[int, int, int, int]
Point = tuple[float, float]

WHITE: RGB = (250, 250, 248)
BLACK: RGB = (36, 36, 42)
PAPER: RGB = (247, 242, 230)
INK: RGB = (52, 46, 60)


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """Return the colour `share` of the way from `one` to `other`."""
    r, g, b = (round(x + (y - x) * share) for x, y in zip(one, other, strict=True))
    return r, g, b


def dark(colour: RGB, share: float = 0.28) -> RGB:
    """Return a darker shade."""
    return mix(colour, (20, 16, 40), share)


def light(colour: RGB, share: float = 0.35) -> RGB:
    """Return a lighter tint."""
    return mix(colour, (255, 252, 240), share)


def clear(colour: RGB, share: float) -> Colour:
    """Return the colour with opacity `share`."""
    return (*colour, round(255 * share))


class Pen:
    """Draws in units where the object's box is x and y from -1 to 1, y down; it stands on y = 1.

    `main` is the object's colour, `accent` the one of its details. With `is_ink`, every shape becomes a pale wash
    with an ink outline, and see-through shapes (lights, shadows) are left out.
    """

    def __init__(
        self,
        image: Image.Image,
        centre: Point,
        radius: float,
        main: RGB = BLACK,
        accent: RGB = WHITE,
        *,
        is_flipped: bool = False,
        turn: float = 0.0,
        is_ink: bool = False,
    ) -> None:
        self.image, self.draw, self.radius = image, ImageDraw.Draw(image, "RGBA"), radius
        self.main, self.accent, self.is_ink = main, accent, is_ink
        side, cos, sin = -1.0 if is_flipped else 1.0, math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self._matrix = (side * radius * cos, -side * radius * sin, centre[0], radius * sin, radius * cos, centre[1])

    @property
    def dark(self) -> RGB:
        """A darker shade of the main colour."""
        return dark(self.main)

    @property
    def light(self) -> RGB:
        """A lighter tint of the main colour."""
        return light(self.main)

    def moved(self, x: float = 0.0, y: float = 0.0, scale: float = 1.0, *, is_mirrored: bool = False) -> Pen:
        """Return a pen with the middle at x, y and a unit `scale` times as long; mirrored, right is left."""
        moved, across = copy(self), -scale if is_mirrored else scale
        a, b, c, d, e, f = self._matrix
        moved._matrix = (a * across, b * scale, a * x + b * y + c, d * across, e * scale, d * x + e * y + f)
        moved.radius = self.radius * scale
        return moved

    def _place(self, points: Sequence[Point]) -> list[Point]:
        """Return the points in pixels."""
        a, b, c, d, e, f = self._matrix
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in points]

    def poly(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a polygon."""
        placed = self._place(points)
        if not self.is_ink:
            self.draw.polygon(placed, fill=fill)
        elif len(fill) == 3:
            self.draw.polygon(placed, fill=self._wash(fill))
            self.draw.line([*placed, placed[0], placed[1]], fill=INK, width=self._ink_width(), joint="curve")

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, turn: float = 0.0) -> None:
        """Fill an ellipse with centre x, y and half axes rx, ry, turned by `turn` degrees."""
        self.poly(_ring(x, y, rx, ry, 0, 360, turn), fill)

    def dot(self, x: float, y: float, r: float, fill: Colour) -> None:
        """Fill a circle."""
        self.oval(x, y, r, r, fill)

    def bow(self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Colour) -> None:
        """Fill what an arc of an ellipse and its chord enclose."""
        self.poly(_ring(x, y, rx, ry, start, end), fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, round_by: float = 0.0) -> None:
        """Fill a rectangle, its corners rounded by a radius."""
        if round_by <= 0:
            self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)
            return
        r = min(round_by, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
        corners = ((x1 - r, y0 + r, -90), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180))
        self.poly([point for x, y, a in corners for point in _ring(x, y, r, r, a, a + 90, count=6)], fill)

    def blob(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a smooth closed curve through the points."""
        self.poly(_smooth(points, is_closed=True), fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a stroke with round ends; `width` in the pen's units."""
        placed = self._place(points)
        pixels = max(1, round(width * self.radius))
        if not self.is_ink:
            self._stroke(placed, pixels, fill)
            return
        ink = self._ink_width()
        self._stroke(placed, max(ink, pixels), INK)
        if pixels > 3 * ink:
            self._stroke(placed, pixels - 2 * ink, self._wash(fill))

    def curve(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a smooth stroke through the points."""
        self.line(_smooth(points, is_closed=False), width, fill)

    def ring(self, x: float, y: float, r: float, width: float, fill: Colour) -> None:
        """Draw a circle's outline."""
        self.line(_ring(x, y, r, r, 0, 372), width, fill)

    def _stroke(self, placed: list[Point], pixels: int, fill: Colour) -> None:
        self.draw.line(placed, fill=fill, width=pixels, joint="curve")
        if len(fill) == 3 and pixels > 2:
            r = pixels / 2
            for x, y in (placed[0], placed[-1]):
                self.draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def _wash(self, fill: Colour) -> RGB:
        return mix(PAPER, (fill[0], fill[1], fill[2]), 0.42)

    def _ink_width(self) -> int:
        return max(3, round(self.image.height / 85))


def _ring(
    x: float, y: float, rx: float, ry: float, start: float, end: float, turn: float = 0.0, count: int = 0
) -> list[Point]:
    """Return points on an arc of an ellipse, ends included."""
    count = count or max(8, int(abs(end - start) / 9))
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for step in range(count + 1):
        angle = math.radians(start + (end - start) * step / count)
        u, v = rx * math.cos(angle), ry * math.sin(angle)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    return points


def _smooth(points: Sequence[Point], is_closed: bool, steps: int = 6) -> list[Point]:
    """Return points on a Catmull-Rom curve through `points`."""
    knots = [points[-1], *points, points[0], points[1]] if is_closed else [points[0], *points, points[-1]]
    curve = []
    for (ax, ay), (bx, by), (cx, cy), (dx, dy) in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        for step in range(steps):
            t = step / steps
            p, q = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
            r, s = 3 * t**2 - 2 * t**3, t**3 - t**2
            x = p * bx + q * (cx - ax) / 2 + r * cx + s * (dx - bx) / 2
            y = p * by + q * (cy - ay) / 2 + r * cy + s * (dy - by) / 2
            curve.append((x, y))
    return curve if is_closed else [*curve, points[-1]]
