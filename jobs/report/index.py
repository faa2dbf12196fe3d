"""The search index: what it is, what it finds of exact search, how quickly, and at what size."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.datasets.indexes import PHOTO_INDEX, IndexCheckFacts, PhotoIndexFacts
from jobs.report import formats
from jobs.report.arms import arm
from jobs.report.inputs import Night
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
    built, checked = night.facts(PhotoIndexFacts), night.facts(IndexCheckFacts)
    searches = f"{formats.count(checked.query_count)} {checked.query_window} searches"
    recall_10 = _recall(checked.recall_at_10, checked.recall_at_10_low, checked.recall_at_10_high)
    recall_100 = _recall(checked.recall_at_100, checked.recall_at_100_low, checked.recall_at_100_high)
    return (
        Fact("Recall@10 against exact search", f"{recall_10} on {searches}"),
        Fact("Recall@100", recall_100),
        Fact("One search", _latencies(checked.single_p50_ms, checked.single_p99_ms)),
        Fact(
            f"{formats.count(checked.batch_size)} searches at once",
            _latencies(checked.batch_p50_ms, checked.batch_p99_ms),
        ),
        Fact("Kind", f"{built.kind}{_thoroughness(built)}"),
        Fact("Why this kind", built.reason),
        Fact("Photos", formats.count(built.photo_count)),
        Fact("Bytes per photo", f"{checked.bytes_per_vector:,.1f}"),
        Fact(
            "Shards",
            f"{formats.count(built.shard_count)}, {formats.size(built.bytes)} together; "
            f"{formats.count(built.shards_built)} filled, {formats.count(built.shards_taken_over)} taken over",
        ),
        Fact("Quantizer", built.quantizer),
        Fact(
            "Memory of a building process",
            f"{built.peak_memory_mb:,.0f} MiB at the peak, {formats.count(built.max_memory_mb)} allowed",
        ),
        Fact("Model", arm(night.manifest(PHOTO_INDEX).params["arm"]).name),
        Fact("Model digest", checked.model_digest, is_code=True),
    )


def _thoroughness(built: PhotoIndexFacts) -> str:
    if built.nlist is not None:
        return f", {formats.count(built.nprobe)} of {formats.count(built.nlist)} lists searched"
    return "" if built.ef_search is None else f", {formats.count(built.ef_search)} candidates kept"


def _recall(value: float, low: float, high: float) -> str:
    return f"{formats.percent(value, 2)} ({formats.percent_interval(low, high)})"


def _latencies(p50: float, p99: float) -> str:
    return f"{_milliseconds(p50)} in the middle, {_milliseconds(p99)} for the slowest of a hundred"


def _milliseconds(value: float) -> str:
    return f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:,.3g} s"
