"""The rows of a unit, read and judged once and kept in the lake: a later night takes them over.

A kept unit is content-addressed. Its name digests its bytes and all that the reading depends on: the header, the form,
the rules, the key of the pseudonyms and this code. It holds the typed columns of every row, what the rules that look at
a row alone say of it, and in its footer what the night adds up. A sample beside it is for Great Expectations.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.datasets.clean import VALIDATED
from jobs.ingest.columns import typed
from jobs.ingest.layout import PHOTO_ID_PATTERN
from jobs.ingest.rows import UnitReader, pseudonym
from jobs.ingest.rules import Rule, fails, load_rules
from jobs.ingest.source import Source, Unit
from jobs.lake.files import LakeFiles, Store
from jobs.lake.manifest import fingerprint

STORE = "rows"
SAMPLE = ".sample.parquet"
SAMPLE_COUNT = 10
SAMPLE_LENGTH = 200
_FAILING_SAMPLED, _GOOD_SAMPLED = 3, 20  # rows of a unit that Great Expectations is shown, a rule and in all
_FACTS = b"nightlens"

NIGHTLY: dict[str, dict[str, object]] = {
    "photos": {"is_repeated_photo_id": False},
    "keywords": {"photo_is_known": True, "photo_is_clean": True, "is_repeated_keyword": False},
    "conversions": {
        "photo_is_known": True,
        "photo_is_clean": True,
        "seconds_since_submission": 0.0,
        "is_in_burst": False,
    },
    "collections": {"photo_is_known": True, "photo_is_clean": True, "is_repeated_membership": False},
    "colors": {"photo_is_known": True, "photo_is_clean": True, "is_repeated_color": False},
    "hidden": {"is_repeated_rule": False},
    "impressions": {
        "photo_is_known": True,
        "photo_is_clean": True,
        "seconds_since_submission": 0.0,
        "is_repeated_impression": False,
    },
}
"""Columns that other rows and tables have a say in, made every night, with what they are if all is well."""

TIMES = {
    "photos": "submitted_at",
    "conversions": "converted_at",
    "collections": "collected_at",
    "impressions": "shown_at",
}
"""When the rows of a table are from, where they say so."""


@dataclass(frozen=True)
class Reading:
    """How the units of one table are read. `key` makes pseudonyms; of `forgotten` visitors nothing is kept."""

    table: str
    rules: tuple[Rule, ...]
    weights: dict[str, float]
    key: bytes = field(repr=False)
    forgotten: tuple[str, ...]
    version: str  # of the code that reads

    @classmethod
    def of(
        cls,
        table: str,
        source: Source,
        parameters: dict[str, object],
        key: bytes,
        forgotten: Sequence[str],
        version: str,
    ) -> Reading:
        """Return how to read a table of a source; `parameters` are those of the suites."""
        return cls(
            table,
            tuple(load_rules(table, parameters)),
            dict(source.names.conversions.types),
            key,
            tuple(forgotten),
            version,
        )

    def is_nightly(self, rule: Rule) -> bool:
        """Whether a rule is about more than one row, or about the night."""
        return rule.is_of_night or rule.column in NIGHTLY[self.table]

    @property
    def alone(self) -> dict[int, Rule]:
        """The rules that look at a row alone, by their numbers."""
        return {number: rule for number, rule in enumerate(self.rules) if not self.is_nightly(rule)}

    @property
    def rules_digest(self) -> str:
        """Digest of the rules that look at a row alone, and of the weights."""
        rules = {
            number: [rule.reason, rule.severity, rule.column, rule.expectation, rule.kwargs, rule.shows]
            for number, rule in self.alone.items()
        }
        weights = self.weights if self.table == "conversions" else {}
        return fingerprint({"rules": rules, "count": len(self.rules), "weights": weights})

    @property
    def digest(self) -> str:
        """What a kept unit depends on besides its bytes and the form of its file."""
        return fingerprint({"rules": self.rules_digest, "key": pseudonym("", self.key), "code": self.version})

    def open(self, unit: Unit) -> UnitReader:
        """Return a reader of a unit."""
        return UnitReader(unit, self.key, frozenset(self.forgotten))

    def name(self, unit: Unit) -> str:
        """Return the name under which a unit is kept."""
        part = unit.part
        shapes = (
            None if part.form.shapes is None else [(index, shape.pattern.hex()) for index, shape in part.form.shapes]
        )
        identity = {
            "reading": self.digest,
            "header": part.header,
            "form": [part.form.delimiter.hex(), part.form.is_crlf, part.has_long_ids, shapes],
            "previous": hashlib.sha256(unit.previous).hexdigest(),
            "data": unit.sha256,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class UnitFacts:
    """What is to be added up over units.

    `failed` and `missing` count, by rule, rows that fail it and rows whose value it does not ask about; zero for rules
    of the night. `samples` are, by rule, a few failing rows: value and line. `forgotten` tells whose rows are left out.
    """

    row_count: int
    readable_count: int
    failed: list[int]
    missing: list[int]
    days: dict[str, int]
    last_at: str | None
    samples: list[list[tuple[str | None, int]]]
    forgotten: str


def rows_store(lake: LakeFiles, table: str) -> Store:
    """Return where the kept units of a table are: `<name>.parquet` and `<name>.sample.parquet`."""
    return lake.store(STORE, table)


def read_facts(store: Store, name: str) -> UnitFacts:
    """Return what a kept unit says of itself."""
    with store.reading(f"{name}.parquet") as file:
        return UnitFacts(**json.loads(pq.read_metadata(file).metadata[_FACTS]))


def read_sample(store: Store, name: str) -> pl.DataFrame:
    """Return the sample of a kept unit: the columns that rules ask about, `place` and `line`."""
    with store.reading(f"{name}{SAMPLE}") as file:
        return pl.DataFrame(pl.from_arrow(pq.read_table(file)))


def keep_unit(root_uri: str, catalogue: str, reading: Reading, unit: Unit) -> UnitFacts:
    """Read a unit, judge its rows by the rules that look at a row alone, and keep it in a catalogue of the lake."""
    store = rows_store(LakeFiles(root_uri, catalogue), reading.table)
    reader = reading.open(unit)
    rows = typed(reading.table, reader.rows(), reading.weights).with_row_index("place")
    rows = rows.with_columns(pl.col("place").cast(pl.Int32), is_readable=pl.col("faults").list.len() == 0)
    failing = rows.select(
        (fails(rule, rows.schema[rule.column]) & pl.col("is_readable")).alias(str(number))
        for number, rule in reading.alone.items()
    )
    bad = [str(number) for number, rule in reading.alone.items() if rule.severity != "warn"]
    rows = rows.with_columns(
        is_refused=~pl.col("is_readable") | failing.select(pl.any_horizontal(bad)).to_series(),
        failed=_numbers(failing),
        has_proper_photo_id=pl.col("photo_id").str.contains(PHOTO_ID_PATTERN).fill_null(value=False),
    )
    rows = with_records(rows, pl.col("is_refused"), lambda: reader)
    name = reading.name(unit)
    store.put(f"{name}{SAMPLE}", _sample(rows, failing, reading))
    facts = _facts(rows, failing, reading)
    store.put(f"{name}.parquet", _parquet(rows, reading.table, facts))
    return facts


def kept_columns(table: str) -> list[str]:
    """Return the columns of a kept unit."""
    clean = [name for name in VALIDATED.table(table).schema.names if name not in ("source_file", "source_line")]
    judged = [
        "is_readable",
        "is_refused",
        "has_proper_photo_id",
        "faults",
        "failed",
        "repairs",
        "record",
        "record_sha256",
    ]
    return [*clean, "place", "line", "line_count", *judged]


def _numbers(failing: pl.DataFrame) -> pl.Series:
    """Return for each row the numbers of the rules it fails, null for none."""
    places = pl.concat_list(pl.when(pl.col(name)).then(pl.lit(int(name), pl.Int16)) for name in failing.columns)
    is_any = failing.select(pl.any_horizontal(pl.all())).to_series()
    found = failing.filter(is_any).select(places.list.drop_nulls()).to_series()
    numbers = pl.Series("failed", [None], dtype=pl.List(pl.Int16)).new_from_index(0, len(failing))
    return numbers if found.is_empty() else _scattered(numbers, is_any, found)


def _scattered(into: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """Return a series with other values at the places that `where` marks."""
    rank = where.cum_sum().cast(pl.Int64) - 1
    return pl.select(pl.when(where).then(values.gather(rank.clip(0))).otherwise(into).alias(into.name)).to_series()


def with_records(rows: pl.DataFrame, wanted: pl.Expr, open_reader: Callable[[], UnitReader]) -> pl.DataFrame:
    """Give the wanted rows their text and digest, where they have none yet; a forgotten visitor's get none."""
    is_forgotten = pl.col("faults").list.contains("forgotten").fill_null(value=False)
    lines = rows.filter(wanted & pl.col("record_sha256").is_null() & ~is_forgotten)["line"].to_list()
    if not lines:
        return rows
    reader = open_reader()
    schema = {"line": pl.Int64, "record_read": pl.String, "sha256_read": pl.String}
    described = pl.DataFrame([(line, *reader.describe(line)) for line in lines], schema, orient="row")
    return rows.join(described, on="line", how="left", maintain_order="left").with_columns(
        record=pl.coalesce("record", "record_read"), record_sha256=pl.coalesce("record_sha256", "sha256_read")
    )


def _sample(rows: pl.DataFrame, failing: pl.DataFrame, reading: Reading) -> bytes:
    """Return a few rows that fail each rule, and a few from everywhere."""
    readable = rows["is_readable"].arg_true()
    places = set(readable.gather_every(max(1, len(readable) // _GOOD_SAMPLED)).to_list())
    for name in failing.columns:
        places.update(failing[name].arg_true().head(_FAILING_SAMPLED).to_list())
    asked = dict.fromkeys(rule.column for rule in reading.rules if rule.column in rows.columns)
    sample = rows[sorted(places)].select(*asked, "place")
    buffer = io.BytesIO()
    sample.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _facts(rows: pl.DataFrame, failing: pl.DataFrame, reading: Reading) -> UnitFacts:
    readable = rows.filter("is_readable")
    counts = failing.sum().row(0, named=True) if failing.width else {}
    nulls = readable.null_count().row(0, named=True)
    samples: list[list[tuple[str | None, int]]] = [[] for _ in reading.rules]
    for number, rule in reading.alone.items():
        found = rows[failing[str(number)].arg_true().head(SAMPLE_COUNT)]
        samples[number] = list(zip(shown(found, rule), found["line"].to_list(), strict=True))
    time = TIMES.get(reading.table)
    times = rows[time].drop_nulls() if time else pl.Series(dtype=pl.Datetime("us", "UTC"))
    last: Any = times.max()
    days = times.dt.date().value_counts(name="rows")
    gone = rows.filter(pl.col("faults").list.contains("forgotten")).height
    return UnitFacts(
        row_count=len(rows),
        readable_count=len(readable),
        failed=[int(counts.get(str(number), 0)) for number in range(len(reading.rules))],
        missing=[_missing(rule, nulls) for rule in reading.rules],
        days={day.isoformat(): count for day, count in sorted(days.iter_rows())},
        last_at=None if last is None else last.isoformat(),
        samples=samples,
        forgotten=fingerprint({"forgotten": list(reading.forgotten)}) if gone else "",
    )


def _missing(rule: Rule, nulls: dict[str, Any]) -> int:
    """Return of how many rows a rule asks nothing."""
    return 0 if rule.expectation.endswith("_not_be_null") else int(nulls.get(rule.column, 0))


def shown(rows: pl.DataFrame, rule: Rule) -> list[str | None]:
    """Return the values of failing rows as text, shortened; none where yes or no would explain nothing."""
    values = rows[rule.shows]
    if values.dtype == pl.Boolean:
        return [None] * len(values)
    return [None if value is None else str(value)[:SAMPLE_LENGTH] for value in values.to_list()]


def _parquet(rows: pl.DataFrame, table: str, facts: UnitFacts) -> bytes:
    none_if_empty = [
        pl.when(pl.col(name).list.len() > 0).then(pl.col(name)).alias(name) for name in ("faults", "repairs")
    ]
    arrow = rows.with_columns(none_if_empty).select(kept_columns(table)).to_arrow()
    arrow = arrow.cast(pa.schema([_plain(one) for one in arrow.schema]))
    arrow = arrow.replace_schema_metadata({_FACTS: json.dumps(vars(facts)).encode()})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _plain(one: pa.Field) -> pa.Field:
    """Return a field with the types that Spark reads."""
    kinds = {pa.large_string(): pa.string(), pa.large_list(pa.large_string()): pa.list_(pa.string())}
    repair = pa.struct([("repair", pa.large_string()), ("column", pa.large_string())])
    kinds[pa.large_list(repair)] = pa.list_(pa.struct([("repair", pa.string()), ("column", pa.string())]))
    kinds[pa.large_list(pa.int16())] = pa.list_(pa.int16())
    return pa.field(one.name, kinds.get(one.type, one.type))
