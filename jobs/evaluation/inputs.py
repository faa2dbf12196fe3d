"""The inputs of the evaluation: the queries of the test window, and the arms that rank them. Checked, not judged."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.errors import BadInput, MissingInput
from jobs.lake import Lake, Manifest
from jobs.params import CHAMPION_ARM, EIGHTY_TWENTY, RERANKED, WINDOWS
from models.evaluation.baselines import keyword_scorer, most_converted_scorer, popularity_scorer
from models.evaluation.ranking import Ints, Scorer, dense_scorer, tie_order

BASELINES = ("popularity", "most_converted_for_query", "keyword_bm25")
NO_CHAMPION = "no champion yet"
_STAGE = {"photo_embeddings": "embed_photos", "query_embeddings": "embed_queries"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAKER = _STAGE | {"variant": "train_variant"}


@dataclass(frozen=True)
class Plan:
    """Which arms are to be there, and whether the live model may be compared; all taken from facts."""

    models: tuple[str, ...]
    uses_country: dict[str, bool]
    challenger: str
    champion_version: str | None
    champion_note: str
    reranker_note: str  # why the reranked arm is left out; empty if it is there
    protocol: str
    max_ranked_searches: int | None

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm, baselines first, the reranked one last."""
        return (*BASELINES, *self.models, *(() if self.reranker_note else (RERANKED,)))

    @classmethod
    def of(cls, inputs: dict[str, Manifest]) -> Plan:
        """Return the plan of a night.

        Raises `MissingInput` for an arm that was trained but not embedded, `BadInput` for one whose vectors come
        from another model than the one trained.
        """
        trained, champion = inputs["search_models"].facts, inputs["champion"].facts
        models = sorted(trained["arms"])
        if trained["challenger"] not in models:
            raise BadInput(f"the challenger {trained['challenger']!r} is not among the trained arms {models}")
        version, note = champion["version"], NO_CHAMPION
        if version is not None:
            note = champion_left_out(champion, datetime.fromisoformat(inputs["splits"].facts["validation_end"]))
            models += [] if note else [CHAMPION_ARM]
        for arm in models:
            check_arm(inputs, arm)
        embedded = inputs["query_embeddings"].facts["arms"]
        uses_country = {arm: bool(embedded[arm]["uses_country"]) for arm in models}
        return cls(
            models=tuple(models),
            uses_country=uses_country,
            challenger=trained["challenger"],
            champion_version=None if note else str(version),
            champion_note=note,
            reranker_note=str(inputs["reranker"].facts["note"]),
            protocol=protocol_of(inputs["splits"]),
            max_ranked_searches=ranked_searches(inputs["splits"]),
        )


def check_arm(inputs: dict[str, Manifest], arm: str) -> None:
    """Check that an arm's photos and queries were embedded, and by the model that was trained or is live."""
    digests = {}
    for dataset, stage in _STAGE.items():
        arms = inputs[dataset].facts["arms"]
        if arm not in arms:
            raise MissingInput(
                f"{inputs[dataset].reference} has no vectors of arm {arm!r}; it has {sorted(arms)}. Every arm must be "
                f"there: rerun {stage}."
            )
        digests[dataset] = arms[arm]["model_digest"]
    if arm == CHAMPION_ARM:
        digests["champion"] = inputs["champion"].facts["model_digest"]
    else:
        digests["search_models"] = inputs["search_models"].facts["arms"][arm]["model_digest"]
    if len(set(digests.values())) > 1:
        raise BadInput(
            f"arm {arm!r}: vectors and model do not match: {digests}. Rerun {' and '.join(_STAGE.values())}."
        )


def champion_left_out(champion: dict[str, str], test_start: datetime) -> str:
    """Return why the champion is left out, or nothing."""
    until = champion.get("trained_until")
    if not until:
        raise BadInput(
            f"champion version {champion['version']} does not say until when it was trained (fact trained_until), "
            f"so it cannot be told whether it has seen the test window. Rerun snapshot_champion."
        )
    if datetime.fromisoformat(until) <= test_start:
        return ""
    return (
        f"champion version {champion['version']} was trained until {until}, inside the test window that starts "
        f"{test_start.isoformat()}: it has seen answers, so it is left out"
    )


@dataclass(frozen=True)
class Task:
    """What is to be ranked: Q queries with U distinct texts, among P photos. Times in microseconds, UTC."""

    window: str
    photos: pl.DataFrame  # the P photos of the corpus in the order that decides ties, `place` numbering them
    queries: pl.DataFrame  # the Q test conversions, `query_id` numbering them
    texts: pl.DataFrame  # the U distinct (query, country), `text` numbering them
    text_ids: Ints  # (Q,) the text of each query
    targets: Ints  # (Q,) the place of the photo converted
    visitors: Ints  # (Q,)
    asked_at: Ints  # (Q,) when the photo was converted
    available_at: Ints  # (P,) when the photo was submitted; by the protocol 80/20 the log's beginning, for all alike


def read_task(lake: Lake, splits: Manifest, window: str = "test") -> Task:
    """Return a window's queries and the corpus as of its end; `BadInput` if a converted photo is not in it.

    By the protocol 80/20 all photos are in it, there from the beginning: every photo is a candidate for every query,
    and nothing that ranks can tell by its time of submission that a photo cannot have been converted.

    Of a test window with more than the splits' `max_ranked_searches` those of some visitors are read: ranking one costs
    a score of every photo, by every arm.
    """
    photos = lake.read_table(splits, "photos", ["photo_id", "submitted_at", "description", "is_in_train"])
    available_at = pl.col("submitted_at")
    if takes_all_photos(splits):
        beginning = datetime.fromisoformat(splits.facts["train_start"])
        available_at = pl.lit(beginning, pl.Datetime("us", "UTC"))
    else:
        photos = photos.filter(available_at < window_bounds(splits, window)[1])
    photos = photos.with_columns(available_at.alias("available_at")).sort("photo_id")
    photos = photos[tie_order(photos["photo_id"].to_list())].with_row_index("place")
    order = ("query", "country", "converted_at", "visitor_id", "photo_id")
    queries = lake.read_table(splits, window)
    if window == "test" and (limit := ranked_searches(splits)) is not None:
        queries = of_some_visitors(queries, limit)
    queries = queries.with_columns(pl.col("country").fill_null("")).sort(order)
    texts = queries.select("query", "country").unique(maintain_order=True).with_row_index("text")
    seen = lake.read_table(splits, "train", ["query"])["query"].unique()
    queries = (
        queries.with_row_index("query_id")
        .join(texts, on=["query", "country"], how="left", maintain_order="left")
        .join(photos.select("photo_id", "place", "is_in_train"), on="photo_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("query").is_in(seen.implode()).alias("is_seen"),
            pl.col("visitor_id").rank("dense").alias("visitor"),
        )
    )
    if unknown := queries["place"].null_count():
        example = queries.filter(pl.col("place").is_null())["photo_id"][0]
        raise BadInput(
            f"{unknown} of {len(queries)} {window} conversions in {splits.reference} are of photos that are not in its "
            f"corpus, such as {example!r}. Rerun split_temporal."
        )
    return Task(
        window=window,
        photos=photos,
        queries=queries,
        texts=texts,
        text_ids=integers(queries["text"]),
        targets=integers(queries["place"]),
        visitors=integers(queries["visitor"]),
        asked_at=integers(queries["converted_at"]),
        available_at=integers(photos["available_at"]),
    )


def of_some_visitors(queries: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Return at most `limit` of the queries: all those of some visitors, of one visitor at least.

    Visitors are taken in the order of their ids, which are keyed hashes: as good as drawn, and the same every night.
    """
    if len(queries) <= limit:
        return queries
    counts = queries.group_by("visitor_id").len("count").sort("visitor_id")
    kept = counts.filter((pl.col("count").cum_sum() <= limit) | (pl.int_range(pl.len()) == 0))
    return queries.join(kept, on="visitor_id", how="semi")


def ranked_searches(splits: Manifest) -> int | None:
    """Return how many searches of the test window are ranked at most; None for splits made before there was a limit."""
    limit: int | None = splits.facts.get("max_ranked_searches")
    return limit


def protocol_of(splits: Manifest) -> str:
    """Return the protocol of the splits; those made before there was a choice are cut by days."""
    return str(splits.facts.get("protocol", WINDOWS))


def takes_all_photos(splits: Manifest) -> bool:
    """Tell whether every photo is a candidate for every query, or only those there when it was asked."""
    return protocol_of(splits) == EIGHTY_TWENTY


def window_bounds(splits: Manifest, window: str) -> tuple[datetime, datetime]:
    """Return start (inclusive) and end (exclusive) of the window `train`, `validation` or `test`."""
    ends = ("train_start", "train_end", "validation_end", "test_end")
    start, end = dict(zip(("train", "validation", "test"), itertools.pairwise(ends), strict=True))[window]
    return datetime.fromisoformat(splits.facts[start]), datetime.fromisoformat(splits.facts[end])


def microseconds(instant: datetime) -> int:
    """Return an instant as the tables' integers are: microseconds since 1970, UTC."""
    return (instant - _EPOCH) // _EPOCH.resolution


def integers(column: pl.Series) -> Ints:
    """Return a column as int64; instants become microseconds."""
    return column.cast(pl.Int64).to_numpy()


def baseline_scorer(lake: Lake, splits: Manifest, task: Task, arm: str) -> Scorer:
    """Return the scorer of a baseline.

    Counts are of everything before the test window, training and validation; repeats of one search by one visitor
    count once in each. Keywords have no dates, so all of the corpus are used, whatever their confidence.
    """
    if arm == "keyword_bm25":
        return keyword_match_scorer(lake, splits, task)
    past = pl.concat([lake.read_table(splits, name, ["query", "photo_id"]) for name in ("train", "validation")])
    past = past.join(task.photos.select("photo_id", "place"), on="photo_id")
    if arm == "popularity":
        return popularity_scorer(integers(past["place"]), len(task.photos))
    # The scorer knows queries by number, and a query asked in several countries has several texts: each gets its own
    # copy of the query's counts, without counting the query's conversions twice for popularity.
    first = task.texts.group_by("query").agg(pl.col("text").min().alias("number"))
    number_N = integers(past.join(first, on="query", how="left", maintain_order="left")["number"].fill_null(-1))
    number_U = integers(task.texts.join(first, on="query", how="left", maintain_order="left")["number"])
    scorer = most_converted_scorer(number_N, integers(past["place"]), len(task.texts), len(task.photos))
    return lambda text_B: scorer(number_U[text_B])


def keyword_match_scorer(lake: Lake, splits: Manifest, task: Task) -> Scorer:
    """Return the scorer of keyword match for the task's texts, on keywords and descriptions of its photos."""
    return keyword_scorer(task.texts["query"].to_list(), _documents(lake, splits, task))


def _documents(lake: Lake, splits: Manifest, task: Task) -> list[list[str]]:
    keywords = lake.read_table(splits, "photo_keywords", ["photo_id", "keyword"]).group_by("photo_id").agg("keyword")
    joined = task.photos.join(keywords, on="photo_id", how="left", maintain_order="left")
    return [
        [*(words or []), *([description] if description else [])]
        for words, description in joined.select("keyword", "description").iter_rows()
    ]


def model_scorer(
    lake: Lake, inputs: dict[str, Manifest], uses_country: bool, task: Task, arm: str, max_missing_share: float
) -> tuple[Scorer, int]:
    """Return the scorer of an embedding arm and how many photos of the corpus have no vector.

    Raises `BadInput` that names the arm and the counts: a query without a vector, more than `max_missing_share` of
    the photos without one, vectors that differ in length, are not finite or not of length 1.
    """
    query_UD = _query_matrix(lake, inputs["query_embeddings"], task, arm, uses_country)
    photo_PD, has_vector_P = photo_matrix(lake, inputs["photo_embeddings"], task, arm, max_missing_share)
    if query_UD.shape[1] != photo_PD.shape[1]:
        raise BadInput(
            f"arm {arm!r}: query vectors have {query_UD.shape[1]} numbers, photo vectors {photo_PD.shape[1]}. They "
            f"come from different models: rerun embed_photos and embed_queries."
        )
    return dense_scorer(query_UD, photo_PD, has_vector_P), int((~has_vector_P).sum())


def _query_matrix(lake: Lake, manifest: Manifest, task: Task, arm: str, uses_country: bool) -> NDArray[np.float32]:
    """Return the vectors of the distinct texts, shape (U, D); an arm that uses no country has them at country ""."""
    asked = task.texts.select("query", "country" if uses_country else pl.lit("").alias("country"))
    keys = ["query", "country"]
    vectors = asked.join(_arm_rows(lake, manifest, arm, keys), on=keys, how="left", maintain_order="left")["vector"]
    if vectors.null_count():
        raise BadInput(
            f"arm {arm!r}: {vectors.null_count()} of {len(vectors)} distinct {task.window} queries have no vector in "
            f"{manifest.reference}. The arm is unfinished: rerun embed_queries."
        )
    return _matrix(vectors, f"arm {arm!r}: queries in {manifest.reference}")


def photo_matrix(
    lake: Lake, manifest: Manifest, task: Task, arm: str, max_missing_share: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return an arm's vectors of the corpus, shape (P, D), zero where there is none, and which there are, shape (P,).

    Raises `BadInput` as `model_scorer` does.
    """
    rows = _arm_rows(lake, manifest, arm, ["photo_id"])
    vectors = task.photos.join(rows, on="photo_id", how="left", maintain_order="left")["vector"]
    missing = vectors.null_count()
    if missing > max_missing_share * len(vectors):
        raise BadInput(
            f"arm {arm!r}: {missing} of {len(vectors)} photos have no vector in {manifest.reference}, more than the "
            f"allowed share of {max_missing_share:g}. Look into it, then rerun {_MAKER[manifest.dataset]}."
        )
    found_PD = _matrix(vectors.drop_nulls(), f"arm {arm!r}: photos in {manifest.reference}")
    has_vector_P = vectors.is_not_null().to_numpy()
    if missing == 0:
        return found_PD, has_vector_P
    photo_PD = np.zeros((len(vectors), found_PD.shape[1]), dtype=np.float32)
    photo_PD[has_vector_P] = found_PD
    return photo_PD, has_vector_P


def _arm_rows(lake: Lake, manifest: Manifest, arm: str, key: list[str]) -> pl.DataFrame:
    """Return one arm's vectors; the others are not held in memory."""
    table = pl.scan_parquet(lake.table_uris(manifest, "embeddings"))
    rows = table.filter(pl.col("arm") == arm).select(*key, "vector").collect()
    if rows.is_empty():
        raise MissingInput(f"{manifest.reference} has no vectors of arm {arm!r}. Rerun {_MAKER[manifest.dataset]}.")
    if repeated := len(rows) - rows.select(key).n_unique():
        raise BadInput(f"arm {arm!r}: {repeated} of {len(rows)} rows in {manifest.reference} repeat a {key[0]}")
    return rows


def _matrix(vectors: pl.Series, what: str) -> NDArray[np.float32]:
    """Return vectors as a matrix, one per row, checked."""
    lengths = vectors.list.len().unique().sort().to_list()
    if len(lengths) != 1 or lengths[0] == 0:
        raise BadInput(f"{what}: vectors have different lengths or none: {lengths}")
    matrix = vectors.explode().to_numpy().astype(np.float32, copy=False).reshape(len(vectors), lengths[0])
    if bad := int((~np.isfinite(matrix).all(axis=1)).sum()):
        raise BadInput(f"{what}: {bad} of {len(matrix)} vectors hold NaN or infinity. The model has diverged.")
    if bad := int((np.abs(np.linalg.norm(matrix, axis=1) - 1) > 0.01).sum()):
        raise BadInput(f"{what}: {bad} of {len(matrix)} vectors are not of length 1, so they cannot be ranked")
    return matrix
