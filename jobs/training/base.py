"""Making a base: a tiny SigLIP trained on photo descriptions, or a pretrained model imported as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.training import TrainBaseParams
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.training.inputs import (
    curve_rows,
    index_texts,
    model_errors_of,
    open_pixels,
    read_photos,
    save_model,
    text_ids,
    training_device,
)
from jobs.training.reach import reach_of
from models.search.data import PhotoPixels, TrainingData
from models.search.identity import query_text
from models.search.model import SearchModel, build_tiny_model, parameter_count
from models.search.options import TrainingConfig
from models.search.sources import import_model
from models.search.training import Hooks, TrainingResult, train
from models.search.validation import HIT_RATE, ValidationSet, hit_rates
from models.text import normalise_query

log = logging.getLogger("nightlens")

HELD_OUT_HIT_RATE = "held_out_hit_rate@10"
TEXT_COUNT, REPEATED = 500_000, 100  # texts that tokens are learned from, and how often one counts at most
KEYWORD_COUNT = 16  # of a photo that has no description
HELD_OUT_SHARE, HELD_OUT_LEAST, HELD_OUT_MOST = 0.05, 50, 2000
"""Photos held out, of those described: among too few, ten that are found say nothing."""
FEWEST_DESCRIBED = 500
"""Of fewer described photos none are held out: the base needs all of them."""
SIZES = {
    "image_size",
    "patch_size",
    "vision_width",
    "vision_layers",
    "text_width",
    "text_layers",
    "embed_dim",
    "context_length",
    "vocab_size",
}


def import_base(source: str, staged: StagedRun) -> dict[str, Any]:
    """Import a pretrained model into a run; return the facts about it."""
    with model_errors_of("train_base"):
        model = import_model(source)
    curves = [(0, "parameter_count", float(parameter_count(model.parameters())))]
    return _write(staged, model, curves)


def train_tiny_base(
    ctx: RunContext, params: TrainBaseParams, staged: StagedRun, splits: Manifest, images: Manifest
) -> dict[str, Any]:
    """Train a tiny base on the photos of the training window, write it into a run; return the facts about it."""
    photos = read_photos(ctx.lake, splits, images).filter("is_in_train").with_columns(photo=pl.int_range(pl.len()))
    words = pl.col("description").map_elements(normalise_query, pl.String)
    keywords = pl.col("keywords").list.head(KEYWORD_COUNT).list.join(", ")
    described = photos.with_columns(
        description=pl.coalesce(pl.when(words != "").then(words), keywords.map_elements(normalise_query, pl.String))
    )
    described = described.filter(pl.col("description") != "")
    if described.is_empty():
        raise MissingInput(
            "no_described_photo",
            f"no photo of {splits.reference} that was there in the training window has an image and a description or "
            f"a keyword: no tiny base can be trained. Take a preset that begins with a pretrained model (make nightly "
            f"PRESET=vit-b-16-siglip), or run the stages by hand: split_temporal with more --train-days, or train_base "
            f"with --source.",
            run=splits.reference,
        )
    sizes = params.model_dump(include=SIZES)
    train = ctx.lake.read_table(splits, "train", ["query", "country", "converted_at", "conversion_count"])
    reach = reach_of(photos, train, SplitsFacts.of(splits).train_end)
    texts = [*described["description"], *_searched(train)]
    with model_errors_of("train_base"):
        model = build_tiny_model(seed=ctx.seed, texts=texts, **sizes).to(training_device())
        fitted, held_out = _hold_out(described)
        result = _train_on_descriptions(ctx, params, staged, model, photos, fitted, held_out)
    facts = {
        "reach": reach,
        "photo_count": len(fitted),
        "held_out_photo_count": len(held_out),
        "held_out_hit_rate": result.best_hit_rate,
        "stopped_because": result.stopped_because,
        "pairs_seen": result.pairs_seen,
        "pairs_per_second": round(result.pairs_per_second, 1),
        "seconds": round(result.seconds, 1),
    }
    # named apart: the arms' curves have the base's hit rate on validation searches
    renamed = [(step, HELD_OUT_HIT_RATE if name == HIT_RATE else name, value) for step, name, value in result.curves]
    return _write(staged, model, renamed) | facts


def _searched(train: pl.DataFrame) -> Iterator[str]:
    """Yield the training window's queries as the arms read them, the more frequent first, each as often as it came.

    Frequent queries then become one token in any script. Of a huge log, the most frequent are enough.
    """
    counted = train.group_by("query", "country").agg(pl.col("conversion_count").sum().alias("count"))
    most = counted.sort("count", "query", "country", descending=True).head(TEXT_COUNT)
    for query, country, count in most.iter_rows():
        yield from repeat(query_text(query, country or ""), min(count, REPEATED))


def _hold_out(described: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the photos to train on, and those to validate on: a share by their ids, which mean nothing."""
    wanted = min(HELD_OUT_MOST, max(HELD_OUT_LEAST, round(HELD_OUT_SHARE * len(described))))
    count = wanted if len(described) >= FEWEST_DESCRIBED else 0
    by_id = np.argsort(text_ids(described["photo_id"].to_list()))
    is_held_out = np.zeros(len(described), np.bool_)
    is_held_out[by_id[:count]] = True
    return described.filter(~is_held_out), described.filter(is_held_out)


def _train_on_descriptions(
    ctx: RunContext,
    params: TrainBaseParams,
    staged: StagedRun,
    model: SearchModel,
    photos: pl.DataFrame,
    fitted: pl.DataFrame,
    held_out: pl.DataFrame,
) -> TrainingResult:
    """Photos with the same description share a text, so that they are no negatives of each other."""
    tokens, texts = index_texts(model, fitted["description"].to_list())
    options = params.model_dump(include={"epochs", "batch_size", "learning_rate", "patience", "checkpoint_seconds"})
    config = TrainingConfig(seed=ctx.seed, evaluations_per_epoch=1, **options)
    hooks = Hooks(
        load_checkpoint=lambda: staged.checkpoints.get(ZERO_SHOT),
        save_checkpoint=lambda blob: staged.checkpoints.put(ZERO_SHOT, blob),
        report=lambda line: log.info("train_base: %s", line),
    )
    with open_pixels(photos, model, ctx.settings.state_dir) as pixels:
        hooks = replace(hooks, validate=_validation(model, held_out, pixels) if len(held_out) else None)
        return train(model, TrainingData(fitted["photo"].to_numpy(), texts, tokens, pixels), config, hooks)


def _validation(
    model: SearchModel, held_out: pl.DataFrame, pixels: PhotoPixels
) -> Callable[[SearchModel], dict[str, float]]:
    """Return what searches with the held-out photos' descriptions among these photos."""
    tokens, texts = index_texts(model, held_out["description"].to_list())
    validation = ValidationSet(held_out["photo"].to_numpy(), tokens, texts, np.arange(len(held_out)), pixels)
    return lambda current: hit_rates(current, validation)


def _write(staged: StagedRun, model: SearchModel, curves: list[tuple[int, str, float]]) -> dict[str, Any]:
    save_model(staged, ZERO_SHOT, model)
    staged.write_table("curves", curve_rows(ZERO_SHOT, curves))
    return {"model_digest": model.digest, "image_digest": model.image_digest}
