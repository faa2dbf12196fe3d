"""The page of a night: as it was, with the figures of its inputs, safe, needing nothing, and without what is left out.

`NIGHTLENS_WRITE_GOLDEN=1 pytest tests/jobs/report/test_page.py` writes the page anew that the first test compares with.
Look at what changed before you commit it: git diff --word-diff tests/jobs/report/golden
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from jobs.config.params.arms import CHAMPION_ARM, FULL, HOURLY_COUNTS, RERANKED, ZERO_SHOT
from jobs.config.params.release import PublishReportParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.evaluation import PHOTO_MAP, SampleFacts
from jobs.datasets.releases import Lead, ReleasedRecommender
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.report import formats
from jobs.report.names import ARMS, METHODS, METRICS, VARIANTS
from jobs.report.ranking import segment_name
from jobs.report.recommendations import _SEGMENTS, _released, _sample
from jobs.report.render import build_report, render
from tests.errors import raises
from tests.jobs.report.page import Page, normalised
from tests.jobs.report_fixtures import (
    ABLATION_RATES,
    CUTOFF_FACTORS,
    RECOMMENDED_RATES,
    SEGMENTS,
    Story,
    commit_ablation,
    commit_evaluation,
    commit_live_day,
    commit_night,
    earlier_nights,
    night_of,
    slice_rate,
    value_of,
)

Make = Callable[..., RunContext]
GOLDEN = Path(__file__).parent / "golden" / "night.html"
SECTIONS = [
    *("verdict", "gate", "arms", "slices", "training", "reranker", "ablation", "data", "shown", "drift", "index"),
    *("map", "examples", "similar", "recommendations", "run", "costs", "history"),
]
BETTER = Story(outcome="better")


def commit_all(context: RunContext, story: Story = BETTER) -> RunContext:
    """Commit a night with everything: its ablation, and a night before it."""
    earlier_nights(context, 1)
    commit_ablation(context, commit_night(context, story)["splits"])
    return context


def rendered(context: RunContext, **params: Any) -> str:
    """Return the page of what was committed; every stage took two seconds."""
    night = night_of(context)
    for name, run in night.inputs.items():
        night.inputs[name] = run.model_copy(update={"duration_seconds": 2.0, "cpu_seconds": 1.0, "gpu_seconds": 0.0})
    return render(build_report(night, PublishReportParams(gb_month_price=0, **params)))


def page_of(context: RunContext, story: Story) -> Page:
    commit_night(context, story)
    return Page(rendered(context))


@pytest.fixture(scope="module")
def whole_night(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A night with everything, for tests that change nothing."""
    from tests.conftest import context_in

    return commit_all(context_in(tmp_path_factory.mktemp("night")))


@pytest.fixture(scope="module")
def whole(whole_night: RunContext) -> Page:
    return Page(rendered(whole_night))


def test_the_page_is_as_it_was(whole_night: RunContext) -> None:
    html = normalised(rendered(whole_night))
    if "NIGHTLENS_WRITE_GOLDEN" in os.environ:
        GOLDEN.write_text(html, encoding="utf-8")
    assert html == GOLDEN.read_text(encoding="utf-8")


def test_equal_inputs_give_the_same_bytes(whole_night: RunContext) -> None:
    assert rendered(whole_night) == rendered(whole_night)


# -- its figures -------------------------------------------------------------------------------------------


def test_metrics_in_the_page_equal_those_in_the_table(whole: Page) -> None:
    for metric, (name, _) in METRICS.items():
        header, *rows = whole.tables[f"arms: {name} of every arm"]
        assert header[1:] == [f"@{k}" for k in CUTOFF_FACTORS]
        shown = {row[0].removesuffix(" challenger"): row[1:] for row in rows}
        spell = formats.percent if metric == "hit_rate" else formats.score
        for key, rate in BETTER.rates.items():
            found = [cell.split()[0] for cell in shown[ARMS[key].name]]
            assert found == [spell(value_of(rate, metric, k)) for k in CUTOFF_FACTORS]


def test_slices_in_the_page_equal_those_in_the_table(whole: Page) -> None:
    for title, kind, fourth in (
        ("By country", "country", ZERO_SHOT),
        ("Rising and steady", "query_trend", HOURLY_COUNTS),
    ):
        header, *rows = next(t for name, t in whole.tables.items() if name.startswith(f"slices: Hit rate@10, {title}"))
        arms = [RERANKED, CHAMPION_ARM, "most_converted_for_query", fourth]
        names = [ARMS[key].name for key in arms]
        assert header[2:] == [*names[:2], "Difference, points", *names[2:]]
        shown = {row[0]: [cell.split()[0] for cell in row[2:]] for row in rows}
        for segment in SEGMENTS[kind]:
            rates = [slice_rate(BETTER.rates[key], key, segment) for key in arms]
            expected = [formats.percent(rate) for rate in rates]
            expected.insert(2, formats.points(rates[0] - rates[1]))
            assert shown[segment_name(segment)] == expected


def test_differences_are_those_of_the_comparisons(whole: Page) -> None:
    shown = {row[0]: row[1:6] for row in whole.tables["arms: Differences between arms"][1:]}
    assert len(shown) == len(BETTER.rates) - 1
    zero_shot = ["clearly better", "+55.5 +54.6 to +56.4", "4.7 times as many", "0.002", "1.3"]
    assert shown["Zero-shot base"] == zero_shot
    assert shown["Champion"][:3] == ["clearly better", "+2.1 +1.3 to +2.9", "+3.1%"]


def test_variants_of_the_ablation_are_those_of_the_table(whole: Page) -> None:
    rows = whole.tables["ablation: Every variant"][1:]
    for (key, rate), row in zip(ABLATION_RATES.items(), rows, strict=True):
        assert row[0].startswith(VARIANTS[key].name)
        assert row[4].split()[0] == formats.percent(rate)
        if key != FULL:
            assert row[7].split()[0] == formats.points(rate - ABLATION_RATES[FULL])
    assert [row[:2] for row in whole.tables["ablation: Steps to the full arm"][1:]] == [
        [VARIANTS[ZERO_SHOT].name, VARIANTS[FULL].name]
    ]


def test_rows_per_table_and_stages_are_those_of_the_runs(whole: Page, whole_night: RunContext) -> None:
    assert whole.tables["data: Rows per table"][1:] == [
        ["photos", "1,899", "1,899", "0", "0", "0.00%"],
        ["conversions", "120,000", "119,943", "57", "8", "0.05%"],
    ]
    night, run = night_of(whole_night), whole.text("run")
    assert [row[0] for row in whole.tables["costs: Costs by stage"][1:-1]] == list(night.stages.values())
    for name, manifest in night.inputs.items():
        assert manifest.reference in run
        assert manifest.digest[:16] in run
        assert night.stages[name] in run


def test_recommendations_and_history_are_those_of_the_tables(whole: Page) -> None:
    methods = whole.tables["recommendations: Recommendations, method by method"][1:]
    assert [(row[0], row[1].split()[0]) for row in methods] == [
        (METHODS[key].name, formats.score(rate)) for key, rate in RECOMMENDED_RATES.items()
    ]
    tables = [name for name in whole.tables if name.startswith("recommendations: ")]
    assert tables[0] == "recommendations: Recommendations by group of visitors"
    groups = whole.tables[tables[0]][1:]
    assert [kind for kind, *_ in _SEGMENTS].index("all") == 5  # behind the groups by past photos
    assert {row[1] for row in groups[:-1]} == {"836 of 840"}  # whom a method served itself
    header, *nights = whole.tables["history: Nights"]
    assert [row[0].split()[0] for row in nights] == ["2025-12-28", "2025-12-27"]
    assert [row[header.index(ARMS[CHAMPION_ARM].name)] for row in nights] == ["68.3%", formats.MISSING]


def test_which_recommender_the_release_holds_is_said_with_its_lead(whole: Page) -> None:
    name = METHODS["two_tower"].name
    assert f"The release holds {name}" in whole.text("recommendations")
    assert "+3.1 points (+1.1 to +5.2)" in whole.text("recommendations")
    unsure = Lead(difference=0.004, low=-0.012, high=0.02)
    popular = METHODS["popularity"].name
    told = {
        ReleasedRecommender(note="so it is"): ("no recommender", "so it is"),
        ReleasedRecommender(method="popularity", best="popularity"): (popular, "nothing is clearly better"),
        ReleasedRecommender(method="popularity", best="als", lead=unsure): (popular, METHODS["als"].name, "−1.2"),
    }
    for recommender, words in told.items():
        assert [word for word in words if word not in _released(recommender)] == []


def test_whom_methods_learned_from_is_said_where_it_is_a_sample() -> None:
    assert _sample(None) == ""
    counts = {"visitor_count": 2, "visitor_total": 25, "conversion_count": 20_000, "conversion_total": 250_000}
    assert [figure for figure in ("20,000", "250,000") if figure not in _sample(SampleFacts(**counts))] == []


@pytest.mark.parametrize(
    ("story", "outcome", "figures", "has_command"),
    [
        (Story(outcome="better"), "better", ("2.1 more", "+3.1%"), True),
        (Story(outcome="worse"), "worse", ("3.3 fewer", "−4.5%"), False),
        (Story(outcome="undecided"), "undecided", ("0.2 more", "+0.3%"), False),
        (Story(outcome="same"), "undecided", ("as many", "0.0%"), False),
        (Story(), "better", ("No champion", "55.5 more", "4.7 times as many"), True),
        (Story(left_out="it has seen answers"), "better", ("could not be compared", "55.5 more"), False),
    ],
    ids=["better", "worse", "undecided", "the same", "no champion", "champion left out"],
)
def test_the_verdict_says_what_was_found_and_when_to_promote(
    make_context: Make, story: Story, outcome: str, figures: tuple[str, ...], has_command: bool
) -> None:
    context = make_context()
    commit_night(context, story)
    report = build_report(night_of(context))
    found = report["verdict"]
    assert found["outcome"] == outcome
    assert [figure for figure in figures if figure not in found["headline"]] == []
    assert (found["command"] is not None) == has_command
    assert ("t has seen answers" in Page(render(report)).text("verdict")) == bool(story.left_out)


def test_what_speaks_against_the_challenger_is_not_kept_quiet(make_context: Make) -> None:
    moved = {"entry": 7, "reason": "moved by hand", "published": {"release": "2025-12-27/ab", "version": 3}}
    story = Story(query_count=150, counting=0.7321, bad_rows=6000, gate="fail", outside_move=moved)
    page = page_of(make_context(), story)
    for figure in ("73.2%", "2.8 points", "150 of the 1,150", "5.0% of the rows", "2 photos", "entry 7"):
        assert figure in page.text("verdict"), figure
    assert page.tables["gate: Checks of the gate"][1] == ["index recall@10", "fail", "0.9417", "at least 0.95"]


@pytest.mark.parametrize(
    ("story", "told", "warning"),
    [
        (Story(), "nothing is live yet", ""),
        (BETTER, "69.1% version 2, 65.0–73.0%, 400 searches", ""),
        (Story(outcome="better", live_rate=0.66), "66.0% version 2", ""),  # 69.1 is within its interval
        (Story(outcome="better", live_rate=0.64), "64.0% version 2", "answered 64.0% of the searches of 28 December"),
        (Story(outcome="better", live_rate=None), "version 2, not measured", "The release cannot be opened"),
    ],
    ids=["nothing live", "as ever", "a little less", "dropped", "not measured"],
)
def test_what_is_live_is_told_first_and_a_drop_is_a_warning(
    make_context: Make, story: Story, told: str, warning: str
) -> None:
    context = make_context()
    earlier_nights(context, 2, BETTER)
    commit_live_day(
        make_context(run_date=context.run_date - timedelta(days=3)), Story(outcome="better", live_rate=None)
    )
    page = page_of(context, story)
    assert told in page.text("verdict")
    _, _, notes = page.text("verdict").partition("Worth knowing")
    assert ("What is live" in notes or "the live release" in notes) == bool(warning)
    assert warning in notes
    header, *nights = page.tables["history: Nights"]
    cells = [row[header.index("Live yesterday")] for row in nights]
    tonight = formats.percent(story.live_rate if story.outcome else None)
    assert [cell.split()[0] for cell in cells] == [tonight, "69.1%", "69.1%"]
    assert ("took a photo that it does not know" in page.text("history")) == (tonight != formats.MISSING)


def test_another_figure_of_a_night_before_makes_another_report(make_context: Make) -> None:
    context = make_context()
    commit_night(context, BETTER)
    before = night_of(context).source_digests
    commit_live_day(make_context(run_date=context.run_date + timedelta(days=1)), BETTER)
    assert night_of(context).source_digests == before
    commit_live_day(make_context(run_date=context.run_date - timedelta(days=1)), BETTER)
    assert night_of(context).source_digests["history"] != before["history"]


def test_a_night_of_the_published_protocol_has_no_validation(make_context: Make) -> None:
    context = make_context()
    earlier_nights(context, 2)
    page = page_of(context, Story(is_published_protocol=True, is_warm_started=True))
    assert page.tables["training: Training in figures"][2][1:4] == ["–", "–", "744"]
    assert "2024-12-19 up to 2025-10-16 16:48:00" in page.text("run")
    assert "on 1,000 test searches" in page.text("index")
    assert "5,712 of the training window's 83,575" in page.text("training")
    assert len(page.tables["history: Nights"]) == 2  # nights of another protocol are not in it


def test_what_training_and_base_find_of_photos_they_never_had(make_context: Make) -> None:
    page = page_of(make_context(), BETTER)
    assert "of 3,000 such searches 112" in page.text("training").lower()
    assert "1,565 photos" in page.text("training")
    assert "On 174 held-out photos" in page.text("training")
    assert "40.0%" in page.text("training")


def test_stages_taken_over_from_an_earlier_run_are_told_apart(make_context: Make) -> None:
    commit_night(make_context())
    page = Page(rendered(make_context(run_id="again")))
    assert "0 of 22 stages" in page.text("verdict")


def test_nights_after_this_one_are_not_in_its_history(make_context: Make) -> None:
    context = make_context()
    earlier_nights(make_context(run_date=context.run_date + timedelta(days=2)), 4)
    commit_night(context)
    assert [run.partition["run_date"] for run in night_of(context).earlier] == ["2025-12-26", "2025-12-27"]


@pytest.mark.parametrize("has_orders", [True, False])
def test_orders_of_the_lists_shown_are_given_or_why_there_are_none(make_context: Make, has_orders: bool) -> None:
    page = page_of(make_context(), Story(has_orders=has_orders))
    table = page.tables.get("shown: How the arms would have ordered these lists")
    assert (table is not None) == has_orders
    assert ("No figures: too few." in page.text("shown")) == (not has_orders)
    if table is not None:
        assert [row[0] for row in table[1:]] == [ARMS[FULL].name, "As the site showed them", ARMS["popularity"].name]
        assert table[1][1].startswith("0.5123")
        assert "567 photos taken in 1,234 of 1,900 lists" in page.text("shown")
        assert "worth 321 visitors" in page.text("shown")


@pytest.mark.parametrize(("drift", "day_count"), [("searches", 21), ("empty day", 21), ("short log", 1)])
def test_drift_is_told_as_far_as_it_could_be_compared(make_context: Make, drift: str, day_count: int) -> None:
    page = page_of(make_context(), Story(drift=drift, day_count=day_count))
    is_short = drift == "short log"
    assert ("drift: Newest vectors against those before" in page.tables) == (not is_short)
    queries = page.tables["drift: Searches unlike those of training"][1]
    assert queries[1:] == ["12.3%", *(("–", "–") if is_short else ("11.0%", "+1.3")), "90%"]
    assert ("12.4%" in page.text("drift")) == (day_count > 7)
    assert ("are usual (p" in page.text("drift")) == (day_count > 7)
    assert ("the last day has no searches" in page.text("drift")) == (drift == "empty day")
    assert ("unlike those before: searches of the last day" in page.text("drift")) == (drift == "searches")


def test_a_share_beyond_its_limit_is_marked(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    night = night_of(context)
    gate = night.inputs["gate"]
    params = gate.params | {"max_unseen_query_share": 0.12}
    night.inputs["gate"] = gate.model_copy(update={"identity": gate.identity | {"params": params}})
    html = render(build_report(night))
    assert '<span class="outcome worse">12.3%</span>' in html
    assert "<span>0.1%</span>" in html


# -- safe, self-contained, accessible ----------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='alert(3) </style> javascript:alert(4) {{7*7}}"
)


@pytest.mark.parametrize("without", [(), ("map", "similar", "recommendations", "reranker")])
def test_hostile_text_stays_text(make_context: Make, tmp_path: Path, without: tuple[str, ...]) -> None:
    folder = tmp_path / HOSTILE.replace("/", " ")
    context = make_context(git_version=HOSTILE, dataset_uri=str(folder))
    story = Story(left_out="it is", gate="fail", is_warm_started=True, without=frozenset(without), text=HOSTILE)
    commit_ablation(context, commit_night(context, story)["splits"], note=HOSTILE)
    html = rendered(context)
    page = Page(html)
    assert {tag for tag, _ in page.tags} & {"script", "b", "i", "iframe", "object", "link"} == set()
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert html.count("</style>") == 1
    for section in ("verdict", "slices", "training", "ablation", "data", "shown", "index", "examples", "run"):
        assert HOSTILE in page.text(section), section
    assert folder.name in page.text("run")
    for section in ("drift", *(("similar", "recommendations", "reranker") if without else ("map",))):
        assert HOSTILE in page.text(section), section
    assert f"Index recall@10 is 0.9417{HOSTILE}." in {span.get("title") for span in page.all("span")}
    alts = {image["alt"] for image in page.all("img")}
    assert {f"a thing, number 0{HOSTILE}", f"photo {story.photo(5)}, no description"} <= alts


def test_the_page_needs_nothing_from_outside(whole_night: RunContext) -> None:
    html = rendered(whole_night)
    page = Page(html)
    assert "://" not in re.sub(r"<code>[^<]*</code>", "", html)
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "base", "form"), tag
        assert attributes.get("src", "data:").startswith("data:"), attributes
        assert re.fullmatch(
            r"#[a-z]+(-\d+)?|\d{4}-\d\d-\d\d(\.html|-data-docs/index\.html)", attributes.get("href", "#ok")
        )
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy


def test_charts_and_tables_can_be_read_aloud(whole: Page) -> None:
    ids = [attributes["id"] for _, attributes in whole.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawn = [a for a in whole.all("svg") if a.get("role") == "img"]
    assert len(drawn) > 15
    for chart in drawn:
        assert set(chart["aria-labelledby"].split()) <= set(ids)
    assert len(whole.all("caption")) == len(whole.all("table"))
    assert all("scope" in attributes for attributes in whole.all("th"))
    assert whole.all("html") == [{"lang": "en"}]


def test_every_image_is_a_small_inline_jpeg_with_a_description(whole: Page) -> None:
    images = whole.all("img")
    assert len(images) > 10
    for image in images:
        head, _, data = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert max(picture.size) <= 128
        assert image["alt"]
    placeholders = [a["aria-label"] for a in whole.all("span") if a.get("class") == "no-image"]
    assert set(placeholders) == {"a thing, number 11, not shown: not_found"}


def test_pictures_of_the_map_are_as_many_as_asked_for(whole: Page, whole_night: RunContext) -> None:
    def spots(page: Page) -> int:
        return len([tag for tag in page.all("span") if tag.get("class", "").startswith("spot")])

    assert spots(whole) == len(whole_night.lake.read_table(whole_night.read(PHOTO_MAP), "points")) - 1  # one has none
    html = rendered(whole_night, map_picture_count=0)
    assert spots(Page(html)) == 0
    assert "image/webp" not in html


# -- what may be left out, and what is missing -------------------------------------------------------------


def test_the_sections_come_in_order_and_are_linked(whole: Page) -> None:
    assert list(whole.sections) == SECTIONS
    assert [link["href"] for link in whole.all("a")][: len(SECTIONS)] == [f"#{name}" for name in SECTIONS]


@pytest.mark.parametrize(
    ("gone", "without"),
    [
        ("shown", "shown"),
        ("map", "map"),
        ("", "reranker"),
        ("", "similar"),
        ("", "recommendations"),
    ],
)
def test_a_section_that_has_nothing_is_not_there_or_says_why(make_context: Make, gone: str, without: str) -> None:
    page = page_of(make_context(), Story(without=frozenset({without})))
    assert list(page.sections) == [name for name in SECTIONS if name not in ("ablation", gone)]
    assert {link["href"] for link in page.all("a")}.isdisjoint({"#ablation", f"#{gone}"})
    assert gone or "left out: so it is" in page.text(without)


def test_what_fresh_counts_are_worth_is_said_or_why_it_is_not_known(make_context: Make) -> None:
    assert "Counts refreshed every hour change little." in page_of(make_context(), BETTER).text("arms")
    assert "left out: so it is" in page_of(make_context(), Story(without=frozenset({"reranker"}))).text("arms")


def test_an_ablation_on_other_splits_or_of_another_night_is_not_shown(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    commit_ablation(context, commit_night(make_context(code_version="older"))["splits"])
    commit_night(context)
    yesterday = make_context(run_date=context.run_date - timedelta(days=1))
    commit_ablation(yesterday, commit_night(yesterday)["splits"])
    assert night_of(context).ablation is None
    assert night_of(context).added_inputs == {}


def test_the_reranked_arm_of_an_earlier_evaluation_is_told_to_be_one(make_context: Make) -> None:
    context = make_context()
    commit_ablation(context, commit_night(context)["splits"])
    commit_evaluation(context, BETTER)
    assert "an earlier run of this night" in Page(rendered(context)).text("ablation")


def test_an_image_that_vanished_stops_the_report(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    (gone := Path(context.dataset_uri) / "000.png").unlink()
    with raises(MissingInput, "image_removed", uri=str(gone)):
        rendered(context)


def test_a_contact_sheet_without_ranks_is_refused(make_context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context()
    commit_night(context)
    read = Lake.read_table

    def read_without_ranks(lake: Lake, manifest: Any, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        frame = read(lake, manifest, table, columns)
        return frame.filter(pl.col("arm") != RERANKED) if table == "ranks" else frame

    monkeypatch.setattr(Lake, "read_table", read_without_ranks)
    with raises(MissingInput, "missing_ranks", count=2):
        rendered(context)


def test_a_fact_that_an_input_lacks_is_named(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    night = night_of(context)
    night.inputs["index_check"].facts.pop("recall_at_10")
    with raises(BadInput, "facts_of_other_version", run=night.inputs["index_check"].reference):
        build_report(night)
    assert "recall_at_10" in context.read(named("index_check")).facts
