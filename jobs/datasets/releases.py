"""What may go live, the gate's verdict on it, and how what is live answers a day that it cannot know."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from pydantic import ConfigDict

from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.embeddings import _EXEMPLAR, EXEMPLARS
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.schema import F32, I32, STR, Dataset, Facts, Table, schema
from models.gates import Champion, Difference, Drift, Outcome


class Lead(Facts):
    """A method's hit rate@10 less that of `popularity`, with its 95 % interval."""

    difference: float
    low: float
    high: float


class ReleasedRecommender(Facts):
    """The method that recommends in a release, or why there is none: `note` is empty if there is one.

    `best` had the night's highest hit rate@10. It is the `method` if the whole interval of its `lead` is above 0, else
    that is popularity. `lead` is None where popularity itself is the best. `visitor_count` visitors have a list.
    """

    note: str = ""
    method: str = ""
    best: str = ""
    lead: Lead | None = None
    visitor_count: int = 0


class ReleaseFacts(Facts):
    """The digest of the model that is in the release, which arm it is, and what recommends."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # those of earlier versions also name a registered version

    model_digest: str
    arm: str
    recommender: ReleasedRecommender = ReleasedRecommender(note="the release is of before recommenders were released")


LISTS = "recommendations"
RELEASE = Dataset(
    "release",
    "releases",
    (
        *PHOTO_INDEX.tables,
        HIDDEN_TABLE,
        Table(EXEMPLARS, schema(**_EXEMPLAR), may_be_empty=True),
        # what to show visitors next, as of the night's end: best first from position 1, visitor by visitor
        Table(LISTS, schema(visitor_id=STR, position=I32, photo_id=STR, score=F32), may_be_empty=True),
    ),
    ReleaseFacts,
)
"""What is published as one: the whole search and the recommender of a night. Links are model, index, reranker, what the
released methods of recommendation learned, id map and which photos must not be shown; its own are the tables of the
search, the exemplars, by which a picture without keywords is searched, and the lists of visitors.

Files: release.json (what belongs together, with digests), model/** (a SearchModel folder, its config and keyword
vocabulary among it), index/** (the FAISS shards), search/** (arrays, see `models.rerank.live`), reranker/*.txt (none
where there was too little to learn an order from), recommender/** (see `jobs.recommending.released`; none where the
night evaluated no recommender).
"""


class ReleaseName(Facts):
    """A release in the lake, and the version of the registered model that it is."""

    run_date: date
    run_id: str
    version: int

    @property
    def partition(self) -> dict[str, str]:
        """Where in the lake it is."""
        return {"run_date": self.run_date.isoformat()}

    def __str__(self) -> str:
        return f"{self.run_date}/{self.run_id}"


class GateFigures(Facts):
    """What a decision on the release rests on.

    `metric` is the main one with its cutoff, `value` the challenger's, `difference` its lead over the arm that it is
    `compared_with`. `champion` is as in `models.gates.Evidence`.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"latency_p99_milliseconds"})

    metric: str
    compared_with: str
    champion: Champion
    value: float
    difference: Difference
    index_recall: float
    latency_p99_milliseconds: float
    drift: Drift


class ReadingCosts(Facts):
    """What a release costs its reader, one process of this machine with its libraries loaded.

    Opening maps files and checks digests, without the model. `memory_mb` (MiB) is of a process that opens it so and
    searches; None of a night that did not measure it. Latencies are of single searches, from words to photos, the rate
    is of searches in one batch. `bytes_per_photo` are those of the files that are mapped, index and tables.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset(
        {
            *("open_seconds", "memory_mb", "latency_p50_milliseconds", "latency_p99_milliseconds"),
            "batch_searches_per_second",
        }
    )

    open_seconds: float
    bytes_per_photo: float
    memory_mb: float | None = None
    latency_p50_milliseconds: float
    latency_p99_milliseconds: float
    batch_searches_per_second: float


class GateFacts(Facts):
    """The verdict on a release, in a word, in a sentence, and by the reasons that stand in the way.

    The hit rates at 10 are of the same
    `read_search_count` test searches: `evaluated_hit_rate` is the evaluation's, `read_hit_rate` what the opened release
    finds with the tables of that time.
    """

    outcome: Outcome
    sentence: str
    reasons: tuple[str, ...]
    release: ReleaseName
    figures: GateFigures
    costs: ReadingCosts
    read_search_count: int
    read_hit_rate: float
    evaluated_hit_rate: float


GATE = Dataset(
    "gate",
    "releases",
    (Table("findings", schema(check=STR, outcome=STR, figure=STR, limit=STR, reason=STR)),),
    GateFacts,
)
"""Whether a night's candidate may go live."""


class LiveFigures(Facts):
    """How a release answered `search_count` searches of a day: the hit rate at 10 with its 95 % interval.

    `unknown_photo_share` is the share of the searches whose photo the release does not know: they count as missed.
    """

    search_count: int
    visitor_count: int
    hit_rate_at_10: float
    low: float
    high: float
    unknown_photo_share: float


class LiveDayFacts(Facts):
    """How the release that was live answers the searches of a day that began after it was made.

    `release` is None if none was published. Of the day's `day_search_count` searches those of some visitors are asked.
    `measured` is None where nothing was, and `note` says why.
    """

    day: date
    release: ReleaseName | None
    day_search_count: int
    note: str = ""
    measured: LiveFigures | None = None


LIVE_DAY = Dataset(
    "live_day",
    "reports",
    (
        Table(
            "ranks",  # of the photo taken, in the first 25; beyond them, as in other tables of ranks, the largest int32
            schema(query=STR, country=STR, photo_id=STR, rank=I32),
            may_be_empty=True,  # where nothing was measured
        ),
    ),
    LiveDayFacts,
)
"""The live release on the last day of the night's log."""
