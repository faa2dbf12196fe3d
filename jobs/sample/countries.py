"""The countries of the sample: language, rhythm, and what their people like to see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """`share` of the visitors, main `language`, `english_share` of its people who search in English.

    `likes` adds to the worth of a photo with one of these visible names (in logits): a scene, a style, a colour.
    """

    share: float
    language: str
    english_share: float
    utc_offset: int
    likes: dict[str, float]


COUNTRIES: dict[str, Country] = {
    "US": Country(0.26, "en", 1.0, -6, {"city_night": 3.0, "desert": 2.2, "city": 1.0, "snow": -1.0, "vintage": 1.5}),
    "GB": Country(0.15, "en", 1.0, 0, {"rain": 3.0, "meadow": 2.2, "studio": 1.0, "desert": -1.0, "sketch": 1.5}),
    "DE": Country(0.13, "de", 0.55, 1, {"forest": 3.0, "mountains": 2.2, "studio": 1.0, "beach": -1.0, "blue": 0.6}),
    "FR": Country(0.11, "fr", 0.5, 1, {"sunset": 3.0, "city": 2.2, "room": 1.0, "desert": -1.0, "mono": 1.5}),
    "ES": Country(0.09, "es", 0.55, 1, {"beach": 3.0, "city": 2.2, "sunset": 1.0, "rain": -1.0, "yellow": 0.6}),
    "MX": Country(0.08, "es", 0.55, -6, {"desert": 3.0, "room": 2.2, "meadow": 1.0, "snow": -1.0, "vintage": 1.5}),
    "JP": Country(0.1, "ja", 0.45, 9, {"snow": 3.0, "studio": 2.2, "mountains": 1.0, "desert": -1.0, "pastel": 1.5}),
    "BR": Country(0.08, "pt", 0.55, -3, {"beach": 2.6, "forest": 2.6, "sunset": 1.0, "snow": -1.0, "green": 0.6}),
}


@dataclass(frozen=True)
class Place:
    """Where a photo may have been taken: the country it lies in, and the one whose people search for it most."""

    country: str
    searched_from: str


PLACES: dict[str, Place] = {
    name: Place(country, searched_from)
    for country, searched_from, names in (
        ("Portugal", "ES", "lisbon"),
        ("United States", "US", "new_york california hawaii"),
        ("United Kingdom", "GB", "london scotland cornwall"),
        ("Germany", "DE", "berlin bavaria hamburg"),
        ("France", "FR", "paris provence brittany"),
        ("Spain", "ES", "barcelona andalusia"),
        ("Spain", "DE", "mallorca"),
        ("Mexico", "MX", "mexico_city oaxaca"),
        ("Brazil", "BR", "rio bahia"),
        ("Japan", "JP", "tokyo kyoto hokkaido"),
        ("Iceland", "GB", "iceland"),
    )
    for name in names.split()
}
