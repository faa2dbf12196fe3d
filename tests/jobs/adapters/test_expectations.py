"""Suites and verdicts: conditions name the rows that fail, limits hold, pages are whole, safe and repeatable."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs.adapters.expectations import SUITE_FOLDER, Inspector, load_suite, render_index, render_page
from jobs.errors import BadInput, NightlensError
from jobs.ingest.layout import LAYOUT
from tests.errors import raises

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ATTACK = "<script>alert('x')</script><img src=x onerror=alert(1)>"
ROWS = [(1, "cat", True), (2, None, True), (3, ATTACK, True), (4, 'it\'s \\d+ "quoted"', False), (-5, "dog", None)]
PARAMETERS = {"min_share": 0.7, "largest": 3}


def expectation(kind: str, column: str, reason: str, severity: str = "quarantine", **kwargs: Any) -> dict[str, Any]:
    return {
        "type": f"expect_column_{kind}",
        "kwargs": {"column": column, "mostly": {"$PARAMETER": "min_share"}, **kwargs},
        "meta": {"reason": reason, "severity": severity},
    }


SUITE = [
    expectation("values_to_not_be_null", "word", "null_word"),
    expectation("values_to_match_regex", "word", "odd_word", "critical", regex=r"\A[a-z]+\z"),
    expectation("values_to_be_between", "n", "large", "warn", max_value={"$PARAMETER": "largest"}),
    expectation("values_to_be_between", "n", "small", "critical", min_value=0),
    expectation("values_to_be_in_set", "flag", "not_so", value_set=[True]),
    expectation("value_lengths_to_be_between", "word", "long", max_value=20),
]


@pytest.fixture
def write_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def write(expectations: list[dict[str, Any]]) -> None:
        suite = {"name": "things", "expectations": expectations}
        (tmp_path / "things.json").write_text(json.dumps(suite))
        monkeypatch.setattr("jobs.adapters.expectations.SUITE_FOLDER", tmp_path)

    return write


def inspector() -> Inspector:
    return Inspector("a night", datetime(2025, 12, 29, tzinfo=UTC))


@pytest.mark.integration
@pytest.mark.spark
def test_conditions_name_the_rows_that_fail_and_limits_are_kept(spark: SparkSession, write_suite: Any) -> None:
    write_suite(SUITE)
    frame = spark.createDataFrame(ROWS, "n int, word string, flag boolean")
    verdict = inspector().inspect("things", frame, PARAMETERS)
    failing = {r.reason: [row["n"] for row in frame.where(r.condition).collect()] for r in verdict.rules}
    assert failing == {"null_word": [2], "odd_word": [3, 4], "large": [4], "small": [-5], "not_so": [4], "long": [3]}
    assert {r.reason: r.failed_count for r in verdict.rules} == {reason: len(ns) for reason, ns in failing.items()}
    # odd_word: 2 of 4 words; large and small: 1 of 5; not_so and long: 1 of 4. At least 0.7 must be right.
    assert [r.reason for r in verdict.rules if not r.is_met] == ["odd_word"]
    assert [r.reason for r in verdict.broken] == ["odd_word"]


@pytest.mark.integration
@pytest.mark.spark
def test_pages_are_whole_safe_and_the_same_every_time(spark: SparkSession, write_suite: Any) -> None:
    write_suite(SUITE)
    frame = spark.createDataFrame(ROWS, "n int, word string, flag boolean")
    samples = [[], [ATTACK], ["4"], ["-5"], ["false"], [ATTACK]]
    pages = []
    for _ in range(2):
        verdict = inspector().inspect("things", frame, PARAMETERS)
        counts = dict.fromkeys(("input", "clean", "quarantined", "unreadable", "repaired"), 1234)
        pages.append(render_page(verdict, samples) + render_index([verdict], {"things": counts}, "A & B"))
    assert pages[0] == pages[1]
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:|//)""", pages[0])
    assert "<script" not in pages[0]
    assert pages[0].count("default-src 'none'") == 2  # no inline script or handler runs in either page
    for text in ("values must match this regular expression", "1,234", "A &amp; B", "odd_word", "2025-12-29"):
        assert text in pages[0]


@pytest.mark.spark
def test_an_expectation_that_is_not_about_rows_is_refused(spark: SparkSession, write_suite: Any) -> None:
    write_suite([expectation("values_to_not_be_null", "no_such_column", "none")])
    frame = spark.createDataFrame(ROWS, "n int, word string, flag boolean")
    rule = "expect_column_values_to_not_be_null"
    with raises(NightlensError, "rule_not_of_rows", table="things", rule=rule, column="no_such_column"):
        inspector().inspect("things", frame, PARAMETERS)


@pytest.mark.parametrize("meta", [{}, {"reason": "x"}, {"reason": "x y", "severity": "warn"}, {"severity": "critical"}])
def test_an_expectation_needs_a_reason_and_a_severity(write_suite: Any, meta: dict[str, str]) -> None:
    write_suite([SUITE[0] | {"meta": meta}])
    with raises(BadInput, "incomplete_rule", rule="expect_column_values_to_not_be_null", column="word"):
        load_suite("things")


def test_every_table_has_a_suite_and_its_folder_is_no_package() -> None:
    assert {path.stem for path in SUITE_FOLDER.glob("*.json")} == set(LAYOUT)
    assert not (SUITE_FOLDER / "__init__.py").exists()
    for table in LAYOUT:
        rules = load_suite(table)["expectations"]
        keys = [(rule["type"], rule["kwargs"]["column"], rule["meta"]["reason"]) for rule in rules]
        assert len(keys) == len(set(keys))
        assert all("mostly" in rule["kwargs"] for rule in rules if rule["meta"]["severity"] != "warn")
