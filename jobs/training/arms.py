"""Fine-tuning the arms: each on the same conversions for the same number of steps, validated on the same queries."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch

from jobs.config.params.arms import FULL, ZERO_SHOT
from jobs.config.params.training import TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ArmFacts, Reach, SearchModelsFacts, TrainingFacts
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.training.arm_inputs import ArmInputs
from jobs.training.inputs import (
    curve_rows,
    index_texts,
    model_errors_of,
    save_model,
    text_ids,
    training_device,
)
from models.evaluation.impressions import examination_weights
from models.search.augmentation import is_safe_to_flip
from models.search.data import PhotoPixels, TrainingData
from models.search.keywords import KeywordVocabulary, RaggedKeywords
from models.search.model import SearchModel, extend_model, renew_vocabulary
from models.search.negatives import Candidates, HardNegatives, Shown, mine, passed_over
from models.search.options import TrainingConfig
from models.search.partners import CoConverted
from models.search.sampling import (
    Float64s,
    Indices,
    KnownPositives,
    WeightedPairs,
    count_pairs,
    merge_pairs,
)
from models.search.training import Hooks, TrainingResult, train
from models.search.validation import HIT_RATE, ValidationSet, hit_rates, photo_vectors, text_vectors
from models.search.world import ALONE, World
from models.text import normalise_query

log = logging.getLogger("nightlens")

MOST_BY_POSITION = 10.0
"""What a conversion counts by its place, at most, before all are scaled to the same sum."""
HARD_CANDIDATES = 50
"""Photos of a query that its hard negatives are drawn from."""
HARD_MAX_SCORE = 0.95
"""A candidate above this share of the positive's score may be a positive."""


class ArmsWritten:
    """The models of a run as they are written one by one, the base first; `finish` writes their curves."""

    def __init__(
        self, staged: StagedRun, base_model: Manifest, base: SearchModel, base_hit_rates: dict[str, float]
    ) -> None:
        self._staged = staged
        self._arms = {ZERO_SHOT: _describe(base, base_hit_rates.get(HIT_RATE))}
        measured = [(0, name, rate) for name, rate in base_hit_rates.items()]
        self._curves = [curve_rows(ZERO_SHOT, measured)] if measured else []
        staged.link_files(base_model, ZERO_SHOT)

    def add(self, arm: str, model: SearchModel, result: TrainingResult) -> None:
        """Write a trained model."""
        save_model(self._staged, arm, model)
        self._arms[arm] = _describe(model, result.best_hit_rate, measure(result))
        self._curves.append(curve_rows(arm, result.curves))

    def finish(
        self, counts: dict[str, int], reach: Reach, splits: Manifest, earlier: Manifest | None
    ) -> SearchModelsFacts:
        """Write the curves and return the run's facts; `counts` and `reach` are those of `ArmInputs`."""
        self._staged.write_table("curves", pl.concat(self._curves))
        windows = SplitsFacts.of(splits)
        selected_until = windows.validation_end if splits.row_counts["validation"] else windows.train_end
        before = None if earlier is None else SearchModelsFacts.of(earlier).selected_until
        return SearchModelsFacts(
            arms=self._arms,
            challenger=FULL if FULL in self._arms else list(self._arms)[-1],
            **counts,
            trained_until=windows.train_end,
            selected_until=max(selected_until, before or selected_until),
            reach=reach,
            reused_from=None,
            warm_started_from=None if earlier is None else earlier.reference,
        )


def starting_model(
    params: TrainSearchParams, choices: dict[str, Any], start: SearchModel, vocabulary: KeywordVocabulary
) -> SearchModel:
    """Return the model an arm's training begins with: `start` with what the arm reads besides.

    `start` is the base, or a model of this arm to go on from; its keywords keep what they have learned.
    """
    options = arm_options(params, choices)
    if not options["uses_keywords"]:
        return extend_model(start, uses_country=options["uses_country"], vocabulary=None)
    if start.uses_keywords:
        return renew_vocabulary(start, vocabulary)
    return extend_model(start, uses_country=options["uses_country"], vocabulary=vocabulary)


def train_arm(
    params: TrainSearchParams,
    name: str,
    choices: dict[str, Any],
    model: SearchModel,
    pairs: ArmInputs,
    pixels: PhotoPixels,
    seed: int,
    checkpoints: Store,
    world: World = ALONE,
) -> TrainingResult:
    """Train a `starting_model` in place; `choices` says what the arm reads and in what it differs from `params`.

    Of several processes each has its own shards' `pairs`.
    """
    options = arm_options(params, choices)
    keywords = None if model.vocabulary is None else RaggedKeywords.encode(model.vocabulary, pairs.keywords)
    data = _training_data(model, pairs, pixels, keywords, options, world)
    hooks = Hooks(
        validate=_validation(model, pairs, pixels, keywords, world),
        load_checkpoint=lambda: checkpoints.get(name),
        save_checkpoint=lambda blob: checkpoints.put(name, blob),
        report=lambda line: log.info("train_search %s: %s", name, line),
    )
    config = training_config(options, seed, round(world.total([pairs.pairs_per_epoch])[0]))
    hard = None
    if config.hard_share:
        is_mined = options["hard_from"] == "mined"
        hard = _mine(model, data, world) if is_mined else _passed_over(model, pairs, data, options, world)
    return train(model, data, config, hooks, hard, world)


def arm_options(params: TrainSearchParams, choices: dict[str, Any]) -> dict[str, Any]:
    """Return what an arm reads and all parameters as it trains with them."""
    return {"uses_country": False, "uses_keywords": False} | params.model_dump() | choices


def training_config(options: dict[str, Any], seed: int, pairs_per_epoch: int) -> TrainingConfig:
    """Return the loop's part of an arm's options."""
    fields = {name: options[name] for name in TrainingConfig.__dataclass_fields__ if name in options}
    return TrainingConfig(seed=seed, pairs_per_epoch=pairs_per_epoch, **fields)


def base_validation(base: SearchModel, pairs: ArmInputs, pixels: PhotoPixels) -> dict[str, float]:
    """Return the base's validation hit rates, from which training starts; none where nothing is validated."""
    validate = _validation(base, pairs, pixels, None, ALONE)
    return {} if validate is None else validate(base)


def load_model(ctx: RunContext, models: Manifest, arm: str) -> SearchModel:
    """Return a model of a run, on the device where training goes on."""
    with model_errors_of("train_search"), ctx.lake.local_folder(models, arm) as folder:
        return SearchModel.load(folder, training_device())


def report_failures(pixels: PhotoPixels) -> None:
    """Say which pictures could not be decoded, by reason."""
    if pixels.failures:
        log.warning("train_search: pictures left out: %s", dict(Counter(pixels.failures.values())))


def _texts(model: SearchModel, rows: pl.DataFrame) -> list[str]:
    return [model.query_text(query, country) for query, country in rows.select("query", "country").iter_rows()]


def _validation_set(
    model: SearchModel, pairs: ArmInputs, pixels: PhotoPixels, keywords: RaggedKeywords | None
) -> ValidationSet:
    tokens, texts = index_texts(model, _texts(model, pairs.validation))
    targets = np.searchsorted(pairs.corpus, pairs.validation["photo"].to_numpy())
    is_unseen = pairs.validation["is_unseen"].to_numpy()
    return ValidationSet(pairs.corpus, tokens, texts, targets, pixels, keywords, is_unseen)


def _validation(
    model: SearchModel, pairs: ArmInputs, pixels: PhotoPixels, keywords: RaggedKeywords | None, world: World
) -> Callable[[SearchModel], dict[str, float]] | None:
    """Return what measures models of this kind on the validation window: None where nothing is validated.

    Of several processes the first measures, and all have to agree on whether it does.
    """
    if not pairs.is_validated:
        return None
    validation = _validation_set(model, pairs, pixels, keywords) if world.is_first else None
    return lambda current: {} if validation is None else hit_rates(current, validation)


def _training_data(
    model: SearchModel,
    pairs: ArmInputs,
    pixels: PhotoPixels,
    keywords: RaggedKeywords | None,
    options: dict[str, Any],
    world: World,
) -> TrainingData:
    """Return the pairs of a photo and a text, and what is known to be positive: of the whole log."""
    searches = pairs.log.select("query", "country").unique(maintain_order=True)
    texts = sorted(set(_texts(model, searches)))
    number = {text: position for position, text in enumerate(texts)}
    by_search = searches.with_columns(
        pl.Series("text", [number[text] for text in _texts(model, searches)], dtype=pl.Int64)
    )

    def numbered(rows: pl.DataFrame) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        found = rows.join(by_search, on=["query", "country"], how="left", nulls_equal=True, maintain_order="left")
        return found["photo"].to_numpy(), found["text"].to_numpy()

    ids, photo_ids = text_ids(texts), text_ids(pairs.photos["photo_id"].to_list())
    query_of_text = dict(by_search.select("text", "query").iter_rows())
    query_ids = _query_ids([query_of_text[position] for position in range(len(texts))])
    queries = np.unique(query_ids, return_inverse=True)[1]
    group_ids = query_ids if options["mask_by"] == "query" else ids
    shards = pairs.photos["shard"].to_numpy()
    log_photos, log_texts = numbered(pairs.log)
    weight_R = _row_weights(pairs, options)
    photos, pair_texts, weights = _weighted_pairs(*numbered(pairs.train), weight_R, options, world)
    data = TrainingData(
        photos,
        pair_texts,
        model.tokenize(texts).int(),
        pixels,
        keywords,
        weights=weights,
        known=KnownPositives.of(log_photos, group_ids[log_texts], len(pairs.photos)),
        popularity_correction=options["popularity_correction"],
        photo_ids=photo_ids,
        text_ids=ids,
        group_ids=group_ids,
        is_in_pool=pairs.photos["is_in_train"].to_numpy(),
        is_held=pairs.photos["is_held"].to_numpy(),
        is_flippable=np.array([is_safe_to_flip(name for name, _ in keywords) for keywords in pairs.keywords], np.bool_),
        queries=queries,
        co_converted=CoConverted.of(log_photos, queries[log_texts], shards, photo_ids),
        shards=shards,
        shard_count=pairs.shard_count,
    )
    total, corrected = world.total(data.own_popularity_sums())
    return replace(data, popularity_sums=(total, corrected))


def _row_weights(pairs: ArmInputs, options: dict[str, Any]) -> Float64s:
    """Return what each conversion counts, shape (R,): by its type and, if wanted, by the place it was taken from."""
    weights: Float64s = pairs.train["weight"].to_numpy()
    if options["position_weights"] == "none":
        return weights
    assert pairs.shown is not None
    places = pairs.train["position"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return weights * examination_weights(places, pairs.shown.examination, MOST_BY_POSITION)


def _weighted_pairs(
    photo_R: Indices, text_R: Indices, weight_R: Float64s, options: dict[str, Any], world: World
) -> WeightedPairs:
    """Return the pairs of the rows of the log with their weights: by repetition and by the weights of the rows.

    The latter shift weight between pairs; the sum over the pairs of all processes stays, and so does the loss's scale.
    """
    weigh = merge_pairs if options["pair_weighting"] == "log_count" else count_pairs
    *_, weights = weigh(photo_R, text_R)
    photos, texts, weighted = weigh(photo_R, text_R, weight_R)
    total, found = world.total([float(values.sum(dtype=np.float64)) for values in (weights, weighted)])
    return photos, texts, (weighted * (total / max(found, 1e-9))).astype(np.float32)


def _query_ids(queries: Iterable[str]) -> Indices:
    """Return a number for every query that is the same for all its spellings and in every process."""
    return text_ids([normalise_query(query) for query in queries])


@torch.inference_mode()
def _mine(model: SearchModel, data: TrainingData, world: World) -> HardNegatives:
    """Mine with the model that training starts from: on an incremental night, that of the night before.

    Candidates are the photos of the training window: a later one could not have been passed over.
    """
    assert data.known is not None
    assert data.is_in_pool is not None
    assert data.is_held is not None
    pool = np.flatnonzero(data.is_in_pool & data.is_held)
    return mine(
        text_vectors(model, data.tokens),
        Candidates(
            pool, data.ids_of_photos(pool), lambda photos: photo_vectors(model, photos, data.pixels, data.keywords)
        ),
        data.texts,
        data.photos,
        data.known,
        data.ids_of_groups(np.arange(len(data.tokens))),
        k=HARD_CANDIDATES,
        max_share=HARD_MAX_SCORE,
        world=world,
    )


def _passed_over(
    model: SearchModel, pairs: ArmInputs, data: TrainingData, options: dict[str, Any], world: World
) -> HardNegatives:
    """Return as hard negatives what was shown for a query and never taken, the most looked at first."""
    assert pairs.shown is not None
    assert data.known is not None
    rows = pairs.shown.passed_over.with_columns(pl.col("country").fill_null(""))
    ids, photos = text_ids(_texts(model, rows)), rows["photo"].to_numpy()
    groups = _query_ids(rows["query"]) if options["mask_by"] == "query" else ids
    shown = Shown(ids, groups, photos, data.ids_of_photos(photos), rows["looks"].to_numpy())
    held = data.ids_of_texts(np.arange(len(data.tokens)))
    return passed_over(shown, data.known, held, pair_count=len(data), k=HARD_CANDIDATES, world=world)


def _describe(model: SearchModel, hit_rate: float | None, training: TrainingFacts | None = None) -> ArmFacts:
    return ArmFacts(
        model_digest=model.digest,
        image_digest=model.image_digest,
        uses_country=model.uses_country,
        uses_keywords=model.uses_keywords,
        keyword_count=0 if model.vocabulary is None else len(model.vocabulary.keywords),
        best_validation_hit_rate=hit_rate,
        training=training,
    )


def measure(result: TrainingResult) -> TrainingFacts:
    """Return what facts say of a training."""
    return TrainingFacts(
        best_step=None if result.best_hit_rate is None else result.best_step,
        steps=result.steps,
        pairs_seen=result.pairs_seen,
        pairs_per_second=round(result.pairs_per_second, 1),
        seconds=round(result.seconds, 1),
        stopped_because=result.stopped_because,
    )
