"""Fine-tuning the arms: every arm on the same pairs in the same order, validated on the same queries."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import torch

from jobs.context import RunContext
from jobs.errors import MissingInput
from jobs.evaluation.inputs import takes_all_photos
from jobs.lake import Manifest, StagedRun, Store
from jobs.params import ARMS, FULL, ZERO_SHOT, TrainSearchParams
from jobs.training.inputs import (
    curve_rows,
    index_texts,
    keyword_lists,
    model_errors_of,
    open_pixels,
    read_photos,
    save_model,
    training_device,
)
from models.search.data import Indices, PhotoPixels, TrainingData
from models.search.keywords import KeywordVocabulary, PhotoKeywords, RaggedKeywords
from models.search.model import SearchModel, extend_model, renew_vocabulary
from models.search.negatives import HardNegatives, mine
from models.search.sampling import KnownPositives, merge_pairs
from models.search.training import HIT_RATE, Hooks, TrainingConfig, TrainingResult, train
from models.search.validation import ValidationSet, hit_rate, photo_vectors, text_vectors

log = logging.getLogger("nightlens")


def train_arms(
    ctx: RunContext,
    params: TrainSearchParams,
    staged: StagedRun,
    splits: Manifest,
    images: Manifest,
    base_model: Manifest,
    earlier: Manifest | None = None,
) -> dict[str, Any]:
    """Train the arms of `params`, write models and curves into a run and return its facts.

    With `earlier` models, go on from them with what is new since.
    """
    with model_errors_of("train_search"), ctx.lake.local_folder(base_model, ZERO_SHOT) as folder:
        base = SearchModel.load(folder, training_device())
    pairs = read_pairs(ctx, params, splits, images, earlier)
    with model_errors_of("train_search"), open_pixels(pairs.photos, base, ctx.settings.state_dir) as pixels:
        validate = _validation(base, pairs, pixels, None)
        base_hit_rate = None if validate is None else validate(base)
        arms = {ZERO_SHOT: _describe(base) | {"best_validation_hit_rate": base_hit_rate}}
        curves = [] if base_hit_rate is None else [curve_rows(ZERO_SHOT, [(0, HIT_RATE, base_hit_rate)])]
        for arm in params.arms:
            start = base if earlier is None else _load(ctx, earlier, arm)
            model, result = train_arm(params, arm, ARMS[arm], start, pairs, pixels, ctx.seed, staged.checkpoints)
            save_model(staged, arm, model)
            arms[arm] = _describe(model) | _measure(result)
            curves.append(curve_rows(arm, result.curves))
        if pixels.failures:
            log.warning("train_search: pictures left out: %s", dict(Counter(pixels.failures.values())))
    staged.link_files(base_model, ZERO_SHOT)
    staged.write_table("curves", pl.concat(curves))
    return {"arms": arms, "challenger": FULL if FULL in params.arms else params.arms[-1]} | pairs.counts


@dataclass(frozen=True)
class ArmInputs:
    """Conversions by photo number, and the corpus validation searches in."""

    photos: pl.DataFrame
    keywords: list[list[tuple[str, float]]]  # of every photo
    log: pl.DataFrame  # query, country, photo: of the whole training window
    train: pl.DataFrame  # what is trained on: all of the log, or what an incremental night needs
    validation: pl.DataFrame  # without rows where nothing is validated
    corpus: Indices
    counts: dict[str, int]

    def keywords_in_train(self) -> list[PhotoKeywords]:
        known = self.photos["is_in_train"].to_list()
        return [keywords for keywords, is_known in zip(self.keywords, known, strict=True) if is_known]


def read_pairs(
    ctx: RunContext,
    params: TrainSearchParams,
    splits: Manifest,
    images: Manifest,
    earlier: Manifest | None = None,
) -> ArmInputs:
    """Return the conversions that arms are trained and validated on; `MissingInput` if a window has none.

    The validation window alone may be empty from the start: then nothing is validated.
    """
    photos = read_photos(ctx.lake, splits, images)
    tables = {}
    for name in ("train", "validation"):
        rows = ctx.lake.read_table(splits, name, ["query", "country", "photo_id", "converted_at"])
        # Sorted, so that training does not depend on how the table is cut into files.
        order = ("query", "country", "photo_id", "converted_at")
        tables[name] = rows.join(photos.select("photo_id", "photo"), on="photo_id").sort(order)
        if tables[name].is_empty() and (name == "train" or not rows.is_empty()):
            raise MissingInput(f"no conversion of {splits.reference}, table {name!r}, is of a photo with an image")
    train = tables["train"]
    if earlier is not None:
        train = _recent(train, datetime.fromisoformat(earlier.facts["trained_until"]), params.replay_share, ctx.seed)
    sample_size = min(params.validation_query_count, len(tables["validation"]))
    validation = tables["validation"].sample(sample_size, seed=ctx.seed)
    corpus = _corpus(photos, splits, validation, params.validation_photo_count, ctx.seed)
    counts = {
        "log_pair_count": len(tables["train"]),
        "train_pair_count": len(train),
        "train_pairs_without_image": splits.row_counts["train"] - len(tables["train"]),
        "validation_query_count": len(validation),
        "validation_photo_count": len(corpus),
    }
    return ArmInputs(photos, keyword_lists(photos), tables["train"], train, validation, corpus, counts)


def _recent(rows: pl.DataFrame, since: datetime, replay_share: float, seed: int) -> pl.DataFrame:
    """Return the conversions from `since` on and, per each of them, `replay_share` of those before, at random."""
    is_new = pl.col("converted_at") >= since
    new, old = rows.filter(is_new), rows.filter(~is_new)
    replayed = old.sample(min(len(old), round(replay_share * max(1, len(new)))), seed=seed)
    return pl.concat([new, replayed]).sort("query", "country", "photo_id", "converted_at")


def _corpus(photos: pl.DataFrame, splits: Manifest, validation: pl.DataFrame, limit: int, seed: int) -> Indices:
    """Return the photos that were there by the end of the validation window, in order; by the protocol 80/20 all are.

    Of more than `limit`, the converted ones and a random choice of the others; none where nothing is validated.
    """
    if validation.is_empty():
        return np.empty(0, np.int64)
    end = datetime.fromisoformat(splits.facts["validation_end"])
    is_there = pl.lit(True) if takes_all_photos(splits) else pl.col("submitted_at") < end
    there = photos.filter(is_there)["photo"].to_numpy()
    if len(there) <= limit:
        return there
    converted = np.unique(validation["photo"].to_numpy())
    others = np.setdiff1d(there, converted)
    chosen = np.random.default_rng(seed).choice(others, max(0, limit - len(converted)), replace=False)
    return np.sort(np.concatenate([converted, chosen]))


def _texts(model: SearchModel, rows: pl.DataFrame) -> list[str]:
    return [model.query_text(query, country) for query, country in rows.select("query", "country").iter_rows()]


def _validation_set(
    model: SearchModel, pairs: ArmInputs, pixels: PhotoPixels, keywords: RaggedKeywords | None
) -> ValidationSet:
    tokens, texts = index_texts(model, _texts(model, pairs.validation))
    targets = np.searchsorted(pairs.corpus, pairs.validation["photo"].to_numpy())
    return ValidationSet(pairs.corpus, tokens, texts, targets, pixels, keywords)


def _validation(
    model: SearchModel, pairs: ArmInputs, pixels: PhotoPixels, keywords: RaggedKeywords | None
) -> Callable[[SearchModel], float] | None:
    """Return what measures a model of this kind on the validation window; None where that is empty."""
    if pairs.validation.is_empty():
        return None
    validation = _validation_set(model, pairs, pixels, keywords)
    return lambda current: hit_rate(current, validation)


def train_arm(
    params: TrainSearchParams,
    name: str,
    arm: dict[str, Any],
    start: SearchModel,
    pairs: ArmInputs,
    pixels: PhotoPixels,
    seed: int,
    checkpoints: Store,
) -> tuple[SearchModel, TrainingResult]:
    """Train one arm: `arm` says what it reads and in what it differs from `params`.

    `start` is the base, or a model of this arm to go on from; its keywords keep what they have learned.
    """
    options = {"uses_country": False, "uses_keywords": False} | params.model_dump() | arm
    vocabulary = keywords = None
    if options["uses_keywords"]:
        vocabulary = KeywordVocabulary.build(
            pairs.keywords_in_train(), params.keyword_min_count, params.keyword_hash_rows
        )
        keywords = RaggedKeywords.encode(vocabulary, pairs.keywords)
    if vocabulary is not None and start.uses_keywords:
        model = renew_vocabulary(start, vocabulary)
    else:
        model = extend_model(start, uses_country=options["uses_country"], vocabulary=vocabulary)
    data = _training_data(model, pairs, pixels, keywords, options["popularity_correction"])
    hooks = Hooks(
        validate=_validation(model, pairs, pixels, keywords),
        load_checkpoint=lambda: checkpoints.get(name),
        save_checkpoint=lambda blob: checkpoints.put(name, blob),
        report=lambda line: log.info("train_search %s: %s", name, line),
    )
    config = TrainingConfig(
        seed=seed, **{name: options[name] for name in TrainingConfig.__dataclass_fields__ if name in options}
    )
    hard = _mine(model, data, options) if config.hard_share else None
    return model, train(model, data, config, hooks, hard)


def _training_data(
    model: SearchModel,
    pairs: ArmInputs,
    pixels: PhotoPixels,
    keywords: RaggedKeywords | None,
    popularity_correction: float,
) -> TrainingData:
    """Return every pair of a photo and a text once, weighted by how often it was taken.

    What is known to be positive is of the whole log.
    """
    tokens, log_texts = index_texts(model, _texts(model, pairs.log))
    log_photos = pairs.log["photo"].to_numpy()
    known = KnownPositives.of(log_photos, log_texts, len(pairs.photos))
    number = dict(zip(_texts(model, pairs.log), log_texts.tolist(), strict=True))
    train_texts = np.array([number[text] for text in _texts(model, pairs.train)], np.int64)
    photos, texts, weights = merge_pairs(pairs.train["photo"].to_numpy(), train_texts)
    return TrainingData(
        photos,
        texts,
        tokens,
        pixels,
        keywords,
        weights=weights,
        known=known,
        popularity_correction=popularity_correction,
    )


@torch.inference_mode()
def _mine(model: SearchModel, data: TrainingData, options: dict[str, Any]) -> HardNegatives:
    """Mine with the model that training starts from: on an incremental night, that of the night before."""
    photos = np.arange(len(data.pixels))
    photo_ND = photo_vectors(model, photos, data.pixels, data.keywords)
    groups = np.arange(len(data.tokens)) if data.groups is None else data.groups
    assert data.known is not None
    found = mine(
        text_vectors(model, data.tokens),
        photo_ND,
        data.texts,
        data.photos,
        data.known,
        groups,
        k=options["hard_candidates"],
        max_share=options["hard_max_score"],
    )
    return found


def _load(ctx: RunContext, models: Manifest, arm: str) -> SearchModel:
    with ctx.lake.local_folder(models, arm) as folder:
        return SearchModel.load(folder, training_device())


def _describe(model: SearchModel) -> dict[str, Any]:
    return {
        "model_digest": model.digest,
        "image_digest": model.image_digest,
        "uses_country": model.uses_country,
        "uses_keywords": model.uses_keywords,
        "keyword_count": 0 if model.vocabulary is None else len(model.vocabulary.keywords),
    }


def _measure(result: TrainingResult) -> dict[str, Any]:
    return {
        "best_validation_hit_rate": result.best_hit_rate,
        "best_step": None if result.best_hit_rate is None else result.best_step,
        "steps": result.steps,
        "pairs_seen": result.pairs_seen,
        "pairs_per_second": round(result.pairs_per_second, 1),
        "seconds": round(result.seconds, 1),
        "stopped_because": result.stopped_because,
    }
