"""Which photos a window's searches could be shown, and which photos are one picture: read once, the same for all arms.

The list of hidden photos says what is hidden tonight, not since when. A photo that somebody took was shown to them, so
it counts as hidden from right after its last conversion (for a country: the last from there); one that nobody took
counts as never shown. So no search's own photo is hidden from it, and no photo hidden before a search is its candidate,
unless visitors took it later. Only conversions until the window's end are looked at.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.features import SplitsFacts
from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Availability, Ints

_ALWAYS, _NEVER = (int(bound) for bound in (np.iinfo(np.int64).min, np.iinfo(np.int64).max))


def read_availability(lake: Lake, inputs: dict[str, Manifest], task: Task) -> Availability:
    """Return what the task's searches could be shown; equal pictures are told by the digest of their image.

    Texts of countries that no rule names are of group 0, and so are those without a country.
    """
    rules = _rules(lake, inputs, task)
    countries = rules["country"].drop_nulls().unique().sort().to_list()
    places = rules["place"].unique().sort()
    hidden_at_GH = np.stack([_hidden_at(rules, country, places) for country in [None, *countries]])
    group_of = {country: group for group, country in enumerate(countries, start=1)}
    return Availability(
        since=task.available_at,
        hidden=integers(places),
        hidden_at=hidden_at_GH,
        group=np.array([group_of.get(country, 0) for country in task.texts["country"]], dtype=np.int64),
        picture=picture_numbers(lake, inputs["images"], task.photos),
    )


def picture_numbers(lake: Lake, images: Manifest, photos: pl.DataFrame) -> Ints:
    """Return the number of each photo's picture, as `Availability` has it: equal ones are told by their digest."""
    digests = lake.read_table(images, "images", ["photo_id", "sha256"]).unique("photo_id")
    found = photos.join(digests, on="photo_id", how="left", maintain_order="left")
    return integers(found["sha256"].rank("dense").cast(pl.Int64).fill_null(-1))


def _rules(lake: Lake, inputs: dict[str, Manifest], task: Task) -> pl.DataFrame:
    """Return the rules about photos of the task: place, country (null: everywhere), last_at (null: never taken)."""
    rules = lake.read_table(inputs["validated"], HIDDEN_TABLE.name, ["photo_id", "country"])
    rules = rules.join(task.photos.select("photo_id", "place"), on="photo_id").unique(["photo_id", "country"])
    end = SplitsFacts.of(inputs["splits"]).windows[task.window][1]
    log = pl.scan_parquet(lake.table_uris(inputs["validated"], "conversions"))
    of_hidden = pl.col("photo_id").is_in(rules["photo_id"].unique().implode())
    taken = log.filter(of_hidden, pl.col("converted_at") < end).group_by("photo_id", "country")
    last = taken.agg(pl.col("converted_at").max().alias("last_at")).collect()
    anywhere = last.group_by("photo_id").agg(pl.col("last_at").max(), country=pl.lit(None, pl.String))
    last = pl.concat([last.drop_nulls("country"), anywhere.select(last.columns)])
    return rules.join(last, on=["photo_id", "country"], how="left", nulls_equal=True)


def _hidden_at(
    rules: pl.DataFrame, country: str | None, places: pl.Series
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return from when each of the places, shape (H,), is hidden from searches of a country; None is of no country."""
    meant = rules.filter(pl.col("country").is_null() | pl.col("country").eq_missing(pl.lit(country)))
    right_after = pl.col("last_at").cast(pl.Int64).fill_null(_ALWAYS) + 1
    first = meant.group_by("place").agg(right_after.min().alias("hidden_at"))
    asked = places.to_frame("place").join(first, on="place", how="left", maintain_order="left")
    return integers(asked["hidden_at"].fill_null(_NEVER))
