"""How the photos lie: their map by cluster, the settings tried, and of every cluster its words and its photos.

Without a script: what a pointer shows over the map, the contact sheets below show to everybody.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.datasets.evaluation import PHOTO_MAP, PhotoMapFacts
from jobs.report.inputs import Night
from jobs.report.names import arm
from jobs.report.photos import read_pictures
from jobs.report.sprites import sheet
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


def photo_map(night: Night, picture_count: int) -> dict[str, Any] | None:
    """Return the section, or None where there is no map; at most `picture_count` photos are shown as pictures."""
    facts = night.facts(PhotoMapFacts).map
    if facts is None:
        return None
    points, height = _scaled(night.table(PHOTO_MAP, "points").with_row_index("row"))
    typical = _typical(points)
    on_sheets = [*typical.get(OUTLIER, []), *(row for key, rows in typical.items() if key != OUTLIER for row in rows)]
    rows = spread_out(points.select("x", "y").to_numpy(), picture_count, on_sheets[:picture_count])
    ids = points["photo_id"].to_list()
    alts, pictures = read_pictures(night, ids, [ids[row] for row in rows])
    tiles = sheet(pictures)
    photos = [
        {"alt": alts[photo_id], "words": _shortened(alts[photo_id]), "tile": tiles.position(photo_id)}
        for photo_id in ids
    ]
    keywords = night.table(PHOTO_MAP, "keywords", ["cluster", "keyword"])
    clusters = [
        _cluster(number, points.filter(cluster=number), keywords.filter(cluster=number))
        | {"photos": [photos[row] for row in rows]}
        for number, rows in typical.items()
    ]
    numbered = [one for one in clusters if one["number"]]
    return {
        "facts": facts,
        "arm": arm(facts.arm),
        "height": height,
        "sheet": tiles,
        "points": [
            row | photo | {"css": _css(row["cluster"]), "note": f"{photo['words']} · {_name(row['cluster'])}"}
            for row, photo in zip(points.iter_rows(named=True), photos, strict=True)
        ],
        "clusters": numbered[:SHOWN_FIRST],
        "more_clusters": numbered[SHOWN_FIRST:],
        "largest": max((one["count"] for one in numbered), default=1),
        "outliers": next((one for one in clusters if not one["number"]), None),
        "sweep": night.table(PHOTO_MAP, "sweep").fill_nan(None).to_dicts(),
    }


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


def _cluster(number: int, points: pl.DataFrame, keywords: pl.DataFrame) -> dict[str, Any]:
    """Return one cluster, or the outliers (`number` 0). Its mark stands at (x, y) of the map."""
    x, y = (round(float(points[axis].median()), 1) for axis in "xy")  # type: ignore[arg-type]
    return {
        "number": number + 1,
        "css": _css(number),
        "is_coloured": number < COLOURED,
        "words": ", ".join(keywords["keyword"]) or "no word tells it apart",
        "count": len(points),
        "x": x,
        "y": y,
    }


def _name(cluster: int) -> str:
    return "no cluster" if cluster == OUTLIER else f"cluster {cluster + 1}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
