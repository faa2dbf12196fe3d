"""What the report is made from: what the night has committed, its ablation, the evaluations of the nights before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from jobs.config.params.ingest import EIGHTY_TWENTY, WINDOWS
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.evaluation import DRIFT, EVALUATION, PHOTO_MAP, RECOMMENDATION, SIMILAR
from jobs.datasets.features import IMPRESSIONS, LEAK_AUDIT, SPLITS
from jobs.datasets.indexes import INDEX_CHECK, PHOTO_INDEX
from jobs.datasets.models import BASE_MODEL, CHAMPION, REGISTRATION, RERANKER, SEARCH_MODELS
from jobs.datasets.releases import GATE, RELEASE
from jobs.datasets.reports import ABLATION, REPORT
from jobs.datasets.schema import Dataset
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest, fingerprint

INPUTS: dict[str, Dataset] = {
    "validate_logs": VALIDATED,
    "fetch_images": IMAGES,
    "split_temporal": SPLITS,
    "audit_leaks": LEAK_AUDIT,
    "measure_impressions": IMPRESSIONS,
    "snapshot_champion": CHAMPION,
    "train_base": BASE_MODEL,
    "train_search": SEARCH_MODELS,
    "register_model": REGISTRATION,
    "embed_photos": PHOTO_EMBEDDINGS,
    "embed_queries": QUERY_EMBEDDINGS,
    "measure_drift": DRIFT,
    "map_embeddings": PHOTO_MAP,
    "build_index": PHOTO_INDEX,
    "verify_index": INDEX_CHECK,
    "train_reranker": RERANKER,
    "evaluate": EVALUATION,
    "evaluate_similar": SIMILAR,
    "evaluate_recommenders": RECOMMENDATION,
    "make_release": RELEASE,
    "gate_release": GATE,
}
"""Stage to dataset, in the order of a night."""


@dataclass(frozen=True)
class Night:
    """The inputs of one report. `manifests` is by dataset name, `earlier` the evaluations of the nights before.

    Nights of another protocol measure something else, so they are not among the earlier ones. `reports` are those of
    all nights, this one's own among them if it was published before.
    `ablation` is the comparison of variants on the night's splits, if there is one.
    """

    ctx: RunContext
    manifests: dict[str, Manifest]
    earlier: tuple[Manifest, ...]
    reports: tuple[Manifest, ...]
    ablation: Manifest | None

    @classmethod
    def read(cls, ctx: RunContext) -> Night:
        """Read the manifests; `MissingInput` names the first stage that has committed nothing for this night."""
        today = ctx.run_date.isoformat()
        manifests = {dataset.name: ctx.read(dataset) for dataset in INPUTS.values()}
        protocol = fact(manifests[EVALUATION.name], "protocol")
        evaluations = [m for m in ctx.lake.history(EVALUATION) if m.partition["run_date"] < today]
        return cls(
            ctx=ctx,
            manifests=manifests,
            earlier=tuple(m for m in evaluations if m.facts.get("protocol", WINDOWS) == protocol),
            reports=tuple(ctx.lake.history(REPORT)),
            ablation=_ablation(ctx, manifests[SPLITS.name]),
        )

    @property
    def takes_all_photos(self) -> bool:
        """Whether all photos are candidates for every search, by the protocol 80/20."""
        return bool(self.fact(SPLITS, "protocol") == EIGHTY_TWENTY)

    @property
    def reported_dates(self) -> frozenset[str]:
        """The nights that have a report."""
        return frozenset(report.partition["run_date"] for report in self.reports)

    @property
    def earlier_usage(self) -> dict[str, dict[str, Any]]:
        """What the nights before that have a report used, by run date, as far as it was measured."""
        today = self.ctx.run_date.isoformat()
        found = {report.partition["run_date"]: report.facts.get("usage") for report in self.reports}
        return {run_date: usage for run_date, usage in sorted(found.items()) if run_date < today and usage is not None}

    @property
    def inputs(self) -> dict[str, Manifest]:
        """Every run of this night that the report is made from."""
        return self.manifests | ({} if self.ablation is None else {ABLATION.name: self.ablation})

    @property
    def run_id(self) -> str:
        """Name of the night that is reported: that of this call, or the first one if an ablation came after it."""
        return self.ctx.run_id if self.ablation is None else self.manifest(EVALUATION).night

    @property
    def source_digests(self) -> dict[str, str]:
        """Digests of what the report shows beside the content of its inputs: their runs, and the nights before."""
        earlier = {m.reference: m.partition["run_date"] in self.reported_dates for m in self.earlier}
        return {
            "runs": fingerprint({name: manifest.run_id for name, manifest in self.inputs.items()}),
            "history": fingerprint({"evaluations": earlier, "usage": self.earlier_usage}),
        }

    def manifest(self, dataset: Dataset) -> Manifest:
        """Return the manifest of one input."""
        return self.manifests[dataset.name]

    def table(self, dataset: Dataset, table: str, columns: list[str] | None = None) -> pl.DataFrame:
        """Return a table of one input, or only some columns of it."""
        return self.ctx.lake.read_table(self.manifest(dataset), table, columns)

    def fact(self, dataset: Dataset, *names: str) -> Any:
        """Return a fact of one input, or one nested in it; `MissingInput` names the run that lacks it."""
        return fact(self.manifest(dataset), *names)


def _ablation(ctx: RunContext, splits: Manifest) -> Manifest | None:
    """Return the night's ablation; one that was trained on other splits says nothing about this night."""
    of_the_night = (m for m in ctx.lake.history(ABLATION) if m.partition == ctx.partition)
    return next((m for m in of_the_night if m.input_runs["splits"] == splits.reference), None)


def fact(manifest: Manifest, *names: str) -> Any:
    """Return a fact of a run, or one nested in it; `MissingInput` names the run that lacks it."""
    value: Any = manifest.facts
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise MissingInput(
                "missing_fact",
                f"{manifest.reference} has no fact {'.'.join(names)!r}, which the report shows. Run the stage that "
                f"makes {manifest.dataset!r} again.",
                run=manifest.reference,
                fact=".".join(names),
            )
        value = value[name]
    return value


def run_date_of(manifest: Manifest) -> date:
    """Return the night a run belongs to."""
    return date.fromisoformat(manifest.partition["run_date"])
