r"""The rules of a table, as its suite in great_expectations/<table>.json declares them, asked of columns with Polars.

An expectation's `meta` says what follows from it: `reason`, the fault's name, and `severity`:

- quarantine: the rows that fail it are bad;
- critical: they are bad, and the table is refused if more of them fail than `mostly` allows;
- warn: it is reported and nothing follows.

`shows` may name the column whose values are shown as examples where the rule's own column only says yes or no.
A `{"$PARAMETER": name}` stands for a value of the night or of the data set.

Regular expressions are written so that Polars and Python read them alike, but for two escapes that the adapter of
Great Expectations translates: `\x{202A}` (a character by its number) and `\z` (the very end). So no `\p{...}`, no
`&&`, no look-around, and neither `\w`, `\d` nor `\s`: the libraries' tables of characters differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl

from jobs.config.settings import PROJECT_ROOT
from jobs.errors import BadInput, NightlensError

SUITE_FOLDER = PROJECT_ROOT / "great_expectations"
Severity = Literal["quarantine", "critical", "warn"]
_SEVERITIES: tuple[Severity, ...] = ("quarantine", "critical", "warn")
_OF_NIGHT = "data_end"
"""The parameter that changes from night to night: a kept verdict of a rule with it is not of another night."""
_LIMITS = frozenset({"min_value", "max_value", "strict_min", "strict_max"})
_ARGUMENTS: dict[str, frozenset[str]] = {
    "expect_column_values_to_not_be_null": frozenset(),
    "expect_column_values_to_be_in_set": frozenset({"value_set"}),
    "expect_column_values_to_match_regex": frozenset({"regex"}),
    "expect_column_values_to_not_match_regex": frozenset({"regex"}),
    "expect_column_value_lengths_to_be_between": _LIMITS,
    "expect_column_values_to_be_between": _LIMITS,
}
"""The expectations that are evaluated, and the arguments of each besides `column` and `mostly`."""
_OF_TEXTS = ("match_regex", "value_lengths")


@dataclass(frozen=True)
class Rule:
    """One expectation of a table's suite. Its parameters are put in."""

    table: str
    reason: str
    severity: Severity
    column: str
    expectation: str
    kwargs: dict[str, Any]  # besides column and mostly
    min_share: float  # of the values that are not null, how many must be right (`mostly`)
    shows: str  # the column whose values are examples
    is_of_night: bool  # which rows fail depends on the night
    notes: tuple[str, ...] = ()

    def refused(self, why: str) -> NightlensError:
        """Return the error for a rule that cannot be asked of rows."""
        return NightlensError(
            "rule_not_of_rows",
            f"great_expectations/{self.table}.json: {self.expectation} on {self.column} cannot be evaluated: {why}",
            table=self.table,
            rule=self.expectation,
            column=self.column,
        )


def load_suite(table: str) -> dict[str, Any]:
    """Return a table's suite as it is written; `BadInput` if an expectation lacks a reason or a known severity."""
    path = SUITE_FOLDER / f"{table}.json"
    suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for expectation in suite["expectations"]:
        meta = expectation.get("meta", {})
        if not re.fullmatch(r"[a-z0-9_]+", meta.get("reason", "")) or meta.get("severity") not in _SEVERITIES:
            raise BadInput(
                "incomplete_rule",
                f"{path}: {expectation['type']} on {expectation['kwargs'].get('column')} needs meta.reason (small "
                f"letters, digits and _) and meta.severity ({', '.join(_SEVERITIES)})",
                path=path,
                rule=expectation["type"],
                column=expectation["kwargs"].get("column"),
            )
    return suite


def load_rules(table: str, parameters: Mapping[str, object]) -> list[Rule]:
    """Return a table's rules in the suite's order, with these values for its `$PARAMETER`s.

    Raises `BadInput` for an incomplete rule or a parameter without a value, `NightlensError` for an expectation that
    cannot be evaluated row by row.
    """
    return [_rule(table, expectation, parameters) for expectation in load_suite(table)["expectations"]]


def _rule(table: str, expectation: dict[str, Any], parameters: Mapping[str, object]) -> Rule:
    meta, given = expectation["meta"], dict(expectation["kwargs"])
    named = {key: value["$PARAMETER"] for key, value in given.items() if isinstance(value, dict)}
    unknown = sorted(set(named.values()) - parameters.keys())
    if unknown:
        raise BadInput(
            "unknown_rule_parameter",
            f"great_expectations/{table}.json: {expectation['type']} on {given.get('column')} needs the parameter "
            f"{unknown[0]}. There are: {', '.join(sorted(parameters))}.",
            table=table,
            rule=expectation["type"],
            parameter=unknown[0],
        )
    given |= {key: parameters[name] for key, name in named.items()}
    column, min_share = given.pop("column", ""), float(given.pop("mostly", 1))
    rule = Rule(
        table,
        meta["reason"],
        meta["severity"],
        column,
        expectation["type"],
        given,
        min_share,
        meta.get("shows", column),
        _OF_NIGHT in named.values(),
        tuple(meta.get("notes", {}).get("content", ())),
    )
    _check_arguments(rule)
    return rule


def _check_arguments(rule: Rule) -> None:
    known = _ARGUMENTS.get(rule.expectation)
    if known is None:
        raise rule.refused(f"the types that are evaluated are {', '.join(_ARGUMENTS)}.")
    if not rule.kwargs.keys() <= known:
        raise rule.refused(f"it takes {', '.join(['column', 'mostly', *sorted(known)])}.")
    needed = known - {"strict_min", "strict_max"}
    if needed and all(rule.kwargs.get(argument) is None for argument in needed):
        raise rule.refused(f"it needs {' or '.join(sorted(needed))}.")


def failures(rules: Sequence[Rule], schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """Return `fails` of every rule for a frame of this schema, as columns named "0", "1" and so on.

    Raises `NightlensError` for a rule about a column that is not there or cannot be asked so.
    """
    missing = next((rule for rule in rules if rule.column not in schema), None)
    if missing:
        raise missing.refused("the table has no such column.")
    return [fails(rule, schema[rule.column]).alias(str(number)) for number, rule in enumerate(rules)]


def fails(rule: Rule, kind: pl.DataType) -> pl.Expr:
    """Return the Boolean expression, never null, that is true for exactly the rows that fail a rule.

    A null passes every rule but `not_be_null`. NaN is no null: it lies between no limits. `kind` is the column's type.
    """
    column = pl.col(rule.column)
    if rule.expectation == "expect_column_values_to_not_be_null":
        return column.is_null()
    if kind != pl.String and any(part in rule.expectation for part in _OF_TEXTS):
        raise rule.refused(f"the column holds {kind}, no text.")
    return column.is_not_null() & ~_meets(rule, column, kind)


def _meets(rule: Rule, column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Return whether a value that is not null meets a rule."""
    match rule.expectation:
        case "expect_column_values_to_be_in_set":
            return column.is_in(rule.kwargs["value_set"])
        case "expect_column_values_to_match_regex":
            return column.str.contains(rule.kwargs["regex"])
        case "expect_column_values_to_not_match_regex":
            return ~column.str.contains(rule.kwargs["regex"])
        case "expect_column_value_lengths_to_be_between":
            return _between(column.str.len_chars(), rule.kwargs, pl.UInt32())
    within = _between(column, rule.kwargs, kind)
    return within & column.is_not_nan() if kind.is_float() else within


def _between(value: pl.Expr, limits: Mapping[str, Any], kind: pl.DataType) -> pl.Expr:
    within = pl.lit(value=True)
    if (least := limits.get("min_value")) is not None:
        least = limit_of(least, kind)
        within &= value > least if limits.get("strict_min") else value >= least
    if (most := limits.get("max_value")) is not None:
        most = limit_of(most, kind)
        within &= value < most if limits.get("strict_max") else value <= most
    return within


def limit_of(value: Any, kind: pl.DataType) -> Any:
    """Return a limit as it compares with a column of a type: of times, a day is its midnight in UTC.

    >>> limit_of("2025-12-03", pl.Datetime("us", "UTC")).isoformat()
    '2025-12-03T00:00:00+00:00'
    >>> limit_of(255, pl.Int32())
    255
    """
    if not isinstance(kind, pl.Datetime):
        return value
    instant = datetime.fromisoformat(str(value))
    instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    return instant if kind.time_zone else instant.replace(tzinfo=None)
