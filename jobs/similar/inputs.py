"""The arms that rank photos by their likeness to a photo, and what counts as alike. Checked, not judged.

As in the evaluation of searches, models have learned from the training window, counts are of everything before the test
window, and what visitors took together is counted in the test window alone. Keywords and collections are as of its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.config.params.arms import ARMS, CHAMPION_ARM, ZERO_SHOT
from jobs.config.params.evaluation import EvaluateSimilarParams, Truth
from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.embeddings import PhotoEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.embedding.located_arm import LocatedArm
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.arm_plan import Champion
from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.similar import truths
from models.similar.neighbours import Likeness, co_conversion, common_keywords

RANDOM, CO_CONVERSION, KEYWORDS = "random", "co_conversion", "keyword_overlap"
BASELINES = (RANDOM, CO_CONVERSION, KEYWORDS)
BY_FILE = "challenger_by_file"
"""The challenger's photos, searched with a picture alone: as by somebody who uploads it, without its keywords."""
_ORDER = (ZERO_SHOT, *ARMS, CHAMPION_ARM)
THE_TRUTH_ITSELF: dict[Truth, tuple[str, ...]] = {"co_conversion": (), "keywords": (KEYWORDS,), "collections": ()}
"""Baselines that would only repeat a truth, and are left out where it is asked for."""


@dataclass(frozen=True)
class Plan:
    """Which arms there are, taken from facts."""

    models: tuple[str, ...]
    variants: tuple[str, ...]
    challenger: str
    champion_note: str
    reads_keywords: tuple[str, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm, baselines first."""
        return (*BASELINES, *self.models, *((BY_FILE,) if self.has_by_file else ()), *self.variants)

    @property
    def has_by_file(self) -> bool:
        """Whether it makes a difference to the challenger that a file has no keywords."""
        return self.challenger in self.reads_keywords

    @classmethod
    def of(cls, inputs: dict[str, Manifest], variants: tuple[str, ...]) -> Plan:
        """Return the plan; `NightlensError` names an arm that is unfinished, or a variant of other splits."""
        trained = SearchModelsFacts.of(inputs["search_models"])
        embedded = PhotoEmbeddingsFacts.of(inputs["photo_embeddings"]).arms
        digests = {arm: facts.model_digest for arm, facts in sorted(trained.arms.items())}
        champion = Champion.of(inputs["champion"], SplitsFacts.of(inputs["splits"]).validation_end)
        if champion.model_digest is not None:
            digests[CHAMPION_ARM] = champion.model_digest
        for arm, digest in digests.items():
            if arm not in embedded or embedded[arm].model_digest != digest:
                found = {name: facts.model_digest for name, facts in embedded.items()}
                raise MissingInput(
                    "arm_not_embedded",
                    f"{inputs['photo_embeddings'].reference} has no vectors of arm {arm!r} by model {digest}; it has "
                    f"{found}. Rerun embed_photos.",
                    run=inputs["photo_embeddings"].reference,
                    arm=arm,
                    model=digest,
                )
        for variant in variants:
            run = inputs[variant_input(variant)]
            if run.input_runs["splits"] != inputs["splits"].reference:
                raise BadInput(
                    "variant_of_other_splits",
                    f"{run.reference} was trained on other splits. Run train_variant --variant {variant}.",
                    run=run.reference,
                    variant=variant,
                )
        return cls(
            models=tuple(sorted(digests, key=_ORDER.index)),
            variants=variants,
            challenger=trained.challenger,
            champion_note=champion.note,
            reads_keywords=tuple(arm for arm, facts in trained.arms.items() if facts.uses_keywords),
        )


def variant_input(variant: str) -> str:
    """Return the name under which a variant's run is among the inputs; of its repetitions the first is taken."""
    return f"variant {variant}"


def likeness_of(lake: Lake, splits: Manifest, task: Task, arm: str) -> Likeness:
    """Return what a baseline knows of photos that share something: all of it is counted before the test window."""
    if arm == CO_CONVERSION:
        past = pl.concat([lake.read_table(splits, name) for name in ("train", "validation")])
        past = past.select("visitor_id", "query", "photo_id").unique().join(task.photos, on="photo_id")
        return co_conversion(integers(past["place"]), _numbers(past["query"]), len(task.photos))
    rows = lake.read_table(splits, "photo_keywords").join(task.photos, on="photo_id")
    weights = rows["confidence"].cast(pl.Float64).to_numpy()
    return common_keywords(integers(rows["place"]), _numbers(rows["keyword"]), weights, len(task.photos))


def blocks_of(lake: Lake, inputs: dict[str, Manifest], task: Task, arm: str, max_missing_share: float) -> LocatedArm:
    """Return the photo vectors of a model or variant, by file."""
    source = inputs.get(variant_input(arm), inputs["photo_embeddings"])
    return LocatedArm.of(lake, source, arm, task.photos, max_missing_share)


def hidden_photos(lake: Lake, validated: Manifest, task: Task) -> NDArray[np.bool_]:
    """Return which photos are hidden from everywhere, shape (P,): photos that ask come from no country."""
    hidden = lake.read_table(validated, HIDDEN_TABLE.name, ["photo_id", "country"])
    anywhere = hidden.filter(pl.col("country").is_null())["photo_id"]
    return task.photos["photo_id"].is_in(anywhere.implode()).to_numpy()


def read_truth(
    lake: Lake, inputs: dict[str, Manifest], task: Task, name: Truth, params: EvaluateSimilarParams
) -> truths.Truth:
    """Return a ground truth among the photos of the task."""
    photo_count = len(task.photos)
    most = max(2, int(params.max_group_share * photo_count))
    readers: dict[str, Callable[[], truths.Truth]] = {
        "co_conversion": partial(_taken_together, task, params.min_visitors, most),
        "keywords": partial(_same_keywords, lake, inputs["splits"], task, params, most),
        "collections": partial(_same_collection, lake, inputs, task, most),
    }
    return readers[name]()


def _taken_together(task: Task, min_visitors: int, most: int) -> truths.Truth:
    taken = task.queries
    return truths.taken_for_same_query(
        integers(taken["place"]), _numbers(taken["query"]), task.visitors, len(task.photos), min_visitors, most
    )


def _same_keywords(lake: Lake, splits: Manifest, task: Task, params: EvaluateSimilarParams, most: int) -> truths.Truth:
    rows = lake.read_table(splits, "photo_keywords").filter(pl.col("confidence") >= params.min_confidence)
    rows = rows.join(task.photos.select("photo_id", "place"), on="photo_id")
    return truths.sharing(
        integers(rows["place"]), _numbers(rows["keyword"]), len(task.photos), params.min_shared_keywords, most
    )


def _same_collection(lake: Lake, inputs: dict[str, Manifest], task: Task, most: int) -> truths.Truth:
    """Return which photos share a collection, as of the test window's end; without a date a photo was always in it."""
    end = SplitsFacts.of(inputs["splits"]).windows[task.window][1]
    rows = lake.read_table(inputs["validated"], "collections", ["photo_id", "collection_id", "collected_at"])
    rows = rows.filter((pl.col("collected_at") < end).fill_null(True))
    rows = rows.join(task.photos.select("photo_id", "place"), on="photo_id")
    return truths.sharing(
        integers(rows["place"]), _numbers(rows["collection_id"]), len(task.photos), max_group_size=most
    )


def _numbers(column: pl.Series) -> NDArray[np.int64]:
    """Return a number for each text, equal for equal texts."""
    return integers(column.rank("dense"))
