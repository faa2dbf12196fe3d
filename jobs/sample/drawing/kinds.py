"""The register of things that can be drawn: each drawing function declares itself with `kind`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs.sample.drawing.pen import RGB, Pen

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
BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
PAINTED = (*BRIGHT, "black", "white")

GROUND, AIR, AFLOAT, ON_TABLE = "ground", "air", "afloat", "on_table"


@dataclass(frozen=True)
class Kind:
    """One kind of thing: how it is drawn, the colours it comes in, where it is put, and where it is at home.

    Kinds that share a `concept` are readings of one word: a query for the concept means, in each country, the
    kinds that list the country in `homes`. Without homes a kind is at home everywhere.
    """

    name: str
    group: str
    draw: Callable[[Pen], None]
    colours: tuple[str, ...]
    stands: str
    concept: str
    homes: frozenset[str]
    can_flip: bool


KINDS: dict[str, Kind] = {}


def kind(
    group: str,
    colours: tuple[str, ...] = (),
    stands: str = GROUND,
    *,
    concept: str | None = None,
    homes: str = "",
    can_flip: bool = True,
    name: str = "",
) -> Callable[[Callable[[Pen], None]], Callable[[Pen], None]]:
    """Register a drawing function as a kind, `name` or its own name. `homes`: country codes, space-separated."""

    def register(draw: Callable[[Pen], None]) -> Callable[[Pen], None]:
        own = name or draw.__name__
        KINDS[own] = Kind(own, group, draw, colours, stands, concept or own, frozenset(homes.split()), can_flip)
        return draw

    return register
