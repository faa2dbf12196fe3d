"""Kinds of index that are compared on demand: which are built, what each finds, and that nothing is committed."""

from __future__ import annotations

from datetime import date

import pytest

from jobs.config.params.index import BuildIndexParams
from jobs.context import RunContext
from jobs.errors import BadInput, MissingInput
from jobs.indexing.compare_kinds import compare_kinds
from jobs.nights.stage_runner import run_stage
from models.indexing.kinds import KINDS
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.index_lake import DIM, commit_inputs, photos_of


@pytest.fixture
def night(make_context: Contexts) -> RunContext:
    context = make_context()
    commit_inputs(context, photos_of(250))
    run_stage(context, "build_index", BuildIndexParams())
    return context


def rows_of(text: str) -> dict[str, list[str]]:
    """Return the table's rows by kind."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if row and row[0] in KINDS}


def test_kinds_are_built_from_the_nights_photos_and_measured_on_its_queries(night: RunContext) -> None:
    before = sorted(night.lake.fs.find(str(night.lake.root)))
    text = compare_kinds(night.settings, night.catalogue, night.run_date, ["hnsw", "flat", "opq_ivf_pq"])
    assert "250 photos, 4 validation queries" in text
    rows = rows_of(text)
    assert list(rows) == ["flat", "opq_ivf_pq", "hnsw"]
    assert rows["flat"][0] == rows["hnsw"][0] == "1.000"
    assert 0.2 < float(rows["opq_ivf_pq"][0]) < 1.0
    assert float(rows["opq_ivf_pq"][-1]) < float(rows["flat"][-1]) == pytest.approx(4 * 8 + 8, abs=1)
    assert sorted(night.lake.fs.find(str(night.lake.root))) == before


def test_all_kinds_of_the_latest_night_are_compared_unless_said_otherwise(night: RunContext) -> None:
    assert tuple(rows_of(compare_kinds(night.settings, night.catalogue, None))) == KINDS


def test_a_kind_that_learns_from_more_photos_than_there_are_is_left_out_by_name(make_context: Contexts) -> None:
    night = make_context()
    commit_inputs(night, photos_of(DIM - 1))
    run_stage(night, "build_index", BuildIndexParams())
    text = compare_kinds(night.settings, night.catalogue, None)
    assert list(rows_of(text)) == [kind for kind in KINDS if kind != "opq_ivf_pq"] + ["opq_ivf_pq"]
    assert rows_of(text)["opq_ivf_pq"] == f"is left out: it learns from {DIM} photos at least.".split()
    with raises(BadInput, "too_few_photos_for_kind", photo_count=DIM - 1, fewest={"opq_ivf_pq": DIM}):
        compare_kinds(night.settings, night.catalogue, None, ["flat", "opq_ivf_pq"])


def test_an_unknown_kind_and_a_night_without_an_index_are_refused(night: RunContext) -> None:
    with raises(BadInput, "no_such_kind", kinds=["annoy"]):
        compare_kinds(night.settings, night.catalogue, None, ["flat", "annoy"])
    with raises(MissingInput, "stage_not_run"):
        compare_kinds(night.settings, night.catalogue, date(2025, 12, 1))
    with raises(MissingInput, "no_night_yet"):
        compare_kinds(night.settings, "elsewhere", None)
