"""What recommenders learn from, read from the lake: the log's histories and the photos' features. Nothing is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import Reach
from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import drawn_order, read_task
from jobs.evaluation.scorers import photo_matrix
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.recommending.als_spark import SparkAls
from jobs.recommending.conversion_log import read_log
from jobs.training.arms import load_model
from models.recommend.als import Als
from models.recommend.graphsage import GraphSage
from models.recommend.interactions import NONE, Floats, Interactions, ItemFeatures
from models.recommend.interface import Recommender
from models.recommend.methods import METHODS
from models.recommend.protocols import Trial, temporal
from models.recommend.sasrec import SasRec
from models.recommend.two_tower import TwoTower
from models.search.keywords import RaggedKeywords
from models.search.model import SearchModel
from models.search.validation import text_vectors

Countries = NDArray[np.int32]


@dataclass(frozen=True)
class World:
    """Visitors by their numbers, photos by theirs. The log holds every conversion until the test window's end.

    Instants are seconds UTC. A visitor's country in the log is the last known before the test window, else the first
    known in it; `country_before` knows nothing of the window.
    """

    photo_ids: pl.Series
    visitor_ids: pl.Series
    log: Interactions
    items: ItemFeatures
    test_start: float
    available_at: NDArray[np.float64]  # (P,) when each photo was there
    country_before: Countries  # (V,)
    countries: tuple[str, ...] = ()  # by their codes, those known before the test window first

    def trial(self) -> Trial:
        """Return the night's own trial: learn before the test window, ask in it."""
        return temporal(self.log, self.test_start, self.available_at, self.country_before)

    def reach(self, trial: Trial) -> Reach:
        """Return what methods can learn from by a trial that begins with the test window."""
        pool_J, at_N = trial.pool_J, trial.log.at_N
        return Reach(
            until=_instant(self.test_start),
            photo_count=len(pool_J),
            latest_photo_at=_instant(self.available_at[pool_J].max()) if len(pool_J) else None,
            conversion_count=len(at_N),
            latest_conversion_at=_instant(at_N.max()) if len(at_N) else None,
        )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def read_world(ctx: RunContext, inputs: dict[str, Manifest], arm: str, max_missing_share: float) -> World:
    """Return the photos that were there when the test window ended, and all that visitors took of them.

    Images are an arm's photo vectors. Descriptions go through the same model's text tower here, in one process: they
    are short, and a corpus too large for that is too large to be ranked exactly. Visitors are in an order as good as
    drawn: the first so many are a sample.
    """
    task = read_task(ctx.lake, inputs["splits"])
    vectors, _ = photo_matrix(ctx.lake, inputs["photo_embeddings"], task, arm, max_missing_share)
    model = load_model(ctx, inputs["search_models"], arm)
    items = ItemFeatures(
        vectors, _descriptions(model, task.photos["description"]), *_keywords(ctx.lake, inputs, model, task.photos)
    )
    rows = read_log(ctx.lake, inputs["splits"])
    rows = rows.join(task.photos.select("photo_id", "place"), on="photo_id", maintain_order="left")
    visitors = rows.select("visitor_id", number="visitor").unique("number")
    visitors = visitors[drawn_order(integers(visitors["number"]))].with_row_index("visitor")
    rows = rows.drop("visitor").join(visitors, on="visitor_id", maintain_order="left")
    start, end = SplitsFacts.of(inputs["splits"]).windows["test"]
    country_V, country_before_V, countries = _countries(rows, start)
    log = Interactions.of(
        integers(rows["visitor"]),
        integers(rows["place"]),
        rows["at"].to_numpy(),
        np.ones(len(rows), np.float32),
        country_V,
        item_count=len(task.photos),
        as_of=end.timestamp(),
    )
    available_at = task.photos["submitted_at"].cast(pl.Int64).to_numpy() / 1e6  # by 80/20 too
    return World(
        photo_ids=task.photos["photo_id"],
        visitor_ids=visitors["visitor_id"],
        log=log,
        items=items,
        test_start=start.timestamp(),
        available_at=available_at,
        country_before=country_before_V,
        countries=countries,
    )


def _countries(rows: pl.DataFrame, start: datetime) -> tuple[Countries, Countries, tuple[str, ...]]:
    """Return a code of each visitor's country, the same as of the test window's start, and what the codes mean.

    The codes of countries that nobody came from before are the highest, so that what is learned knows none of them.
    """
    known = rows.filter(pl.col("country").fill_null("") != "").sort("converted_at", "photo_id")
    is_before = pl.col("converted_at") < start
    by_visitor = known.group_by("visitor").agg(
        pl.col("country").filter(is_before).last().alias("before"), pl.col("country").filter(~is_before).first()
    )
    first = known.group_by("country").agg(is_new=(~is_before).all()).sort("is_new", "country")
    names = tuple(first["country"])
    codes = {name: code for code, name in enumerate(names)}
    country_V, before_V = (np.full(rows["visitor"].n_unique(), NONE, np.int32) for _ in range(2))
    for visitor, before, later in by_visitor.select("visitor", "before", "country").iter_rows():
        country_V[visitor] = codes[before or later]
        before_V[visitor] = codes.get(before, NONE)
    return country_V, before_V, names


@torch.inference_mode()
def _descriptions(model: SearchModel, description_P: pl.Series) -> Floats:
    """Return the text tower's vectors of the photos' descriptions, [P, D]; zero for a photo without one."""
    texts = [model.query_text(text or "", "") for text in description_P]
    has_text_P = np.array([text != "" for text in texts])
    vector_PD = np.zeros((len(texts), model.dim), np.float32)
    if has_text_P.any():
        vector_PD[has_text_P] = text_vectors(model, model.tokenize([*filter(None, texts)])).cpu().numpy()
    return vector_PD


def _keywords(
    lake: Lake, inputs: dict[str, Manifest], model: SearchModel, photos: pl.DataFrame
) -> tuple[RaggedKeywords | None, int]:
    """Return the photos' keywords by the model's vocabulary and its size; nothing if the model reads no keywords."""
    if model.vocabulary is None:
        return None, 0
    rows = lake.read_table(inputs["splits"], "photo_keywords", ["photo_id", "keyword", "confidence"])
    lists = rows.sort("photo_id", "keyword").group_by("photo_id").agg("keyword", "confidence")
    joined = photos.select("photo_id").join(lists, on="photo_id", how="left", maintain_order="left")
    of_photos = [
        list(zip(words or [], weights or [], strict=True))
        for words, weights in joined.select("keyword", "confidence").iter_rows()
    ]
    return RaggedKeywords.encode(model.vocabulary, of_photos), model.vocabulary.row_count


def method(name: str, params: EvaluateRecommendersParams, settings: Settings) -> Recommender:
    """Return a method, ready to be fitted; a trained one makes as many passes as `params` say."""
    passes = {
        "sasrec": params.sasrec_passes,
        "two_tower": params.two_tower_passes,
        "graphsage": params.graphsage_passes,
    }
    made = METHODS[name]()
    if isinstance(made, Als) and params.als_library == "spark":
        return SparkAls(settings, made)
    if isinstance(made, SasRec | TwoTower | GraphSage):
        return replace(made, training=replace(made.training, pass_count=passes[name]))
    return made
