"""The contact sheet: what a few searches show, arm beside arm, with the photo that was really chosen."""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.config.params.arms import CHAMPION_ARM, ZERO_SHOT
from jobs.datasets.evaluation import EVALUATION
from jobs.errors import MissingInput
from jobs.report.inputs import Night
from jobs.report.names import in_order
from jobs.report.photos import photos_of

_SEARCH = ("query", "country", "converted_photo_id")


def contact_sheet(night: Night, challenger: str) -> list[dict[str, Any]]:
    """Return the searches in the order the evaluation chose them, the challenger's ranking first."""
    sheet = night.table(EVALUATION, "contact_sheet")
    photos = photos_of(night, {*sheet["photo_id"], *sheet["converted_photo_id"]})
    ranks = _ranks(night, sheet)
    first = {key: place for place, key in enumerate((challenger, CHAMPION_ARM, ZERO_SHOT))}
    arms = sorted(in_order(sheet["arm"].unique()), key=lambda one: first.get(one.key, len(first)))
    searches = []
    for (query, country, converted), rows in sheet.group_by(*_SEARCH, maintain_order=True):
        rankings = []
        for one in arms:
            ids = rows.filter(arm=one.key).sort("position").select("position", "photo_id")
            hits = [(position, photos[photo_id], photo_id == converted) for position, photo_id in ids.iter_rows()]
            rankings.append({"arm": one, "hits": hits, "rank": ranks[query, country, converted, one.key]})
        searches.append({"query": query, "country": country, "converted": photos[str(converted)], "rankings": rankings})
    return searches


def _ranks(night: Night, sheet: pl.DataFrame) -> dict[tuple[Any, ...], int]:
    """Return the rank of the converted photo by (query, country, photo, arm), of the first such search."""
    wanted = sheet.select("query", "country", pl.col("converted_photo_id").alias("photo_id"), "arm").unique()
    queries = night.table(EVALUATION, "queries", ["query_id", "query", "country", "photo_id"])
    ranks = night.table(EVALUATION, "ranks", ["query_id", "arm", "rank"])
    found = wanted.join(queries, on=["query", "country", "photo_id"]).join(ranks, on=["query_id", "arm"])
    first = found.group_by("query", "country", "photo_id", "arm").agg(pl.col("rank").sort_by("query_id").first())
    if first.height < wanted.height:
        raise MissingInput(
            "missing_ranks",
            f"{night.manifest(EVALUATION).reference}: {wanted.height - first.height} rankings of the contact "
            "sheet have no rank in the table ranks. Run the stage evaluate again.",
            count=wanted.height - first.height,
        )
    return {tuple(key): rank for *key, rank in first.iter_rows()}
