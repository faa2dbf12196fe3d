"""Verdicts: the sample's rows are compared one by one, counts are the whole table's, pages are whole and safe."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from jobs.adapters.expectations import Counted, Inspector, Verdict, render_index, render_page
from jobs.errors import NightlensError
from jobs.ingest.rules import Rule, failures
from tests.errors import raises

ATTACK = "<script>alert('x')</script><img src=x onerror=alert(1)>"
SAMPLE = pl.DataFrame(
    {
        "n": [1, 2, 3, 4, -5],
        "word": ["cat", None, ATTACK, 'it\'s \\d+ "quoted"', "dog"],
        "flag": [True, True, True, False, None],
        "at": [datetime(2025, 12, day, tzinfo=UTC) for day in (1, 2, 3, 4, 5)],
    }
)


def rule_of(kind: str, column: str, reason: str, severity: Any = "quarantine", **kwargs: Any) -> Rule:
    is_of_night = column == "at"
    notes = (f"Of {ATTACK}",) if reason == "long" else ()
    return Rule("things", reason, severity, column, f"expect_column_{kind}", kwargs, 0.7, column, is_of_night, notes)


RULES = [
    rule_of("values_to_not_be_null", "word", "null_word"),
    rule_of("values_to_match_regex", "word", "odd_word", "critical", regex=r"\A[a-z]+\z"),
    rule_of("values_to_be_between", "n", "large", "warn", max_value=3),
    rule_of("values_to_be_between", "n", "small", "critical", min_value=0),
    rule_of("values_to_be_in_set", "flag", "not_so", value_set=[True]),
    rule_of("value_lengths_to_be_between", "word", "long", max_value=20),
    rule_of("values_to_be_between", "at", "late", max_value="2025-12-05", strict_max=True),
]
FAILED = SAMPLE.select(failures(RULES, SAMPLE.schema))
COUNTED = [Counted(FAILED[str(n)].sum(), SAMPLE[rule.column].null_count()) for n, rule in enumerate(RULES)]
COUNTS = dict.fromkeys(("input", "clean", "quarantined", "unreadable", "repaired"), 1234)


def inspect(**changed: Any) -> Verdict:
    given = {"rules": RULES, "sample": SAMPLE, "failed": FAILED, "row_count": len(SAMPLE), "counted": COUNTED}
    return Inspector("a night", datetime(2025, 12, 29, tzinfo=UTC)).inspect("things", **(given | changed))


def test_a_verdict_says_which_rules_too_many_rows_fail() -> None:
    verdict = inspect()
    assert [(rule.reason, rule.failed_count) for rule in verdict.rules] == [
        ("null_word", 1),
        ("odd_word", 2),
        ("large", 1),
        ("small", 1),
        ("not_so", 1),
        ("long", 1),
        ("late", 1),
    ]
    # odd_word: 2 of 4 words; large and small: 1 of 5; not_so and long: 1 of 4. At least 0.7 must be right.
    assert [rule.reason for rule in verdict.rules if not rule.is_met] == ["odd_word"]
    assert [rule.reason for rule in verdict.broken] == ["odd_word"]
    assert [found.expectation_config.meta["reason"] for found in verdict.result.results] == [r.reason for r in RULES]


@pytest.mark.parametrize("number", range(len(RULES)))
@pytest.mark.parametrize("row", [0, 1, 4])
def test_a_row_that_the_library_judges_otherwise_is_an_error(number: int, row: int) -> None:
    turned = FAILED.with_columns(pl.col(str(number)) ^ (pl.int_range(pl.len()) == row))
    column = RULES[number].column
    with raises(
        NightlensError, "engines_disagree", table="things", column=column, reason=RULES[number].reason
    ) as error:
        inspect(failed=turned)
    assert error.value.named["value"] == repr(SAMPLE[column][row])


def test_a_rule_that_the_library_cannot_evaluate_is_an_error() -> None:
    with raises(NightlensError, "rule_not_of_rows", table="things", column="word"):
        inspect(sample=SAMPLE.drop("word"))


# Of 1,000 rows, 100 without a value: 0.7 of 900 must be right, and of all 1,000 where null is the fault.
@pytest.mark.parametrize(("failed", "is_met"), [(0, True), (270, True), (271, False), (900, False)])
def test_counts_and_limits_are_those_of_the_whole_table(failed: int, is_met: bool) -> None:
    verdict = inspect(row_count=1000, counted=[Counted(300, 300), *[Counted(failed, 100)] * 6])
    assert [rule.is_met for rule in verdict.rules] == [True, *[is_met] * 6]
    assert verdict.result.success == is_met
    assert verdict.result.statistics["successful_expectations"] == (7 if is_met else 1)
    assert verdict.result.results[0].result == {
        "element_count": 1000,
        "unexpected_count": 300,
        "unexpected_percent": pytest.approx(30),
    }
    assert verdict.result.results[1].success == is_met
    assert verdict.result.results[1].result == {
        "element_count": 1000,
        "unexpected_count": failed,
        "unexpected_percent": pytest.approx(failed / 9),
        "missing_count": 100,
        "missing_percent": 10,
        "unexpected_percent_total": failed / 10,
        "unexpected_percent_nonmissing": pytest.approx(failed / 9),
    }


def test_new_rows_have_a_verdict_of_their_own() -> None:
    new = [Counted(0, 0), Counted(5, 10), *[Counted(0, 20)] * 5]
    counted = [Counted(30, 30), Counted(100, 30), *[Counted(0, 100)] * 5]
    verdict = inspect(row_count=1000, counted=counted, new_row_count=20, new_counted=new)
    assert [(rule.new_failed_count, rule.is_met, rule.is_met_by_new) for rule in verdict.rules] == [
        (0, True, True),
        (5, True, False),  # 5 of 10 words
        *[(0, True, True)] * 5,
    ]
    assert verdict.new_row_count == 20
    assert verdict.broken == []
    page = render_page(verdict, [[] for _ in RULES])
    assert "The table has 1,000 readable rows; 20 of them are new." in page
    index = render_index([verdict], {"things": COUNTS}, "A night")
    line = next(line for line in index.split("<tr>") if "odd_word" in line)
    assert re.findall(r"<td[^>]*>([^<]*)</td>", line) == ["odd_word", "word", "100", "5", "critical", "yes", "no"]


def test_without_word_of_new_rows_all_are_new() -> None:
    verdict = inspect()
    assert verdict.new_row_count == len(SAMPLE)
    assert all((r.new_failed_count, r.is_met_by_new) == (r.failed_count, r.is_met) for r in verdict.rules)


def test_a_table_without_rows_meets_every_rule() -> None:
    verdict = inspect(sample=SAMPLE.clear(), failed=FAILED.clear(), row_count=0, counted=[Counted(0, 0)] * 7)
    assert all(rule.is_met and rule.is_met_by_new for rule in verdict.rules)
    assert verdict.result.success
    assert "things" in render_page(verdict, [[] for _ in RULES])


def test_pages_are_whole_safe_and_the_same_every_time() -> None:
    samples = [[], [ATTACK], ["4"], ["-5"], ["false"], [ATTACK], []]
    pages = []
    for _ in range(2):
        verdict = inspect(row_count=56_789)
        pages.append(render_page(verdict, samples) + render_index([verdict], {"things": COUNTS}, "A & B"))
    assert pages[0] == pages[1]
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:|//)""", pages[0])
    assert "<script" not in pages[0]
    assert pages[0].count("default-src 'none'") == 2  # no inline script or handler runs in either page
    for text in (
        "values must match this regular expression",
        "1,234",
        "56,789 readable rows",
        "A &amp; B",
        "odd_word",
        "2025-12-29",
    ):
        assert text in pages[0]
