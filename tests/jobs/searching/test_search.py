"""Trying a search by hand: what is found in both releases, how it is shown, and what is refused."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import wcwidth
from PIL import Image, ImageDraw

from jobs.commands import main
from jobs.config.params.arms import FULL
from jobs.config.params.release import MakeReleaseParams
from jobs.config.params.training import TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import SPLITS
from jobs.datasets.models import RERANKER
from jobs.errors import BadInput, MissingInput, NightlensError
from jobs.lake.catalogue import Lake, catalogues
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.releasing import reader
from jobs.releasing.promotion import promote
from jobs.searching import releases, similar
from jobs.searching.query import Query, make_query
from jobs.searching.releases import open_releases
from jobs.searching.results import Results
from jobs.searching.side_by_side import search, write_page
from jobs.searching.table import render_table
from jobs.stages import make_release
from models import ann
from models.images import decode_image
from models.indexing.ids import hashed_ids
from models.rerank.features import FEATURES
from models.rerank.live import Asked, Taken
from models.serving import Embedder
from tests.conftest import Contexts
from tests.errors import raises
from tests.registered import commit_night, make_model
from tests.released import BY, Registry, commit_index, commit_order, commit_registration, night
from tests.tiny_reranker import tiny_reranker
from tests.validated_lake import commit_tables

pytestmark = pytest.mark.integration

SAME_MODEL = "Champion and candidate are the same model: they differ in the photos and counts of their nights."

WORDS = (
    "a cat on a mat",
    "黒い猫が眠っている",
    "جبل مغطى بالثلوج",
    "<script>alert(1)</script>",
    None,
    "the sea \x1b[31m",
)


def draw(number: int) -> bytes:
    """Return a picture like no other."""
    image = Image.new("RGB", (64, 48), (37 * number % 256, 91 * number % 256, 151 * number % 256))
    ImageDraw.Draw(image).ellipse((number, 5, number + 20, 40), fill=(255 - 20 * number % 256, 200, 10 * number))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def commit_candidate(
    context: RunContext, version: int, seed: int, numbers: range, exemplars: pl.DataFrame | None = None
) -> Manifest:
    """Commit a night up to its release, of photos `p<number>` that its model has really embedded."""
    commit_night(context, seed)
    folder = Path(context.dataset_uri)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {f"p{number}": draw(number) for number in numbers}
    for name, data in pictures.items():
        (folder / f"{name}.png").write_bytes(data)
    _commit_words_and_images(context, numbers)
    commit_order(context)
    vectors = Embedder(make_model(FULL, seed)).predict(pd.DataFrame({"image": list(pictures.values())}))
    commit_index(context, make_model(FULL, seed).digest, list(pictures), vectors=vectors, exemplars=exemplars)
    release = run_stage(context, "make_release", MakeReleaseParams())
    commit_registration(context, version, seed)
    return release


def _commit_words_and_images(context: RunContext, numbers: range) -> None:
    """The last photo has no image."""
    splits = context.read(SPLITS)
    tables = {table.name: context.lake.read_table(splits, table.name) for table in SPLITS.tables}
    photos = pl.DataFrame(
        {
            "photo_id": [f"p{n}" for n in numbers],
            "description": [WORDS[n % len(WORDS)] for n in numbers],
            "photographer": "Ada",
        }
    )
    tables["photos"] = photos.with_columns(submitted_at=tables["photos"]["submitted_at"][0], is_in_train=True)
    commit_tables(context, SPLITS, tables, facts=splits.facts)
    uris = [None if n == numbers[-1] else str(Path(context.dataset_uri) / f"p{n}.png") for n in numbers]
    images = photos.select("photo_id").with_columns(status=pl.lit("present"), uri=pl.Series(uris))
    images = images.with_columns(
        status=pl.when(pl.col("uri").is_null()).then(pl.lit("missing")).otherwise("status"),
        reason=pl.when(pl.col("uri").is_null()).then(pl.lit("not_found")),
    )
    commit_tables(context, IMAGES, {"images": images})


@pytest.fixture
def both(make_context: Contexts, registry: Registry) -> RunContext:
    """Version 1 published, of photos 0 to 9, and version 2 of the night after, of photos 4 to 13."""
    commit_candidate(make_context(run_date=night(1)), 1, 0, range(10))
    candidate = make_context(run_date=night(2))
    commit_candidate(candidate, 2, 1, range(4, 14))
    promote(candidate.settings, "test", 1, **BY)
    return candidate


def found(results: Results) -> list[list[str]]:
    return [[hit.photo.photo_id for hit in side.hits] for side in results.sides]


# -- what is found -----------------------------------------------------------------------------------------


@pytest.mark.quick
def test_champion_and_candidate_stand_side_by_side_as_their_own_indexes_find(both: RunContext) -> None:
    results = search(both.settings, "test", make_query("  Cat ", "gb"), 10)
    assert [(side.role, side.label) for side in results.sides] == [
        ("champion", "version 1 of 2025-12-01"),
        ("candidate", "version 2 of 2025-12-02"),
    ]
    assert [set(ids) for ids in found(results)] == [{f"p{n}" for n in range(10)}, {f"p{n}" for n in range(4, 14)}]
    opened = open_releases(both.lake, None)
    for seed, side in enumerate(results.sides):
        vector = make_model(FULL, seed).encode_queries(["GB: cat"]).detach().numpy()
        expected = opened[side.role].similar(vector, 10)[0]
        assert [(hit.photo.photo_id, round(hit.score, 5)) for hit in side.hits] == [
            (photo, round(score, 5)) for photo, score in expected
        ]
    assert [hit.place for hit in results.sides[0].hits] == list(range(1, 11))
    assert {hit.photo.photo_id for hit in results.sides[0].hits if hit.is_only_here} == {"p0", "p1", "p2", "p3"}
    assert {hit.photo.photo_id for hit in results.sides[1].hits if hit.is_only_here} == {"p10", "p11", "p12", "p13"}
    assert results.summary == "photos in common: 6 of 10"
    assert results.notes == ("Scores of two models do not compare, places do.",)


def test_nothing_but_the_index_of_the_release_is_searched(both: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def only(
        self: ann.ShardedIndex, query_QD: ann.Floats, k: int, visibility: ann.Visibility, countries: list[str]
    ) -> tuple[ann.Ints, ann.Floats]:
        assert countries == ["GB"]
        asked.append(k)
        return hashed_ids(["p7"])[None], np.array([[0.5]], np.float32)

    monkeypatch.setattr(ann.ShardedIndex, "search_ids", only)
    assert found(search(both.settings, "test", make_query("cat", "gb"), 3)) == [["p7"], ["p7"]]
    assert len(asked) == 2


def test_the_order_is_the_rerankers_and_it_is_said_why_each_photo_is_there(
    make_context: Contexts, registry: Registry
) -> None:
    context = make_context(run_date=night(1))
    facts, files = {"note": "", "base_arm": FULL}, {"reranker/0.txt": tiny_reranker().encode()}
    commit_tables(context, RERANKER, params=TrainRerankerParams(), facts=facts, files=files)
    commit_candidate(context, 1, 0, range(10))
    opened = open_releases(context.lake, None)["candidate"]
    assert opened.live.reranker is not None
    results = search(context.settings, "test", make_query("cat", "GB"), 10)
    (side,) = results.sides
    assert [hit.score for hit in side.hits] == sorted((hit.score for hit in side.hits), reverse=True)
    assert {hit.photo.photo_id for hit in side.hits} == {f"p{n}" for n in range(10)}
    for hit in side.hits:
        assert re.match(r"named by closeness[^;]*; .*closeness of the photo .*[+-]\d\.\d\d", hit.why)
    nothing, until = results.notes  # and none on the country: counts read it, if the model does not
    assert nothing.startswith("Nothing is published yet")
    assert f"{opened.counts_until:%Y-%m-%d %H:%M}" in until
    assert "Why, in the candidate:" in render_table(results, 100, with_reasons=True)
    assert "Why" not in render_table(results, 100)
    assert write_page(context.settings, results).read_text().count("<summary>Why</summary>") == 10
    status, modules = loaded_by(context.settings.state_dir, "cat", "--catalogue", "test")
    assert (status, modules & (ELSEWHERE | OF_PICTURES)) == (0, set())


def test_who_searches_is_known_by_what_was_taken_before(make_context: Contexts, registry: Registry) -> None:
    context = make_context(run_date=night(1))
    facts, files = (
        {"note": "", "base_arm": FULL, "feature_names": FEATURES},
        {"reranker/0.txt": tiny_reranker().encode()},
    )
    commit_tables(context, RERANKER, params=TrainRerankerParams(), facts=facts, files=files)
    commit_candidate(context, 1, 0, range(10))
    opened = open_releases(context.lake, None)["candidate"]
    assert opened.description["reranker"]["reads_past"]

    def taken_of(*taken: Taken, words: str = "cat") -> dict[str, float]:
        (found,) = opened.search([Asked(words, taken=taken)], 10, with_reasons=True)
        values = {one.photo_id: one.reason.features["visitor_taken"][0] for one in found if one.reason}
        return {photo_id: value for photo_id, value in values.items() if not np.isnan(value)}

    assert taken_of() == {}
    assert taken_of(Taken("p3"), Taken("p0", " CAT "), Taken("gone", "cat")) == {"p3": 1, "p0": 2}
    assert taken_of(Taken("p0", "sea")) == {"p0": 1}
    assert taken_of(Taken("p0", "zebra"), words="zebra") == {"p0": 1}  # nobody else asked for it
    nobody = search(context.settings, "test", make_query("cat"), 10)
    visitor = search(context.settings, "test", make_query("cat", visitor_id="v"), 10)  # of the splits
    several = search(context.settings, "test", make_query("cat", taken=("p1", "p2")), 10)
    assert [len(one.notes) for one in (nobody, visitor, several)] == [2, 3, 3]
    assert ["3 conversions" in visitor.notes[-1], "2 conversions" in several.notes[-1]] == [True, True]
    assert len({one.query.slug for one in (nobody, visitor, several)}) == 3
    page = write_page(context.settings, visitor).read_text()
    assert "3 conversions" in page
    with raises(MissingInput, "no_such_visitor"):
        search(context.settings, "test", make_query("cat", visitor_id="w"), 10)
    with raises(MissingInput, "no_such_photo", photo_ids=["gone"]):
        search(context.settings, "test", make_query("cat", taken=("p1", "gone")), 10)


def test_a_published_release_of_an_earlier_version_keeps_no_candidate_from_being_tried(
    both: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = open_releases(both.lake, None)["candidate"]
    monkeypatch.setattr(reader, "DESCRIPTION_FILE", "not-there.json")
    monkeypatch.setattr(releases, "_open", lambda *_: candidate)
    with raises(BadInput, "release_of_older_version"):
        reader.ReleaseReader(both.lake)
    results = search(both.settings, "test", make_query("cat"), 3)
    assert [side.role for side in results.sides] == ["candidate"]
    assert results.notes[0].startswith("What is published was made by an earlier version and cannot be searched")
    monkeypatch.setattr(releases, "_candidate", lambda *_: None)
    with raises(BadInput, "release_of_older_version"):
        search(both.settings, "test", make_query("cat"), 3)


def test_the_country_and_the_night_are_those_that_are_asked_for(both: RunContext) -> None:
    champion = open_releases(both.lake, None)["champion"]
    assert Asked("  CAT ", "gb") == Asked("cat", "GB")  # or a photo hidden from GB would be shown to gb
    somewhere, anywhere = champion.search([Asked("cat", "GB"), Asked("cat")], 3)
    assert [one.score for one in somewhere] != [one.score for one in anywhere]
    results = search(both.settings, "test", make_query("cat"), 2, run_date=night(1))
    assert [side.role for side in results.sides] == ["champion"]
    with raises(MissingInput, "no_such_night", run_date="2025-12-09", nights=["2025-12-01", "2025-12-02"]):
        search(both.settings, "test", make_query("cat"), 2, run_date=date(2025, 12, 9))


def test_a_picture_of_the_corpus_is_said_to_be_there_and_not_listed(both: RunContext, tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    path.write_bytes(draw(4))
    query = make_query(None, image=path)
    results = search(both.settings, "test", query, 3)
    assert all("p4" in side.same for side in results.sides)
    assert all("p4" not in ids for ids in found(results))
    table = render_table(results, 100)
    assert table.startswith("picture mine.png in test\n")
    assert "\nThe same picture in the champion: p4" in table
    page = write_page(both.settings, results).read_text()
    assert "the picture that is searched for" in page
    assert "The same picture: <code>p4</code>" in page
    shown = search(both.settings, "test", query, 3, near_duplicates="show")
    assert [ids[0] for ids in found(shown)] == ["p4", "p4"]
    assert [side.hits[0].score for side in shown.sides] == [pytest.approx(1.0, abs=1e-5)] * 2
    assert [side.same for side in shown.sides] == [(), ()]


def test_a_file_is_searched_with_by_the_keywords_that_its_look_leads_to_expect(
    make_context: Contexts, registry: Registry, tmp_path: Path
) -> None:
    context, model = make_context(run_date=night(1)), make_model(FULL, 0)
    pixels = model.preprocess(decode_image(draw(4)))[None]
    feature_D = model.encode_images(pixels)[0].detach().numpy()
    added_D = np.where(np.arange(model.dim) == 3, 50, 0).astype(np.float32)
    exemplars = pl.DataFrame(
        {"arm": [FULL, "another"], "photo_id": ["p4", "p4"], "feature": [feature_D.tolist()] * 2}
        | {"keyword_vector": [added_D.tolist(), (-added_D).tolist()]}
    )
    commit_candidate(context, 1, 0, range(10), exemplars)
    release = open_releases(context.lake, None)["candidate"]
    (tmp_path / "mine.png").write_bytes(draw(4))
    results = search(context.settings, "test", make_query(None, image=tmp_path / "mine.png"), 3, near_duplicates="show")
    completed_D = (feature_D + added_D) / np.linalg.norm(feature_D + added_D)
    assert [(hit.photo.photo_id, pytest.approx(hit.score, abs=1e-5)) for hit in results.sides[0].hits] == [
        *release.similar(completed_D[None], 3)[0]
    ]
    itself = search(context.settings, "test", make_query(None, photo_id="p4"), 3)  # whose keywords are known: none
    assert itself.sides[0].hits[0].score > results.sides[0].hits[0].score + 0.1


def test_a_photo_of_the_corpus_finds_all_others_once_by_the_index_that_it_is_in(both: RunContext) -> None:
    everything = search(both.settings, "test", make_query(None, photo_id="p6"), 20, near_duplicates="show")
    champion, candidate = found(everything)
    assert sorted(champion) == sorted(f"p{n}" for n in range(10) if n != 6)
    assert sorted(candidate) == sorted(f"p{n}" for n in range(4, 14) if n != 6)
    opened = open_releases(both.lake, None)["champion"]
    vector = Embedder(make_model(FULL, 0)).predict(pd.DataFrame({"image": [draw(6)]}))
    assert champion == [name for name, _ in opened.similar(vector, 10)[0] if name != "p6"]
    grouped = search(both.settings, "test", make_query(None, photo_id="p6"), 20)
    for side, names in zip(grouped.sides, (champion, candidate), strict=True):
        heads = [hit.photo.photo_id for hit in side.hits]
        assert heads == [name for name in names if name in heads]
        assert sorted([*heads, *side.same, *(name for hit in side.hits for name in hit.alike)]) == sorted(names)
    assert render_table(grouped, 100).startswith("photo p6 in test\n")
    only = search(both.settings, "test", make_query(None, photo_id="p12"), 3)
    assert [side.role for side in only.sides] == ["candidate"]
    assert "The champion does not have the photo." in only.notes
    with raises(MissingInput, "no_such_photo", photo_ids=["p99"]):
        search(both.settings, "test", make_query(None, photo_id="p99"), 3)
    with raises(BadInput, "photo_without_picture", photo_id="p13"):
        search(both.settings, "test", make_query(None, photo_id="p13"), 3)


def test_near_duplicates_are_grouped_and_the_search_goes_deeper_for_others(
    both: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos 0, 1 and 2 are the same picture in three sizes; of ten photos eight others are left to find."""
    original = Image.open(io.BytesIO(draw(1)))
    for number, size in ((0, (64, 48)), (1, (128, 96)), (2, (32, 24))):
        original.resize(size, Image.Resampling.LANCZOS).save(Path(both.dataset_uri) / f"p{number}.png")
    monkeypatch.setattr(similar, "_SPARE", 0)
    query = make_query(None, photo_id="p5")
    champion = search(both.settings, "test", query, 20, run_date=night(1)).sides[0]
    groups = [{hit.photo.photo_id, *hit.alike} for hit in champion.hits]
    [together] = [group for group in groups if "p0" in group]
    assert {"p0", "p1", "p2"} <= together
    first = search(both.settings, "test", query, len(groups), run_date=night(1)).sides[0]
    assert [hit.photo.photo_id for hit in first.hits] == [hit.photo.photo_id for hit in champion.hits]
    dropped = search(both.settings, "test", query, 20, run_date=night(1), near_duplicates="drop").sides[0]
    assert found(Results("test", query, None, (), (dropped,))) == found(Results("test", query, None, (), (champion,)))
    assert not any(hit.alike for hit in dropped.hits)


# -- one release, or the same twice ------------------------------------------------------------------------


def test_without_a_champion_the_candidate_is_shown_alone_and_that_is_said(make_context: Contexts) -> None:
    context = make_context(run_date=night(1))
    commit_candidate(context, 1, 0, range(10))
    results = search(context.settings, "test", make_query("cat"), 3)
    assert [side.role for side in results.sides] == ["candidate"]
    table = render_table(results, 100)
    assert "Nothing is published yet: there is no champion, and the candidate is shown alone." in table
    assert table.endswith("\nphotos found: 3")
    assert "*" not in table
    assert "there is no champion" in write_page(context.settings, results).read_text()


def test_a_candidate_that_is_the_champion_is_shown_once_and_that_is_said(both: RunContext) -> None:
    promote(both.settings, "test", 2, **BY)
    results = search(both.settings, "test", make_query("cat"), 3)
    assert [(side.role, side.label) for side in results.sides] == [("champion", "version 2 of 2025-12-02")]
    assert "The candidate is the champion, the release that is published: there is nothing to compare." in results.notes


def test_the_same_model_with_photos_of_another_night_is_compared_and_named(
    make_context: Contexts, registry: Registry
) -> None:
    for n, numbers in ((1, range(10)), (2, range(2, 12))):
        commit_candidate(make_context(run_date=night(n)), n, 0, numbers)
    settings = make_context().settings
    promote(settings, "test", 1, **BY)
    results = search(settings, "test", make_query("cat"), 10)
    assert len(results.sides) == 2
    assert SAME_MODEL in results.notes


def test_a_model_that_does_not_read_the_country_is_named(both: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_releases(both.lake, None)
    monkeypatch.setattr("jobs.searching.side_by_side.open_releases", lambda *_, **__: opened)
    monkeypatch.setattr("models.search.query_model.QueryModel.uses_country", False)
    notes = search(both.settings, "test", make_query("cat", "GB"), 2).notes
    assert "The candidate does not read the country." in notes
    assert not any("country" in note for note in search(both.settings, "test", make_query("cat"), 2).notes)


# -- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_is_aligned_in_any_script_and_marks_what_only_one_has(both: RunContext, width: int) -> None:
    table = render_table(search(both.settings, "test", make_query("cat", "GB"), 10), width)
    lines = table.splitlines()
    assert lines[0] == "“cat” from GB in test"
    assert lines[-1] == "photos in common: 6 of 10; * marks what only one shows"
    head = next(place for place, line in enumerate(lines) if line.startswith("  #"))
    assert lines[head - 1].split()[:3] == ["champion", "version", "1"]
    rows = lines[head + 1 : head + 11]
    assert all(wcwidth.width(line) <= width for line in lines[head - 1 : head + 11])
    second = lines[head].index("photo", lines[head].index("photo") + 1)
    for place, row in enumerate(rows, start=1):
        left, right = _cut(row, second - 2)
        cells = [re.fullmatch(r"([* ]) (p\d+) +(-?\d\.\d{3})(  .*)?", half.rstrip()) for half in (left[5:], right)]
        assert left[:5] == f"{place:>3}  "
        assert all(cells), row
        for cell in cells:
            assert cell is not None
            assert (cell[1] == " ") == (int(cell[2][1:]) in range(4, 10))
    assert "\x1b" not in table


def _cut(line: str, cells: int) -> tuple[str, str]:
    """Cut a line of a table where so many cells of a terminal are full."""
    length = next(i for i in range(len(line) + 1) if wcwidth.width(line[:i]) == cells)
    return line[:length], line[length:]


# -- the page ----------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_shows_both_sides_and_needs_nothing_from_outside(both: RunContext) -> None:
    page = write_page(both.settings, search(both.settings, "test", make_query("cat", "GB"), 10))
    assert page.parent == both.settings.report_dir / "test" / "searches"
    html = page.read_text()
    tags = Tags(html).found
    assert "://" not in html
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "base", "form", "a"}
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == 18
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") and image["alt"] for image in images)
    labels = [attributes["aria-label"] for _, attributes in tags if attributes.get("class") == "no-image"]
    assert labels == [f"{WORDS[3]}, not shown: not_found", f"{WORDS[1]}, not shown: not_found"]
    policy = next(a["content"] for tag, a in tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert html.count('<li class="only-here">') == html.count("only here</span>") == 8
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "Photos in common: 6 of 10" in html
    assert html.index("Champion <span") < html.index("Candidate <span")


def test_an_image_that_is_gone_since_is_said_to_be(both: RunContext) -> None:
    (Path(both.dataset_uri) / "p5.png").unlink()
    results = search(both.settings, "test", make_query("cat"), 10)
    photos = [hit.photo for side in results.sides for hit in side.hits]
    missing = {photo.photo_id: photo.missing for photo in photos if photo.src is None}
    assert missing == {"p5": "image gone", "p9": "not_found", "p13": "not_found"}


HOSTILE = (
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    "a\x00b/../c",
    "con.html\n<script>alert(1)</script>",
    "猫 " * 300,
    "ñ/..\\..\\x",
    "🐈",
)


@pytest.mark.quick
def test_no_query_leaves_the_folder_and_no_two_share_a_page(both: RunContext) -> None:
    folder = both.settings.report_dir / "test" / "searches"
    results = search(both.settings, "test", make_query("cat"), 1)
    for text in HOSTILE:
        query = make_query(text)
        page = write_page(both.settings, Results("test", query, None, (), results.sides))
        assert page.resolve().parent == folder.resolve()
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.html", page.name)
        assert len(page.name) < 70
        assert "<script>alert" not in page.read_text()
        assert "\x00" not in render_table(Results("test", query, None, (), results.sides), 80)
    assert len(list(folder.iterdir())) == len(HOSTILE)
    assert {path.name for path in both.settings.report_dir.rglob("*") if path.is_file()} == {
        path.name for path in folder.iterdir()
    }
    slugs = {Query("cat").slug, Query("cat", "GB").slug, Query("cat", image=b"1").slug, Query("cat", image=b"2").slug}
    assert len(slugs | {Query("cat", photo_id="cat").slug}) == 5
    assert Query("cat", "GB").slug.startswith("cat-gb-")
    assert make_query(" CAT", "gb").slug == make_query("cat ", "GB").slug


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    ("given", "kind", "code", "named"),
    [
        ({"text": None}, BadInput, "one_query_needed", {}),
        ({"text": "cat", "image": Path("x.png")}, BadInput, "one_query_needed", {}),
        ({"text": ""}, BadInput, "empty_query", {"query": ""}),
        ({"text": " \u3000\n"}, BadInput, "empty_query", {}),
        ({"text": "\u200b\u3164\u00ad"}, BadInput, "empty_query", {}),
        ({"text": "cat", "country": "England"}, BadInput, "unknown_country", {"country": "England"}),
        ({"text": None, "image": Path("x.png"), "country": "England"}, BadInput, "unknown_country", {}),
        ({"text": None, "image": Path("x.png"), "photo_id": "p1"}, BadInput, "one_query_needed", {}),
        ({"text": "cat", "photo_id": "p1"}, BadInput, "one_query_needed", {}),
        ({"text": None, "photo_id": "p1", "visitor_id": "v"}, BadInput, "past_not_usable", {}),
        ({"text": None, "photo_id": "p1", "taken": ("p2",)}, BadInput, "past_not_usable", {}),
        ({"text": "cat", "visitor_id": "v", "taken": ("p2",)}, BadInput, "past_not_usable", {}),
        ({"text": None, "image": Path("no/x.png")}, MissingInput, "unreadable_file", {"path": Path("no/x.png")}),
        ({"text": None, "image": Path("/")}, MissingInput, "unreadable_file", {"path": Path("/")}),
    ],
)
def test_a_query_that_cannot_be_searched_is_refused(
    given: dict[str, Any], kind: type[NightlensError], code: str, named: dict[str, Any]
) -> None:
    with raises(kind, code, **named):
        make_query(**given)


@pytest.mark.quick
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    for data, reason in ((b"", "empty"), (b"hello", "not_an_image"), (draw(1)[:-40], "(truncated|corrupt)")):
        path.write_bytes(data)
        with raises(BadInput, "not_a_picture", path=path) as caught:
            make_query(None, image=path)
        assert re.search(reason, str(caught.value.__cause__))


@pytest.mark.quick
def test_what_is_not_there_is_named(make_context: Contexts) -> None:
    context = make_context(run_date=night(1))
    with raises(MissingInput, "no_such_catalogue", catalogue="test", catalogues=[]):
        search(context.settings, "test", make_query("cat"), 5)
    commit_night(context)
    for unknown in ("other", "..", "test/models", ""):
        with raises(MissingInput, "no_such_catalogue", catalogue=unknown, catalogues=["test"]):
            search(context.settings, unknown, make_query("cat"), 5)
    with raises(MissingInput, "no_night_yet", lake=str(context.lake.root)):
        search(context.settings, "test", make_query("cat"), 5)
    for k in (0, -1, 101):
        with raises(BadInput, "count_out_of_range", count=k, most=100):
            search(context.settings, "test", make_query("cat"), k)


def test_a_release_whose_index_is_of_another_model_is_refused(
    make_context: Contexts, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(run_date=night(1))
    commit_night(context, photo_ids=["a", "b"])
    commit_order(context)
    commit_index(context, "0" * 16, ["a", "b"])
    monkeypatch.setattr(make_release, "_check", lambda *_: make_model(FULL).digest)
    run_stage(context, "make_release", MakeReleaseParams())
    commit_registration(context, 1, 0)
    with raises(BadInput, "unusable_release") as caught:
        search(context.settings, "test", make_query("cat"), 5)
    assert caught.value.__cause__.code == "models_differ"
    promote(context.settings, "test", 1, **BY)
    with raises(BadInput, "unusable_release") as caught:
        search(context.settings, "test", make_query("cat"), 5)
    assert caught.value.__cause__.code == "models_differ"


# -- the command line --------------------------------------------------------------------------------------


@pytest.fixture
def call(both: RunContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command; return status, what it printed, and its error."""
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(both.settings.state_dir))

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main.main(["search", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.mark.quick
def test_the_command_prints_the_table_and_where_the_page_is(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or len(opened) < 2)
    status, printed, _ = call("cat", "--catalogue", "test", "--country", "GB", "-k", "4")
    page = Path(printed.splitlines()[-1])
    assert (status, page.is_file(), opened) == (0, True, [])
    assert printed.startswith("“cat” from GB in test\n")
    assert re.search(r"^  4  ", printed, re.MULTILINE)
    assert not re.search(r"^  5  ", printed, re.MULTILINE)
    assert call("cat", "--catalogue", "test", "--country", "GB", "--open")[0] == 0
    assert opened == [page.as_uri()]
    status, _, error = call("cat", "--catalogue", "test", "--open")
    assert (status, "NightlensError [no_browser]: " in error, "file://" in error) == (2, True, True)
    status, _, error = call("--catalogue", "test")
    assert (status, error.splitlines()[-1].startswith("nightlens search: BadInput [one_query_needed]: ")) == (2, True)


def loaded_by(state_dir: Path, *arguments: str) -> tuple[int, set[str]]:
    """Search in a process of its own; return its status and the modules that it has loaded in the end."""
    code = "import sys; from jobs.commands.main import main; status = main(sys.argv[1:]); print(status, *sys.modules)"
    command = [sys.executable, "-c", code, "search", *arguments]
    environment = os.environ | {"NIGHTLENS_STATE_DIR": str(state_dir)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    status, *modules = done.stdout.splitlines()[-1].split()
    return int(status), set(modules)


ELSEWHERE = {"pyspark", "mlflow", "great_expectations", "airflow", "torch_geometric", "jobs.report.render", "lightgbm"}
"""What no search needs."""
OF_PICTURES = {
    "jobs.searching.similar",
    "models.similar.duplicates",
    "models.similar.picture_hash",
    "models.search.model",
}
OF_PICTURES |= {"open_clip", "torchvision", "transformers", "timm", "pandas", "sklearn", "scipy", "pyarrow.dataset"}
OF_MODELS = {"torch", "sympy", "torch._dynamo"}


def test_a_search_loads_what_it_needs_and_says_what_is_wrong_before_it_loads_a_model(both: RunContext) -> None:
    state_dir = both.settings.state_dir
    status, modules = loaded_by(state_dir, "cat", "--catalogue", "test")
    assert (status, modules & (ELSEWHERE | OF_PICTURES)) == (0, set())
    assert modules & OF_MODELS == {"torch"}  # and none of torch's compiler
    status, modules = loaded_by(state_dir, "--photo", "p4", "--catalogue", "test")
    assert (status, modules & ELSEWHERE) == (0, set())
    assert modules >= OF_PICTURES - {"timm", "sklearn", "scipy", "pyarrow.dataset"}
    here = ("--catalogue", "test")
    for wrong in (
        ("cat", "--catalogue", "nowhere"),
        ("cat", *here, "--run-date", "2025-01-01"),
        ("cat", *here, "-k", "0"),
        (" ", *here),
    ):
        status, modules = loaded_by(state_dir, *wrong)
        assert (status, modules & (ELSEWHERE | OF_PICTURES | OF_MODELS)) == (2, set()), wrong


@pytest.mark.quick
def test_catalogues_are_the_folders_of_a_lake(tmp_path: Path) -> None:
    assert catalogues(str(tmp_path / "nowhere")) == []
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    assert catalogues(str(tmp_path)) == ["a", "b"]
    assert Lake(str(tmp_path), "a").catalogue == "a"
