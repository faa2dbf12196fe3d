"""Rules on columns: Polars and Great Expectations agree row by row, on values that are odd on purpose."""

from __future__ import annotations

import itertools
import json
import pickle
import re
import sys
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.adapters.expectations import Counted, Inspector, Verdict, python_regex
from jobs.errors import BadInput, NightlensError
from jobs.ingest.layout import LAYOUT, PHOTO_ID_PATTERN
from jobs.ingest.rules import SUITE_FOLDER, Rule, fails, failures, load_rules, load_suite
from tests.errors import raises

END = datetime(2025, 12, 3, tzinfo=UTC)
PARAMETERS: dict[str, object] = {
    "min_good_share": 0.98,
    "min_critical_share": 0.95,
    "min_photo_share": 0.9,
    "data_end": END.date().isoformat(),
    "photo_id_pattern": PHOTO_ID_PATTERN,
    "conversion_types": ["search", "download", "it's"],
    "devices": ["desktop", "mobile"],
    "orderings": ["relevance", "latest"],
}
ODD = [
    "a", "", " ", "  ", "\t", "\n", "\r", "\x0b", "\x1c", "\x1f", "\x85", "\xa0", "\u3000", "\u2003", "\ufeff",
    "\u200b",
    "a ", " a", "a\n", "\na", "a\r\n", "a\nb", "a\0b", "\x7f", "\x9f", "a\u202eb", "\u2066a\u2069", "\u200fa",
    "a\u00ad",
    "FFaa00", "ffaa00\n", "FFAA0", "FFAA000", "GFAA00", "\uff21\uff21\uff21\uff21\uff21\uff21", "٠٠٠٠٠٠",
    "https://a", "http://", "HTTP://a", " https://a", "a\nhttps://b", "httpss://", "ftp://a",
    "é", "e\u0301", "हिन्दी", "หนึ่ง", "写真", "𠀀", "\U0001f600", "\U0001f468\u200d\U0001f469", "\ue000", "\U000f0000",
    "\U0010ffff", "\u0378", "\U0001fae8", "²", "Ⅷ", "①", "_", "a_b-c.d:e f", "a,b", "a\\z", "it's", 'a "b"', "<b>",
    "None",
    "nan", "null", "True", "search", "Search", "download ", "desktop", "latest", "US", "us", "XX", "collection",
    "shown",
    "landscape", *("x" * n for n in (63, 64, 65, 127, 128, 129, 255, 256, 257)), "𠀀" * 64, "\U0001f600" * 128,
    "e\u0301" * 128, "\U0001f600" * 257, "x" * 127 + " ", "x" * 128 + "\n",
]  # fmt: skip
LAST = END + timedelta(days=9000)
TIMES = [
    END - timedelta(days=90_000),
    *(at + timedelta(microseconds=n) for at in (END, LAST) for n in (-1, 0, 1, 1000)),
]
INTS = [0, 1, -1, 255, 256, -(2**31), 2**31 - 1]
FLOATS = [
    0.0,
    -0.0,
    1.0,
    100.0,
    86400.0,
    -1e-300,
    1 + 2e-16,
    100.0000001,
    86400.5,
    1e308,
    *map(float, ("nan", "inf", "-inf")),
]
INT_COLUMNS = {"width", "height", "stats_views", "stats_downloads", "darkest_channel", "brightest_channel"}


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    """Return an inspector that has run once: the library's first run is slow."""
    found = Inspector("a night", END)
    judged_by_both(found, [rule_of("values_to_not_be_null")], pl.DataFrame({"x": [1, None]}))
    return found


def rule_of(expectation: str, column: str = "x", **kwargs: Any) -> Rule:
    return Rule("things", "odd", "warn", column, f"expect_column_{expectation}", kwargs, 0.5, column, is_of_night=False)


def odd_values(rules: list[Rule], column: str) -> pl.Series:
    """Return odd values for a column, of the type that its rules are about."""
    asked = [rule for rule in rules if rule.column == column]
    between = [rule for rule in asked if rule.expectation == "expect_column_values_to_be_between"]
    sets = [rule.kwargs["value_set"] for rule in asked if "value_set" in rule.kwargs]
    if any(isinstance(value, bool) for one in sets for value in one):
        return pl.Series([True, False, None], dtype=pl.Boolean)
    if any(rule.is_of_night for rule in between):
        return pl.Series([*TIMES, None], dtype=pl.Datetime("us", "UTC"))
    if between:
        values, kind = (INTS, pl.Int32()) if column in INT_COLUMNS else (FLOATS, pl.Float64())
        return pl.Series([*values, None], dtype=kind, strict=False)
    return pl.Series([*ODD, *itertools.chain(*sets), None], dtype=pl.String)


def frame_of(columns: dict[str, pl.Series]) -> pl.DataFrame:
    """Return the columns, each begun anew until all are as long as the longest."""
    height = max(map(len, columns.values()))
    return pl.DataFrame({name: one.gather([i % len(one) for i in range(height)]) for name, one in columns.items()})


def judged_by_both(inspector: Inspector, rules: list[Rule], frame: pl.DataFrame) -> tuple[pl.DataFrame, Verdict]:
    """Return the rows that fail each rule, and the verdict; `NightlensError` if the two disagree of a row."""
    failed = frame.select(failures(rules, frame.schema))
    counted = [Counted(failed[str(number)].sum(), frame[rule.column].null_count()) for number, rule in enumerate(rules)]
    return failed, inspector.inspect(rules[0].table, rules, frame, failed, len(frame), counted)


@pytest.mark.parametrize("table", LAYOUT)
def test_both_libraries_judge_every_row_of_odd_values_alike(inspector: Inspector, table: str) -> None:
    rules = load_rules(table, PARAMETERS)
    frame = frame_of({column: odd_values(rules, column) for column in sorted({rule.column for rule in rules})})
    failed, verdict = judged_by_both(inspector, rules, frame)
    assert failed.null_count().sum_horizontal().item() == 0
    for number, outcome in enumerate(verdict.rules):
        assert 0 < outcome.failed_count == failed[str(number)].sum() < len(frame), outcome
        nulls = frame[outcome.column].is_null()
        assert failed[str(number)].filter(nulls).all() == outcome.expectation.endswith("not_be_null")


def test_every_limit_means_the_same_to_both(inspector: Inspector) -> None:
    frame = frame_of(
        {
            "int": pl.Series([*INTS, 2**53 + 1, None], dtype=pl.Int64),
            "float": pl.Series([*FLOATS, None], dtype=pl.Float64),
            "time": pl.Series([*TIMES, None], dtype=pl.Datetime("us", "UTC")),
            "milli": pl.Series([*TIMES, None]).cast(pl.Datetime("ms", "UTC")),
            "naive": pl.Series([*TIMES, None], dtype=pl.Datetime("us", "UTC")).dt.replace_time_zone(None),
            "text": pl.Series([*ODD, None]),
        }
    )
    days = END.date().isoformat(), LAST.isoformat()
    limits: dict[str, tuple[Any, Any]] = {"int": (1, 255), "float": (0, 100.0), "time": days, "text": (1, 64)}
    rules = []
    for column, (least, most) in limits.items():
        kind = "value_lengths_to_be_between" if column == "text" else "values_to_be_between"
        for strict in itertools.product([{}, {"strict_min": True}], [{}, {"strict_max": True}]):
            ends = [{"min_value": least}, {"max_value": most}, {"min_value": least, "max_value": most}]
            rules += [rule_of(kind, column, **end, **strict[0], **strict[1]) for end in ends]
    for column, least in itertools.product(("milli", "naive"), (days[0], END, END.date(), "2025-12-03T00:00:00")):
        rules.append(rule_of("values_to_be_between", column, min_value=least, max_value=days[1], strict_max=True))
    failed, _ = judged_by_both(inspector, rules, frame)
    sums = [failed[str(number)].sum() for number in range(len(rules))]
    assert all(0 < count < len(frame) for count in sums)
    assert failed["2"].sum() < failed["5"].sum()  # a strict limit leaves its own value out


@pytest.mark.parametrize("values", [[], [None, None]])
def test_of_no_values_every_rule_is_met(inspector: Inspector, values: list[None]) -> None:
    rules = [rule for rule in load_rules("impressions", PARAMETERS) if not rule.expectation.endswith("not_be_null")]
    kinds = {rule.column: odd_values(rules, rule.column).dtype for rule in rules}
    frame = pl.DataFrame(dict.fromkeys(kinds, values), schema=kinds)
    failed, verdict = judged_by_both(inspector, rules, frame)
    assert all(rule.is_met and rule.failed_count == 0 for rule in verdict.rules)
    assert not failed.select(pl.any_horizontal(pl.all())).to_series().any()


def test_nan_lies_between_no_limits_and_null_is_no_value() -> None:
    frame = pl.DataFrame({"x": [float("nan"), None, 1.0]})
    for limit in ({"min_value": 0}, {"max_value": 2}, {"min_value": 0, "max_value": 2}):
        rule = rule_of("values_to_be_between", **limit)
        assert frame.select(fails(rule, pl.Float64())).to_series().to_list() == [True, False, False]
    assert frame.select(fails(rule_of("values_to_not_be_null"), pl.Float64())).to_series().to_list() == [
        False,
        True,
        False,
    ]


# --- regular expressions


def patterns() -> dict[str, str]:
    """Return every regular expression of the suites by the first table and column that has it."""
    found: dict[str, str] = {}
    for table in LAYOUT:
        for rule in load_rules(table, PARAMETERS):
            if (pattern := rule.kwargs.get("regex")) and pattern not in found.values():
                found[f"{table}.{rule.column}"] = pattern
    return found


CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def matches(pattern: str, texts: list[str]) -> list[bool]:
    return pl.Series(texts, dtype=pl.String).str.contains(pattern).to_list()


@pytest.fixture(scope="module")
def categories() -> list[str]:
    return [unicodedata.category(one) for one in CHARACTERS]


@pytest.mark.parametrize("where", patterns())
def test_every_character_is_the_same_to_both_regular_expressions(where: str) -> None:
    pattern = patterns()[where]
    search = re.compile(python_regex(pattern)).search
    differing = [
        hex(ord(one))
        for one, found in zip(CHARACTERS, matches(pattern, CHARACTERS), strict=True)
        if found != (search(one) is not None)
    ]
    assert differing == []


@given(
    st.lists(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("aF0 \n\r\0\u202e_.:-/"))), max_size=30)
)
@settings(max_examples=30, deadline=None)
def test_texts_are_the_same_to_both_regular_expressions(texts: list[str]) -> None:
    longer = [part for text in texts for part in (text, text * 9, f"https://{text}", text + "\n")]
    for pattern in patterns().values():
        search = re.compile(python_regex(pattern)).search
        assert matches(pattern, longer) == [search(text) is not None for text in longer]
    lengths = pl.DataFrame({"x": longer}, schema={"x": pl.String})
    too_long = lengths.select(fails(rule_of("value_lengths_to_be_between", max_value=3), pl.String())).to_series()
    assert too_long.to_list() == [len(text) > 3 for text in longer]


UNSEEN = {"Cc", "Cf", "Co", "Zl", "Zp"}


def test_an_id_is_of_printable_characters_without_spaces_around(categories: list[str]) -> None:
    found = matches(PHOTO_ID_PATTERN, CHARACTERS)
    within = matches(PHOTO_ID_PATTERN, [f"a{one}b" for one in CHARACTERS])
    for one, category, alone, inside in zip(CHARACTERS, categories, found, within, strict=True):
        if category != "Cn":  # what is not assigned yet
            assert (alone, inside) == (category not in UNSEEN and one != " ", category not in UNSEEN), hex(ord(one))


def test_an_id_in_a_query_is_the_same_id() -> None:
    texts = pl.DataFrame({"text": CHARACTERS + ODD})
    query = "SELECT regexp_matches(text, $pattern) AS found FROM texts"
    found = duckdb.sql(query, params={"pattern": PHOTO_ID_PATTERN}).pl()["found"]
    assert found.to_list() == matches(PHOTO_ID_PATTERN, texts["text"].to_list())


def test_an_arm_may_have_every_letter_digit_and_mark_and_nothing_unseen(categories: list[str]) -> None:
    found = matches(patterns()["impressions.arm"], CHARACTERS)
    by_kind = dict[str, set[bool]]()
    for one, category, is_good in zip(CHARACTERS, categories, found, strict=True):
        by_kind.setdefault(category[0] if one > "\x7f" else f"ASCII {category[0]}", set()).add(is_good)
        assert not is_good or category not in {"Cc", "Co", "Zl", "Zp"}
        if one <= "\x7f":
            assert is_good == (one.isalnum() or one in "_ .:-")
    assert by_kind["L"] == by_kind["N"] == by_kind["M"] == {True}
    assert by_kind["Z"] == {False}


def test_a_keyword_is_blank_if_all_of_it_is_white_space() -> None:
    pattern = patterns()["keywords.keyword"]
    assert matches(pattern, CHARACTERS) == [not one.isspace() for one in CHARACTERS]
    assert not matches(pattern, ["".join(one for one in CHARACTERS if one.isspace())])[0]


def test_control_characters_are_found_wherever_they_stand() -> None:
    pattern = patterns()["photos.description"]
    turning = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    expected = [(unicodedata.category(one) == "Cc" and one != "\0") or ord(one) in turning for one in CHARACTERS]
    assert matches(pattern, [f"a{one}b" for one in CHARACTERS]) == expected


# --- reading a suite


@pytest.fixture
def write_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def write(**changed: Any) -> None:
        expectation = {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "x", "min_value": 0, "mostly": {"$PARAMETER": "min_good_share"}},
            "meta": {"reason": "small", "severity": "warn", "notes": {"format": "markdown", "content": ["Why."]}},
        }
        suite = {"name": "things", "expectations": [expectation | changed]}
        (tmp_path / "things.json").write_text(json.dumps(suite))

    monkeypatch.setattr("jobs.ingest.rules.SUITE_FOLDER", tmp_path)
    write()
    return write


def test_a_rule_has_its_parameters_put_in(write_suite: Any) -> None:
    rule = Rule(
        "things",
        "small",
        "warn",
        "x",
        "expect_column_values_to_be_between",
        {"min_value": 0},
        0.98,
        "x",
        False,
        ("Why.",),
    )
    assert load_rules("things", PARAMETERS) == [rule] == pickle.loads(pickle.dumps([rule]))
    write_suite(kwargs={"column": "x", "max_value": {"$PARAMETER": "data_end"}})
    found = load_rules("things", PARAMETERS)[0]
    assert (found.kwargs, found.min_share, found.is_of_night) == ({"max_value": "2025-12-03"}, 1.0, True)


def test_only_times_in_the_future_depend_on_the_night() -> None:
    of_night = {(table, rule.reason) for table in LAYOUT for rule in load_rules(table, PARAMETERS) if rule.is_of_night}
    assert of_night == {
        (table, "future_timestamp") for table in ("photos", "conversions", "collections", "impressions")
    }


def test_a_parameter_without_a_value_is_refused(write_suite: Any) -> None:
    write_suite(kwargs={"column": "x", "min_value": {"$PARAMETER": "least"}})
    with raises(BadInput, "unknown_rule_parameter", table="things", parameter="least"):
        load_rules("things", PARAMETERS)


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("table_row_count_to_be_between", {"min_value": 1}),
        ("column_values_to_be_unique", {"column": "x"}),
        ("column_values_to_be_between", {"column": "x", "min_value": 1, "row_condition": "y > 1"}),
        ("column_values_to_be_between", {"column": "x", "strict_min": True}),
        ("column_values_to_match_regex", {"column": "x"}),
    ],
)
def test_an_expectation_that_cannot_be_asked_of_rows_is_refused(
    write_suite: Any, kind: str, kwargs: dict[str, Any]
) -> None:
    write_suite(type=f"expect_{kind}", kwargs=kwargs)
    with raises(NightlensError, "rule_not_of_rows", table="things", rule=f"expect_{kind}"):
        load_rules("things", PARAMETERS)


def test_a_rule_about_no_column_or_no_text_is_refused() -> None:
    rule = rule_of("values_to_match_regex", regex="a")
    for schema in ({"y": pl.String()}, {"x": pl.Int64()}):
        with raises(NightlensError, "rule_not_of_rows", rule=rule.expectation, column="x"):
            failures([rule], schema)


@pytest.mark.parametrize("meta", [{}, {"reason": "x"}, {"reason": "x y", "severity": "warn"}, {"severity": "critical"}])
def test_an_expectation_needs_a_reason_and_a_severity(write_suite: Any, meta: dict[str, str]) -> None:
    write_suite(meta=meta)
    with raises(BadInput, "incomplete_rule", rule="expect_column_values_to_be_between", column="x"):
        load_suite("things")


def test_every_table_has_a_suite_and_its_folder_is_no_package() -> None:
    assert {path.stem for path in SUITE_FOLDER.glob("*.json")} == set(LAYOUT)
    assert not (SUITE_FOLDER / "__init__.py").exists()
    for table in LAYOUT:
        rules = load_suite(table)["expectations"]
        keys = [(rule["type"], rule["kwargs"]["column"], rule["meta"]["reason"]) for rule in rules]
        assert len(keys) == len(set(keys))
        assert all("mostly" in rule["kwargs"] for rule in rules if rule["meta"]["severity"] != "warn")
