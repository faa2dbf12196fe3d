"""A day's searches, put to the release of the night before: as it was made, with a newer reranker, and refitted.

All three know the same conversions, those before the day began, and may show the same photos, those that were there
when a search was made. They differ in what their tower and their reranker have learned from. With h days held back and
v days of validation, before the day begins:

    arm                the tower trains until    the reranker learns from
    held_back          h + v days before         the v days that end h days before
    reranker_refitted  h + v days before         the last v days, by the scores of that older tower
    refitted           v days before             the last v days

No tower has trained on the days that its reranker learns from, though the best weights of two of the three were chosen
by them, as in any night.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.config.params.ablation import RankNextDayParams
from jobs.context import Inputs, RunContext
from jobs.datasets.backtest import HELD_BACK, REFITTED, RERANKER_REFITTED, FitFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import Task, read_task
from jobs.reranking.answering import Answering
from jobs.reranking.inputs import ArmVectors, WindowSearch
from jobs.reranking.learned_order import candidate_rows, grow, sampled, too_few
from jobs.reranking.photo_keywords import read_photo_keywords
from jobs.reranking.reranked_arm import Reranked
from jobs.training.arms import load_model
from jobs.training.inputs import model_errors_of, open_pixels, read_photos
from jobs.training.variants import photo_matrix, text_matrix
from models.rerank.learning import Reranker

OLDER, NEWER = "older", "newer"
MADE_FROM = {HELD_BACK: (OLDER, OLDER), RERANKER_REFITTED: (OLDER, NEWER), REFITTED: (NEWER, NEWER)}
"""The night of each arm's tower, and the night from whose validation window its reranker learns."""


@dataclass(frozen=True)
class Answers:
    """The ranks of the day's photos by arm, each of shape (Q,), and what each arm has learned from.

    `reranker_seconds` is how long the reranker of each arm took to learn.
    """

    day: Task
    ranks: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    fits: dict[str, FitFacts] = field(default_factory=dict)
    reranker_seconds: dict[str, float] = field(default_factory=dict)


def ask(ctx: RunContext, params: RankNextDayParams, nights: dict[str, Inputs], where: Answering) -> Answers:
    """Rank the photos of the day's searches by all arms.

    The day is the test window of the night `NEWER`. `MissingInput` if a window has too few searches to learn an order
    from, `BadInput` if too many photos have no vector.
    """
    answers = Answers(read_task(ctx.lake, nights[NEWER]["splits"]))
    learned_from = {
        name: sampled(read_task(ctx.lake, night["splits"], "validation"), params.max_search_count, ctx.seed)
        for name, night in nights.items()
    }
    tasks = {OLDER: [learned_from[OLDER]], NEWER: [answers.day, learned_from[NEWER]]}
    embedded = {
        (tower, night): _embedded(ctx, params, nights[tower], nights[night], tasks[night])
        for tower, night in MADE_FROM.values()
    }
    kept: dict[str, Any] = params.model_dump()
    for arm, (tower, night) in MADE_FROM.items():
        begun = time.perf_counter()
        vectors = embedded[tower, night][-1]
        asked = WindowSearch.by_vectors(ctx.lake, nights[night], learned_from[night], vectors, kept, reranker=None)
        reranker = _learned(asked, learned_from[night], params, ctx.seed, where)
        answers.reranker_seconds[arm] = round(time.perf_counter() - begun, 2)
        vectors = embedded[tower, NEWER][0]
        search = WindowSearch.by_vectors(ctx.lake, nights[NEWER], answers.day, vectors, kept, reranker=reranker)
        answers.ranks[arm], _ = Reranked(search).ranks(where)
        trained = SearchModelsFacts.of(nights[tower]["search_models"])
        answers.fits[arm] = FitFacts(
            tower_trained_until=trained.trained_until,
            tower_selected_until=trained.selected_until or trained.trained_until,
            reranker_trained_until=SplitsFacts.of(nights[night]["splits"]).validation_end,
            check=search.check,
        )
    return answers


def _embedded(
    ctx: RunContext, params: RankNextDayParams, tower: Inputs, night: Inputs, tasks: list[Task]
) -> list[ArmVectors]:
    """Return a night's texts and photos as a tower sees them; the photos of every task are among those of the first."""
    photos, models = read_photos(ctx.lake, night["splits"], night["images"]), tower["search_models"]
    model = load_model(ctx, models, SearchModelsFacts.of(models).challenger)
    with model_errors_of("rank_next_day"), open_pixels(photos, model, ctx.settings.state_dir) as pixels:
        photo_PD, has_vector_P = photo_matrix(model, tasks[0], photos, pixels)
        texts = [text_matrix(model, task.texts) for task in tasks]
        keywords = [
            read_photo_keywords(ctx.lake, night["splits"], task.photos, partial(text_matrix, model)) for task in tasks
        ]
    if (missing := int((~has_vector_P).sum())) > params.max_missing_share * len(has_vector_P):
        raise BadInput(
            "vectors_missing",
            f"{models.reference}: {missing} of {len(has_vector_P)} photos have no picture or no finite vector, more "
            f"than the allowed share of {params.max_missing_share:g}. Run fetch_images and train_search again.",
            run=models.reference,
            missing_count=missing,
        )
    place_of = tasks[0].photos.select("photo_id", first="place")
    found = []
    for task, query_UD, keywords_of in zip(tasks, texts, keywords, strict=True):
        kept = integers(task.photos.join(place_of, on="photo_id", how="left", maintain_order="left")["first"])
        found.append(ArmVectors(query_UD, photo_PD[kept], has_vector_P[kept], keywords_of))
    return found


def _learned(asked: WindowSearch, task: Task, params: RankNextDayParams, seed: int, where: Answering) -> Reranker:
    learnable = candidate_rows(asked, task, where)
    if note := too_few(learnable, len(task.targets), params):
        raise MissingInput(
            "too_few_searches",
            note,
            learnable_count=len(learnable.count),
            needed_count=params.min_search_count,
        )
    return grow(learnable, params, seed).reranker
