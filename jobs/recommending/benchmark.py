"""Letting every method learn, recommend and be measured, protocol by protocol. Nothing is read or committed here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from jobs.adapters.spark_session import spark_session
from jobs.adapters.task_pool import task_pool
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.datasets.evaluation import RECOMMENDATION, ProtocolFacts
from jobs.datasets.models import Reach
from jobs.lake.staged_run import WorkerOutput
from jobs.recommending.inputs import World, method
from jobs.recommending.lists_in_tasks import Scoring
from jobs.recommending.tables import measure, segments, sheet
from jobs.runtime.resource_meter import Meter
from jobs.training.reach import check_reach
from models.evaluation.metrics import Floats as Doubles
from models.recommend.interactions import Ints
from models.recommend.interface import Fitted, Recommender, TooLittleToLearn
from models.recommend.judging import DEPTH, beyond_accuracy, visitor_metrics
from models.recommend.popularity import Popularity
from models.recommend.protocols import PROTOCOLS, TEMPORAL, Trial

log = logging.getLogger("nightlens.recommending")

SHORT = 10
"""Places of a list whose coverage, diversity and novelty are told."""
Keep = Callable[[str, Fitted], None]
"""What is done with what a method has learned, given with its name."""


def drop(name: str, fitted: Fitted) -> None:
    """Keep nothing."""


def find(
    world: World,
    params: EvaluateRecommendersParams,
    seed: int,
    settings: Settings,
    files: WorkerOutput,
    keep: Keep = drop,
) -> Findings:
    """Return what all protocols find, the night's own first; what methods learn by that is handed to `keep`.

    A log that cannot be cut at an instant is asked by the other protocols only.
    Tasks that make lists find what they need among `files`.
    """
    uses_spark = params.als_library == "spark" and "als" in params.methods
    with (
        spark_session(settings, "recommenders") if uses_spark else nullcontext(),  # one for all that learns by it
        task_pool(settings, "recommenders", len(world.log.item_N)) as pool,
    ):
        found = Findings(seed, params, world, settings, Scoring(pool, files, params.max_memory_mb), keep)
        if world.untimed:
            found.notes[TEMPORAL] = world.untimed
        else:
            trial = world.trial()
            found.reach = check_reach("evaluate_recommenders", world.reach(trial))
            found.add(TEMPORAL, [trial], params.methods)
        for name in params.protocols:
            methods = tuple(one for one in params.methods if one in params.protocol_methods)
            found.add(name, PROTOCOLS[name](world.learned_log, seed), methods)
    return found


@dataclass
class Findings:
    """The tables as they fill, protocol by protocol."""

    seed: int
    params: EvaluateRecommendersParams
    world: World
    settings: Settings
    scoring: Scoring
    keep: Keep
    protocols: dict[str, ProtocolFacts] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    reach: Reach | None = None
    frames: dict[str, list[pl.DataFrame]] = field(
        default_factory=lambda: {table.name: [] for table in RECOMMENDATION.tables}
    )

    def add(self, protocol: str, trials: list[Trial], methods: tuple[str, ...]) -> None:
        """Let methods learn by every trial of a protocol, and measure all of its visitors together."""
        trials = [self._asked(trial, len(trials)) for trial in trials]
        trials = [trial for trial in trials if trial.truth.visitor_count]
        count = sum(trial.truth.visitor_count for trial in trials)
        learned = sum(len(trial.log.item_N) for trial in trials) // max(1, len(trials))
        self.protocols[protocol] = ProtocolFacts(visitor_count=count, trial_count=len(trials), log_count=learned)
        if not trials or not methods:
            self.notes[protocol] = "nobody to ask about" if methods else "no method is named for it"
            return
        try:
            popular = [self._learn(Popularity(), trial) for trial in trials]
        except TooLittleToLearn as error:  # as every method would say
            self.notes[protocol] = str(error)
            return
        lists: dict[str, list[Ints]] = {}
        unserved: dict[str, int] = {}
        for name in methods:
            try:
                found = [self._recommend(protocol, name, *one) for one in zip(trials, popular, strict=True)]
            except TooLittleToLearn as error:
                self.notes[f"{protocol}/{name}"] = str(error)
                continue
            lists[name] = [item_VK for item_VK, _ in found]
            unserved[name] = sum(int(np.count_nonzero(own_V == 0)) for _, own_V in found)
        self._describe(protocol, trials[0], lists, unserved)
        self._measure(protocol, trials, lists)

    def _asked(self, trial: Trial, trial_count: int) -> Trial:
        """Return the trial with a share of `max_visitor_count` visitors; the first are as good as drawn."""
        some = np.arange(min(trial.truth.visitor_count, -(-self.params.max_visitor_count // trial_count)))
        return replace(trial, histories=trial.histories.take(some), truth=trial.truth.take(some))

    def _learn(self, one: Recommender, trial: Trial) -> tuple[Fitted, float]:
        """Return what a method has learned, and the CPU-seconds that it took."""
        meter = Meter()
        try:
            fitted = trial.learn(one, self.world.items, self.seed)
        finally:
            cpu_seconds, _ = meter.stop()
        return fitted, cpu_seconds

    def _recommend(self, protocol: str, name: str, trial: Trial, popular: tuple[Fitted, float]) -> tuple[Ints, Ints]:
        """Return the lists as they are shown, and how many places of each the method filled itself.

        Popularity fills up the lists of what reads histories, so its cost is part of theirs.
        """
        begun = time.perf_counter()
        fitted, fit_cpu = self._learn(method(name, self.params, self.settings, self.world.items), trial)
        popularity, popular_cpu = popular
        fit_cpu += popular_cpu if fitted.reads_histories else 0.0
        meter = Meter()
        try:
            found = self.scoring.lists(
                fitted,
                popularity,
                trial.histories,
                DEPTH,
                diversity=self.params.diversity,
                pool_count=self.params.diversity_candidates,
                vectors=lambda: self.world.items.image_ID,
                excludes_seen=trial.excludes_seen,
            )
        finally:
            list_cpu, _ = meter.stop()
        log.info("%s, %s: %.1f s", protocol, name, time.perf_counter() - begun)
        row = {"protocol": protocol, "arm": name, "fit_cpu_seconds": fit_cpu, "list_cpu_seconds": list_cpu}
        self.frames["costs"].append(pl.DataFrame([row]))
        if protocol == TEMPORAL:
            self.keep(name, fitted)
            self._draw_curve(name, fitted)
        return found

    def _draw_curve(self, name: str, fitted: Fitted) -> None:
        curve = getattr(fitted, "loss_curve", None)
        if curve is not None:
            steps = {"step": range(1, len(curve) + 1), "value": curve}
            self.frames["curves"].append(pl.DataFrame(steps).with_columns(arm=pl.lit(name), name=pl.lit("loss")))

    def _describe(self, protocol: str, trial: Trial, lists: dict[str, list[Ints]], unserved: dict[str, int]) -> None:
        """Say what a method's lists are like: those of the first trial, as coverage does not add up.

        `lists` are those of all trials by method, as they are shown. `unserved` counts whom it does not serve itself.
        """
        for name, several in lists.items():
            head_VK = several[0][:, :SHORT]
            like = beyond_accuracy(head_VK, self.world.items.image_ID, trial.log, self.world.items.item_count)
            row = {"protocol": protocol, "arm": name, **like, "unserved_count": unserved[name]}
            self.frames["lists"].append(pl.DataFrame([row]))
        if protocol == TEMPORAL:
            item_by_arm = {name: several[0] for name, several in lists.items()}
            names = self.world.photo_ids, self.world.name_visitors
            self.frames["contact_sheet"].append(sheet(trial, item_by_arm, *names, self.params.contact_sheet_visitors))

    def _measure(self, protocol: str, trials: list[Trial], lists: dict[str, list[Ints]]) -> None:
        """Measure the visitors of all trials together and, by the night's own protocol, in groups."""
        if not lists:
            return
        whole = {
            name: np.concatenate(
                [visitor_metrics(*one) for one in zip(several, (t.truth for t in trials), strict=True)]
            )
            for name, several in lists.items()
        }
        self._keep({"protocol": protocol, "segment_kind": "all", "segment": "all"}, whole)
        for segment in segments(trials[0]) if protocol == TEMPORAL else ():
            values = {
                name: visitor_metrics(several[0][segment.visitors], segment.truth) for name, several in lists.items()
            }
            self._keep({"protocol": protocol, "segment_kind": segment.kind, "segment": segment.name}, values)

    def _keep(self, about: dict[str, str], values: dict[str, Doubles]) -> None:
        for table, rows in measure(about, values).items():
            self.frames[table].append(rows)
