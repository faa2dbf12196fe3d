"""The leak audit: honest splits pass, and a planted leak of each kind makes it fail by that kind's name."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest

from jobs.config.params.ingest import EIGHTY_TWENTY, AuditLeaksParams, SplitTemporalParams
from jobs.context import RunContext
from jobs.datasets.features import LEAK_AUDIT, SPLITS, SplitsFacts
from jobs.datasets.schema import Dataset, Table
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import audit_leaks
from tests.conftest import Contexts, context_in
from tests.errors import raises
from tests.validated_lake import LOG_COLUMNS, commit_tables, commit_validated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.integration]

PARAMS = SplitTemporalParams(test_days=7, validation_days=3, train_days=30)
AUDIT = AuditLeaksParams()
AS_OF = datetime(2025, 12, 29, tzinfo=UTC)
TRAIN_DAY, VALIDATION_DAY, TEST_DAY = (AS_OF - timedelta(days=days) for days in (20, 9, 2))
CHECKS = ["windows", "timestamps", "corpus", "vocabularies", "histories", "statistics", "completeness"]

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
)
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
def night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A night whose splits are honest."""
    return make_night(tmp_path_factory.mktemp("audit"), PARAMS)


@pytest.fixture(scope="module")
def night_by_number(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The same by the protocol 80/20: train until VALIDATION_DAY, test from TEST_DAY on, all three photos."""
    return make_night(tmp_path_factory.mktemp("by_number"), BY_NUMBER)


def make_night(folder: Path, params: SplitTemporalParams) -> Night:
    ctx = context_in(folder)
    validated = commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    return Night(ctx, validated, run_stage(ctx, "split_temporal", params), params)


def plant(night: Night, tables: Tables, dataset: Dataset = SPLITS, **facts: Any) -> None:
    """Commit fabricated splits and make them current."""
    inputs = {"validated": night.validated}
    facts = night.splits.facts | facts
    commit_tables(night.ctx, dataset, tables, params=night.params, inputs=inputs, facts=facts)


def failed_checks(night: Night, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """Run the audit, which must fail and commit nothing; return the failed checks with their details."""
    before = night.ctx.lake.history(LEAK_AUDIT)
    with caplog.at_level(logging.INFO, "nightlens"), raises(GateFailed, "leak_found") as caught:
        run_stage(night.ctx, "audit_leaks", AUDIT)
    assert night.ctx.lake.history(LEAK_AUDIT) == before
    logged = [record.args for record in caplog.records if record.msg.startswith("audit ")]
    assert [finding["check"] for finding in logged] == CHECKS
    failed = {finding["check"]: finding["detail"] for finding in logged if finding["status"] == "failed"}
    assert caught.value.named["checks"] == list(failed)
    assert all(detail in str(caught.value) for detail in failed.values())
    return failed


def with_row(tables: Tables, split: str, *row: object) -> Tables:
    """Add one row to a split."""
    added = pl.DataFrame([row], schema=tables[split].schema, orient="row")
    return tables | {split: pl.concat([tables[split], added])}


@pytest.mark.quick
def test_honest_splits_pass_once(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.ctx.lake.point_to(night.splits)
    manifest = run_stage(night.ctx, "audit_leaks", AUDIT)
    findings = night.ctx.lake.read_table(manifest, "findings")
    assert findings["check"].to_list() == CHECKS
    assert set(findings["status"]) == {"passed"}
    assert findings["violation_count"].sum() == 0
    assert manifest.facts == {"check_count": 7, "violation_count": 0}
    monkeypatch.setattr(audit_leaks, "spark_session", None)
    assert run_stage(night.ctx, "audit_leaks", AUDIT) == manifest


def test_a_test_row_in_train_is_a_leak_of_time_and_history(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    plant(night, with_row(night.tables(), "train", "v1", "rocket", "GB", "new", TEST_DAY, 1, 1.0, "mobile", "all", 2))
    failed = failed_checks(night, caplog)
    assert failed["timestamps"] == "train row outside its window | v1 | rocket | GB | new | 2025-12-27 00:00:00"
    assert failed["histories"] == (
        "train row that the log of its window does not have | v1 | rocket | GB | new | 2025-12-27 00:00:00"
    )
    assert "query unknown in the training window | rocket" in failed["vocabularies"]
    assert "train row of a photo outside the corpus" in failed["corpus"]


def test_a_keyword_of_the_future_is_a_leak_of_vocabulary(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    tables = night.tables()
    photos = tables["photos"].with_columns(is_in_train=pl.lit(True))
    plant(night, tables | {"photos": photos})
    failed = failed_checks(night, caplog)
    assert set(failed) == {"vocabularies", "corpus"}
    assert failed["vocabularies"] == (
        "description unknown in the training window | a rocket; keyword unknown in the training window | rocket"
    )


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
        "statistics": "photos.stats_downloads is not a declared column; train row with conversion_count 3 | "
        "the log has 2 | v1 | cat | GB | old"
    }


def test_the_position_of_a_later_conversion_is_a_leak_of_history(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    tables = night.tables()
    first = (pl.col("visitor_id") == "v1") & (pl.col("position") == 9)
    train = tables["train"].with_columns(position=pl.when(first).then(1).otherwise("position").cast(pl.Int32))
    plant(night, tables | {"train": train})
    assert failed_checks(night, caplog) == {
        "histories": "train row with the device, filter or position of another conversion | v1 | cat | GB | old | "
        "2025-12-09 00:00:00"
    }


def test_independent_faults_are_each_named(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    tables = night.tables()
    lossy = tables | {"train": tables["train"].filter(pl.col("visitor_id") == "v1")}
    # no time or term gives it away
    forged = with_row(lossy, "train", "v1", "cat", "US", "old", TRAIN_DAY, 1, 1.0, None, None, None)
    late = pl.DataFrame([("late", AS_OF, "a comet", None, False)], schema=tables["photos"].schema, orient="row")
    photos = pl.concat([tables["photos"], late])
    plant(night, forged | {"photos": photos}, train_end=AS_OF.isoformat())
    assert failed_checks(night, caplog) == {
        "windows": "train_end is declared as 2025-12-29T00:00:00+00:00, should be 2025-12-19T00:00:00+00:00",
        "corpus": "photo submitted after the test window | late | 2025-12-29 00:00:00",
        "histories": "train row that the log of its window does not have | v1 | cat | US | old | 2025-12-09 00:00:00",
        "completeness": "conversion lost from train | v2 | cat | US | old",
    }


def test_honest_splits_by_number_pass_with_all_photos(night_by_number: Night) -> None:
    night = night_by_number
    night.ctx.lake.point_to(night.splits)
    assert [night.splits.facts[name] for name in ("train_end", "validation_end")] == [
        VALIDATION_DAY.isoformat(),
        TEST_DAY.isoformat(),
    ]
    assert "late" in set(night.tables()["photos"]["photo_id"])
    findings = night.ctx.lake.read_table(run_stage(night.ctx, "audit_leaks", AUDIT), "findings")
    assert findings["check"].to_list() == CHECKS
    assert set(findings["status"]) == {"passed"}


def test_a_leak_into_splits_by_number_is_found(night_by_number: Night, caplog: pytest.LogCaptureFixture) -> None:
    night = night_by_number
    tables = with_row(night.tables(), "train", "v1", "rocket", "GB", "new", TEST_DAY, 1, 1.0, "mobile", "all", 2)
    photos = tables["photos"].with_columns(is_in_train=pl.lit(True))  # a candidate, but unknown to training
    plant(night, tables | {"photos": photos}, train_end=AS_OF.isoformat(), protocol="windows")
    failed = failed_checks(night, caplog)
    assert set(failed) == set(CHECKS) - {"statistics", "completeness"}
    assert failed["windows"] == (
        f"train_end is declared as {AS_OF.isoformat()}, should be {VALIDATION_DAY.isoformat()}; "
        "protocol is declared as windows, should be 80/20"
    )
    assert failed["timestamps"] == "train row outside its window | v1 | rocket | GB | new | 2025-12-27 00:00:00"
    assert "train row that the log of its window does not have" in failed["histories"]
    assert failed["vocabularies"].split("; ") == [
        f"{kind} unknown in the training window | {term}"
        for kind, term in (("description", "a comet"), ("keyword", "comet"), ("query", "rocket"))
    ]
    assert failed["corpus"] == "photo with a wrong is_in_train | late | 2025-12-29 00:00:00"


def test_splits_of_other_tables_are_refused(spark: SparkSession, make_context: Contexts) -> None:
    ctx = make_context()
    first = commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    commit_tables(ctx, SPLITS, stale_tables(), params=PARAMS, inputs={"validated": first})
    commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS, label="newer")
    with raises(BadInput, "inputs_outdated", run=ctx.read(SPLITS).reference):
        run_stage(ctx, "audit_leaks", AUDIT)
    with raises(MissingInput, "stage_not_run", dataset="leak_audit"):
        ctx.read(LEAK_AUDIT)


def stale_tables() -> Tables:
    rows = CONVERSIONS.head(1)
    return {"train": rows, "validation": rows, "test": rows, "photos": PHOTOS.select("photo_id", "submitted_at")}
