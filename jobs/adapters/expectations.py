"""Great Expectations: runs a table's suite on a sample of its rows, as the oracle of our own counts; Data Docs pages.

The only module that imports the library. Its pandas engine judges the sample, which the rules were asked of with
Polars too. If the two say otherwise of a single row, nothing is believed. Its results then get the exact counts of
the whole table, so that verdicts and pages are of every row.
"""

from __future__ import annotations

import html
import itertools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import polars as pl
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView

from jobs.errors import NightlensError

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

    from jobs.ingest.rules import Rule

_NATIVE_SEVERITY = {"quarantine": "warning", "critical": "critical", "warn": "info"}
_NOT_NULL = "expect_column_values_to_not_be_null"
_SHOWN_LENGTH = 200


@dataclass(frozen=True)
class Counted:
    """How many rows fail a rule, and in how many its column is null, which passes (but for `not_be_null`)."""

    failed: int
    missing: int


@dataclass(frozen=True)
class Outcome:
    """What came of one rule."""

    reason: str
    severity: str
    column: str
    expectation: str
    failed_count: int
    is_met: bool  # the share that fails is within the expectation's `mostly`
    max_share: float  # that may fail, by `mostly`
    shows: str  # the column whose values are examples
    new_failed_count: int  # among the new rows of the log
    is_met_by_new: bool  # as is_met, of the new rows alone


@dataclass(frozen=True)
class Verdict:
    """The outcome of one table's suite: its rules in the suite's order."""

    table: str
    rules: list[Outcome]
    result: ExpectationSuiteValidationResult
    row_count: int
    new_row_count: int

    @property
    def broken(self) -> list[Outcome]:
        """The critical rules that more rows fail than may."""
        return [rule for rule in self.rules if rule.severity == "critical" and not rule.is_met]


class Inspector:
    """Runs suites within one in-memory Great Expectations context; nothing of it touches the disk."""

    def __init__(self, night: str, run_time: datetime) -> None:
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        )
        self._context = gx.get_context(mode="ephemeral", project_config=config)
        self._run_id = RunIdentifier(run_name=night, run_time=run_time)

    def inspect(
        self,
        table: str,
        rules: Sequence[Rule],
        sample: pl.DataFrame,
        failed: pl.DataFrame,
        row_count: int,
        counted: Sequence[Counted],
        new_row_count: int | None = None,
        new_counted: Sequence[Counted] | None = None,
    ) -> Verdict:
        """Let the library judge a sample, compare row by row, and return the verdict of the whole table.

        `failed` has a Boolean column "0", "1" ... per rule: which rows of the sample fail it. `counted` are the counts
        of each rule over all `row_count` rows, `new_counted` those over the `new_row_count` new rows; None if all are
        new. Raises `NightlensError` if the library could not evaluate a rule or judges a row otherwise.
        """
        if new_row_count is None or new_counted is None:
            new_row_count, new_counted = row_count, counted
        result = self._run(table, rules, sample)
        outcomes = []
        for number, (rule, found) in enumerate(zip(rules, result.results, strict=True)):
            if "unexpected_index_list" not in found.result:
                raise rule.refused(str(found.exception_info))
            _compare(rule, sample, failed[str(number)], found.result["unexpected_index_list"] or [])
            is_met = _put_counts(found, rule, row_count, counted[number])
            outcomes.append(_outcome(rule, counted[number], is_met, new_row_count, new_counted[number]))
        _put_statistics(result)
        return Verdict(table, outcomes, result, row_count, new_row_count)

    def _run(self, table: str, rules: Sequence[Rule], sample: pl.DataFrame) -> ExpectationSuiteValidationResult:
        """Return the library's results of a table's suite on a sample, in the suite's order."""
        source = self._context.data_sources.add_or_update_pandas(table)
        batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("sample")
        expectations = [_expectation(rule, number, sample) for number, rule in enumerate(rules)]
        suite = gx.ExpectationSuite(name=table, expectations=expectations)
        columns = sample.select(sorted({rule.column for rule in rules} & set(sample.columns)))
        result = batch.get_batch({"dataframe": _pandas(columns)}).validate(
            suite,
            result_format={
                "result_format": "COMPLETE",
                "partial_unexpected_count": 0,
                "exclude_unexpected_values": True,
                "return_unexpected_index_query": False,
            },
        )
        result.meta = {"great_expectations_version": gx.__version__, "run_id": self._run_id}  # nothing of the sample
        result.results.sort(key=_number_of)
        return result


def _number_of(found: ExpectationValidationResult) -> int:
    assert found.expectation_config is not None
    number: int = found.expectation_config.meta["number"]
    return number


def _expectation(rule: Rule, number: int, sample: pl.DataFrame) -> dict[str, Any]:
    """Return a rule as the library takes it."""
    kwargs = rule.kwargs | {"column": rule.column, "mostly": rule.min_share}
    if "regex" in kwargs:
        kwargs["regex"] = python_regex(kwargs["regex"])
    if isinstance(sample.schema.get(rule.column), pl.Datetime):
        # the library compares its times, which know their time zone, with no other times and with no days
        kwargs |= {key: _instant(kwargs[key]) for key in ("min_value", "max_value") if kwargs.get(key) is not None}
    meta: dict[str, Any] = {"number": number, "reason": rule.reason}
    if rule.notes:
        meta["notes"] = {"format": "markdown", "content": list(rule.notes)}
    return {"type": rule.expectation, "kwargs": kwargs, "meta": meta, "severity": _NATIVE_SEVERITY[rule.severity]}


def _instant(value: Any) -> str:
    at = datetime.fromisoformat(str(value))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


_ESCAPE = re.compile(r"\\(?:x\{([0-9A-Fa-f]+)\}|(.))", re.DOTALL)


def python_regex(pattern: str) -> str:
    r"""Return a suite's regular expression as Python 3.11 spells it: `\x{H}` is `\UHHHHHHHH` there, `\z` is `\Z`.

    >>> print(python_regex(r"\A[\x{202A}-\x{10FFFF}]\\z\z"))
    \A[\U0000202A-\U0010FFFF]\\z\Z
    """

    def spell(found: re.Match[str]) -> str:
        if found[1]:
            return f"\\U{found[1].upper():0>8}"
        return r"\Z" if found[2] == "z" else found[0]

    return _ESCAPE.sub(spell, pattern)


def _pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Return the rows for the library: Arrow's columns, where NaN is no null; times as it can compare them."""
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    aware = frame.with_columns(pl.col(times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    found = aware.to_pandas(use_pyarrow_extension_array=True)
    return found.astype(dict.fromkeys(times, "datetime64[us, UTC]"))


def _compare(rule: Rule, sample: pl.DataFrame, failed: pl.Series, unexpected: list[int]) -> None:
    """Raise `NightlensError` if the rows that fail a rule are not the rows the library did not expect."""
    differing = sorted(set(failed.arg_true()) ^ set(unexpected))
    if not differing:
        return
    row = differing[0]
    value = repr(sample[rule.column][row])[:_SHOWN_LENGTH]
    ours, theirs = ("passes", "fails") if row in unexpected else ("fails", "passes")
    raise NightlensError(
        "engines_disagree",
        f"{rule.table}: the rule {rule.reason} ({rule.expectation} on {rule.column}) differs in {len(differing):,} of "
        f"{len(sample):,} rows of the sample. The first value {ours} by Polars and {theirs} by Great Expectations: "
        f"{value}. Write the rule in great_expectations/{rule.table}.json so that both read it alike.",
        table=rule.table,
        reason=rule.reason,
        rule=rule.expectation,
        column=rule.column,
        value=value,
    )


def _considered(rule: Rule, row_count: int, counted: Counted) -> int:
    """Return how many values a rule is asked of: nulls only by `not_be_null`."""
    return row_count if rule.expectation == _NOT_NULL else row_count - counted.missing


def _is_met(rule: Rule, row_count: int, counted: Counted) -> bool:
    """Return the library's verdict on a rule: of no value at all it is met."""
    considered = _considered(rule, row_count, counted)
    return considered == 0 or (considered - counted.failed) / considered >= rule.min_share


def _outcome(rule: Rule, counted: Counted, is_met: bool, new_row_count: int, new: Counted) -> Outcome:
    return Outcome(
        reason=rule.reason,
        severity=rule.severity,
        column=rule.column,
        expectation=rule.expectation,
        failed_count=counted.failed,
        is_met=is_met,
        max_share=1 - rule.min_share,
        shows=rule.shows,
        new_failed_count=new.failed,
        is_met_by_new=_is_met(rule, new_row_count, new),
    )


def _put_counts(found: ExpectationValidationResult, rule: Rule, row_count: int, counted: Counted) -> bool:
    """Replace a result's counts of the sample by those of the whole table; return whether the rule is met."""
    considered = _considered(rule, row_count, counted)
    percent = counted.failed / considered * 100 if considered else None
    assert found.expectation_config is not None
    found.expectation_config.kwargs |= rule.kwargs  # as the suite spells them
    found.result = {"element_count": row_count, "unexpected_count": counted.failed, "unexpected_percent": percent}
    if rule.expectation != _NOT_NULL:
        found.result |= {
            "missing_count": counted.missing,
            "missing_percent": counted.missing / row_count * 100 if row_count else None,
            "unexpected_percent_total": counted.failed / row_count * 100 if row_count else None,
            "unexpected_percent_nonmissing": percent,
        }
    found.success = _is_met(rule, row_count, counted)
    return found.success


def _put_statistics(result: ExpectationSuiteValidationResult) -> None:
    met, count = sum(bool(found.success) for found in result.results), len(result.results)
    result.success = met == count
    result.statistics = {
        "evaluated_expectations": count,
        "successful_expectations": met,
        "unsuccessful_expectations": count - met,
        "success_percent": met / count * 100 if count else None,
    }


# -- Data Docs ---------------------------------------------------------------------------------------------

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1.2rem; }
td, th { border-bottom: 1px solid #d8dee6; padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
h4, h5, h6, .h6 { font-size: 1.05rem; margin: 1rem 0 .3rem; font-weight: 600; }
.alert { background: #eef2f6; padding: .3rem .8rem; border-radius: .3rem; }
.badge { background: #eef2f6; border-radius: .2rem; padding: 0 .3rem; overflow-wrap: anywhere; }
.fa-check-circle::before { content: "\\2714"; } .fa-times::before { content: "\\2718"; }
.fa-exclamation-triangle::before { content: "\\26A0"; }
.fa-check-circle, .passed { color: #19703b; } .fa-times, .failed { color: #b3261e; }
.fa-exclamation-triangle { color: #8a5a00; } i { font-style: normal; }
.cooltip .top, .btn, .modal, [data-toggle=collapse] { display: none; }
a { color: #0b57a4; }
"""
# No script runs and nothing is loaded, whatever a bad row holds.
_POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
_PAGE = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"><meta name="viewport" content="width=device-width">'
    + _POLICY
    + f"<style>{_STYLE.replace('{', '{{').replace('}', '}}')}</style>"
    + "<title>{title}</title></head><body>{body}</body></html>"
)
_BACK = '<p><a href="index.html">All tables</a></p>'
_LIVE = re.compile(r"(?s)<script.*?</script>|<link[^>]*>|<style.*?</style>|<img[^>]*>")
_CONTENT = re.compile(r'(?s)<div id="section-1".*(?=<footer|</body>)')
_VOLATILE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b\d{8}T\d{6}\.\d+Z")


def render_page(verdict: Verdict, samples: list[list[str]]) -> str:
    """Return the Data Docs page of a verdict, with a few values that fail each rule and what the new rows do."""
    for outcome, values in zip(verdict.result.results, samples, strict=True):
        outcome.result["partial_unexpected_list"] = values
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(verdict.result)
    return _self_contained(DefaultJinjaPageView().render(document), verdict.table, _new_rows(verdict))


def _new_rows(verdict: Verdict) -> str:
    """Return the part of a table's page about the new rows alone."""
    counts = f"The table has {verdict.row_count:,} readable rows; {verdict.new_row_count:,} of them are new."
    head = f"<h4>New rows</h4><p>{counts}</p>"
    lines = [
        f"<tr><td>{rule.reason}</td><td>{rule.column}</td>{_number(rule.new_failed_count)}{_limit(rule.is_met_by_new)}</tr>"
        for rule in verdict.rules
        if rule.new_failed_count
    ]
    if not lines:
        return f"{head}<p>None of them fails a rule.</p>"
    kinds = "<tr><th>reason</th><th>column</th><th class='number'>new rows</th><th>within its limit</th></tr>"
    return f"{head}<table>{kinds}{''.join(lines)}</table>"


def _self_contained(page: str, table: str, first: str) -> str:
    """Return a Data Docs page that is legible offline and equal for equal results; `first` is put before it.

    As rendered it takes its looks and scripts from other sites, and holds random ids and the time of day.
    """
    content = _CONTENT.search(_LIVE.sub("", page))
    if content is None:
        raise NightlensError(
            "data_docs_changed",
            f"the Data Docs page of {table} has no sections: its form changed with the library",
            table=table,
        )
    counter = itertools.count(1)
    names: dict[str, str] = {}
    body = _VOLATILE.sub(lambda found: names.setdefault(found[0], f"n{next(counter)}"), content[0])
    body = re.sub(r'<a href="[^"#][^"]*"[^>]*>(.*?)</a>', r"\1", body)
    return _PAGE.format(title=table, body=_BACK + first + body)


def render_index(verdicts: list[Verdict], counts: dict[str, dict[str, int]], title: str) -> str:
    """Return the first page of the Data Docs: a line per table (`counts` by table), a line per rule some row fails."""
    tables, rules = [], []
    for verdict in verdicts:
        unmet = sum(not rule.is_met for rule in verdict.rules)
        status = f"<td class='failed'>{unmet} not met</td>" if unmet else "<td class='passed'>all met</td>"
        link = f"<td><a href='{verdict.table}.html'>{verdict.table}</a></td>"
        found = {"new": verdict.new_row_count, "rules": len(verdict.rules)} | counts[verdict.table]
        tables.append(f"<tr>{link}{''.join(_number(found[kind]) for kind in _INDEX_KINDS)}{status}</tr>")
        rules += [
            f"<tr>{link}<td>{rule.reason}</td><td>{rule.column}</td>{_number(rule.failed_count)}"
            f"{_number(rule.new_failed_count)}<td>{rule.severity}</td>{_limit(rule.is_met)}"
            f"{_limit(rule.is_met_by_new)}</tr>"
            for rule in verdict.rules
            if rule.failed_count
        ]
    kinds = "".join(f"<th class='number'>{kind}</th>" for kind in _INDEX_KINDS)
    body = [f"<h1>{html.escape(title)}</h1><table><tr><th>table</th>{kinds}<th>expectations</th></tr>", *tables]
    body.append("</table><p>Unreadable are rows whose columns cannot be told apart; no rule is asked about them.</p>")
    if rules:
        body.append("<h2>Rules that some rows fail</h2><table><tr><th>table</th><th>reason</th><th>column</th>")
        body.append("<th class='number'>rows</th><th class='number'>new</th><th>severity</th>")
        body.append("<th>within its limit</th><th>by the new rows</th></tr>")
        body += [*rules, "</table>"]
    return _PAGE.format(title="Data Docs", body="".join(body))


_INDEX_KINDS = ("input", "new", "clean", "quarantined", "unreadable", "repaired", "rules")


def _limit(is_met: bool) -> str:
    return f"<td class='{'passed' if is_met else 'failed'}'>{'yes' if is_met else 'no'}</td>"


def _number(count: int) -> str:
    return f"<td class='number'>{count:,}</td>"
