"""The photos of the sample: what each shows, what its photographer knows about it, and the keywords it carries.

Photos are made in the order of their submission, so a photo's number says which photos are older.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.sample.countries import COUNTRIES, PLACES
from jobs.sample.drawing import COLOURS, HOURS, KINDS, PATTERNS, PLAIN, SCENES, STYLES, Kind, Look
from jobs.sample.drawing.kinds import AIR, TABLE, WATER
from jobs.sample.words import HIDDEN, Label, lexicon, names

LOG_START = datetime(2026, 3, 2, tzinfo=UTC)
LOG_END = datetime(2026, 4, 27, tzinfo=UTC)
"""The log is half-open: its last complete day is 2026-04-26."""
_FIRST_SUBMISSION = datetime(2025, 4, 28, tzinfo=UTC)

_SIZES = ((96, 72, 0.62), (72, 96, 0.2), (96, 96, 0.18))
_HIDDEN_SHARES = {"place": 0.7, "occasion": 0.35, "season": 0.3, "theme": 0.45, "brand": 0.18}
_PHRASES = {name: f"in the {name}" for name in ("city", "forest", "desert", "snow", "mountains", "rain", "evening")} | {
    "beach": "on the beach",
    "sunset": "at sunset",
    "city_night": "in the city at night",
    "meadow": "in a meadow",
    "room": "in a room",
    "studio": "on a plain background",
    "night": "at night",
    "sketch": "drawing",
    "vintage": "vintage photo",
    "mono": "black and white",
    "pastel": "pastel colors",
}
_NOT_IN_SEASON: dict[str | None, tuple[str, ...]] = {
    "snow": ("summer", "spring"),
    "beach": ("winter",),
    "desert": ("winter",),
}
_TOLD: tuple[tuple[str, ...], ...] = ((), ("colour",), ("scene",), ("style",), ("colour", "scene", "hour", "style"))
_TOLD_SHARES = (0.3, 0.15, 0.2, 0.05, 0.3)
"""What people's descriptions tell besides the thing itself: often nothing, sometimes everything."""


@dataclass(frozen=True)
class Keyword:
    """One keyword of one photo. `confidence` (0 to 100) is null where only people suggested the word."""

    word: str
    confidence: float | None
    suggested_by: str | None


@dataclass(frozen=True)
class Photo:
    """One photo: `visible` labels are in the pixels, `hidden` ones only its photographer knows."""

    photo_id: str
    look: Look
    visible: tuple[Label, ...]
    hidden: tuple[Label, ...]
    submitted_at: datetime
    photographer: int
    popularity: float
    description: str
    keywords: tuple[Keyword, ...]

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels."""
        return self.visible + self.hidden


def make_photos(count: int, seed: int) -> list[Photo]:
    """Return `count` photos in the order of submission."""
    rng = np.random.default_rng([seed, 1])
    looks = _looks(count, rng)
    span = (LOG_END - _FIRST_SUBMISSION) / timedelta(microseconds=1)
    # the density of submissions rises with time, so that every week brings more new photos than the one before
    moments = np.sort(span * rng.random(count) ** (1 / 1.7)).astype(np.int64)
    photographers = 12 + count // 20
    haunts = [rng.choice(len(PLACES), size=rng.integers(1, 4), replace=False) for _ in range(photographers)]
    photos = []
    for look, moment in zip(looks, moments.tolist(), strict=True):
        photographer = int(photographers * rng.random() ** 2)  # a few are much more active
        hidden = _hidden(look, haunts[photographer], rng)
        visible = visible_labels(look)
        photos.append(
            Photo(
                photo_id=short_id(repr((astuple(look), hidden))),
                look=look,
                visible=visible,
                hidden=hidden,
                submitted_at=_FIRST_SUBMISSION + timedelta(microseconds=moment),
                photographer=photographer,
                popularity=float(rng.normal()),
                description=describe(look, _TOLD[rng.choice(len(_TOLD), p=_TOLD_SHARES)]),
                keywords=_keywords(visible, hidden, rng),
            )
        )
    if len({photo.photo_id for photo in photos}) < count:
        raise ValueError(f"two photos of the sample are the same (seed {seed}): take another seed")
    return photos


def visible_labels(look: Look) -> tuple[Label, ...]:
    """Return what a person sees in the picture: the colour only where the style shows it."""
    labels: list[Label] = []
    if look.subject in PATTERNS:
        labels.append(("pattern", look.subject))
    elif look.subject in KINDS:
        kind = KINDS[look.subject]
        labels += [("kind", kind.name), ("group", kind.group)]
        if kind.concept != kind.name:
            labels.append(("concept", kind.concept))
    if look.scene:
        labels.append(("scene", look.scene))
        if look.hour != "day":
            labels.append(("hour", look.hour))
    if look.style != PLAIN:
        labels.append(("style", look.style))
    if look.colour and look.style not in {"mono", "vintage"}:
        labels.append(("colour", look.colour))
    return tuple(labels)


def describe(look: Look, facets: Collection[str] = _TOLD[-1]) -> str:
    """Return an English description of those facets of what is visible, and of nothing else.

    >>> cat = Look("cat", "black", "snow", "night", "plain", 96, 72, 1)
    >>> describe(cat), describe(cat, {"colour"})
    ('black cat in the snow at night', 'black cat')
    """
    labels = dict(visible_labels(look))
    told = {facet: name for facet, name in labels.items() if facet in facets}
    parts = [lexicon()["colour", told["colour"]]["en"][0]] if "colour" in told else []
    if "kind" in labels:
        parts.append(_english_kind(KINDS[look.subject]))
    else:
        parts.append(lexicon()["scene" if look.scene else "pattern", look.subject]["en"][0])
    if "kind" in labels and "scene" in told:
        parts.append(_PHRASES[told["scene"]])
    if "hour" in told:
        parts.append(_PHRASES[told["hour"]])
    text = " ".join(parts)
    return f"{text}, {_PHRASES[told['style']]}" if "style" in told else text


def _english_kind(kind: Kind) -> str:
    word = lexicon()["kind", kind.name]["en"][0]
    if kind.concept == kind.name:
        return word
    shared = lexicon()["concept", kind.concept]["en"][0]
    stands_alone = kind.concept in {"breakfast", "chips", "football", "money"} or kind.name == "yellow_taxi"
    return word if stands_alone or shared in word else f"{word} {shared}"


def short_id(content: str) -> str:
    """Return 11 characters of [A-Za-z0-9_-] that depend on nothing but the content."""
    return base64.urlsafe_b64encode(hashlib.blake2b(content.encode(), digest_size=8).digest()).decode().rstrip("=")


def _looks(count: int, rng: np.random.Generator) -> list[Look]:
    """Return the looks, shuffled: mostly things in scenes, some scenes alone, some patterns."""
    patterns, scenes = count * 55 // 1000, count * 75 // 1000
    subjects = _cycle(list(PATTERNS), patterns) + _cycle(list(SCENES), scenes)
    subjects += _kinds(count - patterns - scenes, rng)
    rng.shuffle(subjects)
    return [_look(subject, rng) for subject in subjects]


def _cycle(items: Sequence[str], count: int) -> list[str]:
    return [items[step % len(items)] for step in range(count)]


def _kinds(count: int, rng: np.random.Generator) -> list[str]:
    """Return `count` kinds: all readings of a word or none, few kinds in a small catalogue, some more frequent."""
    concepts: dict[str, list[str]] = {"football": []}
    for kind in KINDS.values():
        concepts.setdefault(kind.concept, []).append(kind.name)
    order = ["football", *(str(name) for name in rng.permutation([name for name in concepts if name != "football"]))]
    chosen: dict[str, float] = {}
    for concept in order:
        if len(chosen) + len(concepts[concept]) <= max(4, count / 8):
            weight = (len(chosen) + 8) ** -0.6 if len(concepts[concept]) == 1 else 0.065
            chosen |= dict.fromkeys(concepts[concept], weight)
    share = np.array(list(chosen.values())) / sum(chosen.values())
    whole = np.maximum(1, np.floor(share * count).astype(int))
    found = [name for name, times in zip(chosen, whole, strict=True) for _ in range(times)]
    return (found + _cycle(list(chosen), count))[:count]


def _look(subject: str, rng: np.random.Generator) -> Look:
    width, height, _ = _SIZES[rng.choice(len(_SIZES), p=[share for *_, share in _SIZES])]
    kind = KINDS.get(subject)
    scene = None if subject in PATTERNS else subject if kind is None else str(rng.choice(_scenes(kind)))
    colours = list(COLOURS) if subject in PATTERNS else kind.colours if kind else ()
    hours = HOURS[scene] if scene else ("day",)
    return Look(
        subject=subject,
        colour=str(rng.choice(colours)) if colours else None,
        scene=scene,
        hour=hours[min(len(hours) - 1, int(rng.choice([0, 0, 0, 1, 2])))],
        style=str(rng.choice(list(STYLES), p=[0.68, 0.08, 0.08, 0.08, 0.08])),
        width=width,
        height=height,
        variation=int(rng.integers(2**40)),
    )


def _scenes(kind: Kind) -> list[str]:
    """Return the scenes a thing can be in: no ship in a room, no house in a studio."""
    without: set[str] = set()
    if kind.stands == WATER:
        without = {"room", "studio", "desert"}
    elif kind.stands == AIR or (kind.group in {"plant", "vehicle"} and kind.stands != TABLE):
        without = {"room"}
    elif kind.group == "building":
        without = {"room", "studio"}
    elif kind.concept in {"mailbox", "flag"}:
        without = {"room"}
    return [scene for scene in SCENES if scene not in without]


def _hidden(look: Look, haunts: np.ndarray, rng: np.random.Generator) -> tuple[Label, ...]:
    """Draw the labels that the picture does not show; only what it would contradict is left out."""
    labels = []
    for facet in HIDDEN:
        if rng.random() >= _HIDDEN_SHARES[facet]:
            continue
        choice = names(facet)
        if facet == "season":
            choice = [name for name in choice if name not in _NOT_IN_SEASON.get(look.scene, ())]
        place = list(PLACES)[int(rng.choice(haunts))]
        labels.append((facet, place if facet == "place" else str(rng.choice(choice))))
    return tuple(labels)


def _keywords(visible: Sequence[Label], hidden: Sequence[Label], rng: np.random.Generator) -> tuple[Keyword, ...]:
    """Draw the keywords: 8 % of the words missing, a third of the photos in other languages too, some wrong ones."""
    words: dict[str, Keyword] = {}
    languages = ["en"]
    if rng.random() < 1 / 3:
        others = sorted({country.language for country in COUNTRIES.values()} - {"en"})
        languages += rng.choice(others, size=rng.integers(1, 3), replace=False).tolist()
    for language in languages:
        for label in (*visible, *hidden):
            for position, word in enumerate(lexicon()[label][language]):
                if rng.random() < (0.08 if position == 0 else 0.6):
                    continue
                words.setdefault(word, _keyword(word, label[0] in HIDDEN, rng))
    facets = list({label[0] for label in visible} | {"place", "theme"})
    for _ in range(rng.poisson(0.5)):
        facet = str(rng.choice(sorted(facets)))
        word = lexicon()[facet, str(rng.choice(names(facet)))]["en"][0]
        words.setdefault(word, Keyword(word, round(float(rng.uniform(18, 45)), 10), None))
    return tuple(words[word] for word in sorted(words))


def _keyword(word: str, is_hidden: bool, rng: np.random.Generator) -> Keyword:
    """Return a keyword: a hidden word is a person's; a visible one mostly the image service's, sometimes both's."""
    if is_hidden:
        return Keyword(word, None, "photographer" if rng.random() < 0.9 else "admin")
    by_person = rng.random() < 0.35
    confidence = None if by_person and rng.random() < 0.4 else round(float(100 * rng.beta(9, 1.6)), 10)
    return Keyword(word, confidence, "photographer" if by_person else None)
