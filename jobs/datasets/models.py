"""Checkpoints: base, search arms, champion, reranker, variants, and their registration."""

from __future__ import annotations

from jobs.datasets.embeddings import _PHOTO_VECTORS
from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Table, schema

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


RERANKER = Dataset(
    "reranker",
    "models",
    (  # empty where there were too few searches to learn from
        Table("importances", schema(feature=STR, gain=F64, split=I64), may_be_empty=True),
        Table("curves", schema(searches=STR, step=I64, name=STR, value=F64), may_be_empty=True),
    ),
)
"""Files: reranker.txt (the text model of LightGBM). Facts: note (why nothing was learned; empty if it was), base_arm,
arms, cutoff, trained_until, counts, held-out hit rates before and after, checks.
"""


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
