"""The training loop: seeded, resumable to the exact same result, with early stopping on a validation hit rate.

Every random choice is derived from the seed and the position (epoch or step), so a checkpoint needs no state of
random generators: what follows a resume is what would have followed without. On the CPU the result is the same
for the same number of threads.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from models.search.checkpoint import pack, unpack
from models.search.data import Batch, Indices, TrainingData
from models.search.errors import ModelError
from models.search.losses.sigmoid import calibrate, sigmoid_loss
from models.search.model import SearchModel

HIT_RATE = "validation_hit_rate@10"
_ORDER, _DROPOUT, _TORCH = 1, 2, 3  # streams of random numbers


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Rates of the scale and bias and of the keyword table are multiples of `learning_rate`."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    scale_rate_factor: float = 20.0
    keyword_rate_factor: float = 30.0
    keyword_dropout: float = 0.15
    evaluations_per_epoch: int = 4
    patience: int = 4
    max_seconds: float | None = None
    checkpoint_seconds: float = 60.0
    report_seconds: float = 10.0


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
    """The loop's links to the outside. A checkpoint is one blob; `load` returns the last one saved or None."""

    validate: Callable[[SearchModel], float] | None = None
    load_checkpoint: Callable[[], bytes | None] = lambda: None
    save_checkpoint: Callable[[bytes], None] = lambda blob: None
    report: Callable[[str], None] = lambda line: None


def train(model: SearchModel, data: TrainingData, config: TrainingConfig, hooks: Hooks) -> TrainingResult:
    """Train `model` in place on its device and return the curves; `ModelError` if the loss stops being finite.

    A checkpoint found through `hooks` is gone on from; that of a finished training gives its result at once.
    """
    trainer = _Trainer(model, data, config, hooks)
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        trainer.run()
    model.eval()
    return trainer.result


def parameter_groups(model: SearchModel, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return the optimiser's groups: matrices of the towers decay; scale, bias and keyword table learn faster."""
    scale = [model.network.logit_scale, model.network.logit_bias]
    keywords = [] if model.keyword_encoder is None else list(model.keyword_encoder.parameters())
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    special = {id(parameter) for parameter in [*scale, *keywords]}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in special]
    decays = [parameter for parameter in rest if parameter.ndim >= 2 and id(parameter) not in tables]
    plain = [parameter for parameter in rest if parameter.ndim < 2 or id(parameter) in tables]
    rate = config.learning_rate
    groups = [
        {"params": decays, "rate": rate, "weight_decay": config.weight_decay},
        {"params": plain, "rate": rate, "weight_decay": 0.0},
        {"params": scale, "rate": rate * config.scale_rate_factor, "weight_decay": 0.0},
        {"params": keywords, "rate": rate * config.keyword_rate_factor, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def rate_factor(step: int, step_count: int, warmup_share: float) -> float:
    """Return the share of the full learning rate at a step (from 0): linear warm-up, then half a cosine to 0.

    >>> [round(rate_factor(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    warmup = round(step_count * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, step_count - warmup)))


class _Trainer:
    def __init__(self, model: SearchModel, data: TrainingData, config: TrainingConfig, hooks: Hooks) -> None:
        if not len(data):
            raise ModelError("there are no pairs to train on")
        self.model, self.data, self.config, self.hooks = model, data, config, hooks
        self.steps_per_epoch = max(1, len(data) // config.batch_size)  # a smaller last batch would fit the bias badly
        self.step_count = self.steps_per_epoch * config.epochs
        self.validate_every = math.ceil(self.steps_per_epoch / config.evaluations_per_epoch)
        self.record_every = max(1, self.step_count // 200)
        self.optimizer = torch.optim.AdamW(parameter_groups(model, config), lr=config.learning_rate, fused=True)
        self.result = TrainingResult()
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.stale_validations = 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.order: tuple[int, Indices] | None = None  # of the current epoch
        self.saved_at = self.reported_at = time.perf_counter()
        self.identity = json.dumps([asdict(config), len(data), sorted(model.state_dict())])

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
            self.hooks.save_checkpoint(self._checkpoint())
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches from the current step on, each made while the one before is trained on."""
        with ThreadPoolExecutor(1) as maker:
            upcoming = maker.submit(self._make_batch, self.result.steps)
            for step in range(self.result.steps, self.step_count):
                batch = upcoming.result()
                if step + 1 < self.step_count:
                    upcoming = maker.submit(self._make_batch, step + 1)
                yield batch

    def _make_batch(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        start = position * self.config.batch_size
        rows = self._order(epoch)[start : start + self.config.batch_size]
        generator = np.random.default_rng([self.config.seed, _DROPOUT, step])
        return self.data.batch(rows, self.config.keyword_dropout, generator)

    def _order(self, epoch: int) -> Indices:
        if self.order is None or self.order[0] != epoch:
            generator = np.random.default_rng([self.config.seed, _ORDER, epoch])
            self.order = epoch, generator.permutation(len(self.data))
        return self.order[1]

    def _step(self, batch: Batch) -> None:
        step = self.result.steps
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, _TORCH, step]).generate_state(1)[0]))
        factor = rate_factor(step, self.step_count, self.config.warmup_share)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        self.model.train()
        cosine_UV, count_UV = self._cosines(batch)
        network = self.model.network
        loss = sigmoid_loss(network.logit_scale.exp() * cosine_UV + network.logit_bias, count_UV)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(f"the loss is {value} at step {step}: lower the learning rate ({self.config})")
        self.loss_sum, self.loss_count = self.loss_sum + value, self.loss_count + 1
        self.result.steps += 1
        self.result.pairs_seen += batch.pair_count

    def _cosines(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        model, device = self.model, self.model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            features_UD = model.encode_images(batch.pixels.to(device, non_blocking=True))
            text_VD = model.encode_tokens(batch.tokens.to(device, non_blocking=True))
        return model.combine(features_UD, batch.keywords) @ text_VD.float().T, batch.counts.to(device)

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Fit scale and bias to the first batch; the bias comes out at about -log(batch size)."""
        self.model.eval()
        network = self.model.network
        scale, bias = calibrate(*self._cosines(self._make_batch(0)), network.logit_scale.exp().item())
        network.logit_scale.fill_(math.log(scale))
        network.logit_bias.fill_(bias)

    # -- between steps ---------------------------------------------------------------------------------

    def _after_step(self) -> None:
        result, config = self.result, self.config
        if result.steps == self.step_count:
            result.stopped_because = "all epochs done"
        elif config.max_seconds is not None and result.seconds >= config.max_seconds:
            result.stopped_because = f"{config.max_seconds:g} s passed"
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
            self.hooks.save_checkpoint(self._checkpoint())
            self.saved_at = time.perf_counter()

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
        value = self.hooks.validate(self.model)
        self.result.curves.append((self.result.steps, HIT_RATE, value))
        if self.result.best_hit_rate is None or value > self.result.best_hit_rate:
            self.result.best_hit_rate, self.result.best_step = value, self.result.steps
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            self.stale_validations = 0
        else:
            self.stale_validations += 1

    def _report(self) -> None:
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
            moments = self.optimizer.state_dict()["state"].items()
            groups["optimizer"] = {f"{index}.{key}": value for index, part in moments for key, value in part.items()}
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
            raise ModelError("the checkpoint is of another training (other parameters, data or model): remove it")
        self.best_weights = groups.get("best")
        if "model" in groups:
            self.model.load_state_dict(groups["model"])
        if "optimizer" in groups:
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for name, tensor in groups["optimizer"].items():
                index, key = name.split(".", 1)
                moments.setdefault(int(index), {})[key] = tensor
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        result = state["result"]
        self.result = TrainingResult(**{**result, "curves": [tuple(row) for row in result["curves"]]})
        self.stale_validations = state["stale_validations"]
        self.loss_sum, self.loss_count = state["loss"]
