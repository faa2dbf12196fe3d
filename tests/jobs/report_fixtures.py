"""A night made up for the report: every input committed to a test lake, with figures that can be looked up."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image, ImageDraw

from jobs.config.params.ablation import CompareVariantsParams
from jobs.config.params.arms import CHAMPION_ARM, COMPARED, FINETUNED, FULL, RERANKED, STEPS, TRENDING, ZERO_SHOT
from jobs.config.params.evaluation import TRUTHS
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.evaluation import DRIFT, EVALUATION, PHOTO_MAP, RECOMMENDATION, SIMILAR
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.datasets.models import RERANKER
from jobs.datasets.releases import GATE, RELEASE
from jobs.datasets.reports import ABLATION
from jobs.datasets.schema import Dataset
from jobs.evaluation.variants import markdown
from jobs.lake.manifest import Manifest
from jobs.report.inputs import INPUTS
from jobs.stages.registry import STAGES
from models.rerank.features import feature_names

HIT_RATES = {
    "popularity": 0.0804,
    "keyword_bm25": 0.3961,
    "most_converted_for_query": 0.7321,
    ZERO_SHOT: 0.1493,
    FINETUNED: 0.6188,
    FULL: 0.7042,
    TRENDING: 0.7234,
}
"""hit_rate@10 over all queries, by arm."""
OUTCOMES = {"better": (0.0212, 0.0131, 0.0293, 1.0), "worse": (-0.0334, -0.0415, -0.0252, 0.0)} | {
    "undecided": (0.0021, -0.0058, 0.0099, 0.713),
    "same": (0.0, 0.0, 0.0, 0.5),
}
"""Challenger less champion: difference, low, high, probability better."""
QUERY_COUNT, CORPUS_SIZE = 9412, 1899
CUTOFF_FACTORS = {1: 0.45, 5: 0.83, 10: 1.0, 25: 1.13}
METRIC_FACTORS = {"hit_rate": 1.0, "map": 0.61, "mrr": 0.615, "ndcg": 0.7, "precision": 0.1, "recall": 0.9, "f1": 0.18}
BY_QUERY = 0.8
"""What a metric by query is of the metric by search."""
DETECTABLE = 0.0128
ABLATION_RATES = {variant: 0.7042 + 0.0061 * (i % 5 - 2) for i, variant in enumerate(COMPARED)} | {
    ZERO_SHOT: 0.1493,
    FINETUNED: 0.6188,
    FULL: 0.7042,
    RERANKED: 0.8123,
}
"""hit_rate@10 of the ablation's variants."""
COLOURS = ("#d1495b", "#edae49", "#66a182", "#2e4057", "#8d96a3", "#6a4c93", "#1982c4", "#8ac926")
SUBJECTS = ("red ball", "yellow house", "green tree", "night sky", "grey stone", "violet flower", "sea", "meadow")


@dataclass(frozen=True)
class Story:
    """What may differ between made-up nights. `outcome` None is a night without a champion."""

    outcome: str | None = None
    left_out: str = ""
    searches: tuple[tuple[str, str], ...] = (("cat", "GB"), ("montaña nevada", "ES"))
    description: str = ""
    bad_rows: int = 57
    countries: tuple[str, ...] = ("US", "GB", "DE")
    query_count: int = QUERY_COUNT
    window_query_count: int | None = None  # None: all were ranked
    hit_rates: dict[str, float] = field(default_factory=lambda: dict(HIT_RATES))
    photo_count: int = 24
    reranker_note: str = ""
    trending: dict[str, Any] = field(
        default_factory=lambda: {
            "note": "",
            "refresh_hours": 1,
            "half_life_hours": 72.0,
            "query_weight": 0.5,
            "photo_weight": 0.0,
            "tuning_count": 3599,
            "hit_rate_alone": 0.6912,
            "tuned_hit_rate": 0.7145,
        }
    )
    gate: str = "pass"
    outside_move: dict[str, Any] | None = None
    warm_started_from: str | None = None
    is_published_protocol: bool = False  # 80/20, nothing kept aside for validation
    photo_map: str = "new"  # new | projected | left out
    drift: str = "none"  # none | searches (they moved) | other base | first night
    unseen_share: float = 0.1234
    day_count: int = 56
    recommends: bool = True
    similar: str = "measured"  # measured | few (photos taken for the same query) | left out
    has_shown: bool = True
    shown_note: str = ""

    @property
    def rates(self) -> dict[str, float]:
        """hit_rate@10 by arm, the champion's derived from the outcome."""
        if self.outcome is None:
            return self.hit_rates
        return self.hit_rates | {CHAMPION_ARM: self.hit_rates[FULL] - OUTCOMES[self.outcome][0]}


def commit_night(ctx: RunContext, story: Story | None = None) -> dict[str, Manifest]:
    """Commit all inputs of the report for one night and return them by dataset name."""
    story = story or Story()
    photos = _write_photos(Path(ctx.dataset_uri), story)
    nothing_hidden = pl.DataFrame(schema=dict.fromkeys(("photo_id", "country", "reason"), pl.String))
    tables: dict[str, dict[str, pl.DataFrame]] = {
        "validated": _validated_tables(photos) | {"hidden": nothing_hidden},
        "images": {"images": photos["images"]},
        "splits": _split_tables(photos["photos"], story),
        "leak_audit": {"findings": _findings()},
        "base_model": {"curves": _base_curves()},
        "search_models": {"curves": _curves(story)},
        "photo_embeddings": {
            "embeddings": pl.DataFrame({"arm": [FULL], "photo_id": ["photo-000"], "vector": [[1.0, 0.0]]}),
            "quarantine": pl.DataFrame(
                {"photo_id": ["photo-bad", "photo-023"], "reason": ["truncated", "no_image: missing (not_found)"]}
            ),
            "exemplars": pl.DataFrame(PHOTO_EMBEDDINGS.table("exemplars").schema.empty_table()),
        },
        "query_embeddings": {
            "embeddings": pl.DataFrame({"arm": [FULL], "query": ["cat"], "country": ["GB"], "vector": [[1.0, 0.0]]})
        },
        "photo_index": {
            "ids": pl.DataFrame({"shard": [0, 0], "faiss_id": [1, 2], "photo_id": ["photo-000", "photo-001"]})
        },
        "index_check": {
            "recalls": pl.DataFrame(
                {"k": [10], "recall": [0.99], "low": [0.98], "high": [1.0], "query_count": [9]}
            ).with_columns(pl.col("k").cast(pl.Int32))
        },
        "reranker": _reranker_tables(story),
        "release": {
            "ids": pl.DataFrame({"shard": [0, 0], "faiss_id": [1, 2], "photo_id": ["photo-000", "photo-001"]}),
            "hidden": nothing_hidden,
            "exemplars": pl.DataFrame(RELEASE.table("exemplars").schema.empty_table()),
        },
        "evaluation": evaluation_tables(story),
        "similar": _similar_tables(story),
        "recommendation": _recommendation_tables(story),
        "impressions": _shown_tables(story),
        "drift": _drift_tables(ctx, story),
        "photo_map": _map_tables(story),
        "gate": {"findings": _gate_findings(story)},
    }
    files = {
        "validated": {"data_docs/index.html": b"<h1>docs</h1>", "data_docs/photos.html": b"<h1>photos</h1>"},
        "reranker": {"reranker.txt": b"tree"},
    }
    facts = _facts(ctx, story)
    return {
        dataset.name: _commit(
            ctx, stage, dataset, tables.get(dataset.name, {}), files.get(dataset.name, {}), facts.get(dataset.name, {})
        )
        for stage, dataset in INPUTS.items()
    }


def commit_evaluation(ctx: RunContext, story: Story) -> Manifest:
    """Commit only the evaluation of another night: a point of the history."""
    facts = _facts(ctx, story)["evaluation"]
    return _commit(ctx, "evaluate", EVALUATION, evaluation_tables(story), {}, facts)


def commit_ablation(
    ctx: RunContext, splits: Manifest, note: str = "", rates: dict[str, float] | None = None
) -> Manifest:
    """Commit the ablation of a made-up night; with a note the reranked arm is left out."""
    rates = {v: rate for v, rate in (rates or ABLATION_RATES).items() if not (note and v == RERANKED)}
    rows = [(v, "hit_rate", k, *variant_row(v, rates, k)) for v in rates for k in CUTOFF_FACTORS]
    schema = dict(pl.DataFrame(ABLATION.table("variants").schema.empty_table()).schema)
    evaluation = ctx.read(EVALUATION)
    inputs = {"splits": splits, f"{RERANKED} 0": evaluation}
    staged = ctx.begin(ABLATION, CompareVariantsParams(), inputs, {"made_up": repr((note, rates))})
    if staged.manifest is not None:
        return staged.manifest
    tables = {"variants": pl.DataFrame(rows, schema=schema, orient="row"), "steps": _steps(rates)}
    facts: dict[str, Any] = {
        "reference": FULL,
        "epochs": 6,
        "query_count": QUERY_COUNT,
        "visitor_count": QUERY_COUNT // 2,
    }
    facts["reranked"] = {"base_arm": FULL, "note": note}
    for name, table in tables.items():
        staged.write_table(name, table)
    staged.write_file("ablation.md", markdown(tables, "test", facts).encode())
    return staged.commit(facts)


def _steps(rates: dict[str, float]) -> pl.DataFrame:
    rows = []
    for base, variant in STEPS:
        if base in rates and variant in rates:
            difference = rates[variant] - rates[base]
            bounds = difference - 0.01, difference + 0.01
            rows.append(
                (base, variant, "hit_rate", 10, difference, *bounds, 0.001 if abs(difference) > 0.01 else 0.4, 0.01)
            )
    schema = pl.DataFrame(ABLATION.table("steps").schema.empty_table()).schema
    return pl.DataFrame(rows, schema=schema, orient="row")


def variant_row(variant: str, rates: dict[str, float], k: int) -> tuple[float | None, ...]:
    """Return the made-up figures of a variant in the order of the table, from `value` on."""
    value, difference = (rate * CUTOFF_FACTORS[k] for rate in (rates[variant], rates[variant] - rates[FULL]))
    is_single = variant in (ZERO_SHOT, RERANKED)
    own = (value, value - 0.0091, value + 0.0089, None if is_single else 0.0031, 1 if is_single else 3)
    if variant == FULL:
        return (*own, None, None, None, None, None)
    return (
        *own,
        difference,
        difference - 0.0072,
        difference + 0.0074,
        0.0004 if abs(difference) > 0.0074 else 1.0,
        0.0102,
    )


def _commit(
    ctx: RunContext,
    stage: str,
    dataset: Dataset,
    tables: dict[str, pl.DataFrame],
    files: dict[str, bytes],
    facts: dict[str, Any],
) -> Manifest:
    source = str(zlib.crc32(repr((facts, [t.to_dicts() for t in tables.values()])).encode()))
    staged = ctx.begin(dataset, STAGES[stage].params(), {}, {"made_up": source})
    if staged.manifest is not None:
        return staged.manifest
    for name, frame in tables.items():
        staged.write_table(name, frame)
    for name, data in files.items():
        staged.write_file(name, data)
    return staged.commit(facts)


def _write_photos(folder: Path, story: Story) -> dict[str, pl.DataFrame]:
    """Draw the photos and return the tables `photos` (corpus) and `images`. The last one has no image."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, images = [], []
    submitted = datetime(2025, 6, 1, tzinfo=UTC)
    for i in range(story.photo_count):
        photo_id, subject = f"photo-{i:03}", SUBJECTS[i % len(SUBJECTS)]
        path = folder / f"{photo_id}.png"
        path.write_bytes(_draw(i))
        description = story.description or (None if i == 5 else f"{subject}, number {i}")
        rows.append((photo_id, submitted + timedelta(days=i), description, f"Ada {i}", i < story.photo_count - 4))
        is_last = i == story.photo_count - 1
        status = (
            ("missing", "not_found", None, None, None, None) if is_last else ("present", None, str(path), 1, 1, "0")
        )
        images.append((photo_id, *status))
    names = ("photo_id", "submitted_at", "description", "photographer", "is_in_train")
    image_schema = dict(pl.DataFrame(IMAGES.table("images").schema.empty_table()).schema)
    return {
        "photos": pl.DataFrame(rows, schema=names, orient="row"),
        "images": pl.DataFrame(images, schema=image_schema, orient="row"),
    }


def _draw(number: int) -> bytes:
    image = Image.new("RGB", (120, 90), COLOURS[(number + 3) % len(COLOURS)])
    draw = ImageDraw.Draw(image)
    left, top = 10 + number * 7 % 50, 8 + number * 5 % 30
    shape = draw.ellipse if number % 2 else draw.rectangle
    shape((left, top, left + 44, top + 44), fill=COLOURS[number % len(COLOURS)], outline="white", width=3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _validated_tables(photos: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return tables as small as the lake takes them: the report shows the counts among the facts."""
    tables = {t.name: pl.DataFrame(t.schema.empty_table()) for t in VALIDATED.tables}
    tables["photos"] = _filled(tables["photos"], photos["photos"].select("photo_id", "submitted_at", "description"))
    row = pl.DataFrame({"query": ["cat"], "photo_id": ["photo-000"]})
    tables["conversions"] = _filled(tables["conversions"], row)
    return tables


def _filled(empty: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return `rows` with every column of `empty`, nulls where nothing is given."""
    return pl.concat([empty, rows], how="diagonal_relaxed").select(empty.columns)


def _split_tables(photos: pl.DataFrame, story: Story) -> dict[str, pl.DataFrame]:
    row = {"visitor_id": ["v"], "query": ["cat"], "country": ["GB"], "photo_id": ["photo-000"], "conversion_count": [1]}
    rows = pl.DataFrame(row).with_columns(converted_at=pl.lit(datetime(2025, 12, 22, tzinfo=UTC)))
    conversions = _filled(pl.DataFrame(SPLITS.table("train").schema.empty_table()), rows)
    keywords = pl.DataFrame({"photo_id": ["photo-000"], "keyword": ["cat"], "confidence": [0.9]})
    validation = conversions.clear() if story.is_published_protocol else conversions
    return {"train": conversions, "validation": validation, "test": conversions} | {
        "photos": photos,
        "photo_keywords": keywords,
    }


RERANKER_CURVE = [0.63 - 0.13 * ((step - 194) / 193) ** 2 for step in range(1, 220)]
"""nDCG@10 on held-out searches by round."""


def _reranker_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return what the reranker looks at: the gains halve from one feature to the next."""
    tables = {t.name: pl.DataFrame(t.schema.empty_table()) for t in RERANKER.tables}
    if not story.reranker_note:
        names = feature_names(FULL, [FINETUNED, ZERO_SHOT])
        rows = {"feature": names, "gain": [0.5**i for i in range(len(names))], "split": list(range(len(names), 0, -1))}
        tables["importances"] = pl.DataFrame(rows)
        values = {"held_out": RERANKER_CURVE, "training": [value + 0.1 for value in RERANKER_CURVE]}
        points = [(name, i + 1, "ndcg@10", value) for name, curve in values.items() for i, value in enumerate(curve)]
        tables["curves"] = pl.DataFrame(points, schema=RERANKER.table("curves").schema.names, orient="row")
    return tables


def _findings() -> pl.DataFrame:
    checks = ("windows", "timestamps", "corpus", "vocabularies", "histories", "statistics", "completeness")
    rows = [(check, "passed", 0, "") for check in checks]
    return pl.DataFrame(rows, schema=["check", "status", "violation_count", "detail"], orient="row")


def _gate_findings(story: Story) -> pl.DataFrame:
    """Return two checks that pass, and one more of the story's outcome."""
    rows = [
        ("non-inferiority overall", "pass", "+2.12, +1.31 to +2.93 points", "above -1.00", "not worse"),
        ("index recall@10", story.gate, "0.9417", "at least 0.95", "index recall@10 is 0.9417"),
        ("index size", "pass", "1,012,736 bytes", "at most 2,000,000 bytes", "small enough"),
    ]
    return pl.DataFrame(rows, schema=GATE.table("findings").schema.names, orient="row")


def _base_curves() -> pl.DataFrame:
    rows = [(ZERO_SHOT, step, "loss", 4.2 * 0.985**step + 0.6) for step in range(2, 400, 4)]
    return pl.DataFrame(rows, schema=["arm", "step", "name", "value"], orient="row")


def _curves(story: Story) -> pl.DataFrame:
    rows: list[tuple[str, int, str, float]] = [(ZERO_SHOT, 0, "validation_hit_rate@10", 0.152)]
    for arm, top in ((FINETUNED, 0.61), (FULL, 0.69)):
        rows += [(arm, s, "loss", 3.1 * 0.995**s + 1.1 - top + 0.05 * ((s * 37) % 11) / 11) for s in range(4, 750, 4)]
        hit_rates = [top * share for share in (0.71, 0.84, 0.91, 0.95, 0.982, 0.994, 1.0, 0.996)]
        rows += [(arm, 93 * (i + 1), "validation_hit_rate@10", value) for i, value in enumerate(hit_rates)]
    if story.is_published_protocol:
        rows = [row for row in rows if row[2] == "loss"]
    return pl.DataFrame(rows, schema=["arm", "step", "name", "value"], orient="row")


def evaluation_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return the evaluation's tables; every figure follows from `story.rates`, see `value_of`."""
    return {
        "metrics": _metrics(story),
        "comparisons": _comparisons(story),
        "segment_comparisons": _segment_comparisons(story),
        "query_metrics": _query_metrics(story),
        "query_comparisons": _query_comparisons(story),
        "judgements": pl.DataFrame(
            {"judgement_id": [0], "query": ["cat"], "country": ["GB"], "photo_id": ["photo-000"], "visitor_count": [2]}
        ),
        "judgement_ranks": pl.DataFrame({"judgement_id": [0], "arm": [FULL], "rank": [1]}).cast({"rank": pl.Int32}),
        **_contact_tables(story),
    }


def value_of(rate: float, metric: str, k: int) -> float:
    """Return the made-up metric of an arm whose hit_rate@10 is `rate`."""
    return rate * CUTOFF_FACTORS[k] * METRIC_FACTORS[metric]


def slice_rate(rate: float, arm: str, segment: str) -> float:
    """Return the made-up hit_rate@10 of a slice."""
    if segment in ("new", "unseen") and arm in ("popularity", "most_converted_for_query"):
        return rate * 0.15
    return rate * (0.85 + zlib.crc32(f"{arm} {segment}".encode()) % 100 / 500)


def _metrics(story: Story) -> pl.DataFrame:
    segments = [("all", "all", story.query_count)]
    segments += [("country", name, story.query_count // (i + 3)) for i, name in enumerate(story.countries)]
    segments += [("country", "unknown", 4)]
    segments += [("photo_age", "old", story.query_count * 9 // 10), ("photo_age", "new", story.query_count // 10)]
    segments += [("query_seen", "seen", story.query_count * 4 // 5), ("query_seen", "unseen", story.query_count // 5)]
    segments += [
        ("query_frequency", name, story.query_count // n) for name, n in (("tail", 2), ("torso", 4), ("head", 5))
    ]
    segments += [
        ("query_trend", "steady", story.query_count * 7 // 8),
        ("query_trend", "rising", story.query_count // 8),
    ]
    segments += [("visitor", "returning", story.query_count * 2 // 3), ("visitor", "one-off", story.query_count // 3)]
    segments += [("script", name, story.query_count // n) for name, n in (("latin", 2), ("japanese", 9), ("han", 90))]
    rows = []
    for kind, segment, count in segments:
        half = 1.0 / max(count, 1) ** 0.5
        for arm, rate in story.rates.items():
            shown = rate if kind == "all" else slice_rate(rate, arm, segment)
            for metric in METRIC_FACTORS:
                for k in CUTOFF_FACTORS:
                    value = value_of(shown, metric, k)
                    ends = (max(0.0, value - half), min(1.0, value + half))
                    rows.append((arm, kind, segment, metric, k, value, *ends, count, count // 2))
    schema = dict(pl.DataFrame(EVALUATION.table("metrics").schema.empty_table()).schema)
    return pl.DataFrame(rows, schema=schema, orient="row")


def rival_of(story: Story) -> str:
    """Return the champion, or else the strongest of the other arms."""
    return CHAMPION_ARM if story.outcome else max((a for a in story.rates if a != FULL), key=story.rates.__getitem__)


def _segment_comparisons(story: Story) -> pl.DataFrame:
    metrics = _metrics(story).filter(pl.col("segment_kind") != "all")
    keys = ["segment_kind", "segment", "metric", "k", "query_count", "cluster_count"]
    ours = metrics.filter(pl.col("arm") == FULL).select(*keys, "arm", "value")
    theirs = metrics.filter(pl.col("arm") != FULL).select(*keys, pl.col("arm").alias("baseline"), other="value")
    half = 1 / pl.col("query_count").sqrt()
    difference = pl.col("value") - pl.col("other")
    rows = ours.join(theirs, on=keys, maintain_order="left_right").with_columns(
        difference=difference, low=difference - half, high=difference + half
    )
    return rows.select(EVALUATION.table("segment_comparisons").schema.names)


def _query_metrics(story: Story) -> pl.DataFrame:
    whole = _metrics(story).filter(pl.col("segment_kind") == "all")
    counts = {"query_count": pl.col("query_count") * 2 // 3, "cluster_count": pl.col("query_count") // 2}
    return whole.with_columns(pl.col("value", "low", "high") * BY_QUERY, **counts)


def _query_comparisons(story: Story) -> pl.DataFrame:
    return _comparisons(story).with_columns(pl.col("difference", "low", "high") * BY_QUERY)


def verdict_of(story: Story) -> dict[str, Any]:
    """Return the verdict the evaluation would give."""
    if story.outcome is not None:
        difference, low, high, probability = OUTCOMES[story.outcome]
        against = CHAMPION_ARM
    else:
        difference = story.rates[FULL] - story.rates[ZERO_SHOT]
        low, high, probability, against = difference - 0.01, difference + 0.01, float(difference > 0), ZERO_SHOT
    return {
        "challenger": FULL,
        "compared_with": against,
        "metric": "hit_rate",
        "k": 10,
        "difference": difference,
        "low": low,
        "high": high,
        "probability_better": probability,
        "is_better": low > 0,
        "sentence": "",
    }


def _comparisons(story: Story) -> pl.DataFrame:
    rows = []
    verdict = verdict_of(story)
    for baseline, rate in story.rates.items():
        for metric in METRIC_FACTORS:
            for k in CUTOFF_FACTORS:
                difference = value_of(story.rates[FULL], metric, k) - value_of(rate, metric, k)
                ends = (difference - 0.009, difference + 0.009, float(difference > 0))
                if baseline == verdict["compared_with"] and (metric, k) == ("hit_rate", 10):
                    ends = (verdict["low"], verdict["high"], verdict["probability_better"])
                p = max(2 / 1001, 2 * min(ends[2], 1 - ends[2]))
                sureness = (p, min(1.0, p * (len(story.rates) - 1)), DETECTABLE)
                if baseline != FULL:
                    rows.append((FULL, baseline, metric, k, difference, *ends, *sureness))
    schema = dict(pl.DataFrame(EVALUATION.table("comparisons").schema.empty_table()).schema)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _contact_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return the contact sheet with its queries and ranks; the challenger finds every photo but the last search's."""
    rival = CHAMPION_ARM if story.outcome else "most_converted_for_query"
    sheet, queries, ranks = [], [], []
    ids = [f"photo-{i:03}" for i in range(story.photo_count)]
    for number, (query, country) in enumerate(story.searches):
        converted = ids[number % (story.photo_count - 1)]
        queries.append((number, f"v{number}", query, country, converted))
        others = [photo_id for photo_id in ids[number:] + ids[:number] if photo_id != converted]
        for arm, place in ((FULL, number % 8 + 1), (rival, 3 if number % 3 else 214)):
            rank = 1204 if arm == FULL and number == len(story.searches) - 1 else place
            shown = others[:8] if rank > 8 else [*others[: rank - 1], converted, *others[rank - 1 : 7]]
            sheet += [(query, country, converted, arm, i + 1, p, 1 - i / 10) for i, p in enumerate(shown)]
            ranks.append((number, arm, rank))
    schemas = {t.name: dict(pl.DataFrame(t.schema.empty_table()).schema) for t in EVALUATION.tables}
    rows = {"contact_sheet": sheet, "queries": queries, "ranks": ranks}
    return {name: pl.DataFrame(values, schema=schemas[name], orient="row") for name, values in rows.items()}


SIMILAR_RATES = {
    "random": 0.0041,
    "co_conversion": 0.4031,
    "keyword_overlap": 0.2252,
    ZERO_SHOT: 0.0871,
    FULL: 0.3127,
    "challenger_by_file": 0.1904,
}
"""nDCG@10 of similar photos, by arm."""


def _similar_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return the figures of the truths, and for one photo what two arms find: the challenger all that is right."""
    schemas = {t.name: dict(pl.DataFrame(t.schema.empty_table()).schema) for t in SIMILAR.tables}
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in schemas}
    if story.similar != "left out":
        for truth in TRUTHS if story.similar == "measured" else TRUTHS[1:]:
            rates = {
                arm: rate for arm, rate in SIMILAR_RATES.items() if (truth, arm) != ("keywords", "keyword_overlap")
            }
            for arm, rate in rates.items():
                for k, factor in CUTOFF_FACTORS.items():
                    for metric, share in METRIC_FACTORS.items():
                        value = rate * factor * share / METRIC_FACTORS["ndcg"]
                        rows["metrics"].append((truth, arm, metric, k, value, 0.9 * value, 1.1 * value, 840, 75))
                        less = (SIMILAR_RATES[FULL] - rate) * factor * share / METRIC_FACTORS["ndcg"]
                        if arm != FULL:
                            bounds = less - 0.02, less + 0.02, 0.9, 0.002, 0.006, 0.028
                            rows["comparisons"].append((truth, FULL, arm, metric, k, less, *bounds))
        rows["queries"] = [("keywords", "photo-000", 3, 0)]
        found = ("photo-001", "photo-002", "photo-003")
        for arm, answers in (
            (ZERO_SHOT, [[], [], ["keywords"]]),
            (FULL, [list(TRUTHS), ["keywords"], ["collections"]]),
        ):
            for position, (photo_id, truths) in enumerate(zip(found, answers, strict=True), start=1):
                alike = ["photo-004"] if position == 2 else []
                rows["contact_sheet"].append(("photo-000", arm, position, photo_id, 0.9, truths, alike))
        rows["pictures"] = [("photo-000", "ab", "00" * 16, "photo-000")]
    return {name: pl.DataFrame(values, schema=schemas[name], orient="row") for name, values in rows.items()}


def _similar_facts(story: Story) -> dict[str, Any]:
    few = {"query_count": 1, "cluster_count": 0, "group_count": 1, "mean_relevant": 2.0, "note": "1 photo is too few"}
    measured = {"query_count": 840, "cluster_count": 75, "group_count": 321, "mean_relevant": 12.34, "note": ""}
    is_few = {truth: story.similar == "few" and truth == "co_conversion" for truth in TRUTHS}
    return {
        "note": "left out: query_count is 0" if story.similar == "left out" else "",
        "truths": {truth: few if is_few[truth] else measured for truth in TRUTHS},
        "arms": list(SIMILAR_RATES),
        "challenger": FULL,
        "reads_keywords": [FULL],
        "photo_count": CORPUS_SIZE,
        "hidden_count": 5,
        "duplicate_count": 14,
        "seconds": dict.fromkeys(SIMILAR_RATES, 1.25),
    }


RECOMMENDED_RATES = {"random": 0.011, "popularity": 0.078, "mean_embedding": 0.152, "als": 0.149, "two_tower": 0.183}
"""Hit rate@10 of recommendations, by method."""
_RECOMMENDED_METRICS = {
    "hit_rate": 1.0,
    "map": 0.4,
    "mrr": 0.5,
    "ndcg": 0.5,
    "precision": 0.1,
    "recall": 0.6,
    "f1": 0.2,
}


def _recommendation_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return the figures of two protocols, three groups of the night's own, and one visitor with two methods' lists."""
    schemas = {t.name: dict(pl.DataFrame(t.schema.empty_table()).schema) for t in RECOMMENDATION.tables}
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in schemas}
    if story.recommends:
        places = [("temporal", *place, 840) for place in (("all", "all"), ("history", "0"), ("photos", "new"))]
        for protocol, kind, name, count in (*places, ("no_split", "all", "all", 900)):
            for number, (arm, rate) in enumerate(RECOMMENDED_RATES.items()):
                for k, factor in {10: 1.0, 20: 1.3, 50: 1.7, 100: 2.0}.items():
                    for metric, share in _RECOMMENDED_METRICS.items():
                        value = 0.0 if name == "new" else rate * factor * share
                        bounds = 0.9 * value, 1.1 * value
                        rows["metrics"].append((protocol, kind, name, arm, metric, k, value, *bounds, count))
                        less = 0.183 * factor * share - rate * factor * share
                        if arm != "two_tower":
                            p_value = 0.3 if arm == "als" else 0.002
                            sure = less - 0.02, less + 0.02, p_value, 0.028
                            pair = ("two_tower", arm, metric, k, less)
                            rows["comparisons"].append((protocol, kind, name, *pair, *sure))
                if name == "all":
                    rows["lists"].append((protocol, arm, 0.25, 0.5, 7.125, number))
                    rows["costs"].append((protocol, arm, 61.5, 0.25))
        rows["curves"] = [("two_tower", step, "loss", value) for step, value in ((1, 0.6), (2, 0.3))]
        for arm, photos in {"history": (0, 1), "taken": (2,), "als": (3, 4), "two_tower": (2, 5)}.items():
            for position, photo in enumerate(photos, start=1):
                rows["contact_sheet"].append(("visitor", arm, position, f"photo-{photo:03}", photo == 2))
    return {name: pl.DataFrame(values, schema=schemas[name], orient="row") for name, values in rows.items()}


def _recommendation_facts(story: Story) -> dict[str, Any]:
    counts = {"visitor_count": 840, "trial_count": 1, "log_count": 95_527}
    return {
        "note": "" if story.recommends else "left out: max_visitor_count is 0",
        "protocols": {"temporal": counts, "no_split": counts | {"visitor_count": 900}},
        "notes": {"leave_cold": "nobody to ask about", "temporal/sasrec": "the log has no example to learn from"},
        "photo_count": CORPUS_SIZE,
    }


def _drift_tables(ctx: RunContext, story: Story) -> dict[str, pl.DataFrame]:
    """Return the log's last days, fewer at the weekend, and shifts: photos never move."""
    last = ctx.run_date
    dates = [last - timedelta(days=back) for back in reversed(range(story.day_count))]
    counts = [300 + 2 * i - (90 if day.weekday() >= 5 else 0) + 17 * (i * 7 % 5) for i, day in enumerate(dates)]
    trend = [310.0 + 2 * i for i in range(len(dates))]
    days = pl.DataFrame({"conversion_date": dates, "conversion_count": counts, "trend": trend})
    moved = (0.0412, 0.0308, 0.0533, 0.002) if story.drift == "searches" else (-0.0003, -0.0011, 0.0017, 0.713)
    rows = [
        ("searches", 1000, 987, 0.981, *moved, 0.9),
        ("photos", 1000, 1000, 0.9994, -0.0009, -0.002, 0.0004, 0.9, 0.8),
    ]
    schema = dict(pl.DataFrame(DRIFT.table("shifts").schema.empty_table()).schema)
    shifts = pl.DataFrame(rows, schema=schema, orient="row")
    return {"days": days, "shifts": shifts.clear() if story.drift in ("other base", "first night") else shifts}


def _map_tables(story: Story) -> dict[str, pl.DataFrame]:
    """Return two clusters side by side and every sixth photo alone; the second of three settings is taken."""
    tables = {t.name: pl.DataFrame(t.schema.empty_table()) for t in PHOTO_MAP.tables}
    if story.photo_map == "left out":
        return tables
    count = story.photo_count
    clusters = [-1 if i % 6 == 5 else int(i >= count * 2 // 3) for i in range(count)]
    points = pl.DataFrame(
        {
            "photo_id": [f"photo-{i:03}" for i in range(count)],
            "x": [10.0 * cluster + i % 3 for i, cluster in enumerate(clusters)],
            "y": [i % 5 - 2.0 for i in range(count)],
            "placed": [
                "fitted" if story.photo_map == "new" else "projected" if i % 4 == 0 else "kept" for i in range(count)
            ],
            "cluster": clusters,
            "typicality": [1 - i / 100 for i in range(count)],
        }
    )
    word = story.description or "ball"
    keywords = [(0, word, 9, 5.5), (0, "red", 4, 2.5), (1, "night sky", 3, 2.0)]
    settings = [
        ("hdbscan", 2, 5, "eom", None, None),
        ("hdbscan", 5, 5, "leaf", None, None),
        ("dbscan", 5, None, None, 0.25, 0.5),
    ]
    figures = [
        (3, 0.65, 0.1, 0.2, 0.3, 0.4, 0.5, False, False),
        (2, 4 / 24, 0.55, 0.31, -0.123, 0.41, 0.51, False, True),
        (1, 0.0, 1.0, None, None, 0.0, 0.1, False, False),
    ]
    sweep = [setting + figure for setting, figure in zip(settings, figures, strict=True)]
    reference = points.select("photo_id", "x", "y", vector=pl.lit([1.0, 0.0]))
    schemas = {name: dict(table.schema) for name, table in tables.items()}
    return {
        "points": points,
        "reference": reference,
        "sweep": pl.DataFrame(sweep, schema=schemas["sweep"], orient="row"),
        "keywords": pl.DataFrame(keywords, schema=schemas["keywords"], orient="row"),
    }


def _map_facts(ctx: RunContext, story: Story) -> dict[str, Any]:
    if story.photo_map == "left out":
        return {"note": "left out by the parameters"}
    is_new, before = story.photo_map == "new", (ctx.run_date - timedelta(days=2)).isoformat()
    new = sum(i % 4 == 0 for i in range(story.photo_count))
    return {
        "note": "",
        "arm": FULL,
        "model_digest": "d" * 16,
        "photo_count": story.photo_count,
        "corpus_photo_count": 1898 if is_new else story.photo_count,
        "map": story.photo_map,
        "why": "no earlier night has a map" if is_new else "the same model",
        "map_run_date": ctx.run_date.isoformat() if is_new else before,
        "placed": {"fitted": story.photo_count} if is_new else {"kept": story.photo_count - new, "projected": new},
        "perplexity": 30.0,
        "neighbours_kept": 0.4779,
        "rule": "the highest DBCV",
        "earlier_run_date": None if is_new else before,
        "clusters": None if is_new else {"kept": 1, "new": [1], "gone": 3},
        "seconds": 23.4,
    }


def _drift_facts(ctx: RunContext, story: Story) -> dict[str, Any]:
    is_first, is_compared = story.drift == "first night", story.drift in ("none", "searches")
    note = {"first night": "no earlier night has vectors", "other base": "the night before has another base"}
    return {
        "unseen": {"search_count": story.query_count, "query_share": story.unseen_share, "country_share": 0.0011},
        "earlier_unseen": None if is_first else {"search_count": 9000, "query_share": 0.1101, "country_share": 0.0},
        "conversions": {"last_week": 410.4, "before": 365.1, "drop": -0.1241, "per_week": 0.0383}
        if story.day_count >= 14
        else {"last_week": 410.4, "before": None, "drop": None, "per_week": None},
        "earlier_run_date": None if is_first else (ctx.run_date - timedelta(days=1)).isoformat(),
        "arm": ZERO_SHOT if is_compared else None,
        "earlier_arm": ZERO_SHOT if is_compared else None,
        "model_digest": "b" * 16 if is_compared else None,
        "note": note.get(story.drift, ""),
    }


def _facts(ctx: RunContext, story: Story) -> dict[str, dict[str, Any]]:
    digests = {arm: f"{zlib.crc32(arm.encode()):08x}" * 2 for arm in story.rates}
    models = [arm for arm in story.rates if arm in (ZERO_SHOT, FINETUNED, FULL)]
    embedded = [*models, *([CHAMPION_ARM] if story.outcome else [])]
    has_champion = story.outcome is not None or story.left_out
    bad = story.bad_rows
    return {
        "validated": {
            "dataset_version": "1.4.0",
            "counts": {
                "photos": {"input": 1899, "clean": 1899, "quarantined": 0, "repaired": 0},
                "conversions": {"input": 120_000, "clean": 120_000 - bad, "quarantined": bad, "repaired": 8},
            },
            "reasons": {"photos": {}, "conversions": {"null_country": bad - 5, "bad_country": 9} if bad else {}},
            "repairs": {"photos": {}, "conversions": {"country_upper_case": 8}},
            "warnings": {"photos": {"null_description": 104}, "conversions": {}},
        },
        "images": {
            **{f"{status}_count": 0 for status in ("fetched", "refused", "failed")},
            "present_count": story.photo_count - 1,
            "missing_count": 1,
        },
        "splits": _windows(ctx, story),
        "leak_audit": {"check_count": 7, "violation_count": 0},
        "champion": {"version": 2 if has_champion else None, "model_digest": "c" * 16}
        | ({"outside_move": story.outside_move} if story.outside_move else {}),
        "release": {"version": 3, "model_digest": digests[FULL], "arm": FULL},
        "gate": {
            "outcome": story.gate,
            "release": {"run_date": ctx.run_date.isoformat(), "run_id": "0123456789abcdef", "version": 3},
            "latency_p50_milliseconds": 0.412,
            "latency_p99_milliseconds": 1.873,
        },
        "base_model": {"source": "tiny", "reused_from": None},
        "search_models": {
            "arms": {ZERO_SHOT: {"best_validation_hit_rate": None if story.is_published_protocol else 0.152}}
            | {
                arm: {
                    "best_validation_hit_rate": None if story.is_published_protocol else top,
                    "best_step": None if story.is_published_protocol else 651,
                    "steps": 744,
                    "pairs_per_second": 987.6,
                    "seconds": 189.0,
                    "stopped_because": "all epochs done",
                }
                for arm, top in ((FINETUNED, 0.61), (FULL, 0.69))
            },
            "challenger": FULL,
            "reused_from": None,
            "warm_started_from": story.warm_started_from,
            "train_pair_count": 83_575 if story.warm_started_from is None else 5_712,
            "log_pair_count": 83_575,
        },
        "photo_embeddings": {
            "arms": {
                arm: {"model_digest": digests[arm], "embedded_count": 23, "reused_count": 1876, "dim": 128}
                for arm in embedded
            }
        },
        "registration": {
            "model_name": f"nightlens-{ctx.catalogue}",
            "version": 3,
            "arm": FULL,
            "mlflow_run_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "model_digest": digests[FULL],
        },
        "photo_index": {
            "kind": "ivf_flat",
            "reason": "1,898 photos; asked for in a test",
            "nlist": 174,
            "nprobe": 32,
            "ef_search": None,
            "quantizer": "learned from 1,898 photos: no earlier index is of this model",
            "shard_count": 2,
            "shards_built": 1,
            "shards_taken_over": 1,
            "photo_count": 1898,
            "bytes": 1_012_736,
            "peak_memory_mb": 512.5,
            "max_memory_mb": 2048,
            "model_digest": digests[FULL],
        },
        "index_check": index_figures(0.9917, 0.05)
        | {
            "query_count": 1000,
            "query_window": "test" if story.is_published_protocol else "validation",
            "batch_size": 64,
            "model_digest": digests[FULL],
        },
        "impressions": {
            "note": story.shown_note,
            "impression_count": 48_000,
            "list_count": 4_012,
            "first_at": "2025-10-01T00:00:05+00:00",
            "last_at": "2025-12-28T23:59:00+00:00",
        },
        "drift": _drift_facts(ctx, story),
        "photo_map": _map_facts(ctx, story),
        "reranker": {
            "note": story.reranker_note,
            "base_arm": FULL,
            "search_count": 3599,
            "learnable_search_count": 3355,
            "held_out_search_count": 671,
            "held_out_hit_rate_before": 0.7312,
            "held_out_hit_rate_after": 0.8421,
            "best_round": 194,
            "checks": [{"check": "events_before_cutoff", "status": "passed", "event_count": 106_314}],
        },
        "similar": _similar_facts(story),
        "recommendation": _recommendation_facts(story),
        "evaluation": {
            "verdict": verdict_of(story),
            "test_query_count": story.query_count,
            "test_window_query_count": story.window_query_count or story.query_count,
            "test_visitor_count": story.query_count // 2,
            "protocol": _protocol(story),
            "corpus_photo_count": CORPUS_SIZE,
            "hit_rate_at_10": story.rates,
            "rival": rival_of(story),
            "by_query": {"judgement_count": 8_765},
            "frequency_cuts": {"head_min_count": 16, "torso_min_count": 2},
            "trending": story.trending,
            "champion_note": story.left_out,
            "tie_rule": "photos with equal scores rank in the order of the SHA-256 of their photo_id, in every arm",
        },
    }


def _shown_tables(story: Story) -> dict[str, pl.DataFrame]:
    """What was shown: two arms and three places; the last one cannot be told, or none with a note."""
    rows = [
        (arm, place, 16_000, 900, 1_600, share, share - 0.01, share + 0.01, 1_500, 12.34, 11.5, 13.25)
        for arm, place, share in (
            (None, None, 0.1234),
            (None, 1, 0.2),
            (None, 2, 0.1),
            (None, 3, 0.07),
            ("old", None, 0.15),
            ("new", None, 0.11),
        )
    ]
    told = [(1, 1.0, 1.0, 1.0, 700), (2, 0.84, 0.75, 0.94, 650)]
    tables = {"rates": rows, "examination": [] if story.shown_note else told, "pairs": []}
    return {
        name: pl.DataFrame(
            rows if story.has_shown else [],
            schema=pl.DataFrame(IMPRESSIONS.table(name).schema.empty_table()).schema,
            orient="row",
        )
        for name, rows in tables.items()
    }


def index_figures(recall: float, milliseconds: float) -> dict[str, float]:
    """What `verify_index` says of one index."""
    ends = {"": 0.0, "_low": -0.01, "_high": 0.005}
    recalls = {f"recall_at_{k}{end}": min(1.0, recall + by) for k in (10, 100) for end, by in ends.items()}
    latencies = {"single_p50_ms": 1.0, "single_p99_ms": 5.0, "batch_p50_ms": 20.0, "batch_p99_ms": 40.0}
    return recalls | {name: milliseconds * by for name, by in latencies.items()} | {"bytes_per_vector": 520.25}


def _protocol(story: Story) -> str:
    return "80/20" if story.is_published_protocol else "windows"


def _windows(ctx: RunContext, story: Story) -> dict[str, str]:
    days = {"train_start": 375.0, "train_end": 10.0, "validation_end": 7.0, "test_end": 0.0}
    if story.is_published_protocol:
        days |= {"train_end": 73.3, "validation_end": 73.3}
    boundaries = {name: (ctx.as_of - timedelta(days=number)).isoformat() for name, number in days.items()}
    return boundaries | {"protocol": _protocol(story)}


def earlier_nights(ctx: RunContext, count: int, story: Story) -> list[Manifest]:
    """Commit the evaluations of the `count` nights before, each a little weaker than the one after it."""
    manifests = []
    for i in range(count, 0, -1):
        day: date = ctx.run_date - timedelta(days=i)
        weaker = {arm: rate * (1 - 0.01 * i) + 0.004 * (i % 3) for arm, rate in story.hit_rates.items()}
        context = ctx.model_copy(update={"run_date": day, "run_id": f"night-{day}"})
        manifests.append(commit_evaluation(context, replace(story, hit_rates=weaker)))
    return manifests
