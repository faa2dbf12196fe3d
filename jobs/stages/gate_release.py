"""Stage `gate_release`: the night's candidate, opened as a reader opens it, timed, and judged by `models.gates`.

The verdict goes to the report, and to the registered version in MLflow (tags gate and gate_reasons; the last section of
the description). It decides nothing: what goes live is decided by a person.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl

from jobs.config.params.release import GateReleaseParams
from jobs.context import Chosen, RunContext
from jobs.datasets.evaluation import EvaluationFacts
from jobs.datasets.models import RegistrationFacts
from jobs.datasets.releases import GateFacts, GateFigures, ReleaseName
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.releasing.gate_evidence import evidence
from jobs.releasing.published_pointer import name_of
from jobs.releasing.reader import open_release
from jobs.releasing.reader_check import read_through
from jobs.releasing.reading_costs import measure
from models import gates
from models.rerank.live import Asked

HEADING = "## Gate"
_WORDS = {
    gates.PASS: "The gate is passed.",
    gates.FAIL: "The gate is not passed.",
    gates.INCONCLUSIVE: "The gate is inconclusive.",
}


def choose(ctx: RunContext, params: GateReleaseParams, inputs: dict[str, Manifest]) -> Chosen:
    """Return the release's run as what the verdict depends on: it names the run, which another may equal in content."""
    return Chosen(sources={"release": inputs["release"].run_id})


def run(ctx: RunContext, params: GateReleaseParams, inputs: dict[str, Manifest], staged: StagedRun) -> GateFacts:
    """Open, time, judge and tell MLflow; a candidate that does not pass is a result, not an error."""
    release = inputs["release"]
    name = _name(inputs)
    opened = open_release(ctx.lake, name, release.digest, with_model=True)
    searches = _searches(ctx.lake, inputs["evaluation"], params.latency_query_count, ctx.seed)
    costs = measure(ctx.lake, release, opened, searches)
    read = read_through(ctx.lake, inputs, opened, ctx.seed)
    found = evidence(ctx.lake, inputs, costs, read)
    limits = gates.Limits(**params.model_dump(exclude={"latency_query_count"}))
    verdict = gates.judge(found, limits)
    staged.write_table("findings", pl.DataFrame([asdict(finding) for finding in verdict.findings]))
    _tell_mlflow(ctx, name, verdict)  # before the commit: a rerun after a failure tries again
    return GateFacts(
        outcome=verdict.outcome,
        sentence=" ".join(
            [_WORDS[verdict.outcome], *(f"{reason[:1].upper()}{reason[1:]}." for reason in verdict.reasons)]
        ),
        reasons=verdict.reasons,
        release=name,
        figures=_figures(found, EvaluationFacts.of(inputs["evaluation"])),
        read_search_count=read.search_count,
        read_hit_rate=read.read,
        evaluated_hit_rate=read.evaluated,
        costs=costs,
    )


def _name(inputs: dict[str, Manifest]) -> ReleaseName:
    """Return the name of the registered release; `BadInput` if another is registered."""
    release, registration = inputs["release"], inputs["registration"]
    if registration.input_runs.get("release") != release.reference:
        raise BadInput(
            "release_not_registered",
            f"{registration.reference} registered another release than {release.reference}. Rerun register_model.",
            release=release.reference,
        )
    return name_of(release, RegistrationFacts.of(registration).version)


def _searches(lake: Lake, evaluation: Manifest, count: int, seed: int) -> list[Asked]:
    """Return so many searches of the test window, a sample that the seed decides."""
    rows = lake.read_table(evaluation, "queries", ["query_id", "query", "country"]).sort("query_id")
    chosen = np.random.default_rng(seed).choice(len(rows), min(count, len(rows)), replace=False)
    return [Asked(query, country) for query, country in rows[np.sort(chosen)].select("query", "country").iter_rows()]


def _figures(found: gates.Evidence, evaluation: EvaluationFacts) -> GateFigures:
    """Return the figures that go into the promotion ledger with a decision."""
    verdict = evaluation.verdict
    return GateFigures(
        metric=f"{verdict.metric}@{verdict.k}",
        compared_with=verdict.compared_with,
        champion=found.champion,
        value=evaluation.hit_rate_at_10[verdict.challenger],
        difference=found.overall,
        index_recall=found.index_recall,
        latency_p99_milliseconds=found.latency_p99_milliseconds,
        drift=found.drift,
    )


def _tell_mlflow(ctx: RunContext, release: ReleaseName, verdict: gates.Verdict) -> None:
    from jobs.adapters import mlflow_registry

    version = mlflow_registry.find_version(ctx.settings, ctx.catalogue, release.version)
    tags = {
        "gate": verdict.outcome,
        "gate_reasons": "; ".join(verdict.reasons)[:5000],
    }
    for name, value in tags.items():
        mlflow_registry.set_tag(ctx.settings, version, name, value)
    passed = sum(finding.outcome == gates.PASS for finding in verdict.findings)
    lines = [f"Night of {ctx.run_date}: **{verdict.outcome}**, {passed} of {len(verdict.findings)} checks passed.", ""]
    against = [finding for finding in verdict.findings if finding.outcome != gates.PASS]
    lines += [f"- {finding.outcome}: {finding.check}, {finding.figure} ({finding.limit})" for finding in against]
    mlflow_registry.set_section(ctx.settings, version, HEADING, "\n".join(lines))
