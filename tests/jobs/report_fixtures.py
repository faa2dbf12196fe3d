"""A night made up for report and gate: every input committed to a test lake, with figures that can be looked up."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from jobs.config.params.ablation import CompareVariantsParams
from jobs.config.params.arms import CHAMPION_ARM, FULL, RERANKED, TRENDING, ZERO_SHOT
from jobs.config.params.evaluation import TRUTHS
from jobs.config.params.release import PublishReportParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.evaluation import AS_SHOWN, EVALUATION
from jobs.datasets.releases import LIVE_DAY
from jobs.datasets.reports import ABLATION, AblationFacts, RerankedFacts
from jobs.lake.manifest import Manifest
from jobs.report.inputs import Night
from jobs.stages import publish_report
from jobs.stages.registry import MAKERS, STAGES
from models.gates import Difference, Drift
from models.rerank.features import FEATURES
from tests.tiny_reranker import tiny_reranker
from tests.validated_lake import commit_tables

INPUTS = STAGES["publish_report"].inputs
HIT_RATES = {
    "popularity": 0.0804,
    ZERO_SHOT: 0.1493,
    FULL: 0.6042,
    **dict(zip(TRENDING, (0.7077, 0.7101, 0.7123), strict=True)),
    RERANKED: 0.7042,
}
"""hit_rate@10 over all queries, by arm; every other metric follows from it, see `value_of`."""
OUTCOMES = {
    "better": (0.0212, 0.0131, 0.0293),
    "worse": (-0.0334, -0.0415, -0.0252),
    "undecided": (0.0021, -0.0058, 0.0099),
    "same": (0.0, 0.0, 0.0),
}
"""Challenger less champion: difference, low, high."""
COUNTING = "most_converted_for_query"
QUERY_COUNT, CORPUS_SIZE = 9412, 1899
CUTOFF_FACTORS = {1: 0.45, 5: 0.83, 10: 1.0, 25: 1.13}
METRIC_FACTORS = {"hit_rate": 1.0, "map": 0.61, "mrr": 0.615, "ndcg": 0.7, "precision": 0.1, "recall": 0.9, "f1": 0.18}
BY_QUERY = 0.8
"""What a metric by query is of the metric by search."""
SEGMENTS = {
    "country": ("US", "GB", "DE"),
    "photo_age": ("old", "new"),
    "query_seen": ("seen", "unseen"),
    "query_frequency": ("head", "torso", "tail"),
    "query_trend": ("steady", "rising"),
    "visitor": ("returning", "one-off"),
    "script": ("latin",),
}
ABLATION_RATES = {ZERO_SHOT: 0.1493, FULL: 0.7042, "softmax": 0.7103, RERANKED: 0.8123}
SIMILAR_RATES = {"random": 0.0041, "keyword_overlap": 0.2252, FULL: 0.3127, "challenger_by_file": 0.1904}
"""nDCG@10 of similar photos, by arm."""
RECOMMENDED_RATES = {"random": 0.011, "als": 0.149, "two_tower": 0.183}
"""Hit rate@10 of recommendations, by method."""
PHOTO_COUNT = 12
Rows = Iterable[Sequence[Any]]


@dataclass(frozen=True)
class Story:
    """What may differ between made-up nights. `outcome` None is a night without a champion.

    `counting` is the hit rate of the best counting baseline. `text` ends every text that people wrote, and every name;
    `without` are sections of the page that have nothing.
    """

    outcome: str | None = None
    counting: float = 0.5321
    left_out: str = ""
    bad_rows: int = 57
    query_count: int = QUERY_COUNT
    gate: str = "pass"
    live_rate: float | None = 0.6912  # of what was live, where there is a champion; None: it could not be measured
    outside_move: dict[str, Any] | None = None
    has_orders: bool = True  # whether the lists shown say how arms would have ordered them
    drift: str = "none"  # none | searches (they moved) | short log | empty day
    day_count: int = 21
    is_published_protocol: bool = False  # 80/20, nothing kept aside for validation
    is_warm_started: bool = False
    without: frozenset[str] = frozenset()  # shown, map, similar, recommendations, reranker
    text: str = ""

    @property
    def challenger(self) -> str:
        """The arm that is what the release shows."""
        return FULL if "reranker" in self.without else RERANKED

    @property
    def rates(self) -> dict[str, float]:
        """hit_rate@10 by arm, the champion's derived from the outcome."""
        rates = {COUNTING: self.counting, **HIT_RATES}
        if self.outcome is not None:
            rates[CHAMPION_ARM] = HIT_RATES[self.challenger] - OUTCOMES[self.outcome][0]
        left_out = {RERANKED, *TRENDING} if self.challenger == FULL else set()
        return {arm: rate for arm, rate in rates.items() if arm not in left_out}

    def photo(self, number: int) -> str:
        """Return the id of a photo."""
        return f"photo-{number:03}{self.text}"

    def note(self, section: str) -> str:
        """Say why a section has nothing, if it has nothing."""
        return f"left out: so it is{self.text}" if section in self.without else ""


def night_of(ctx: RunContext) -> Night:
    """Return the night that was committed, as the report gets it."""
    inputs = {name: ctx.read(named(name)) for name in INPUTS}
    night: Night = publish_report.choose(ctx, PublishReportParams(), inputs).found
    return night


def commit_night(ctx: RunContext, story: Story | None = None) -> dict[str, Manifest]:
    """Commit all inputs of the report for one night and return them by dataset name."""
    story = story or Story()
    tables, facts = _tables(ctx, story), _facts(ctx, story)
    docs = {"data_docs/index.html": b"<h1>docs</h1>", "data_docs/photos.html": b"<h1>photos</h1>"}
    files = {"validated": docs, "reranker": {"reranker/0.txt": tiny_reranker().encode()}}
    return {name: _commit(ctx, name, tables.get(name, {}), facts.get(name, {}), files.get(name, {})) for name in INPUTS}


def commit_live_day(ctx: RunContext, story: Story) -> Manifest:
    """Commit only how what was live answered the last day of another night."""
    return _commit(ctx, LIVE_DAY.name, {}, _live_day_facts(ctx, story), {})


def commit_evaluation(ctx: RunContext, story: Story) -> Manifest:
    """Commit only the evaluation of another night: a point of the history."""
    return _commit(ctx, EVALUATION.name, evaluation_tables(story), _facts(ctx, story)[EVALUATION.name], {})


def commit_ablation(ctx: RunContext, splits: Manifest, note: str = "", softmax: float = 0.7103) -> Manifest:
    """Commit the ablation of a made-up night; with a note the reranked arm is left out."""
    rates = {arm: rate for arm, rate in ABLATION_RATES.items() if not (note and arm == RERANKED)}
    rates["softmax"] = softmax
    variants = []
    for arm, rate in rates.items():
        for k, factor in CUTOFF_FACTORS.items():
            value, less = rate * factor, (rate - rates[FULL]) * factor
            single = arm in (ZERO_SHOT, RERANKED)
            own = (value, value - 0.0091, value + 0.0089, None if single else 0.0031, 1 if single else 3)
            p_value = 0.0004 if abs(less) > 0.0074 else 1.0
            against = (None,) * 5 if arm == FULL else (less, less - 0.0072, less + 0.0074, p_value, 0.0102)
            variants.append((arm, "hit_rate", k, *own, *against))
    steps = [(ZERO_SHOT, FULL, "hit_rate", 10, 0.5549, 0.5449, 0.5649, 0.001, 0.01)]
    inputs = {"splits": splits, f"{RERANKED} 0": ctx.read(EVALUATION)}
    staged = ctx.begin(ABLATION, CompareVariantsParams(), inputs, {"made_up": repr((note, rates))})
    if staged.manifest is not None:
        return staged.manifest
    for name, frame in _whole_rows(ABLATION.name, variants=variants, steps=steps).items():
        staged.write_table(name, frame)
    staged.write_file("ablation.md", b"| finetuned country keywords |")
    reranked = RerankedFacts(base_arm=FULL, note=note)
    return staged.commit(
        AblationFacts(
            reference=FULL, epochs=6, query_count=QUERY_COUNT, visitor_count=QUERY_COUNT // 2, reranked=reranked
        )
    )


def value_of(rate: float, metric: str, k: int) -> float:
    """Return the made-up metric of an arm whose hit_rate@10 is `rate`."""
    return rate * CUTOFF_FACTORS[k] * METRIC_FACTORS[metric]


def slice_rate(rate: float, arm: str, segment: str) -> float:
    """Return the made-up hit_rate@10 of a slice."""
    return rate * (0.85 + zlib.crc32(f"{arm} {segment}".encode()) % 100 / 500)


def _commit(
    ctx: RunContext, name: str, tables: dict[str, pl.DataFrame], facts: dict[str, Any], files: dict[str, bytes]
) -> Manifest:
    label = str(zlib.crc32(repr((facts, [table.to_dicts() for table in tables.values()])).encode()))
    params = STAGES[MAKERS[name]].params()
    return commit_tables(ctx, named(name), tables, label=label, params=params, facts=facts, files=files)


def _rows(names: Sequence[str], rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=list(names), orient="row", infer_schema_length=None)


def _whole_rows(dataset: str, **rows: Rows) -> dict[str, pl.DataFrame]:
    """Return tables of a dataset by name, from rows with a value of every column."""
    return {name: _rows(named(dataset).table(name).schema.names, values) for name, values in rows.items()}


# -- tables ------------------------------------------------------------------------------------------------


def _tables(ctx: RunContext, story: Story) -> dict[str, dict[str, pl.DataFrame]]:
    photos, images = _draw_photos(Path(ctx.dataset_uri), story)
    one = pl.DataFrame({"photo_id": [story.photo(0)]})
    ids = pl.DataFrame({"shard": [0, 0], "faiss_id": [1, 2], "photo_id": [story.photo(0), story.photo(1)]})
    vector = pl.DataFrame({"arm": [FULL], "vector": [[1.0, 0.0]]})
    unusable = [(story.photo(99), "truncated"), (story.photo(PHOTO_COUNT - 1), f"no_image: not_found{story.text}")]
    searches = pl.DataFrame({"query": ["cat", "dog"], "conversion_count": [1, 2]})
    windows = {"train": searches, "test": searches, "photo_keywords": one}
    windows["validation"] = searches.clear() if story.is_published_protocol else searches
    checks = ("windows", "timestamps", "corpus")
    return {
        "validated": {"photos": one, "keywords": one, "conversions": searches.select("query")},
        "images": {"images": images},
        "splits": windows | {"photos": photos},
        "leak_audit": _whole_rows("leak_audit", findings=[(c, "passed", 0, story.text) for c in checks]),
        "base_model": _curves(
            "base_model",
            (ZERO_SHOT, "loss", {step: 4.2 / step for step in (1, 2, 4)}),
            (ZERO_SHOT, "held_out_hit_rate@10", {0: 0.05, 2: 0.4, 4: 0.38}),
        ),
        "search_models": _curves("search_models", *_training(story)),
        "photo_embeddings": {
            "embeddings": vector.with_columns(photo_id=pl.lit(story.photo(0))),
            "quarantine": _rows(("photo_id", "reason"), unusable),
        },
        "query_embeddings": {"embeddings": vector.with_columns(query=pl.lit("cat"), country=pl.lit("GB"))},
        "photo_index": {"ids": ids},
        "index_check": {"recalls": pl.DataFrame({"k": [10], "recall": [0.9917]})},
        "reranker": {} if "reranker" in story.without else _reranker(),
        "release": {"ids": ids},
        "evaluation": evaluation_tables(story),
        "similar": {} if "similar" in story.without else _similar(story),
        "recommendation": {} if "recommendations" in story.without else _recommendation(story),
        "impressions": {} if "shown" in story.without else _shown(story),
        "drift": _drift(ctx, story),
        "photo_map": {} if "map" in story.without else _map(story),
        "gate": _gate(story),
    }


def _draw_photos(folder: Path, story: Story) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw the photos and return the tables `photos` (corpus) and `images`. The last one has no image."""
    folder.mkdir(parents=True, exist_ok=True)
    photos, images = [], []
    for i in range(PHOTO_COUNT):
        path = folder / f"{i:03}.png"
        Image.new("RGB", (120, 90), (20 * i, 200 - 10 * i, 90)).save(buffer := io.BytesIO(), "PNG")
        path.write_bytes(buffer.getvalue())
        description = None if i == 5 else f"a thing, number {i}{story.text}"
        photos.append((story.photo(i), datetime(2025, 6, 1, tzinfo=UTC), description, f"Ada {i}{story.text}", i < 8))
        is_last = i == PHOTO_COUNT - 1
        found = ("missing", f"not_found{story.text}", None) if is_last else ("present", None, str(path))
        images.append((story.photo(i), *found))
    return (
        _rows(("photo_id", "submitted_at", "description", "photographer", "is_in_train"), photos),
        _rows(("photo_id", "status", "reason", "uri"), images),
    )


def _curves(dataset: str, *lines: tuple[str, str, dict[int, float]]) -> dict[str, pl.DataFrame]:
    rows = [(arm, step, name, value) for arm, name, values in lines for step, value in values.items()]
    return _whole_rows(dataset, curves=rows)


def _training(story: Story) -> list[tuple[str, str, dict[int, float]]]:
    loss = (FULL, "loss", {step: 3.1 * 0.995**step + 1.0 for step in (4, 250, 500, 744)})
    name = "validation_hit_rate@10"
    hit_rates = {93: 0.49, 372: 0.66, 651: 0.69, 744: 0.687}
    if story.is_published_protocol:
        return [loss]
    unseen = {step: rate / 3 for step, rate in hit_rates.items()}
    curves = (FULL, name, hit_rates), (FULL, "unseen_photos_hit_rate@10", unseen)
    return [(ZERO_SHOT, name, {0: 0.152}), loss, *curves]


def _reranker() -> dict[str, pl.DataFrame]:
    """Return features whose gain halves from one to the next, and a curve that is best at round 8."""
    importances = [(name, 1000.0 / 2**i, 30 - i) for i, name in enumerate(FEATURES)]
    curves = [
        (searches, step, "ndcg@10", top - 0.13 / step - (0.02 if step > 8 else 0.0))
        for searches, top in (("training", 0.7), ("held_out", 0.63))
        for step in range(1, 13)
    ]
    return _whole_rows("reranker", importances=importances, curves=curves)


def evaluation_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return the evaluation's tables; every figure follows from `story.rates`."""
    metrics, comparisons = _metrics(story), _comparisons(story)
    counts = {"query_count": pl.col("query_count") * 2 // 3, "cluster_count": pl.col("query_count") // 2}
    less = pl.col("difference", "low", "high") * BY_QUERY
    by_query = metrics.filter(segment_kind="all").with_columns(pl.col("value", "low", "high") * BY_QUERY, **counts)
    judged = pl.DataFrame({"judgement_id": [0], "rank": [1]})
    return {
        "metrics": metrics,
        "comparisons": comparisons,
        "segment_comparisons": _segment_comparisons(metrics, story.challenger),
        "query_metrics": by_query,
        "query_comparisons": comparisons.with_columns(less),
        "judgements": judged.select("judgement_id"),
        "judgement_ranks": judged,
        **_whole_rows(
            EVALUATION.name,
            off_policy=[
                (arm, metric, value * times, value * times - 0.01, value * times + 0.01)
                for metric, times in (("mrr", 1.0), ("dcg", 1.2))
                for arm, value in ((AS_SHOWN, 0.4123), (FULL, 0.5123), ("popularity", 0.3123))
                if story.has_orders
            ],
        ),
        **_contact_tables(story),
    }


def _metrics(story: Story) -> pl.DataFrame:
    places = [("all", "all", story.query_count)]
    places += [(k, name, story.query_count // (i + 2)) for k, names in SEGMENTS.items() for i, name in enumerate(names)]
    places += [("country", f"unknown{story.text}", 4)]
    rows = []
    for kind, segment, count in places:
        half = count**-0.5
        for arm, rate in story.rates.items():
            shown = rate if kind == "all" else slice_rate(rate, arm, segment)
            for metric in METRIC_FACTORS:
                for k in CUTOFF_FACTORS:
                    value = value_of(shown, metric, k)
                    ends = (max(0.0, value - half), min(1.0, value + half))
                    rows.append((arm, kind, segment, metric, k, value, *ends, count, count // 2))
    return _whole_rows(EVALUATION.name, metrics=rows)["metrics"]


def _segment_comparisons(metrics: pl.DataFrame, challenger: str) -> pl.DataFrame:
    segments = metrics.filter(pl.col("segment_kind") != "all")
    keys = ["segment_kind", "segment", "metric", "k", "query_count", "cluster_count"]
    ours = segments.filter(arm=challenger).select(*keys, "arm", "value")
    theirs = segments.filter(pl.col("arm") != challenger).select(*keys, pl.col("arm").alias("baseline"), other="value")
    half, difference = 1 / pl.col("query_count").sqrt(), pl.col("value") - pl.col("other")
    rows = ours.join(theirs, on=keys, maintain_order="left_right").with_columns(difference=difference)
    rows = rows.with_columns(low=difference - half, high=difference + half, p_value=0.213, detectable=half)
    return rows.drop("value", "other")


def _comparisons(story: Story) -> pl.DataFrame:
    rows, verdict = [], _verdict(story)
    for baseline, rate in story.rates.items():
        if baseline == story.challenger:
            continue
        for metric in METRIC_FACTORS:
            for k in CUTOFF_FACTORS:
                less = value_of(story.rates[story.challenger], metric, k) - value_of(rate, metric, k)
                low, high = less - 0.009, less + 0.009
                if baseline == verdict["compared_with"] and (metric, k) == ("hit_rate", 10):
                    low, high = verdict["low"], verdict["high"]
                p = 0.0021 if low > 0 or high < 0 else 0.213
                rows.append((story.challenger, baseline, metric, k, less, low, high, p, 0.0128))
    return _whole_rows(EVALUATION.name, comparisons=rows)["comparisons"]


def _verdict(story: Story) -> dict[str, Any]:
    against, figures, mine = CHAMPION_ARM, OUTCOMES.get(story.outcome or ""), HIT_RATES[story.challenger]
    if figures is None:
        less = mine - HIT_RATES[ZERO_SHOT]
        against, figures = ZERO_SHOT, (less, less - 0.01, less + 0.01)
    told = dict(zip(("difference", "low", "high"), figures, strict=True)) | {"detectable": 0.0128}
    more = mine - story.counting
    told |= {"counting": {COUNTING: Difference(more, more - 0.01, more + 0.01, story.query_count, 0.0128)}}
    return told | {"challenger": story.challenger, "compared_with": against, "metric": "hit_rate", "k": 10}


def _contact_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return two searches with their photos and ranks; the challenger finds the photo of the first alone."""
    rival = CHAMPION_ARM if story.outcome else COUNTING
    sheet, queries, ranks = [], [], []
    for number, (query, country) in enumerate((("cat", "GB"), ("montaña nevada", "ES"))):
        asked = (query + story.text, country + story.text, story.photo(number))
        queries.append((number, *asked))
        for arm, rank in ((story.challenger, 1204 if number else 1), (rival, 3 if number else 214)):
            others = [story.photo(i) for i in (5, PHOTO_COUNT - 1, 8, 9)]
            shown = others if rank > 4 else [*others[: rank - 1], asked[2], *others[rank - 1 : 3]]
            sheet += [(*asked, arm, place, photo_id) for place, photo_id in enumerate(shown, start=1)]
            ranks.append((number, arm, rank))
    return {
        "contact_sheet": _rows(("query", "country", "converted_photo_id", "arm", "position", "photo_id"), sheet),
        "queries": _rows(("query_id", "query", "country", "photo_id"), queries),
        "ranks": _rows(("query_id", "arm", "rank"), ranks),
    }


def _similar(story: Story) -> dict[str, pl.DataFrame]:
    """Return the figures of two truths, the first having too few photos, and what two arms find for a photo."""
    metrics, comparisons = [], []
    for truth in TRUTHS[1:]:
        for arm, rate in SIMILAR_RATES.items():
            if (truth, arm) == ("keywords", "keyword_overlap"):
                continue
            for k, factor in CUTOFF_FACTORS.items():
                for metric, share in METRIC_FACTORS.items():
                    value, top = (one * factor * share / 0.7 for one in (rate, SIMILAR_RATES[FULL]))
                    metrics.append((truth, arm, metric, k, value, 0.9 * value, 1.1 * value, 840, 75))
                    if arm != FULL:
                        sure = (top - value - 0.02, top - value + 0.02, 0.006, 0.028)
                        comparisons.append((truth, FULL, arm, metric, k, top - value, *sure))
    sheet = [
        (story.photo(0), arm, place, story.photo(place), truths, [story.photo(4)] if place == 2 else [])
        for arm, answers in (("random", ([], [])), (FULL, (list(TRUTHS), ["keywords"])))
        for place, truths in enumerate(answers, start=1)
    ]
    columns = ("query_photo_id", "arm", "position", "photo_id", "truths", "alike")
    schema = {"truths": pl.List(pl.String), "alike": pl.List(pl.String)}
    shown = pl.DataFrame(sheet, schema=list(columns), orient="row", schema_overrides=schema)
    return _whole_rows("similar", metrics=metrics, comparisons=comparisons) | {"contact_sheet": shown}


def _recommendation(story: Story) -> dict[str, pl.DataFrame]:
    """Return the figures of two protocols, three groups of the night's own, and one visitor with a method's list."""
    metrics, comparisons = [], []
    groups = (("all", "all"), ("history", "1+"), ("photos", "new"))
    for place in (*(("temporal", *group) for group in groups), ("no_split", "all", "all")):
        for arm, rate in RECOMMENDED_RATES.items():
            for k, factor in {10: 1.0, 100: 2.0}.items():
                for metric, share in METRIC_FACTORS.items():
                    value = 0.0 if "new" in place else rate * factor * share
                    less = (RECOMMENDED_RATES["two_tower"] - rate) * factor * share
                    metrics.append((*place, arm, metric, k, value, 0.9 * value, 1.1 * value, 840))
                    if arm != "two_tower":
                        sure = (less - 0.02, less + 0.02, 0.3 if arm == "als" else 0.002, 0.028)
                        comparisons.append((*place, "two_tower", arm, metric, k, less, *sure))
    own = [("temporal", arm) for arm in RECOMMENDED_RATES]
    taken = {"history": (0, 1), "taken": (2,), "two_tower": (2, 5)}
    sheet = [
        ("visitor", arm, place, story.photo(photo), photo == 2)
        for arm, photos in taken.items()
        for place, photo in enumerate(photos, start=1)
    ]
    return _whole_rows(
        "recommendation",
        metrics=metrics,
        comparisons=comparisons,
        lists=[(*one, 0.25, 0.5, 7.125, 4) for one in own],
        costs=[(*one, 61.5, 0.25) for one in own],
        curves=[("two_tower", step, "loss", 0.6 / step) for step in (1, 2)],
        contact_sheet=sheet,
    )


def _recommender(story: Story) -> dict[str, Any]:
    """Return which method is released; the page says why."""
    if note := story.note("recommendations"):
        return {"note": note}
    lead = {"difference": 0.0312, "low": 0.0108, "high": 0.0516}
    return {"method": "two_tower", "best": "two_tower", "lead": lead, "visitor_count": 840}


def _shown(story: Story) -> dict[str, pl.DataFrame]:
    """What was shown: an arm and two places, of which the second cannot be told."""
    places = ((None, None, 0.1234), (None, 1, 0.2), (None, 2, 0.1), (f"old{story.text}", None, 0.15))
    rows = [
        (arm, place, 16_000, 900, 1_600, share, share - 0.01, share + 0.01, 1_500, 12.34, 11.5, 13.25)
        for arm, place, share in places
    ]
    return _whole_rows("impressions", rates=rows, examination=[(1, 1.0, 1.0, 1.0, 700)])


def _drift(ctx: RunContext, story: Story) -> dict[str, pl.DataFrame]:
    """Return the log's last days, and newest vectors: photos never move."""
    dates = [ctx.run_date - timedelta(days=back) for back in reversed(range(story.day_count))]
    days = [(day, 300 + 2 * i + 17 * (i * 7 % 5), 310.0 + 2 * i) for i, day in enumerate(dates)]
    searches = (0.0412, 0.0113, 0.0178, 0.001) if story.drift == "searches" else (0.0112, 0.0113, 0.0178, 0.713)
    rows = [
        ("searches of the last day", 300, 9, *searches),
        ("photos of the last week", 41, 13, 0.0821, 0.0734, 0.1021, 0.302),
    ]
    return _whole_rows("drift", days=days, newest=[] if story.drift == "short log" else rows)


def _map(story: Story) -> dict[str, pl.DataFrame]:
    """Return two clusters side by side and every sixth photo alone; the second of two settings is taken."""
    clusters = [-1 if i % 6 == 5 else int(i >= 8) for i in range(PHOTO_COUNT)]
    points = [
        (story.photo(i), 10.0 * cluster + i % 3, i % 5 - 2.0, "fitted", cluster, 1 - i / 100)
        for i, cluster in enumerate(clusters)
    ]
    sweep = [
        ("dbscan", 5, None, None, 0.25, 0.5, 1, 0.0, 1.0, None, None, 0.0, 0.1, False, False),
        ("hdbscan", 2, 5, "eom", None, None, 2, 2 / 12, 0.55, 0.31, -0.123, 0.41, 0.51, True, True),
    ]
    keywords = [(0, f"ball{story.text}", 9, 5.5), (0, "red", 4, 2.5), (1, "night sky", 3, 2.0)]
    return _whole_rows("photo_map", points=points, sweep=sweep, keywords=keywords)


def _gate(story: Story) -> dict[str, pl.DataFrame]:
    rows = [
        ("superiority overall", "pass", "+2.12 points", "above 0", f"better than the champion{story.text}"),
        ("index recall@10", story.gate, "0.9417", "at least 0.95", f"index recall@10 is 0.9417{story.text}"),
    ]
    return _whole_rows("gate", findings=rows)


# -- facts -------------------------------------------------------------------------------------------------


def _facts(ctx: RunContext, story: Story) -> dict[str, dict[str, Any]]:
    """Return the facts that matter, by dataset."""
    digest, bad, text = "d" * 16, story.bad_rows, story.text
    protocol = "80/20" if story.is_published_protocol else "windows"
    has_champion = story.outcome is not None or story.left_out
    days = {"train_start": 375.0, "train_end": 10.0, "validation_end": 7.0, "test_end": 0.0}
    if story.is_published_protocol:
        days |= {"train_end": 73.3, "validation_end": 73.3}
    rate = None if story.is_published_protocol else 0.69
    photos = {"input": 1899, "clean": 1899}
    conversions = {"input": 120_000, "clean": 120_000 - bad, "quarantined": bad, "repaired": 8}
    return {
        "validated": {
            "dataset_version": f"1.4.0{text}",
            "counts": {"photos": photos, "conversions": conversions},
            "bad_share": {"photos": 0.0, "conversions": bad / 120_000},
            "reasons": {"photos": {}, "conversions": {f"null_country{text}": bad}},
            "repairs": {"conversions": {"country_upper_case": 8}},
            "warnings": {"photos": {"null_description": 104}},
        },
        "images": {"present_count": PHOTO_COUNT - 1, "missing_count": 1},
        "splits": {"protocol": protocol, **{name: ctx.as_of - timedelta(days=number) for name, number in days.items()}},
        "champion": {
            "live": {"version": 2, "model_digest": "c" * 16} if has_champion else None,
            "outside_move": story.outside_move,
        },
        "live_day": _live_day_facts(ctx, story),
        "release": {"version": 3, "model_digest": digest, "arm": FULL, "recommender": _recommender(story)},
        "gate": {
            "outcome": story.gate,
            "release": {"run_date": ctx.run_date, "run_id": "0123456789abcdef", "version": 3},
            "costs": {
                "open_seconds": 0.123,
                "bytes_per_photo": 2069.4,
                "memory_mb": 62.3,
                "latency_p50_milliseconds": 0.412,
                "latency_p99_milliseconds": 1.873,
                "batch_searches_per_second": 111.4,
            },
            "read_search_count": 1000,
            "read_hit_rate": 0.703,
            "evaluated_hit_rate": 0.705,
            "figures": {"difference": Difference(0, 0, 0, 0, 0), "drift": Drift(0, 0, 1, None, None, {}, {})},
        },
        "base_model": {
            "source": f"tiny{text}",
            "photo_count": 1_565,
            "held_out_photo_count": 174,
            "held_out_hit_rate": 0.4,
        },
        "search_models": {
            "arms": {
                ZERO_SHOT: {"best_validation_hit_rate": rate and 0.152},
                FULL: {
                    "best_validation_hit_rate": rate,
                    "training": {
                        "best_step": rate and 651,
                        "steps": 744,
                        "pairs_per_second": 987.6,
                        "seconds": 189.0,
                        "stopped_because": "all epochs done",
                    },
                },
            },
            "challenger": FULL,
            "warm_started_from": f"models/search_models/run_id=abc{text}" if story.is_warm_started else None,
            "train_pair_count": 5_712 if story.is_warm_started else 83_575,
            "log_pair_count": 83_575,
            "validation_query_count": 3_000,
            "validation_unseen_count": 112,
        },
        "photo_embeddings": {
            "arms": {FULL: {"model_digest": digest, "embedded_count": 23, "reused_count": 1876, "dim": 128}}
        },
        "registration": {
            "model_name": f"nightlens-{ctx.catalogue}",
            "version": 3,
            "arm": FULL,
            "mlflow_run_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "model_digest": digest,
        },
        "photo_index": {
            "kind": "ivf_flat",
            "reason": f"1,898 photos{text}",
            "nlist": 174,
            "nprobe": 32,
            "quantizer": f"learned from 1,898 photos{text}",
            "shard_count": 2,
            "shards_built": 1,
            "shards_taken_over": 1,
            "photo_count": 1898,
            "bytes": 1_012_736,
            "peak_memory_mb": 512.5,
            "max_memory_mb": 2048,
            "model_digest": digest,
        },
        "index_check": {
            "query_count": 1000,
            "query_window": "test" if story.is_published_protocol else "validation",
            "batch_size": 64,
            "model_digest": digest,
            "recall_at_10": 0.9917,
            "recall_at_10_low": 0.9817,
            "recall_at_10_high": 0.9967,
            "recall_at_100": 0.9817,
            "recall_at_100_low": 0.9717,
            "recall_at_100_high": 0.9867,
            "bytes_per_vector": 520.25,
            "single_p50_ms": 0.05,
            "single_p99_ms": 0.25,
            "batch_p50_ms": 1.0,
            "batch_p99_ms": 2.0,
        },
        "impressions": {
            "note": story.note("shown") or story.text,
            "list_count": 4_012,
            "first_at": datetime(2025, 10, 1, 0, 0, 5, tzinfo=UTC),
            "last_at": datetime(2025, 12, 28, 23, 59, tzinfo=UTC),
        },
        "drift": _drift_facts(ctx, story),
        "photo_map": {"note": story.note("map"), "map": None if "map" in story.without else _map_facts(ctx, story)},
        "reranker": {
            "note": story.note("reranker"),
            "base_arm": FULL,
            "search_count": 3599,
            "learnable_search_count": 3355,
            "checks": [{"check": "events_before_cutoff", "status": "passed", "event_count": 106_314}],
            "learned": None
            if "reranker" in story.without
            else {
                "best_rounds": (8, 11),
                "held_out_hit_rate_before": 0.7312,
                "held_out_hit_rate_after": 0.8421,
            },
        },
        "similar": {
            "note": story.note("similar"),
            "truths": {truth: _truth(truth, text) for truth in TRUTHS},
            "arms": list(SIMILAR_RATES),
            "challenger": FULL,
            "reads_keywords": [FULL],
            "photo_count": CORPUS_SIZE,
            "hidden_count": 5,
            "duplicate_count": 14,
            "seconds": dict.fromkeys(SIMILAR_RATES, 1.25),
        },
        "recommendation": {
            "note": story.note("recommendations"),
            "protocols": {
                "temporal": {"visitor_count": 840, "log_count": 95_527},
                "no_split": {"visitor_count": 900},
            },
            "notes": {"leave_cold": f"nobody to ask about{text}", "temporal/sasrec": "nothing to learn from"},
            "photo_count": CORPUS_SIZE,
        },
        "evaluation": {
            "verdict": _verdict(story),
            "base_arm": FULL,
            "test_query_count": story.query_count,
            "test_window_query_count": story.query_count + 1000,
            "protocol": protocol,
            "corpus_photo_count": CORPUS_SIZE,
            "hit_rate_at_10": story.rates,
            "rival": CHAMPION_ARM if story.outcome else ZERO_SHOT,
            "by_query": {"judgement_count": 8_765},
            "candidate_recall": {}
            if "reranker" in story.without
            else {
                "any": 0.9649,
                "vector": 0.9435,
                "converted": 0.5255,
                "converted_in_country": 0.4052,
                "keywords": 0.5828,
            },
            "frequency_cuts": {"head_min_count": 16, "torso_min_count": 2},
            "off_policy": {
                "note": "" if story.has_orders else f"too few{text}",
                "shown_list_count": 1900,
                "list_count": 1234,
                "taken_count": 567,
                "effective_count": 321.4 if story.has_orders else None,
            },
            "trending": {
                "note": story.note("reranker"),
                "sentence": "" if "reranker" in story.without else "Counts refreshed every hour change little.",
            },
            "past": None if "reranker" in story.without else _past_facts(text),
            "champion_note": story.left_out and story.left_out + text,
            "tie_rule": "photos with equal scores rank in the order of the SHA-256 of their photo_id",
        },
    }


def _past_facts(text: str) -> dict[str, Any]:
    gain = {"value": 0.001, "low": -0.002, "high": 0.004, "query_count": 700, "detectable": 0.004}
    rates = {"hit_rate_at_10": 0.701, "hit_rate_at_10_without": 0.7}
    return rates | {"search_count": 700, "gains": {"hit_rate@10": gain}, "sentence": f"700 searches knew it.{text}"}


def _live_day_facts(ctx: RunContext, story: Story) -> dict[str, Any]:
    facts: dict[str, Any] = {"day": ctx.run_date, "day_search_count": 412}
    if story.outcome is None and not story.left_out:
        return facts | {"note": "nothing was published"}
    facts["release"] = {"run_date": ctx.run_date - timedelta(days=3), "run_id": "fedcba9876543210", "version": 2}
    if story.live_rate is None:
        return facts | {"note": f"the release cannot be opened: it was changed{story.text}"}
    ends = {"low": story.live_rate - 0.0412, "high": story.live_rate + 0.0388}
    counts = {"search_count": 400, "visitor_count": 97, "unknown_photo_share": 0.0325}
    return facts | {"measured": counts | ends | {"hit_rate_at_10": story.live_rate}}


def _truth(truth: str, text: str) -> dict[str, Any]:
    if truth == TRUTHS[0]:
        return {"query_count": 1, "cluster_count": 0, "group_count": 1, "note": f"1 photo is too few{text}"}
    return {"query_count": 840, "cluster_count": 75, "group_count": 321, "mean_relevant": 12.34}


def _drift_facts(ctx: RunContext, story: Story) -> dict[str, Any]:
    is_short = story.drift == "short log"
    low = {"day": ctx.run_date - timedelta(days=2), "count": 288.0, "usual": 402.5, "drop": 0.2845, "p_value": 0.21}
    long = {"before": 365.1, "drop": -0.1241, "per_week": 0.0383, "low_day": low} if story.day_count >= 14 else {}
    why = f"fewer than 4 of the periods before have at least half as many{story.text}"
    return {
        "unseen": {"search_count": story.query_count, "query_share": 0.1234, "country_share": 0.0011},
        "unseen_before": None if is_short else {"search_count": 9000, "query_share": 0.1101, "country_share": 0.0},
        "new_queries": None if is_short else {"share": 0.1312, "usual": 0.1198, "p_value": 0.287},
        "last_day_count": 0 if story.drift == "empty day" else 412,
        "conversions": {"last_week": 410.4, **long},
        "arm": ZERO_SHOT,
        "not_compared": {"searches of the last day": why} if is_short or story.text else {},
    }


def _map_facts(ctx: RunContext, story: Story) -> dict[str, Any]:
    before = (ctx.run_date - timedelta(days=2)).isoformat()
    return {
        "arm": FULL,
        "model_digest": "d" * 16,
        "photo_count": PHOTO_COUNT,
        "corpus_photo_count": 1898,
        "kind": "projected",
        "why": f"the same model{story.text}",
        "map_run_date": before,
        "placed": {"kept": 9, "projected": 3},
        "perplexity": 30.0,
        "neighbours_kept": 0.4779,
        "rule": "the highest DBCV",
        "earlier_run_date": before,
        "clusters": {"kept": 1, "new": [1], "gone": 3},
        "seconds": 23.4,
    }


def earlier_nights(ctx: RunContext, count: int, story: Story | None = None) -> list[Manifest]:
    """Commit the evaluations of the `count` nights before, and how what was live answered their last days."""
    manifests = []
    for i in range(count, 0, -1):
        day: date = ctx.run_date - timedelta(days=i)
        context = ctx.model_copy(update={"run_date": day, "run_id": f"night-{day}"})
        manifests.append(commit_evaluation(context, story or Story()))
        commit_live_day(context, story or Story())
    return manifests
