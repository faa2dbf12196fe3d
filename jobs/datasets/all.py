"""All datasets, for what looks at the whole lake, and each by its name."""

from __future__ import annotations

from jobs.datasets.backtest import BACKTEST, NEXT_DAY
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.evaluation import DRIFT, EVALUATION, PHOTO_MAP, RECOMMENDATION, SIMILAR
from jobs.datasets.features import IMPRESSIONS, LEAK_AUDIT, SPLITS
from jobs.datasets.indexes import INDEX_CHECK, PHOTO_INDEX
from jobs.datasets.models import BASE_MODEL, CHAMPION, REGISTRATION, RERANKER, SEARCH_MODELS, VARIANT
from jobs.datasets.releases import GATE, LIVE_DAY, RELEASE
from jobs.datasets.reports import ABLATION, REPORT, RETRAINING
from jobs.datasets.schema import Dataset

ALL = (
    VALIDATED,
    IMAGES,
    SPLITS,
    LEAK_AUDIT,
    IMPRESSIONS,
    BASE_MODEL,
    SEARCH_MODELS,
    CHAMPION,
    LIVE_DAY,
    PHOTO_EMBEDDINGS,
    QUERY_EMBEDDINGS,
    DRIFT,
    PHOTO_MAP,
    REGISTRATION,
    PHOTO_INDEX,
    INDEX_CHECK,
    RELEASE,
    RERANKER,
    EVALUATION,
    SIMILAR,
    RECOMMENDATION,
    GATE,
    REPORT,
    VARIANT,
    ABLATION,
    RETRAINING,
    NEXT_DAY,
    BACKTEST,
)


def named(name: str) -> Dataset:
    """Return a dataset by its name; `KeyError` if there is none.

    >>> named("splits").layer
    'features'
    """
    return {dataset.name: dataset for dataset in ALL}[name]
