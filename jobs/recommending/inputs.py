"""What recommenders learn from, read from the lake: the log's histories and the photos' features. Nothing is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.evaluation import SampleFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import Reach
from jobs.evaluation.integers import integers, microseconds
from jobs.evaluation.ranking_task import available_at, drawn_order
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.recommending.als_spark import SparkAls
from jobs.recommending.conversion_log import SECOND, count_visitors, name_visitors, read_log
from jobs.recommending.photo_vectors import mapped, photo_vectors
from jobs.training.arms import load_model
from models.evaluation.ranking import tie_order
from models.recommend.als import Als
from models.recommend.graphsage import GraphSage
from models.recommend.interactions import NONE, Floats, Interactions, Ints, ItemFeatures
from models.recommend.interface import Recommender
from models.recommend.item_knn import ItemKnn
from models.recommend.methods import METHODS
from models.recommend.protocols import Trial, temporal
from models.recommend.sasrec import SasRec
from models.recommend.training import ROW_TRAINING
from models.recommend.two_tower import TwoTower
from models.search.keywords import RaggedKeywords
from models.search.model import SearchModel
from models.search.validation import text_vectors

Countries = NDArray[np.int32]
_TEXTS_AT_ONCE = 8192


@dataclass(frozen=True)
class World:
    """Visitors by their places, photos by theirs. The log holds every conversion until the test window's end.

    Where the log is larger than what methods may learn from, `sample` says whom they learn from: the first so many
    visitors. The log then holds these, and those who are asked about. Instants are seconds UTC. A visitor's country in
    the log is the last known before the test window, else the first known in it; `country_before` knows nothing of the
    window. `untimed` says why the log cannot be cut at an instant, "" if it can.
    """

    photo_ids: pl.Series
    name_visitors: Callable[[Ints], pl.Series]  # the ids of visitors by their places
    log: Interactions
    items: ItemFeatures
    test_start: float
    available_at: NDArray[np.float64]  # (P,) when each photo was there
    country_before: Countries  # (V,)
    countries: tuple[str, ...] = ()  # by their codes, those known before the test window first
    sample: SampleFacts | None = None
    untimed: str = ""

    def trial(self) -> Trial:
        """Return the night's own trial: learn before the test window, ask in it."""
        trial = temporal(self.log, self.test_start, self.available_at, self.country_before)
        return replace(trial, log=self._learned(trial.log))

    @property
    def learned_log(self) -> Interactions:
        """All conversions of those whom methods may learn from."""
        return self._learned(self.log)

    def _learned(self, log: Interactions) -> Interactions:
        return log if self.sample is None else log.take(np.arange(self.sample.visitor_count))

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


def read_world(
    ctx: RunContext, inputs: dict[str, Manifest], arm: str, params: EvaluateRecommendersParams, folder: Path
) -> World:
    """Return the photos that were there when the test window ended, and all that visitors took of them.

    Images are an arm's photo vectors. Descriptions go through the same model's text tower here, in one process, each
    different one once. Both are mapped files in `folder`. Visitors are in an order as good as drawn: the first so many
    are a sample.
    """
    splits = inputs["splits"]
    photos = _photos(ctx.lake, splits)
    images = photo_vectors(
        ctx.lake, inputs["photo_embeddings"], arm, photos["photo_id"], folder / "images", params.max_missing_share
    )
    model = load_model(ctx, inputs["search_models"], arm)
    texts = _descriptions(model, photos["description"], folder / "texts")
    items = ItemFeatures(images, texts, *_keywords(ctx.lake, splits, model, photos["photo_id"]))
    visitors, sample = choose_visitors(count_visitors(ctx.lake, splits), params)
    rows, names = read_log(ctx.lake, splits, photos["photo_id"], visitors)
    start, end = SplitsFacts.of(splits).windows["test"]
    country_V, country_before_V, countries = _countries(rows, names, microseconds(start), len(visitors))
    log = Interactions.of(
        integers(rows["place"]),
        integers(rows["item"]),
        rows["at"].to_numpy() / SECOND,
        np.ones(len(rows), np.float32),
        country_V,
        item_count=len(photos),
        as_of=end.timestamp(),
    )
    numbers = integers(visitors["visitor"])
    return World(
        photo_ids=photos["photo_id"],
        name_visitors=lambda places: name_visitors(ctx.lake, splits, numbers[places]),
        log=log,
        items=items,
        test_start=start.timestamp(),
        available_at=integers(photos["submitted_at"]) / SECOND,  # by 80/20 too
        country_before=country_before_V,
        countries=countries,
        sample=sample,
    )


def _photos(lake: Lake, splits: Manifest) -> pl.DataFrame:
    """Return the photos that were there when the test window ended, in the order that decides ties."""
    facts = SplitsFacts.of(splits)
    photos = lake.read_table(splits, "photos", ["photo_id", "submitted_at", "description"])
    photos = photos.filter(available_at(facts) < facts.windows["test"][1])
    return photos[tie_order(photos["photo_id"].to_list())]


def choose_visitors(
    counts: pl.DataFrame, params: EvaluateRecommendersParams
) -> tuple[pl.DataFrame, SampleFacts | None]:
    """Return the visitors to read (visitor and place), in an order as good as drawn, and whom methods learn from.

    `counts` are as `count_visitors` gives them. Methods learn from all where all have at most
    `max_learning_conversions` before the test window, else from the first visitors who together have no more, from one
    at least. Whoever is asked about is read too: the first `max_visitor_count` of those who came in the window.
    """
    drawn = counts[drawn_order(integers(counts["visitor"]))].with_row_index("drawn")
    totals = drawn["before"].cast(pl.Int64).cum_sum()
    learners = max(1, int((totals <= params.max_learning_conversions).sum()))
    if learners >= len(drawn):
        return drawn.select("visitor", place="drawn"), None
    asked = drawn.filter(pl.col("within") > 0).head(params.max_visitor_count)["drawn"]
    kept = drawn.filter((pl.col("drawn") < learners) | pl.col("drawn").is_in(asked.implode()))
    sample = SampleFacts(
        visitor_count=learners,
        visitor_total=len(drawn),
        conversion_count=totals[learners - 1],
        conversion_total=totals[-1],
    )
    return kept.select("visitor").with_row_index("place"), sample


def _countries(
    rows: pl.DataFrame, names: Sequence[str], start: int, visitor_count: int
) -> tuple[Countries, Countries, tuple[str, ...]]:
    """Return a code of each visitor's country, the same as of the test window's start, and what the codes mean.

    `rows` are as `read_log` gives them, their codes meaning `names`. The codes of countries that nobody came from
    before are the highest, so that what is learned knows none of them.
    """
    known = rows.filter(pl.col("country") != NONE).sort("at", "item")
    is_before = pl.col("at") < start
    name = pl.col("country").replace_strict(dict(enumerate(names)), return_dtype=pl.String).alias("name")
    ordered = known.group_by("country").agg(is_new=(~is_before).all()).with_columns(name).sort("is_new", "name")
    code_of = np.full(len(names) + 1, NONE, np.int32)  # the last for those not known
    code_of[integers(ordered["country"])] = np.arange(len(ordered))
    by_visitor = known.group_by("place").agg(
        pl.col("country").filter(is_before).last().fill_null(NONE).alias("before"),
        pl.col("country").filter(~is_before).first().fill_null(NONE),
    )
    country_V, before_V = (np.full(visitor_count, NONE, np.int32) for _ in range(2))
    place, before, later = (integers(by_visitor[column]) for column in ("place", "before", "country"))
    before_V[place] = code_of[before]
    country_V[place] = code_of[np.where(before == NONE, later, before)]
    return country_V, before_V, tuple(ordered["name"])


@torch.inference_mode()
def _descriptions(model: SearchModel, description_P: pl.Series, path: Path) -> Floats:
    """Return the text tower's vectors of the photos' descriptions, [P, D], as a mapped file; zero without one."""
    vector_PD = mapped(path, len(description_P), model.dim)
    texts = pl.Series([model.query_text(text or "", "") for text in description_P], dtype=pl.String)
    distinct = texts.to_frame("text").with_row_index("photo").filter(pl.col("text") != "")
    distinct = distinct.group_by("text", maintain_order=True).agg("photo")
    for rows in distinct.iter_slices(_TEXTS_AT_ONCE):
        vector_TD = text_vectors(model, model.tokenize(rows["text"].to_list())).cpu().numpy()
        vector_PD[integers(rows["photo"].explode())] = np.repeat(vector_TD, rows["photo"].list.len(), axis=0)
    return vector_PD


def _keywords(
    lake: Lake, splits: Manifest, model: SearchModel, photo_ids: pl.Series
) -> tuple[RaggedKeywords | None, int]:
    """Return the photos' keywords by the model's vocabulary and its size; nothing if the model reads no keywords."""
    if model.vocabulary is None:
        return None, 0
    names = [rows.unique() for rows in lake.table_files(splits, "photo_keywords", ["keyword"])]
    words = pl.concat(names).unique().sort("keyword").with_row_index("word")
    row_W = np.array([model.vocabulary.row(word) for word in words["keyword"]], np.int64)
    items = photo_ids.to_frame("photo_id").with_row_index("item")
    parts = [
        rows.join(items, on="photo_id")
        .join(words, on="keyword")
        .select("item", "word", pl.col("confidence").cast(pl.Float32))
        for rows in lake.table_files(splits, "photo_keywords")
    ]
    rows = pl.concat(parts).sort("item", "word")
    starts = np.searchsorted(rows["item"].to_numpy(), np.arange(len(items) + 1))
    return RaggedKeywords(row_W[rows["word"].to_numpy()], rows["confidence"].to_numpy(), starts), (
        model.vocabulary.row_count
    )


def method(name: str, params: EvaluateRecommendersParams, settings: Settings, items: ItemFeatures) -> Recommender:
    """Return a method, ready to be fitted to items; a trained one makes at most as many passes as `params` say."""
    passes = {
        "sasrec": params.sasrec_passes,
        "two_tower": params.two_tower_passes,
        "graphsage": params.graphsage_passes,
    }
    made = METHODS[name]()
    if isinstance(made, ItemKnn):
        return replace(made, dislike_weight=params.dislike_weight)
    if isinstance(made, Als):
        made = replace(made, objective=replace(made.objective, dislike_weight=params.dislike_weight))
    if isinstance(made, Als) and params.als_library == "spark":
        return SparkAls(settings, made)
    if isinstance(made, SasRec | TwoTower | GraphSage):
        of_rows = not items.content_dim and not isinstance(made, SasRec)
        training = ROW_TRAINING if of_rows else made.training
        return replace(made, training=replace(training, pass_count=passes[name]))
    return made
