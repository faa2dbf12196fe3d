"""Fabricated nights up to `train_search`, for the stages that register, snapshot and promote models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import polars as pl

from jobs.config.params.arms import FULL, ZERO_SHOT
from jobs.config.params.ingest import SplitTemporalParams
from jobs.config.params.training import TrainBaseParams, TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import SPLITS
from jobs.datasets.models import BASE_MODEL, SEARCH_MODELS, SearchModelsFacts
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_tiny_model
from tests.made_up_facts import made_up
from tests.validated_lake import commit_tables

SIZES: dict[str, Any] = {
    "image_size": 32,
    "vision_width": 32,
    "vision_layers": 1,
    "text_width": 32,
    "text_layers": 1,
    "embed_dim": 24,
}
HIT_RATE = "validation_hit_rate@10"


@cache
def make_model(arm: str, seed: int = 0) -> SearchModel:
    """Return a model with random weights, of the kind the arm calls for."""
    if arm == ZERO_SHOT:
        return build_tiny_model(seed=seed, **SIZES)
    model = build_tiny_model(seed=seed, uses_country=True, vocabulary=KeywordVocabulary(("cat", "sea"), 4), **SIZES)
    assert model.keyword_encoder is not None
    model.keyword_encoder.bag.weight.data.fill_(0.5)
    return model


def commit_night(
    context: RunContext, seed: int = 0, is_validated: bool = True, photo_ids: Sequence[str] = ("p0",)
) -> Manifest:
    """Commit splits, base and search models; equal seeds give equal models on every night.

    A log is committed where there is none yet: one photo, one conversion, and nothing hidden.
    """
    try:
        context.read(VALIDATED)
    except MissingInput:
        commit_log(context)
    splits = _commit_splits(context, is_validated, photo_ids)
    until = splits.facts["train_end"]
    selected = splits.facts["validation_end" if is_validated else "train_end"]
    base_model = commit_tables(
        context,
        BASE_MODEL,
        {"curves": _curves(ZERO_SHOT, {"loss": [3.0, 2.0]})},
        params=TrainBaseParams(),
        inputs={"splits": splits},
        label=f"seed {seed}",
        facts={"trained_until": until},
        folders={ZERO_SHOT: make_model(ZERO_SHOT, seed).save},
    )
    staged = context.begin(SEARCH_MODELS, TrainSearchParams(), {"splits": splits, "base_model": base_model})
    staged.link_files(base_model, ZERO_SHOT)
    with staged.local_folder(FULL) as folder:
        make_model(FULL, seed).save(folder)
    curves = [_curves(ZERO_SHOT, {HIT_RATE: [0.1]}), _curves(FULL, {"loss": [1.5, 1.0, 0.5], HIT_RATE: [0.2, 0.4]})]
    staged.write_table("curves", pl.concat(curves).filter(is_validated | (pl.col("name") != HIT_RATE)))
    base_rate, rate = (0.1, 0.4) if is_validated else (None, None)
    arms = {
        ZERO_SHOT: {"model_digest": make_model(ZERO_SHOT, seed).digest, "best_validation_hit_rate": base_rate},
        FULL: {
            "model_digest": make_model(FULL, seed).digest,
            "best_validation_hit_rate": rate,
            "training": {"steps": 120},
        },
    }
    return staged.commit(
        made_up(SearchModelsFacts, arms=arms, challenger=FULL, trained_until=until, selected_until=selected)
    )


def commit_log(context: RunContext, hidden: Sequence[tuple[str, str | None]] = ()) -> Manifest:
    """Commit a log of one photo and one conversion, and which photos are hidden (photo_id, country)."""
    one = pl.DataFrame({"photo_id": ["p0"]})
    rules = pl.DataFrame(hidden, schema={"photo_id": pl.String, "country": pl.String}, orient="row")
    return commit_tables(context, VALIDATED, {"photos": one, "conversions": one, "hidden": rules})


def _commit_splits(context: RunContext, is_validated: bool, photo_ids: Sequence[str]) -> Manifest:
    params = SplitTemporalParams() if is_validated else SplitTemporalParams(protocol="80/20", validation_share=0)
    tables = {}
    for window, query, country in (("train", "cat", "GB"), ("validation", "sea", "DE"), ("test", "dog", None)):
        row = {"visitor_id": "v", "query": query, "country": country, "photo_id": "p0", "conversion_count": 1}
        rows = pl.DataFrame([row], schema_overrides={"country": pl.String})
        tables[window] = rows.with_columns(converted_at=datetime(2025, 12, 20, tzinfo=UTC))
    if not is_validated:
        tables["validation"] = tables["validation"].clear()
    photo = {"description": "a cat", "photographer": "n", "is_in_train": True}
    photos = pl.DataFrame([photo | {"photo_id": name} for name in dict.fromkeys(("p0", *photo_ids))])
    tables["photos"] = photos.with_columns(submitted_at=datetime(2025, 1, 1, tzinfo=UTC))
    tables["photo_keywords"] = pl.DataFrame({"photo_id": ["p0"], "keyword": ["cat"], "confidence": [0.7]})
    bounds = {
        "train_start": "2024-12-19T00:00:00+00:00",
        "train_end": "2025-12-19T00:00:00+00:00",
        "validation_end": "2025-12-22T00:00:00+00:00",
        "test_end": "2025-12-29T00:00:00+00:00",
    }
    if not is_validated:
        bounds |= dict.fromkeys(("train_end", "validation_end"), "2025-12-19T10:20:30.400000+00:00")
    facts = bounds | {"protocol": params.protocol}
    return commit_tables(context, SPLITS, tables, params=params, facts=facts)


def _curves(arm: str, series: dict[str, list[float]]) -> pl.DataFrame:
    rows = [(arm, 10 * place, name, value) for name, values in series.items() for place, value in enumerate(values)]
    return pl.DataFrame(rows, schema=["arm", "step", "name", "value"], orient="row")
