"""The search index: what it finds of exact search, how quickly, at what size, and how other kinds would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.datasets.indexes import INDEX_CHECK, PHOTO_INDEX
from jobs.report import formats
from jobs.report.arms import arm
from jobs.report.inputs import Night
from jobs.report.ranking import Cell
from jobs.report.run_facts import Fact

_NAMES = {
    "flat": ("Flat", "compares with every photo"),
    "ivf_flat": ("IVF-Flat", "looks into the lists nearest to the query"),
    "ivf_pq": ("IVF-PQ", "the same with codes instead of vectors"),
    "opq_ivf_pq": ("OPQ, IVF-PQ", "the same after a rotation that suits the codes"),
    "hnsw": ("HNSW", "walks a graph of neighbours"),
    "lsh": ("LSH", "compares bits of random hyperplanes"),
    "annoy": ("Annoy", "a forest of random projections"),
}


@dataclass(frozen=True)
class KindRow:
    """One kind, built from the night's photos; `is_used` is the kind of the published index."""

    name: str
    meaning: str
    is_used: bool
    recalls: tuple[Cell, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class IndexReport:
    """The section."""

    facts: tuple[Fact, ...]
    kinds: tuple[KindRow, ...]
    batch_size: str
    note: str


def index_report(night: Night) -> IndexReport:
    """Return what is known of the night's index and of the kinds beside it."""
    return IndexReport(
        facts=_facts(night),
        kinds=tuple(
            _kind_row(row, str(night.fact(PHOTO_INDEX, "kind"))) for row in night.fact(INDEX_CHECK, "compared")
        ),
        batch_size=formats.count(night.fact(INDEX_CHECK, "batch_size")),
        note=str(night.fact(INDEX_CHECK, "compared_note")),
    )


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


def _kind_row(row: dict[str, Any], used: str) -> KindRow:
    name, meaning = _NAMES[row["kind"]]
    return KindRow(
        name=name,
        meaning=meaning,
        is_used=row["kind"] == used,
        recalls=(_recall(row, 10), _recall(row, 100)),
        texts=(
            _milliseconds(row["single_p50_ms"]),
            _milliseconds(row["single_p99_ms"]),
            _milliseconds(row["batch_p50_ms"]),
            formats.duration(row["build_seconds"]),
            f"{row['peak_memory_mb']:,.0f} MiB",
            f"{row['bytes_per_vector']:,.0f}",
        ),
    )


def _recall(row: dict[str, Any], k: int) -> Cell:
    low, high = row[f"recall_at_{k}_low"], row[f"recall_at_{k}_high"]
    return Cell(formats.percent(row[f"recall_at_{k}"], 2), formats.percent_interval(low, high))


def _pair(row: dict[str, Any], what: str) -> str:
    p50, p99 = (_milliseconds(row[f"{what}_{part}_ms"]) for part in ("p50", "p99"))
    return f"{p50} in the middle, {p99} for the slowest of a hundred"


def _milliseconds(value: float) -> str:
    return f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:,.3g} s"
