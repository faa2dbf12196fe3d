"""Judging one table of a data set: read its rows, derive what the rules need, run the suite, count every row.

A row whose columns cannot be told apart is bad by what the reader found; every other by the table's suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from jobs.adapters.expectations import Inspector, Verdict
from jobs.adapters.sql_files import run_sql
from jobs.datasets.clean import VALIDATED, RowCounts
from jobs.errors import NightlensError
from jobs.ingest import Source
from jobs.ingest.layout import PHOTO_ID_PATTERN
from jobs.ingest.rows import read_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SAMPLE_COUNT = 10
SAMPLE_LENGTH = 200
_QUERIES = {
    "photos": "validate_photos",
    "keywords": "validate_keywords",
    "conversions": "validate_conversions",
    "collections": "validate_collections",
    "colors": "validate_colors",
    "hidden": "validate_hidden",
    "impressions": "validate_impressions",
}


@dataclass(frozen=True)
class Sample:
    """A row that fails a rule: the value, if there is one, and where it stands."""

    value: str | None
    file: str
    line: int

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line:,}"
        return where if self.value is None else f"{self.value!r} in {where}"


@dataclass(frozen=True)
class ValidatedTable:
    """One table, every row with its `reasons`, and how many rows there are; `reasons` and `repairs` count by name."""

    table: str
    frame: DataFrame
    verdict: Verdict
    counts: RowCounts
    reasons: dict[str, int]
    repairs: dict[str, int]
    samples: list[list[Sample]]  # for every rule of the verdict, a few rows that fail it

    @property
    def bad_share(self) -> float:
        """Quarantined rows among all rows, those left out that are bad only because their photo is not there."""
        return (self.counts.quarantined - self.counts.without_photo) / max(1, self.counts.input)

    @property
    def values(self) -> list[list[str]]:
        """For every rule of the verdict, a few values that fail it; nulls and repetitions left out."""
        return [list(dict.fromkeys(s.value for s in found if s.value is not None)) for found in self.samples]

    def first(self, reason: str) -> Sample | None:
        """Return the first row that fails a rule of this reason; None if the reader found the fault."""
        found = [s for rule, s in zip(self.verdict.rules, self.samples, strict=True) if rule.reason == reason and s]
        return min((samples[0] for samples in found), key=lambda s: (s.file, s.line), default=None)

    @property
    def clean(self) -> DataFrame:
        """The good rows, with every column there is."""
        return self.frame.where("SIZE(reasons) = 0")

    @property
    def quarantine(self) -> DataFrame:
        """The bad rows as the quarantine holds them, and the unit each was read in."""
        _, *names = VALIDATED.table("quarantine").schema.names
        return self.frame.where("SIZE(reasons) > 0").selectExpr(f"'{self.table}' AS table", *names, "unit")

    @property
    def repaired(self) -> DataFrame:
        """One row per repair of a good row, and the unit it was read in."""
        exploded = self.clean.selectExpr("source_file", "source_line", "unit", "EXPLODE(repairs) AS done")
        return exploded.selectExpr(
            f"'{self.table}' AS table", "source_file", "source_line", "done.repair", "done.column", "unit"
        )

    def as_json(self) -> dict[str, Any]:
        """Return what validation.json says of the table."""
        rules = [
            {
                "reason": rule.reason,
                "severity": rule.severity,
                "expectation": rule.expectation,
                "column": rule.column,
                "failed_count": rule.failed_count,
                "is_met": rule.is_met,
                "samples": values,
            }
            for rule, values in zip(self.verdict.rules, self.values, strict=True)
        ]
        found = {"bad_share": self.bad_share, "reasons": self.reasons, "repairs": self.repairs}
        return {"counts": self.counts.as_json(), **found, "expectations": rules}


@dataclass(frozen=True)
class Judge:
    """What judging needs besides the table: where rows come from, the key of pseudonyms, limits and the library."""

    spark: SparkSession
    inspector: Inspector
    source: Source
    key: bytes
    bot_conversions_per_minute: int
    min_shares: dict[str, float]  # the suites' parameters min_good_share, min_critical_share and min_photo_share
    forgotten: Sequence[str] = ()  # pseudonyms of visitors whose rows are left out

    def judge(self, table: str, data_end: date, photos: DataFrame | None = None) -> ValidatedTable:
        """Judge a table. `photos` (see `photo_lookup`) is what photo_ids are looked up in, for all but photos.

        The result's frame is cached; `frame.unpersist()` when it is no longer needed. Raises `NightlensError` if
        lines or failing rows do not add up.
        """
        rows = read_rows(self.spark, table, self.source.units(table), self.key, self.forgotten)
        views = {"records": rows} if photos is None else {"records": rows, "photos": photos}
        markers: dict[str, Any] = {} if photos is None else {"photo_id_pattern": PHOTO_ID_PATTERN}
        if table == "conversions":
            weights = [F.lit(one) for pair in self.source.names.conversions.types.items() for one in pair]
            markers |= {"burst_limit": self.bot_conversions_per_minute, "weights": F.create_map(*weights)}
        queried = run_sql(self.spark, _QUERIES[table], views, **markers)
        # New names free the columns from the query's aliases, which Great Expectations would write into conditions.
        derived = queried.toDF(*queried.columns).persist()
        for view in views:
            self.spark.catalog.dropTempView(view)
        names = self.source.names.conversions
        parameters = {
            **self.min_shares,
            "data_end": data_end.isoformat(),
            "photo_id_pattern": PHOTO_ID_PATTERN,
            "conversion_types": list(names.types),
            "devices": list(names.devices),
            "orderings": list(names.orderings),
        }
        verdict = self.inspector.inspect(table, derived.where("SIZE(faults) = 0"), parameters)
        frame = derived.selectExpr("*", _failed_rules_sql(verdict)).selectExpr("*", _reasons_sql(verdict)).persist()
        judged = self._count(table, frame, verdict)
        derived.unpersist()
        return judged

    def _count(self, table: str, frame: DataFrame, verdict: Verdict) -> ValidatedTable:
        """Count rows by kind, reason, repair and rule in one pass; check against the files and the library."""
        entries = frame.selectExpr(f"EXPLODE({_TALLY_SQL}) AS entry", "line_count")
        tally = entries.groupBy("entry.kind", "entry.name").agg(F.count("*").alias("rows"), F.sum("line_count"))
        found: dict[str, dict[str, int]] = {kind: {} for kind in ("rows", "reason", "repair", "rule")}
        lines = 0
        for kind, name, rows, line_count in sorted(tally.collect()):
            found[kind][name] = rows
            lines = line_count if name == "input" else lines
        counts = RowCounts(**{name: found["rows"].get(name, 0) for name in RowCounts.model_fields})
        failed = [found["rule"].get(str(number), 0) for number in range(len(verdict.rules))]
        if (
            counts.input != counts.clean + counts.quarantined
            or lines != self.source.line_count(table)
            or failed != [rule.failed_count for rule in verdict.rules]
        ):
            raise NightlensError(
                "row_counts_differ",
                f"{table}: counts do not add up: {counts}; {lines} lines of {self.source.line_count(table)} in the "
                f"files; rows that fail each rule {failed}, expected {[rule.failed_count for rule in verdict.rules]}",
                table=table,
            )
        return ValidatedTable(table, frame, verdict, counts, found["reason"], found["repair"], _samples(frame, verdict))


_TALLY_SQL = """
CONCAT(
  ARRAY(STRUCT('rows' AS kind, 'input' AS name)),
  ARRAY(STRUCT('rows' AS kind, IF(SIZE(reasons) = 0, 'clean', 'quarantined') AS name)),
  IF(SIZE(faults) > 0, ARRAY(STRUCT('rows' AS kind, 'unreadable' AS name)), ARRAY()),
  IF(
    SIZE(reasons) > 0 AND SIZE(ARRAY_EXCEPT(reasons, ARRAY('unknown_photo_id', 'quarantined_photo'))) = 0,
    ARRAY(STRUCT('rows' AS kind, 'without_photo' AS name)), ARRAY()
  ),
  IF(SIZE(reasons) = 0 AND SIZE(repairs) > 0, ARRAY(STRUCT('rows' AS kind, 'repaired' AS name)), ARRAY()),
  TRANSFORM(reasons, reason -> STRUCT('reason' AS kind, reason AS name)),
  IF(SIZE(reasons) = 0, TRANSFORM(repairs, done -> STRUCT('repair' AS kind, done.repair AS name)), ARRAY()),
  TRANSFORM(failed_rules, number -> STRUCT('rule' AS kind, CAST(number AS STRING) AS name))
)
"""


def _failed_rules_sql(verdict: Verdict) -> str:
    """Return SQL for the numbers of the rules that a row fails; none for a row whose columns cannot be told apart."""
    cases = [f"CASE WHEN {rule.condition} THEN {number} END" for number, rule in enumerate(verdict.rules)]
    failed = f"ARRAY_COMPACT(ARRAY({', '.join(cases)}))"
    return f"IF(SIZE(faults) = 0, {failed}, CAST(ARRAY() AS ARRAY<INT>)) AS failed_rules"


def _reasons_sql(verdict: Verdict) -> str:
    """Return SQL for the sorted reasons why a row is bad: the reader's, or the rules it fails; none if it is good."""
    names = [f"'{rule.reason}'" if rule.severity != "warn" else "NULL" for rule in verdict.rules]
    failed = f"TRANSFORM(failed_rules, number -> ARRAY({', '.join(names)})[number])"
    return f"IF(SIZE(faults) > 0, faults, ARRAY_SORT(ARRAY_DISTINCT(ARRAY_COMPACT({failed})))) AS reasons"


def _samples(frame: DataFrame, verdict: Verdict) -> list[list[Sample]]:
    """Return the first rows, in the order of the files, that fail each rule."""
    samples: list[list[Sample]] = [[] for _ in verdict.rules]
    if any(rule.failed_count for rule in verdict.rules):
        kinds = dict(frame.dtypes)  # yes or no explains nothing
        shown = ["NULL" if kinds[rule.shows] == "boolean" else rule.shows for rule in verdict.rules]
        values = ", ".join(f"CAST({column} AS STRING)" for column in shown)
        failing = frame.where("SIZE(failed_rules) > 0").selectExpr(
            "EXPLODE(failed_rules) AS number", f"ARRAY({values}) AS by_rule", "source_file", "source_line"
        )
        ranked = failing.selectExpr(
            "number",
            "by_rule[number] AS value",
            "source_file",
            "source_line",
            "ROW_NUMBER() OVER (PARTITION BY number ORDER BY source_file, source_line) AS position",
        )
        for number, value, file, line, _ in sorted(
            ranked.where(f"position <= {SAMPLE_COUNT}").collect(), key=lambda row: row["position"]
        ):
            samples[number].append(Sample(value and value[:SAMPLE_LENGTH], file, line))
    return samples


def photo_lookup(photos: ValidatedTable) -> DataFrame:
    """Return one row per proper photo_id there is: when it was submitted, and whether its row is clean."""
    is_proper = F.col("photo_id").rlike(PHOTO_ID_PATTERN)
    named = photos.frame.where(is_proper & ~F.col("is_repeated_photo_id"))
    return named.selectExpr("photo_id", "submitted_at", "SIZE(reasons) = 0 AS is_clean")
