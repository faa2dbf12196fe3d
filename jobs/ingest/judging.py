"""Judging the tables of a data set: units are read once and kept, rules about several rows are asked every night.

A row whose columns cannot be told apart is bad by what the reader found; every other by the table's suite. Great
Expectations judges a sample of the same rows and must agree; the counts of all rows are then put into its verdict.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial

import polars as pl

from jobs.adapters.expectations import Inspector, Verdict
from jobs.adapters.query_engine import Frame, QueryEngine
from jobs.datasets.clean import RowCounts
from jobs.errors import NightlensError
from jobs.ingest.judged_table import JudgedTable, ReadUnit
from jobs.ingest.kept_rows import (
    NIGHTLY,
    SAMPLE,
    TIMES,
    Reading,
    keep_unit,
    kept_columns,
    read_facts,
    rows_store,
)
from jobs.ingest.layout import PHOTO_ID_PATTERN
from jobs.ingest.log_end import data_end, last_plausible_day
from jobs.ingest.nightly_rules import (
    count_failing,
    failing_rows,
    first_failing,
    no_exceptions,
    oracle_sample,
    unusual_sql,
)
from jobs.ingest.rows import pseudonym
from jobs.ingest.rules import failures
from jobs.ingest.settled_units import Outcome, Unsettled, read_outcome, settle, settled_store
from jobs.ingest.source import Source
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import fingerprint

log = logging.getLogger("nightlens.progress")

_QUERIES = {
    "photos": "judge_photos",
    "keywords": "judge_keywords",
    "conversions": "judge_conversions",
    "collections": "judge_collections",
    "colors": "judge_colors",
    "hidden": "judge_hidden",
    "impressions": "judge_impressions",
}
_WIDE = ("faults", "failed", "repairs", "record", "record_sha256", "line_count")


@dataclass(frozen=True)
class Judge:
    """What judging needs besides the table: where rows come from, the key of pseudonyms, limits and the library."""

    engine: QueryEngine
    lake: Lake
    inspector: Inspector
    source: Source
    key: bytes = field(repr=False)
    burst_limit: int  # conversions of one visitor within a minute
    min_shares: Mapping[str, float]  # the suites' parameters min_good_share, min_critical_share and min_photo_share
    version: str  # of the code that reads rows and settles units
    forgotten: Sequence[str] = ()  # pseudonyms of visitors whose rows are left out
    known: Collection[str] = ()  # digests of the units that the last night had
    _fresh: dict[str, list[str]] = field(default_factory=dict, init=False)  # names of units read by this judge

    @cached_property
    def units(self) -> dict[str, list[ReadUnit]]:
        """Every unit of every table of the source, read now unless it is kept."""
        return {table: self._read(table) for table in self.source.surveys}

    @cached_property
    def last_days(self) -> dict[str, date]:
        """The last plausible day of every table that has times."""
        found = {}
        for table in TIMES:
            days: Counter[date] = Counter()
            for one in self.units.get(table, ()):
                days.update({date.fromisoformat(day): count for day, count in one.facts.days.items()})
            if days:
                found[table] = last_plausible_day(days)
        return found

    @cached_property
    def read_by(self) -> dict[str, str]:
        """Digests of what the reading of a row depends on besides its bytes, by how people call it."""
        rules = {table: self._reading(table).rules_digest for table in self.source.surveys}
        key = pseudonym("", self.key)
        return {"the rules": fingerprint(rules), "the pseudonym key": key, "the code that reads rows": self.version}

    def forget_what_was_read(self) -> None:
        """Remove the units that this judge read: they may hold a visitor who was forgotten since."""
        for table, names in self._fresh.items():
            store = rows_store(self.lake, table)
            for name in names:
                store.remove(f"{name}.parquet")
                store.remove(f"{name}{SAMPLE}")

    def judge(self, table: str, photos: Frame | None = None) -> JudgedTable:
        """Judge a table. `photos` (see `known_photos`) is what photo_ids are looked up in, for all that refer to them.

        Raises `NightlensError` if the counts do not add up, or if Great Expectations judges a row otherwise.
        """
        reading, units = self._reading(table, nightly=True), self.units[table]
        exceptions = failing_rows(self._exceptions(reading, units, photos), reading)
        outcomes = self._settle(reading, units, exceptions)
        counts = _sum([outcome.counts for outcome in outcomes])
        rows = sum(one.facts.row_count for one in units)
        if counts.input != counts.clean + counts.quarantined or counts.input != rows:
            raise NightlensError(
                "row_counts_differ", f"{table}: counts do not add up: {counts}; {rows} rows were read", table=table
            )
        return JudgedTable(
            table=table,
            verdict=self._verdict(reading, units, exceptions),
            counts=counts,
            reasons=_added(outcome.reasons for outcome in outcomes),
            repairs=_added(outcome.repairs for outcome in outcomes),
            samples=first_failing(reading, units, exceptions),
            files={
                name: [outcome.files[name] for outcome in outcomes if name in outcome.files]
                for name in (table, "quarantine", "repairs")
            },
            units=units,
            exceptions=exceptions,
        )

    def known_photos(self, photos: JudgedTable) -> Frame:
        """Return one row per proper photo_id there is: when it was submitted, and whether its row is clean."""
        rules = self._reading("photos").rules
        bad = [n for n in photos.exceptions.columns if n.isdigit() and rules[int(n)].severity != "warn"]
        exceptions = photos.exceptions.select("unit", "place", "is_repeated_photo_id", is_bad=pl.any_horizontal(bad))
        views = {"rows": self._rows("photos", photos.units), "exceptions": self.engine.frame(exceptions)}
        return self.engine.keep(self.engine.run("known_photos", views))

    # -- reading ---------------------------------------------------------------------------------------------

    def _reading(self, table: str, *, nightly: bool = False) -> Reading:
        names = self.source.names.conversions
        parameters: dict[str, object] = {
            **self.min_shares,
            "data_end": (data_end(table, self.last_days) if nightly else date.max).isoformat(),
            "photo_id_pattern": PHOTO_ID_PATTERN,
            "conversion_types": list(names.types),
            "devices": list(names.devices),
            "orderings": list(names.orderings),
        }
        return Reading.of(table, self.source, parameters, self.key, self.forgotten, self.version)

    def _read(self, table: str) -> list[ReadUnit]:
        reading, store, units = self._reading(table), rows_store(self.lake, table), self.source.units(table)
        names = [reading.name(unit) for unit in units]
        there = set(store.names(".parquet"))
        missing = {
            name: unit
            for name, unit in zip(names, units, strict=True)
            if not there.issuperset((f"{name}.parquet", f"{name}{SAMPLE}"))
        }
        if missing:
            log.info("%s: reading what is new, %d of %d stretches", table, len(missing), len(units))
        place = (self.lake.root_uri, self.lake.catalogue)
        read = self.engine.each(partial(keep_unit, *place, reading), list(missing.values()))
        facts = dict(zip(missing, read, strict=True))
        self._fresh[table] = list(missing)
        return [
            ReadUnit(unit, name, facts.get(name) or read_facts(store, name), unit.sha256 not in self.known)
            for unit, name in zip(units, names, strict=True)
        ]

    # -- rules of the night ----------------------------------------------------------------------------------

    def _rows(self, table: str, units: Sequence[ReadUnit]) -> Frame:
        store = rows_store(self.lake, table)
        columns = [name for name in kept_columns(table) if name not in _WIDE]
        return self.engine.files([self.lake.uri(f"{store.folder}/{one.name}.parquet") for one in units], columns)

    def _exceptions(self, reading: Reading, units: Sequence[ReadUnit], photos: Frame | None) -> pl.DataFrame:
        """Return the rows of which a rule of the night may say anything but that all is well."""
        if not units:
            return no_exceptions(reading)
        views = {"rows": self._rows(reading.table, units)}
        if "photo_is_known" in NIGHTLY[reading.table]:
            assert photos is not None
            views["photos"] = photos
        markers = {"burst_limit": self.burst_limit} if reading.table == "conversions" else {}
        judged = self.engine.run(_QUERIES[reading.table], views, **markers)
        unusual = " OR ".join(unusual_sql(rule) for rule in reading.rules if reading.is_nightly(rule))
        return self.engine.collect(self.engine.where(judged, unusual)).sort("unit", "place")

    def _settle(self, reading: Reading, units: Sequence[ReadUnit], exceptions: pl.DataFrame) -> list[Outcome]:
        store = settled_store(self.lake, reading.table)
        there = store.sizes()
        by_unit: list[dict[int, list[int]]] = [{} for _ in units]
        for unit, place, numbers in exceptions.select("unit", "place", "numbers").iter_rows():
            if numbers:
                by_unit[unit][place] = numbers
        ones = [
            Unsettled(one.unit, one.name, one.facts.forgotten, found) for one, found in zip(units, by_unit, strict=True)
        ]
        outcomes = [read_outcome(store, one.name, there) for one in ones]
        todo = [one for one, outcome in zip(ones, outcomes, strict=True) if outcome is None]
        made = iter(self.engine.each(partial(settle, self.lake.root_uri, self.lake.catalogue, reading), todo))
        return [next(made) if outcome is None else outcome for outcome in outcomes]

    def _verdict(self, reading: Reading, units: Sequence[ReadUnit], exceptions: pl.DataFrame) -> Verdict:
        """Let the oracle judge a sample, and return the verdict of all rows and of the new ones."""
        sample = oracle_sample(rows_store(self.lake, reading.table), reading, units, exceptions)
        new = {number: one for number, one in enumerate(units) if one.is_new}
        return self.inspector.inspect(
            reading.table,
            reading.rules,
            sample,
            sample.select(failures(reading.rules, sample.schema)),
            sum(one.facts.readable_count for one in units),
            count_failing(reading, units, exceptions),
            sum(one.facts.readable_count for one in new.values()),
            count_failing(reading, list(new.values()), exceptions.filter(pl.col("unit").is_in(list(new)))),
        )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _sum(counts: Sequence[RowCounts]) -> RowCounts:
    return RowCounts(**{name: sum(getattr(one, name) for one in counts) for name in RowCounts.model_fields})
