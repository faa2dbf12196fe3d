"""What the evaluations find: ranks, metrics, comparisons, drift, the map of photos."""

from __future__ import annotations

import pyarrow as pa

from jobs.datasets.schema import BOOL, F64, I32, I64, STR, VECTOR, Dataset, Table, schema

DRIFT = Dataset(
    "drift",
    "reports",
    (
        Table("days", schema(conversion_date=pa.date32(), conversion_count=I64, trend=F64)),
        Table(
            "shifts",  # tonight's vectors against those of an earlier night, by one model
            schema(
                vectors=STR,  # searches | photos
                count=I64,
                earlier_count=I64,
                mean_cosine=F64,
                mmd_squared=F64,
                low=F64,
                high=F64,
                p_value=F64,
                bandwidth=F64,
            ),
            may_be_empty=True,
        ),
    ),
)
"""Facts: unseen, earlier_unseen, conversions, earlier_run_date, arm, earlier_arm, model_digest, note: see the stage."""


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
)
"""Facts: note, arm, model_digest, map, why, earlier_run_date, rule ...: see the stage."""


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
    cluster_count=I64,  # what was resampled: visitors, or in query_metrics distinct words
)


_COMPARISONS = schema(
    arm=STR,
    baseline=STR,
    metric=STR,
    k=I32,
    difference=F64,
    low=F64,
    high=F64,
    probability_better=F64,
    p_value=F64,  # two-sided, of this comparison alone
    p_value_holm=F64,  # adjusted for all comparisons of the challenger by this metric and k
    detectable=F64,  # minimum detectable effect at 80 % power
)


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
                low=F64,
                high=F64,
                query_count=I64,
                cluster_count=I64,
            ),
        ),
        Table("ranks", schema(query_id=I64, arm=STR, rank=I32)),
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
)


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
                cluster_count=I64,  # what was resampled: photos of the same query, keyword or collection together
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
)
"""Which photos are like a photo, by every arm. Facts: truths {name: {query_count, ...}}, arms, challenger, counts,
hash_version, notes: see the stage.
"""


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
                p_value_holm=F64,  # adjusted over the other arms, by metric and k
                detectable=F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "lists",  # what the first ten are like, whether they are right or not
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
)
"""Photos recommended from visitors' histories. Files: models/<method>/** (`models.recommend.saving`), what each method
learned by the night's own protocol.

Facts: arm (whose photo vectors), methods, protocols {name: counts}, notes {protocol/arm: why it is left out}, note (why
all is), countries (as the methods number them), seconds.
"""
