"""Arms, variants, features and slices as the report names them, and when a difference is called clear."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from jobs.config.params.arms import ARMS as TRAINED
from jobs.config.params.arms import CHAMPION_ARM, COMPARED, RERANKED, VARIANTS, ZERO_SHOT
from jobs.datasets.evaluation import EvaluationFacts
from jobs.errors import BadInput, MissingInput
from jobs.report import charts
from jobs.report.names import ARMS, arm, variant
from jobs.report.names import FEATURES as FEATURE_NAMES
from jobs.report.names import VARIANTS as NAMED
from jobs.report.ranking import MOST_SEGMENTS, Metrics, slices
from models.rerank.features import FEATURES
from tests.errors import raises
from tests.jobs.report_fixtures import Story, evaluation_tables
from tests.made_up_facts import made_up


def test_every_arm_that_can_be_trained_has_a_name_and_a_colour_of_its_own() -> None:
    style = (Path(charts.__file__).parent / "style.css").read_text()
    colours = re.findall(r"^\.(arm-[a-z0-9-]+) \{ --c: var\((--[a-z0-9-]+)\); \}$", style, re.MULTILINE)
    assert set(TRAINED) < set(ARMS)
    assert {one.css for one in ARMS.values()} == {css for css, _ in colours}
    assert len({variable for _, variable in colours}) == len(colours) == len(ARMS)
    for _, variable in colours:
        assert style.count(f"{variable}: #") == 3  # light, dark, print


def test_every_variant_has_a_name_and_a_meaning_people_understand() -> None:
    assert set(NAMED) == {ZERO_SHOT, *VARIANTS, RERANKED} == set(COMPARED)
    shown = [(one.name, one.meaning) for one in NAMED.values()]
    assert len({name for name, _ in shown}) == len({meaning for _, meaning in shown}) == len(shown)
    assert not [text for pair in shown for text in pair if "_" in text]
    assert all(meaning.endswith(".") and len(meaning) < 120 for _, meaning in shown)


def test_every_feature_has_a_name_people_understand() -> None:
    assert set(FEATURE_NAMES) == set(FEATURES)
    names = FEATURE_NAMES.values()
    assert len(set(names)) == len(names)
    assert not [name for name in names if "_" in name]


def test_what_has_no_name_is_refused() -> None:
    for name in (arm, variant):
        with raises(BadInput, "no_name_in_report", key="mystery"):
            name("mystery")


def test_an_arm_that_was_not_evaluated_is_not_a_zero() -> None:
    metrics = Metrics(evaluation_tables(Story())["metrics"])
    with raises(MissingInput, "no_such_figure", arm=CHAMPION_ARM):
        metrics.whole(CHAMPION_ARM)


def test_of_many_countries_those_with_most_searches_are_drawn_and_the_others_folded() -> None:
    tables = evaluation_tables(Story(outcome="better"))
    metrics = tables["metrics"]
    names = [f"C{i:03}" for i in range(40)]
    countries = [
        metrics.filter(segment="US").with_columns(segment=pl.lit(name), query_count=pl.lit(1000 - i))
        for i, name in enumerate(names)
    ]
    all_rows = pl.concat([metrics.filter(segment_kind="all"), *countries], how="vertical_relaxed")
    facts = made_up(EvaluationFacts, rival=CHAMPION_ARM)
    (found,) = slices(Metrics(all_rows), tables["segment_comparisons"], RERANKED, facts)
    assert [row["name"] for row in found["rows"]] == names[:MOST_SEGMENTS]
    assert [row["name"] for row in found["more_rows"]] == names[MOST_SEGMENTS:]
    assert len(found["chart"].rows) == MOST_SEGMENTS
