"""Catalogues of other sites: two shaped differently end as one data set, and whatever was left out is counted."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from jobs.catalogues import files as reading
from jobs.catalogues.convert import as_text, convert
from jobs.catalogues.mapping import read_mapping
from jobs.commands import main
from jobs.config.params.ingest import ValidateLogsParams
from jobs.errors import BadInput, MissingInput
from jobs.ingest import find_source, last_complete_day
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.other_catalogues import write_catalogues

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOP = {str(n): f"sh:{n}" for n in range(12)}  # the archive has photos of these ids too


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalogues(tmp_path_factory.mktemp("sites"))


@pytest.fixture(scope="module")
def converted(sites: Path) -> tuple[Path, dict[str, Any]]:
    out = sites.parent / "out"
    return out, convert(read_mapping(sites), out)


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def changed(sites: Path, tmp_path: Path, old: str, new: str) -> Path:
    """Return a copy of both catalogues whose mapping says something else."""
    folder = tmp_path / "sites"
    shutil.copytree(sites.parent, folder, ignore=shutil.ignore_patterns("out"))
    text = sites.read_text(encoding="utf-8")
    assert old in text
    (folder / sites.name).write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder / sites.name


def test_every_row_is_used_or_counted_by_its_reason(sites: Path, converted: tuple[Path, dict[str, Any]]) -> None:
    folder, report = converted
    tables = report["sources"]
    assert tables["Schuhhaus"]["photos"] == {
        "read": 16,
        "used": 12,
        "dropped": {"bad_id": 1, "no_image": 1, "other_language": 1, "repeated_id": 1},
        "guessed": {"description": 1, "submitted_at": 1},
        "examples": {
            "bad_id": {"file": "shop/artikel.csv", "line": 17},
            "description": {"file": "shop/artikel.csv", "line": 3},
            "no_image": {"file": "shop/artikel.csv", "line": 15, "value": str(sites.parent / "shop/bilder/900.jpg")},
            "other_language": {"file": "shop/artikel.csv", "line": 16, "value": "fr"},
            "repeated_id": {"file": "shop/artikel.csv", "line": 14, "value": "0"},
            "submitted_at": {"file": "shop/artikel.csv", "line": 3},
        },
        "unused_columns": ["Lager"],
    }
    assert tables["Schuhhaus"]["conversions"]["dropped"] == {
        **{"before_photo": 1, "no_query": 1, "other_type": 1, "unknown_photo": 1, "unreadable_time": 1}
    }
    bought = {"file": "shop/kaeufe_1.csv"}
    assert tables["Schuhhaus"]["conversions"]["examples"] == {
        "other_type": bought | {"line": 20, "value": "Ansicht"},
        "no_query": bought | {"line": 21},
        "unknown_photo": bought | {"line": 22, "value": "900"},
        "before_photo": bought | {"line": 23, "value": "2025-11-01 09:00:00.000000"},
        "unreadable_time": bought | {"line": 24, "value": "gestern"},
        "country": {"file": "shop/kaeufe_0.csv", "line": 2},
    }
    assert tables["Schuhhaus"]["conversions"]["guessed"] == {"country": 40}
    assert tables["Schuhhaus"]["impressions"] == {
        "read": 19,
        "used": 13,
        "dropped": {
            **{"before_photo": 1, "no_position": 1, "no_query": 1, "unknown_interaction": 1},
            **{"unknown_photo": 1, "unknown_query_photo": 1},
        },
        "guessed": {"country left empty": 1},
        "examples": {
            name: {"file": "shop/gezeigt.csv", "line": line} | ({"value": value} if value else {})
            for name, line, value in (
                ("country left empty", 14, None),
                ("unknown_interaction", 15, "Gekauft"),
                ("unknown_query_photo", 16, "900"),
                ("unknown_photo", 17, "900"),
                ("no_query", 18, None),
                ("no_position", 19, "oben"),
                ("before_photo", 20, "2025-11-01 19:00:00.000000"),
            )
        },
        "unused_columns": [],
    }
    assert tables["Archive"]["photos"]["dropped"] == {"no_image": 1}
    assert tables["Archive"]["conversions"]["dropped"] == {"no_country": 1}
    assert tables["Archive"]["conversions"]["examples"] == {
        "no_country": {"file": "archive/events.parquet", "line": 41, "value": "Britain"}
    }
    assert tables["Archive"]["conversions"]["guessed"] == {}
    for one in tables.values():
        for table in one.values():
            assert table["read"] == table["used"] + sum(table["dropped"].values())
    assert json.loads((folder / "conversion.json").read_text()) == report
    text = as_text(report)
    assert "Schuhhaus  photos         16    12        4        2" in text
    assert "Archive photos: columns not used: licence" in text
    assert "Schuhhaus conversions: dropped unreadable_time 1 (first in shop/kaeufe_1.csv, line 24: 'gestern')" in text


def test_units_times_words_and_prices_become_those_of_the_layout(converted: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = converted
    shop = {row["photo_id"]: row for row in rows(folder, "photos.tsv000")}
    first, bare = shop[SHOP["0"]], shop[SHOP["1"]]
    assert first["photo_description"] == 'Schuh "0". Aus Leder'
    assert first["photo_submitted_at"] == "2025-11-01 23:30:00.000000"  # half past midnight in Berlin
    assert first["photo_width"] == "94"  # 2.5 cm
    assert (bare["photo_description"], bare["photo_submitted_at"][:10]) == ("shoes, Acme", "2024-01-01")
    words: dict[str, list[str]] = {}
    for row in rows(folder, "keywords.tsv000"):
        words.setdefault(row["photo_id"], []).append(row["keyword"])
    assert words[SHOP["0"]] == ["shoes", "boots", "Acme", "under 50 EUR"]
    assert words[SHOP["5"]][-1] == "50 to 100 EUR"
    assert words[SHOP["11"]][-1] == "from 100 EUR"
    topics = {(row["photo_id"], row["collection_id"]) for row in rows(folder, "collections.tsv000")}
    assert (SHOP["0"], "sh:boots") in topics
    bought = rows(folder, "conversions.tsv000")[0]
    assert bought == {
        "converted_at": "2025-12-01 08:00:00.000000",
        "conversion_type": "Kauf",
        "keyword": "schwarze Schuhe",
        "photo_id": SHOP["0"],
        "anonymous_user_id": "sh:K0",
        "conversion_country": "DE",
        "device_type": "",
        "position": "1",
    }


def test_what_was_shown_becomes_lists_of_searches_and_of_photos(converted: tuple[Path, dict[str, Any]]) -> None:
    shown = rows(converted[0], "impressions.tsv000")
    assert shown[5] == {
        "shown_at": "2025-12-01 10:00:00.000000",
        "user_id": "sh:K1",  # as in the conversions: both logs are of the same visitors
        "query_id": "sh:S1",
        "query_photo_id": "",
        "photo_id": SHOP["5"],
        "position": "2",
        "interaction": "download",
        "country": "DE",
        "dwell_seconds": "2.5",
        "arm": "neu",
        "keyword": "schuhe",
    }
    beside = shown[-1]
    assert (beside["query_id"], beside["query_photo_id"]) == ("", SHOP["5"])
    assert (beside["interaction"], beside["country"], beside["dwell_seconds"]) == ("click", "", "")
    assert not (converted[0] / "impressions.tsv001").exists()  # the archive logs none


def test_equal_ids_of_two_sites_stay_apart_and_others_stay_bare(sites: Path, tmp_path: Path) -> None:
    mapping = changed(sites, tmp_path, 'photo_id = "id"', 'photo_id = "id"')
    archive = mapping.parent / "archive" / "items.jsonl"
    archive.write_text(archive.read_text().replace('"id": 11,', '"id": "a/11 x",'))
    events = mapping.parent / "archive" / "events.parquet"
    pl.read_parquet(events).with_columns(pl.col("item").replace("11", "a/11 x")).write_parquet(events)
    convert(read_mapping(mapping), tmp_path / "out")
    ids = [{row["photo_id"] for row in rows(tmp_path / "out", f"photos.tsv00{n}")} for n in (0, 1)]
    both = [str(n) for n in range(11)]
    assert ids == [{f"sh:{one}" for one in both} | {"11"}, {f"ar:{one}" for one in both} | {"a/11 x"}]
    for number, found in enumerate(ids):
        assert {row["photo_id"] for row in rows(tmp_path / "out", f"conversions.tsv00{number}")} == found
    users = {row["anonymous_user_id"] for n in (0, 1) for row in rows(tmp_path / "out", f"conversions.tsv00{n}")}
    assert users == {f"sh:K{n}" for n in range(9)} | {f"ar:{n}" for n in range(7)}


def test_both_together_are_a_data_set_of_the_layout(converted: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = converted
    source = find_source(str(folder))
    assert [part.name for part in source.parts("photos")] == ["photos.tsv000", "photos.tsv001"]
    assert source.line_count("conversions") == 80
    assert last_complete_day(str(folder)).isoformat() == "2025-12-12"
    assert len(list((folder / "photos").iterdir())) == 12


def test_small_batches_give_the_same_files(
    sites: Path, converted: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH_ROWS", 5)
    again = tmp_path / "out"
    assert convert(read_mapping(sites), again) == converted[1]
    for path in converted[0].iterdir():
        assert path.is_dir() or path.read_bytes() == (again / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("old", "new", "error", "code", "named"),
    [
        ('photo_id = "id"', 'photo_id = "ident"', BadInput, "missing_columns", {"columns": ["ident"]}),
        ('image_url = "image.url"', 'image_url = "image.uri"', BadInput, "missing_columns", {"columns": ["image.uri"]}),
        ('prefix = "ar"', 'prefix = "sh"', BadInput, "bad_mapping", {"keys": ["the file"]}),
        ('prefix = "ar"', "", BadInput, "bad_mapping", {"keys": ["the file"]}),
        ('separator = ";"', 'encoding = "utf8-lossy"', BadInput, "bad_mapping", {"keys": ["source.0.photos.encoding"]}),
        ('separator = ";"', 'encoding = "hex"', BadInput, "bad_mapping", {"keys": ["source.0.photos.encoding"]}),
        ("Europe/Berlin", "Europe/..", BadInput, "bad_mapping", {"keys": ["source.0.photos.submitted_at.timezone"]}),
        ("Europe/Berlin", "Berlin", BadInput, "bad_mapping", {"keys": ["source.0.photos.submitted_at.timezone"]}),
        ('separator = ";"', "separator = '\"'", BadInput, "bad_mapping", {"keys": ["source.0.photos.separator"]}),
        (
            'path = "shop/artikel.csv"',
            'path = "/etc/passwd"',
            BadInput,
            "bad_mapping",
            {"keys": ["source.0.photos.path"]},
        ),
        ("{Artikelnummer}.jpg", "{Nummer:.3}.jpg", BadInput, "missing_columns", {"columns": ["Nummer"]}),
        (
            "{Artikelnummer}.jpg",
            "{Artikelnummer:x}.jpg",
            BadInput,
            "bad_mapping",
            {"keys": ["source.0.photos.image_file"]},
        ),
        (
            "{Artikelnummer}.jpg",
            "{Artikelnummer.jpg",
            BadInput,
            "bad_mapping",
            {"keys": ["source.0.photos.image_file"]},
        ),
        ("{Artikelnummer}.jpg", "{}.jpg", BadInput, "bad_mapping", {"keys": ["source.0.photos.image_file"]}),
        ('brand = "Marke"', 'brands = "Marke"', BadInput, "bad_mapping", {"keys": ["source.0.photos.brands"]}),
        ("bands = [50, 100]", "bands = [100, 50]", BadInput, "bad_mapping", {"keys": ["source.0.photos.price.bands"]}),
        (
            'Kauf = "download"',
            'Kauf = "sale"',
            BadInput,
            "bad_mapping",
            {"keys": ["source.0.impressions.interaction.names"]},
        ),
        (
            'query_id = "Sitzung"\nquery_photo_id = "Zu"\n',
            "",
            BadInput,
            "bad_mapping",
            {"keys": ["source.0.impressions"]},
        ),
        ('default = "2024-01-01"', 'default = "soon"', BadInput, "not_a_time", {"value": "soon"}),
        ('path = "archive/items.jsonl"', 'path = "archive/none.jsonl"', MissingInput, "no_such_file", {}),
        ('keep = ["de", "en"]', 'keep = ["ja"]', BadInput, "no_usable_photo", {"source": "Schuhhaus"}),
        ("[[source]]", "[[source", BadInput, "unreadable_file", {}),
    ],
)
def test_a_mapping_that_does_not_fit_says_where(
    sites: Path, tmp_path: Path, old: str, new: str, error: type[Exception], code: str, named: dict[str, Any]
) -> None:
    mapping = changed(sites, tmp_path, old, new)
    with raises(error, code, **named):
        convert(read_mapping(mapping), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "sites"]


def test_a_picture_outside_the_folder_is_none(sites: Path, tmp_path: Path) -> None:
    mapping = changed(sites, tmp_path, "shop/bilder/{Artikelnummer}.jpg", "../secret/{Artikelnummer}.jpg")
    shutil.copytree(sites.parent / "shop" / "bilder", tmp_path / "secret")
    with raises(BadInput, "no_usable_photo", source="Schuhhaus") as caught:
        convert(read_mapping(mapping), tmp_path / "out")
    assert caught.value.named["dropped"]["no_image"] > 0


def test_json_as_one_array_and_what_may_be_kept_without(sites: Path, tmp_path: Path) -> None:
    mapping = changed(sites, tmp_path, "items.jsonl", "items.json")
    mapping.write_text(mapping.read_text().replace('missing_description = "words"', 'missing_image = "keep"'))
    lines = (mapping.parent / "archive" / "items.jsonl").read_text().splitlines()
    (mapping.parent / "archive" / "items.json").write_text(f"[{','.join(lines)}]")
    report = convert(read_mapping(mapping), tmp_path / "out")
    assert report["sources"]["Archive"]["photos"]["used"] == 13
    assert "" in {row["photo_image_url"] for row in rows(tmp_path / "out", "photos.tsv001")}


def test_the_command_prints_the_table_and_refuses_a_full_folder(
    sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["convert_catalogue", "--mapping", str(sites), "--out", str(out)]
    assert main.main(command) == 0
    assert "Archive    conversions" in capsys.readouterr().out
    assert main.main(command) == 2
    assert "BadInput [folder_not_empty]: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.spark
def test_validation_accepts_what_was_converted(
    spark: SparkSession, converted: tuple[Path, dict[str, Any]], make_context: Contexts
) -> None:

    ctx = make_context(dataset_uri=str(converted[0]))
    manifest = run_stage(ctx, "validate_logs", ValidateLogsParams())
    assert manifest.row_counts["photos"] == 24
    assert manifest.row_counts["conversions"] == 80
    assert manifest.row_counts["impressions"] == 13
    assert manifest.row_counts["quarantine"] == 0
    clean = ctx.lake.read_table(manifest, "conversions")
    assert clean["position"].drop_nulls().is_between(1, 5).all()
    assert clean.select(pl.col("visitor_id").n_unique()).item() == 16
