"""The recommender of a release: which method of the night it is, its files, and the lists of the night's visitors.

Files of a release, below `recommender/`: methods/<method>/** (`models.recommend.saving`), of the released method and of
popularity, and photos/** (arrays, `models.recommend.live.NumberedPhotos`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.context import RunContext
from jobs.datasets.evaluation import RecommendationFacts
from jobs.datasets.releases import LISTS, Lead, ReleasedRecommender
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.recommending.photo_vectors import night_vectors
from jobs.recommending.released_lists import POPULARITY, ListMaker, no_list, write_lists
from jobs.recommending.saved_methods import hit_rates, kept_methods, learned_folder
from models.ann import Visibility
from models.arrays import open_arrays, save_arrays
from models.recommend.interactions import Floats
from models.recommend.live import LiveRecommender, NumberedPhotos, ShownPhotos
from models.recommend.protocols import TEMPORAL
from models.recommend.saving import load

FOLDER = "recommender"
_PHOTOS, _METHODS = f"{FOLDER}/photos", f"{FOLDER}/methods"
_CHANCE = "random"


def choose(lake: Lake, night: Manifest) -> ReleasedRecommender:
    """Return what to release by a night's evaluation; a note if the night kept no popularity to compare with."""
    facts = RecommendationFacts.of(night)
    kept = kept_methods(night)
    if POPULARITY not in kept:
        why = (facts.note, facts.notes.get(TEMPORAL), facts.notes.get(f"{TEMPORAL}/{POPULARITY}"))
        return ReleasedRecommender(note=next(filter(None, why), f"{POPULARITY} is not among the night's methods"))
    return chosen(kept, *(hit_rates(lake, night, table) for table in ("metrics", "comparisons")))


def chosen(kept: list[str], rates: pl.DataFrame, leads: pl.DataFrame) -> ReleasedRecommender:
    """Return the method with the best hit rate of those kept, if it is surely better than popularity; else that.

    `rates` have arm and value, `leads` arm, baseline, difference, low and high. Chance is never released.
    """
    some = rates.filter(pl.col("arm").is_in(kept) & (pl.col("arm") != _CHANCE))
    best = str(some.sort("value", "arm", descending=[True, False])["arm"][0])
    found = leads.filter(arm=best, baseline=POPULARITY).select("difference", "low", "high").to_dicts()
    lead = Lead(**found[0]) if found else None
    method = best if lead is not None and lead.low > 0 else POPULARITY
    return ReleasedRecommender(method=method, best=best, lead=lead)


def write_recommender(
    ctx: RunContext,
    inputs: dict[str, Manifest],
    staged: StagedRun,
    shown: ShownPhotos,
    visibility: Visibility,
    most: int,
) -> tuple[ReleasedRecommender, dict[str, Any]]:
    """Write or link all of a release's recommender, and the lists of `most` visitors; return what release.json says."""
    lake, night = ctx.lake, inputs["recommendation"]
    found = choose(lake, night)
    if found.note:
        staged.write_table(LISTS, no_list())
        return found, found.as_json()
    params = EvaluateRecommendersParams.model_validate(night.params)
    photo_ids = lake.read_table(night, "photos").sort("number")["photo_id"]
    vectors: Floats = np.zeros((0, 0), np.float32)
    if params.diversity:
        vectors = night_vectors(lake, night, photo_ids)
    numbered = NumberedPhotos.of(photo_ids.to_list(), vectors)
    with staged.local_folder(_PHOTOS) as folder:
        save_arrays(numbered, folder)
    for name in dict.fromkeys((found.method, POPULARITY)):
        staged.link_files(night, learned_folder(name), f"{_METHODS}/{name}")
    described = {
        "countries": RecommendationFacts.of(night).countries,
        "diversity": params.diversity,
        "pool_count": params.diversity_candidates,
    }
    maker = ListMaker(night.reference, found.method, visibility, _settings(described))
    photos = numbered, shown
    count = write_lists(ctx.settings, inputs["splits"], staged, maker, photos, photo_ids, most)
    found = found.model_copy(update={"visitor_count": count})
    return found, found.as_json() | described


def open_recommender(
    lake: Lake, release: Manifest, described: dict[str, Any], shown: ShownPhotos, visibility: Visibility
) -> LiveRecommender:
    """Open what `write_recommender` wrote; `described` is what it returned. `ModelError` if a method is damaged."""
    with lake.local_folder(release, _PHOTOS) as folder:
        numbered = open_arrays(NumberedPhotos, folder)
    methods = {}
    for name in dict.fromkeys((described["method"], POPULARITY)):
        with lake.local_folder(release, f"{_METHODS}/{name}") as folder:
            methods[name] = load(folder)
    return LiveRecommender(
        methods[described["method"]], methods[POPULARITY], numbered, shown, visibility, **_settings(described)
    )


def _settings(described: dict[str, Any]) -> dict[str, Any]:
    codes = {country: code for code, country in enumerate(described["countries"])}
    return {"codes": codes, "diversity": described["diversity"], "pool_count": described["pool_count"]}
