"""The recommender of a release: which method of the night it is, its files, and the lists of the night's visitors.

Files of a release, below `recommender/`: methods/<method>/** (`models.recommend.saving`), of the released method and of
popularity, and photos/** (arrays, `models.recommend.live.NumberedPhotos`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.datasets.evaluation import RecommendationFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.releases import LISTS, RELEASE, Lead, ReleasedRecommender
from jobs.evaluation.integers import integers
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.recommending.conversion_log import read_log
from jobs.recommending.saved_methods import hit_rates, kept_methods, learned_folder, open_method, photo_vectors
from models.ann import Visibility
from models.arrays import open_arrays, save_arrays
from models.recommend.interactions import NONE, Floats, Interactions
from models.recommend.live import LiveRecommender, NumberedPhotos, ShownPhotos
from models.recommend.protocols import TEMPORAL
from models.recommend.saving import load

FOLDER = "recommender"
POPULARITY = "popularity"
DEPTH = 100
"""Photos of a visitor's list."""
_PHOTOS, _METHODS = f"{FOLDER}/photos", f"{FOLDER}/methods"
_CHANCE = "random"
_VISITORS_AT_ONCE = 10_000
"""Visitors whose lists are held at a time, and stand in one file of the table."""


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
    lake: Lake, inputs: dict[str, Manifest], staged: StagedRun, shown: ShownPhotos, visibility: Visibility, most: int
) -> tuple[ReleasedRecommender, dict[str, Any]]:
    """Write or link all of a release's recommender, and the lists of `most` visitors; return what release.json says."""
    night = inputs["recommendation"]
    found = choose(lake, night)
    if found.note:
        staged.write_table(LISTS, _no_list())
        return found, found.as_json()
    params = EvaluateRecommendersParams.model_validate(night.params)
    photo_ids = lake.read_table(night, "photos").sort("number")["photo_id"]
    vectors: Floats = np.zeros((0, 0), np.float32)
    if params.diversity:
        vectors = photo_vectors(lake, night, photo_ids)
    numbered = NumberedPhotos.of(photo_ids.to_list(), vectors)
    with staged.local_folder(_PHOTOS) as folder:
        save_arrays(numbered, folder)
    names = dict.fromkeys((found.method, POPULARITY))
    for name in names:
        staged.link_files(night, learned_folder(name), f"{_METHODS}/{name}")
    methods = {name: open_method(lake, night, name) for name in names}
    described = {
        "countries": RecommendationFacts.of(night).countries,
        "diversity": params.diversity,
        "pool_count": params.diversity_candidates,
    }
    live = LiveRecommender(
        methods[found.method], methods[POPULARITY], numbered, shown, visibility, **_settings(described)
    )
    count = _write_lists(lake, inputs["splits"], staged, live, photo_ids, most)
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


def _write_lists(
    lake: Lake, splits: Manifest, staged: StagedRun, live: LiveRecommender, photo_ids: pl.Series, most: int
) -> int:
    """Write what to show next to those who were there last, by all that they took; return how many have a list."""
    visitors, histories = _histories(lake, splits, photo_ids, live.codes, most)
    served = 0
    staged.write_table(LISTS, _no_list())  # where nobody follows
    for number, start in enumerate(range(0, len(visitors), _VISITORS_AT_ONCE)):
        block = visitors[start : start + _VISITORS_AT_ONCE]
        own = histories.take(np.arange(start, start + len(block)))
        item_VK, score_VK = live.lists(own, block["country"].to_list(), DEPTH)
        row_M, column_M = np.nonzero(item_VK != NONE)
        served += len(np.unique(row_M))
        rows = pl.DataFrame(
            {
                "visitor_id": block["visitor_id"][row_M],
                "position": column_M + 1,
                "photo_id": photo_ids[item_VK[row_M, column_M]],
                "score": score_VK[row_M, column_M],
            }
        )
        staged.write_table(LISTS, rows, shard=number)
    return served


def _histories(
    lake: Lake, splits: Manifest, photo_ids: pl.Series, codes: Mapping[str, int], most: int
) -> tuple[pl.DataFrame, Interactions]:
    """Return the `most` visitors who were there last, in the order in which the log knows them, and all they took.

    Of each there is visitor_id and country: the last one known, "" if none is.
    """
    rows = read_log(lake, splits).join(photo_ids.to_frame("photo_id").with_row_index("item"), on="photo_id")
    country = pl.col("country").filter(pl.col("country").fill_null("") != "")
    visitors = (
        rows.sort("at", "photo_id")
        .group_by("visitor")
        .agg(pl.col("visitor_id").first(), pl.col("at").last(), country.last().fill_null(""))
    )
    visitors = visitors.sort("at", "visitor", descending=[True, False]).head(most).sort("visitor")
    rows = rows.drop("country").join(visitors.select("visitor").with_row_index("place"), on="visitor")
    histories = Interactions.of(
        integers(rows["place"]),
        integers(rows["item"]),
        rows["at"].to_numpy(),
        np.ones(len(rows), np.float32),
        np.array([codes.get(one, NONE) for one in visitors["country"]], np.int32),
        item_count=len(photo_ids),
        as_of=SplitsFacts.of(splits).test_end.timestamp(),
    )
    return visitors, histories


def _no_list() -> pl.DataFrame:
    return pl.DataFrame(RELEASE.table(LISTS).schema.empty_table())
