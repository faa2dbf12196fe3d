"""The training loop: seeded, resumable to the exact same result, with early stopping on a validation hit rate.

Every random choice is derived from the seed and the position (pass or step), so a checkpoint needs no state of
random generators: what follows a resume is what would have followed without. On the CPU the result is the same
for the same number of threads.

Several processes can train one model (see `World`): each holds some shards of the photos with their pairs, and takes
its part of every batch from them. They keep the same weights by adding up their gradients, and the batches are those
one process would have had. The first validates and keeps the checkpoints, from which all go on.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from models.search.augmentation import check_kinds
from models.search.checkpoint import pack, unpack
from models.search.data import Batch, Indices, TrainingData
from models.search.errors import ModelError
from models.search.losses import LOSSES
from models.search.model import SearchModel
from models.search.negatives import HardNegatives, draw, hard_share
from models.search.objective import Objective
from models.search.optimizer import (
    AveragedWeights,
    freeze,
    make_optimizers,
    moved_by_rows,
    parameter_groups,
    rate_factor,
)
from models.search.options import TrainingConfig
from models.search.sampling import PairStream
from models.search.validation import HIT_RATE
from models.search.world import ALONE, World

CALIBRATED_PAIRS = 1024
WARMUP_SHARE = 0.05  # of the steps
KEYWORD_DROPOUT = 0.15
_TORCH = 3  # stream of random numbers


@dataclass
class TrainingResult:
    """What came of it. The model holds the best weights seen by `validate`, or the last ones without it."""

    curves: list[tuple[int, str, float]] = field(default_factory=list)  # step, name, value
    best_hit_rate: float | None = None
    best_step: int = 0
    steps: int = 0
    pairs_seen: int = 0
    seconds: float = 0.0
    stopped_because: str = ""

    @property
    def pairs_per_second(self) -> float:
        """Pairs trained per second of the loop, validations included."""
        return self.pairs_seen / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Hooks:
    """The loop's links to the outside. A checkpoint is one blob; `load` returns the last one saved or None.

    `validate` returns figures by the names of their curves; training keeps the weights with the best `HIT_RATE`. Of
    several processes, all load; only the first validates, saves and reports.
    """

    validate: Callable[[SearchModel], dict[str, float]] | None = None
    load_checkpoint: Callable[[], bytes | None] = lambda: None
    save_checkpoint: Callable[[bytes], None] = lambda blob: None
    report: Callable[[str], None] = lambda line: None


def train(
    model: SearchModel,
    data: TrainingData,
    config: TrainingConfig,
    hooks: Hooks,
    hard: HardNegatives | None = None,
    world: World = ALONE,
) -> TrainingResult:
    """Train `model` in place on its device and return the curves; `ModelError` if the loss stops being finite.

    `hard` are the negatives that `hard_share` of `config` speaks of. A checkpoint found through `hooks` is gone on
    from; that of a finished training gives its result at once. `world` says with which other processes this one
    trains; all end with the same weights.
    """
    trainer = _Trainer(model, data, config, hooks, hard, world)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), moved_by_rows(model):
        trainer.run()
    freeze(model, "none")
    model.eval()
    return trainer.result


def finished_training(model: SearchModel, checkpoint: bytes) -> TrainingResult:
    """Give `model` the weights that a training ended with, and return its result, both from its last checkpoint.

    Raises `ModelError` if that training is not over or was of another kind of model.
    """
    groups, state = unpack(checkpoint)
    result = _result_of(state)
    if not result.stopped_because:
        raise ModelError(
            "training_not_over", f"the training is not over: {result.steps} steps are done", steps=result.steps
        )
    kept = groups.get("best") or groups.get("average") or groups["model"]
    try:
        model.load_state_dict(kept)
    except RuntimeError as error:
        raise ModelError("checkpoint_of_other_model", f"the checkpoint is of another kind of model: {error}") from error
    model.eval()
    return result


def _result_of(state: dict[str, Any]) -> TrainingResult:
    result = state["result"]
    return TrainingResult(**{**result, "curves": [tuple(row) for row in result["curves"]]})


class _Trainer:
    def __init__(
        self,
        model: SearchModel,
        data: TrainingData,
        config: TrainingConfig,
        hooks: Hooks,
        hard: HardNegatives | None,
        world: World,
    ) -> None:
        pair_count = round(world.total([len(data)])[0])
        if not pair_count:
            raise ModelError("no_pairs_to_train_on", "there are no pairs to train on")
        if config.loss not in LOSSES:
            raise ModelError(
                "loss_unknown", f"unknown loss {config.loss!r}; there are {', '.join(LOSSES)}", loss=config.loss
            )
        check_kinds(config.augment)
        if (hard is None) != (config.hard_share == 0):
            raise ModelError("hard_share_without_negatives", "hard negatives and a share of them above 0 go together")
        self.model, self.data, self.config, self.hooks, self.hard = model, data, config, hooks, hard
        self.world = world
        # a smaller last batch would fit the bias badly
        self.steps_per_epoch = max(1, (config.pairs_per_epoch or pair_count) // config.batch_size)
        self.step_count = self.steps_per_epoch * config.epochs
        self.validate_every = math.ceil(self.steps_per_epoch / config.evaluations_per_epoch)
        self.record_every = max(1, self.step_count // 200)
        count_K = np.bincount(data.pair_shards, minlength=data.shard_count).astype(np.float64)
        self.stream = PairStream(
            data.pair_shards, np.array(world.total(count_K.tolist())), batch_size=config.batch_size, seed=config.seed
        )
        world.same_weights(model.state_dict().values())
        freeze(model, config.frozen)
        if config.checkpoint_activations:
            model.network.set_grad_checkpointing(True)
        self.optimizers = make_optimizers(parameter_groups(model, config))
        self.objective = Objective(model, data, config, world)
        self.average = AveragedWeights(model, config.average_decay) if config.average_decay else None
        self.result = TrainingResult()
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.stale_validations = 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.saved_at = self.reported_at = time.perf_counter()
        self.identity = json.dumps([asdict(config), pair_count, data.shard_count, sorted(model.state_dict())])

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        blob = self.hooks.load_checkpoint()
        if blob is not None:
            self._restore(blob)
        begun = time.perf_counter() - self.result.seconds
        if self.result.steps == 0 and not self.result.stopped_because:
            self._calibrate()
            self._validate()
        if not self.result.stopped_because:
            for batch in self._batches():
                self._step(batch)
                self.result.seconds = time.perf_counter() - begun
                self._after_step()
                if self.result.stopped_because:
                    break
            self._save()
        last = None if self.average is None else self.average.weights
        kept = last if self.best_weights is None else self.best_weights
        if kept is not None:
            self.model.load_state_dict(kept)

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches from the current step on, each made while the one before is trained on."""
        with ThreadPoolExecutor(1) as maker:
            upcoming = self._submit(maker, self.result.steps)
            for step in range(self.result.steps, self.step_count):
                batch = upcoming.result()
                if step + 1 < self.step_count:
                    upcoming = self._submit(maker, step + 1)
                yield batch

    def _submit(self, maker: ThreadPoolExecutor, step: int) -> Future[Batch]:
        """Have a batch made. Its hard photos are drawn here: processes speak to one another in this thread only."""
        rows = self.stream.rows(step)
        return maker.submit(self._make_batch, step, rows, self._hard_photos(step, rows))

    def _make_batch(self, step: int, rows: Indices, hard_photos: Indices | None) -> Batch:
        return self.data.batch(
            rows,
            key=(self.config.seed, step),
            keyword_dropout=KEYWORD_DROPOUT,
            keyword_free_share=self.config.keyword_free_share,
            mask_known_positives=self.config.mask_known_positives,
            hard_photos=hard_photos,
            with_partners=self.config.partner_weight > 0,
        )

    def _hard_photos(self, step: int, rows: Indices) -> Indices | None:
        """Return the photos held here of those that are drawn from what the pairs of all processes allow."""
        if self.hard is None:
            return None
        config = self.config
        count = round(hard_share(step, self.step_count, config.hard_share) * config.batch_size)
        if not count:
            return np.zeros(0, np.int64)
        allowed = self.hard.allowed(self.data.texts[rows], rows)
        drawn = draw(allowed, count, seed=config.seed, step=step)
        (every,) = self.world.gather([torch.from_numpy(drawn)])
        return self.data.find_held(draw(np.unique(every.cpu().numpy()), count, seed=config.seed, step=step))

    def _step(self, batch: Batch) -> None:
        step = self.result.steps
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, _TORCH, step]).generate_state(1)[0]))
        factor = rate_factor(step, self.step_count, WARMUP_SHARE)
        self.model.train()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            optimizer.zero_grad(set_to_none=True)
        part = self.objective.backward(batch, step).item()
        value, pair_count = self.world.total([part, batch.pair_count])
        if not math.isfinite(value):
            raise ModelError(
                "loss_not_finite",
                f"the loss is {value} at step {step}: lower the learning rate ({self.config})",
                loss=value,
                step=step,
            )
        self.world.sum_gradients(self.model.parameters())
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        self.loss_sum, self.loss_count = self.loss_sum + value, self.loss_count + 1
        self.result.steps += 1
        self.result.pairs_seen += round(pair_count)

    def _calibrate(self) -> None:
        """Fit scale and bias to the first shard's first pairs, which lie with the first process."""
        batch = None
        if self.world.is_first:
            hard_photos = None if self.hard is None else np.zeros(0, np.int64)
            rows = self.stream.first(min(CALIBRATED_PAIRS, self.config.batch_size))
            batch = self._make_batch(0, rows, hard_photos)
        self.objective.calibrate(batch)

    # -- between steps ---------------------------------------------------------------------------------

    def _after_step(self) -> None:
        result, config = self.result, self.config
        if result.steps == self.step_count:
            result.stopped_because = "all epochs done"
        if result.steps % self.record_every == 0 or result.stopped_because:
            self._record()
        if result.steps % self.validate_every == 0 or result.stopped_because:
            self._validate()
            if self.stale_validations >= config.patience and not result.stopped_because:
                result.stopped_because = f"no better validation in {config.patience}"
        now = time.perf_counter()
        if now - self.reported_at >= config.report_seconds or result.stopped_because:
            self.reported_at = now
            self._report()
        if now - self.saved_at >= config.checkpoint_seconds and not result.stopped_because:
            self._save()
            self.saved_at = time.perf_counter()

    def _save(self) -> None:
        if self.world.is_first:
            self.hooks.save_checkpoint(self._checkpoint())

    def _record(self) -> None:
        network = self.model.network
        values = {"loss": self.loss_sum / self.loss_count, "logit_scale": network.logit_scale.exp().item()}
        values |= {"logit_bias": network.logit_bias.item()}
        self.result.curves += [(self.result.steps, name, value) for name, value in values.items()]
        self.loss_sum, self.loss_count = 0.0, 0

    def _validate(self) -> None:
        if self.hooks.validate is None:
            return
        self.model.eval()
        with nullcontext() if self.average is None else self.average.in_place(self.model):
            found = self.hooks.validate(self.model) if self.world.is_first else {HIT_RATE: 0.0}
            value = self.world.from_first([found[HIT_RATE]])[0]
            weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        self.result.curves += [(self.result.steps, name, rate) for name, rate in (found | {HIT_RATE: value}).items()]
        if self.result.best_hit_rate is None or value > self.result.best_hit_rate:
            self.result.best_hit_rate, self.result.best_step = value, self.result.steps
            self.best_weights = weights
            self.stale_validations = 0
        else:
            self.stale_validations += 1

    def _report(self) -> None:
        if not self.world.is_first:
            return
        result = self.result
        remaining = (self.step_count - result.steps) * result.seconds / result.steps
        last = {name: value for _, name, value in result.curves}
        numbers = ", ".join(f"{name} {last[name]:.3f}" for name in ("loss", HIT_RATE) if name in last)
        self.hooks.report(
            f"step {result.steps}/{self.step_count} (epoch {(result.steps - 1) // self.steps_per_epoch + 1}"
            f"/{self.config.epochs}), {result.pairs_per_second:,.0f} pairs/s, {numbers}, "
            + (result.stopped_because or f"{remaining:.0f} s left")
        )

    # -- checkpoints -----------------------------------------------------------------------------------

    def _checkpoint(self) -> bytes:
        """Pack everything that later steps depend on; of a finished training only what is still of use."""
        is_over = bool(self.result.stopped_because)
        groups = {"best": self.best_weights or {}}
        if not is_over or self.best_weights is None:
            groups["model"] = self.model.state_dict()
        if not is_over:
            groups["optimizer"] = {
                f"{number}.{index}.{key}": torch.as_tensor(value)
                for number, optimizer in enumerate(self.optimizers)
                for index, part in optimizer.state_dict()["state"].items()
                for key, value in part.items()
            }
        if self.average is not None:
            groups["average"] = self.average.weights
        state = {
            "identity": self.identity,
            "result": asdict(self.result),
            "stale_validations": self.stale_validations,
            "loss": [self.loss_sum, self.loss_count],
        }
        return pack(groups, state)

    def _restore(self, blob: bytes) -> None:
        groups, state = unpack(blob)
        if state["identity"] != self.identity:
            raise ModelError(
                "checkpoint_of_other_training",
                "the checkpoint is of another training (other parameters, data or model): remove it",
            )
        self.best_weights = groups.get("best")
        if "model" in groups:
            self.model.load_state_dict(groups["model"])
        if "optimizer" in groups:
            for number, optimizer in enumerate(self.optimizers):
                moments: dict[int, dict[str, Any]] = {}
                for name, tensor in groups["optimizer"].items():
                    of, index, key = name.split(".", 2)
                    if int(of) == number:
                        is_count = key == "step" and isinstance(optimizer, torch.optim.SparseAdam)
                        moments.setdefault(int(index), {})[key] = int(tensor) if is_count else tensor
                optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        if self.average is not None:
            self.average.weights = {k: v.to(self.model.device) for k, v in groups["average"].items()}
            self.average.step_count = state["result"]["steps"]
        self.result = _result_of(state)
        self.stale_validations = state["stale_validations"]
        self.loss_sum, self.loss_count = state["loss"]
