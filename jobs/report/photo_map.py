"""How the photos lie: their map by cluster, the settings tried, and of every cluster its words and its photos.

Without a script: what a pointer shows over the map, the contact sheets below show to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.datasets.clean import IMAGES
from jobs.datasets.evaluation import PHOTO_MAP, MapFacts, PhotoMapFacts
from jobs.datasets.features import SPLITS
from jobs.report import formats
from jobs.report.arms import arm
from jobs.report.inputs import Night
from jobs.report.photos import read_pictures
from jobs.report.run_facts import Fact
from jobs.report.sprites import Sheet, sheet
from models.mapping.plane import spread_out
from models.mapping.validity import OUTLIER

COLOURED = 12
"""Clusters that have a colour of their own, the first by number; the style sheet has as many."""
SHOWN_FIRST = 24
PER_CLUSTER, OUTLIERS_SHOWN = 6, 16
SIZE = 1000
"""Width of the map in units of its drawing."""
_MARGIN = 14
_MOST_HEIGHT = 1100
_LONGEST = 60


@dataclass(frozen=True)
class Point:
    """A photo on the map. `tile` is its place in the sheet, None where its picture is not shown."""

    x: float
    y: float
    css: str
    note: str
    tile: str | None


@dataclass(frozen=True)
class Tile:
    """A photo of a contact sheet."""

    alt: str
    tile: str | None


@dataclass(frozen=True)
class Cluster:
    """One cluster, or the outliers (`number` 0). Its mark stands at (x, y) of the map."""

    number: int
    css: str
    is_coloured: bool
    is_new: bool
    words: str
    count: str
    share: str
    bar: float
    x: float
    y: float
    photos: tuple[Tile, ...]


@dataclass(frozen=True)
class SweepRow:
    """One setting and what it gave."""

    method: str
    setting: str
    figures: tuple[str, ...]
    is_chosen: bool
    is_within_limits: bool


@dataclass(frozen=True)
class PhotoMap:
    """The section."""

    lead: str
    comparison: str
    facts: tuple[Fact, ...]
    height: float
    sheet: Sheet
    points: tuple[Point, ...]
    clusters: tuple[Cluster, ...]
    more_clusters: tuple[Cluster, ...]
    outliers: Cluster | None
    sweep: tuple[SweepRow, ...]
    rule: str


def photo_map(night: Night, picture_count: int) -> PhotoMap | None:
    """Return the section, or None where there is no map; at most `picture_count` photos are shown as pictures."""
    facts = night.facts(PhotoMapFacts).map
    if facts is None:
        return None
    points, height = _scaled(night.table(PHOTO_MAP, "points").with_row_index("row"))
    words: dict[int, list[str]] = {}
    for cluster, keyword in night.table(PHOTO_MAP, "keywords", ["cluster", "keyword"]).iter_rows():
        words.setdefault(cluster, []).append(keyword)
    typical = _typical(points)
    sheets = [typical.get(OUTLIER, []), *(rows for cluster, rows in typical.items() if cluster != OUTLIER)]
    on_sheets = [row for rows in sheets for row in rows][:picture_count]
    rows = spread_out(points.select("x", "y").to_numpy(), picture_count, on_sheets)
    shown = points["photo_id"].gather(rows).to_list()
    splits, images = night.manifest(SPLITS), night.manifest(IMAGES)
    alts, pictures = read_pictures(night.ctx.lake, splits, images, points["photo_id"].to_list(), shown)
    tiles = sheet(pictures)
    new = () if facts.clusters is None else facts.clusters.new
    clusters = [
        _cluster(number, points, number in new, words.get(number, []), rows, alts, tiles)
        for number, rows in typical.items()
    ]
    largest = max((one.bar for one in clusters if one.number), default=1.0)
    clusters = [_with_bar(one, largest) for one in clusters]
    numbered = [one for one in clusters if one.number]
    return PhotoMap(
        lead=_lead(facts, numbered, points),
        comparison=_comparison(facts),
        facts=_facts(facts),
        height=height,
        sheet=tiles,
        points=tuple(_point(row, alts, tiles) for row in points.iter_rows(named=True)),
        clusters=tuple(numbered[:SHOWN_FIRST]),
        more_clusters=tuple(numbered[SHOWN_FIRST:]),
        outliers=next((one for one in clusters if not one.number), None),
        sweep=tuple(_sweep_row(row) for row in night.table(PHOTO_MAP, "sweep").iter_rows(named=True)),
        rule=facts.rule,
    )


def _scaled(points: pl.DataFrame) -> tuple[pl.DataFrame, float]:
    """Return the points in units of the drawing, both axes by one factor and up being up, and the drawing's height."""
    low, high = points.select("x", "y").min().to_numpy()[0], points.select("x", "y").max().to_numpy()[0]
    wide, tall = (float(reach) or 1.0 for reach in high - low)
    factor = min((SIZE - 2 * _MARGIN) / wide, (_MOST_HEIGHT - 2 * _MARGIN) / tall)
    height = round(tall * factor + 2 * _MARGIN, 1)
    middle = (low + high) / 2
    scaled = points.with_columns(
        x=(SIZE / 2 + (pl.col("x") - middle[0]) * factor).round(1),
        y=(height / 2 - (pl.col("y") - middle[1]) * factor).round(1),
    )
    return scaled, height


def _typical(points: pl.DataFrame) -> dict[int, list[int]]:
    """Return the rows of each contact sheet: of a cluster the most typical, of the outliers the most alone.

    The largest cluster comes first, the outliers last.
    """
    found, size = {}, {}
    for (cluster,), rows in points.group_by("cluster", maintain_order=True):
        is_outlier = cluster == OUTLIER
        ordered = rows.sort("typicality", "photo_id", descending=[not is_outlier, False])
        found[int(str(cluster))] = ordered["row"].head(OUTLIERS_SHOWN if is_outlier else PER_CLUSTER).to_list()
        size[int(str(cluster))] = len(rows)
    return {one: found[one] for one in sorted(found, key=lambda one: (one == OUTLIER, -size[one], one))}


def _css(cluster: int) -> str:
    if cluster == OUTLIER:
        return "k-none"
    return f"k-{cluster + 1}" if cluster < COLOURED else "k-more"


def _cluster(
    number: int,
    points: pl.DataFrame,
    is_new: bool,
    words: list[str],
    rows: list[int],
    alts: dict[str, str],
    tiles: Sheet,
) -> Cluster:
    total, points = len(points), points.filter(cluster=number)
    ids = dict(points.select("row", "photo_id").iter_rows())
    photos = tuple(Tile(alts[ids[row]], tiles.position(ids[row])) for row in rows)
    x, y = (float(points[axis].median()) for axis in "xy")  # type: ignore[arg-type]
    count = len(points)
    return Cluster(
        number=number + 1,
        css=_css(number),
        is_coloured=number < COLOURED,
        is_new=is_new,
        words=", ".join(words) or "no word tells it apart",
        count=formats.count(count),
        share=formats.percent(count / total),
        bar=float(count),
        x=round(x, 1),
        y=round(y, 1),
        photos=photos,
    )


def _with_bar(cluster: Cluster, largest: float) -> Cluster:
    values = cluster.__dict__ | {"bar": round(100 * min(1.0, cluster.bar / largest), 1)}
    return Cluster(**values)


def _point(row: dict[str, Any], alts: dict[str, str], tiles: Sheet) -> Point:
    alt = alts[row["photo_id"]]
    where = "no cluster" if row["cluster"] == OUTLIER else f"cluster {row['cluster'] + 1}"
    words = alt if len(alt) <= _LONGEST else alt[: _LONGEST - 1] + "…"
    return Point(row["x"], row["y"], _css(row["cluster"]), f"{words} · {where}", tiles.position(row["photo_id"]))


def _lead(facts: MapFacts, clusters: list[Cluster], points: pl.DataFrame) -> str:
    count, corpus = facts.photo_count, facts.corpus_photo_count
    of = f"{formats.count(count)} photos" if count == corpus else f"a sample of {formats.count(count)} photos"
    whole = "" if count == corpus else f" of {formats.count(corpus)}"
    share = int((points["cluster"] == OUTLIER).sum()) / len(points)
    found = (
        f"{len(clusters)} clusters hold {formats.percent(1 - share, 0)} of them, {formats.percent(share, 0)} lie alone"
        if clusters
        else "no setting found two clusters among them"
    )
    return (
        f"Each dot is one of {of}{whole}, as {arm(facts.arm).name} sees them: photos that lie together are alike to "
        f"it. {found}. The distance between two groups says little."
    )


def _comparison(facts: MapFacts) -> str:
    if facts.kind == "new":
        of_map = f"A new map: {facts.why}. Later nights of the same model are laid onto it."
    else:
        placed = facts.placed
        kept, new = placed.get("kept", 0), placed.get("projected", 0)
        of_map = (
            f"The map of {facts.map_run_date}: {formats.count(kept)} photos lie where they lay, "
            f"{formats.count(new)} that are new or have changed were laid onto it."
        )
    fate = facts.clusters
    if fate is None:
        return of_map
    return (
        f"{of_map} Clusters are found anew every night; one that shares more than half of its photos with one of "
        f"{facts.earlier_run_date} keeps its number and colour: {fate.kept} do, {len(fate.new)} are new, "
        f"{fate.gone} of that night are gone."
    )


def _facts(facts: MapFacts) -> tuple[Fact, ...]:
    return (
        Fact("Model", facts.model_digest[:12], is_code=True),
        Fact("Of a photo's 10 nearest, near on the map", formats.percent(facts.neighbours_kept, 0)),
        Fact("Neighbours a photo holds on to (perplexity)", f"{facts.perplexity:g}"),
        Fact("Map and clusters made in", formats.duration(facts.seconds)),
    )


def _sweep_row(row: dict[str, Any]) -> SweepRow:
    setting = (
        f"at least {row['min_cluster_size']} photos, {row['min_samples']} make it dense, "
        f"{'lasting' if row['selection'] == 'eom' else 'smallest'} clusters"
        if row["method"] == "hdbscan"
        else f"{row['min_samples']} photos within {row['radius']:.3f} ({formats.percent(row['quantile'], 0)} are dense)"
    )
    return SweepRow(
        method=row["method"].upper(),
        setting=setting,
        figures=(
            formats.count(row["cluster_count"]),
            formats.percent(row["outlier_share"], 0),
            formats.percent(row["largest_share"], 0),
            formats.score(row["silhouette"]).replace("-", "\N{MINUS SIGN}"),
            formats.score(row["dbcv"]).replace("-", "\N{MINUS SIGN}"),
            formats.score(row["agreement"]).replace("-", "\N{MINUS SIGN}"),
            formats.percent(row["purity"], 0),
        ),
        is_chosen=row["is_chosen"],
        is_within_limits=row["is_within_limits"],
    )
