"""What the methods of a night learned, as `evaluate_recommenders` kept it: found and opened, never changed."""

from __future__ import annotations

from datetime import date

import polars as pl

from jobs.datasets.evaluation import RECOMMENDATION, RecommendationFacts
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.recommend.interface import Fitted
from models.recommend.protocols import TEMPORAL
from models.recommend.saving import load
from models.search.errors import ModelError

_LEARNED = "models"
_MAKE = "Run evaluate_recommenders of that night"


def learned_folder(name: str) -> str:
    """Return where among a run's files what a method has learned is."""
    return f"{_LEARNED}/{name}"


def night_of(lake: Lake, run_date: date | None) -> Manifest:
    """Return a night's run; `MissingInput` if there is none, or none in which methods were kept."""
    nights = {one.partition["run_date"]: one for one in lake.history(RECOMMENDATION)}
    if not nights:
        raise MissingInput(
            "no_night_yet",
            f"no night below {lake.root} has recommendations. Run one to its end: make nightly",
            lake=str(lake.root),
        )
    name = max(nights) if run_date is None else run_date.isoformat()
    if name not in nights:
        raise MissingInput(
            "no_such_night",
            f"the night of {name} has no recommendations below {lake.root}. There are: {', '.join(nights)}.",
            run_date=name,
            nights=list(nights),
        )
    if not kept_methods(nights[name]):
        reason = RecommendationFacts.of(nights[name]).note or "all had too little to learn from"
        raise MissingInput(
            "no_method_kept",
            f"{nights[name].reference} holds no method ({reason}). {_MAKE} again, or name another night.",
            run=nights[name].reference,
        )
    return nights[name]


def kept_methods(night: Manifest) -> list[str]:
    """Return the methods that are kept."""
    return sorted({name.split("/")[1] for name in night.files if name.startswith(f"{_LEARNED}/")})


def best_method(lake: Lake, night: Manifest) -> tuple[str, str]:
    """Return the method that is best by the night's own protocol, and a sentence that says so."""
    best = hit_rates(lake, night, "metrics").filter(pl.col("arm").is_in(kept_methods(night)))
    best = best.sort("value", "arm", descending=[True, False])
    if best.is_empty():
        raise MissingInput(
            "no_method_measured",
            f"{night.reference} measured none of the methods that it holds. {_MAKE} again, or give --method.",
            run=night.reference,
        )
    arm, value = best.select("arm", "value").row(0)
    return arm, f"{arm} had the night's highest hit rate@10, {value:.3f}."


def hit_rates(lake: Lake, night: Manifest, table: str) -> pl.DataFrame:
    """Return the rows about hit rate@10 of all visitors by the night's own protocol, of `metrics` or `comparisons`."""
    return lake.read_table(night, table).filter(
        protocol=TEMPORAL, segment_kind="all", segment="all", metric="hit_rate", k=10
    )


def open_method(lake: Lake, night: Manifest, name: str) -> Fitted:
    """Return what a method learned; `MissingInput` if it is not kept, `BadInput` if it is damaged."""
    if name not in kept_methods(night):
        note = RecommendationFacts.of(night).notes.get(f"{TEMPORAL}/{name}")
        reason = f" (left out: {note})" if note else ""
        raise MissingInput(
            "no_such_method",
            f"{night.reference} holds no method {name!r}{reason}. It holds {', '.join(kept_methods(night))}.",
            method=name,
            methods=list(kept_methods(night)),
        )
    folder = learned_folder(name)
    for file, info in night.files.items():
        if file.startswith(f"{folder}/"):
            lake.verify(info)
    with lake.local_folder(night, folder) as local:
        try:
            return load(local)
        except ModelError as error:
            raise BadInput(
                "damaged_model",
                f"{name} of {night.reference} cannot be opened: {error} {_MAKE} again.",
                run=night.reference,
                method=name,
            ) from error
