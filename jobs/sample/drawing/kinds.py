"""The things that can be drawn, as things.txt describes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageColor

from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Colour, Pen, Point, clear

COLOURS: dict[str, RGB] = {
    "red": (206, 56, 52),
    "orange": (238, 136, 46),
    "yellow": (246, 202, 60),
    "green": (80, 158, 82),
    "blue": (56, 116, 196),
    "purple": (132, 84, 176),
    "pink": (240, 140, 170),
    "brown": (142, 94, 60),
    "black": (50, 50, 58),
    "white": (244, 242, 236),
    "grey": (150, 154, 164),
}
_BRIGHT = "red,orange,yellow,green,blue,purple,pink"
_COLOUR_SETS = {"bright": _BRIGHT, "painted": f"{_BRIGHT},black,white"}

GROUND, AIR, WATER, TABLE = "ground", "air", "water", "table"


@dataclass(frozen=True)
class Shape:
    """One shape of a drawing; what it does with numbers and points is told in things.txt."""

    name: str
    is_mirrored: bool
    colour: str
    numbers: tuple[float, ...]
    strokes: tuple[Sequence[Point], ...]

    def draw(self, pen: Pen) -> None:
        """Draw the shape and, if it is mirrored, its mirror image."""
        for one in (pen, pen.moved(is_mirrored=True)) if self.is_mirrored else (pen,):
            if self.name == "use":
                self._draw_part(one)
            else:
                self._draw(one, _colour(one, self.colour))

    def _draw_part(self, pen: Pen) -> None:
        for x, y in self.strokes[0] or [(0.0, 0.0)]:
            for shape in _PARTS[self.colour]:
                shape.draw(pen.moved(x, y, *self.numbers))

    def _draw(self, pen: Pen, fill: Colour) -> None:
        points, numbers = self.strokes[0], self.numbers
        if self.name in {"poly", "blob", "line", "curve"}:
            for stroke in self.strokes:
                getattr(pen, self.name)(stroke, *numbers, fill)
        elif self.name == "box":
            for (x0, y0), (x1, y1) in zip(points[::2], points[1::2], strict=True):
                pen.box(x0, y0, x1, y1, fill, *numbers)
        elif self.name == "oval":
            for x, y in points:
                pen.oval(x, y, numbers[0], numbers[1], fill, *numbers[2:])
        else:
            for x, y in points:
                getattr(pen, self.name)(x, y, *numbers, fill)


@dataclass(frozen=True)
class Kind:
    """One kind of thing: how it is drawn, the colours it comes in, where it is put, and where it is at home.

    Kinds that share a `concept` are readings of one word: a query for the concept means, in each country, the
    kinds that list the country in `homes`. Without homes a kind is at home everywhere. `paint` is the main colour and
    the one of details of a kind that always looks the same.
    """

    name: str
    group: str
    shapes: Sequence[Shape]
    colours: tuple[str, ...]
    stands: str
    concept: str
    homes: frozenset[str]
    can_flip: bool
    paint: tuple[str, ...]

    def draw(self, pen: Pen) -> None:
        """Draw the thing with a pen of its own."""
        if self.paint:
            pen.main, pen.accent = (_colour(pen, colour)[:3] for colour in self.paint)
        for shape in self.shapes:
            shape.draw(pen)


def _colour(pen: Pen, text: str) -> Colour:
    name, _, percent = text.partition("/")
    own = {"main": pen.main, "dark": pen.dark, "light": pen.light, "accent": pen.accent}
    red, green, blue = {**own, "white": WHITE, "black": BLACK}.get(name) or ImageColor.getrgb(name)[:3]
    return clear((red, green, blue), int(percent) / 100) if percent else (red, green, blue)


def _shape(line: str) -> Shape:
    name, colour, *rest = line.split()
    numbers = tuple(float(word) for word in rest if word != "|" and "," not in word)
    strokes = " ".join(word for word in rest if word == "|" or "," in word).split("|")
    return Shape(name.rstrip("="), name.endswith("="), colour, numbers, tuple(_points(stroke) for stroke in strokes))


def _points(text: str) -> tuple[Point, ...]:
    """Return the points of a text.

    >>> _points("0,-.5 1,0")
    ((0.0, -0.5), (1.0, 0.0))
    """
    pairs = (pair.split(",") for pair in text.split())
    return tuple((float(x), float(y)) for x, y in pairs)


def _kind(name: str, details: Sequence[str], shapes: Sequence[Shape]) -> Kind:
    group, *details = details
    told = dict(detail.split("=") for detail in details)
    colours = told.get("colours", "")
    return Kind(
        name,
        group,
        shapes,
        tuple(_COLOUR_SETS.get(colours, colours).split(",")) if colours else (),
        told.get("on", GROUND),
        told.get("means", name),
        frozenset(told["in"].split(",")) if "in" in told else frozenset(),
        "flips" not in told,
        tuple(told["paint"].split(",")) if "paint" in told else (),
    )


def _read(text: str) -> tuple[dict[str, list[Shape]], dict[str, Kind]]:
    """Return the parts and the kinds."""
    parts, kinds = {}, {}
    for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        header, *lines = (line for line in block.splitlines() if line and not line.startswith("#"))
        name, *details = header.split()
        shapes = [_shape(line) for line in lines]
        if details:
            kinds[name] = _kind(name, details, shapes)
        else:
            parts[name] = shapes
    return parts, kinds


_PARTS, KINDS = _read((Path(__file__).parent / "things.txt").read_text(encoding="utf-8"))
