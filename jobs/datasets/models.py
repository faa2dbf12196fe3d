"""Checkpoints: base, search arms, champion, reranker, variants, and their registration."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

from pydantic import ConfigDict

from jobs.datasets.embeddings import _PHOTO_VECTORS
from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Facts, Instant, Table, schema


class Reach(Facts):
    """What was in reach of a training, whatever it drew, counted or listed from it; `None` without any.

    Photos and conversions all lie before `until`.
    """

    until: Instant
    photo_count: int
    latest_photo_at: Instant | None
    conversion_count: int
    latest_conversion_at: Instant | None


class BaseModelFacts(Facts):
    """Where the base comes from; `base_key` is the same for bases that are made alike.

    `trained_until` is None for an imported model: it learned elsewhere, before any night. `reused_from` is the run of
    another night whose base this is. `reach` and what follows are of a tiny base, which is trained here on
    `photo_count` of the photos in reach that have a text. The others of these are held out: the weights kept are those
    with the best `held_out_hit_rate`, at 10, of their texts among their photos. It is None where none are held out.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"reused_from", "pairs_per_second", "seconds"})

    base_key: str
    source: str
    model_digest: str
    image_digest: str
    trained_until: Instant | None
    reused_from: str | None
    reach: Reach | None = None
    photo_count: int | None = None
    held_out_photo_count: int = 0
    held_out_hit_rate: float | None = None
    stopped_because: str = ""
    pairs_seen: int | None = None
    pairs_per_second: float | None = None
    seconds: float | None = None


BASE_MODEL = Dataset(
    "base_model", "models", (Table("curves", schema(arm=STR, step=I64, name=STR, value=F64)),), BaseModelFacts
)
"""Files: zero_shot/** (a SearchModel folder)."""


class TrainingFacts(Facts):
    """How a training went. `best_step` is that of the weights that were kept, None where nothing was validated."""

    MEASURED: ClassVar[frozenset[str]] = frozenset({"pairs_per_second", "seconds"})

    best_step: int | None
    steps: int
    pairs_seen: int
    pairs_per_second: float
    seconds: float
    stopped_because: str


class ArmFacts(Facts):
    """One model. `best_validation_hit_rate` is None where nothing was validated, `training` for the base."""

    model_digest: str
    image_digest: str
    uses_country: bool
    uses_keywords: bool
    keyword_count: int
    best_validation_hit_rate: float | None
    training: TrainingFacts | None = None


class SearchModelsFacts(Facts):
    """The arms by name, the base as `zero_shot`, and what they were trained on.

    The models were trained on nothing at or after `trained_until`, and nothing at or after `selected_until` had a part
    in choosing which of their weights were kept: early stopping looks at the validation window. It is None in runs that
    were committed before it was kept. `log_pair_count` are the conversions of the training window,
    `train_pair_count` those that were trained on: fewer if training went on from the run `warm_started_from`.
    Of the `validation_query_count` searches that early stopping goes by, `validation_unseen_count` were for photos that
    nobody took in the training window. `passed_over_count` is None where the log of what was shown is not read. `reach`
    is what the training could draw, count and list from. `reused_from` is the run of another night whose models these
    are.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"reused_from"})

    arms: dict[str, ArmFacts]
    challenger: str
    log_pair_count: int
    train_pair_count: int
    train_pairs_without_image: int
    validation_query_count: int
    validation_photo_count: int
    validation_unseen_count: int | None = None
    passed_over_count: int | None = None
    trained_until: Instant
    selected_until: Instant | None = None
    reach: Reach | None = None
    reused_from: str | None
    warm_started_from: str | None


SEARCH_MODELS = Dataset(
    "search_models", "models", (Table("curves", schema(arm=STR, step=I64, name=STR, value=F64)),), SearchModelsFacts
)
"""Files: <arm>/** for every arm, zero_shot included."""


class LiveReranker(Facts):
    """The reranker of the published release: until when it has looked at the log, and the search it was made for.

    `files_digest` is of its files (`jobs.reranking.saved.reranker_digest`).
    """

    files_digest: str
    trained_until: Instant
    half_life_days: float
    candidate_count: int


class LiveModel(Facts):
    """A version of the registered model: which arm of which night it is, and until when it has looked at the log.

    See `SearchModelsFacts`; `selected_until` is None where neither the version nor its night tells. `reranker` is that
    of the published release with this version, None where its search goes by vectors alone. `reranker_note` says why
    that search cannot be made again; it is empty if it can.
    """

    version: int
    model_name: str
    model_digest: str
    arm: str
    trained_until: Instant
    selected_until: Instant | None = None
    run_date: date
    reranker: LiveReranker | None = None
    reranker_note: str = ""


class PublishedRelease(Facts):
    """A published release by its name, and the version of its model."""

    release: str
    version: int


class OutsideMove(Facts):
    """A move of the champion that somebody made in MLflow itself: the entry of the ledger that notes it."""

    entry: int
    reason: str
    published: PublishedRelease | None


class ChampionFacts(Facts):
    """`live` is None if there is no champion; `outside_move` is there if the champion stems from one."""

    live: LiveModel | None
    outside_move: OutsideMove | None = None


CHAMPION = Dataset("champion", "models", (), ChampionFacts)
"""Files: champion.json (the facts) and, if there is a champion, champion/** (a SearchModel folder) and
reranker/<number>.txt (none where its search goes by vectors alone).
"""


class RegistrationFacts(Facts):
    """The version that was registered, and the night's run in MLflow. Its release is the run's input `release`.

    `run_page` is where people look at the run, `max_difference` how far the version's vectors are from the model's.
    `is_copied` tells whether the version holds the index itself; otherwise it refers to the lake.
    """

    # those of earlier versions also name the run that made the version
    model_config = ConfigDict(frozen=True, extra="ignore")

    model_name: str
    version: int
    arm: str
    model_digest: str
    mlflow_run_id: str
    tracking_uri: str
    run_page: str
    max_difference: float
    is_copied: bool = True

    @property
    def in_words(self) -> str:
        """The version and the night's run."""
        return f"model {self.model_name} version {self.version}, run {self.mlflow_run_id}"


REGISTRATION = Dataset("registration", "models", (), RegistrationFacts)
"""Files: registration.json (the facts)."""


class EventsCheck(Facts):
    """That all of `event_count` conversions that features are made from lie before `cutoff`."""

    check: str
    status: Literal["passed"]
    event_count: int
    cutoff: Instant


class LearnedOrder(Facts):
    """What the reranker learned, and the hit rates at 10 before and after it reorders.

    Each model was held out from a part of the visitors; `best_rounds` are the trees of each, and the hit rates are of
    every visitor's searches, reordered by the model that has not learned from them.
    """

    MEASURED: ClassVar[frozenset[str]] = frozenset({"seconds"})

    best_rounds: tuple[int, ...]
    held_out_hit_rate_before: float
    held_out_hit_rate_after: float
    seconds: float


class RerankerFacts(Facts):
    """What the reranker learned from, and when. `note` says why it learned nothing; it is empty if it did.

    Vectors are those of `base_arm`. Features know what lies before `cutoff`, the searches lie before `trained_until`.
    In `learnable_search_count` of `search_count` searches the photo converted is among the candidates. `feature_names`
    and `checks` are empty without a validation window.
    """

    base_arm: str
    cutoff: Instant
    trained_until: Instant
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
        Table("curves", schema(searches=STR, step=I64, name=STR, value=F64), may_be_empty=True),  # of the first model
    ),
    RerankerFacts,
)
"""Files: reranker/<number>.txt (the text models of LightGBM)."""


class VariantFacts(Facts):
    """One training of a variant. `training` and the hit rate are None for the base, which is not trained.

    `warm_started_from` is the run that the night's own arm (`as_trained`) went on from, None if it trained in full.
    """

    variant: str
    repeat: int
    best_validation_hit_rate: float | None = None
    training: TrainingFacts | None = None
    warm_started_from: str | None = None


VARIANT = Dataset(
    "variant",
    "models",
    (
        Table("ranks", schema(query_id=I64, rank=I32)),
        Table("curves", schema(arm=STR, step=I64, name=STR, value=F64), may_be_empty=True),
        Table("embeddings", _PHOTO_VECTORS),  # `arm` is the variant
    ),
    VariantFacts,
)
"""One variant of the ablation, trained once: partitions also by variant and repeat."""
