"""The sample catalogue: its layout, the truth it tells about itself, and that it can be learnt from."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.errors import BadInput
from jobs.sample import TINY, SampleInfo, SampleSize, make, make_sample, tables
from jobs.sample.choices import PLACE_EXPONENT, Conversion, Market, ceiling
from jobs.sample.countries import COUNTRIES
from jobs.sample.drawing import COLOURS, HOURS, KINDS, PATTERNS, SCENES, STYLES, Look, render
from jobs.sample.drawing.pen import Pen
from jobs.sample.faults import COLUMNS, KINDS_OF_FAULT, Row, spoil, timestamp
from jobs.sample.impressions import ARMS, make_impressions
from jobs.sample.pixels import main_colours
from jobs.sample.wishes import TREND, TREND_STARTS
from jobs.sample.words import HIDDEN, lexicon
from jobs.sample.world import LOG_END, LOG_START, make_photos
from models.evaluation.impressions import estimate_examination
from tests.errors import raises

SEED = 7
AMBIGUOUS = sorted({kind.concept for kind in KINDS.values() if kind.homes})
SMALLEST = SampleSize(photo_count=30, conversion_count=400)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleInfo]:
    folder = tmp_path_factory.mktemp("sample") / "tiny"
    return folder, make_sample(folder, TINY, SEED)


@pytest.fixture(scope="module")
def world() -> tuple[Market, list[Conversion]]:
    """The photos of the whole sample with a log that is shorter."""
    return make.simulate(SampleSize(conversion_count=6000), SEED)


def read(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.tsv000").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_tables_have_the_columns_of_the_layout(tiny: tuple[Path, SampleInfo]) -> None:
    folder, info = tiny
    columns = {
        "photos": tables.PHOTOS,
        "keywords": tables.KEYWORDS,
        "collections": tables.COLLECTIONS,
        "colors": tables.COLORS,
        "impressions": tables.IMPRESSIONS,
    }
    photo_ids = {row["photo_id"] for row in read(folder, "photos")}
    for table, names in columns.items():
        rows = read(folder, table)
        assert list(rows[0]) == names
        assert len(rows) == info.counts[table] > 0
        assert {row["photo_id"] for row in rows} <= photo_ids
        assert all(None not in row and None not in row.values() for row in rows)
    assert len(columns["photos"]) == 31
    pairs = [(row["photo_id"], row["keyword"]) for row in read(folder, "keywords")]
    assert len(set(pairs)) == len(pairs)
    assert {row["suggested_by_user"] for row in read(folder, "keywords")} == {"t", "f"}


def test_every_photo_has_its_picture(tiny: tuple[Path, SampleInfo]) -> None:
    folder, _ = tiny
    rows = read(folder, "photos")
    assert len(rows) == TINY.photo_count
    for row in rows:
        assert re.fullmatch(r"[A-Za-z0-9_-]{11}", row["photo_id"])
        url = row["photo_image_url"]
        assert url.startswith("https://images.example.invalid/")
        with Image.open(folder / "photos" / url.rsplit("/", 1)[1]) as image:
            assert image.mode == "RGB"
            assert image.size == (int(row["photo_width"]), int(row["photo_height"]))
    assert len(list((folder / "photos").iterdir())) == len(rows)
    assert {Path(row["photo_image_url"]).suffix for row in rows} == {".jpg", ".png"}
    without = sum(not row["photo_description"] for row in rows)
    assert 0 < without < 0.25 * len(rows)


def test_photos_come_until_the_last_day(world: tuple[Market, list[Conversion]]) -> None:
    submitted = [photo.submitted_at for photo in world[0].photos]
    assert submitted == sorted(submitted)
    assert LOG_END - timedelta(days=1) < submitted[-1] < LOG_END
    per_week = Counter((LOG_END - moment).days // 7 for moment in submitted)
    assert all(per_week[week] for week in range(8))
    assert sum(per_week[week] for week in range(8)) > sum(per_week[week] for week in range(26, 34))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()  # an empty folder will do
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        make_sample(tmp_path / name, SMALLEST, seed)
    assert digests(tmp_path / "one") == digests(tmp_path / "same")
    assert digests(tmp_path / "one") != digests(tmp_path / "other")


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with raises(BadInput, "folder_not_empty", folder=tmp_path):
        make_sample(tmp_path, SMALLEST)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(make, "_write_conversions", fail)
    with pytest.raises(OSError, match="no space"):
        make_sample(tmp_path / "sample", SMALLEST)
    assert list(tmp_path.iterdir()) == []


def lines_of(folder: Path, name: str) -> list[bytes]:
    return (folder / name).read_bytes().split(b"\n")


def test_every_line_without_a_fault_is_good_and_in_time(tiny: tuple[Path, SampleInfo]) -> None:
    folder, info = tiny
    submitted = {row["photo_id"]: row["photo_submitted_at"] for row in read(folder, "photos")}
    good = 0
    for name in ("conversions.tsv000", "conversions.tsv001"):
        lines = lines_of(folder, name)
        assert lines[0].decode().split("\t") == list(COLUMNS)
        faulty = {fault.line + n for fault in info.faults if fault.file == name for n in range(fault.line_count)}
        for number, line in enumerate(lines[1:-1], start=2):
            if number in faulty:
                continue
            good += 1
            (fields,) = csv.reader([line.decode()], delimiter="\t")
            row = dict(zip(COLUMNS, fields, strict=True))
            at = datetime.fromisoformat(row["converted_at"] + "+00:00")
            assert LOG_START <= at < LOG_END
            assert datetime.fromisoformat(submitted[row["photo_id"]]) < at.replace(tzinfo=None)
            assert row["conversion_type"] == "download"
            assert row["keyword"].strip()
            assert row["conversion_country"] in COUNTRIES
            assert row["device_type"] in {"desktop", "mobile", "tablet"}
            assert row["search_orientation_filter"] in {"all", "landscape", "portrait"}
            assert row["search_ordering"] in {"popular", "recent"}
            assert int(row["position"]) >= 1
    assert good == info.counts["conversions"] - len(info.faults)


def test_every_fault_is_where_it_is_said_to_be(tiny: tuple[Path, SampleInfo]) -> None:
    folder, info = tiny
    found = {}
    for fault in info.faults:
        lines = lines_of(folder, fault.file)[fault.line - 1 : fault.line - 1 + fault.line_count]
        found[fault.fault] = (b"\n".join(lines), lines_of(folder, fault.file)[fault.line - 2])
    assert set(found) == set(KINDS_OF_FAULT) - {"bot_burst"}
    for kind, column in (("null_photo_id", 3), ("null_user_id", 4), ("null_country", 5), ("null_keyword", 2)):
        assert found[kind][0].split(b"\t")[column] == b""
    assert found["duplicate_row"][0] == found["duplicate_row"][1] != b""
    assert found["blank_line"][0] == b""
    assert found["carriage_return"][0].endswith(b"\r")
    assert found["embedded_newline"][0].count(b"\n") == found["quoted_newline"][0].count(b"\n") == 1
    assert found["embedded_tab"][0].count(b"\t") == 10
    assert found["too_few_columns"][0].count(b"\t") < 8 < found["too_many_columns"][0].count(b"\t")
    assert b"\0" in found["embedded_nul"][0]
    assert found["unbalanced_quote"][0].count(b'"') == 1
    with pytest.raises(UnicodeDecodeError):
        found["invalid_utf8"][0].decode()
    submitted = {row["photo_id"]: row["photo_submitted_at"] for row in read(folder, "photos")}
    early = found["before_photo_was_submitted"][0].decode().split("\t")
    assert datetime.fromisoformat(early[0]) < datetime.fromisoformat(submitted[early[3]])
    assert found["unknown_photo_id"][0].decode().split("\t")[3] not in submitted


def test_lists_are_shown_whole_and_some_of_what_they_hold_is_clicked(tiny: tuple[Path, SampleInfo]) -> None:
    folder, _ = tiny
    submitted = {row["photo_id"]: row["photo_submitted_at"] for row in read(folder, "photos")}
    visitors = {
        fields[4].decode() for line in lines_of(folder, "conversions.tsv001") if len(fields := line.split(b"\t")) > 4
    }
    lists: dict[tuple[str, ...], list[int]] = {}
    for row in read(folder, "impressions"):
        assert submitted[row["photo_id"]] < row["shown_at"] < "2026-04-27"
        assert (row["query_id"] == "") == (row["keyword"] == "") == (row["query_photo_id"] != "")
        assert (row["interaction"] == "click") == (row["dwell_seconds"] != "")
        assert row["photo_id"] != row["query_photo_id"]
        assert row["arm"] in ARMS
        key = (row["user_id"], row["shown_at"], row["query_id"], row["query_photo_id"])
        lists.setdefault(key, []).append(int(row["position"]))
    assert all(places == list(range(1, len(places) + 1)) for places in lists.values())
    assert len({who for who, *_ in lists} & visitors) > 20
    shares = Counter(row["arm"] for row in read(folder, "impressions"))
    assert shares.keys() == set(ARMS)


def test_how_looking_falls_off_can_be_found_again(world: tuple[Market, list[Conversion]]) -> None:
    """The simulator's exponent is the one that its log of lists tells."""
    shown = make_impressions(*world, SEED, list_share=0.6)
    pairs: dict[tuple[str | int | None, str, int], int] = {}
    pair = [
        pairs.setdefault((one.query.lower() or one.query_photo, one.visitor.country, one.photo), len(pairs))
        for one in shown
    ]
    people = {one.visitor.visitor_id: number for number, one in enumerate(shown)}
    found = estimate_examination(
        np.array(pair),
        np.array([one.position for one in shown]),
        np.array([one.dwell_seconds is not None for one in shown]),
        np.array([people[one.visitor.visitor_id] for one in shown]),
        12,
    )
    truth = np.arange(1, 13) ** -PLACE_EXPONENT
    assert found.value == pytest.approx(truth, rel=0.25)
    assert found.value[1:].mean() == pytest.approx(truth[1:].mean(), rel=0.12)
    assert found.value[6:].mean() < 0.75


def test_the_facts_beside_the_tables_tell_the_same(tiny: tuple[Path, SampleInfo]) -> None:
    folder, info = tiny
    facts = json.loads((folder / "sample.json").read_text())
    assert facts["last_complete_day"] == info.last_complete_day.isoformat() == "2026-04-26"
    assert facts["rows"] == info.counts
    assert facts["seed"] == SEED
    assert sum(facts["fault_counts"].values()) == len(facts["faults"]) == len(info.faults)


def test_a_long_log_has_a_burst_of_a_bot() -> None:
    start = LOG_START
    rows = [
        Row((timestamp(start + timedelta(minutes=n)), "download", "cat", f"photo{n:06d}", "me", "DE", "d", "all", "p"))
        for n in range(10_000)
    ]
    spoilt = spoil(rows, [(LOG_START - timedelta(days=9), "photo000000")], SEED)
    burst = [row for row in spoilt if row.fault == "bot_burst"]
    times = [datetime.fromisoformat(row.fields[0]) for row in burst]
    assert len(burst) > 60
    assert max(times) - min(times) < timedelta(minutes=1)
    assert len({row.fields[4] for row in burst}) == 1
    assert len(spoilt) == len(rows) + len(burst)
    assert sum(row.fault is not None for row in spoilt) < 0.015 * len(rows)


def test_hidden_words_are_in_keywords_and_in_no_description(world: tuple[Market, list[Conversion]]) -> None:
    carried = told = 0
    for photo in world[0].photos:
        words = {keyword.word for keyword in photo.keywords}
        for label in photo.hidden:
            usual = lexicon()[label]["en"][0]
            told += 1
            carried += usual in words
            assert usual not in photo.description
    assert 0.88 < carried / told < 0.96  # 8 % of the keywords are missing


def test_about_a_quarter_of_the_queries_hold_a_hidden_word(world: tuple[Market, list[Conversion]]) -> None:
    hidden = [any(facet in HIDDEN for facet, _ in conversion.wish) for conversion in world[1]]
    assert 0.2 < sum(hidden) / len(hidden) < 0.35


def test_queries_come_in_six_languages(world: tuple[Market, list[Conversion]]) -> None:
    queries = {conversion.query for conversion in world[1]}
    english = {word for words in lexicon().values() for word in words["en"]}
    for language in ("de", "fr", "es", "ja", "pt"):
        foreign = {word for words in lexicon().values() for word in words[language]} - english
        assert len(queries & foreign) > 40, language
    assert len(queries & english) > 100


def share_at_home(market: Market, concept: str, country: str) -> float:
    found, worth = market.worth((("concept", concept),), country, LOG_END)
    at_home = [country in KINDS[market.photos[number].look.subject].homes for number in found]
    share = np.exp(worth) / np.exp(worth).sum()
    return float(share[at_home].sum())


@pytest.mark.parametrize("concept", AMBIGUOUS)
def test_a_word_means_another_thing_in_another_country(world: tuple[Market, list[Conversion]], concept: str) -> None:
    for country in COUNTRIES:
        assert share_at_home(world[0], concept, country) > 0.6, country


def test_the_country_changes_the_wanted_look_of_plain_things(world: tuple[Market, list[Conversion]]) -> None:
    market, log = world
    wanted = {country: Counter[str | None]() for country in COUNTRIES}
    for conversion in log:
        if any(facet == "kind" for facet, _ in conversion.wish) and len(conversion.wish) == 1:
            wanted[conversion.visitor.country][market.photos[conversion.photo].look.scene] += 1
    assert len({scenes.most_common(1)[0][0] for scenes in wanted.values()}) >= 6


def test_visitors_are_mostly_rare_and_a_few_regular(world: tuple[Market, list[Conversion]]) -> None:
    visits = Counter(conversion.visitor.visitor_id for conversion in world[1])
    once = sum(count == 1 for count in visits.values())
    assert 0.35 < once / len(visits) < 0.6
    assert 30 < max(visits.values()) <= 60


def test_flying_things_rise_in_the_last_two_weeks(world: tuple[Market, list[Conversion]]) -> None:
    def share(start: datetime, end: datetime) -> float:
        names = [{name for _, name in c.wish} for c in world[1] if start <= c.at < end]
        return sum(bool(wish & set(TREND)) for wish in names) / len(names)

    assert share(LOG_END - timedelta(days=7), LOG_END) > 1.5 * share(LOG_START, TREND_STARTS)


def test_the_log_can_be_learnt_and_the_country_helps(world: tuple[Market, list[Conversion]]) -> None:
    market, log = world
    recent = [conversion for conversion in log if conversion.at >= LOG_END - timedelta(days=7)]
    with_country = ceiling(market, log)
    hits = 0
    for conversion in recent:
        share = np.zeros(len(market.photos))
        for code, country in COUNTRIES.items():
            found, worth = market.worth(conversion.wish, code, conversion.at)
            share[found] += country.share * np.exp(worth) / np.exp(worth).sum()
        hits += conversion.photo in np.argsort(-share, kind="stable")[:10]
    popular = Counter(conversion.photo for conversion in log if conversion.at < recent[0].at).most_common(10)
    most = {photo for photo, _ in popular}
    assert 0.75 < with_country < 0.95
    assert with_country - hits / len(recent) > 0.08
    assert sum(conversion.photo in most for conversion in recent) / len(recent) < 0.15


def test_ambiguous_words_are_many_and_every_country_has_a_reading_of_each() -> None:
    assert len(AMBIGUOUS) >= 8
    for concept in AMBIGUOUS:
        homes = [code for kind in KINDS.values() if kind.concept == concept for code in kind.homes]
        assert sorted(homes) == sorted(COUNTRIES), concept


def test_every_label_has_words_in_every_language() -> None:
    languages = {"en", "de", "fr", "es", "ja", "pt"}
    for label, words in lexicon().items():
        assert set(words) == languages, label
        assert all(entry and all(word.strip() == word != "" for word in entry) for entry in words.values()), label
    for facet, names in (("kind", KINDS), ("scene", SCENES), ("pattern", PATTERNS), ("colour", COLOURS)):
        assert {name for known, name in lexicon() if known == facet} == set(names)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_fills_its_box(name: str) -> None:
    for is_ink in (False, True):
        image = Image.new("RGB", (100, 100), (1, 2, 3))
        kind = KINDS[name]
        kind.draw(Pen(image, (50, 50), 45, COLOURS["red"], COLOURS["blue"], is_ink=is_ink))
        drawn = (np.asarray(image) != (1, 2, 3)).any(axis=2)
        assert 0.08 < drawn.mean() < 0.9
        assert drawn.any(axis=0).mean() > 0.4
        assert drawn.any(axis=1).mean() > 0.4


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize("scene", sorted(SCENES))
def test_every_scene_is_drawn_at_every_hour(scene: str, style: str) -> None:
    for hour in HOURS[scene]:
        look = Look(scene, None, scene, hour, style, 96, 72, 5)
        image = render(look)
        assert image.size == (96, 72)
        assert image.tobytes() == render(look).tobytes()
        assert scene == "studio" or np.asarray(image).std() > 4


def test_a_look_in_no_scene_is_refused() -> None:
    with pytest.raises(ValueError, match="stands in no scene"):
        render(Look("cat", "black", None, "day", "plain", 96, 72, 1))


def test_equal_photos_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.sample.world.short_id", lambda *_: "same")
    with pytest.raises(ValueError, match="take another seed"):
        make_photos(3, SEED)


def test_main_colours_of_two_halves() -> None:
    image = Image.new("RGB", (20, 10), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 5, 10))
    colours = main_colours(image)
    assert [(colour.rgb, colour.name, colour.percent) for colour in colours] == [
        ((255, 0, 0), "red", 75.0),
        ((0, 0, 255), "blue", 25.0),
    ]
    assert sum(colour.score for colour in colours) == pytest.approx(1)
