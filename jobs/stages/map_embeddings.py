"""Stage `map_embeddings`: the photos of one arm in the plane, in clusters, with the words that tell clusters apart.

A map compares with an earlier night's while both are of one model: then photos of that map stay where they are, and
new ones, and those whose vector has changed, are projected onto it. A map of another model, or with too many photos
that are new to it, is made anew, and begins from where the earlier one had the photos, so that the two look alike as
far as the vectors allow. Clusters are those of the night's vectors, not of the map.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from jobs.config.params.embedding import MapEmbeddingsParams
from jobs.context import Chosen, RunContext
from jobs.datasets.embeddings import PhotoArmFacts, PhotoEmbeddingsFacts
from jobs.datasets.evaluation import PHOTO_MAP, ClusterFate, MapFacts, PhotoMapFacts
from jobs.embedding.arm_vectors import batches_of_arm
from jobs.errors import MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.lake.vector_store import vector_array
from models.mapping.clusters import ABSENT, RULE, numbered_as_before, settings, sweep, typicality
from models.mapping.clusters import choose as choose_setting
from models.mapping.plane import (
    FEWEST,
    Floats,
    beside_known,
    distances,
    make_map,
    neighbours_kept,
    place_on_map,
    steady_sample,
)
from models.mapping.validity import OUTLIER
from models.mapping.words import telling_keywords, top_keywords

NEIGHBOURS = 10
MAX_PROJECTED_SHARE = 0.3  # of an earlier night's map: with more photos new to it, a new one is made
_SAME = 1e-4
"""Vectors of the same picture and words may differ in the last bits; by less than this they count as one."""
_PROJECTED = "projected"


def choose(ctx: RunContext, params: MapEmbeddingsParams, inputs: dict[str, Manifest]) -> Chosen:
    """Choose the latest earlier night's run that has a map."""
    today = ctx.run_date.isoformat()
    runs = (run for run in reversed(ctx.lake.history(PHOTO_MAP)) if run.partition["run_date"] < today)
    earlier = next((run for run in runs if PhotoMapFacts.of(run).map is not None), None)
    return Chosen({} if earlier is None else {"earlier_map": earlier})


def run(ctx: RunContext, params: MapEmbeddingsParams, inputs: dict[str, Manifest], staged: StagedRun) -> PhotoMapFacts:
    """Lay out and cluster; that there is nothing to lay out is a result, with its reason."""
    if not params.is_made:
        return _without_map(staged, "left out by the parameters")
    begun = time.perf_counter()
    model = _model(inputs["photo_embeddings"], params.arm)
    ids, vector_ND, corpus_count = _vectors(ctx, inputs["photo_embeddings"], params)
    if len(ids) < FEWEST:
        return _without_map(staged, f"{len(ids)} photos with a vector are too few")
    earlier = _Earlier.of(inputs)
    distance_NN = distances(vector_ND)
    layout = _layout(ctx, params, model.model_digest, earlier, ids, vector_ND)
    _write_map(staged, layout, ids, vector_ND)
    before = None if earlier is None else _labels(ctx.lake, earlier.run)
    photos = (ids, vector_ND, distance_NN)
    clusters = _write_clusters(ctx.lake, staged, params, inputs["splits"], layout, photos, before)
    made = MapFacts(
        arm=params.arm,
        model_digest=model.model_digest,
        dim=vector_ND.shape[1],
        photo_count=len(ids),
        corpus_photo_count=corpus_count,
        kind="new" if layout.onto is None else "projected",
        why=layout.why,
        earlier_run_date=None if earlier is None else earlier.run_date,
        map_run_date=ctx.run_date.isoformat() if layout.onto is None else layout.onto.facts.map_run_date,
        placed=dict(sorted(Counter(layout.placed).items())),
        perplexity=params.perplexity,
        neighbours_kept=neighbours_kept(distance_NN, layout.map_N2, min(NEIGHBOURS, len(ids) - 1)),
        rule=RULE,
        clusters=clusters,
        seconds=round(time.perf_counter() - begun, 3),
    )
    return PhotoMapFacts(map=made)


def _without_map(staged: StagedRun, note: str) -> PhotoMapFacts:
    for table in PHOTO_MAP.tables:
        staged.write_table(table.name, pl.DataFrame(table.schema.empty_table()))
    return PhotoMapFacts(note=note)


# -- inputs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Earlier:
    """An earlier night's run, and the map that it has."""

    run: Manifest
    facts: MapFacts

    @classmethod
    def of(cls, inputs: dict[str, Manifest]) -> _Earlier | None:
        run = inputs.get("earlier_map")
        facts = None if run is None else PhotoMapFacts.of(run).map
        return None if run is None or facts is None else cls(run, facts)

    @property
    def run_date(self) -> str:
        return self.run.partition["run_date"]


def _model(embeddings: Manifest, arm: str) -> PhotoArmFacts:
    arms = PhotoEmbeddingsFacts.of(embeddings).arms
    if arm not in arms:
        raise MissingInput(
            "arm_not_embedded",
            f"{embeddings.reference} has no arm {arm!r} to make a map of; it has {', '.join(sorted(arms))}. "
            "Name one of them by --arm.",
            run=embeddings.reference,
            arm=arm,
        )
    return arms[arm]


def _vectors(ctx: RunContext, embeddings: Manifest, params: MapEmbeddingsParams) -> tuple[list[str], Floats, int]:
    """Return the photos to lay out, sorted, their unit vectors [N, D], and how many photos there are to choose from."""
    every = [
        photo_id
        for batch in batches_of_arm(ctx.lake, embeddings, params.arm, ["photo_id"])
        for photo_id in batch["photo_id"].to_pylist()
    ]
    ids = steady_sample(every, params.max_photos, ctx.seed)
    wanted = pl.DataFrame({"photo_id": ids}, schema={"photo_id": pl.String})
    found = [
        pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch]))).join(wanted, on="photo_id", how="semi")
        for batch in batches_of_arm(ctx.lake, embeddings, params.arm, ["photo_id", "vector"])
    ]
    rows = pl.concat(found).sort("photo_id") if found else wanted.with_columns(vector=pl.lit(None))
    return ids, _matrix(rows["vector"], len(ids)), len(every)


def _matrix(vectors: pl.Series, count: int) -> Floats:
    matrix: Floats = vectors.explode().to_numpy().astype(np.float64).reshape(count, -1) if count else np.zeros((0, 1))
    return matrix


def _keywords(lake: Lake, splits: Manifest, ids: list[str]) -> dict[str, dict[str, float]]:
    """Return the keywords of the photos with their confidences; a photo without any has none."""
    found: dict[str, dict[str, float]] = {photo_id: {} for photo_id in ids}
    for photo_id, keyword, confidence in lake.read_table(splits, "photo_keywords").iter_rows():
        if photo_id in found:
            found[photo_id][keyword] = confidence
    return found


# -- the map ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Where the photos lie, how each came there, why on this map, and onto which earlier one they are laid, if any."""

    map_N2: Floats
    placed: list[str]
    why: str
    onto: _Earlier | None = None


def _layout(
    ctx: RunContext,
    params: MapEmbeddingsParams,
    model_digest: str,
    earlier: _Earlier | None,
    ids: list[str],
    vector_ND: Floats,
) -> _Layout:
    """Return the photos on the earlier map if it is of the same vector space, else on a new one."""
    if earlier is None:
        map_N2 = make_map(vector_ND, params.perplexity, ctx.seed)
        return _Layout(map_N2, ["fitted"] * len(ids), "no earlier night has a map")
    day = earlier.run_date
    if earlier.facts.model_digest != model_digest:
        why = f"the night of {day} mapped another model, and vectors of two models do not compare"
    elif earlier.facts.perplexity != params.perplexity:
        why = f"the map of {day} has another perplexity"
    else:
        layout = _projected(ctx, params, earlier, ids, vector_ND)
        share = layout.placed.count(_PROJECTED) / len(ids)
        if share <= MAX_PROJECTED_SHARE:
            return layout
        why = f"{share:.0%} of the photos are new to the map of {day}, more than {MAX_PROJECTED_SHARE:.0%}"
    known = dict(zip(*_points(ctx.lake, earlier.run), strict=True))
    is_known_N = np.array([photo_id in known for photo_id in ids])
    start_N2 = None
    if is_known_N.any():
        start_N2 = beside_known(vector_ND, is_known_N, np.array([known[one] for one in ids if one in known]))
        why += "; it begins from where that map had the photos"
    return _Layout(make_map(vector_ND, params.perplexity, ctx.seed, start_N2), ["fitted"] * len(ids), why)


def _points(lake: Lake, earlier: Manifest) -> tuple[list[str], list[tuple[float, float]]]:
    points = lake.read_table(earlier, "points", ["photo_id", "x", "y"])
    return points["photo_id"].to_list(), list(points.select("x", "y").iter_rows())


def _labels(lake: Lake, earlier: Manifest) -> dict[str, int]:
    """Return the clusters that the photos of the earlier night were in."""
    return dict(lake.read_table(earlier, "points", ["photo_id", "cluster"]).iter_rows())


def _projected(
    ctx: RunContext, params: MapEmbeddingsParams, earlier: _Earlier, ids: list[str], vector_ND: Floats
) -> _Layout:
    reference = ctx.lake.read_table(earlier.run, "reference")
    map_vector_MD, map_M2 = _matrix(reference["vector"], len(reference)), reference.select("x", "y").to_numpy()
    row_of = {photo_id: row for row, photo_id in enumerate(reference["photo_id"])}
    rows_N = np.array([row_of.get(photo_id, OUTLIER) for photo_id in ids])
    is_kept_N = (rows_N != OUTLIER) & (np.abs(map_vector_MD[rows_N] - vector_ND).max(axis=1) < _SAME)
    map_N2 = np.empty((len(ids), 2))
    map_N2[is_kept_N] = map_M2[rows_N[is_kept_N]]
    new_ND = vector_ND[~is_kept_N]
    if len(new_ND) <= MAX_PROJECTED_SHARE * len(ids):
        map_N2[~is_kept_N] = place_on_map(new_ND, map_vector_MD, map_M2, params.perplexity, ctx.seed)
    placed = ["kept" if is_kept else _PROJECTED for is_kept in is_kept_N.tolist()]
    why = f"the night of {earlier.run_date} has the same model: photos of its map stay where they are"
    return _Layout(map_N2, placed, why, onto=earlier)


def _write_map(staged: StagedRun, layout: _Layout, ids: list[str], vector_ND: Floats) -> None:
    if layout.onto is not None:
        staged.link_table(layout.onto.run, "reference")
        return
    x_N, y_N = layout.map_N2.T
    table = pl.DataFrame({"photo_id": ids, "x": x_N, "y": y_N})
    vectors = pl.Series("vector", pl.from_arrow(vector_array(vector_ND.astype(np.float32))))
    staged.write_table("reference", table.with_columns(vectors))


# -- the clusters -------------------------------------------------------------------------------------------------


def _write_clusters(
    lake: Lake,
    staged: StagedRun,
    params: MapEmbeddingsParams,
    splits: Manifest,
    layout: _Layout,
    photos: tuple[list[str], Floats, Floats],
    before: dict[str, int] | None,
) -> ClusterFate | None:
    """Try every setting, write what each gives, the points with the clusters of the chosen one, and their words.

    `before` is the clusters of the earlier night's photos; return what has become of those.
    """
    ids, vector_ND, distance_NN = photos
    keywords = _keywords(lake, splits, ids)
    top = top_keywords(keywords)
    tried = settings(distance_NN, params.min_samples, params.min_cluster_sizes, params.radius_quantiles)
    found = sweep(distance_NN, tried, [top.get(photo_id) for photo_id in ids], vector_ND.shape[1])
    chosen = choose_setting(found)
    label_N = np.full(len(ids), OUTLIER) if chosen is None else found[chosen].label_N
    fate = None
    if before is not None:
        before_N = np.array([before.get(photo_id, ABSENT) for photo_id in ids], np.int64)
        label_N, new = numbered_as_before(label_N, before_N)
        kept = len(set(label_N.tolist()) - {OUTLIER}) - len(new)
        fate = ClusterFate(kept=kept, new=tuple(new), gone=len(set(before.values()) - {OUTLIER}) - kept)
    rows = []
    for number, one in enumerate(found):
        figures = {name: getattr(one, name) for name in _FIGURES}
        figures |= {name: None if math.isnan(value) else value for name, value in figures.items()}
        of_rule = {"is_within_limits": one.is_within_limits, "is_chosen": number == chosen}
        rows.append(asdict(one.setting) | figures | of_rule)
    staged.write_table("sweep", _frame("sweep", rows))
    x_N, y_N = layout.map_N2.T
    staged.write_table(
        "points",
        pl.DataFrame(
            {
                "photo_id": ids,
                "x": x_N,
                "y": y_N,
                "placed": layout.placed,
                "cluster": label_N,
                "typicality": typicality(vector_ND, label_N),
            }
        ),
    )
    telling = telling_keywords(label_N, [frozenset(keywords[one]) for one in ids], params.keyword_count)
    staged.write_table("keywords", _frame("keywords", [asdict(one) for one in telling]))
    return fate


_FIGURES = ("cluster_count", "outlier_share", "largest_share", "silhouette", "dbcv", "agreement", "purity")


def _frame(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = pl.DataFrame(PHOTO_MAP.table(table).schema.empty_table()).schema
    return pl.DataFrame(rows, schema=schema, orient="row")
