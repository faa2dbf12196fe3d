"""The search index: what it finds of exact search, how quickly, and at what size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.datasets.indexes import INDEX_CHECK, PHOTO_INDEX
from jobs.report import formats
from jobs.report.arms import arm
from jobs.report.inputs import Night
from jobs.report.ranking import Cell
from jobs.report.run_facts import Fact


@dataclass(frozen=True)
class IndexReport:
    """The section. `command` compares other kinds of index on the night's photos."""

    facts: tuple[Fact, ...]
    command: str


def index_report(night: Night) -> IndexReport:
    """Return what is known of the night's index."""
    command = f"nightlens compare_indexes --catalogue {night.ctx.catalogue} --run-date {night.ctx.run_date}"
    return IndexReport(facts=_facts(night), command=command)


def _facts(night: Night) -> tuple[Fact, ...]:
    built = {name: night.fact(PHOTO_INDEX, name) for name in _BUILT}
    checked = {name: night.fact(INDEX_CHECK, name) for name in _CHECKED}
    searches = f"{formats.count(checked['query_count'])} {checked['query_window']} searches"
    recall_10, recall_100 = (_recall(checked, k) for k in (10, 100))
    return (
        Fact("Recall@10 against exact search", f"{recall_10.value} ({recall_10.interval}) on {searches}"),
        Fact("Recall@100", f"{recall_100.value} ({recall_100.interval})"),
        Fact("One search", f"{_pair(checked, 'single')}"),
        Fact(f"{formats.count(checked['batch_size'])} searches at once", _pair(checked, "batch")),
        Fact("Kind", f"{built['kind']}{_thoroughness(built)}"),
        Fact("Why this kind", str(built["reason"])),
        Fact("Photos", formats.count(built["photo_count"])),
        Fact("Bytes per photo", f"{checked['bytes_per_vector']:,.1f}"),
        Fact(
            "Shards",
            f"{formats.count(built['shard_count'])}, {formats.size(built['bytes'])} together; "
            f"{formats.count(built['shards_built'])} filled, {formats.count(built['shards_taken_over'])} taken over",
        ),
        Fact("Quantizer", str(built["quantizer"])),
        Fact(
            "Memory of a building process",
            f"{built['peak_memory_mb']:,.0f} MiB at the peak, {formats.count(built['max_memory_mb'])} allowed",
        ),
        Fact("Model", arm(night.manifest(PHOTO_INDEX).params["arm"]).name),
        Fact("Model digest", str(checked["model_digest"]), is_code=True),
    )


_BUILT = (
    *("kind", "reason", "nlist", "nprobe", "ef_search", "photo_count", "shard_count", "shards_built"),
    *("shards_taken_over", "bytes", "quantizer", "peak_memory_mb", "max_memory_mb"),
)
_LATENCIES = tuple(f"{what}_{part}_ms" for what in ("single", "batch") for part in ("p50", "p99"))
_RECALLS = tuple(f"recall_at_{k}{end}" for k in (10, 100) for end in ("", "_low", "_high"))
_CHECKED = (
    *("query_count", "query_window", "batch_size", "bytes_per_vector", "model_digest"),
    *_LATENCIES,
    *_RECALLS,
)


def _thoroughness(built: dict[str, Any]) -> str:
    if built["nlist"] is not None:
        return f", {formats.count(built['nprobe'])} of {formats.count(built['nlist'])} lists searched"
    return "" if built["ef_search"] is None else f", {formats.count(built['ef_search'])} candidates kept"


def _recall(row: dict[str, Any], k: int) -> Cell:
    low, high = row[f"recall_at_{k}_low"], row[f"recall_at_{k}_high"]
    return Cell(formats.percent(row[f"recall_at_{k}"], 2), formats.percent_interval(low, high))


def _pair(row: dict[str, Any], what: str) -> str:
    p50, p99 = (_milliseconds(row[f"{what}_{part}_ms"]) for part in ("p50", "p99"))
    return f"{p50} in the middle, {p99} for the slowest of a hundred"


def _milliseconds(value: float) -> str:
    return f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:,.3g} s"
