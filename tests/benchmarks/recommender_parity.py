"""Recommenders side by side with those of implicit and RecTools on one log: what they find, and what they take.

    RECTOOLS_PYTHON=<environment>/bin/python python -m tests.benchmarks.recommender_parity --log u.data

Both sides learn from the same rows, those that were liked, and are asked about the same visitors, by two protocols: the
latest fifth of every history is held out, and the last fifth of the whole log. What a visitor has is not recommended.
`judged` measures the lists of both. Each method runs in a process of its own, on as many threads as `--threads` says;
seconds are those of the processor, memory is the peak above what the process had before. Trained methods run with
several seeds. Their figures are means with the standard deviation over seeds.

Each method of ours is compared with its best peer by hit rate, recall and nDCG, for visitors with a past. It is behind
by a measure if the whole 95 % interval of the difference lies below -`MARGIN`, ahead if it lies above 0, level if it
lies above -`MARGIN`, else undecided: the log has too few visitors, or the runs too few seeds, to tell.
RecTools needs numpy 1, so it has an environment of its own, see `recommender_peers.txt`. Without it the output names
the peers that are left out.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from threadpoolctl import threadpool_limits

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.recommending.external_log import METHODS, PASSES, Columns, bare_items, read_log
from jobs.recommending.inputs import method
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters, Estimates
from models.recommend.interactions import NONE, Interactions
from models.recommend.protocols import Trial, held_out, temporal
from models.recommend.topk import top_k
from tests.benchmarks.measuring import forget_peak, memory_mib

K = 10
MARGIN = 0.02
TRAINED = ("als", "sasrec", "two_tower", "graphsage", "implicit_als", "rectools_sasrec")
"""Those whose figures depend on a seed."""
PEERS = {
    "popularity": ("rectools_popular",),
    "item_knn": ("implicit_cosine", "implicit_tfidf", "implicit_bm25"),
    "als": ("implicit_als",),
    "ease": ("rectools_ease",),
    "sasrec": ("rectools_sasrec",),
}
"""The methods of the same kind. Where we have none of that kind, the peer stands for comparison."""
MEASURES = ("hit_rate", "recall", "ndcg")
PEER = Path(__file__).with_name("recommender_peer.py")
RECTOOLS_PYTHON = os.environ.get("RECTOOLS_PYTHON", sys.executable)


@dataclass(frozen=True)
class Row:
    """A method's figures by seed and visitor, [S, V, 3], and what it took on average."""

    value_SVM: np.ndarray
    cost: dict[str, float]

    def of(self, is_asked_V: np.ndarray) -> np.ndarray:
        """Return the means over some visitors by seed, [S, 3]."""
        return self.value_SVM[:, is_asked_V].mean(axis=1)


def judged(item_VK: np.ndarray, truths: list[set[int]]) -> np.ndarray:
    """Return hit, recall and nDCG at K of every visitor, [V, 3], by their definitions alone."""
    gains = 1 / np.log2(np.arange(2, K + 2))
    rows = []
    for items, truth in zip(item_VK[:, :K].tolist(), truths, strict=True):
        is_right = np.array([item in truth for item in items])
        dcg = gains[: len(items)][is_right].sum()
        rows.append((is_right.any(), is_right.sum() / len(truth), dcg / gains[: len(truth)].sum()))
    return np.array(rows, float)


def trials(log: Interactions) -> dict[str, Trial]:
    """Return both protocols over what was liked."""
    liked = log.liked()
    first_at = np.full(liked.item_count, np.inf)
    np.minimum.at(first_at, liked.item_N, liked.at_N)
    start = float(np.quantile(liked.at_N, 0.8))
    return {"fifth_held_out": held_out(liked, 0.2), "temporal": temporal(liked, start, first_at, liked.country_V)}


def ours(trial: Trial, name: str, seed: int, threads: int) -> tuple[np.ndarray, dict[str, float]]:
    """Return the items of a method of ours, and what it took, in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:  # another start would load all libraries anew
        return pool.apply(learned_and_listed, (trial, name, seed, threads))


def learned_and_listed(trial: Trial, name: str, seed: int, threads: int) -> tuple[np.ndarray, dict[str, float]]:
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    items = bare_items(trial.log.item_count)
    prepared = method(name, EvaluateRecommendersParams.checked("compare_recommenders", PASSES), Settings(), items)
    before, begun = forget_peak(), time.process_time()
    fitted = trial.learn(prepared, items, seed)
    learned = time.process_time()
    item_VK = top_k(fitted, trial.histories, K).item_VK
    ended = time.process_time()
    return item_VK, {"fit": learned - begun, "list": ended - learned, "mib": memory_mib("VmHWM") - before}


def theirs(trial: Trial, name: str, seed: int, threads: int) -> tuple[np.ndarray, dict[str, float]]:
    """Return the items of a peer, and what it took."""
    with tempfile.TemporaryDirectory() as place:
        np.savez(
            Path(place, "trial.npz"),
            visitor_N=trial.log.visitor_V[trial.log.row_visitors()],
            item_N=trial.log.item_N,
            at_N=trial.log.at_N,
            asked_V=trial.histories.visitor_V,
            visitor_count=trial.log.visitor_count,
            item_count=trial.log.item_count,
        )
        command = [python_of(name), "-W", "ignore", str(PEER), place, name, str(seed), str(threads)]
        few = os.environ | {"OMP_NUM_THREADS": str(threads)}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=few)
        if run.returncode:
            raise RuntimeError(f"{name}: {run.stderr.strip().splitlines()[-1]}")
        return np.load(Path(place, "items.npy")), json.loads(run.stdout.splitlines()[-1])


def python_of(peer: str) -> str:
    return RECTOOLS_PYTHON if peer.startswith("rectools") else sys.executable


def is_installed(peer: str) -> bool:
    command = [python_of(peer), "-c", f"import {peer.partition('_')[0]}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def measured(trial: Trial, name: str, seeds: int, threads: int) -> Row:
    """Return a method's row, of one seed where chance has no part in it."""
    truths = [set(trial.truth.item_N[trial.truth.history(v)].tolist()) for v in range(trial.truth.visitor_count)]
    values, costs = [], []
    for seed in range(seeds if name in TRAINED else 1):
        item_VK, cost = (ours if name in METHODS else theirs)(trial, name, seed, threads)
        refuse_seen(item_VK, trial, name)
        values.append(judged(item_VK, truths))
        costs.append(cost)
    return Row(np.stack(values), {key: float(np.mean([cost[key] for cost in costs])) for key in costs[0]})


def refuse_seen(item_VK: np.ndarray, trial: Trial, name: str) -> None:
    """Raise AssertionError for a list with an item that its visitor has, or with one twice."""
    for visitor, items in enumerate(item_VK.tolist()):
        there = [item for item in items if item != NONE]
        assert len(set(there)) == len(there), f"{name} lists an item twice"
        assert not set(there) & set(trial.histories.item_N[trial.histories.history(visitor)]), f"{name} lists seen ones"


def shown(rows: dict[str, Row], has_past_V: np.ndarray) -> str:
    """Return the table: every method for all, and its hit rate for visitors with a past."""
    headings = "".join(f"{name:>8}{'':7}" for name in ("hit@10", "recall", "nDCG", "w. past"))
    lines = [f"{'':18}{headings}{'fit CPU s':>11}{'list':>8}{'MiB':>7}"]
    for name, row in rows.items():
        value_SF = np.column_stack([row.of(np.ones_like(has_past_V)), row.of(has_past_V)[:, 0]])
        spread_F = value_SF.std(axis=0, ddof=min(1, len(value_SF) - 1))  # 0 of one seed
        figures = "".join(
            f"{mean:>8.3f}{f'±{spread:.3f}' if spread else '':>7}"
            for mean, spread in zip(value_SF.mean(axis=0), spread_F, strict=True)
        )
        lines.append(f"{name:18}{figures}{row.cost['fit']:>11.1f}{row.cost['list']:>8.2f}{row.cost['mib']:>7.0f}")
    return "\n".join(lines)


def differences(rows: dict[str, Row], has_past_V: np.ndarray) -> dict[str, Estimates]:
    """Return each method less its best peer by hit rate, for visitors with a past, as sure as visitors and seeds are.

    What seeds move is seen in the runs of both sides; visitors are paired.
    """
    found = {}
    for name, names in PEERS.items():
        if name in rows and (there := [peer for peer in names if peer in rows]):
            best = max(there, key=lambda peer: rows[peer].of(has_past_V)[:, 0].mean())
            values = {arm: rows[arm].value_SVM[:, has_past_V].mean(axis=0) for arm in (name, best)}
            difference = Scorecard.of_values(values, Clusters.of(np.arange(has_past_V.sum()))).difference(name, best)
            for arm in (name, best):
                mean_SM = rows[arm].of(has_past_V)
                if len(mean_SM) > 1:
                    difference = difference.less_sure(mean_SM.var(axis=0, ddof=1) / len(mean_SM), len(mean_SM) - 1)
            found[f"{name} less {best}"] = difference
    return found


def verdicts(difference: Estimates) -> list[str]:
    """Say of each measure whether a method is behind its peer."""
    return [
        "behind" if high < -MARGIN else "undecided" if low < -MARGIN else "ahead" if low > 0 else "level"
        for low, high in zip(difference.low, difference.high, strict=True)
    ]


def parity(log: Interactions, seeds: int, threads: int) -> list[str]:
    """Print both tables; return the comparisons by which one of our methods is behind."""
    peers = [peer for names in PEERS.values() for peer in names]
    left_out = [peer for peer in peers if not is_installed(peer)]
    if left_out:
        print(f"Left out, since {RECTOOLS_PYTHON} has no such library: {', '.join(left_out)}\n")
    names = [name for name in (*METHODS, *peers) if name not in left_out]
    behind = []
    for protocol, trial in trials(log).items():
        has_past_V = np.diff(trial.histories.start_V1) > 0
        rows = {name: measured(trial, name, seeds, threads) for name in names}
        print(
            f"{protocol}: {len(has_past_V):,} visitors, {has_past_V.sum():,} with a past; "
            f"{len(trial.log.item_N):,} likes learned from; {seeds} seeds\n{shown(rows, has_past_V)}",
            flush=True,
        )
        for title, found in differences(rows, has_past_V).items():
            told = verdicts(found)
            figures = zip(MEASURES, found.value, found.low, found.high, told, strict=True)
            print(
                title.ljust(34), *(f"{m} {d:+.3f} ({low:+.3f} to {high:+.3f}) {v} " for m, d, low, high, v in figures)
            )
            behind += [f"{protocol}: {title}"] if "behind" in told else []
        print()
    return behind


def main(
    log: Annotated[Path, typer.Option(help="as `compare_recommenders` reads it without further flags")],
    seeds: Annotated[int, typer.Option(help="of methods that are trained")] = 3,
    threads: int = 1,
) -> None:
    """Compare on a log; ends with 1 if a method of ours is behind."""
    behind = parity(read_log(log, Columns()).log, seeds, threads)
    print("\n".join(f"Behind: {title}" for title in behind) or f"None is surely more than {MARGIN} behind.")
    raise typer.Exit(bool(behind))


if __name__ == "__main__":
    typer.run(main)
