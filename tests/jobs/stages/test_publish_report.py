"""The report: its figures are those of its inputs, it opens offline, it trusts no text, it is published whole."""

from __future__ import annotations

import base64
import io
import itertools
import re
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import jobs
from jobs.config.params.arms import ARMS as TRAINED
from jobs.config.params.arms import (
    CHAMPION_ARM,
    COMPARED,
    FINETUNED,
    FULL,
    RERANKED,
    STEPS,
    TRENDING,
    VARIANTS,
    ZERO_SHOT,
)
from jobs.config.params.release import PublishReportParams
from jobs.context import RunContext
from jobs.datasets.evaluation import DRIFT
from jobs.datasets.indexes import INDEX_CHECK
from jobs.datasets.reports import REPORT
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.nights.stage_runner import run_stage
from jobs.report import ablation, charts, formats
from jobs.report.arms import ARMS, arm
from jobs.report.inputs import Night
from jobs.report.ranking import METRICS, QUERY_METRICS, Metrics, differences, segment_name
from jobs.report.render import build_report, render
from jobs.report.reranker import feature_name
from models.rerank.features import feature_names
from tests.jobs.report_fixtures import (
    ABLATION_RATES,
    BY_QUERY,
    CUTOFF_FACTORS,
    Story,
    commit_ablation,
    commit_evaluation,
    commit_night,
    earlier_nights,
    evaluation_tables,
    slice_rate,
    value_of,
    variant_row,
)

Make = Callable[..., RunContext]
SECTIONS = [
    *("verdict", "gate", "arms", "slices", "training", "reranker", "data", "shown", "drift", "index", "map"),
    *("examples", "similar", "recommendations", "run", "costs", "history"),
]
INLINE = {"bdi", "strong", "tspan", "code"}
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: tags with attributes, text by section, tables as rows of cell texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.sections: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._section = self._cell = ""
        self._rows: list[list[str]] = []
        self._caption: str | None = None
        self.feed(html)
        assert self._open == [], f"unclosed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if self._section and tag not in INLINE:
            self.sections[self._section] += " "
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = values["id"]
            self.sections[self._section] = ""
        elif tag == "table":
            self._rows = []
        elif tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag
        if tag in ("td", "th"):
            self._rows[-1].append(" ".join(self._cell.split()))
        elif tag == "caption":
            self.tables[f"{self._section}: {' '.join((self._caption or '').split())}"] = self._rows
            self._caption = None

    def handle_data(self, data: str) -> None:
        self._cell += data + " "
        if self._caption is not None:
            self._caption += data
        if self._section:
            self.sections[self._section] += data

    def text(self, section: str) -> str:
        return " ".join(self.sections[section].split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Stand in for MLflow; what would be logged is kept here."""
    calls: list[tuple[str, Any]] = []
    fake = types.SimpleNamespace(
        log_evaluation=lambda settings, registration, metrics: calls.append(("evaluation", metrics)),
        log_report=lambda settings, registration, html: calls.append((registration["mlflow_run_id"], html)),
    )
    monkeypatch.setitem(sys.modules, "jobs.adapters.mlflow_registry", fake)
    monkeypatch.setattr(jobs, "tracking", fake, raising=False)
    return calls


def rendered(context: RunContext, story: Story | None = None) -> str:
    commit_night(context, story)
    return render(build_report(Night.read(context)))


def page_of(context: RunContext, story: Story | None = None) -> Page:
    return Page(rendered(context, story))


def publish(context: RunContext) -> Any:
    return run_stage(context, "publish_report", PublishReportParams())


# -- what it says ------------------------------------------------------------------------------------------


def test_the_sections_come_in_order_and_the_verdict_first(make_context: Make) -> None:
    page = page_of(make_context())
    assert list(page.sections) == SECTIONS
    assert [link["href"] for link in page.all("a")][: len(SECTIONS)] == [f"#{name}" for name in SECTIONS]


@pytest.mark.parametrize(
    ("story", "headline", "advice", "has_command"),
    [
        (
            Story(outcome="better"),
            "The challenger is better than the champion: it answers 2.1 more of every 100 searches "
            "(+3.1%; probability that it is better: over 99.9%).",
            "Promote the challenger",
            True,
        ),
        (
            Story(outcome="worse"),
            "The challenger is worse than the champion: it answers 3.3 fewer of every 100 searches "
            "(−4.5%; probability that it is worse: over 99.9%).",
            "Keep the champion",
            False,
        ),
        (
            Story(outcome="undecided"),
            "The challenger is neither clearly better nor worse than the champion: it answers 0.2 more of every 100 "
            "searches (+0.3%; probability that it is better: 71.3%).",
            "Keep the champion",
            False,
        ),
        (
            Story(outcome="same"),
            "The challenger is neither clearly better nor worse than the champion: it answers as many searches "
            "(0.0%; probability that it is better: 50.0%).",
            "Keep the champion",
            False,
        ),
        (
            Story(),
            "No champion yet. The challenger is better than the base model without training on conversions: it "
            "answers 55.5 more of every 100 searches (4.7 times as many; probability that it is better: over 99.9%).",
            "No model is live as champion yet",
            True,
        ),
        (
            Story(left_out="champion version 2 was trained until 2025-12-25, inside the test window"),
            "The champion could not be compared tonight. The challenger is better than the base model without "
            "training on conversions: it answers 55.5 more of every 100 searches",
            "This says nothing about the champion",
            False,
        ),
    ],
    ids=["better", "worse", "undecided", "the same", "no champion", "champion left out"],
)
def test_the_verdict_says_what_was_found_and_what_to_do(
    make_context: Make, story: Story, headline: str, advice: str, has_command: bool
) -> None:
    text = page_of(make_context(), story).text("verdict")
    assert headline in text
    assert advice in text
    assert ("nightlens promote --catalogue test --version 3" in text) == has_command
    assert (story.left_out[1:] in text) if story.left_out else ("inside the test window" not in text)


def test_the_key_figures_are_those_of_the_inputs(make_context: Make) -> None:
    text = page_of(make_context(), Story(outcome="better")).text("verdict")
    for figure in ("70.4%", "Champion: 68.3%", "9,412", "22 Dec to 28 December 2025", "1,899", "99.2%"):
        assert figure in text, figure
    assert "57 0.05% of 121,899 rows read" in text
    assert "all stages ran tonight" in text


def test_what_speaks_against_the_challenger_is_not_kept_quiet(make_context: Make) -> None:
    text = page_of(make_context(), Story(query_count=150, bad_rows=6000)).text("verdict")
    assert "“Most converted for the query” reaches 73.2%, 2.8 points above the challenger" in text
    assert "Only 150 searches were tested" in text
    assert "of the test window: all those of a sample" not in text
    assert "5.0% of the rows of conversions were quarantined" in text
    assert "2 photos of the corpus have no usable image" in text


def test_that_only_a_sample_was_ranked_is_said(make_context: Make) -> None:
    text = page_of(make_context(), Story(query_count=9_412, window_query_count=3_000_000)).text("verdict")
    assert "Tested were 9,412 of the 3,000,000 searches of the test window: all those of a sample of visitors" in text


@pytest.mark.parametrize(
    ("outcome", "title", "note"),
    [
        ("pass", "The candidate may go live, if somebody decides so", ""),
        ("fail", "The candidate should not go live", "The gate is not passed: index recall@10."),
        ("inconclusive", "Not enough is known of the candidate", "The gate is inconclusive: index recall@10."),
    ],
)
def test_the_gate_is_shown_check_by_check_and_what_stands_in_the_way_first(
    make_context: Make, outcome: str, title: str, note: str
) -> None:
    page = page_of(make_context(), Story(gate=outcome))
    assert page.text("gate").startswith(title)
    rows = page.tables["gate: Checks of the gate"]
    assert rows[0] == ["Check", "Outcome", "Found", "Asked for"]
    assert ["index recall@10", outcome, "0.9417", "at least 0.95"] in rows
    assert (rows[1][0] == "index recall@10") == (outcome != "pass")
    assert "0.41 ms in the middle, 1.87 ms at the 99th percentile" in page.text("gate")
    assert (note in page.text("verdict")) if note else ("The gate is" not in page.text("verdict"))


def test_a_champion_that_was_moved_outside_is_named_at_the_top(make_context: Make) -> None:
    moved = {"entry": 7, "reason": "alias champion was moved in MLflow from version 3 to version 2"}
    published = {"release": "2025-12-27/ab", "version": 3}
    text = page_of(make_context(), Story(outcome="better", outside_move=moved | {"published": published})).text(
        "verdict"
    )
    assert f"The champion was moved outside of Nightlens: {moved['reason']} (entry 7 of the promotion ledger)." in text
    assert "Published is still version 3." in text
    assert "moved outside" not in page_of(make_context(), Story(outcome="better")).text("verdict")


def test_every_metric_of_every_arm_is_shown_with_its_interval(make_context: Make) -> None:
    story = Story(outcome="worse")
    tables = page_of(make_context(), story).tables
    half = 1 / story.query_count**0.5
    for metric, (name, _) in METRICS.items():
        rows = tables[f"arms: {name} of every arm"]
        assert rows[0] == ["Arm", "@1", "@5", "@10", "@25"]
        shown = {row[0].removesuffix(" challenger"): row[1:] for row in rows[1:]}
        assert set(shown) == {ARMS[key].name for key in story.rates}
        for key, rate in story.rates.items():
            for k, cell in zip(CUTOFF_FACTORS, shown[ARMS[key].name], strict=True):
                value = value_of(rate, metric, k)
                spell, spell_interval = (
                    (formats.percent, formats.percent_interval)
                    if metric == "hit_rate"
                    else (formats.score, formats.score_interval)
                )
                assert cell == f"{spell(value)} {spell_interval(max(0, value - half), min(1, value + half))}"


def test_the_chart_of_arms_has_the_primary_metric_and_every_arm_an_explanation(make_context: Make) -> None:
    story = Story(outcome="better")
    text = page_of(make_context(), story).text("arms")
    for key, rate in story.rates.items():
        assert f"{ARMS[key].name}: {formats.percent(rate)}, 95% interval" in text
        assert ARMS[key].explanation in text
        assert key not in text or "_" not in key


def test_differences_are_those_of_the_comparisons(make_context: Make) -> None:
    rows = page_of(make_context(), Story(outcome="undecided")).tables["arms: Differences between arms"]
    assert rows[0][5:] == ["p, adjusted", "Detectable", "MRR@10", "nDCG@10"]
    shown = {row[0]: row[1:7] for row in rows[1:]}
    assert len(shown) == 7
    assert shown["Champion"] == ["not clear", "+0.2 −0.6 to +1.0", "+0.3%", "71.3%", "1.000 alone 0.574", "1.3"]
    zero_shot = ["clearly better", "+55.5 +54.6 to +56.4", "4.7 times as many", "> 99.9%", "0.014 alone 0.002", "1.3"]
    assert shown["Zero-shot base"] == zero_shot
    assert shown["Most converted for the query"][0] == "clearly worse"


def test_a_difference_that_does_not_outlive_the_number_of_comparisons_is_not_called_clear() -> None:
    tables = evaluation_tables(Story(outcome="better"))
    is_champion = pl.col("baseline") == CHAMPION_ARM
    weaker = pl.when(is_champion).then(0.06).otherwise("p_value_holm").alias("p_value_holm")
    found = differences(Metrics(tables["metrics"]), tables["comparisons"].with_columns(weaker))
    row = next(row for row in found.rows if row.baseline.key == CHAMPION_ARM)
    assert (row.outcome, row.outcome_text) == ("undecided", "better, unadjusted")


def test_the_evaluation_by_query_stands_beside_the_one_by_search(make_context: Make) -> None:
    story = Story(outcome="better")
    page = page_of(make_context(), story)
    rows = page.tables["arms: Every arm by query"]
    assert rows[0] == ["Arm", *(f"{name}@10" for name, _ in QUERY_METRICS.values())]
    shown = {row[0].removesuffix(" challenger"): row[1:] for row in rows[1:]}
    for key, rate in story.rates.items():
        for metric, cell in zip(QUERY_METRICS, shown[ARMS[key].name], strict=True):
            value = value_of(rate, metric, 10) * BY_QUERY
            assert cell.split()[0] == (formats.percent(value) if metric == "hit_rate" else formats.score(value))
    for name, _ in QUERY_METRICS.values():
        assert len(page.tables[f"arms: {name} by query of every arm"]) == 1 + len(story.rates)
    text = page.text("arms")
    assert "6,274 queries of 4,706 different words" in text
    assert "(8,765 in all)" in text
    compared = page.tables["arms: Differences by query"]
    assert compared[0][2] == "nDCG@10"
    assert {row[0]: row[2].split()[0] for row in compared[1:]}["Zero-shot base"] == formats.signed_score(
        (value_of(story.rates[FULL], "ndcg", 10) - value_of(story.rates[ZERO_SHOT], "ndcg", 10)) * BY_QUERY
    )


def test_slices_show_the_challenger_against_its_rival_and_two_more(make_context: Make) -> None:
    story = Story(outcome="better")
    page = page_of(make_context(), story)
    shown_arms = [FULL, CHAMPION_ARM, "most_converted_for_query"]
    for title, segments in {
        "By country": [*story.countries, "unknown"],
        "New and old photos": ["old", "new"],
        "Seen and unseen queries": ["seen", "unseen"],
        "Head, torso and tail queries": ["head", "torso", "tail"],
        "Rising and steady queries": ["steady", "rising"],
        "One-off and returning visitors": ["returning", "one-off"],
        "By script of the query": ["latin", "japanese", "han"],
    }.items():
        rows = page.tables[f"slices: Hit rate@10, {title}"]
        arms = [*shown_arms, TRENDING if "steady" in segments else ZERO_SHOT]
        names = [ARMS[key].name for key in arms]
        assert rows[0] == ["Slice", "Searches", *names[:2], "Difference, points", *names[2:]]
        assert [row[0] for row in rows[1:]] == [segment_name(segment) for segment in segments]
        for segment, row in zip(segments, rows[1:], strict=True):
            rates = [slice_rate(story.rates[key], key, segment) for key in arms]
            difference = formats.points(rates[0] - rates[1])
            expected = [*map(formats.percent, rates[:2]), difference, *map(formats.percent, rates[2:])]
            assert [cell.split()[0] for cell in row[2:]] == expected
    few = page.tables["slices: Hit rate@10, By country"][-1]
    assert few[1] == "4 2 visitors"
    assert all("–" in cell or " to " in cell for cell in few[2:])  # an interval all the same
    assert "Head: queries asked at least 16 times in the training window" in page.text("slices")
    assert "Torso: 2 to 15 times" in page.text("slices")


def test_the_slice_of_rising_queries_says_what_trending_is_and_whether_it_helps(make_context: Make) -> None:
    story = Story(query_count=4_000_000)
    text = page_of(make_context(), story).text("slices")
    assert "at least 5 times, and at least 3 times as often as in a usual day" in text
    assert "the conversions before each search, counted every hour. They lose half of their weight in 3 days" in text
    assert "weigh 0.5 for the same words and 0 for the photo" in text
    assert "3,599 validation searches: 69.1% found their photo without them, 71.5% with them" in text
    gain = slice_rate(story.rates[TRENDING], TRENDING, "rising") - slice_rate(story.rates[FULL], FULL, "rising")
    direction = "more" if gain > 0 else "less"
    assert f"finds the photo {direction} often than the challenger alone: {formats.points(gain)} points" in text


def test_a_trending_arm_that_is_useless_or_missing_is_said_to_be(make_context: Make) -> None:
    useless = {"query_weight": 0.0, "tuned_hit_rate": 0.6912}
    story = Story()
    text = page_of(make_context(), replace(story, trending=story.trending | useless)).text("slices")
    assert "On 3,599 validation searches, of which 69.1% found their photo, no weight of them was clearly" in text
    rates = {arm: rate for arm, rate in story.hit_rates.items() if arm != TRENDING}
    missing = replace(story, trending={"note": "left out: <so it is>"}, hit_rates=rates)
    page = page_of(make_context(), missing)
    assert "The arm Trending is missing: left out: <so it is>." in page.text("slices")
    assert "Trending" not in page.tables["slices: Hit rate@10, Rising and steady queries"][0]


def test_without_a_champion_the_rival_is_the_strongest_other_arm(make_context: Make) -> None:
    rows = page_of(make_context(), Story()).tables["slices: Hit rate@10, By country"]
    assert rows[0][2:] == [
        "Fine-tuned + country + keywords",
        "Most converted for the query",
        "Difference, points",
        "Zero-shot base",
    ]


def test_of_many_countries_those_with_most_searches_are_drawn_and_the_others_folded(make_context: Make) -> None:
    story = Story(countries=tuple(f"C{i:03}" for i in range(40)))
    page = page_of(make_context(), story)
    rows = page.tables["slices: Hit rate@10, By country"]
    assert [row[0] for row in rows[1:]] == list(story.countries[:20])
    assert "21 more with fewer searches" in page.text("slices")
    more = page.tables["slices: Hit rate@10, By country, continued"]
    assert [row[0] for row in more[1:]] == [*story.countries[20:], "Unknown"]


def test_the_reranker_shows_what_it_looks_at(make_context: Make) -> None:
    page = page_of(make_context())
    rows = page.tables["reranker: What the reranker looks at"]
    assert rows[0] == ["Feature", "Share of gain", "Against the strongest", "Splits"]
    assert len(rows) == 1 + 12
    assert rows[1] == ["Fine-tuned + country + keywords: score", "50.0%", "", "30"]
    assert rows[3][:2] == ["Fine-tuned + country + keywords: distance to its best photo", "12.5%"]
    text = page.text("reranker")
    assert "18 more features have 0.0% of the gain together." in text
    assert "the 200 best photos of Fine-tuned + country + keywords" in text
    assert "73.1% before, 84.2% after reordering" in text
    assert "3,355 of 3,599 validation searches" in text
    assert "Check events_before_cutoff passed, 106,314 conversions" in text
    assert "Searches of held-out visitors: from 0.500 to 0.628. Kept was round 194." in text
    assert "best: Searches of held-out visitors, 194: 0.630" in text


def test_every_arm_that_can_be_trained_has_a_name_and_a_colour_of_its_own() -> None:
    style = (Path(charts.__file__).parent / "style.css").read_text()
    colours = re.findall(r"^\.(arm-[a-z0-9-]+) \{ --c: var\((--[a-z0-9-]+)\); \}$", style, re.MULTILINE)
    assert set(TRAINED) < set(ARMS)
    assert {one.css for one in ARMS.values()} == {css for css, _ in colours}
    assert len({variable for _, variable in colours}) == len(colours) == len(ARMS)
    for _, variable in colours:
        assert style.count(f"{variable}: #") == 3  # light, dark, print


def test_every_feature_has_a_name_people_understand() -> None:
    names = [feature_name(feature) for feature in feature_names(FULL, [FINETUNED, ZERO_SHOT])]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "_" in name]
    assert ARMS[RERANKED].css == "arm-reranked"


def test_a_night_without_a_reranker_says_why(make_context: Make) -> None:
    page = page_of(make_context(), Story(reranker_note="only 12 of 30 searches <can> be learned from."))
    assert page.text("reranker") == "Reranker No reranker tonight: only 12 of 30 searches <can> be learned from."


def test_training_shows_the_curves_and_marks_the_best_validation(make_context: Make) -> None:
    page = page_of(make_context())
    text = page.text("training")
    assert "best: Fine-tuned + country + keywords, 651: 69.0%" in text
    assert "Zero-shot base, 0: 15.2%" in text
    assert len([a for a in page.all("circle") if a.get("class") == "best"]) == 3  # two arms and the reranker
    rows = page.tables["training: Training in figures"]
    assert rows[3] == [
        "Fine-tuned + country + keywords challenger",
        "69.0%",
        "651",
        "744",
        "988",
        "3 min 9 s",
        "all epochs done",
    ]


def test_training_says_whether_it_was_in_full_or_went_on(make_context: Make) -> None:
    in_full = page_of(make_context()).text("training")
    assert "trained in full, on the training window's 83,575 conversions" in in_full
    story = Story(warm_started_from="models/search_models/run_date=2025-05-31/run_id=abc")
    went_on = page_of(make_context(run_date=date(2025, 6, 2)), story).text("training")
    assert (
        f"went on from the models of {story.warm_started_from}, with 5,712 of the training window's 83,575" in went_on
    )


def test_data_quality_adds_up_and_links_to_the_data_docs(make_context: Make) -> None:
    page = page_of(make_context())
    assert page.tables["data: Rows per table"][1:] == [
        ["photos", "1,899", "1,899", "0", "0", "0.00%"],
        ["conversions", "120,000", "119,943", "57", "8", "0.05%"],
    ]
    text = page.text("data")
    for tally in (
        "null country conversions 52 bad country conversions 9",
        "country upper case conversions 8",
        "null description photos 104",
        "Missing all photos 1",
        "Not usable: no image: missing (not found) corpus 1",
    ):
        assert tally in text, tally
    assert len(page.tables["data: Leak audit"]) == 8
    assert "version 1.4.0" in text
    assert {"href": "2025-12-28-data-docs/index.html"} in page.all("a")


def test_index_and_run_facts_name_versions_and_lineage(make_context: Make) -> None:
    context = make_context(git_version="abc123-dirty")
    manifests = commit_night(context)
    page = Page(render(build_report(Night.read(context))))
    index, run = page.text("index"), page.text("run")
    assert "99.17% (98.2–99.7%) on 1,000 validation searches" in index
    assert "ivf_flat, 32 of 174 lists searched" in index
    assert "2, 989.0 KiB together; 1 filled, 1 taken over" in index
    assert "Why this kind 1,898 photos; asked for in a test" in index
    assert "0.05 ms in the middle, 0.25 ms for the slowest of a hundred" in index
    assert f"nightlens compare_indexes --catalogue {context.catalogue} --run-date 2025-12-28" in index
    for manifest in manifests.values():
        assert manifest.reference in run
        assert manifest.digest[:16] in run
    assert "Protocol windows by days; candidates are the photos there when a search was made" in run
    assert "Validation window 2025-12-19 to 2025-12-21" in run
    for fact in ("abc123-dirty", "test-code", "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "pyspark", "test_days=7"):
        assert fact in run, fact


def test_a_night_of_the_published_protocol_says_what_it_is(make_context: Make) -> None:
    page = page_of(make_context(), Story(is_published_protocol=True, reranker_note="nothing was kept aside."))
    assert "every photo of the data set is a candidate for every search" in page.text("arms")
    assert "Candidates are all photos." in page.text("arms")
    assert "all of the data set" in page.text("verdict")
    assert "Nothing was kept aside for validation: every pass was made" in page.text("training")
    assert page.tables["training: Training in figures"][3][1:4] == ["–", "–", "744"]
    assert "on 1,000 test searches" in page.text("index")
    run = page.text("run")
    assert "80/20 by number of conversions; candidates are all photos" in run
    assert "Training window 2024-12-19 up to 2025-10-16 16:48:00" in run
    assert "Validation window none: nothing was kept aside" in run


def test_stages_taken_over_from_an_earlier_run_are_told_apart(make_context: Make) -> None:
    commit_night(make_context())
    page = Page(render(build_report(Night.read(make_context(run_id="again")))))
    assert "0 of 21 stages ran tonight" in page.text("verdict")
    assert "earlier, taken over" in page.text("run")


# -- the ablation ------------------------------------------------------------------------------------------


def page_with_ablation(context: RunContext, note: str = "") -> Page:
    commit_ablation(context, commit_night(context)["splits"], note)
    return Page(render(build_report(Night.read(context))))


def test_every_variant_has_a_name_and_a_meaning_people_understand() -> None:
    assert set(ablation.VARIANTS) == {ZERO_SHOT, *VARIANTS, RERANKED} == set(COMPARED)
    shown = [(one.name, one.meaning) for one in ablation.VARIANTS.values()]
    assert len({name for name, _ in shown}) == len({meaning for _, meaning in shown}) == len(shown)
    assert not [text for pair in shown for text in pair if "_" in text]
    assert all(meaning.endswith(".") and len(meaning) < 120 for _, meaning in shown)
    with pytest.raises(BadInput, match="no name for variant 'mystery'"):
        ablation.variant("mystery")


def test_a_night_with_an_ablation_says_what_each_choice_is_worth(make_context: Make) -> None:
    page = page_with_ablation(make_context())
    at = SECTIONS.index("reranker") + 1
    sections = [*SECTIONS[:at], "ablation", *SECTIONS[at:]]
    assert list(page.sections) == sections
    assert [link["href"] for link in page.all("a")][: len(sections)] == [f"#{name}" for name in sections]
    text = page.text("ablation")
    assert "the same 9,412 searches of 4,706 visitors" in text
    for key, rate in ABLATION_RATES.items():
        one = ablation.VARIANTS[key]
        interval = formats.percent_interval(rate - 0.0091, rate + 0.0089)
        assert f"{one.name}: {formats.percent(rate)}, 95% interval {interval}" in text
        assert one.meaning in text
    assert (
        "Reranked is not trained here: it reorders what the night's own arm “Fine-tuned + country + keywords”" in text
    )
    assert "earlier run" not in text


def test_the_figures_of_the_variants_are_those_of_the_table(make_context: Make) -> None:
    header, *rows = page_with_ablation(make_context()).tables["ablation: Every variant"]
    figures = ["Deviation, points", "Difference, points", "p, adjusted", "Detectable"]
    assert header == ["Variant", "Repetitions", "@1", "@5", "@10", "@25", *figures]
    for key, row in zip(ABLATION_RATES, rows, strict=True):
        one = ablation.VARIANTS[key]
        assert row[0] == f"{one.name} {'full arm ' if key == FULL else ''}{one.meaning}"
        found = {k: variant_row(key, ABLATION_RATES, k) for k in CUTOFF_FACTORS}
        low, high, deviation, repeats, difference, *ends, p, _ = found[10][1:]
        at = {k: formats.percent(by_k[0]) for k, by_k in found.items()}
        shown = [str(repeats), at[1], at[5], f"{at[10]} {formats.percent_interval(low, high)}", at[25]]
        shown.append("–" if deviation is None else "0.31")
        if key == FULL:
            assert row[1:] == [*shown, "–", "–", "–"]
            continue
        spelled = f"{formats.points(difference)} {formats.points_interval(*ends)}"
        assert row[1:] == [*shown, spelled, formats.p_value(p), "1.0"], key


def test_only_a_difference_that_outlives_the_number_of_variants_is_coloured(make_context: Make) -> None:
    context = make_context()
    commit_ablation(context, commit_night(context)["splits"])
    found = ablation.ablation(Night.read(context))
    assert found is not None
    outcomes = {row.variant.key: row.outcome for row in found.rows}
    assert (outcomes[ZERO_SHOT], outcomes[RERANKED], outcomes[FULL]) == ("worse", "better", "undecided")
    assert set(outcomes.values()) == {"better", "worse", "undecided"}


def test_the_steps_to_the_full_arm_are_told_one_by_one(make_context: Make) -> None:
    header, *rows = page_with_ablation(make_context()).tables["ablation: Steps to the full arm"]
    assert header[:2] == ["From", "To"]
    assert [row[0] for row in rows] == [ablation.VARIANTS[base].name for base, _ in STEPS]
    assert [row[1] for row in rows] == [ablation.VARIANTS[variant].name for _, variant in STEPS]
    worth = ABLATION_RATES[FINETUNED] - ABLATION_RATES[ZERO_SHOT]
    assert rows[0][2].startswith(formats.points(worth))
    assert rows[0][3] == formats.p_value(0.001)


def test_a_reranked_arm_that_is_left_out_is_said_to_be(make_context: Make) -> None:
    page = page_with_ablation(make_context(), "only 12 <b>searches</b>.")
    assert "Reranked is left out: only 12 <b>searches</b>." in page.text("ablation")
    assert "b" not in {tag for tag, _ in page.tags}
    assert not [row for row in page.tables["ablation: Every variant"] if row[0].startswith("Reranked")]


def test_an_ablation_on_other_splits_or_of_another_night_is_not_shown(make_context: Make) -> None:
    context = make_context()
    manifests = commit_night(context)
    commit_ablation(context, commit_night(make_context(code_version="older"))["splits"])
    commit_night(context)
    yesterday = make_context(run_date=date(2025, 12, 27))
    commit_ablation(yesterday, commit_night(yesterday)["splits"])
    assert Night.read(context).ablation is None
    assert Night.read(context).inputs == manifests
    page = Page(render(build_report(Night.read(context))))
    assert list(page.sections) == SECTIONS
    assert {"href": "#ablation"} not in page.all("a")


def test_the_reranked_arm_of_an_earlier_evaluation_is_told_to_be_one(make_context: Make) -> None:
    context = make_context()
    commit_ablation(context, commit_night(context)["splits"])
    commit_evaluation(context, Story(outcome="better"))
    text = Page(render(build_report(Night.read(context)))).text("ablation")
    assert "Reranked is here as an earlier run of this night evaluated it." in text


# -- drift -------------------------------------------------------------------------------------------------


def test_drift_says_first_what_moved_and_since_when(make_context: Make) -> None:
    page = page_of(make_context(), Story(drift="searches"))
    text = page.text("drift")
    assert text.startswith("Drift: searches moved since the night of 27 December 2025")
    assert "12.3% of tonight's 9,412 searches were for queries that nobody had asked" in text
    assert "in the training window (11.0% on that night)" in text
    assert "Vectors of “Zero-shot base”, the same model on both nights." in text
    assert page.tables["drift: Searches unlike those of training"][1:] == [
        ["Queries that training never had", "12.3%", "11.0%", "+1.3", "90%"],
        ["Countries that training never had", "0.1%", "0.0%", "+0.1", "50%"],
    ]
    header, searches, photos = page.tables["drift: Vectors against those of an earlier night"]
    assert header[1] == "Squared MMD"
    assert searches == ["Searches", "0.0412 0.0308 to 0.0533", "0.1", "0.002", "0.981", "1,000 and 987"]
    assert photos[1] == "−0.0009 −0.0020 to 0.0004"
    still = page_of(make_context(), Story()).text("drift")
    assert still.startswith("Drift: nothing moved clearly since the night of 27 December 2025")


@pytest.mark.parametrize(
    ("story", "title", "note"),
    [
        ("first night", "Drift: no night to compare with yet", "Not compared: no earlier night has vectors."),
        (
            "other base",
            "Drift: vectors could not be compared with the night of 27 December 2025",
            "Not compared: the night before has another base.",
        ),
    ],
)
def test_drift_says_when_there_is_nothing_to_compare(make_context: Make, story: str, title: str, note: str) -> None:
    page = page_of(make_context(), Story(drift=story))
    assert page.text("drift").startswith(title)
    assert note in page.text("drift")
    assert "drift: Vectors against those of an earlier night" not in page.tables
    assert "squared MMD" not in page.text("drift")
    before = page.tables["drift: Searches unlike those of training"][1][2:4]
    assert before == (["–", "–"] if story == "first night" else ["11.0%", "+1.3"])


def test_a_share_beyond_its_limit_is_marked(make_context: Make) -> None:
    def marks(share: float) -> list[str]:
        html = rendered(make_context(), Story(unseen_share=share))
        return re.findall(r'outcome worse">([^<]+)', html[html.index('id="drift"') : html.index('id="index"')])

    assert (marks(0.9), marks(0.91)) == ([], ["91.0%"])


def test_conversions_per_day_are_drawn_with_their_trend(make_context: Make) -> None:
    context = make_context()
    page = page_of(context)
    text = page.text("drift")
    assert "410 in the last week, 12.4% more than the 365 before; the trend is +3.8% a week." in text
    assert "At most 50% fewer are within the gate's limit" in text
    days = context.lake.read_table(context.read(DRIFT), "days")
    assert f"Conversions, 3 Nov: {days['conversion_count'][0]}" in text
    assert text.count("Conversions, ") == 56
    assert "Trend, " not in text
    assert f"From 2025-11-03 to 2025-12-28: between {days['conversion_count'].min()} and" in text
    short = page_of(make_context(), Story(day_count=1)).text("drift")
    assert "410 in the last week; the log is too short for more." in short


# -- what was shown ----------------------------------------------------------------------------------------


def test_what_was_shown_is_told_by_arm_and_by_place(make_context: Make) -> None:
    page = page_of(make_context())
    text = page.text("shown")
    assert text.startswith(
        "What was shown: 12.3% of the photos shown were taken 4,012 lists were shown from 2025-10-01"
    )
    counts = ["16,000", "900", "1,600", "1,500"]
    seconds = "12.3 11.5 to 13.2"
    assert page.tables["shown: By what made the list"][1:] == [
        ["All lists", "12.3% 11.3–13.3%", seconds, *counts],
        ["old", "15.0% 14.0–16.0%", seconds, *counts],
        ["new", "11.0% 10.0–12.0%", seconds, *counts],
    ]
    assert [row[:3] for row in page.tables["shown: By place in the list"][1:]] == [
        ["1", "20.0% 19.0–21.0%", "1.00 1.00 to 1.00"],
        ["2", "10.0% 9.0–11.0%", "0.84 0.75 to 0.94"],
        ["3", "7.0% 6.0–8.0%", "–"],
    ]


def test_without_a_log_of_what_was_shown_there_is_no_such_section(make_context: Make) -> None:
    page = page_of(make_context(), Story(has_shown=False, shown_note="there is no log"))
    assert "shown" not in page.sections
    assert {"href": "#shown"} not in [values for tag, values in page.tags if tag == "a"]


def test_places_that_cannot_be_told_say_why(make_context: Make) -> None:
    page = page_of(make_context(), Story(shown_note="nothing moved"))
    assert "Looked at: not told, as nothing moved." in page.text("shown")
    assert [row[2] for row in page.tables["shown: By place in the list"][1:]] == ["–"] * 3


# -- the contact sheet -------------------------------------------------------------------------------------


def test_similar_photos_are_measured_by_each_truth_for_itself(make_context: Make) -> None:
    page = page_of(make_context())
    text = page.text("similar")
    assert "5 hidden photos are left out" in text
    assert "14 photos repeat another" in text
    by_query, by_keywords = (
        page.tables[f"similar: Similar photos, {name}"] for name in ("taken for the same query", "shared keywords")
    )
    models = ["Zero-shot", "Fine-tuned", "Challenger,"]
    assert [row[0].split()[0] for row in by_query[1:]] == ["Random", "Converted", "Keywords", *models]
    assert [row[0].split()[0] for row in by_keywords[1:]] == ["Random", "Converted", *models]
    assert ["reads keywords" in row[0] for row in by_keywords[-2:]] == [True, False]
    assert "reads keywords" not in by_query[-2][0]
    assert by_query[6][-2].split()[0] == "+0.122"  # what the keywords of the photo searched with are worth
    assert "known by its picture alone, as one that somebody uploads" in text
    assert "“Challenger, searched with a file” knows those of the photos it finds" in text
    assert by_query[0][1] == "nDCG@10"
    assert by_query[2][1] == "0.403 0.363–0.443"
    assert by_query[2][-2].split()[0] == "−0.090"
    assert by_query[5][-2] == "–"
    assert text.count("Every metric at 1, 5, 10 and 25") == 3
    assert "“Fine-tuned + country + keywords” read the keywords that are asked about here" in text
    assert "1 query, keywords, collection" in text
    assert "2 +1 keywords" in text


def test_a_truth_with_too_few_photos_or_none_at_all_is_said_to_be(make_context: Make) -> None:
    few = page_of(make_context(), Story(similar="few"))
    assert "Not measured: 1 photo is too few." in few.text("similar")
    assert "similar: Similar photos, taken for the same query" not in few.tables
    assert "similar: Similar photos, same collection" in few.tables
    without = page_of(make_context(), Story(similar="left out"))
    assert (
        without.text("similar") == "Which photos are like this one? Not measured tonight: left out: query_count is 0."
    )


def test_recommendations_stand_by_method_group_and_protocol(make_context: Make) -> None:
    page = page_of(make_context())
    text = page.text("recommendations")
    assert "840 visitors who came in the test window" in text
    methods = page.tables["recommendations: Recommendations, method by method"]
    assert [row[0] for row in methods[1:]] == ["Random", "Popularity", "Mean embedding", "ALS", "Two towers"]
    assert methods[5][1] == "0.183 0.165–0.201"
    assert methods[3][7].split()[0] == "+0.031"
    assert methods[5][7] == "–"
    assert methods[5][9:] == ["25.0%", "0.500", "7.1", "4", "1 min 2 s", "0.2 s"]
    groups = page.tables["recommendations: Recommendations by group of visitors"]
    assert groups[0][1:] == ["All 840 visitors", "No photo before 840 visitors", "New photos only 840 visitors"]
    assert groups[-1] == ["Wins", *["Two towers; not told apart from ALS"] * 2, "none finds anything"]
    protocols = page.tables["recommendations: Recommendations by protocol"]
    assert protocols[-1][1:] == ["–", "0.617 / 0.679"]
    assert "It flatters" in text
    assert "Left out: “New visitors, new photos”: nobody to ask about; SASRec, “The night's own”" in text
    assert "Every metric at 10, 20, 50, 100" in text
    assert "Had before, latest first" in text
    without = page_of(make_context(), Story(recommends=False)).text("recommendations")
    assert without == "What would this visitor want next? Not measured tonight: left out: max_visitor_count is 0."


def test_the_contact_sheet_shows_both_arms_and_names_the_chosen_photo(make_context: Make) -> None:
    page = page_of(make_context(), Story(outcome="better"))
    text = page.text("examples")
    assert "“cat” GB" in text
    assert "“montaña nevada” ES" in text
    assert "chosen photo at place 1 " in text
    assert "chosen photo not among these: place 214 of 1,899" in text
    assert "chosen photo not among these: place 1,204 of 1,899" in text
    converted = [a for a in page.all("li") if a.get("class") == "converted"]
    assert len(converted) == 2  # each arm finds one of the two
    assert text.count("· chosen") == 2
    assert text.index("challenger") < text.index("Champion")


def test_every_image_is_a_small_inline_jpeg_with_a_description(make_context: Make) -> None:
    images = page_of(make_context()).all("img")
    assert len(images) > 30
    for image in images:
        head, _, data = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert max(picture.size) == 128 or picture.size == (120, 90)
        assert len(data) < 20_000
        assert image["alt"]
    alts = {image["alt"] for image in images}
    assert "red ball, number 0" in alts
    assert "photo photo-005, no description" in alts


def test_a_photo_without_image_is_shown_as_such(make_context: Make) -> None:
    searches = tuple((f"query {i}", "GB") for i in range(23))
    page = page_of(make_context(), Story(searches=searches))
    placeholders = [a for a in page.all("span") if a.get("class") == "no-image"]
    assert placeholders
    assert {a["aria-label"] for a in placeholders} == {"meadow, number 23, not shown: not_found"}


def test_an_image_that_vanished_stops_the_report(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    (Path(context.dataset_uri) / "photo-000.png").unlink()
    with pytest.raises(MissingInput, match=r"photo-000\.png is gone.*fetch_images"):
        build_report(Night.read(context))


# -- safe, self-contained, accessible ------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='alert(3) </style> javascript:alert(4) {{7*7}}"
)


def test_hostile_text_stays_text(make_context: Make) -> None:
    story = Story(searches=((HOSTILE, "<b>"), ("cat", "GB")), description=HOSTILE, countries=("<i>US", "GB"))
    context = make_context(git_version=HOSTILE)
    html = rendered(context, story)
    page = Page(html)
    assert {tag for tag, _ in page.tags} & {"script", "b", "i", "iframe", "object", "link"} == set()
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert f"“{HOSTILE}”" in page.text("examples")
    assert HOSTILE in {image["alt"] for image in page.all("img")}
    assert HOSTILE in page.text("run")
    assert html.count("</style>") == 1


def test_the_page_needs_nothing_from_outside(make_context: Make) -> None:
    html = rendered(make_context(), Story(outcome="better"))
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


def test_charts_and_tables_can_be_read_aloud(make_context: Make) -> None:
    context = make_context()
    earlier_nights(context, 2, Story())
    page = page_with_ablation(context)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawn = [a for a in page.all("svg") if a.get("role") == "img"]
    assert {a["aria-labelledby"].split("-title")[0] for a in drawn} == {
        *("verdict", "arms", "ablation", "validation", "loss", "base-loss", "conversions", "map", "history"),
        *("slice-country", "slice-photo-age", "slice-query-seen"),
        *("slice-query-frequency", "slice-query-trend", "slice-visitor", "slice-script"),
        *("similar-co-conversion", "similar-keywords", "similar-collections"),
        *("reranker-curve", "recommendations", "recommendation-loss"),
    }
    for chart in drawn:
        assert set(chart["aria-labelledby"].split()) <= set(ids)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attributes for attributes in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]


# -- history -----------------------------------------------------------------------------------------------


def test_the_first_night_says_that_there_is_no_history(make_context: Make) -> None:
    page = page_of(make_context())
    assert "This is the first night of this catalogue" in page.text("history")
    assert [row[0] for row in page.tables["history: Nights"][1:]] == ["2025-12-28 tonight"]


def test_history_shows_the_nights_so_far_newest_first_and_none_of_the_future(
    make_context: Make, logged: list[tuple[str, Any]]
) -> None:
    context = make_context()
    earlier_nights(context, 3, Story())
    commit_evaluation(make_context(run_date=date(2025, 12, 29)), Story())
    yesterday = make_context(run_date=date(2025, 12, 27))
    commit_night(yesterday)
    publish(yesterday)
    page = page_of(context)
    rows = page.tables["history: Nights"]
    nights = ["2025-12-28 tonight", "2025-12-27", "2025-12-26", "2025-12-25"]
    assert [row[0] for row in rows[1:]] == nights
    challenger = rows[0].index(ARMS[FULL].name)
    assert rows[1][challenger] == "70.4%"
    assert rows[4][challenger] == formats.percent(0.7042 * 0.97 + 0.0)
    assert {"href": "2025-12-27.html"} in page.all("a")
    assert {"href": "2025-12-26.html"} not in page.all("a")  # evaluated, but no report was committed
    assert "Fine-tuned + country + keywords, 28 Dec: 70.4%" in page.text("history")


def test_nights_of_another_protocol_are_not_in_the_history(make_context: Make) -> None:
    context = make_context()
    earlier_nights(context, 2, Story())
    page = page_of(context, Story(is_published_protocol=True))
    assert [row[0] for row in page.tables["history: Nights"][1:]] == ["2025-12-28 tonight"]
    assert "the first night of this catalogue by this protocol" in page.text("history")


# -- the stage ---------------------------------------------------------------------------------------------


def test_the_report_is_committed_logged_and_published(make_context: Make, logged: list[tuple[str, Any]]) -> None:
    context = make_context()
    commit_night(context)
    manifest = publish(context)
    html = context.lake.read_file(manifest, "report.html")
    folder = context.settings.report_dir / "test"
    assert (folder / "2025-12-28.html").read_bytes() == html
    assert (folder / "latest.html").read_bytes() == html
    assert (folder / "2025-12-28-data-docs" / "index.html").read_bytes() == b"<h1>docs</h1>"
    assert manifest.facts["outcome"] == "better"
    metrics = dict(logged)["evaluation"]
    assert metrics[f"{FULL}/hit_rate_at_10"] == pytest.approx(0.7042)
    assert metrics[f"{FULL}/by_query_ndcg_at_10"] == pytest.approx(0.7042 * 0.7 * BY_QUERY)
    assert len(metrics) == 2 * 7 * 28
    assert dict(logged)["0f1e2d3c4b5a69788796a5b4c3d2e1f0"] == html.decode()


def test_a_rerun_does_nothing_but_put_back_what_is_missing(make_context: Make, logged: list[tuple[str, Any]]) -> None:
    context = make_context()
    commit_night(context)
    first = publish(context)
    folder = context.settings.report_dir / "test"
    (folder / "latest.html").unlink()
    (folder / "2025-12-28.html").write_text("overwritten")
    (folder / "2025-12-28-data-docs" / "photos.html").unlink()
    (folder / "2025-12-28-data-docs" / "stray.html").write_text("of another run")
    kept = (folder / "2025-12-28-data-docs" / "index.html").stat().st_mtime_ns
    logged.clear()
    again = publish(make_context(run_id="again"))
    assert again == first
    assert logged == []
    html = context.lake.read_file(first, "report.html")
    assert (folder / "2025-12-28.html").read_bytes() == (folder / "latest.html").read_bytes() == html
    docs = folder / "2025-12-28-data-docs"
    assert sorted(path.name for path in docs.iterdir()) == ["index.html", "photos.html"]
    assert (docs / "index.html").stat().st_mtime_ns == kept


def test_after_an_ablation_the_same_night_is_published_again_with_it(
    make_context: Make, logged: list[tuple[str, Any]]
) -> None:
    context = make_context()
    manifests = commit_night(context)
    first = publish(context)
    compared = commit_ablation(context, manifests["splits"])
    logged.clear()
    later = make_context(run_id="ablation")
    second = publish(later)
    assert second.run_id != first.run_id
    assert second.input_runs["ablation"] == compared.reference
    html = later.lake.read_file(second, "report.html")
    folder = context.settings.report_dir / "test"
    assert (folder / "2025-12-28.html").read_bytes() == (folder / "latest.html").read_bytes() == html
    assert dict(logged)["0f1e2d3c4b5a69788796a5b4c3d2e1f0"] == html.decode()
    page = Page(html.decode())
    assert "ablation" in page.sections
    assert "all stages ran tonight" in page.text("verdict")  # of the night, which is not the ablation's run
    assert "Night test-night" in page.text("run")
    logged.clear()
    assert publish(make_context(run_id="once more")) == second
    assert logged == []
    commit_ablation(context, manifests["splits"], rates={**ABLATION_RATES, "softmax": 0.5})
    assert publish(later).run_id not in (first.run_id, second.run_id)


def test_an_older_night_does_not_become_the_latest(make_context: Make, logged: list[tuple[str, Any]]) -> None:
    for day in (date(2025, 12, 28), date(2025, 12, 27)):
        context = make_context(run_date=day)
        commit_night(context)
        publish(context)
    folder = make_context().settings.report_dir / "test"
    assert (folder / "latest.html").read_bytes() == (folder / "2025-12-28.html").read_bytes()
    assert (folder / "2025-12-27.html").exists()


def test_equal_inputs_give_the_same_bytes(make_context: Make, logged: list[tuple[str, Any]]) -> None:
    context = make_context()
    earlier_nights(context, 2, Story())
    commit_night(context, Story(outcome="better"))
    first = publish(context)
    context.lake.fs.rm(f"{context.lake.root}/{first.reference}", recursive=True)
    assert publish(context).digest == first.digest


def test_a_failure_to_log_commits_nothing(
    make_context: Make, logged: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionError("no MLflow")

    context = make_context()
    commit_night(context)
    monkeypatch.setattr(sys.modules["jobs.adapters.mlflow_registry"], "log_report", refuse)
    with pytest.raises(ConnectionError):
        publish(context)
    with pytest.raises(MissingInput):
        context.read(REPORT)
    assert not (context.settings.report_dir / "test").exists()


def test_another_run_of_an_input_with_the_same_content_makes_a_new_report(
    make_context: Make, logged: list[tuple[str, Any]]
) -> None:
    context = make_context()
    commit_night(context)
    first = publish(context)
    commit_night(make_context(code_version="newer"))  # the same bytes under other run ids
    assert publish(context).run_id != first.run_id


# -- what is missing is an error -----------------------------------------------------------------------------


def test_a_missing_input_is_named(make_context: Make) -> None:
    context = make_context()
    with pytest.raises(MissingInput, match="'validated'"):
        publish(context)
    commit_night(context)
    folder = f"{context.lake.root}/indexes/photo_index/run_date=2025-12-28"
    context.lake.fs.rm(f"{folder}/current.json")
    with pytest.raises(MissingInput, match="'photo_index'"):
        publish(context)


def test_a_missing_fact_names_the_run(make_context: Make) -> None:
    context = make_context()
    manifests = commit_night(context)
    night = Night.read(context)
    night.manifest(INDEX_CHECK).facts.pop("recall_at_10")
    with pytest.raises(MissingInput, match=r"index_check/.* has no fact 'recall_at_10'"):
        build_report(night)
    assert "recall_at_10" in manifests["index_check"].facts


def test_a_contact_sheet_without_ranks_is_refused(make_context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context()
    commit_night(context)
    read = Lake.read_table

    def read_without_ranks(lake: Lake, manifest: Any, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        frame = read(lake, manifest, table, columns)
        return frame.filter(pl.col("arm") != FULL) if table == "ranks" else frame

    monkeypatch.setattr(Lake, "read_table", read_without_ranks)
    with pytest.raises(MissingInput, match="2 rankings of the contact sheet have no rank"):
        build_report(Night.read(context))


def test_an_arm_that_was_not_evaluated_is_not_a_zero() -> None:
    metrics = Metrics(evaluation_tables(Story())["metrics"])
    with pytest.raises(MissingInput, match=r"no hit_rate@10 of arm 'champion'"):
        metrics.whole(CHAMPION_ARM)
    with pytest.raises(BadInput, match="no name for arm 'mystery'"):
        arm("mystery")


# -- numbers and charts --------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(4, 10))
def test_ticks_are_few_round_and_cover_the_values(low: float, span: float, most: int) -> None:
    ticks = charts.nice_ticks(low, low + span, most)
    slack = 1e-6 * max(1.0, abs(low), span)  # less than a pixel
    assert 2 <= len(ticks) <= most
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    steps = {round((b - a) / (ticks[1] - ticks[0]), 4) for a, b in itertools.pairwise(ticks)}
    assert steps == {1.0}


def test_marks_lie_where_their_values_are() -> None:
    mark = charts.Mark(0.5, 0.25, 1.0, "arm-x", "circle", "half")
    chart = charts.dot_chart("k", "t", "d", [charts.DotRow("row", "50%", "", (mark,))], str, include=(0.0,))
    placed = chart.rows[0].marks[0]
    ends = chart.ticks[0].at, chart.ticks[-1].at
    assert placed.x == pytest.approx(sum(ends) / 2)
    assert placed.high_x == ends[1]
    assert placed.low_x == pytest.approx(ends[0] + (ends[1] - ends[0]) / 4)


def test_a_line_goes_through_its_points_and_marks_the_best() -> None:
    series = charts.Series("a", "arm-x", ((0.0, 0.0), (1.0, 1.0), (2.0, 0.5)), best=1)
    chart = charts.line_chart(
        "k", "t", "d", [series], x_ticks=[(0, "0"), (2, "2")], x_label="x", format_tick=str, format_value=str
    )
    line = chart.series[0]
    assert [point.x for point in line.points] == [9.0, 53.25, 97.5]
    assert line.points[0].y == chart.axis_y
    assert line.best == line.points[1]
    assert line.best.note == "a, 1: 1.0"
    assert line.path == f"M9,{chart.axis_y:g} L53.25,{line.points[1].y:g} L97.5,{line.points[2].y:g}"


def test_one_night_later_the_champion_is_in_the_history(make_context: Make) -> None:
    context = make_context()
    commit_evaluation(make_context(run_date=context.run_date - timedelta(days=1)), Story())
    rows = page_of(context, replace(Story(), outcome="better")).tables["history: Nights"]
    assert rows[0][-1] == "Champion"
    assert [row[-1] for row in rows[1:]] == ["68.3%", "–"]


def test_the_map_shows_clusters_with_their_photos_and_what_was_tried(make_context: Make) -> None:
    page = page_of(make_context())
    text = page.text("map")
    assert "a sample of 24 photos of 1,898" in text
    assert "A new map: no earlier night has a map" in text
    sizes = page.tables["map: Clusters by size"][1:]
    assert [row[:3] for row in sizes] == [["1", "ball, red", "14"], ["2", "night sky", "6"]]
    tried = page.tables["map: Settings of clustering"][1:]
    assert ["taken" in row[0] for row in tried] == [False, True, False]
    assert tried[1][2:] == ["2", "17%", "55%", "0.310", "−0.123", "0.410", "51%"]
    assert tried[2][5:7] == ["–", "–"]
    spots = [tag for tag in page.all("span") if tag.get("class", "").startswith("spot")]
    assert len(spots) == 23  # the last photo has no picture
    assert len({tag["style"].split("--at:")[1] for tag in spots}) == 23
    assert len(page.all("circle")) >= 24
    tiles = [tag for tag in page.all("span") if tag.get("class", "").startswith("sheet-tile")]
    assert all(tag["role"] == "img" and tag["aria-label"] for tag in tiles)
    assert len(tiles) == 6 + 6 + 4


def test_a_map_of_an_earlier_night_says_what_was_laid_onto_it(make_context: Make) -> None:
    page = page_of(make_context(), Story(photo_map="projected"))
    text = page.text("map")
    assert (
        "The map of 2025-12-26: 18 photos lie where they lay, 6 that are new or have changed were laid onto it" in text
    )
    assert "one of 2025-12-26 keeps its number and colour: 1 do, 1 are new, 3 of that night are gone" in text
    assert [row[0] for row in page.tables["map: Clusters by size"][1:]] == ["1", "2 new"]


def test_a_night_without_a_map_has_no_such_section(make_context: Make) -> None:
    page = page_of(make_context(), Story(photo_map="left out"))
    assert "map" not in page.sections
    assert "#map" not in {link["href"] for link in page.all("a")}


def test_pictures_of_the_map_are_as_many_as_asked_for(make_context: Make) -> None:
    context = make_context()
    commit_night(context)
    html = render(build_report(Night.read(context), PublishReportParams(map_picture_count=0)))
    assert "sheet-tile words" in html
    assert "image/webp" not in html
