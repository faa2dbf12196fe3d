"""What the report is made from: what the night has committed, its ablation, the evaluations of the nights before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from jobs.context import RunContext
from jobs.datasets.all import ALL
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import SPLITS
from jobs.datasets.releases import LIVE_DAY
from jobs.datasets.reports import ABLATION, REPORT, ReportFacts, Usage
from jobs.datasets.schema import Dataset, Facts
from jobs.lake.manifest import Manifest, fingerprint

Some = TypeVar("Some", bound=Facts)
_DATASETS = {dataset.facts: dataset.name for dataset in ALL}


@dataclass(frozen=True)
class Night:
    """The inputs of one report: the night's runs by dataset name, and the names of the stages that made them.

    `earlier` are the evaluations of the nights before. Nights of another protocol measure something else, so they are
    not among them. `earlier_live` says how what was live answered the days before, by whatever protocol. `reports` are
    those of all nights, this one's own among them if it was published before.
    `ablation` is the comparison of variants on the night's splits, if there is one.
    """

    ctx: RunContext
    inputs: dict[str, Manifest]
    stages: Mapping[str, str]
    earlier: tuple[Manifest, ...]
    earlier_live: tuple[Manifest, ...]
    reports: tuple[Manifest, ...]
    ablation: Manifest | None

    @classmethod
    def read(cls, ctx: RunContext, inputs: Mapping[str, Manifest], stages: Mapping[str, str]) -> Night:
        """Look up what lies beside the night's runs."""
        today = ctx.run_date.isoformat()
        protocol = EvaluationFacts.of(inputs[EVALUATION.name]).protocol
        before, live = (
            [m for m in ctx.lake.history(dataset) if m.partition["run_date"] < today]
            for dataset in (EVALUATION, LIVE_DAY)
        )
        return cls(
            ctx=ctx,
            inputs=dict(inputs),
            stages=stages,
            earlier=tuple(m for m in before if EvaluationFacts.of(m).protocol == protocol),
            earlier_live=tuple(live),
            reports=tuple(ctx.lake.history(REPORT)),
            ablation=_ablation(ctx, inputs[SPLITS.name]),
        )

    @property
    def reported_dates(self) -> frozenset[str]:
        """The nights that have a report."""
        return frozenset(report.partition["run_date"] for report in self.reports)

    @property
    def earlier_usage(self) -> dict[str, Usage]:
        """What the nights before that have a report used, by run date."""
        today = self.ctx.run_date.isoformat()
        found = {report.partition["run_date"]: ReportFacts.of(report).usage for report in self.reports}
        return {run_date: usage for run_date, usage in sorted(found.items()) if run_date < today}

    @property
    def added_inputs(self) -> dict[str, Manifest]:
        """The runs of this night that the report is made from and its stage does not declare."""
        return {} if self.ablation is None else {ABLATION.name: self.ablation}

    @property
    def run_id(self) -> str:
        """Name of the night that is reported: that of this call, or the first one if an ablation came after it."""
        return self.ctx.run_id if self.ablation is None else self.manifest(EVALUATION).night

    @property
    def source_digests(self) -> dict[str, str]:
        """Digests of what the report shows beside the content of its inputs: their runs, and the nights before."""
        earlier = {m.reference: m.partition["run_date"] in self.reported_dates for m in self.earlier}
        usage = {run_date: usage.as_json() for run_date, usage in self.earlier_usage.items()}
        live = [m.reference for m in self.earlier_live]
        runs = {name: manifest.run_id for name, manifest in (self.inputs | self.added_inputs).items()}
        history = {"evaluations": earlier, "live": live, "usage": usage}
        return {"runs": fingerprint(runs), "history": fingerprint(history)}

    def manifest(self, dataset: Dataset) -> Manifest:
        """Return the manifest of one input."""
        return self.inputs[dataset.name]

    def table(self, dataset: Dataset, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Return a table of one input, or only some columns of it."""
        return self.ctx.lake.read_table(self.manifest(dataset), table, columns)

    def facts(self, kind: type[Some]) -> Some:
        """Return the facts of the input that has facts of this kind."""
        return kind.of(self.inputs[_DATASETS[kind]])


def _ablation(ctx: RunContext, splits: Manifest) -> Manifest | None:
    """Return the night's ablation; one that was trained on other splits says nothing about this night."""
    of_the_night = (m for m in ctx.lake.history(ABLATION) if m.partition == ctx.partition)
    return next((m for m in of_the_night if m.input_runs["splits"] == splits.reference), None)
