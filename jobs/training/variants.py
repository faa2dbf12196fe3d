"""Training a variant of the ablation and ranking the test queries in the same process."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from jobs.config.params.ablation import TrainVariantParams
from jobs.config.params.arms import AS_TRAINED, FULL, VARIANTS, ZERO_SHOT
from jobs.context import Inputs, RunContext
from jobs.datasets.models import SearchModelsFacts, VariantFacts
from jobs.errors import MissingInput
from jobs.evaluation.availability import read_availability
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from jobs.training.arm_inputs import read_pairs
from jobs.training.arms import load_model, measure, starting_model, train_arm
from jobs.training.inputs import curve_rows, keyword_lists, model_errors_of, open_pixels
from models.evaluation.counting import rank_by_vectors
from models.search.data import PhotoPixels
from models.search.keywords import RaggedKeywords
from models.search.model import SearchModel
from models.search.validation import photo_vectors, text_vectors


def train_and_rank(
    ctx: RunContext, params: TrainVariantParams, checkpoints: Store, inputs: Inputs
) -> tuple[dict[str, pl.DataFrame], VariantFacts]:
    """Return the tables of VARIANT and the facts of one variant; its seed is the night's + repeat."""
    pairs = read_pairs(ctx, params, inputs["splits"], inputs["images"])
    facts = VariantFacts(variant=params.variant, repeat=params.repeat)
    is_as_trained = params.variant == AS_TRAINED
    if is_as_trained:
        facts = facts.model_copy(update=_own_arm(inputs["search_models"]))
    start = (
        load_model(ctx, inputs["search_models"], FULL)
        if is_as_trained
        else load_model(ctx, inputs["base_model"], ZERO_SHOT)
    )
    with model_errors_of("train_variant"), open_pixels(pairs.photos, start, ctx.settings.state_dir) as pixels:
        model, curves = start, []
        if params.variant not in (AS_TRAINED, ZERO_SHOT):
            choices, seed = VARIANTS[params.variant], ctx.seed + params.repeat
            model = starting_model(params, choices, start, pairs.vocabulary())
            result = train_arm(params, params.variant, choices, model, pairs, pixels, seed, checkpoints)
            curves = result.curves
            found = {"best_validation_hit_rate": result.best_hit_rate, "training": measure(result)}
            facts = facts.model_copy(update=found)
        task = read_task(ctx.lake, inputs["splits"])
        photo_PD, has_vector_P = photo_matrix(model, task, pairs.photos, pixels)
        text_UD = text_matrix(model, task.texts)
    searches = task.text_ids, task.targets, task.asked_at
    rank_Q = rank_by_vectors(text_UD, photo_PD, has_vector_P, searches, read_availability(ctx.lake, inputs, task))
    query_ids = task.queries["query_id"].cast(pl.Int64)
    has_vector = pl.Series(has_vector_P)
    embeddings = task.photos.filter(has_vector).select(
        "photo_id",
        arm=pl.lit(params.variant),
        vector=pl.Series(photo_PD[has_vector_P], dtype=pl.Array(pl.Float32, photo_PD.shape[1])).cast(
            pl.List(pl.Float32)
        ),
    )
    tables = {
        "ranks": pl.DataFrame({"query_id": query_ids, "rank": rank_Q}),
        "curves": curve_rows(params.variant, curves),
        "embeddings": embeddings,
    }
    return tables, facts


def _own_arm(models: Manifest) -> dict[str, object]:
    """Return how the night's own full arm came to be; `MissingInput` if the night trained none."""
    trained = SearchModelsFacts.of(models)
    if FULL not in trained.arms:
        raise MissingInput(
            "arm_not_trained",
            f"{models.reference} has no arm {FULL!r}: run train_search with it (--arms)",
            run=models.reference,
            arm=FULL,
        )
    own = trained.arms[FULL]
    return {
        "best_validation_hit_rate": own.best_validation_hit_rate,
        "training": own.training,
        "warm_started_from": trained.warm_started_from,
    }


@torch.inference_mode()
def photo_matrix(
    model: SearchModel, task: Task, photos: pl.DataFrame, pixels: PhotoPixels
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the vectors of the task's photos, shape (P, D), zero where there is none, and which there are, (P,).

    `photos` are those of `read_photos` that `pixels` numbers.
    """
    keywords = None if model.vocabulary is None else RaggedKeywords.encode(model.vocabulary, keyword_lists(photos))
    numbers = task.photos.join(photos.select("photo_id", "photo"), on="photo_id", how="left", maintain_order="left")
    has_picture_P = numbers["photo"].is_not_null().to_numpy()
    photo_PD = np.zeros((len(numbers), model.dim), np.float32)
    found = photo_vectors(model, numbers["photo"].drop_nulls().to_numpy(), pixels, keywords).cpu().numpy()
    photo_PD[has_picture_P] = found
    has_vector_P = np.isfinite(photo_PD).all(axis=1) & has_picture_P
    photo_PD[~has_vector_P] = 0
    return photo_PD, has_vector_P


@torch.inference_mode()
def text_matrix(model: SearchModel, texts: pl.DataFrame) -> NDArray[np.float32]:
    """Return the vectors of texts (query, country), shape (U, D)."""
    read = [model.query_text(query, country) for query, country in texts.select("query", "country").iter_rows()]
    matrix: NDArray[np.float32] = text_vectors(model, model.tokenize(read)).cpu().numpy()
    return matrix
