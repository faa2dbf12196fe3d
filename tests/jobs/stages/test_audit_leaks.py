"""The leak audit: honest splits pass, and a planted leak of each kind makes it fail by that kind's name."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest

from jobs.auditing.facts import false_facts
from jobs.config.params.ingest import EIGHTY_TWENTY, AuditLeaksParams, MeasureImpressionsParams, SplitTemporalParams
from jobs.context import RunContext
from jobs.datasets.features import IMPRESSIONS, LEAK_AUDIT, SPLITS, SplitsFacts
from jobs.datasets.schema import Dataset, Table
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import audit_leaks
from jobs.stages.audit_leaks import CHECKS
from tests.conftest import Contexts, context_in
from tests.errors import raises
from tests.validated_lake import LOG_COLUMNS, commit_tables, commit_validated

PARAMS = SplitTemporalParams(test_days=7, validation_days=3, train_days=30)
AUDIT = AuditLeaksParams()
AS_OF = datetime(2025, 12, 29, tzinfo=UTC)
TRAIN_DAY, VALIDATION_DAY, TEST_DAY = (AS_OF - timedelta(days=days) for days in (20, 9, 2))

PHOTOS = pl.DataFrame(
    {
        "photo_id": ["old", "new", "late"],
        "submitted_at": [AS_OF - timedelta(days=90), VALIDATION_DAY - timedelta(hours=1), AS_OF],
        "description": ["a cat", "a rocket", "a comet"],
        "stats_downloads": [10, 20, 30],
    }
)
KEYWORDS = pl.DataFrame({"photo_id": ["old", "new", "late"], "keyword": ["cat", "rocket", "comet"], "confidence": 1.0})
CONVERSIONS = pl.DataFrame(
    [
        ("v1", "cat", "GB", "old", TRAIN_DAY, "mobile", "portrait", 9),
        ("v1", "cat", "GB", "old", TRAIN_DAY + timedelta(days=1), "desktop", "all", 1),
        ("v2", "cat", "US", "old", TRAIN_DAY, "mobile", "all", None),
        ("v2", "rocket", "US", "new", VALIDATION_DAY, None, None, None),
        ("v1", "rocket", "GB", "new", TEST_DAY, "mobile", "all", 2),
        ("v1", "cat", "GB", "old", TEST_DAY, "mobile", "all", 2),
        ("v3", "comet", "GB", "late", AS_OF, "mobile", "all", 2),
    ],
    schema=LOG_COLUMNS,
    orient="row",
).with_row_index("source_line")
Tables = dict[str, pl.DataFrame]


class Night(NamedTuple):
    ctx: RunContext
    validated: Manifest
    splits: Manifest
    params: SplitTemporalParams

    def tables(self) -> Tables:
        return {name: self.ctx.lake.read_table(self.splits, name) for name in self.splits.tables}


BY_NUMBER = SplitTemporalParams(protocol=EIGHTY_TWENTY, validation_share=0.2)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A night whose splits are honest."""
    return make_night(tmp_path_factory.mktemp("audit"), PARAMS)


@pytest.fixture(scope="module")
def night_by_number(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The same by the protocol 80/20: train until VALIDATION_DAY, test from TEST_DAY on, all three photos."""
    return make_night(tmp_path_factory.mktemp("by_number"), BY_NUMBER)


def make_night(folder: Path, params: SplitTemporalParams) -> Night:
    ctx = context_in(folder)
    validated = commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    splits = run_stage(ctx, "split_temporal", params)
    run_stage(ctx, "measure_impressions", MeasureImpressionsParams())
    return Night(ctx, validated, splits, params)


def plant(night: Night, tables: Tables, dataset: Dataset = SPLITS, **facts: Any) -> None:
    """Commit fabricated splits and make them current."""
    inputs = {"validated": night.validated}
    facts = night.splits.facts | facts
    splits = commit_tables(night.ctx, dataset, tables, params=night.params, inputs=inputs, facts=facts)
    commit_tables(night.ctx, IMPRESSIONS, inputs=inputs | {"splits": splits})


def failed_checks(night: Night, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Run the audit, which must fail and commit nothing; return the failed checks with their details."""
    before = night.ctx.lake.history(LEAK_AUDIT)
    with caplog.at_level(logging.INFO, "nightlens"), raises(GateFailed, "leak_found") as caught:
        run_stage(night.ctx, "audit_leaks", AUDIT)
    assert night.ctx.lake.history(LEAK_AUDIT) == before
    logged = [record.args for record in caplog.records if record.msg.startswith("audit ")]
    assert [finding["check"] for finding in logged] == list(CHECKS)
    failed = {finding["check"]: finding["detail"] for finding in logged if finding["status"] == "failed"}
    assert caught.value.named["checks"] == list(failed)
    assert all(detail in str(caught.value) for detail in failed.values())
    return failed


def with_row(tables: Tables, split: str, *row: object) -> Tables:
    """Add one row to a split."""
    added = pl.DataFrame([row], schema=tables[split].schema, orient="row")
    return tables | {split: pl.concat([tables[split], added])}


def test_honest_splits_pass_once(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(night, night.tables())
    manifest = run_stage(night.ctx, "audit_leaks", AUDIT)
    findings = night.ctx.lake.read_table(manifest, "findings")
    assert findings["check"].to_list() == list(CHECKS)
    assert set(findings["status"]) == {"passed"}
    assert findings["violation_count"].sum() == 0
    assert manifest.facts == {"check_count": 9, "violation_count": 0, "photo_count": 3, "compared_with": None}
    monkeypatch.setattr(audit_leaks, "query_engine", None)
    assert run_stage(night.ctx, "audit_leaks", AUDIT) == manifest


KEY = "visitor_id=v1, query=cat, country=GB, photo_id=old"
ROCKET = "visitor_id=v1, query=rocket, country=GB, photo_id=new"
ROCKET_ROW = "0, 2025-12-27 00:00:00, 1, null, mobile, all, 2"
CAT_ROW = "0, 2025-12-09 00:00:00, 1, null, null, null, null"


def test_a_test_row_in_train_is_a_leak_of_time_and_history(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    plant(
        night, with_row(night.tables(), "train", "v1", 0, "rocket", "GB", "new", TEST_DAY, 1, None, "mobile", "all", 2)
    )
    assert failed_checks(night, caplog) == {
        "timestamps": f"train has a row outside its window ({ROCKET_ROW}) | {ROCKET}",
        "histories": f"train has a row that the validated tables do not call for ({ROCKET_ROW}) | {ROCKET}",
    }


def test_words_of_the_future_are_leaks_of_vocabulary(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    tables = night.tables()
    photos = tables["photos"].with_columns(is_in_train=pl.lit(True))
    words = pl.DataFrame({"photo_id": ["old"], "keyword": ["rocket"], "confidence": [1.0]})
    plant(night, tables | {"photos": photos, "photo_keywords": pl.concat([tables["photo_keywords"], words])})
    assert failed_checks(night, caplog) == {
        "vocabularies": "photo_keywords has a row that the validated tables do not call for (1.0) | photo_id=old, "
        "keyword=rocket; photos.is_in_train is true, should be false | photo_id=new"
    }


def test_a_photographer_filled_with_what_is_counted_later_is_named(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    later = pl.col("photo_id").replace_strict({"old": "9", "new": "7"})
    photos = night.tables()["photos"].with_columns(photographer=later)
    plant(night, night.tables() | {"photos": photos})
    assert failed_checks(night, caplog) == {
        "vocabularies": "photos.photographer is 7, should be null | photo_id=new (2 such)"
    }


def test_doubled_keywords_and_removed_descriptions_are_named(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    tables = night.tables()
    keywords = pl.concat([tables["photo_keywords"]] * 2)
    photos = tables["photos"].with_columns(description=pl.lit(None, pl.String))
    plant(night, tables | {"photos": photos, "photo_keywords": keywords})
    assert failed_checks(night, caplog) == {
        "vocabularies": "photos.description is null, should be a rocket | photo_id=new (2 such)",
        "completeness": "photo_keywords has a row 2 times, the validated tables 1 times | photo_id=new, "
        "keyword=rocket (2 such)",
    }


def test_counts_over_the_whole_log_and_totals_of_the_dump_are_leaks_of_statistics(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    tables = night.tables()
    train = tables["train"].with_columns(
        conversion_count=pl.when(pl.col("visitor_id") == "v1").then(3).otherwise("conversion_count")
    )
    widened = tuple(
        Table(table.name, table.schema.append(pa.field("stats_downloads", pa.int64())), table.may_be_empty)
        if table.name == "photos"
        else table
        for table in SPLITS.tables
    )
    photos = tables["photos"].with_columns(stats_downloads=pl.lit(20))
    plant(night, tables | {"train": train, "photos": photos}, Dataset("splits", "features", widened, SplitsFacts))
    assert failed_checks(night, caplog) == {
        "statistics": "photos.stats_downloads is not a declared column; train.conversion_count is 3, should be 2 | "
        f"{KEY}"
    }


def test_the_position_of_a_later_conversion_is_a_leak_of_history(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    tables = night.tables()
    first = (pl.col("visitor_id") == "v1") & (pl.col("position") == 9)
    train = tables["train"].with_columns(position=pl.when(first).then(1).otherwise("position").cast(pl.Int32))
    plant(night, tables | {"train": train})
    assert failed_checks(night, caplog) == {"histories": f"train.position is 1, should be 9 | {KEY}"}


def test_independent_faults_are_each_named(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    tables = night.tables()
    lossy = tables | {"train": tables["train"].filter(pl.col("visitor_id") == "v1")}
    # no time or term gives it away
    forged = with_row(lossy, "train", "v1", 0, "cat", "US", "old", TRAIN_DAY, 1, None, None, None, None)
    late = pl.DataFrame([("late", AS_OF, "a comet", None, False)], schema=tables["photos"].schema, orient="row")
    photos = pl.concat([tables["photos"], late])
    plant(night, forged | {"photos": photos}, train_end=AS_OF.isoformat())
    assert failed_checks(night, caplog) == {
        "windows": "train_end is declared as 2025-12-29T00:00:00+00:00, should be 2025-12-19T00:00:00+00:00",
        "corpus": "photos has a row that the validated tables do not call for ("
        "2025-12-29 00:00:00, a comet, null, false) | photo_id=late",
        "histories": f"train has a row that the validated tables do not call for ({CAT_ROW}) | visitor_id=v1, "
        "query=cat, country=US, photo_id=old",
        "completeness": "train lacks a row (1, 2025-12-09 00:00:00, 1, null, mobile, all, null) | visitor_id=v2, "
        "query=cat, country=US, photo_id=old",
    }


FALSE_FACTS = {
    "protocol": EIGHTY_TWENTY,
    **dict.fromkeys(("train_start", "train_end", "validation_end", "test_end"), AS_OF + timedelta(days=1)),
    "shard_count": 2,
    "conversions": {},
    "photos_by_age": {},
    "max_ranked_searches": 5,
}


def test_every_false_fact_is_named(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    assert FALSE_FACTS.keys() == SplitsFacts.model_fields.keys()
    honest = SplitsFacts.of(night.splits)
    for name, value in FALSE_FACTS.items():
        faults = false_facts(honest.model_copy(update={name: value}), honest)
        assert {re.split("[. ]", fault.text)[0] for fault in faults} == {name}
    plant(night, night.tables(), shard_count=2, max_ranked_searches=5)
    assert failed_checks(night, caplog) == {
        "facts": "max_ranked_searches is declared as 5, should be 50000; shard_count is declared as 2, should be 8"
    }


def test_honest_splits_by_number_pass_with_all_photos(night_by_number: Night) -> None:
    night = night_by_number
    plant(night, night.tables())
    assert [night.splits.facts[name] for name in ("train_end", "validation_end")] == [
        VALIDATION_DAY.isoformat(),
        TEST_DAY.isoformat(),
    ]
    assert "late" in set(night.tables()["photos"]["photo_id"])
    findings = night.ctx.lake.read_table(run_stage(night.ctx, "audit_leaks", AUDIT), "findings")
    assert findings["check"].to_list() == list(CHECKS)
    assert set(findings["status"]) == {"passed"}


def test_a_leak_into_splits_by_number_is_found(night_by_number: Night, caplog: pytest.LogCaptureFixture) -> None:
    night = night_by_number
    tables = with_row(night.tables(), "train", "v1", 0, "rocket", "GB", "new", TEST_DAY, 1, None, "mobile", "all", 2)
    photos = tables["photos"].with_columns(is_in_train=pl.lit(True))  # a candidate, but unknown to training
    plant(night, tables | {"photos": photos}, train_end=AS_OF.isoformat(), protocol="windows")
    failed = failed_checks(night, caplog)
    assert set(failed) == {"windows", "timestamps", "histories", "vocabularies"}
    assert failed["windows"] == (
        "protocol is declared as windows, should be 80/20; "
        f"train_end is declared as {AS_OF.isoformat()}, should be {VALIDATION_DAY.isoformat()}"
    )
    assert failed["timestamps"] == f"train has a row outside its window ({ROCKET_ROW}) | {ROCKET}"
    assert failed["vocabularies"] == "photos.is_in_train is true, should be false | photo_id=late"


def test_splits_of_other_tables_are_refused(make_context: Contexts) -> None:
    ctx = make_context()
    first = commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    splits = commit_tables(ctx, SPLITS, stale_tables(), params=PARAMS, inputs={"validated": first})
    shown = commit_tables(ctx, IMPRESSIONS, inputs={"validated": first, "splits": splits})
    commit_validated(ctx, PHOTOS, CONVERSIONS.head(6), KEYWORDS)
    with raises(BadInput, "inputs_outdated", run=splits.reference):
        run_stage(ctx, "audit_leaks", AUDIT)
    with raises(MissingInput, "stage_not_run", dataset="leak_audit"):
        ctx.read(LEAK_AUDIT)
    ctx.lake.point_to(first)
    others = stale_tables() | {"test": CONVERSIONS.tail(1)}
    commit_tables(ctx, SPLITS, others, params=PARAMS, inputs={"validated": first})
    with raises(BadInput, "inputs_outdated", run=shown.reference):
        run_stage(ctx, "audit_leaks", AUDIT)


def test_splits_made_anew_with_the_same_rows_are_audited(night: Night) -> None:
    plant(night, night.tables())
    facts = night.splits.facts
    inputs = {"validated": night.validated}
    anew = commit_tables(
        night.ctx, SPLITS, night.tables(), label="anew", params=night.params, inputs=inputs, facts=facts
    )
    assert night.ctx.read(IMPRESSIONS).input_runs["splits"] != anew.reference
    never_asked = AuditLeaksParams(max_size_ratio=1.7)  # else the audit of the first would do
    assert run_stage(night.ctx, "audit_leaks", never_asked).facts["violation_count"] == 0


def stale_tables() -> Tables:
    rows = CONVERSIONS.head(1)
    return {"train": rows, "validation": rows, "test": rows, "photos": PHOTOS.select("photo_id", "submitted_at")}


def test_a_table_that_doubles_between_nights_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The keywords double: the splits, which have each once, show nothing of it."""
    photos = PHOTOS.head(2)
    keywords = pl.DataFrame({"photo_id": "old", "keyword": [f"word {n}" for n in range(30)], "confidence": 1.0})
    days = [AS_OF.date() - timedelta(days=back) for back in (2, 1)]
    first, second = (context_in(tmp_path, run_date=day) for day in days)
    for ctx, words in ((first, keywords), (second, pl.concat([keywords] * 2))):
        commit_validated(ctx, photos, CONVERSIONS, words)
        run_stage(ctx, "split_temporal", PARAMS)
        run_stage(ctx, "measure_impressions", MeasureImpressionsParams())
        if ctx is first:
            manifest = run_stage(ctx, "audit_leaks", AUDIT)
            details = dict(ctx.lake.read_table(manifest, "findings").select("check", "detail").rows())
            assert details["sizes"] == "a first night: nothing to compare with"
            sizes = {row[:2]: row[2] for row in ctx.lake.read_table(manifest, "sizes").rows()}
            known = ("conversions", None), ("conversions", "position"), ("photos", None), ("keywords", "keyword")
            assert [sizes[one] for one in known] == [6, 4, 2, 30]  # the seventh conversion is of a later day
    with caplog.at_level(logging.INFO, "nightlens"), raises(GateFailed, "odd_table_size", checks=["sizes"]) as caught:
        run_stage(second, "audit_leaks", AUDIT)
    assert "keywords has 60 rows for 2 photos, the last night had 30 for 2" in str(caught.value)
    manifest = run_stage(second, "audit_leaks", AuditLeaksParams(max_size_ratio=2.0))
    assert manifest.facts["compared_with"] == days[0].isoformat()
    assert manifest.input_runs["last_night"] == first.read(LEAK_AUDIT).reference
