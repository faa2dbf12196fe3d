"""Files as sites write them: quotes, separators, encodings, ids and folders; what cannot be read is dropped by name."""

from __future__ import annotations

import csv
import gzip
import json
import tomllib
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.catalogues.convert import as_text, convert
from jobs.catalogues.mapping import read_mapping
from jobs.errors import BadInput
from jobs.ingest.photo_files import file_stem
from tests.errors import raises

MAPPING = """
[[source]]
name = "shop"
[source.photos]
path = "photos.*"
photo_id = "sku"
image_url = "url"
submitted_at_default = "2025-01-01"
description = "title"
[source.conversions]
path = "bought.*"
photo_id = "sku"
converted_at = {column = "at"}
query = "q"
user_id = "who"
country_default = "DE"
"""
PHOTOS = ["sku,url,title", *(f"{100 + n},https://shop.invalid/{n}.jpg,red shoe {n}" for n in range(30))]
BOUGHT = ["at,sku,q,who", *(f"2025-12-01 10:00:{n:02},{100 + n},shoe,visitor-{n}" for n in range(30))]


class Shop:
    """A site of few files in a folder, its mapping, and what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.mapping = folder / "site", folder / "out", MAPPING
        self.folder.mkdir()
        self.write("photos.csv", PHOTOS)
        self.write("bought.csv", BOUGHT)

    def write(self, name: str, lines: list[str], encoding: str = "utf-8") -> None:
        (self.folder / name).write_bytes(
            "\n".join(lines).encode(encoding) + "\n".encode(encoding).removeprefix(b"\xff\xfe")
        )

    def change(self, old: str, new: str) -> None:
        assert old in self.mapping
        self.mapping = self.mapping.replace(old, new)

    def convert(self) -> dict[str, Any]:
        (self.folder / "mapping.toml").write_text(self.mapping, encoding="utf-8")
        self.report = convert(read_mapping(self.folder / "mapping.toml"), self.out)
        tables: dict[str, Any] = self.report["sources"]["shop"]
        return tables

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.out / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def dropped(self) -> list[tuple[str, ...]]:
        return [tuple(row.values())[1:] for row in self.rows("dropped.tsv")]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_quote_that_is_not_closed_takes_no_other_row_with_it(shop: Shop) -> None:
    lines = BOUGHT[:7]
    lines[2] = '2025-12-01 10:00:01,101,"shoe,visitor-1'
    shop.write("bought.csv", lines)
    assert shop.convert()["conversions"]["dropped"] == {"unbalanced_quote": 1}
    assert [row["anonymous_user_id"] for row in shop.rows("conversions.tsv000")] == [
        f"visitor-{n}" for n in (0, 2, 3, 4, 5)
    ]
    assert {row["keyword"] for row in shop.rows("conversions.tsv000")} == {"shoe"}
    assert shop.dropped() == [("conversions", "bought.csv", "3", "unbalanced_quote", "")]


def test_an_inch_mark_is_text_and_a_surplus_comma_drops_its_row_alone(shop: Shop) -> None:
    shop.write("photos.csv", [*PHOTOS, '200,https://shop.invalid/x.jpg,5" heel', "201,https://shop.invalid/y.jpg,a,b"])
    photos = shop.convert()["photos"]
    assert (photos["read"], photos["used"], photos["dropped"]) == (32, 31, {"too_many_columns": 1})
    assert shop.rows("photos.tsv000")[-1]["photo_description"] == '5" heel'
    assert shop.dropped() == [("photos", "photos.csv", "33", "too_many_columns", "201,https://shop.invalid/y.jpg,a,b")]
    note = (
        "shop photos: dropped too_many_columns 1 (first in photos.csv, line 33: '201,https://shop.invalid/y.jpg,a,b')"
    )
    assert note in as_text(shop.report)


def test_every_dropped_row_is_listed_and_no_visitor_among_them(shop: Shop) -> None:
    stray = str(uuid.UUID(int=7 << 100))
    bad = [
        "never,100,shoe,visitor-1",
        "2025-12-01 10:00,777,shoe,visitor-2",
        "visitor-3,100,shoe,visitor-3",  # shifted
        f"{stray},100,shoe,visitor-4",
        "2025-12-01 10:00,100,shoe",
        "2025-12-01 10:00,100,shoe,visitor-6,visitor-6",
        "2025-12-01 10:00,100,,visitor-7",
    ]
    shop.write("bought.csv", [*BOUGHT, *bad])
    shop.convert()
    assert sorted(shop.dropped(), key=lambda row: int(row[2])) == [
        ("conversions", "bought.csv", "32", "unreadable_time", "never"),
        ("conversions", "bought.csv", "33", "unknown_photo", "777"),
        ("conversions", "bought.csv", "34", "unreadable_time", ""),
        ("conversions", "bought.csv", "35", "unreadable_time", ""),
        ("conversions", "bought.csv", "36", "too_few_columns", ""),
        ("conversions", "bought.csv", "37", "too_many_columns", ""),
        ("conversions", "bought.csv", "38", "no_query", ""),
    ]
    for text in (json.dumps(shop.report), (shop.out / "dropped.tsv").read_text()):
        assert "visitor-" not in text
        assert stray not in text


@pytest.mark.parametrize("kind", [".csv.gz", ".txt.gz"])
def test_compressed_files_are_read(shop: Shop, kind: str) -> None:
    (shop.folder / "bought.csv").unlink()
    (shop.folder / f"bought{kind}").write_bytes(gzip.compress("\n".join(BOUGHT).encode()))
    assert shop.convert()["conversions"]["used"] == 30


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_separator_is_found_in_the_header_and_said(shop: Shop, separator: str) -> None:
    shop.write("bought.csv", [line.replace(",", separator) for line in BOUGHT])
    found = shop.convert()["conversions"]
    assert (found["used"], found["guessed"]) == (30, {"country": 30, "separator": 1})


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "utf-8", "utf-8-sig"])
def test_a_file_may_be_of_any_encoding(shop: Shop, encoding: str) -> None:
    shop.change('photo_id = "sku"\nimage_url', f'encoding = "{encoding}"\nphoto_id = "sku"\nimage_url')
    shop.write(
        "photos.csv",
        [*PHOTOS, "7,https://shop.invalid/x.jpg,Größe Ā" if encoding != "cp1252" else "7,https://x.invalid,Größe"],
        encoding,
    )
    found = shop.convert()["photos"]
    assert (found["used"], found["guessed"]) == (31, {"submitted_at": 31})
    assert shop.rows("photos.tsv000")[-1]["photo_description"].startswith("Größe")


def test_bytes_that_are_no_text_are_replaced_and_counted(shop: Shop) -> None:
    for encoding, lost in (("utf-8", b"\xfc"), ("cp1252", b"\x81")):
        (shop.folder / "photos.csv").write_bytes(
            "\n".join([*PHOTOS, ""]).encode() + b"7,https://x.invalid,gr" + lost + b"n\n"
        )
        shop.mapping = MAPPING.replace('image_url = "url"', f'image_url = "url"\nencoding = "{encoding}"')
        shop.out = shop.folder.parent / encoding
        found = shop.convert()["photos"]
        assert found["guessed"] == {"replaced_text": 1, "submitted_at": 31}
        assert found["examples"]["replaced_text"] == {"file": "photos.csv", "line": 32}
        assert shop.rows("photos.tsv000")[-1]["photo_description"] == "gr\ufffdn"
        assert 'Name the encoding in the mapping, such as encoding = "cp1252"' in as_text(shop.report)


@pytest.mark.parametrize("spelled", ["{}.0", "000{}"])
def test_conversions_of_photos_that_nobody_has_are_refused(shop: Shop, spelled: str) -> None:
    lines = [line.split(",") for line in BOUGHT[1:]]
    shop.write("bought.csv", [BOUGHT[0], *(",".join([at, spelled.format(sku), *rest]) for at, sku, *rest in lines)])
    with raises(BadInput, "no_usable_row", source="shop", table="conversions", dropped={"unknown_photo": 30}) as caught:
        shop.convert()
    wanted = spelled.format(100)
    assert f"unknown_photo 30 (first in bought.csv, line 2: '{wanted}')" in str(caught.value)
    assert f"'{wanted}' is no id of a photo; '100' is one" in str(caught.value)
    assert list(shop.out.parent.iterdir()) == [shop.folder]


def test_ids_stay_what_they_are_at_the_site(shop: Shop) -> None:
    ids = ["007", "1e5", "12.50", "SKU 7/b", "été", "../../x", "a,b", "x" * 128, "7"]
    shop.write("photos.csv", [PHOTOS[0], *(f'"{one}",https://x.invalid/1.jpg,shoe' for one in ids)])
    shop.write("bought.csv", [BOUGHT[0], *(f'2025-12-01 10:00,"{one}",shoe,v' for one in ids)])
    shop.convert()
    assert [row["photo_id"] for row in shop.rows("photos.tsv000")] == ids
    assert [row["photo_id"] for row in shop.rows("conversions.tsv000")] == ids
    assert not (shop.out / "source_ids.000").exists()


@pytest.mark.parametrize("bad", ["", "x" * 129, "a\x07b", "a\u202eb", "a\u2028b"])
def test_an_id_that_is_none_is_dropped_as_such(shop: Shop, bad: str) -> None:
    shop.write("photos.csv", [*PHOTOS, f"{bad},https://x.invalid/1.jpg,shoe"])
    shop.write("bought.csv", [*BOUGHT, f"2025-12-01 10:00,{bad},shoe,v"])
    found = shop.convert()
    assert found["photos"]["dropped"] == found["conversions"]["dropped"] == {"bad_id": 1}


def test_pictures_are_found_in_folders_by_the_beginning_of_an_id_and_copied_by_id(shop: Shop) -> None:
    shop.change('image_url = "url"', 'image_file = "images/{sku:.2}/{file}"')
    ids = ["0108775015", "a/b", "../../x"]
    (shop.folder / "images" / "01").mkdir(parents=True)
    (shop.folder / "images" / "a").mkdir()
    for name in ("01/1.JPG", "01/2.svg", "1.png"):
        (shop.folder / "images" / name).write_bytes(name.encode())
    rows = [(ids[0], "1.JPG"), (ids[1], "../1.png"), (ids[2], "images/1.png"), ("0109", "2.svg"), ("0110", "none.jpg")]
    shop.write("photos.csv", ["sku,file,title", *(f"{one},{file},shoe" for one, file in rows)])
    shop.write("bought.csv", [BOUGHT[0], f"2025-12-01 10:00,{ids[0]},shoe,v"])
    assert shop.convert()["photos"]["dropped"] == {"no_image": 1, "unknown_image_format": 1}
    assert {path.name for path in (shop.out / "photos").iterdir()} == {
        f"{ids[0]}.jpg",
        *(f"{file_stem(one)}.png" for one in ids[1:]),
    }
    assert {(row[3], row[4]) for row in shop.dropped()} == {
        ("unknown_image_format", str(shop.folder / "images/01/2.svg")),
        ("no_image", str(shop.folder / "images/01/none.jpg")),
    }


def test_the_first_place_where_a_picture_was_looked_for_is_said(shop: Shop) -> None:
    shop.change('image_url = "url"', 'image_file = "pictures/{sku}.jpg"')
    with raises(BadInput, "no_usable_photo", source="shop", dropped={"no_image": 30}) as caught:
        shop.convert()
    assert f"no_image 30 (first in photos.csv, line 2: '{shop.folder / 'pictures' / '100.jpg'}')" in str(caught.value)


def test_types_and_devices_are_the_sites_own_and_told_to_the_night(shop: Shop) -> None:
    shop.change(
        'user_id = "who"',
        'user_id = "who"\ndevice_type = "on"\n'
        'type = {column = "kind", keep = ["buy", "Kauf \\"x\\""], default = "buy"}',
    )
    kinds = [("buy", "TV"), ("", "phone"), ('"Kauf ""x"""', ""), ("look", "fridge")]
    shop.write(
        "bought.csv", [f"{BOUGHT[0]},kind,on", *(f"2025-12-01 10:00,100,shoe,v,{kind},{on}" for kind, on in kinds)]
    )
    assert shop.convert()["conversions"]["guessed"] == {"country": 3}
    found = [(row["conversion_type"], row["device_type"]) for row in shop.rows("conversions.tsv000")]
    assert found == [("buy", "TV"), ("buy", "phone"), ('Kauf "x"', "")]
    assert tomllib.loads((shop.out / "dataset.toml").read_text()) == {
        "conversions": {"types": ['Kauf "x"', "buy"], "devices": ["TV", "phone"]}
    }


def test_a_column_that_one_of_several_files_lacks_is_named_with_it(shop: Shop) -> None:
    shop.write("bought.2.csv", [line.replace("who", "user") for line in BOUGHT])
    with raises(BadInput, "missing_columns", path=shop.folder / "bought.2.csv", columns=["who"]):
        shop.convert()
    shop.write(
        "bought.2.csv", ["who,q,more,sku,at,,", "v,shoe,,100,2025-12-01 10:00,,"]
    )  # another order, columns without a name
    assert shop.convert()["conversions"]["used"] == 31


@pytest.mark.parametrize("name", ["bought.2.csv.gz", "bought.2.parquet", "bought.2.jsonl", "bought.2.json"])
def test_a_broken_file_is_named(shop: Shop, name: str) -> None:
    frame = pl.DataFrame({"at": ["2025-12-01 10:00"], "sku": ["100"], "q": ["shoe"], "who": ["v"]})
    (shop.folder / "bought.csv").unlink()
    frame.write_parquet(shop.folder / "bought.1.parquet")
    frame.write_ndjson(shop.folder / "bought.1.jsonl")
    (shop.folder / "bought.1.json").write_text(frame.write_json())
    (shop.folder / "bought.1.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    kind = name.split(".", 2)[2]
    (shop.folder / name).write_bytes((shop.folder / name.replace("2", "1")).read_bytes()[:-10])
    shop.change('path = "bought.*"', f'path = "bought.*.{kind}"')
    with raises(BadInput, "unreadable_file") as caught:
        shop.convert()
    assert str(caught.value.named["path"]) == str(shop.folder / name)


def test_utf_16_without_its_mark_is_refused_by_name(shop: Shop) -> None:
    shop.change('photo_id = "sku"\nimage_url', 'encoding = "utf-16"\nphoto_id = "sku"\nimage_url')
    shop.write("photos.csv", PHOTOS, "utf-16-le")
    with raises(BadInput, "unreadable_file", path=str(shop.folder / "photos.csv")):
        shop.convert()


def test_rows_of_json_and_parquet_are_named_by_their_number(shop: Shop) -> None:
    (shop.folder / "bought.csv").unlink()
    good = {"at": "2025-12-01 10:00", "sku": 100, "q": "shoe", "who": "v"}
    for number in (1, 2):
        lines = [json.dumps(good), json.dumps(good | {"sku": 6 + number})]
        (shop.folder / f"bought.{number}.jsonl").write_text("\n".join(lines))
    shop.convert()
    assert shop.dropped() == [
        ("conversions", "bought.1.jsonl", "2", "unknown_photo", "7"),
        ("conversions", "bought.2.jsonl", "2", "unknown_photo", "8"),
    ]


def test_a_photo_is_used_though_an_earlier_row_of_it_could_not_be(shop: Shop) -> None:
    shop.write("photos.csv", [PHOTOS[0], "100,,lost", *PHOTOS[1:], "101,https://x.invalid/again.jpg,again"])
    assert shop.convert()["photos"]["dropped"] == {"no_image": 1, "repeated_id": 1}
    assert [row["photo_description"] for row in shop.rows("photos.tsv000")][:2] == ["red shoe 0", "red shoe 1"]
