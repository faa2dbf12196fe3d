"""Two small catalogues of other sites, shaped differently in all that a mapping can say, and the mapping of both."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

MAPPING = """
# a German shop: CSV with semicolons, decimal commas, local times, pictures as files
[[source]]
name = "Schuhhaus"
prefix = "sh"
[source.photos]
path = "shop/artikel.csv"
separator = ";"
photo_id = "Artikelnummer"
image_file = "shop/bilder/{Artikelnummer}.jpg"
submitted_at = {column = "Angelegt", format = "%d.%m.%Y %H:%M", timezone = "Europe/Berlin", default = "2024-01-01"}
description = ["Titel", "Text"]
brand = "Marke"
category = {column = "Kategorie", separator = ">", names = {Schuhe = "shoes", Stiefel = "boots"}}
price = {column = "Preis", decimal = ",", currency = "EUR", bands = [50, 100]}
width = {column = "Breite", scale = 37.795, decimal = ","}
language = {column = "Sprache", keep = ["de", "en"], default = "de"}
[source.conversions]
path = "shop/kaeufe_*.csv"
separator = ";"
photo_id = "Artikelnummer"
converted_at = {column = "Zeit", format = "%d.%m.%Y %H:%M", timezone = "Europe/Berlin"}
query = "Suche"
user_id = "Kunde"
country_default = "DE"
position = {column = "Platz"}
first_position = 0
type = {column = "Art", keep = ["Kauf"]}
[source.impressions]
path = "shop/gezeigt.csv"
separator = ";"
photo_id = "Artikelnummer"
shown_at = {column = "Zeit", format = "%d.%m.%Y %H:%M", timezone = "Europe/Berlin"}
user_id = "Kunde"
query_id = "Sitzung"
query_photo_id = "Zu"
query = "Suche"
position = {column = "Platz"}
first_position = 0
interaction = {column = "Was", names = {Angesehen = "click", Kauf = "download"}}
country = "Land"
dwell = {column = "Millisekunden", scale = 0.001}
arm = "Liste"

# an archive: nested JSON lines and Parquet, numbers of seconds, pictures by address
[[source]]
name = "Archive"
prefix = "ar"
[source.photos]
path = "archive/items.jsonl"
photo_id = "id"
image_url = "image.url"
submitted_at = {column = "created"}
description = "title"
missing_description = "words"
keywords = {column = "tags", names = {Boot = "boots"}}
width = {column = "image.w"}
height = {column = "image.h"}
photographer = "by.name"
[source.conversions]
path = "archive/events.parquet"
photo_id = "item"
converted_at = {column = "at"}
query = "q"
user_id = "user"
country = "cc"
device_type = "device"
"""
START = datetime(2025, 12, 1, 9)


def write_catalogues(folder: Path, photo_count: int = 12, conversion_count: int = 40) -> Path:
    """Write both with a few faulty rows each; return the mapping file."""
    for name in ("shop/bilder", "archive"):
        (folder / name).mkdir(parents=True)
    _write_shop(folder / "shop", photo_count, conversion_count)
    _write_archive(folder / "archive", photo_count, conversion_count)
    mapping = folder / "mapping.toml"
    mapping.write_text(MAPPING, encoding="utf-8")
    return mapping


def _write_shop(folder: Path, photo_count: int, conversion_count: int) -> None:
    head = "Artikelnummer;Titel;Text;Marke;Kategorie;Preis;Breite;Sprache;Angelegt;Lager"
    rows = [
        f'{n};Schuh "{n}";Aus Leder;Acme;Schuhe > Stiefel;{n * 10 + 9},90 €;2,5;de;02.11.2025 00:30;7'
        for n in range(photo_count)
    ]
    rows[1] = "1;;;Acme;Schuhe;;;;;7"  # neither words, price nor time: put together, and guessed
    rows += [
        "0;Noch einmal;;;;;;de;02.11.2025 00:30;7",  # repeated
        "900;Ohne Bild;;;;;;de;02.11.2025 00:30;7",
        "901;Chaussure;;;;;;fr;02.11.2025 00:30;7",
        ";Ohne Nummer;;;;;;de;02.11.2025 00:30;7",
    ]
    (folder / "artikel.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    for n in [*range(photo_count), 901]:
        Image.new("RGB", (40, 30), (20 * n % 256, 90, 10)).save(folder / "bilder" / f"{n}.jpg")
    bought = [
        f"{START + timedelta(hours=7 * n):%d.%m.%Y %H:%M};Kauf;schwarze  Schuhe;{n % photo_count};K{n % 9};{n % 5}"
        for n in range(conversion_count)
    ]
    bought += [
        "01.12.2025 10:00;Ansicht;schuhe;0;K1;0",  # only looked at
        "01.12.2025 10:00;Kauf;;0;K1;0",
        "01.12.2025 10:00;Kauf;schuhe;900;K1;0",  # of a photo that was dropped
        "01.11.2025 10:00;Kauf;schuhe;0;K1;0",  # before it was there
        "gestern;Kauf;schuhe;0;K1;0",
    ]
    head, half = "Zeit;Art;Suche;Artikelnummer;Kunde;Platz", len(bought) // 2
    for number, part in enumerate((bought[:half], bought[half:])):
        (folder / f"kaeufe_{number}.csv").write_text("\n".join([head, *part]) + "\n", encoding="utf-8")
    became = ("", "Angesehen", "Kauf")
    shown = [
        f"01.12.2025 {10 + n // 4}:00;K1;S{n // 4};{n};schuhe;{n % 4};{became[n % 3]};de;{n * 500};neu;"
        for n in range(photo_count)
    ]
    shown += [
        "01.12.2025 20:00;K2;;3;;0;Angesehen;Deutschland;-1;;5",  # beside a photo; a country that is none
        "01.12.2025 20:00;K2;;3;;1;Gekauft;;;;5",  # a word that the mapping does not know
        "01.12.2025 20:00;K2;;3;;2;;;;;900",  # asked with a photo that was dropped
        "01.12.2025 20:00;K2;;900;;3;;;;;5",
        "01.12.2025 20:00;K2;;3;;4;;;;;",  # of no list
        "01.12.2025 20:00;K2;S9;3;;oben;;;;;",
        "01.11.2025 20:00;K2;S9;3;;0;;;;;",  # before the photo was there
    ]
    head = "Zeit;Kunde;Sitzung;Artikelnummer;Suche;Platz;Was;Land;Millisekunden;Liste;Zu"
    (folder / "gezeigt.csv").write_text("\n".join([head, *shown]) + "\n", encoding="utf-8")


def _write_archive(folder: Path, photo_count: int, conversion_count: int) -> None:
    items: list[dict[str, Any]] = [
        {
            "id": n,  # the same ids as the shop's
            "title": f"A boot\nnumber {n}",
            "image": {"url": f"https://archive.invalid/{n}.jpg", "w": 1200, "h": 800},
            "tags": ["Boot", "leather", "Leather"],
            "created": 1_760_000_000 + n,
            "by": {"name": "Ann"},
            "licence": "cc0",
        }
        for n in range(photo_count)
    ]
    items[2]["title"] = None
    items.append(items[0] | {"id": 77, "image": {"url": None, "w": 1, "h": 1}})
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    events = [
        (str(n % photo_count), START + timedelta(hours=6 * n), "Boots", n % 7, "gb", ("mobile", "fridge")[n % 2])
        for n in range(conversion_count)
    ]
    events.append(("0", START, "boots", 1, "Britain", "mobile"))
    pl.DataFrame(events, schema=["item", "at", "q", "user", "cc", "device"], orient="row").write_parquet(
        folder / "events.parquet"
    )
