"""Live yesterday: the release that the ledger names, asked the last day's searches, or why it was not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.config.params.evaluation import MeasureLiveParams
from jobs.context import RunContext
from jobs.datasets.features import SPLITS
from jobs.datasets.releases import LiveDayFacts
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.releasing import reader
from jobs.releasing.promotion import promote
from jobs.releasing.reader import open_release
from models.evaluation.ranking import NOT_FOUND
from models.rerank.live import Asked
from tests.conftest import Contexts
from tests.released import BY, Registry, commit_release, name_of, night, see_night
from tests.validated_lake import commit_tables

Search = tuple[str, str | None, str, float]
"""Visitor, country, photo, and hours since the day began."""


def commit_searches(context: RunContext, searches: Sequence[Search], validation_hours: float = -24) -> Manifest:
    """Commit the splits of a night; what lies before `validation_hours` of its last day is in the validation window."""
    day = context.as_of - timedelta(days=1)
    ends = {"train_start": -999, "train_end": -99, "validation_end": validation_hours, "test_end": 24}
    rows = pl.DataFrame(
        [
            {"visitor_id": who, "query": "cat", "country": country, "photo_id": photo_id, "hours": hours}
            for who, country, photo_id, hours in searches
        ],
        schema_overrides={"country": pl.String},
    )
    at = pl.lit(day) + pl.duration(seconds=pl.col("hours") * 3600)
    is_test = pl.col("hours") >= validation_hours
    tables = {
        name: rows.filter(wanted).select(pl.exclude("hours"), converted_at=at.dt.cast_time_unit("us"))
        for name, wanted in (("validation", ~is_test), ("test", is_test))
    }
    facts = {"protocol": "windows"} | {name: day + timedelta(hours=hours) for name, hours in ends.items()}
    return commit_tables(context, SPLITS, tables, facts=facts)


def measure(context: RunContext, **params: int) -> LiveDayFacts:
    return LiveDayFacts.of(run_stage(context, "measure_live", MeasureLiveParams(**params)))


@pytest.fixture
def release(make_context: Contexts, registry: Registry) -> Manifest:
    """The release of the first night, published after it."""
    first = make_context(run_date=night(1))
    made = commit_release(first, photos=30)
    see_night(first)
    promote(first.settings, "test", 1, **BY)
    return made


def test_the_live_release_is_asked_the_days_searches_as_a_site_asks_it(
    make_context: Contexts, release: Manifest
) -> None:
    context = make_context(run_date=night(2))
    opened = open_release(context.lake, name_of(release), with_model=True)
    shown = {country: [one.photo_id for one in opened.search([Asked("cat", country)], 30)[0]] for country in ("", "GB")}
    gb, anywhere = shown["GB"], shown[""]
    assert gb != anywhere
    searches = [
        ("ada", None, anywhere[3], 0.0),
        ("ada", "GB", gb[0], 1.0),
        ("bob", "GB", gb[9], 2.0),
        ("bob", "GB", gb[10], 3.0),
        ("cyd", "GB", gb[25], 4.0),  # beyond what is looked at
        ("cyd", "GB", "new", 23.999),
    ]
    commit_searches(context, [*searches, ("dan", "GB", gb[0], -0.001)])
    made = run_stage(context, "measure_live", MeasureLiveParams())
    ranks = context.lake.read_table(made, "ranks")
    assert ranks["photo_id"].to_list() == [photo_id for _, _, photo_id, _ in searches]
    assert ranks["rank"].to_list() == [4, 1, 10, 11, NOT_FOUND, NOT_FOUND]
    facts = LiveDayFacts.of(made)
    assert (facts.day, facts.release, facts.day_search_count, facts.note) == (night(2), name_of(release), 6, "")
    measured = facts.measured
    assert measured is not None
    assert (measured.search_count, measured.visitor_count) == (6, 3)
    assert measured.hit_rate_at_10 == pytest.approx(3 / 6)
    assert measured.unknown_photo_share == pytest.approx(1 / 6)
    assert 0 <= measured.low < measured.hit_rate_at_10 < measured.high <= 1


def test_of_more_searches_those_of_a_sample_of_visitors_are_asked(make_context: Contexts, release: Manifest) -> None:
    context = make_context(run_date=night(2))
    searches = [(f"visitor {number % 10}", "GB", "2025-12-01-1-0", number) for number in range(20)]
    commit_searches(context, [(who, country, photo, 0.1 * hours) for who, country, photo, hours in searches])
    facts = measure(context, max_search_count=7)
    assert facts.measured is not None
    assert (facts.day_search_count, facts.measured.search_count, facts.measured.visitor_count) == (20, 6, 3)


def test_a_day_in_which_a_window_ends_is_asked_as_a_whole(make_context: Contexts, release: Manifest) -> None:
    context = make_context(run_date=night(2))
    photo_id = "2025-12-01-1-0"
    searches = [("ada", "GB", photo_id, -1.0), ("ada", "GB", photo_id, 2.0), ("bob", "GB", photo_id, 13.0)]
    commit_searches(context, searches, validation_hours=12)
    assert measure(context).day_search_count == 2


def test_every_night_asks_the_release_that_was_live_when_it_ran(make_context: Contexts, release: Manifest) -> None:
    second, third = (make_context(run_date=night(day)) for day in (2, 3))
    for context in (second, third):
        commit_searches(context, [("ada", "GB", "2025-12-01-1-0", 1.0), ("bob", None, "2025-12-02-2-0", 1.0)])
    first_try = run_stage(second, "measure_live", MeasureLiveParams())
    see_night(second)
    commit_release(second, version=2, seed=1)
    promote(second.settings, "test", 2, **BY)
    commit_searches(second, [("ada", "GB", "2025-12-01-1-0", 1.0), ("bob", None, "2025-12-02-2-0", 1.0)])
    assert run_stage(second, "measure_live", MeasureLiveParams()) == first_try
    found = [measure(context) for context in (second, third)]
    assert [facts.release and facts.release.version for facts in found] == [1, 2]
    assert [facts.measured and facts.measured.unknown_photo_share for facts in found] == [0.5, 0.5]
    recomputed = second.model_copy(update={"code_version": "newer"})
    assert measure(recomputed) == found[0]


def test_a_night_without_a_published_release_says_so(make_context: Contexts, registry: Registry) -> None:
    context = make_context(run_date=night(2))
    commit_searches(context, [("ada", "GB", "a", 1.0)])
    made = run_stage(context, "measure_live", MeasureLiveParams())
    facts = LiveDayFacts.of(made)
    assert (facts.release, facts.measured, facts.day_search_count) == (None, None, 1)
    assert facts.note
    assert made.row_counts["ranks"] == 0


def test_a_release_that_knows_the_day_is_not_asked(make_context: Contexts, registry: Registry) -> None:
    context = make_context(run_date=night(1))
    commit_release(context)
    promote(context.settings, "test", 1, **BY)  # before any night had run
    commit_searches(context, [("ada", "GB", "2025-12-01-1-0", 1.0)])
    facts = measure(context)
    assert facts.release is not None
    assert facts.measured is None
    assert "2025-12-01" in facts.note


def test_a_day_without_searches_is_not_measured(make_context: Contexts, release: Manifest) -> None:
    context = make_context(run_date=night(2))
    commit_searches(context, [("ada", "GB", "2025-12-01-1-0", -1.0)])
    facts = measure(context)
    assert (facts.release, facts.measured, facts.day_search_count) == (name_of(release), None, 0)
    assert facts.note


def older_version(folder: Path, release: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DESCRIPTION_FILE", "not-there.json")


def changed(folder: Path, release: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = folder / release.reference / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"].pop("model/keywords.json")
    manifest.write_text(json.dumps(content))


def damaged(folder: Path, release: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / release.files["model/model.safetensors"].path
    path.write_bytes(path.read_bytes()[:-1] + b"\1")


def file_gone(folder: Path, release: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / release.files["search/search.json"].path).unlink()


def gone(folder: Path, release: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / release.reference)


def pointer_damaged(folder: Path, release: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    (pointer,) = folder.rglob("published/current.json")
    pointer.write_text("{")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (older_version, "earlier version"),
        (changed, "is not what was published"),
        (damaged, "SHA-256 differs"),
        (file_gone, "is gone"),
        (gone, "is not in"),
        (pointer_damaged, "is damaged"),
    ],
)
def test_a_release_that_cannot_be_opened_is_a_note_and_no_error(
    make_context: Contexts,
    release: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, Manifest, Any], None],
    reason: str,
) -> None:
    context = make_context(run_date=night(2))
    commit_searches(context, [("ada", "GB", "2025-12-01-1-0", 1.0)])
    spoil(Path(context.lake.root), release, monkeypatch)
    facts = measure(context)
    assert (facts.release, facts.measured) == (name_of(release), None)
    assert reason in facts.note
    assert not facts.note.endswith(".")
