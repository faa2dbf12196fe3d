"""Stage `gate_release`: the night's candidate, opened as a reader opens it, timed, and judged by `models.gates`.

The verdict goes to the registered version in MLflow (tags gate, gate_night, gate_release, gate_reasons; the last
section of the description) and to the report. It decides nothing: what goes live is decided by a person. Facts:
outcome (pass | fail | inconclusive), sentence, reasons, release (run_date, run_id, version), figures (those a decision
rests on), latency_p50_milliseconds, latency_p99_milliseconds.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from jobs.config.params.release import GateReleaseParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.releases import GATE
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, fingerprint
from jobs.releasing.gate_evidence import evidence
from jobs.releasing.published_pointer import name_of
from jobs.releasing.reader import OpenRelease, open_release
from models import gates

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADING = "## Gate"
INPUTS = (
    *("validated", "champion", "photo_embeddings", "query_embeddings", "registration", "photo_index", "index_check"),
    *("evaluation", "drift"),
)
_K = 10
_WORDS = {
    gates.PASS: "The gate is passed.",
    gates.FAIL: "The gate is not passed.",
    gates.INCONCLUSIVE: "The gate is inconclusive.",
}


def run(ctx: RunContext, params: GateReleaseParams) -> Manifest:
    """Open, time, judge and tell MLflow; a candidate that does not pass is a result, not an error."""
    inputs = {name: ctx.read(named(name)) for name in (*INPUTS, "release")}
    runs = fingerprint({name: manifest.run_id for name, manifest in inputs.items()})  # facts are not in the digests
    staged = ctx.begin(GATE, params, inputs, {"runs": runs})
    if staged.manifest is not None:
        return staged.manifest
    release = inputs["release"]
    name = name_of(release)
    opened = open_release(ctx.lake, name, release.digest, with_model=True)
    query_QD = _queries(ctx.lake, inputs["query_embeddings"], release, params.latency_query_count, ctx.seed)
    latencies = _latencies(opened, query_QD)
    p50, p99 = (round(float(np.percentile(latencies, q)), 3) for q in (50, 99))
    found = evidence(ctx.lake, inputs, p99)
    limits = gates.Limits(**params.model_dump(exclude={"latency_query_count"}))
    verdict = gates.judge(found, limits)
    findings = pl.DataFrame([asdict(finding) for finding in verdict.findings])
    staged.write_table("findings", findings)
    facts: dict[str, Any] = {
        "outcome": verdict.outcome,
        "sentence": " ".join([_WORDS[verdict.outcome], *(f"{reason}." for reason in verdict.reasons)]),
        "reasons": list(verdict.reasons),
        "release": name.model_dump(mode="json"),
        "figures": _figures(found, inputs["evaluation"]),
        "latency_p50_milliseconds": p50,
        "latency_p99_milliseconds": p99,
    }
    _tell_mlflow(ctx, inputs["registration"], facts, verdict)  # before the commit: a rerun after a failure tries again
    return staged.commit(facts)


def _queries(lake: Lake, embedded: Manifest, release: Manifest, count: int, seed: int) -> NDArray[np.float32]:
    """Return vectors of so many queries of the release's arm, a sample that the seed decides."""
    arm = release.facts["arm"]
    facts = embedded.facts["arms"].get(arm)
    if facts is None:
        raise MissingInput(
            "arm_not_embedded",
            f"{embedded.reference} has no vectors of arm {arm!r}: rerun embed_queries",
            arm=arm,
            run=embedded.reference,
        )
    if facts["model_digest"] != release.facts["model_digest"]:
        raise BadInput(
            "models_differ",
            f"{embedded.reference} has query vectors of model {facts['model_digest']}, {release.reference} is of "
            f"model {release.facts['model_digest']}: rerun embed_queries",
            models=(facts["model_digest"], release.facts["model_digest"]),
        )
    rows = pl.scan_parquet(lake.table_uris(embedded, "embeddings")).filter(pl.col("arm") == arm)
    vectors = rows.sort("query", "country").select("vector").collect()["vector"]
    chosen = np.random.default_rng(seed).choice(len(vectors), min(count, len(vectors)), replace=False)
    return np.array(vectors[np.sort(chosen)].to_list(), dtype=np.float32)


def _latencies(release: OpenRelease, query_QD: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the milliseconds of each search made by itself, after one that warms up."""
    release.search(query_QD[:1], _K)
    seconds = []
    for row in range(len(query_QD)):
        begun = time.perf_counter()
        release.search(query_QD[row : row + 1], _K)
        seconds.append(time.perf_counter() - begun)
    return 1000 * np.array(seconds)


def _figures(found: gates.Evidence, evaluation: Manifest) -> dict[str, Any]:
    """Return the figures that go into the promotion ledger with a decision."""
    verdict = evaluation.facts["verdict"]
    return {
        "metric": f"{verdict['metric']}@{verdict['k']}",
        "compared_with": verdict["compared_with"],
        "champion": found.champion,
        "value": evaluation.facts["hit_rate_at_10"][verdict["challenger"]],
        "difference": asdict(found.overall),
        "index_recall": found.index_recall,
        "latency_p99_milliseconds": found.latency_p99_milliseconds,
        "drift": asdict(found.drift),
    }


def _tell_mlflow(ctx: RunContext, registration: Manifest, facts: dict[str, Any], verdict: gates.Verdict) -> None:
    from jobs.adapters import mlflow_registry

    version = mlflow_registry.find_version(ctx.settings, ctx.catalogue, registration.facts["version"])
    if version.tags.get("gate_night", "") > ctx.run_date.isoformat():
        return  # a past night that is recomputed: the version has been judged by a later one
    tags = {
        "gate": verdict.outcome,
        "gate_night": ctx.run_date.isoformat(),
        "gate_release": facts["release"]["run_id"],
        "gate_reasons": "; ".join(verdict.reasons)[:5000],
    }
    for name, value in tags.items():
        mlflow_registry.set_tag(ctx.settings, version, name, value)
    passed = sum(finding.outcome == gates.PASS for finding in verdict.findings)
    lines = [f"Night of {ctx.run_date}: **{verdict.outcome}**, {passed} of {len(verdict.findings)} checks passed.", ""]
    against = [finding for finding in verdict.findings if finding.outcome != gates.PASS]
    lines += [f"- {finding.outcome}: {finding.check}, {finding.figure} ({finding.limit})" for finding in against]
    mlflow_registry.set_section(ctx.settings, version, HEADING, "\n".join(lines))
