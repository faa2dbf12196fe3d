"""The contact sheet: what a few searches show, arm beside arm, with the photo that was really chosen."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from jobs.config.params.arms import CHAMPION_ARM, ZERO_SHOT
from jobs.datasets.clean import IMAGES
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import SPLITS
from jobs.errors import MissingInput
from jobs.report import formats
from jobs.report.arms import Arm, in_order
from jobs.report.inputs import Night
from jobs.report.photos import Photo, read_photos


@dataclass(frozen=True)
class Hit:
    """A photo at its place in a ranking."""

    position: int
    photo: Photo
    is_converted: bool


@dataclass(frozen=True)
class Ranking:
    """What one arm shows for a search, and in words where the chosen photo came."""

    arm: Arm
    is_challenger: bool
    hits: tuple[Hit, ...]
    found: str

    @property
    def is_found(self) -> bool:
        """Whether the converted photo is among the hits."""
        return any(hit.is_converted for hit in self.hits)


@dataclass(frozen=True)
class Search:
    """One search of the contact sheet."""

    query: str
    country: str
    converted: Photo
    rankings: tuple[Ranking, ...]


def contact_sheet(night: Night, challenger: str) -> list[Search]:
    """Return the searches in the order the evaluation chose them, the challenger's ranking first."""
    sheet = night.table(EVALUATION, "contact_sheet")
    shown = {*sheet["photo_id"], *sheet["converted_photo_id"]}
    splits, images = night.manifest(SPLITS), night.manifest(IMAGES)
    photos = read_photos(night.ctx.lake, splits, images, shown)
    ranks = _ranks(night, sheet)
    corpus_size = night.facts(EvaluationFacts).corpus_photo_count
    arms = sorted(in_order(sheet["arm"].unique()), key=lambda one: _column_order(one, challenger))
    searches = []
    for (query, country, converted), rows in sheet.group_by(
        "query", "country", "converted_photo_id", maintain_order=True
    ):
        rankings = []
        for one in arms:
            found = rows.filter(pl.col("arm") == one.key).sort("position")
            hits = tuple(Hit(p, photos[i], i == converted) for p, i in found.select("position", "photo_id").iter_rows())
            rank = ranks[str(query), str(country), str(converted), one.key]
            rankings.append(Ranking(one, one.key == challenger, hits, _found(rank, len(hits), corpus_size)))
        searches.append(Search(str(query), str(country), photos[str(converted)], tuple(rankings)))
    return searches


def _column_order(one: Arm, challenger: str) -> int:
    first = (challenger, CHAMPION_ARM, ZERO_SHOT)
    return first.index(one.key) if one.key in first else len(first)


def _found(rank: int, shown: int, corpus_size: int) -> str:
    if rank <= shown:
        return f"chosen photo at place {rank}"
    return f"chosen photo not among these: place {formats.count(rank)} of {formats.count(corpus_size)}"


def _ranks(night: Night, sheet: pl.DataFrame) -> dict[tuple[str, str, str, str], int]:
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
    return {(query, country, photo, one): rank for query, country, photo, one, rank in first.iter_rows()}
