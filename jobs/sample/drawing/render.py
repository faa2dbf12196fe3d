"""From a `Look` to pixels: scene, object, shadow, then the style of the whole picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageEnhance, ImageOps

from jobs.sample.drawing.kinds import AIR, COLOURS, GROUND, KINDS, TABLE, WATER, Kind
from jobs.sample.drawing.patterns import PATTERNS
from jobs.sample.drawing.pen import BLACK, RGB, WHITE, Pen, clear, light, mix
from jobs.sample.drawing.scenes import SCENES, Scene, table_top

_LARGER = 3  # drawn this many times larger, then averaged
PLAIN = "plain"
_MOST_TURN = {"building": 0.0, "vehicle": 3.0}  # degrees


@dataclass(frozen=True)
class Look:
    """Everything that is visible in one picture. `subject` names a kind, a scene or a pattern.

    A kind stands in a `scene`; a pattern has none. `variation` decides place, size and the other small things.
    """

    subject: str
    colour: str | None
    scene: str | None
    hour: str
    style: str
    width: int
    height: int
    variation: int


def render(look: Look) -> Image.Image:
    """Return the picture, RGB, `look.width` x `look.height`."""
    rng = Random(look.variation)
    image = Image.new("RGB", (look.width * _LARGER, look.height * _LARGER), WHITE)
    if look.subject in PATTERNS:
        _draw_pattern(image, look, rng)
    elif look.scene is not None:
        _draw_scene(image, look, rng)
    else:
        raise ValueError(f"{look.subject!r} is no pattern and stands in no scene")
    image = ImageEnhance.Brightness(image.reduce(_LARGER)).enhance(rng.uniform(0.93, 1.06))
    return STYLES[look.style](image)


def _draw_pattern(image: Image.Image, look: Look, rng: Random) -> None:
    main = _shade(look.colour, rng)
    accent = rng.choice([light(main, 0.75), mix(main, BLACK, 0.6), (250, 244, 228), (246, 214, 120)])
    image.paste(main, (0, 0, *image.size))
    pen = Pen(image, (0, 0), image.height, main, accent, is_ink=look.style == "sketch")
    PATTERNS[look.subject](pen, look.width / look.height, rng)


def _draw_scene(image: Image.Image, look: Look, rng: Random) -> None:
    kind = KINDS.get(look.subject)
    stands = kind.stands if kind else GROUND
    scene = Scene(image, rng, look.hour, stands, is_ink=look.style == "sketch")
    SCENES[look.scene or ""](scene)
    if stands == TABLE and look.scene != "studio":
        table_top(scene)
    if kind:
        _draw_object(scene, kind, look, rng)


def _draw_object(scene: Scene, kind: Kind, look: Look, rng: Random) -> None:
    image, height = scene.image, scene.image.height
    radius = rng.uniform(0.36, 0.43) * min(height, image.width)
    x = image.width * rng.uniform(0.42, 0.58)
    if kind.stands == AIR:
        y = height * rng.uniform(0.4, 0.48)
    else:
        y = height * rng.uniform(0.86, 0.93) - radius
        if kind.stands != WATER and not scene.is_ink:
            Pen(image, (x, y), radius).oval(0.08, 0.98, 0.9, 0.14, clear((20, 14, 30), 0.3))
    main = _shade(look.colour, rng)
    accent = _accent(main, look.colour, rng)
    pen = Pen(
        image,
        (x, y),
        radius,
        mix(main, scene.lit(main), 0.35),
        mix(accent, scene.lit(accent), 0.35),
        is_flipped=kind.can_flip and rng.random() < 0.5,
        turn=rng.uniform(-1, 1) * _MOST_TURN.get(kind.group, 5.0),
        is_ink=scene.is_ink,
    )
    kind.draw(pen)


def _shade(colour: str | None, rng: Random) -> RGB:
    """Return a shade of the named colour."""
    r, g, b = (min(255, max(0, value + rng.randint(-14, 14))) for value in COLOURS[colour or "grey"])
    return r, g, b


def _accent(main: RGB, colour: str | None, rng: Random) -> RGB:
    """Return a colour for details that stands out from the main one."""
    accent = COLOURS[rng.choice([name for name in ("white", "white", "yellow", "blue", "red") if name != colour])]
    return accent if sum(abs(a - b) for a, b in zip(accent, main, strict=True)) > 150 else light(main, 0.8)


def _vintage(image: Image.Image) -> Image.Image:
    """Brown, as an old print."""
    return ImageOps.colorize(image.convert("L"), (36, 24, 16), (255, 240, 206))


def _mono(image: Image.Image) -> Image.Image:
    """Black and white, with contrast."""
    return ImageOps.autocontrast(image.convert("L"), cutoff=1).convert("RGB")


def _pastel(image: Image.Image) -> Image.Image:
    """Pale, soft colours."""
    return Image.blend(image, Image.new("RGB", image.size, (255, 246, 244)), 0.5)


STYLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    PLAIN: Image.Image.copy,
    "sketch": Image.Image.copy,  # drawn so: see Pen.is_ink
    "vintage": _vintage,
    "mono": _mono,
    "pastel": _pastel,
}
