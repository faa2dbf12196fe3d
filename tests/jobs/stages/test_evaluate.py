"""The stage `evaluate` on a small made-up night: right numbers, and no number at all where an arm is unfinished."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.adapters import task_pool
from jobs.config.params.evaluation import EvaluateParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.datasets.models import CHAMPION, RERANKER, SEARCH_MODELS
from jobs.errors import BadInput, MissingInput
from jobs.evaluation import ranked_arm, vector_arm
from jobs.evaluation.ranking_task import of_some_visitors
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from models.evaluation.ranking import NOT_FOUND, tie_order
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

pytestmark = pytest.mark.integration

PARAMS = EvaluateParams(contact_sheet_queries=6)
TRAIN_START, TRAIN_END = datetime(2025, 12, 1, tzinfo=UTC), datetime(2025, 12, 19, tzinfo=UTC)
TEST_START, TEST_END = datetime(2025, 12, 22, tzinfo=UTC), datetime(2025, 12, 29, tzinfo=UTC)
LIVE = {"version": 7, "trained_until": TEST_START, "selected_until": TEST_START, "model_digest": "champion"}
PHOTO_COUNT, DIM = 40, 8
COUNTRIES = ("US", "JP", "")
WITH_COUNTRY = ("finetuned_country_keywords", "champion")
BASELINES = {"popularity", "most_converted_for_query", "keyword_bm25"}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Night:
    """The inputs of the stage, open to changes before `commit`. Query i of a country is about photo i."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.list_count, self.propensities = 0, {1: 1.0, 2: 0.5, 3: 0.25}
        random = np.random.default_rng(0)
        ids = [f"photo-{i:02}" for i in range(PHOTO_COUNT)]
        submitted = [TRAIN_END - timedelta(days=30)] * (PHOTO_COUNT - 4) + [TEST_START + timedelta(days=1)] * 4
        self.photos = pl.DataFrame(
            {
                "photo_id": ids,
                "submitted_at": submitted,
                "description": [f"thing {i}" if i % 2 else None for i in range(PHOTO_COUNT)],
                "photographer": ["someone"] * PHOTO_COUNT,
                "is_in_train": [at < TRAIN_END for at in submitted],
            }
        )
        self.keywords = pl.DataFrame(
            {"photo_id": ids, "keyword": [f"q{i}" for i in range(PHOTO_COUNT)], "confidence": [1.0] * PHOTO_COUNT}
        )
        self.train = self.conversions(random, 300, TRAIN_END - timedelta(days=5), PHOTO_COUNT - 4)
        self.validation = self.conversions(random, 30, TRAIN_END, PHOTO_COUNT - 4)
        self.test = self.conversions(random, 240, TEST_START + timedelta(days=2), PHOTO_COUNT)
        photo_PD = unit(random.normal(size=(PHOTO_COUNT, DIM)))
        noise = {"zero_shot": 3.0, "finetuned": 1.0, "finetuned_country_keywords": 0.2, "champion": 0.5}
        self.photo_vectors, self.query_vectors = [], []
        for arm, scale in noise.items():
            self.photo_vectors.append(self.table(arm, {"photo_id": ids}, photo_PD))
            for country in COUNTRIES if arm in WITH_COUNTRY else ("",):
                query_PD = unit(photo_PD + scale * random.normal(size=photo_PD.shape) / np.sqrt(DIM))
                keys = {"query": [f"q{i}" for i in range(PHOTO_COUNT)], "country": [country] * PHOTO_COUNT}
                self.query_vectors.append(self.table(arm, keys, query_PD))
        self.photo_vectors, self.query_vectors = pl.concat(self.photo_vectors), pl.concat(self.query_vectors)
        self.champion: dict[str, Any] | None = None
        self.champion_files: dict[str, bytes] = {}
        self.other_facts: dict[str, dict[str, Any]] = {}
        self.equal_pictures: dict[str, str] = {}
        self.hidden: list[tuple[str, str | None]] = []
        self.split_facts: dict[str, Any] = {}

    @staticmethod
    def conversions(random: np.random.Generator, count: int, start: datetime, photo_count: int) -> pl.DataFrame:
        photo = np.minimum(random.geometric(0.08, count) - 1, photo_count - 1)
        at_the_search = np.random.default_rng(count)
        return pl.DataFrame(
            {
                "visitor_id": [f"visitor-{v:03}" for v in random.integers(0, count // 2, count)],
                "query": [f"q{i}" for i in photo],
                "country": random.choice(COUNTRIES, count),
                "photo_id": [f"photo-{i:02}" for i in photo],
                "converted_at": [start + timedelta(minutes=m) for m in range(count)],
                "conversion_count": [1] * count,
                "device_type": at_the_search.choice(("desktop", "mobile", "fridge"), count),
                "orientation_filter": at_the_search.choice(("all", "landscape", "portrait"), count),
                "position": pl.Series([None] * count, dtype=pl.Int32),
            }
        )

    @staticmethod
    def table(arm: str, keys: dict[str, list[str]], vectors: np.ndarray) -> pl.DataFrame:
        column = pl.Series("vector", vectors.tolist(), dtype=pl.List(pl.Float32))
        return pl.DataFrame(keys).with_columns(column, arm=pl.lit(arm))

    def drop(self, table: str, rows: pl.Expr) -> None:
        setattr(self, table, getattr(self, table).filter(~rows))

    def spoil(self, table: str, rows: pl.Expr, vector: list[float]) -> None:
        spoilt = pl.when(rows).then(pl.lit(vector, dtype=pl.List(pl.Float32))).otherwise("vector").alias("vector")
        setattr(self, table, getattr(self, table).with_columns(spoilt))

    def commit(self) -> RunContext:
        windows = {
            "train_start": TRAIN_START,
            "train_end": TRAIN_END,
            "validation_end": TEST_START,
            "test_end": TEST_END,
        }
        splits = {name: getattr(self, name) for name in ("train", "validation", "test", "photos")}
        arms = ("finetuned", "finetuned_country_keywords", "zero_shot")
        trained = {"arms": {arm: {"model_digest": arm} for arm in arms}, "challenger": "finetuned_country_keywords"}
        sizes = self.photos.select("photo_id", width=pl.lit(300), height=pl.lit(200))
        log = pl.concat([self.train, self.validation, self.test], how="diagonal_relaxed")
        hidden = pl.DataFrame(self.hidden, schema={"photo_id": pl.String, "country": pl.String}, orient="row")
        for dataset, tables, facts in (
            (SPLITS, splits | {"photo_keywords": self.keywords}, windows | self.split_facts),
            (SEARCH_MODELS, {}, trained),
            (CHAMPION, {}, {"live": self.champion}),
            (VALIDATED, {"photos": sizes, "hidden": hidden, "conversions": log} | self.shown(), {}),
            (IMAGES, {"images": self.images()}, {}),
            (IMPRESSIONS, self.examination(), {}),
            (RERANKER, {}, {"note": "too few searches"}),
            (PHOTO_EMBEDDINGS, {"embeddings": self.photo_vectors}, self.embedded("photo")),
            (QUERY_EMBEDDINGS, {"embeddings": self.query_vectors}, self.embedded("query")),
        ):
            files = self.champion_files if dataset is CHAMPION else {}
            commit_tables(self.context, dataset, tables, facts=facts, files=files)
        return self.context

    def examination(self) -> dict[str, pl.DataFrame]:
        """How often places are looked at."""
        schema = {"position": pl.Int32, "examination": pl.Float64}
        return {"examination": pl.DataFrame(list(self.propensities.items()), schema=schema, orient="row")}

    def shown(self) -> dict[str, pl.DataFrame]:
        """A list for each of the first searches of the test window: two other photos, and third the one converted."""
        rows = [
            {"shown_at": at, "visitor_id": who, "query_id": f"s{number}", "query": query, "country": country}
            | {"photo_id": name, "position": position, "interaction": "click" if name == photo else "shown"}
            for number, (who, query, country, photo, at) in enumerate(
                self.test.head(self.list_count)
                .select("visitor_id", "query", "country", "photo_id", "converted_at")
                .iter_rows()
            )
            for position, name in enumerate(
                [*[other for other in ("photo-00", "photo-01", "photo-02") if other != photo][:2], photo], start=1
            )
        ]
        return {"impressions": pl.DataFrame(rows, schema_overrides={"position": pl.Int32})} if rows else {}

    def images(self) -> pl.DataFrame:
        """One image per photo, each another unless `self.equal_pictures` says so."""
        digests = [self.equal_pictures.get(photo, photo) for photo in self.photos["photo_id"]]
        return self.photos.select("photo_id", status=pl.lit("present"), sha256=pl.Series(digests))

    def embedded(self, kind: str) -> dict[str, Any]:
        vectors = getattr(self, f"{kind}_vectors")
        arms = vectors["arm"].unique()
        dim = {arm: rows["vector"].list.len().mode()[0] for (arm,), rows in vectors.group_by("arm")}
        country = {arm: {"uses_country": arm in WITH_COUNTRY} if kind == "query" else {} for arm in arms}
        facts = {arm: {"model_digest": arm, "dim": dim[arm], **country[arm]} for arm in arms}
        return {"arms": facts | self.other_facts.get(kind, {})}


@pytest.fixture
def night(make_context: Contexts) -> Night:
    return Night(make_context())


def run(night: Night) -> tuple[Manifest, dict[str, pl.DataFrame]]:
    context = night.commit()
    manifest = run_stage(context, "evaluate", PARAMS)
    return manifest, {name: context.lake.read_table(manifest, name) for name in manifest.tables}


def plain_ranks(night: Night, arm: str, uses_country: bool) -> list[int]:
    """Ranks by a plain loop, in the order of the table `queries`."""
    photo = {p: np.array(v) for a, p, v in night.photo_vectors.select("arm", "photo_id", "vector").rows() if a == arm}
    text = {
        (q, c): np.array(v)
        for a, q, c, v in night.query_vectors.select("arm", "query", "country", "vector").rows()
        if a == arm
    }
    submitted = dict(night.photos.select("photo_id", "submitted_at").rows())
    ids = night.photos["photo_id"].to_list()
    place = {ids[i]: n for n, i in enumerate(tie_order(ids))}
    ranks = []
    taken = pl.concat([night.train, night.validation, night.test]).select("photo_id", "country", "converted_at").rows()
    picture = {p: night.equal_pictures.get(p, p) for p in ids}
    ordered = night.test.sort("query", "country", "converted_at", "photo_id")  # no two at one instant
    for query, country, target, at in ordered.select("query", "country", "photo_id", "converted_at").iter_rows():
        vector = text[query, country if uses_country else ""]
        candidates = [p for p in ids if submitted[p] <= at or "protocol" in night.split_facts]
        for name, where in night.hidden:  # a photo is hidden once nobody takes it any more
            later = any(p == name and c in (where or c,) and then >= at for p, c, then in taken)
            if where in (None, country) and not later and name in candidates:
                candidates.remove(name)
        score = {p: np.float32(vector @ photo[p]) if p in photo else -np.inf for p in candidates}
        pictures = [picture[p] for p in sorted(candidates, key=lambda p: (-score[p], place[p]))]
        ranks.append(list(dict.fromkeys(pictures)).index(picture[target]) + 1)
    return ranks


@pytest.mark.quick
def test_the_night_is_ranked_measured_and_compared(night: Night) -> None:
    manifest, tables = run(night)
    models = {"zero_shot", "finetuned", "finetuned_country_keywords"}
    assert set(tables["metrics"]["arm"]) == BASELINES | models
    assert tables["ranks"].height == 6 * 240
    for arm, uses_country in (("finetuned", False), ("finetuned_country_keywords", True)):
        ranks = tables["ranks"].filter(pl.col("arm") == arm).sort("query_id")["rank"]
        assert ranks.to_list() == plain_ranks(night, arm, uses_country)
        whole = tables["metrics"].filter((pl.col("arm") == arm) & (pl.col("segment_kind") == "all"))
        values = {(metric, k): value for metric, k, value in whole.select("metric", "k", "value").rows()}
        assert values["hit_rate", 5] == pytest.approx((ranks <= 5).mean())
        assert values["mrr", 25] == values["map", 25] == pytest.approx((1 / ranks).filter(ranks <= 25).sum() / 240)
    facts = EvaluationFacts.of(manifest)
    verdict = facts.verdict
    assert verdict.challenger == "finetuned_country_keywords"
    assert verdict.compared_with == "zero_shot"
    assert verdict.is_better
    assert 0 < verdict.low < verdict.difference < verdict.high
    assert "is better than zero_shot (no champion yet): hit rate@10" in verdict.sentence
    rates = facts.hit_rate_at_10
    assert rates["zero_shot"] < rates["finetuned"] <= rates["finetuned_country_keywords"]
    assert verdict.difference == pytest.approx(rates["finetuned_country_keywords"] - rates["zero_shot"])
    assert (facts.test_query_count, facts.corpus_photo_count) == (240, PHOTO_COUNT)
    assert facts.rival == "keyword_bm25"  # the strongest other here: the keyword is the query
    assert facts.base_arm == verdict.challenger  # no order was learned
    assert set(verdict.counting) == BASELINES
    for baseline, less in verdict.counting.items():
        assert less.value == pytest.approx(rates[verdict.challenger] - rates[baseline])
        assert less.low <= less.value <= less.high
    assert facts.test_visitor_count == night.test["visitor_id"].n_unique()
    assert "SHA-256" in facts.tie_rule


def test_lists_that_were_shown_are_ordered_by_every_arm(night: Night) -> None:
    """The photo taken stood third in every list: as shown that is 1/3, and a good arm puts it first."""
    night.list_count = 200
    manifest, tables = run(night)
    found = {
        (arm, metric): value for arm, metric, value in tables["off_policy"].select("arm", "metric", "value").rows()
    }
    assert {arm for arm, _ in found} == {"as_shown", "zero_shot", "finetuned", "finetuned_country_keywords"} | BASELINES
    assert found["as_shown", "mrr"] == pytest.approx(1 / 3)
    assert found["as_shown", "dcg"] == pytest.approx(0.5)
    assert found["zero_shot", "mrr"] < found["finetuned_country_keywords", "mrr"]
    assert found["finetuned_country_keywords", "mrr"] > 0.9
    facts = EvaluationFacts.of(manifest).off_policy
    assert (facts.note, facts.shown_list_count, facts.list_count, facts.taken_count) == ("", 200, 200, 200)
    assert facts.effective_count is not None
    assert facts.effective_count <= night.test["visitor_id"].n_unique()


@pytest.mark.parametrize(
    ("lists", "propensities", "note"),
    [
        (0, {1: 1.0}, "the log of what was shown has no list"),
        (200, {}, "nobody can tell how often places are looked at"),
        (200, {1: 1.0, 2: 0.5}, "100% of what was taken stood at places without a propensity"),
        (200, {1: 1.0, 2: 0.5, 3: 0.001}, "100% of what was taken stood at places without a propensity"),
        (5, {1: 1.0, 2: 0.5, 3: 0.25}, "what was taken is worth fewer than 50 visitors"),
    ],
)
def test_degenerate_weights_give_a_reason_and_no_figure(
    night: Night, lists: int, propensities: dict[int, float], note: str
) -> None:
    night.list_count, night.propensities = lists, propensities
    manifest, tables = run(night)
    assert tables["off_policy"].is_empty()
    assert EvaluationFacts.of(manifest).off_policy.note.startswith(note)


def test_ranks_do_not_depend_on_how_the_work_is_cut(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.equal_pictures = {f"photo-{i:02}": "same" for i in range(5)}
    context = night.commit()
    whole = run_stage(context, "evaluate", PARAMS)
    monkeypatch.setattr(task_pool, "_WORTH_A_PROCESS", 10**6)
    monkeypatch.setattr(ranked_arm, "_TEXTS_PER_TASK", 2)
    for name, value in (("PHOTOS_AT_ONCE", 7), ("_FEWEST_TEXTS", 2), ("_WORK_OF_A_TASK", 10.0)):
        monkeypatch.setattr(vector_arm, name, value)
    cut = run_stage(context, "evaluate", PARAMS.model_copy(update={"max_memory_mb": 1024}))
    for table in ("ranks", "judgement_ranks", "contact_sheet"):
        assert context.lake.read_table(cut, table).equals(context.lake.read_table(whole, table))


def test_comparisons_are_with_every_other_arm(night: Night) -> None:
    manifest, tables = run(night)
    comparisons = tables["comparisons"]
    assert set(comparisons["arm"]) == {"finetuned_country_keywords"}
    assert set(comparisons["baseline"]) == BASELINES | {"zero_shot", "finetuned"}
    assert comparisons.height == 5 * 28
    rates = EvaluationFacts.of(manifest).hit_rate_at_10
    at_10 = comparisons.filter((pl.col("metric") == "hit_rate") & (pl.col("k") == 10))
    for baseline, difference in at_10.select("baseline", "difference").iter_rows():
        assert difference == pytest.approx(rates["finetuned_country_keywords"] - rates[baseline])
    assert (comparisons["low"] <= comparisons["high"]).all()
    is_clear = (comparisons["low"] > 0) | (comparisons["high"] < 0)
    assert (is_clear == (comparisons["p_value"] < 0.05)).all()
    assert comparisons["detectable"].is_between(0, 2).all()
    for table in ("comparisons", "query_comparisons"):
        assert tables[table].select(pl.struct("baseline", "metric", "k").n_unique()).item() == 5 * 28


def test_the_slices_of_a_kind_add_up_to_the_whole(night: Night) -> None:
    night.drop("train", pl.col("query") == "q3")
    _, tables = run(night)
    rows = tables["metrics"].filter((pl.col("metric") == "hit_rate") & (pl.col("k") == 10))
    assert dict(rows.group_by("segment_kind").agg(pl.col("segment").unique().sort()).rows()) == {
        "all": ["all"],
        "country": ["JP", "US", "unknown"],
        "photo_age": ["new", "old"],
        "query_seen": ["seen", "unseen"],
        "query_frequency": ["head", "tail", "torso"],
        "query_trend": ["rising", "steady"],
        "visitor": ["one-off", "returning"],
        "script": ["latin"],
    }
    per_kind = rows.group_by("arm", "segment_kind").agg(
        pl.col("query_count").sum(), (pl.col("value") * pl.col("query_count")).sum().alias("hits")
    )
    assert set(per_kind["query_count"]) == {240}
    spread = per_kind.group_by("arm").agg(pl.col("hits").max() - pl.col("hits").min())
    assert spread["hits"].max() == pytest.approx(0, abs=1e-6)
    few = rows.filter(pl.col("segment") == "new")  # the last photos are rarely converted here
    assert few["query_count"][0] < 10
    assert rows["low"].null_count() == rows["high"].null_count() == 0
    assert ((few["high"] - few["low"]) > 0.4).all()  # so few tell little, and say so
    assert (rows["low"].is_between(0, rows["value"] + 1e-12) & rows["high"].is_between(rows["value"] - 1e-12, 1)).all()
    assert (rows["cluster_count"] <= rows["query_count"]).all()


def test_the_challenger_is_compared_within_every_slice(night: Night) -> None:
    night.drop("train", pl.col("query") == "q3")
    _, tables = run(night)
    metrics = tables["metrics"].filter(pl.col("segment_kind") != "all")
    keys = ["segment_kind", "segment", "metric", "k"]
    value = metrics.select(*keys, "arm", "value", "query_count", "cluster_count")
    found = tables["segment_comparisons"]
    assert found.height == metrics.height - metrics.filter(COUNTRY_ARM).height
    joined = found.join(value, on=[*keys, "arm", "query_count", "cluster_count"]).join(
        value.rename({"arm": "baseline", "value": "other"}), on=[*keys, "baseline", "query_count", "cluster_count"]
    )
    assert joined.height == found.height
    assert (joined["value"] - joined["other"] - joined["difference"]).abs().max() < 1e-9
    assert (found["low"] <= found["difference"] + 1e-12).all()
    assert (found["high"] >= found["difference"] - 1e-12).all()


def test_slices_by_frequency_visitor_and_script(night: Night) -> None:
    night.test = night.test.with_columns(
        query=pl.when(pl.col("query") == "q2").then(pl.lit("猫")).otherwise("query"),
        visitor_id=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("nobody else")).otherwise("visitor_id"),
    )
    renamed = pl.when(pl.col("query") == "q2").then(pl.lit("猫")).otherwise("query").alias("query")
    night.drop("validation", pl.col("query") == "q2")
    night.query_vectors = night.query_vectors.with_columns(renamed).unique(["arm", "query", "country"])
    manifest, tables = run(night)
    counts = {
        (kind, segment): count
        for kind, segment, count in tables["metrics"].select("segment_kind", "segment", "query_count").unique().rows()
    }
    cuts = EvaluationFacts.of(manifest).frequency_cuts
    past = dict(night.train["query"].value_counts().rows())
    asked = [past.get(query, 0) for query in night.test["query"]]
    heads = sum(count >= cuts.head_min_count for count in asked)
    assert counts["query_frequency", "head"] == heads > 0
    assert counts["query_frequency", "tail"] == sum(count < cuts.torso_min_count for count in asked)
    assert counts["script", "han"] == (night.test["query"] == "猫").sum() > 0
    log = pl.concat([night.train, night.validation, night.test])
    days = dict(log.group_by("visitor_id").agg(pl.col("converted_at").dt.date().n_unique()).rows())
    assert days["nobody else"] == 1
    assert counts["visitor", "one-off"] == sum(days[visitor] == 1 for visitor in night.test["visitor_id"]) > 0


def begin_a_trend(night: Night) -> pl.Expr:
    """Have everybody take photo-33 for q20 from the third day of the test window on; these are the searches for it."""
    begins = TEST_START + timedelta(days=3)
    rows = 60
    trend = pl.DataFrame(
        {
            "visitor_id": [f"follower-{v:03}" for v in range(rows)],
            "query": ["q20"] * rows,
            "country": ["US"] * rows,
            "photo_id": ["photo-33"] * rows,
            "converted_at": [begins + timedelta(minutes=20 * m) for m in range(rows)],
            "conversion_count": [1] * rows,
            "device_type": ["mobile"] * rows,
            "orientation_filter": ["all"] * rows,
            "position": pl.Series([None] * rows, dtype=pl.Int32),
        }
    )
    night.test = pl.concat([night.test, trend])
    return pl.col("visitor_id").str.starts_with("follower")


def ranks_of(tables: dict[str, pl.DataFrame], arm: str) -> pl.DataFrame:
    return tables["queries"].join(tables["ranks"].filter(arm=arm), on="query_id").drop("query_id", "arm")


def test_who_follows_a_trend_asks_for_what_rises(night: Night) -> None:
    follows = begin_a_trend(night)
    manifest, tables = run(night)
    rising = tables["metrics"].filter(segment_kind="query_trend", segment="rising", metric="hit_rate", k=10)
    assert rising["query_count"][0] >= tables["queries"].filter(follows).height - 6
    facts = EvaluationFacts.of(manifest)
    assert (facts.trending.over_start, facts.trending.sentence) == (None, "")  # nothing was learned to order by counts
    assert facts.reranker_note in facts.trending.note


def plain_judgements(night: Night) -> dict[tuple[str, str], tuple[datetime, dict[str, int]]]:
    """For each (query, country) when it was asked last, and how many visitors took each photo."""
    found: dict[tuple[str, str], tuple[datetime, dict[str, set[str]]]] = {}
    columns = ("query", "country", "photo_id", "visitor_id", "converted_at")
    for query, country, photo, visitor, at in night.test.select(columns).rows():
        last, visitors = found.get((query, country), (at, {}))
        visitors.setdefault(photo, set()).add(visitor)
        found[query, country] = (max(last, at), visitors)
    return {key: (last, {p: len(v) for p, v in photos.items()}) for key, (last, photos) in found.items()}


def test_by_query_all_photos_taken_are_relevant_graded_by_visitors(night: Night) -> None:
    other = night.test.with_columns(
        photo_id=pl.concat_str(
            pl.lit("photo-"), ((pl.col("photo_id").str.tail(2).cast(pl.Int32) * 7) % 36).cast(pl.String).str.zfill(2)
        )
    )
    night.test = pl.concat([night.test, other[::3]]).unique(
        ["visitor_id", "query", "country", "photo_id"], maintain_order=True
    )
    manifest, tables = run(night)
    expected = plain_judgements(night)
    judged = tables["judgements"]
    assert {(q, c, p): n for q, c, p, n in judged.select("query", "country", "photo_id", "visitor_count").rows()} == {
        (*key, photo): count for key, (_, photos) in expected.items() for photo, count in photos.items()
    }
    assert judged["visitor_count"].max() > 1
    assert judged.group_by("query", "country").len()["len"].max() > 1
    ranks = tables["judgement_ranks"].join(judged, on="judgement_id")
    assert ranks.height == 6 * judged.height
    place = {
        (q, c, p): rank
        for q, c, p, rank in ranks.filter(FINETUNED).select("query", "country", "photo_id", "rank").rows()
    }
    vectors = {p: np.array(v) for p, v in night.photo_vectors.filter(FINETUNED).select("photo_id", "vector").rows()}
    texts = {q: np.array(v) for q, v in night.query_vectors.filter(FINETUNED).select("query", "vector").rows()}
    submitted = dict(night.photos.select("photo_id", "submitted_at").rows())
    dcg, recall = [], []
    for (query, country), (last, photos) in expected.items():
        candidates = [p for p in submitted if submitted[p] <= last]
        ordered = sorted(candidates, key=lambda p: -np.float32(texts[query] @ vectors[p]))
        assert {p: ordered.index(p) + 1 for p in photos} == {p: place[query, country, p] for p in photos}
        gains = [photos.get(p, 0) for p in ordered[:10]]
        ideal = sorted(photos.values(), reverse=True)[:10]
        discounted = [sum(g / np.log2(i + 2) for i, g in enumerate(row)) for row in (gains, ideal)]
        dcg.append(discounted[0] / discounted[1])
        recall.append(sum(gain > 0 for gain in gains) / len(photos))
    whole = tables["query_metrics"].filter(FINETUNED & (pl.col("k") == 10))
    values = dict(whole.select("metric", "value").rows())
    assert values["ndcg"] == pytest.approx(np.mean(dcg))
    assert values["recall"] == pytest.approx(np.mean(recall))
    assert set(whole["query_count"]) == {len(expected)}
    assert set(whole["cluster_count"]) == {len({query for query, _ in expected})}  # words, whatever the country
    facts = EvaluationFacts.of(manifest).by_query
    assert facts.ndcg_at_10["finetuned"] == pytest.approx(values["ndcg"])
    assert (facts.query_count, facts.judgement_count) == (len(expected), judged.height)


def test_where_every_query_is_asked_once_both_evaluations_agree(night: Night) -> None:
    night.test = night.test.unique(["query", "country"], keep="first", maintain_order=True)
    _, tables = run(night)
    keys = ["arm", "metric", "k"]
    both = tables["metrics"].filter(pl.col("segment_kind") == "all").join(tables["query_metrics"], on=keys)
    assert both.height == 6 * 28
    assert (both["value"] - both["value_right"]).abs().max() < 1e-12


def test_a_photo_submitted_between_two_searches_is_a_candidate_of_its_query(night: Night) -> None:
    late = TEST_START + timedelta(days=1)  # when the last four photos were submitted
    asked = {"photo-01": late - timedelta(hours=1), "photo-39": late + timedelta(hours=1)}
    rows = [night.test.head(1).with_columns(photo_id=pl.lit(p), converted_at=at) for p, at in asked.items()]
    night.test = pl.concat(rows).with_columns(query=pl.lit("q1"), country=pl.lit("US"))
    _, tables = run(night)
    photos = tables["judgements"]["photo_id"].to_list()
    assert sorted(photos) == list(asked)
    assert tables["query_metrics"]["query_count"].unique().to_list() == [1]
    text = np.array(night.query_vectors.filter(FINETUNED & (pl.col("query") == "q1"))["vector"][0])
    score_P = np.array(night.photo_vectors.filter(FINETUNED)["vector"].to_list()) @ text
    ranks = tables["judgement_ranks"].filter(FINETUNED).sort("judgement_id")["rank"].to_list()
    assert ranks == [1 + int((score_P > score_P[int(photo[-2:])]).sum()) for photo in photos]  # among all 40


def test_the_baselines_see_the_validation_window_too(night: Night) -> None:
    night.validation = pl.concat(
        [night.test.head(1).with_columns(query=pl.lit("q0"), photo_id=pl.lit("photo-20"))] * 200
    )
    _, tables = run(night)
    asked = tables["queries"].filter(pl.col("photo_id") == "photo-20").select("query_id")
    ranks = tables["ranks"].filter(pl.col("arm") == "popularity").join(asked, on="query_id")
    assert set(ranks["rank"]) == {1}
    of_q0 = tables["queries"].filter(pl.col("query") == "q0").select("query_id")
    ranks = tables["ranks"].filter(pl.col("arm") == "most_converted_for_query").join(of_q0, on="query_id")
    assert set(ranks["rank"]) == {2}  # photo-20 is before photo-00 for q0 now, in every country


def test_the_contact_sheet_shows_the_challenger_beside_the_strongest_other(night: Night) -> None:
    _, tables = run(night)
    sheet = tables["contact_sheet"]
    assert set(sheet["arm"]) == {"finetuned_country_keywords", "keyword_bm25"}
    pages = sheet.group_by("query", "country", "converted_photo_id", "arm").agg(pl.col("position").sort(), "score")
    assert pages.height == 2 * 6
    assert all(positions == list(range(1, 9)) for positions in pages["position"].to_list())
    assert set(sheet["country"]) == set(COUNTRIES)
    best = sheet.filter((pl.col("position") == 1) & (pl.col("arm") == "keyword_bm25"))
    assert best["photo_id"].to_list() == best["converted_photo_id"].to_list()  # the keyword is the query here


def test_equal_inputs_give_equal_artifacts_and_a_rerun_does_nothing(night: Night, make_context: Contexts) -> None:
    manifest, _ = run(night)
    assert run_stage(night.context, "evaluate", PARAMS) == manifest
    other, _ = run(Night(make_context(catalogue="other")))
    assert other.digest == manifest.digest


def test_a_comparable_champion_is_what_the_challenger_is_compared_with(night: Night) -> None:
    night.champion = LIVE
    manifest, tables = run(night)
    facts = EvaluationFacts.of(manifest)
    assert facts.verdict.compared_with == "champion"
    assert "champion version 7: hit rate@10" in facts.verdict.sentence
    assert facts.champion_version == 7
    assert "champion" in set(tables["comparisons"]["baseline"])
    assert "champion" in set(tables["contact_sheet"]["arm"])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("spoilt_arm", "spoilt", "sign", "finding"),
    [
        ("champion", slice(1), 1, "is not shown to differ from"),
        ("finetuned_country_keywords", slice(1, None), -1, "is worse than"),
    ],
)
def test_a_challenger_that_is_not_surely_better_is_not_called_better(
    night: Night, spoilt_arm: str, spoilt: slice, sign: int, finding: str
) -> None:
    twin = night.query_vectors.filter(COUNTRY_ARM).with_columns(arm=pl.lit("champion"))
    night.query_vectors = pl.concat([night.query_vectors.filter(pl.col("arm") != "champion"), twin])
    night.champion = LIVE
    photos = night.photo_vectors.filter(COUNTRY_ARM)["vector"]
    rarest_first = night.test.group_by("query").len().sort("len", "query")["query"].to_list()
    for query in rarest_first[spoilt]:
        is_spoilt = (pl.col("arm") == spoilt_arm) & (pl.col("query") == query)
        night.spoil("query_vectors", is_spoilt, (-photos[int(query[1:])]).to_list())  # away from the right photo
    verdict = EvaluationFacts.of(run(night)[0]).verdict
    assert verdict.difference * sign > 0
    assert finding in verdict.sentence
    assert not verdict.is_better


def test_a_champion_that_has_seen_the_test_window_is_left_out(night: Night) -> None:
    night.champion = LIVE | {"trained_until": TEST_START + timedelta(hours=1)}
    manifest, tables = run(night)
    facts = EvaluationFacts.of(manifest)
    assert facts.verdict.compared_with == "zero_shot"
    assert "was trained until 2025-12-22T01:00" in facts.champion_note
    assert facts.champion_note in facts.verdict.sentence
    for table in ("metrics", "ranks", "contact_sheet"):
        assert "champion" not in set(tables[table]["arm"])
    assert "champion" not in set(tables["comparisons"]["baseline"])


@pytest.mark.parametrize(
    ("until", "why"),
    [
        (TEST_START + timedelta(days=3), "was chosen by conversions until 2025-12-25T00:00"),
        (None, "does not say on which conversions its weights were chosen"),
    ],
)
def test_a_champion_whose_weights_the_test_window_chose_is_left_out(
    night: Night, until: datetime | None, why: str
) -> None:
    """Nights with longer validation windows let early stopping look at what a later night tests."""
    night.champion = LIVE | {"selected_until": until}
    facts = EvaluationFacts.of(run(night)[0])
    assert facts.champion_version is None
    assert why in facts.champion_note
    assert facts.verdict.compared_with == "zero_shot"


def test_other_facts_are_other_work(night: Night) -> None:
    first, _ = run(night)
    night.champion = LIVE | {"version": 8}
    second, _ = run(night)
    assert first.run_id != second.run_id


def test_of_a_window_with_more_searches_than_are_ranked_all_those_of_some_visitors_are(night: Night) -> None:
    whole, tables = run(night)
    assert EvaluationFacts.of(whole).test_window_query_count == EvaluationFacts.of(whole).test_query_count == 240
    night.split_facts["max_ranked_searches"] = 100
    sample, sampled = run(night)
    assert EvaluationFacts.of(sample).test_window_query_count == 240
    assert 0 < EvaluationFacts.of(sample).test_query_count <= 100
    kept = sampled["queries"]["visitor_id"].unique()
    searches = ["visitor_id", "query", "country", "photo_id"]
    expected = tables["queries"].filter(pl.col("visitor_id").is_in(kept.implode())).select(searches)
    assert sampled["queries"].select(searches).sort(searches).equals(expected.sort(searches))
    # a search has the rank it has among all of them: only searches are fewer, not photos
    ranked = {
        name: found["queries"].join(found["ranks"], on="query_id").select(*searches, "arm", "rank").unique()
        for name, found in (("whole", tables), ("sample", sampled))
    }
    assert ranked["sample"].join(ranked["whole"], on=ranked["whole"].columns, how="anti").is_empty()


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=20), limit=st.integers(1, 60))
@pytest.mark.quick
def test_a_sample_of_visitors_is_within_its_limit_and_never_empty(counts: list[int], limit: int) -> None:
    visitors = [number for number, count in enumerate(counts) for _ in range(count)]
    queries = pl.DataFrame({"visitor": visitors, "query": [str(number) for number in range(len(visitors))]})
    found = of_some_visitors(queries, limit)
    kept = set(found["visitor"])
    assert kept
    assert len(found) <= limit or len(kept) == 1
    assert set(of_some_visitors(queries.sample(fraction=1, shuffle=True, seed=1), limit)["visitor"]) == kept
    assert sorted(found["query"], key=int) == [q for v, q in queries.iter_rows() if v in kept]
    if sum(counts) <= limit:
        assert len(found) == sum(counts)


def test_no_arm_is_asked_for_more_or_less_than_its_searches_could_be_shown(night: Night) -> None:
    """Photos 3 and 4 are hidden since the first half of the window, 4 from one country; 5, 6 and 20 are one picture."""
    night.hidden = [("photo-03", None), ("photo-04", COUNTRIES[0]), ("never-there", COUNTRIES[1])]
    half = TEST_START + timedelta(days=2, minutes=120)
    night.drop("test", pl.col("photo_id").is_in(["photo-03", "photo-04"]) & (pl.col("converted_at") > half))
    _, before = run(night)
    night.equal_pictures = dict.fromkeys(("photo-05", "photo-06", "photo-20"), "same")
    _, tables = run(night)
    for arm, uses_country in (("finetuned", False), ("finetuned_country_keywords", True), ("zero_shot", False)):
        ranks = tables["ranks"].filter(pl.col("arm") == arm).sort("query_id")["rank"].to_list()
        assert ranks == plain_ranks(night, arm, uses_country)
    listed = PHOTO_COUNT - 2
    assert tables["ranks"]["rank"].max() <= listed < before["ranks"]["rank"].max() + 2
    sheet = tables["contact_sheet"].join(night.test.select("photo_id").unique(), on="photo_id")
    assert (
        sheet.group_by("query", "country", "arm")
        .agg(pl.col("photo_id").is_in(["photo-05", "photo-06"]).sum())["photo_id"]
        .max()
        == 1
    )


def test_judged_by_query_equal_pictures_are_one_and_hidden_ones_are_missed(night: Night) -> None:
    night.equal_pictures = dict.fromkeys(("photo-05", "photo-06"), "same")
    night.hidden = [("photo-01", None), ("photo-02", None)]
    night.drop("test", pl.col("photo_id").is_in(["photo-01", "photo-02"]))
    few = night.test.head(5).with_columns(
        visitor_id=pl.Series(list("abcde")),
        query=pl.lit("q7"),
        country=pl.lit(COUNTRIES[0]),
        photo_id=pl.Series(["photo-05", "photo-06", "photo-01", "photo-02", "photo-07"]),
    )
    night.test = pl.concat([few, night.test.filter(pl.col("query") != "q7")])
    _, tables = run(night)
    judged = tables["judgements"].filter(pl.col("query") == "q7")
    ranks = tables["judgement_ranks"].join(judged, on="judgement_id").filter(FINETUNED)
    found = {photo: (rank, count) for photo, rank, count in ranks.select("photo_id", "rank", "visitor_count").rows()}
    [same] = {"photo-05", "photo-06"} & set(found)
    assert set(found) == {same, "photo-01", "photo-02", "photo-07"}
    assert found[same][1] == 2
    assert found["photo-01"][0] == found["photo-02"][0] == NOT_FOUND  # hidden before the query was asked last
    assert found[same][0] < PHOTO_COUNT


def test_a_few_photos_without_a_vector_rank_last_and_are_counted(night: Night) -> None:
    night.drop("photo_vectors", (pl.col("arm") == "finetuned") & (pl.col("photo_id") == "photo-02"))
    manifest, tables = run(night)
    assert EvaluationFacts.of(manifest).photos_without_vector == dict.fromkeys(BASELINES, 0) | {
        "finetuned": 1,
        "finetuned_country_keywords": 0,
        "zero_shot": 0,
    }
    ranks = tables["ranks"].filter(pl.col("arm") == "finetuned").sort("query_id")["rank"]
    assert ranks.to_list() == plain_ranks(night, "finetuned", uses_country=False)
    asked = tables["queries"].filter(pl.col("photo_id") == "photo-02")["query_id"]
    assert min(ranks[asked.to_list()]) >= PHOTO_COUNT - 4


FINETUNED = pl.col("arm") == "finetuned"
COUNTRY_ARM = pl.col("arm") == "finetuned_country_keywords"


PHOTOS, QUERIES = ({"dataset": f"{what}_embeddings", "arm": "finetuned"} for what in ("photo", "query"))
OTHER_MODEL = {"photo_embeddings": "yesterday", "query_embeddings": "finetuned", "search_models": "finetuned"}


PHOTO_5, QUERY_1 = FINETUNED & (pl.col("photo_id") == "photo-05"), FINETUNED & (pl.col("query") == "q1")


def forget_photos(night: Night) -> None:
    """Leave the facts of an arm without its vectors."""
    night.drop("photo_vectors", FINETUNED)
    night.other_facts.update(photo={"finetuned": {"model_digest": "finetuned", "dim": DIM}})


def repeat_photos(night: Night) -> None:
    night.photo_vectors = pl.concat([night.photo_vectors, night.photo_vectors[40:42]])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("damage", "error", "code", "named"),
    [
        (lambda night: night.drop("query_vectors", FINETUNED), MissingInput, "arm_not_embedded", QUERIES),
        (lambda night: night.drop("photo_vectors", FINETUNED), MissingInput, "arm_not_embedded", PHOTOS),
        (forget_photos, MissingInput, "arm_not_embedded", PHOTOS),
        (
            lambda night: night.other_facts.update(photo={"finetuned": {"model_digest": "yesterday"}}),
            *(BadInput, "vectors_of_other_model", {"models": OTHER_MODEL}),
        ),
        (
            lambda night: night.drop("query_vectors", COUNTRY_ARM & (pl.col("country") == "JP")),
            *(BadInput, "vectors_missing", QUERIES | {"arm": "finetuned_country_keywords"}),
        ),
        (
            lambda night: night.drop("photo_vectors", FINETUNED & (pl.col("photo_id") < "photo-05")),
            *(BadInput, "vectors_missing", PHOTOS | {"missing_count": 5}),
        ),
        (
            lambda night: night.spoil("photo_vectors", PHOTO_5, [float("nan")] * DIM),
            *(BadInput, "vectors_not_finite", PHOTOS | {"bad_count": 1}),
        ),
        (
            lambda night: night.spoil("query_vectors", QUERY_1, [0.5] * DIM),
            *(BadInput, "vectors_not_of_length_one", QUERIES),
        ),
        (
            lambda night: night.spoil("query_vectors", QUERY_1, [1.0]),
            *(BadInput, "vectors_differ_in_length", QUERIES | {"lengths": [1, 8]}),
        ),
        (
            lambda night: night.spoil("query_vectors", FINETUNED, [1.0, 0.0]),
            *(BadInput, "vectors_of_other_model", {"arm": "finetuned", "dimensions": {"queries": 2, "photos": 8}}),
        ),
        (repeat_photos, BadInput, "vectors_repeated", PHOTOS | {"repeated_count": 2}),
        (
            lambda night: night.drop("photos", pl.col("photo_id") == "photo-00"),
            *(BadInput, "photos_outside_corpus", {"photo_id": "photo-00"}),
        ),
    ],
)
def test_an_unfinished_arm_stops_the_run(
    night: Night, damage: Callable[[Night], None], error: type[Exception], code: str, named: dict[str, Any]
) -> None:
    damage(night)
    with raises(error, code, **named):
        run(night)
    with raises(MissingInput, "stage_not_run", dataset="evaluation"):
        night.context.read(EVALUATION)


PUBLISHED = {"protocol": "80/20", "train_start": TRAIN_END - timedelta(days=30)}


def make_published(night: Night) -> None:
    """Let the night be one of the protocol 80/20 with nothing kept aside, and two photos later than every search."""
    night.split_facts = PUBLISHED
    night.validation = night.validation.clear()
    late = pl.col("photo_id").is_in(["photo-34", "photo-35"])
    night.photos = night.photos.with_columns(
        submitted_at=pl.when(late).then(pl.lit(TEST_END + timedelta(days=1))).otherwise("submitted_at"),
        is_in_train=pl.col("is_in_train") & ~late,
    )
    for name in ("train", "test"):
        setattr(night, name, getattr(night, name).filter(~late))


@pytest.mark.quick
def test_by_the_published_protocol_every_photo_is_a_candidate_of_every_query(night: Night) -> None:
    make_published(night)
    manifest, tables = run(night)
    assert (EvaluationFacts.of(manifest).protocol, EvaluationFacts.of(manifest).corpus_photo_count) == (
        "80/20",
        PHOTO_COUNT,
    )
    for arm, uses_country in (("zero_shot", False), ("finetuned_country_keywords", True)):
        ranks = tables["ranks"].filter(pl.col("arm") == arm).sort("query_id")["rank"].to_list()
        assert ranks == plain_ranks(night, arm, uses_country)
        found = tables["judgement_ranks"].filter(pl.col("arm") == arm).sort("judgement_id")["rank"]
        of_photo = tables["queries"].with_columns(rank=pl.Series(ranks)).unique(["query", "country", "photo_id"])
        asked = tables["judgements"].join(of_photo, on=["query", "country", "photo_id"], maintain_order="left")
        assert found.to_list() == asked["rank"].to_list()  # candidates are the same whenever a query was asked
    assert set(tables["contact_sheet"]["photo_id"]) <= set(night.photos["photo_id"])
    night.split_facts = {}
    strict, _ = run(night)
    assert strict.run_id != manifest.run_id
    assert EvaluationFacts.of(strict).corpus_photo_count == PHOTO_COUNT - 2
    assert (
        EvaluationFacts.of(strict).hit_rate_at_10["zero_shot"]
        >= EvaluationFacts.of(manifest).hit_rate_at_10["zero_shot"]
    )
