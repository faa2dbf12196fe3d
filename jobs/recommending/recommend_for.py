"""`nightlens recommend`: the next photos for a visitor of the log, or for photos that somebody is said to have taken.

What a method of a night learned is opened as `evaluate_recommenders` kept it. Nothing is trained, nothing written.
"""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import polars as pl

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.datasets.clean import HIDDEN_TABLE, VALIDATED
from jobs.datasets.evaluation import RecommendationFacts
from jobs.datasets.features import SplitsFacts
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.integers import integers
from jobs.lake.catalogue import Lake, open_catalogue
from jobs.lake.manifest import Manifest
from jobs.recommending.conversion_log import read_visitor
from jobs.recommending.photo_vectors import night_vectors
from jobs.recommending.released_lists import POPULARITY
from jobs.recommending.saved_methods import best_method, kept_methods, night_of, open_method
from jobs.recommending.terminal_table import Recommendation, RecommendationRequest, Recommended
from models.recommend.interactions import NONE, Interactions
from models.recommend.lists import filled_lists

MAX_PHOTOS = 100


def recommend(
    settings: Settings,
    catalogue: str,
    asked: RecommendationRequest,
    method: str | None = None,
    count: int = 10,
    run_date: date | None = None,
) -> Recommended:
    """Return the next `count` photos by what a method of a night (default: the latest) learned before its test window.

    A visitor's history goes until that night's end. Hidden photos, and those taken before, are left out. By default the
    method is the one with the highest hit rate@10 of that night. Its list is filled up by popularity if that was kept.
    Raises `MissingInput` for a catalogue, night, method, visitor or photo that is not there, `BadInput` for a count out
    of range, a country that is none, a damaged model, or where nothing is listed.
    """
    if not 1 <= count <= MAX_PHOTOS:
        raise BadInput(
            "count_out_of_range",
            f"--count {count}: from 1 to {MAX_PHOTOS} photos can be shown",
            count=count,
            most=MAX_PHOTOS,
        )
    if asked.country and not re.fullmatch("[A-Z]{2}", asked.country):
        raise BadInput(
            "unknown_country",
            f"{asked.country!r} is no country: give its two letters (ISO 3166), as in --country GB",
            country=asked.country,
        )
    lake = open_catalogue(settings.lake_uri, catalogue)
    night = night_of(lake, run_date)
    splits = lake.by_reference(night.input_runs["splits"])
    best, why = (method, "") if method else best_method(lake, night)
    fitted = open_method(lake, night, best)
    popularity = open_method(lake, night, POPULARITY) if POPULARITY in kept_methods(night) else None
    ids = lake.read_table(night, "photos").sort("number")["photo_id"]
    params = EvaluateRecommendersParams.model_validate(night.params)
    history, country = _history(lake, splits, ids, asked)
    codes = {name: code for code, name in enumerate(RecommendationFacts.of(night).countries)}
    end = SplitsFacts.of(splits).test_end
    histories = _interactions(history, codes.get(country, NONE), len(ids), end.timestamp())
    shown = np.flatnonzero(~ids.is_in(_hidden(lake, night, country).implode()).to_numpy())
    item_1K, score_1K, own_1 = filled_lists(
        fitted,
        popularity,
        histories,
        count,
        diversity=params.diversity,
        pool_count=params.diversity_candidates,
        vectors=lambda: night_vectors(lake, night, ids),
        candidates=shown.astype(np.int64),
    )
    item_K, score_K = item_1K[item_1K != NONE], score_1K[item_1K != NONE]
    if not len(item_K):
        others = ", ".join(name for name in kept_methods(night) if name != best)
        raise BadInput(
            "nothing_to_go_by",
            f"{best} has nothing to go by for this history. Take another: --method, of {others or 'none'}.",
            method=best,
        )
    words = dict(lake.read_table(splits, "photos", ["photo_id", "description"]).iter_rows())
    return Recommended(
        catalogue=catalogue,
        run_date=night.partition["run_date"],
        asked=asked,
        method=best,
        notes=(*((why,) if why else ()), *_notes(params, len(item_K) - int(own_1[0]))),
        history=tuple(history["photo_id"].reverse()),
        photos=tuple(
            Recommendation(photo_id, float(score), words.get(photo_id) or "")
            for photo_id, score in zip(ids[item_K], score_K, strict=True)
        ),
    )


def _history(lake: Lake, splits: Manifest, ids: pl.Series, asked: RecommendationRequest) -> tuple[pl.DataFrame, str]:
    """Return what was taken, oldest first, as number, photo_id and seconds `at`, and the country it counts for."""
    numbers = ids.to_frame("photo_id").with_row_index("number")
    end = SplitsFacts.of(splits).test_end
    if asked.visitor_id is None:
        if unknown := [name for name in asked.photo_ids if name not in ids]:
            raise MissingInput(
                "no_such_photo",
                f"no photo {', '.join(map(repr, unknown))} in {splits.reference}. Give others.",
                photo_ids=unknown,
            )
        at = [end.timestamp() - second for second in range(len(asked.photo_ids), 0, -1)]
        taken = pl.DataFrame({"photo_id": asked.photo_ids, "at": at})
        return taken.join(numbers, on="photo_id", how="left", maintain_order="left"), asked.country
    rows = read_visitor(lake, splits, asked.visitor_id).join(numbers, on="photo_id").sort("at", "photo_id")
    if rows.is_empty():
        raise MissingInput(
            "no_such_visitor",
            f"no conversion of visitor {asked.visitor!r} in {splits.reference}, before {end:%Y-%m-%d}. Give the id as "
            f"it stands in the log, or photos taken before: --photo ID",
            visitor=asked.visitor,
        )
    known = [country for country in rows["country"].drop_nulls() if country]
    return rows, asked.country or (known or [""])[-1]


def _interactions(history: pl.DataFrame, country: int, item_count: int, as_of: float) -> Interactions:
    return Interactions.of(
        np.zeros(len(history), np.int64),
        integers(history["number"]),
        history["at"].to_numpy(),
        np.ones(len(history), np.float32),
        np.array([country], np.int32),
        item_count=item_count,
        as_of=as_of,
    )


def _hidden(lake: Lake, night: Manifest, country: str) -> pl.Series:
    """Return the photos that must not be shown there."""
    hidden = lake.read_table(lake.current(VALIDATED, night.partition), HIDDEN_TABLE.name)
    return hidden.filter(pl.col("country").is_null() | (pl.col("country") == country))["photo_id"]


def _notes(params: EvaluateRecommendersParams, filled_count: int) -> tuple[str, ...]:
    filled = f"The last {filled_count} are what is popular: the method has nothing more to go by."
    diverse = f"Chosen by marginal relevance (diversity {params.diversity:g}): scores need not fall."
    return (*((filled,) if filled_count else ()), *((diverse,) if params.diversity else ()))
