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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.search.augmentation import KINDS, augment, check_kinds
from models.search.checkpoint import pack, unpack
from models.search.data import Batch, Indices, TrainingData
from models.search.errors import ModelError
from models.search.gradient_cache import backward_in_chunks
from models.search.losses import DISTRIBUTED_LOSSES, LOSSES, images
from models.search.losses.distributed import RankPairs, gather_lists
from models.search.losses.pairs import Pairs
from models.search.losses.sigmoid import calibrate
from models.search.model import SearchModel
from models.search.negatives import HardNegatives, hard_share
from models.search.optimizer import (
    AveragedWeights,
    Tower,
    compiled_towers,
    freeze,
    make_optimizers,
    moved_by_rows,
    parameter_groups,
    rate_factor,
)
from models.search.sampling import PairStream, shard_masses
from models.search.world import ALONE, World

CALIBRATED_PAIRS = 1024
HIT_RATE = "validation_hit_rate@10"
_TORCH, _HARD = 3, 4  # streams of random numbers


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Rates of the scale and bias and of the keyword table are multiples of `learning_rate`.

    `pairs_per_epoch`: what makes an epoch, if it is not the number of pairs: arms that merge pairs differently then
    train for the same number of steps. `masks`: known positives are never negatives (see `Pairs`).
    `popularity_exponent`: see `PairStream`.
    `augment`: what is done to pictures, see `augmentation.KINDS`. `two_views_weight`, `partner_weight`: of the losses
    of photos among photos, see `losses/images.py`; the second view is augmented with `augment` or, if that is empty,
    in every way. `hard_share`: hard negatives per pair in the last step, rising from 0.
    `average_decay`: of the averaged weights that are validated and kept, none if 0. `encode_chunk`: photos and texts
    encoded at a time (gradient caching), `loss_chunk`: photos whose logits are held at a time; both change memory and
    time, not what is learned. `compiled`: see `compiled_towers`.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    pairs_per_epoch: int | None = None
    loss: str = "sigmoid"
    masks: bool = True
    popularity_exponent: float = 0.0
    augment: tuple[str, ...] = ()
    two_views_weight: float = 0.0
    partner_weight: float = 0.0
    hard_share: float = 0.0
    average_decay: float = 0.0
    frozen: Tower = "none"
    layer_decay: float = 1.0
    encode_chunk: int | None = None
    loss_chunk: int | None = None
    checkpoint_activations: bool = False
    compiled: bool = False
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
    """The loop's links to the outside. A checkpoint is one blob; `load` returns the last one saved or None.

    Of several processes, all load; only the first validates, saves and reports.
    """

    validate: Callable[[SearchModel], float] | None = None
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
    fast = compiled_towers(model) if config.compiled else nullcontext()
    with torch.random.fork_rng(devices=devices), moved_by_rows(model), fast:
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
        raise ModelError(f"the training is not over: {result.steps} steps are done")
    kept = groups.get("best") or groups.get("average") or groups["model"]
    try:
        model.load_state_dict(kept)
    except RuntimeError as error:
        raise ModelError(f"the checkpoint is of another kind of model: {error}") from error
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
            raise ModelError("there are no pairs to train on")
        if config.loss not in LOSSES:
            raise ModelError(f"unknown loss {config.loss!r}; there are {', '.join(LOSSES)}")
        check_kinds(config.augment)
        if config.hard_share and world.size > 1:
            raise ModelError("hard negatives are drawn from all photos: train in one process, or without them")
        if (hard is None) != (config.hard_share == 0):
            raise ModelError("hard negatives and a share of them above 0 go together")
        self.model, self.data, self.config, self.hooks, self.hard = model, data, config, hooks, hard
        self.world = world
        # a smaller last batch would fit the bias badly
        self.steps_per_epoch = max(1, (config.pairs_per_epoch or pair_count) // config.batch_size)
        self.step_count = self.steps_per_epoch * config.epochs
        self.validate_every = math.ceil(self.steps_per_epoch / config.evaluations_per_epoch)
        self.record_every = max(1, self.step_count // 200)
        masses_K = shard_masses(data.photos, data.pair_shards, data.shard_count, config.popularity_exponent)
        self.stream = PairStream(
            data.photos,
            data.pair_shards,
            np.array(world.total(masses_K.tolist())),
            exponent=config.popularity_exponent,
            batch_size=config.batch_size,
            seed=config.seed,
        )
        world.same_weights(model.state_dict().values())
        freeze(model, config.frozen)
        if config.checkpoint_activations:
            model.network.set_grad_checkpointing(True)
        groups = parameter_groups(
            model,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            scale_rate_factor=config.scale_rate_factor,
            keyword_rate_factor=config.keyword_rate_factor,
            layer_decay=config.layer_decay,
        )
        self.optimizers = make_optimizers(groups)
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
            upcoming = maker.submit(self._next_batch, self.result.steps)
            for step in range(self.result.steps, self.step_count):
                batch = upcoming.result()
                if step + 1 < self.step_count:
                    upcoming = maker.submit(self._next_batch, step + 1)
                yield batch

    def _next_batch(self, step: int) -> Batch:
        return self._make_batch(step, self.stream.rows(step))

    def _make_batch(self, step: int, rows: Indices) -> Batch:
        return self.data.batch(
            rows,
            key=(self.config.seed, step),
            keyword_dropout=self.config.keyword_dropout,
            masks=self.config.masks,
            hard_photos=self._hard_photos(step, rows),
            with_partners=self.config.partner_weight > 0,
        )

    def _hard_photos(self, step: int, rows: Indices) -> Indices | None:
        if self.hard is None:
            return None
        count = round(hard_share(step, self.step_count, self.config.hard_share) * len(rows))
        generator = np.random.default_rng([self.config.seed, _HARD, step])
        return self.hard.draw(self.data.texts[rows], rows, count, generator)

    def _step(self, batch: Batch) -> None:
        step = self.result.steps
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, _TORCH, step]).generate_state(1)[0]))
        factor = rate_factor(step, self.step_count, self.config.warmup_share)
        self.model.train()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            optimizer.zero_grad(set_to_none=True)
        part = self._backward(batch).item()
        value, pair_count = self.world.total([part, batch.pair_count])
        if not math.isfinite(value):
            raise ModelError(f"the loss is {value} at step {step}: lower the learning rate ({self.config})")
        self.world.sum_gradients(self.model.parameters())
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        self.loss_sum, self.loss_count = self.loss_sum + value, self.loss_count + 1
        self.result.steps += 1
        self.result.pairs_seen += round(pair_count)

    def _backward(self, batch: Batch) -> torch.Tensor:
        """Add the gradients of this process's part of a batch's loss and return that part."""
        network, device = self.model.network, self.model.device
        pairs = batch.pairs.to(device)
        rank_pairs = None if self.world.size == 1 else self._rank_pairs(batch)

        def loss(photo_UD: torch.Tensor, text_VD: torch.Tensor) -> torch.Tensor:
            vectors = photo_UD.split(self.model.dim, dim=1)  # the photo's and, with two views, the views'
            features = vectors[0], text_VD, network.logit_scale.exp(), network.logit_bias
            if rank_pairs is None:
                value = LOSSES[self.config.loss](*features, pairs, chunk_size=self.config.loss_chunk)
            else:
                value = DISTRIBUTED_LOSSES[self.config.loss](*features, rank_pairs, chunk_size=self.config.loss_chunk)
            return value + self._among_photos(batch, vectors, pairs, rank_pairs)

        photos, texts = partial(self._photo_vectors, batch), partial(self._text_vectors, batch)
        if self.config.encode_chunk is None:
            value = loss(photos(0, pairs.photo_count), texts(0, pairs.text_count))
            value.backward()
            return value.detach()
        return backward_in_chunks(
            photos,
            pairs.photo_count,
            texts,
            pairs.text_count,
            loss,
            chunk_size=self.config.encode_chunk,
            device=device,
        )

    def _among_photos(
        self, batch: Batch, vectors: Sequence[torch.Tensor], pairs: Pairs, rank_pairs: RankPairs | None
    ) -> torch.Tensor | float:
        """Return the weighted losses of photos among photos, 0 if there are none."""
        config, chunk_size = self.config, self.config.loss_chunk
        value: torch.Tensor | float = 0.0
        if config.two_views_weight:
            if rank_pairs is None:
                views = images.two_views(vectors[1], vectors[2], chunk_size=chunk_size)
            else:
                photo_ids = rank_pairs.photo_id_U
                views = images.two_views_by_gather(vectors[1], vectors[2], photo_ids, chunk_size=chunk_size)
            value += config.two_views_weight * views
        if batch.partners is not None:
            partner_2A = batch.partners.to(self.model.device)
            if rank_pairs is None:
                taken = images.co_converted(vectors[0], pairs, partner_2A, chunk_size=chunk_size)
            else:
                taken = images.co_converted_by_gather(vectors[0], rank_pairs, partner_2A, chunk_size=chunk_size)
            value += config.partner_weight * taken
        return value

    def _rank_pairs(self, batch: Batch) -> RankPairs:
        """Return the batch as the other processes know it, with what is known of its photos and their texts."""
        data, device = self.data, self.model.device
        text_ids, group_ids = data.ids_of_texts(batch.texts), data.ids_of_groups(batch.texts)
        known = None
        if self.config.masks:
            own = [torch.from_numpy(ids).to(device) for ids in (text_ids, group_ids)]
            every = [torch.cat(of_ranks).cpu().numpy() for of_ranks in gather_lists(own)]
            known = torch.from_numpy(data.known_ids(batch.photos, *every))
        photo_ids = torch.from_numpy(data.ids_of_photos(batch.photos))
        return RankPairs(batch.pairs, photo_ids, torch.from_numpy(text_ids), known).to(device)

    def _photo_vectors(self, batch: Batch, start: int, stop: int) -> torch.Tensor:
        """Return the photos' vectors, [n, D]; with two views, beside one another with those of the views, [n, 3D]."""
        keywords = None if batch.keywords is None else batch.keywords.take(np.arange(start, stop))
        pixels_UCHW = batch.pixels[start:stop].to(self.model.device, non_blocking=True)
        features_UD = self._encoded(self._augmented(batch, pixels_UCHW, start, self.config.augment, view=0))
        vector_UD = self.model.combine(features_UD, keywords)
        if not (self.config.two_views_weight and self.model.training):
            return vector_UD
        kinds = self.config.augment or KINDS
        second_UD = self._encoded(self._augmented(batch, pixels_UCHW, start, kinds, view=1))
        views = [normalize(view_UD.float(), dim=1) for view_UD in (features_UD, second_UD)]
        return torch.cat([vector_UD, *views], dim=1)

    def _encoded(self, pixels_UCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.model.device.type == "cuda"):
            return self.model.encode_images(pixels_UCHW)

    def _augmented(
        self, batch: Batch, pixels_UCHW: torch.Tensor, start: int, kinds: Sequence[str], view: int
    ) -> torch.Tensor:
        """Return other pictures of the photos from `start` on; which ones is a matter of seed, step and photo."""
        if not (kinds and self.model.training):
            return pixels_UCHW
        photos = batch.photos[start : start + len(pixels_UCHW)]
        is_flippable_U = self.data.are_safe_to_flip(photos)
        ids, step = self.data.ids_of_photos(photos), self.result.steps
        return augment(pixels_UCHW, ids, is_flippable_U, kinds, seed=self.config.seed, step=step, view=view)

    def _text_vectors(self, batch: Batch, start: int, stop: int) -> torch.Tensor:
        device = self.model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return self.model.encode_tokens(batch.tokens[start:stop].to(device, non_blocking=True)).float()

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Fit scale and bias to the first shard's first pairs; the bias comes out at about -log(batch size)."""
        self.model.eval()
        network = self.model.network
        if self.world.is_first:
            batch = self._make_batch(0, self.stream.first_of(0, min(CALIBRATED_PAIRS, self.config.batch_size)))
            photo_UD = self._photo_vectors(batch, 0, batch.pairs.photo_count)
            cosine_UV = photo_UD @ self._text_vectors(batch, 0, batch.pairs.text_count).T
            positive_UV, negative_UV = batch.pairs.to(cosine_UV.device).dense()
            scale, bias = calibrate(cosine_UV, positive_UV, network.logit_scale.exp().item(), negative_UV)
            network.logit_scale.fill_(math.log(scale))
            # negatives grow with the batch
            network.logit_bias.fill_(bias - math.log(self.config.batch_size / batch.pair_count))
        self.world.same_weights([network.logit_scale, network.logit_bias])

    # -- between steps ---------------------------------------------------------------------------------

    def _after_step(self) -> None:
        result, config = self.result, self.config
        if result.steps == self.step_count:
            result.stopped_because = "all epochs done"
        elif config.max_seconds is not None and self.world.from_first([result.seconds])[0] >= config.max_seconds:
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
            own = self.hooks.validate(self.model) if self.world.is_first else 0.0
            value = self.world.from_first([own])[0]
            weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        self.result.curves.append((self.result.steps, HIT_RATE, value))
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
            raise ModelError("the checkpoint is of another training (other parameters, data or model): remove it")
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
