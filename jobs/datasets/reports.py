"""Pages, and what the ablation and the comparison of retraining say."""

from __future__ import annotations

from typing import ClassVar, Literal

from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Facts, Table, schema


class RetrainingFacts(Facts):
    """Run dates of the nights that are compared."""

    nights: list[str]


RETRAINING = Dataset(
    "retraining",
    "reports",
    (
        Table(
            "nights",
            schema(
                night=STR,  # a run date, or "all"
                query_count=I64,
                incremental=F64,  # hit rate@10 of the model that went on from the night before
                full=F64,  # that of one trained from the base
                difference=F64,
                low=F64,
                high=F64,
                p_value=F64,  # two-sided, of this night alone
                incremental_pairs=I64,
                full_pairs=I64,
                incremental_seconds=F64,
                full_seconds=F64,
            ),
        ),
    ),
    RetrainingFacts,
)
"""Incremental against full training over consecutive nights; the partition is the last. Files: retraining.md."""


class RerankedFacts(Facts):
    """The reranked arm: the night's arm that it reorders, and why it is left out (empty if it is there)."""

    base_arm: str
    note: str


class AblationFacts(Facts):
    """What is compared with `reference`: on how many searches of how many visitors, after how many passes.

    `reranked` is None if that arm was not asked for.
    """

    reference: str
    epochs: int
    query_count: int
    visitor_count: int
    reranked: RerankedFacts | None


ABLATION = Dataset(
    "ablation",
    "reports",
    (
        Table(
            "variants",
            schema(
                variant=STR,
                metric=STR,
                k=I32,
                value=F64,
                low=F64,
                high=F64,
                deviation=F64,  # standard deviation over the repetitions
                repeats=I64,
                difference=F64,  # to the full arm
                difference_low=F64,
                difference_high=F64,
                p_value=F64,
                detectable=F64,
            ),
        ),
        Table(
            "steps",  # how the full arm is built up, as far as both variants of a step are there
            schema(
                base=STR,
                variant=STR,
                metric=STR,
                k=I32,
                difference=F64,  # of the variant to the base
                low=F64,
                high=F64,
                p_value=F64,  # as one of all steps, by metric and k
                detectable=F64,
            ),
            may_be_empty=True,
        ),
    ),
    AblationFacts,
)
"""Files: ablation.md."""


class Usage(Facts):
    """What a stage or a night used; `elapsed_seconds` of a night is from its first stage's start to its last's end.

    Bytes are those committed, without what runs link to.
    """

    elapsed_seconds: float
    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    byte_count: int


class ReportFacts(Facts):
    """What the head of the page says of the challenger, and what the night used."""

    MEASURED: ClassVar[frozenset[str]] = frozenset({"usage"})

    outcome: Literal["better", "worse", "undecided"]
    headline: str
    usage: Usage


REPORT = Dataset("report", "reports", (), ReportFacts)
"""Files: report.html."""
