"""Great Expectations on Spark frames: suites from great_expectations/*.json, verdicts, Data Docs pages.

The only module that imports the library. An expectation's `meta` says what follows from it: `reason`, the fault's
name, and `severity`:

- quarantine: the rows that fail it are bad;
- critical: they are bad, and the table is refused if more of them fail than `mostly` allows;
- warn: it is reported and nothing follows.

`shows` may name the column whose values are shown as examples where the rule's own column only says yes or no.

Great Expectations counts the failing rows and gives each expectation's condition as Spark SQL. The rows are then
told apart by these conditions where they lie, in one pass; none are collected here, so their number does not matter.
"""

from __future__ import annotations

import ast
import html
import itertools
import json
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView

from jobs.config.settings import PROJECT_ROOT
from jobs.errors import BadInput, NightlensError

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from pyspark.sql import DataFrame

SUITE_FOLDER = PROJECT_ROOT / "great_expectations"
Severity = Literal["quarantine", "critical", "warn"]
_NATIVE_SEVERITY: dict[Severity, str] = {"quarantine": "warning", "critical": "critical", "warn": "info"}


@dataclass(frozen=True)
class Rule:
    """The outcome of one expectation. `condition` is true in Spark SQL for exactly the rows that fail it."""

    reason: str
    severity: Severity
    column: str
    expectation: str
    condition: str
    failed_count: int
    is_met: bool  # the share that fails is within the expectation's `mostly`
    max_share: float  # that may fail, by `mostly`
    shows: str  # the column whose values are examples


@dataclass(frozen=True)
class Verdict:
    """The outcome of one table's suite: its rules in the suite's order."""

    table: str
    rules: list[Rule]
    result: ExpectationSuiteValidationResult

    @property
    def broken(self) -> list[Rule]:
        """The critical rules that more rows fail than may."""
        return [rule for rule in self.rules if rule.severity == "critical" and not rule.is_met]


def load_suite(table: str) -> dict[str, Any]:
    """Return a table's suite; `BadInput` if an expectation lacks a reason or a known severity."""
    path = SUITE_FOLDER / f"{table}.json"
    suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for expectation in suite["expectations"]:
        meta = expectation.get("meta", {})
        if not re.fullmatch(r"[a-z0-9_]+", meta.get("reason", "")) or meta.get("severity") not in _NATIVE_SEVERITY:
            raise BadInput(
                "incomplete_rule",
                f"{path}: {expectation['type']} on {expectation['kwargs'].get('column')} needs meta.reason (small "
                f"letters, digits and _) and meta.severity ({', '.join(_NATIVE_SEVERITY)})",
                path=path,
                rule=expectation["type"],
                column=expectation["kwargs"].get("column"),
            )
        expectation["severity"] = _NATIVE_SEVERITY[meta["severity"]]
    return suite


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
        self._spark = self._context.data_sources.add_spark("spark")
        self._run_id = RunIdentifier(run_name=night, run_time=run_time)

    def inspect(self, table: str, frame: DataFrame, parameters: dict[str, Any]) -> Verdict:
        """Run a table's suite on a frame, best a cached one: one Spark job counts the rows that fail each rule.

        `parameters` are the values of the suite's `$PARAMETER`s.
        """
        batch = self._spark.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        suite = self._context.suites.add(gx.ExpectationSuite(**load_suite(table)))
        definition = gx.ValidationDefinition(name=table, data=batch, suite=suite)
        result = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame},
            expectation_parameters=parameters,
            # Values of failing rows would cost a job per rule; `render_page` is given them.
            result_format={
                "result_format": "BASIC",
                "partial_unexpected_count": 0,
                "return_unexpected_index_query": True,
            },
            run_id=self._run_id,
        )
        return Verdict(table, [_rule(table, outcome) for outcome in result.results], result)


def _rule(table: str, outcome: ExpectationValidationResult) -> Rule:
    config, result = outcome.expectation_config, outcome.result
    assert config is not None
    if "unexpected_index_query" not in result:
        raise NightlensError(
            "rule_not_of_rows",
            f"great_expectations/{table}.json: {config.type} on {config.kwargs.get('column')} could not be evaluated. "
            f"It must be about single rows, of a column in sql/validate_{table}.sql. {outcome.exception_info}",
            table=table,
            rule=config.type,
            column=config.kwargs.get("column"),
        )
    return Rule(
        reason=config.meta["reason"],
        severity=config.meta["severity"],
        column=config.kwargs["column"],
        expectation=config.type,
        condition=_condition(result["unexpected_index_query"]),
        failed_count=result["unexpected_count"] or 0,  # null where there is no row
        is_met=bool(outcome.success),
        max_share=1 - float(config.kwargs.get("mostly", 1)),
        shows=config.meta.get("shows", config.kwargs["column"]),
    )


def _condition(query: str) -> str:
    """Return the SQL inside the query by which Great Expectations names the failing rows.

    >>> _condition('''df.filter(F.expr("(a IS NOT NULL) AND (NOT (a IN ('x')))"))''')
    "(a IS NOT NULL) AND (NOT (a IN ('x')))"
    """
    call = ast.parse(query, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.args[0], ast.Call)
    condition: str = ast.literal_eval(call.args[0].args[0])
    return condition


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
    """Return the Data Docs page of a verdict, with a few values that fail each rule."""
    for outcome, values in zip(verdict.result.results, samples, strict=True):
        outcome.result["partial_unexpected_list"] = values
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(verdict.result)
    return _self_contained(DefaultJinjaPageView().render(document), verdict.table)


def _self_contained(page: str, table: str) -> str:
    """Return a Data Docs page that is legible offline and equal for equal results.

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
    return _PAGE.format(title=table, body=_BACK + body)


def render_index(verdicts: list[Verdict], counts: dict[str, dict[str, int]], title: str) -> str:
    """Return the first page of the Data Docs: a line per table (`counts` by table), a line per rule some row fails."""
    tables, rules = [], []
    for verdict in verdicts:
        unmet = sum(not rule.is_met for rule in verdict.rules)
        status = f"<td class='failed'>{unmet} not met</td>" if unmet else "<td class='passed'>all met</td>"
        link = f"<td><a href='{verdict.table}.html'>{verdict.table}</a></td>"
        tables.append(
            f"<tr>{link}{''.join(_number(counts[verdict.table][kind]) for kind in _INDEX_KINDS)}"
            f"{_number(len(verdict.rules))}{status}</tr>"
        )
        rules += [
            f"<tr>{link}<td>{rule.reason}</td><td>{rule.column}</td>{_number(rule.failed_count)}<td>{rule.severity}</td>"
            f"<td class='{'passed' if rule.is_met else 'failed'}'>{'yes' if rule.is_met else 'no'}</td></tr>"
            for rule in verdict.rules
            if rule.failed_count
        ]
    kinds = "".join(f"<th class='number'>{kind}</th>" for kind in (*_INDEX_KINDS, "rules"))
    body = [f"<h1>{html.escape(title)}</h1><table><tr><th>table</th>{kinds}<th>expectations</th></tr>", *tables]
    body.append("</table><p>Unreadable are rows whose columns cannot be told apart; no rule is asked about them.</p>")
    if rules:
        body.append("<h2>Rules that some rows fail</h2><table><tr><th>table</th><th>reason</th><th>column</th>")
        body.append("<th class='number'>rows</th><th>severity</th><th>within its limit</th></tr>")
        body += [*rules, "</table>"]
    return _PAGE.format(title="Data Docs", body="".join(body))


_INDEX_KINDS = ("input", "clean", "quarantined", "unreadable", "repaired")


def _number(count: int) -> str:
    return f"<td class='number'>{count:,}</td>"
