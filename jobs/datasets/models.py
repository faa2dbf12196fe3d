"""Checkpoints: base, search arms, champion, reranker, variants, and their registration."""

from __future__ import annotations

from typing import ClassVar, Literal

from jobs.datasets.embeddings import _PHOTO_VECTORS
from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Facts, Table, schema

BASE_MODEL = Dataset("base_model", "models", (Table("curves", schema(arm=STR, step=I64, name=STR, value=F64)),))
"""Files: zero_shot/** (a SearchModel folder). Facts: base_key, trained_until, model_digest."""


SEARCH_MODELS = Dataset("search_models", "models", (Table("curves", schema(arm=STR, step=I64, name=STR, value=F64)),))
"""Files: <arm>/** for every arm, zero_shot included. Facts: arms {arm: {model_digest, ...}}, challenger."""


CHAMPION = Dataset("champion", "models")
"""Files: champion.json and, if there is a champion, champion/** (a SearchModel folder).

Facts: version, None without a champion; with one also model_name, model_digest, arm, trained_until, run_date.
"""


REGISTRATION = Dataset("registration", "models")
"""Files: registration.json. Facts: model_name, version, arm, model_digest, mlflow_run_id, tracking_uri, run_page."""


class EventsCheck(Facts):
    """That all of `event_count` conversions that features are made from lie before `cutoff`."""

    check: str
    status: Literal["passed"]
    event_count: int
    cutoff: str


class LearnedOrder(Facts):
    """What the reranker learned, and the hit rates at 10 of the held-out visitors before and after it reorders."""

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    best_round: int
    rounds: int
    held_out_search_count: int
    held_out_hit_rate_before: float
    held_out_hit_rate_after: float
    seconds: float


class RerankerFacts(Facts):
    """What the reranker learned from, and when. `note` says why it learned nothing; it is empty if it did.

    Candidates come from `base_arm`; `arms` are all whose scores are features, that one first. Features know what lies
    before `cutoff`, the searches lie before `trained_until`. In `learnable_search_count` of `search_count` searches the
    photo converted is among the candidates. `feature_names` and `checks` are empty without a validation window.
    """

    base_arm: str
    arms: tuple[str, ...]
    cutoff: str
    trained_until: str
    search_count: int
    learnable_search_count: int
    note: str = ""
    feature_names: tuple[str, ...] = ()
    checks: tuple[EventsCheck, ...] = ()
    learned: LearnedOrder | None = None


RERANKER = Dataset(
    "reranker",
    "models",
    (  # empty where there were too few searches to learn from
        Table("importances", schema(feature=STR, gain=F64, split=I64), may_be_empty=True),
        Table("curves", schema(searches=STR, step=I64, name=STR, value=F64), may_be_empty=True),
    ),
    RerankerFacts,
)
"""Files: reranker.txt (the text model of LightGBM)."""


VARIANT = Dataset(
    "variant",
    "models",
    (
        Table("ranks", schema(query_id=I64, rank=I32)),
        Table("curves", schema(arm=STR, step=I64, name=STR, value=F64), may_be_empty=True),
        Table("embeddings", _PHOTO_VECTORS),  # `arm` is the variant
    ),
)
"""One variant of the ablation, trained once: partitions also by variant and repeat. Facts: how training went."""
