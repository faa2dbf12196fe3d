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
    """Where a photo may have been taken: names for the tables, and the country that searches for it most."""

    city: str
    country: str
    latitude: float
    longitude: float
    searched_from: str


PLACES: dict[str, Place] = {
    "lisbon": Place("Lisbon", "Portugal", 38.7223, -9.1393, "ES"),
    "new_york": Place("New York", "United States", 40.7128, -74.006, "US"),
    "california": Place("Los Angeles", "United States", 34.0522, -118.2437, "US"),
    "hawaii": Place("Honolulu", "United States", 21.3069, -157.8583, "US"),
    "london": Place("London", "United Kingdom", 51.5072, -0.1276, "GB"),
    "scotland": Place("Edinburgh", "United Kingdom", 55.9533, -3.1883, "GB"),
    "cornwall": Place("Truro", "United Kingdom", 50.2632, -5.051, "GB"),
    "berlin": Place("Berlin", "Germany", 52.52, 13.405, "DE"),
    "bavaria": Place("Munich", "Germany", 48.1351, 11.582, "DE"),
    "hamburg": Place("Hamburg", "Germany", 53.5488, 9.9872, "DE"),
    "paris": Place("Paris", "France", 48.8566, 2.3522, "FR"),
    "provence": Place("Avignon", "France", 43.9493, 4.8055, "FR"),
    "brittany": Place("Rennes", "France", 48.1173, -1.6778, "FR"),
    "barcelona": Place("Barcelona", "Spain", 41.3874, 2.1686, "ES"),
    "andalusia": Place("Seville", "Spain", 37.3891, -5.9845, "ES"),
    "mallorca": Place("Palma", "Spain", 39.5696, 2.6502, "DE"),
    "mexico_city": Place("Mexico City", "Mexico", 19.4326, -99.1332, "MX"),
    "oaxaca": Place("Oaxaca", "Mexico", 17.0732, -96.7266, "MX"),
    "rio": Place("Rio de Janeiro", "Brazil", -22.9068, -43.1729, "BR"),
    "bahia": Place("Salvador", "Brazil", -12.9777, -38.5016, "BR"),
    "tokyo": Place("Tokyo", "Japan", 35.6762, 139.6503, "JP"),
    "kyoto": Place("Kyoto", "Japan", 35.0116, 135.7681, "JP"),
    "hokkaido": Place("Sapporo", "Japan", 43.0618, 141.3545, "JP"),
    "iceland": Place("Reykjavik", "Iceland", 64.1466, -21.9426, "GB"),
}
