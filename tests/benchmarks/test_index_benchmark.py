"""The index stage against autofaiss at equal recall, and its growth in bounded memory.

    pytest -m benchmark tests/benchmarks/test_index_benchmark.py -s

Sizes come from the environment: NIGHTLENS_BENCHMARK_PHOTOS (1000000), NIGHTLENS_BENCHMARK_DIM (256),
NIGHTLENS_BENCHMARK_KIND (auto), NIGHTLENS_GROWTH_PHOTOS (100000,1000000,10000000), NIGHTLENS_GROWTH_MEMORY_MB (1024).
autofaiss wants an older numpy than this project: name an interpreter that has it in AUTOFAISS_PYTHON, or put it on
PYTHONPATH. Memory is the peak of the resident sizes of all processes, sampled every 50 ms; for the index stage those
are Java, the driver and the workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from jobs.datasets.indexes import PHOTO_INDEX
from models import ann
from models.indexing.files import IndexDescription
from models.indexing.ids import Ints
from models.indexing.measuring import ExactSearch, latency
from tests.benchmarks import index_night
from tests.benchmarks.measuring import context, run_measured

PHOTO_COUNT = int(os.environ.get("NIGHTLENS_BENCHMARK_PHOTOS", "1000000"))
DIM = int(os.environ.get("NIGHTLENS_BENCHMARK_DIM", "256"))
KIND = os.environ.get("NIGHTLENS_BENCHMARK_KIND", "auto")
GROWTH = [int(size) for size in os.environ.get("NIGHTLENS_GROWTH_PHOTOS", "100000,1000000,10000000").split(",")]
GROWTH_MEMORY_MB = int(os.environ.get("NIGHTLENS_GROWTH_MEMORY_MB", "1024"))
PEER_PYTHON = os.environ.get("AUTOFAISS_PYTHON", sys.executable)
QUERY_COUNT, K = 1000, 10
PEER = Path(__file__).with_name("autofaiss_peer.py")

pytestmark = [pytest.mark.benchmark, pytest.mark.spark, pytest.mark.timeout(6 * 3600)]


def has_peer() -> bool:
    return subprocess.run([PEER_PYTHON, "-c", "import autofaiss"], capture_output=True, check=False).returncode == 0


def reopened(folder: Path, effort: int) -> ann.ShardedIndex:
    """Open an index that searches `effort` lists, or candidates of a graph."""
    description = IndexDescription.read(folder)
    nprobe = None if description.recipe.nlist is None else min(effort, description.recipe.nlist)
    changed = replace(description, nprobe=nprobe, ef_search=None if description.ef_search is None else effort)
    return ann.ShardedIndex(changed, [ann.OpenShard.open(folder, shard, changed) for shard in changed.shards])


def rows_found(index: ann.ShardedIndex, query_QD: ann.Floats) -> Ints:
    return np.array([[int(name[1:]) for name, _ in row] for row in index.search(query_QD, K)])


def recall(found_QK: Ints, query_QD: ann.Floats) -> float:
    blocks = index_night.photo_blocks(PHOTO_COUNT, DIM)
    numbered = ((np.arange(first, first + len(photo_ND)), photo_ND) for first, photo_ND in blocks)
    exact = ExactSearch(query_QD, K, (found_QK,)).scores(numbered)
    return float(exact.recall([found_QK], 0, K).mean())


def test_the_index_against_autofaiss_at_equal_recall(tmp_path: Path) -> None:
    if not has_peer():
        pytest.skip(
            f"{PEER_PYTHON} has no autofaiss: `uv venv /tmp/peer && uv pip install --python /tmp/peer autofaiss`, then "
            "AUTOFAISS_PYTHON=/tmp/peer/bin/python"
        )
    night, query_QD = context(tmp_path), index_night.vectors(QUERY_COUNT, DIM, 10**6)
    index_night.commit_night(night, PHOTO_COUNT, DIM)
    (tmp_path / "vectors").mkdir()
    for first, photo_ND in index_night.photo_blocks(PHOTO_COUNT, DIM):
        np.save(tmp_path / "vectors" / f"{first:09d}.npy", photo_ND)

    command = [PEER_PYTHON, str(PEER), str(tmp_path), str(os.cpu_count())]
    peer = run_measured(command)
    peer_facts, peer_memory = peer.printed, peer.peak_bytes / 2**20
    peer = faiss.read_index(str(tmp_path / "peer.faiss"))
    faiss.ParameterSpace().set_index_parameters(peer, peer_facts["param"])
    peer_recall = recall(peer.search(query_QD, K)[1], query_QD)
    peer_latency = latency(lambda query: peer.search(query, K), query_QD, 1, least_calls=QUERY_COUNT, max_seconds=120)
    peer_bytes = (tmp_path / "peer.faiss").stat().st_size / PHOTO_COUNT

    begun = time.perf_counter()
    facts, memory = index_night.build(tmp_path, kind=KIND, target_recall=min(0.95, peer_recall))
    seconds = time.perf_counter() - begun
    with night.lake.local_folder(night.read(PHOTO_INDEX), "index") as folder:
        effort, found_recall = 1, 0.0
        while found_recall < peer_recall and effort < 2 * (facts["nlist"] or 2**14):
            effort *= 2
            index = reopened(folder, effort)
            found_recall = recall(rows_found(index, query_QD), query_QD)
        found_latency = latency(
            lambda query: index.search_ids(query, K), query_QD, 1, least_calls=QUERY_COUNT, max_seconds=120
        )
    print(f"\n{PHOTO_COUNT:,} vectors of {DIM}, {QUERY_COUNT} queries, one at a time, {os.cpu_count()} cores")
    print(f"{'':24} {'recall@10':>9} {'build s':>8} {'peak MiB':>9} {'p50 ms':>8} {'p99 ms':>8} {'bytes':>7}")
    ours = f"nightlens {facts['kind']} x{facts['shard_count']} at {effort}"
    for name, values in (
        (
            f"autofaiss {peer_facts['key']}"[:24],
            (peer_recall, peer_facts["seconds"], peer_memory, peer_latency, peer_bytes),
        ),
        (ours, (found_recall, seconds, memory, found_latency, facts["bytes"] / PHOTO_COUNT)),
    ):
        rate, built, peak, speed, size = values
        print(f"{name:24} {rate:9.3f} {built:8.1f} {peak:9.0f} {speed.p50_ms:8.2f} {speed.p99_ms:8.2f} {size:7.0f}")
    assert found_recall >= peer_recall


def test_memory_stays_within_its_limit_while_the_corpus_grows(tmp_path: Path) -> None:
    print(f"\n{DIM} numbers a vector, at most {GROWTH_MEMORY_MB} MiB a process")
    print(f"{'photos':>12} {'kind':>10} {'shards':>7} {'build s':>8} {'process MiB':>12} {'all MiB':>9}")
    for count in GROWTH:
        state_dir = tmp_path / str(count)
        index_night.commit_night(context(state_dir), count, DIM)
        # several shards also where the corpus is small, so that all sizes are built in the same way
        facts, memory = index_night.build(
            state_dir, kind=KIND, max_memory_mb=GROWTH_MEMORY_MB, shard_size=min(1_000_000, count // 2)
        )
        print(
            f"{count:12,} {facts['kind']:>10} {facts['shard_count']:7} {facts['build_seconds']:8.1f} "
            f"{facts['peak_memory_mb']:12.0f} {memory:9.0f}"
        )
        assert facts["photo_count"] == count
        assert facts["shard_count"] >= 2
        assert facts["peak_memory_mb"] <= GROWTH_MEMORY_MB
