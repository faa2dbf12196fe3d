"""Pages, and what the ablation and the comparison of retraining say."""

from __future__ import annotations

from jobs.datasets.schema import F64, I32, I64, STR, Dataset, Table, schema

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
)
"""Incremental against full training over consecutive nights; the partition is the last. Files: retraining.md."""


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
                p_value_holm=F64,
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
                p_value_holm=F64,  # adjusted over the steps, by metric and k
                detectable=F64,
            ),
            may_be_empty=True,
        ),
    ),
)
"""Files: ablation.md. Facts: reference, query_count, visitor_count, and reranked: empty if it was not asked for, else
base_arm (the night's arm that it reorders) and note (why it is left out; empty if it is there).
"""


REPORT = Dataset("report", "reports")
"""Files: report.html."""
