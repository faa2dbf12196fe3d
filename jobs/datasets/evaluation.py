"""What the evaluations find: ranks, metrics, comparisons, drift, the map of photos."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from jobs.datasets.models import EventsCheck, Reach
from jobs.datasets.schema import BOOL, F64, I32, I64, STR, VECTOR, Dataset, Facts, Table, schema
from models.gates import Difference


class UnseenFacts(Facts):
    """How many searches a window has, and the shares of them whose query, or country, training never had."""

    search_count: int
    query_share: float
    country_share: float


class NewQueriesFacts(Facts):
    """The share of the last day's searches whose query training never had, and its mean on the days before.

    `p_value` is how probable a share as high is among days like these.
    """

    share: float
    usual: float
    p_value: float


class LowDayFacts(Facts):
    """The lowest of the last seven days: its conversions, what is usual for its weekday, and how surely it is lower.

    `drop` is the share by which it lies below; `p_value` is adjusted for the seven days.
    """

    day: date
    count: float
    usual: float
    drop: float
    p_value: float


class ConversionsFacts(Facts):
    """Conversions a day: in the last week, and in the weeks before it.

    `drop` is the share by which the last week lies below those before, `per_week` what the log's trend gains in a week,
    relative to its mean. All but `last_week` are None where the log is too short.
    """

    last_week: float
    before: float | None
    drop: float | None
    per_week: float | None
    low_day: LowDayFacts | None


class DriftFacts(Facts):
    """How the newest searches, photos and conversions differ from those before.

    `unseen` is about the test window, `unseen_before` about the validation window, None without one. `last_day_count`
    are the searches of the day before the night's `as_of`; `new_queries` is None where too few days are before it.
    `arm` names whose vectors are compared. `not_compared` says of what vectors there is nothing before, and why.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    unseen: UnseenFacts
    unseen_before: UnseenFacts | None
    last_day_count: int
    new_queries: NewQueriesFacts | None
    conversions: ConversionsFacts
    arm: str
    not_compared: dict[str, str]
    seconds: float


DRIFT = Dataset(
    "drift",
    "reports",
    (
        Table("days", schema(conversion_date=pa.date32(), conversion_count=I64, trend=F64)),
        Table(
            "newest",  # vectors of the newest period against those of the periods before, by one model
            schema(
                vectors=STR,  # searches of the last day | photos of the last week
                count=I64,  # of the newest period
                past_count=I64,  # periods before
                mmd_squared=F64,
                usual=F64,  # the mean of the same distance of a period before from the others before
                furthest=F64,
                p_value=F64,
            ),
            may_be_empty=True,
        ),
    ),
    DriftFacts,
)


class ClusterFate(Facts):
    """What has become of an earlier map's clusters: how many are kept, which numbers are new, how many are gone."""

    kept: int
    new: tuple[int, ...]
    gone: int


class MapFacts(Facts):
    """One arm's photos in the plane, and their clusters.

    `photo_count` of the `corpus_photo_count` photos with a vector are laid out. `why` says why the map is of its kind.
    `earlier_run_date` is the night of the map that this one is projected onto or begins from, None without one;
    `map_run_date` the night that made the map. `placed` counts photos by how they got their place. `neighbours_kept` is
    the share of a photo's 10 nearest that are among its 10 nearest on the map. `rule` says how the clusters were
    chosen. `clusters` is None without an earlier map.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    arm: str
    model_digest: str
    dim: int
    photo_count: int
    corpus_photo_count: int
    kind: Literal["new", "projected"]
    why: str
    earlier_run_date: str | None
    map_run_date: str
    placed: dict[str, int]
    perplexity: float
    neighbours_kept: float
    rule: str
    clusters: ClusterFate | None
    seconds: float


class PhotoMapFacts(Facts):
    """The night's map, or None and why there is none; `note` is empty if there is one."""

    note: str = ""
    map: MapFacts | None = None


PHOTO_MAP = Dataset(
    "photo_map",
    "reports",
    (  # all empty where there is no map: see the fact note
        Table(
            "points",
            schema(
                photo_id=STR,
                x=F64,
                y=F64,
                placed=STR,  # fitted | kept (where an earlier map has it) | projected (onto an earlier map)
                cluster=I64,  # on a first night 0 is the largest, later a cluster keeps its number; -1: of none
                typicality=F64,  # cosine to the mean of its cluster; of none, to the nearest photo
            ),
            may_be_empty=True,
        ),
        # the map that further nights are projected onto: the photos it was fitted to, there and now
        Table("reference", schema(photo_id=STR, x=F64, y=F64, vector=VECTOR), may_be_empty=True),
        Table(
            "sweep",
            schema(
                method=STR,  # hdbscan | dbscan; what is null does not belong to it
                min_samples=I64,
                min_cluster_size=I64,
                selection=STR,
                quantile=F64,
                radius=F64,
                cluster_count=I64,
                outlier_share=F64,
                largest_share=F64,
                silhouette=F64,  # this and what follows: null where it is not defined
                dbcv=F64,
                agreement=F64,
                purity=F64,
                is_within_limits=BOOL,
                is_chosen=BOOL,
            ),
            may_be_empty=True,
        ),
        Table(
            "keywords",  # what tells a cluster apart, the strongest first
            schema(cluster=I64, keyword=STR, photo_count=I64, z_score=F64),
            may_be_empty=True,
        ),
    ),
    PhotoMapFacts,
)


_METRICS = schema(
    arm=STR,
    segment_kind=STR,  # all | country | photo_age | query_seen | query_frequency | query_trend | visitor | script
    segment=STR,
    metric=STR,  # hit_rate | map | mrr | ndcg | precision | recall | f1
    k=I32,
    value=F64,
    low=F64,
    high=F64,
    query_count=I64,
    cluster_count=I64,  # visitors, or in query_metrics distinct words
)


_COMPARISONS = schema(
    arm=STR,
    baseline=STR,
    metric=STR,
    k=I32,
    difference=F64,
    low=F64,
    high=F64,
    p_value=F64,  # two-sided; this and the interval are of one of all comparisons by this metric and k
    detectable=F64,  # minimum detectable effect at 80 % power, of this comparison alone
)


class VerdictFacts(Facts):
    """The challenger's difference to the arm that it is `compared_with`, by one metric at `k`.

    The challenger is what a release of the night would show. `is_better` is true if the whole 95 % interval from `low`
    to `high` lies above 0. A true difference of the size `detectable` would have been found in four of five such
    nights. `counting` are its differences to each baseline that counts or matches words.
    """

    challenger: str
    compared_with: str
    metric: str
    k: int
    difference: float
    low: float
    high: float
    detectable: float
    is_better: bool
    counting: dict[str, Difference]
    sentence: str


class ByQueryFacts(Facts):
    """The evaluation by query: how many queries there are, with how many words and judgements, and nDCG@10 by arm."""

    query_count: int
    words_count: int
    judgement_count: int
    ndcg_at_10: dict[str, float]
    intervals: str


class FrequencyCutsFacts(Facts):
    """From how many past searches a query is head or torso."""

    head_min_count: int
    torso_min_count: int


class TrendingFacts(Facts):
    """What fresh counts are worth: the hit rate@10 with counts refreshed every hour, less that of staler counts.

    `over_start` is the difference to counts of the window's beginning, `over_nightly` to counts refreshed once a day.
    Both are None where the arms are left out, and `note` says why.
    """

    note: str = ""
    over_start: Difference | None = None
    over_nightly: Difference | None = None
    sentence: str = ""


class PastFacts(Facts):
    """What it is worth to the reranked search to know what visitors took before the test window.

    Asked are the `search_count` searches of visitors who took something by then; `gains` are by metric, those of the
    search that knows it less those of the same search that does not.
    """

    search_count: int
    hit_rate_at_10: float
    hit_rate_at_10_without: float
    gains: dict[str, Difference]
    sentence: str


AS_SHOWN = "as_shown"
"""Stands for an arm in the table `off_policy`: the order in which the site showed its lists."""


class OffPolicyFacts(Facts):
    """What the log of what was shown says of orders of the same photos in the test window.

    Of `shown_list_count` lists for a query, `list_count` are for one that is ranked tonight and have two photos at
    places with a propensity. Of their photos `taken_count` were taken, worth `effective_count` visitors of equal
    weight. `unsupported_share` of what was taken stood elsewhere. `note` says why there are no figures.
    """

    note: str = ""
    shown_list_count: int = 0
    list_count: int = 0
    taken_count: int = 0
    unsupported_share: float = 0.0
    effective_count: float | None = None


class EvaluationFacts(Facts):
    """Who is better on the test window, and what was ranked.

    `test_query_count` of the window's `test_window_query_count` searches are ranked. `photos_without_vector` and
    `hit_rate_at_10` are by arm. `base_arm` is the one whose vectors the challenger finds by, `rival` the arm shown
    beside the challenger. `champion_version` is None where the live search is left out, and `champion_note` says why;
    `reranker_note` says so of the reranked arm. `past` is None without a reranker, and where no visitor has a past.
    `candidate_recall` is the share of searches whose photo any source of candidates names, and each of them; empty
    without a reranker. `seconds` are by step.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    test_query_count: int
    test_visitor_count: int
    test_window_query_count: int
    protocol: str
    corpus_photo_count: int
    photos_without_vector: dict[str, int]
    verdict: VerdictFacts
    base_arm: str
    rival: str
    hit_rate_at_10: dict[str, float]
    by_query: ByQueryFacts
    frequency_cuts: FrequencyCutsFacts
    champion_version: int | None
    champion_note: str
    reranker_note: str
    trending: TrendingFacts
    past: PastFacts | None = None
    off_policy: OffPolicyFacts = OffPolicyFacts()
    checks: tuple[EventsCheck, ...]
    candidate_recall: dict[str, float]
    tie_rule: str
    intervals: str
    seconds: dict[str, float]


EVALUATION = Dataset(
    "evaluation",
    "reports",
    (
        # A query is a conversion, its one relevant photo the one converted.
        Table("metrics", _METRICS),
        Table("comparisons", _COMPARISONS),
        Table(
            "segment_comparisons",  # the challenger less every other arm, slice by slice
            schema(
                arm=STR,
                baseline=STR,
                segment_kind=STR,
                segment=STR,
                metric=STR,
                k=I32,
                difference=F64,
                low=F64,  # of one of all slices
                high=F64,
                p_value=F64,
                detectable=F64,
                query_count=I64,
                cluster_count=I64,
            ),
        ),
        Table("ranks", schema(query_id=I64, arm=STR, rank=I32)),
        Table(
            "off_policy",  # lists that were shown, ordered by arms and as the site showed them (AS_SHOWN)
            schema(arm=STR, metric=STR, value=F64, low=F64, high=F64),
            may_be_empty=True,
        ),
        # A query is a distinct (query, country), relevant are all photos converted for it.
        Table("query_metrics", _METRICS),
        Table("query_comparisons", _COMPARISONS),
        Table(
            "judgements",
            schema(judgement_id=I64, query=STR, country=STR, photo_id=STR, visitor_count=I64),
        ),
        Table("judgement_ranks", schema(judgement_id=I64, arm=STR, rank=I32)),
        Table("queries", schema(query_id=I64, visitor_id=STR, query=STR, country=STR, photo_id=STR)),
        Table(
            "contact_sheet",
            schema(
                query=STR,
                country=STR,
                converted_photo_id=STR,
                arm=STR,
                position=I32,
                photo_id=STR,
                score=F64,
            ),
        ),
    ),
    EvaluationFacts,
)


class TruthFacts(Facts):
    """What a ground truth amounts to: photos with an answer, independent groups of them, and groups that photos share.

    `mean_relevant` is the mean number of answers, None without a photo that has one. `note` says why nothing was
    measured by this truth; it is empty if something was.
    """

    query_count: int
    cluster_count: int
    group_count: int
    mean_relevant: float | None
    note: str


class SimilarFacts(Facts):
    """Which arms and truths were evaluated, and on what. `note` says why all is left out; it is empty if it is not.

    `reads_keywords` are the arms that do. `hashed_count` photos have a perceptual hash, made by `hash_version`;
    `duplicate_count` are near duplicates of an earlier one. `seconds` are by step.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    arms: tuple[str, ...]
    challenger: str
    reads_keywords: tuple[str, ...]
    champion_note: str
    hash_version: str
    note: str = ""
    truths: dict[str, TruthFacts] = Field(default_factory=dict)
    photo_count: int = 0
    hidden_count: int = 0
    hashed_count: int = 0
    duplicate_count: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)


SIMILAR = Dataset(
    "similar",
    "reports",
    (  # all but `pictures` are empty where this evaluation is left out
        Table(
            "metrics",
            schema(
                truth=STR,  # co_conversion | keywords | collections
                arm=STR,
                metric=STR,
                k=I32,
                value=F64,
                low=F64,
                high=F64,
                query_count=I64,
                cluster_count=I64,  # photos of the same query, keyword or collection hang together
            ),
            may_be_empty=True,
        ),
        Table("comparisons", pa.schema([pa.field("truth", STR), *_COMPARISONS]), may_be_empty=True),
        Table(
            "queries",
            schema(truth=STR, photo_id=STR, relevant_count=I64, cluster=I64),
            may_be_empty=True,
        ),
        Table(
            "contact_sheet",
            schema(
                query_photo_id=STR,
                arm=STR,
                position=I32,
                photo_id=STR,
                score=F64,
                truths=pa.list_(STR),  # by which the photo is an answer
                alike=pa.list_(STR),  # near duplicates grouped with it
            ),
            may_be_empty=True,
        ),
        Table(
            "pictures",
            # the corpus; `duplicate_of` is the first photo of the group of near duplicates, the photo itself where it
            # is alone
            schema(photo_id=STR, sha256=STR, picture_hash=STR, duplicate_of=STR),
            may_be_empty=True,
        ),
    ),
    SimilarFacts,
)
"""Which photos are like a photo, by every arm."""


class ProtocolFacts(Facts):
    """How many visitors a protocol asks about, in how many trials, and how many conversions a trial learns from."""

    visitor_count: int
    trial_count: int
    log_count: int


class SampleFacts(Facts):
    """Whom methods learn from where the log is too large for it: how many visitors and conversions, of how many.

    Counted are the conversions before the test window.
    """

    visitor_count: int
    visitor_total: int
    conversion_count: int
    conversion_total: int


class RecommendationFacts(Facts):
    """Which methods were evaluated, by which protocols. `note` says why all is left out; it is empty if it is not.

    `arm` is the one whose photo vectors are compared. `notes` say why a method is left out, by protocol/method.
    `countries` are in the order in which methods number them. `reach` is what methods could learn from by the night's
    own protocol; `sample` says of whom, None if of all.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    arm: str
    methods: tuple[str, ...]
    note: str = ""
    protocols: dict[str, ProtocolFacts] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)
    countries: tuple[str, ...] = ()
    photo_count: int = 0
    reach: Reach | None = None
    sample: SampleFacts | None = None
    seconds: float = 0.0


_ASKED = {"protocol": STR, "segment_kind": STR, "segment": STR}


RECOMMENDATION = Dataset(
    "recommendation",
    "reports",
    (  # all are empty where this evaluation is left out
        Table(
            "metrics",
            schema(
                **_ASKED,
                arm=STR,
                metric=STR,
                k=I32,
                value=F64,
                low=F64,
                high=F64,
                visitor_count=I64,
            ),
            may_be_empty=True,
        ),
        Table(
            "comparisons",  # the best arm by hit rate@10 less every other
            schema(
                **_ASKED,
                arm=STR,
                baseline=STR,
                metric=STR,
                k=I32,
                difference=F64,
                low=F64,
                high=F64,
                p_value=F64,  # as one of all pairs of arms, by metric and k
                detectable=F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "lists",  # what the first ten are like, right or not; unserved are those whom popularity alone serves
            schema(protocol=STR, arm=STR, coverage=F64, diversity=F64, novelty=F64, unserved_count=I64),
            may_be_empty=True,
        ),
        Table("costs", schema(protocol=STR, arm=STR, fit_cpu_seconds=F64, list_cpu_seconds=F64), may_be_empty=True),
        Table("curves", schema(arm=STR, step=I64, name=STR, value=F64), may_be_empty=True),
        Table("photos", schema(number=I64, photo_id=STR), may_be_empty=True),  # as the methods number them
        Table(
            "contact_sheet",  # arm: a method, or "history" (latest first) and "taken" (what came next)
            schema(visitor_id=STR, arm=STR, position=I32, photo_id=STR, is_right=BOOL),
            may_be_empty=True,
        ),
    ),
    RecommendationFacts,
)
"""Photos recommended from visitors' histories. Files: models/<method>/** (`models.recommend.saving`), what each method
learned by the night's own protocol.
"""
