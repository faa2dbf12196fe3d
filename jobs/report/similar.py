"""Which photos are like this one: every arm by every ground truth, what each measures, and what people would see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.config.params.evaluation import TRUTHS
from jobs.datasets.clean import IMAGES
from jobs.datasets.evaluation import SIMILAR, SimilarFacts, TruthFacts
from jobs.datasets.features import SPLITS, SplitsFacts
from jobs.report import formats
from jobs.report.ablation import Variant, variant
from jobs.report.arms import ARMS
from jobs.report.charts import DotChart, DotRow, Mark, dot_chart
from jobs.report.inputs import Night
from jobs.report.photos import Photo, read_photos
from jobs.report.ranking import ALPHA, CUTOFFS, PRIMARY_K, QUERY_METRICS, Cell, outcome

PRIMARY = "ndcg"
_BASELINES = (
    Variant("random", "Random", "Any photo: what nothing may fall below.", "arm-popularity", "diamond"),
    Variant(
        "co_conversion",
        "Converted together",
        "Photos that visitors took for the same queries before the test window. New photos have nothing to go by.",
        "arm-most-converted-for-query",
        "diamond",
    ),
    Variant(
        "keyword_overlap",
        "Keywords in common",
        "Keywords in common, rare ones counting more; the picture is not looked at.",
        "arm-keyword-bm25",
        "diamond",
    ),
)
BY_FILE = Variant(
    "challenger_by_file",
    "Challenger, searched with a file",
    "The challenger's index with its keywords, but the photo searched with is known by its picture alone, as one that "
    "somebody uploads; its keywords are guessed from photos that look like it. What it falls behind the challenger is "
    "what the keywords of that photo are worth.",
    ARMS[FULL].css,
    "square",
)
_MODELS = {
    ZERO_SHOT: "The picture alone, by the base model as it is.",
    "finetuned": "The picture alone, by a model trained on which photo was taken for which words.",
    "finetuned_country": "The picture alone, by a model that was told the country of a search in training.",
    "finetuned_keywords": "The picture and the photo's keywords, by a model trained on conversions.",
    "finetuned_country_keywords": "The picture and the photo's keywords, as they stand in the search index.",
    CHAMPION_ARM: "Photos as the model that is live now sees them.",
}
_NAMES = {"co_conversion": "Taken for the same query", "keywords": "Shared keywords", "collections": "Same collection"}
_MARKS = {"co_conversion": "query", "keywords": "keywords", "collections": "collection"}


@dataclass(frozen=True)
class ArmLine:
    """One arm by one truth: its metrics in the order of `Table.names`, and the challenger's difference to it."""

    arm: Variant
    is_challenger: bool
    is_told: bool
    cells: tuple[Cell, ...]
    difference: Cell
    outcome: str
    p_value: str


@dataclass(frozen=True)
class DeepTable:
    """One metric at every cutoff."""

    name: str
    meaning: str
    title: str
    rows: tuple[tuple[Variant, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class TruthReport:
    """One ground truth. `note` says why nothing was measured by it; then there is no table."""

    key: str
    name: str
    meaning: str
    counts: str
    note: str
    left_out: str
    lines: tuple[ArmLine, ...]
    chart: DotChart | None
    deep_tables: tuple[DeepTable, ...]


@dataclass(frozen=True)
class Neighbour:
    """A photo that an arm finds; `marks` are the truths by which it is an answer."""

    position: int
    photo: Photo
    marks: str
    alike: str


@dataclass(frozen=True)
class Example:
    """A photo with what every arm finds for it."""

    photo: Photo
    rankings: tuple[tuple[Variant, tuple[Neighbour, ...]], ...]


@dataclass(frozen=True)
class Similar:
    """The section; `note` says why all of it is left out."""

    note: str
    lead: str
    arms: tuple[tuple[Variant, str], ...]
    names: tuple[str, ...]
    cutoffs: tuple[int, ...]
    truths: tuple[TruthReport, ...]
    examples: tuple[Example, ...]
    sheet_text: str


def similar(night: Night) -> Similar:
    """Return the section."""
    facts = night.facts(SimilarFacts)
    names = tuple(name for name, _ in QUERY_METRICS.values())
    if facts.note:
        return Similar(facts.note, "", (), names, CUTOFFS, (), (), "")
    metrics, comparisons = (night.table(SIMILAR, name) for name in ("metrics", "comparisons"))
    return Similar(
        note="",
        lead=_lead(night),
        arms=tuple((arm_of(key), formats.duration(facts.seconds.get(key))) for key in facts.arms),
        names=names,
        cutoffs=CUTOFFS,
        truths=tuple(
            _truth(night, key, metrics.filter(truth=key), comparisons.filter(truth=key))
            for key in TRUTHS
            if key in facts.truths
        ),
        examples=tuple(_examples(night)),
        sheet_text=_sheet_text(facts.truths),
    )


def arm_of(key: str) -> Variant:
    """Return an arm as this section calls it; `BadInput` from the ablation's names if nobody knows it."""
    own = {one.key: one for one in (*_BASELINES, BY_FILE)}
    if key in own:
        return own[key]
    if key in _MODELS and key in ARMS:
        return Variant(key, ARMS[key].name, _MODELS[key], ARMS[key].css)
    known = variant(key)
    return Variant(key, known.name, _MODELS.get(key, f"The full arm, but: {known.meaning}"), known.css, "square")


def _lead(night: Night) -> str:
    facts, params = night.facts(SimilarFacts), night.manifest(SIMILAR).params
    return (
        f"Photos of the corpus are searched with among all {formats.count(facts.photo_count)}. Never found is the "
        f"photo itself; {formats.count(facts.hidden_count)} hidden photos are left out. "
        + _about_duplicates(facts, params)
    )


def _about_duplicates(facts: SimilarFacts, params: dict[str, Any]) -> str:
    most = params["duplicate_photo_count"]
    if facts.photo_count > most:
        return f"Near duplicates were not looked for, in a corpus of more than {formats.count(most)} photos."
    return (
        f"Near duplicates count as one photo: "
        f"{formats.count(facts.duplicate_count)} photos repeat another (cosine of at least {params['min_cosine']:g} by "
        f"the base model, and at most {params['max_bits']} of 128 bits of the perceptual hash apart)."
    )


def _truth(night: Night, key: str, metrics: pl.DataFrame, comparisons: pl.DataFrame) -> TruthReport:
    facts = night.facts(SimilarFacts)
    truth = facts.truths[key]
    found = {(row["arm"], row["metric"], row["k"]): row for row in metrics.to_dicts()}
    keys = [arm for arm in facts.arms if (arm, PRIMARY, PRIMARY_K) in found]
    at_k = comparisons.filter(metric=PRIMARY, k=PRIMARY_K)
    differences = {row["baseline"]: row for row in at_k.to_dicts()}
    told = set(facts.reads_keywords) if key == "keywords" else set()
    return TruthReport(
        key=key,
        name=_NAMES[key],
        meaning=_meaning(key, night.manifest(SIMILAR).params, night.facts(SplitsFacts).takes_all_photos),
        counts=_counts(key, truth),
        note=truth.note,
        left_out="“Keywords in common” is left out: it would only repeat this truth. "
        + _told(tuple(arm_of(arm).name for arm in keys if arm in told), BY_FILE.key in keys)
        if key == "keywords"
        else "",
        lines=tuple(_line(arm, facts.challenger, arm in told, found, differences.get(arm)) for arm in keys),
        chart=_chart(key, keys, facts.challenger, found) if keys else None,
        deep_tables=tuple(_deep_table(key, metric, keys, found) for metric in QUERY_METRICS) if keys else (),
    )


def _told(names: tuple[str, ...], has_by_file: bool) -> str:
    if not names:
        return ""
    told = " and ".join(f"“{name}”" for name in names)
    by_file = f" “{BY_FILE.name}” knows those of the photos it finds, but not of the one it asks with."
    return f"{told} read the keywords that are asked about here, and so know more.{by_file if has_by_file else ''}"


def _meaning(key: str, params: dict[str, Any], takes_all_photos: bool) -> str:
    share = formats.percent(params["max_group_share"], 0)
    visitors = params["min_visitors"]
    if key == "co_conversion":
        who = "a visitor" if visitors == 1 else f"at least {visitors} different visitors each"
        return (
            f"Alike are photos that {who} took for the same words in the test window, of which no model has seen "
            f"anything. It measures what people mean by alike when they search. Its noise: a photo may be taken for a "
            f"word without looking like another, and photos that nobody took are never right, however alike. Words "
            f"for which more than {share} of the photos were taken are left out."
        )
    if key == "keywords":
        return (
            f"Alike are photos with at least {params['min_shared_keywords']} keywords in common (confidence "
            f"{params['min_confidence']:g} or more); the more, the higher their gain in nDCG. It covers photos that "
            f"nobody took yet. Its noise: keywords are partly guessed by a machine, and name what is in a picture, not "
            f"what it looks like. Keywords of more than {share} of the photos are left out."
        )
    return (
        f"Alike are photos that people put into the same collection before the night. It measures a curator's eye. Its "
        f"noise: collections follow themes and occasions as often as looks. Those of more than {share} of the photos "
        f"are left out."
    )


def _counts(key: str, facts: TruthFacts) -> str:
    groups = {"co_conversion": "queries", "keywords": "keywords", "collections": "collections"}[key]
    mean = "" if facts.mean_relevant is None else f", {facts.mean_relevant:.1f} right answers each on average"
    return (
        f"{formats.count(facts.query_count)} photos to search with{mean}, from "
        f"{formats.count(facts.group_count)} {groups} that photos share. Intervals resample "
        f"{formats.count(facts.cluster_count)} groups of photos with their largest of these {groups} in common."
    )


def _line(
    key: str,
    challenger: str,
    is_told: bool,
    found: dict[tuple[str, str, int], dict[str, Any]],
    comparison: dict[str, Any] | None,
) -> ArmLine:
    best = {
        metric: max(row["value"] for (_, name, k), row in found.items() if (name, k) == (metric, PRIMARY_K))
        for metric in QUERY_METRICS
    }
    rows = {metric: found[key, metric, PRIMARY_K] for metric in QUERY_METRICS}
    side, is_clear = "undecided", False
    if comparison is not None:
        side = outcome(comparison["low"], comparison["high"])
        is_clear = side != "undecided" and comparison["p_value_holm"] < ALPHA
    return ArmLine(
        arm=arm_of(key),
        is_challenger=key == challenger,
        is_told=is_told,
        cells=tuple(_cell(row, row["value"] == best[metric]) for metric, row in rows.items()),
        difference=Cell(formats.MISSING, "")
        if comparison is None
        else Cell(
            formats.signed_score(comparison["difference"]),
            formats.signed_score_interval(comparison["low"], comparison["high"]),
        ),
        outcome=side if is_clear else "undecided",
        p_value=formats.MISSING if comparison is None else formats.p_value(comparison["p_value_holm"]),
    )


def _cell(row: dict[str, Any], is_best: bool) -> Cell:
    return Cell(formats.score(row["value"]), formats.score_interval(row["low"], row["high"]), is_best)


def _deep_table(
    truth: str, metric: str, keys: list[str], found: dict[tuple[str, str, int], dict[str, Any]]
) -> DeepTable:
    name, _ = QUERY_METRICS[metric]
    best = {k: max(found[key, metric, k]["value"] for key in keys) for k in CUTOFFS}
    rows = tuple(
        (arm_of(key), tuple(_cell(found[key, metric, k], found[key, metric, k]["value"] == best[k]) for k in CUTOFFS))
        for key in keys
    )
    return DeepTable(name, _MEANINGS[metric], f"{name} of similar photos, {_NAMES[truth].lower()}", rows)


_MEANINGS = {
    "ndcg": "the order of the first k against the best possible one; a photo gains by how much it shares",
    "map": "mean of the precisions at the places of the right photos, 0 for those beyond the first k",
    "precision": "share of the first k that are right",
    "recall": "share of the right photos that are among the first k",
    "f1": "harmonic mean of precision and recall, photo by photo",
    "hit_rate": "share of photos with any right one among the first k",
    "mrr": "mean of 1/place of the first right photo, 0 beyond the first k",
}


def _chart(truth: str, keys: list[str], challenger: str, found: dict[tuple[str, str, int], dict[str, Any]]) -> DotChart:
    rows = []
    for key in keys:
        one, row = arm_of(key), found[key, PRIMARY, PRIMARY_K]
        value, interval = formats.score(row["value"]), formats.score_interval(row["low"], row["high"])
        mark = Mark(row["value"], row["low"], row["high"], one.css, one.shape, f"{one.name}: {value} ({interval})")
        rows.append(DotRow(one.name, value, "", (mark,), is_strong=key == challenger))
    return dot_chart(
        f"similar-{truth.replace('_', '-')}",
        f"nDCG@10 of similar photos, {_NAMES[truth].lower()}",
        "Dots with 95% intervals. " + ". ".join(f"{row.label}: {row.value}" for row in rows) + ".",
        rows,
        lambda value: f"{value:g}",
        include=(0.0,),
    )


def _sheet_text(truths: dict[str, TruthFacts]) -> str:
    by = next((key for key in truths if truths[key].query_count), None)
    if by is None:
        return "No photo has an answer, so none is shown."
    marks = ", ".join(f"“{_MARKS[key]}”: {_NAMES[key].lower()}" for key in TRUTHS if key in truths)
    return (
        f"Photos that have answers by “{_NAMES[by]}”, drawn at random, each of another group, with what every arm "
        f"finds. Framed is what is right by any truth: {marks}. +1 is a near duplicate grouped with the photo."
    )


def _examples(night: Night) -> list[Example]:
    sheet = night.table(SIMILAR, "contact_sheet")
    splits, images = night.manifest(SPLITS), night.manifest(IMAGES)
    photos = read_photos(night.ctx.lake, splits, images, {*sheet["photo_id"], *sheet["query_photo_id"]})
    arms = [arm for arm in night.facts(SimilarFacts).arms if arm in set(sheet["arm"])]
    examples = []
    for (query,), rows in sheet.group_by("query_photo_id", maintain_order=True):
        rankings = tuple(
            (arm_of(arm), tuple(_neighbour(row, photos) for row in rows.filter(arm=arm).sort("position").to_dicts()))
            for arm in arms
        )
        examples.append(Example(photos[str(query)], rankings))
    return examples


def _neighbour(row: dict[str, Any], photos: dict[str, Photo]) -> Neighbour:
    return Neighbour(
        position=row["position"],
        photo=photos[row["photo_id"]],
        marks=", ".join(_MARKS[truth] for truth in row["truths"]),
        alike=f"+{len(row['alike'])}" if row["alike"] else "",
    )
