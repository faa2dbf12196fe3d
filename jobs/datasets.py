"""Every dataset of the lake, declared once: name, layer, tables and their schemas.

A dataset is what one stage commits under one manifest: a few tables (Parquet) and a few files (models,
indexes, reports). Stages meet only here. No path is spelled in this module; `jobs.lake` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Table:
    """One Parquet table of a dataset. `schema` fixes names and types; an empty table is an error unless allowed."""

    name: str
    schema: pa.Schema
    may_be_empty: bool = False


@dataclass(frozen=True)
class Dataset:
    """What one stage commits: its tables and (free-form) files live together under one manifest."""

    name: str
    layer: str
    tables: tuple[Table, ...] = ()

    def table(self, name: str) -> Table:
        """Return the declaration of one table; `KeyError` names the known ones."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(f"dataset {self.name!r} has no table {name!r}; it has {[t.name for t in self.tables]}")


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


_STR, _BOOL, _I32, _I64 = pa.string(), pa.bool_(), pa.int32(), pa.int64()
_F32, _F64 = pa.float32(), pa.float64()
VECTOR = pa.list_(_F32)

HIDDEN_TABLE = Table(
    "hidden",
    # photos that no search may show, from a country, or from anywhere where country is null
    _schema(photo_id=_STR, country=_STR, reason=_STR),
    may_be_empty=True,
)

VALIDATED = Dataset(
    "validated",
    "clean",
    (
        Table(
            "photos",
            _schema(
                photo_id=_STR,
                image_url=_STR,
                submitted_at=TIMESTAMP,
                is_featured=_BOOL,
                width=_I32,
                height=_I32,
                description=_STR,
                ai_description=_STR,
                photographer=_STR,
                country=_STR,
                stats_views=_I64,
                stats_downloads=_I64,
                blur_hash=_STR,
            ),
        ),
        Table(
            "keywords",
            # confidence is in 0..1: the strongest AI confidence / 100, 1.0 where a user suggested the keyword
            _schema(photo_id=_STR, keyword=_STR, confidence=_F64, is_suggested_by_user=_BOOL),
            may_be_empty=True,
        ),
        Table(
            "conversions",
            _schema(
                converted_at=TIMESTAMP,
                conversion_type=_STR,
                query=_STR,  # normalised: NFKC, casefolded, white space collapsed
                query_raw=_STR,
                photo_id=_STR,
                visitor_id=_STR,  # keyed pseudonym, never the id of the log
                country=_STR,
                device_type=_STR,
                orientation_filter=_STR,
                ordering=_STR,
                position=_I32,  # place among the results, from 1; null where the log does not say
                source_file=_STR,
                source_line=_I64,
            ),
        ),
        Table(
            "collections",
            _schema(
                photo_id=_STR,
                collection_id=_STR,
                collection_title=_STR,
                collected_at=TIMESTAMP,
                collection_type=_STR,
            ),
            may_be_empty=True,
        ),
        Table(
            "colors",
            _schema(
                photo_id=_STR,
                hex=_STR,
                red=_I32,
                green=_I32,
                blue=_I32,
                keyword=_STR,
                coverage=_F64,
                score=_F64,
            ),
            may_be_empty=True,
        ),
        HIDDEN_TABLE,
        Table(
            "impressions",  # a photo in a list that was shown; of several rows of one, each has another interaction
            _schema(
                shown_at=TIMESTAMP,
                visitor_id=_STR,
                query_id=_STR,  # keyed digest of the id of the search, null for a list asked for by a photo
                query=_STR,  # normalised as in conversions; null where the log does not say
                query_photo_id=_STR,  # the photo that was asked with
                photo_id=_STR,
                position=_I32,
                interaction=_STR,  # shown | click | like | dislike | download
                country=_STR,
                arm=_STR,  # what made the list, as the site calls it
                dwell_seconds=_F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "quarantine",
            _schema(
                table=_STR,
                source_file=_STR,
                source_line=_I64,  # line the record begins on; the header is line 1
                line_count=_I32,
                reasons=pa.list_(_STR),
                record=_STR,  # visitor ids replaced by pseudonyms; null where the columns cannot be told apart
                record_sha256=_STR,
            ),
            may_be_empty=True,
        ),
        Table(
            "repairs",
            _schema(table=_STR, source_file=_STR, source_line=_I64, repair=_STR, column=_STR),
            may_be_empty=True,
        ),
    ),
)
"""Files: validation.json (suite results and counts), data_docs/** (the Great Expectations site)."""

IMAGES = Dataset(
    "images",
    "clean",
    (
        Table(
            "images",
            _schema(
                photo_id=_STR,
                status=_STR,  # present | fetched | missing | refused | failed
                reason=_STR,  # null when present or fetched
                uri=_STR,  # where the bytes are; null when there are none
                byte_count=_I64,
                modified_ns=_I64,  # file time, to skip hashing an unchanged file the next night
                sha256=_STR,
            ),
        ),
    ),
)

_SPLIT = _schema(
    visitor_id=_STR,
    query=_STR,
    country=_STR,
    photo_id=_STR,
    converted_at=TIMESTAMP,  # the first of the repeated conversions inside the window
    conversion_count=_I64,
    device_type=_STR,  # this and what follows: of that first conversion; null where the log does not say
    orientation_filter=_STR,
    position=_I32,
)
SPLITS = Dataset(
    "splits",
    "features",
    (
        Table("train", _SPLIT),
        Table("validation", _SPLIT, may_be_empty=True),  # by the protocol 80/20 with nothing kept aside
        Table("test", _SPLIT),
        Table(
            # the corpus at as_of: nothing submitted at or after it, but all by the protocol 80/20; no totals known only
            # at dump time
            "photos",
            _schema(
                photo_id=_STR,
                submitted_at=TIMESTAMP,
                description=_STR,
                photographer=_STR,
                is_in_train=_BOOL,  # submitted before the training window ended
            ),
        ),
        Table("photo_keywords", _schema(photo_id=_STR, keyword=_STR, confidence=_F64), may_be_empty=True),
    ),
)
"""Facts: protocol, the windows (train_start, train_end, validation_end, test_end; ISO 8601, half-open), row counts."""

LEAK_AUDIT = Dataset(
    "leak_audit",
    "features",
    (Table("findings", _schema(check=_STR, status=_STR, violation_count=_I64, detail=_STR)),),
)

IMPRESSIONS = Dataset(
    "impressions",
    "features",
    (
        Table(
            "rates",  # as logged; a null arm is all lists, a null position all places
            _schema(
                arm=_STR,
                position=_I32,
                shown_count=_I64,
                visitor_count=_I64,
                taken_count=_I64,
                taken_share=_F64,
                taken_low=_F64,
                taken_high=_F64,
                dwell_count=_I64,  # photos whose time was logged
                dwell_seconds=_F64,
                dwell_low=_F64,
                dwell_high=_F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "examination",  # how often a place is looked at, in times of the first; of the training window
            _schema(position=_I32, examination=_F64, low=_F64, high=_F64, shown_count=_I64),
            may_be_empty=True,
        ),
        Table(
            "pairs",  # of the training window
            _schema(query=_STR, country=_STR, photo_id=_STR, position=_I32, shown_count=_I64, taken_count=_I64),
            may_be_empty=True,
        ),
    ),
)
"""Facts: note, impression_count, list_count, visitor_count, window_count, first_at, last_at: see the stage."""

BASE_MODEL = Dataset("base_model", "models", (Table("curves", _schema(arm=_STR, step=_I64, name=_STR, value=_F64)),))
"""Files: zero_shot/** (a SearchModel folder). Facts: base_key, trained_until, model_digest."""

SEARCH_MODELS = Dataset(
    "search_models", "models", (Table("curves", _schema(arm=_STR, step=_I64, name=_STR, value=_F64)),)
)
"""Files: <arm>/** for every arm, zero_shot included. Facts: arms {arm: {model_digest, ...}}, challenger."""

CHAMPION = Dataset("champion", "models")
"""Files: champion.json and, if there is a champion, champion/** (a SearchModel folder).

Facts: version, None without a champion; with one also model_name, model_digest, arm, trained_until, run_date.
"""

_PHOTO_VECTORS = _schema(arm=_STR, photo_id=_STR, vector=VECTOR)  # unit vectors, ready to rank
# raw features of a picture, and what the photo's keywords add to them
_EXEMPLAR: dict[str, pa.DataType] = {"photo_id": _STR, "feature": VECTOR, "keyword_vector": VECTOR}
EXEMPLARS = "exemplars"
PHOTO_EMBEDDINGS = Dataset(
    "photo_embeddings",
    "embeddings",
    (
        Table("embeddings", _PHOTO_VECTORS),
        Table("quarantine", _schema(photo_id=_STR, reason=_STR), may_be_empty=True),
        Table(EXEMPLARS, _schema(arm=_STR, **_EXEMPLAR), may_be_empty=True),
    ),
)
"""`exemplars`: of arms that read keywords, a sample of the photos that have some (`models.search.completion`).

Facts: per arm model_digest, dim, embedded_count (newly computed), reused_count, seconds."""

QUERY_EMBEDDINGS = Dataset(
    "query_embeddings",
    "embeddings",
    (Table("embeddings", _schema(arm=_STR, query=_STR, country=_STR, vector=VECTOR)),),
)

DRIFT = Dataset(
    "drift",
    "reports",
    (
        Table("days", _schema(conversion_date=pa.date32(), conversion_count=_I64, trend=_F64)),
        Table(
            "shifts",  # tonight's vectors against those of an earlier night, by one model
            _schema(
                vectors=_STR,  # searches | photos
                count=_I64,
                earlier_count=_I64,
                mean_cosine=_F64,
                mmd_squared=_F64,
                low=_F64,
                high=_F64,
                p_value=_F64,
                bandwidth=_F64,
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
            _schema(
                photo_id=_STR,
                x=_F64,
                y=_F64,
                placed=_STR,  # fitted | kept (where an earlier map has it) | projected (onto an earlier map)
                cluster=_I64,  # on a first night 0 is the largest, later a cluster keeps its number; -1: of none
                typicality=_F64,  # cosine to the mean of its cluster; of none, to the nearest photo
            ),
            may_be_empty=True,
        ),
        # the map that further nights are projected onto: the photos it was fitted to, there and now
        Table("reference", _schema(photo_id=_STR, x=_F64, y=_F64, vector=VECTOR), may_be_empty=True),
        Table(
            "sweep",
            _schema(
                method=_STR,  # hdbscan | dbscan; what is null does not belong to it
                min_samples=_I64,
                min_cluster_size=_I64,
                selection=_STR,
                quantile=_F64,
                radius=_F64,
                cluster_count=_I64,
                outlier_share=_F64,
                largest_share=_F64,
                silhouette=_F64,  # this and what follows: null where it is not defined
                dbcv=_F64,
                agreement=_F64,
                purity=_F64,
                is_within_limits=_BOOL,
                is_chosen=_BOOL,
            ),
            may_be_empty=True,
        ),
        Table(
            "keywords",  # what tells a cluster apart, the strongest first
            _schema(cluster=_I64, keyword=_STR, photo_count=_I64, z_score=_F64),
            may_be_empty=True,
        ),
    ),
)
"""Facts: note, arm, model_digest, map, why, earlier_run_date, rule ...: see the stage."""

REGISTRATION = Dataset("registration", "models")
"""Files: registration.json. Facts: model_name, version, arm, model_digest, mlflow_run_id, tracking_uri, run_page."""

PHOTO_INDEX = Dataset("photo_index", "indexes", (Table("ids", _schema(shard=_I64, faiss_id=_I64, photo_id=_STR)),))
"""Files: index/index.json, of every shard index/shard-<days>.faiss, .ids.npy and .photos.npy, and index/quantizer.faiss
of kinds that learn one. Facts: model_digest, kind, reason, shard_count, photo_count, bytes, peak_memory_mb ...
"""

INDEX_CHECK = Dataset(
    "index_check",
    "indexes",
    (
        Table(
            "recalls",  # of the index (kind "published") and of the kinds it is compared with
            _schema(kind=_STR, k=_I32, recall=_F64, low=_F64, high=_F64, query_count=_I64),
        ),
    ),
)
"""Facts: recall_at_10 and recall_at_100, each also _low and _high, single and batched latency, bytes_per_vector,
model_digest, and of every kind compared the same with build_seconds and peak_memory_mb.
"""

RELEASE = Dataset(
    "release",
    "releases",
    (*PHOTO_INDEX.tables, HIDDEN_TABLE, Table(EXEMPLARS, _schema(**_EXEMPLAR), may_be_empty=True)),
)
"""What is published as one: model, index, id map, keyword vocabulary, config, and which photos must not be shown. All
but release.json and the exemplars, by which a picture without keywords is searched with, are links.

Files: release.json (what belongs together, with digests), model/** (a SearchModel folder, its config and keyword
vocabulary among it), index/** (the FAISS shards). Facts: version, model_digest, arm.
"""

GATE = Dataset(
    "gate", "releases", (Table("findings", _schema(check=_STR, outcome=_STR, figure=_STR, limit=_STR, reason=_STR)),)
)
"""Whether a night's candidate may go live. Facts: outcome (pass | fail | inconclusive), sentence, release (run_date,
run_id, version), figures, latency_p50_milliseconds, latency_p99_milliseconds.
"""

_METRICS = _schema(
    arm=_STR,
    segment_kind=_STR,  # all | country | photo_age | query_seen | query_frequency | query_trend | visitor | script
    segment=_STR,
    metric=_STR,  # hit_rate | map | mrr | ndcg | precision | recall | f1
    k=_I32,
    value=_F64,
    low=_F64,
    high=_F64,
    query_count=_I64,
    cluster_count=_I64,  # what was resampled: visitors, or in query_metrics distinct words
)
_COMPARISONS = _schema(
    arm=_STR,
    baseline=_STR,
    metric=_STR,
    k=_I32,
    difference=_F64,
    low=_F64,
    high=_F64,
    probability_better=_F64,
    p_value=_F64,  # two-sided, of this comparison alone
    p_value_holm=_F64,  # adjusted for all comparisons of the challenger by this metric and k
    detectable=_F64,  # minimum detectable effect at 80 % power
)

RERANKER = Dataset(
    "reranker",
    "models",
    (  # empty where there were too few searches to learn from
        Table("importances", _schema(feature=_STR, gain=_F64, split=_I64), may_be_empty=True),
        Table("curves", _schema(searches=_STR, step=_I64, name=_STR, value=_F64), may_be_empty=True),
    ),
)
"""Files: reranker.txt (the text model of LightGBM). Facts: note (why nothing was learned; empty if it was), base_arm,
arms, cutoff, trained_until, counts, held-out hit rates before and after, checks.
"""

VARIANT = Dataset(
    "variant",
    "models",
    (
        Table("ranks", _schema(query_id=_I64, rank=_I32)),
        Table("curves", _schema(arm=_STR, step=_I64, name=_STR, value=_F64), may_be_empty=True),
        Table("embeddings", _PHOTO_VECTORS),  # `arm` is the variant
    ),
)
"""One variant of the ablation, trained once: partitions also by variant and repeat. Facts: how training went."""

RETRAINING = Dataset(
    "retraining",
    "reports",
    (
        Table(
            "nights",
            _schema(
                night=_STR,  # a run date, or "all"
                query_count=_I64,
                incremental=_F64,  # hit rate@10 of the model that went on from the night before
                full=_F64,  # that of one trained from the base
                difference=_F64,
                low=_F64,
                high=_F64,
                p_value=_F64,  # two-sided, of this night alone
                incremental_pairs=_I64,
                full_pairs=_I64,
                incremental_seconds=_F64,
                full_seconds=_F64,
            ),
        ),
    ),
)
"""Incremental against full training over consecutive nights; the partition is the last. Files: retraining.md."""

ABLATION = Dataset(
    "ablation",
    "reports",
    (
        Table(
            "variants",
            _schema(
                variant=_STR,
                metric=_STR,
                k=_I32,
                value=_F64,
                low=_F64,
                high=_F64,
                deviation=_F64,  # standard deviation over the repetitions
                repeats=_I64,
                difference=_F64,  # to the full arm
                difference_low=_F64,
                difference_high=_F64,
                p_value_holm=_F64,
                detectable=_F64,
            ),
        ),
        Table(
            "steps",  # how the full arm is built up, as far as both variants of a step are there
            _schema(
                base=_STR,
                variant=_STR,
                metric=_STR,
                k=_I32,
                difference=_F64,  # of the variant to the base
                low=_F64,
                high=_F64,
                p_value_holm=_F64,  # adjusted over the steps, by metric and k
                detectable=_F64,
            ),
            may_be_empty=True,
        ),
    ),
)
"""Files: ablation.md. Facts: reference, query_count, visitor_count, and reranked: empty if it was not asked for, else
base_arm (the night's arm that it reorders) and note (why it is left out; empty if it is there).
"""

EVALUATION = Dataset(
    "evaluation",
    "reports",
    (
        # A query is a conversion, its one relevant photo the one converted.
        Table("metrics", _METRICS),
        Table("comparisons", _COMPARISONS),
        Table(
            "segment_comparisons",  # the challenger less every other arm, slice by slice
            _schema(
                arm=_STR,
                baseline=_STR,
                segment_kind=_STR,
                segment=_STR,
                metric=_STR,
                k=_I32,
                difference=_F64,
                low=_F64,
                high=_F64,
                query_count=_I64,
                cluster_count=_I64,
            ),
        ),
        Table("ranks", _schema(query_id=_I64, arm=_STR, rank=_I32)),
        # A query is a distinct (query, country), relevant are all photos converted for it.
        Table("query_metrics", _METRICS),
        Table("query_comparisons", _COMPARISONS),
        Table(
            "judgements",
            _schema(judgement_id=_I64, query=_STR, country=_STR, photo_id=_STR, visitor_count=_I64),
        ),
        Table("judgement_ranks", _schema(judgement_id=_I64, arm=_STR, rank=_I32)),
        Table("queries", _schema(query_id=_I64, visitor_id=_STR, query=_STR, country=_STR, photo_id=_STR)),
        Table(
            "contact_sheet",
            _schema(
                query=_STR,
                country=_STR,
                converted_photo_id=_STR,
                arm=_STR,
                position=_I32,
                photo_id=_STR,
                score=_F64,
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
            _schema(
                truth=_STR,  # co_conversion | keywords | collections
                arm=_STR,
                metric=_STR,
                k=_I32,
                value=_F64,
                low=_F64,
                high=_F64,
                query_count=_I64,
                cluster_count=_I64,  # what was resampled: photos of the same query, keyword or collection together
            ),
            may_be_empty=True,
        ),
        Table("comparisons", pa.schema([pa.field("truth", _STR), *_COMPARISONS]), may_be_empty=True),
        Table(
            "queries",
            _schema(truth=_STR, photo_id=_STR, relevant_count=_I64, cluster=_I64),
            may_be_empty=True,
        ),
        Table(
            "contact_sheet",
            _schema(
                query_photo_id=_STR,
                arm=_STR,
                position=_I32,
                photo_id=_STR,
                score=_F64,
                truths=pa.list_(_STR),  # by which the photo is an answer
                alike=pa.list_(_STR),  # near duplicates grouped with it
            ),
            may_be_empty=True,
        ),
        Table(
            "pictures",
            # the corpus; `duplicate_of` is the first photo of the group of near duplicates, the photo itself where it
            # is alone
            _schema(photo_id=_STR, sha256=_STR, picture_hash=_STR, duplicate_of=_STR),
            may_be_empty=True,
        ),
    ),
)
"""Which photos are like a photo, by every arm. Facts: truths {name: {query_count, ...}}, arms, challenger, counts,
hash_version, notes: see the stage.
"""

_ASKED = {"protocol": _STR, "segment_kind": _STR, "segment": _STR}
RECOMMENDATION = Dataset(
    "recommendation",
    "reports",
    (  # all are empty where this evaluation is left out
        Table(
            "metrics",
            _schema(
                **_ASKED,
                arm=_STR,
                metric=_STR,
                k=_I32,
                value=_F64,
                low=_F64,
                high=_F64,
                visitor_count=_I64,
            ),
            may_be_empty=True,
        ),
        Table(
            "comparisons",  # the best arm by hit rate@10 less every other
            _schema(
                **_ASKED,
                arm=_STR,
                baseline=_STR,
                metric=_STR,
                k=_I32,
                difference=_F64,
                low=_F64,
                high=_F64,
                p_value_holm=_F64,  # adjusted over the other arms, by metric and k
                detectable=_F64,
            ),
            may_be_empty=True,
        ),
        Table(
            "lists",  # what the first ten are like, whether they are right or not
            _schema(protocol=_STR, arm=_STR, coverage=_F64, diversity=_F64, novelty=_F64, unserved_count=_I64),
            may_be_empty=True,
        ),
        Table(
            "costs", _schema(protocol=_STR, arm=_STR, fit_cpu_seconds=_F64, list_cpu_seconds=_F64), may_be_empty=True
        ),
        Table("curves", _schema(arm=_STR, step=_I64, name=_STR, value=_F64), may_be_empty=True),
        Table("photos", _schema(number=_I64, photo_id=_STR), may_be_empty=True),  # as the methods number them
        Table(
            "contact_sheet",  # arm: a method, or "history" (latest first) and "taken" (what came next)
            _schema(visitor_id=_STR, arm=_STR, position=_I32, photo_id=_STR, is_right=_BOOL),
            may_be_empty=True,
        ),
    ),
)
"""Photos recommended from visitors' histories. Files: models/<method>/** (`models.recommend.saving`), what each method
learned by the night's own protocol.

Facts: arm (whose photo vectors), methods, protocols {name: counts}, notes {protocol/arm: why it is left out}, note (why
all is), countries (as the methods number them), seconds.
"""

REPORT = Dataset("report", "reports")
"""Files: report.html."""

ALL = (
    VALIDATED,
    IMAGES,
    SPLITS,
    LEAK_AUDIT,
    IMPRESSIONS,
    BASE_MODEL,
    SEARCH_MODELS,
    CHAMPION,
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
)
