"""Params of what goes live: release, gate, retention, clean-up, report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.config.params.base import Params


class MakeReleaseParams(Params):
    recommend_to: int = Field(
        100_000,
        ge=0,
        description="visitors for whom lists of 100 photos are written, at most: those who were there last; 0: none",
    )


class GateReleaseParams(Params):
    rule: Literal["superior", "parity"] = Field(
        "superior", description="'superior': better than the champion; 'parity': not worse by more than the margin"
    )
    margin: float = Field(0.01, ge=0, le=1, description="how much worse counts as not worse, over all searches")
    segment_margin: float = Field(
        0.05, ge=0, le=1, description="the same for a slice of the searches, which fails only if surely worse"
    )
    must_beat_counting: bool = Field(
        default=True, description="fail unless surely better than every baseline that counts or matches words"
    )
    max_detectable_difference: float = Field(
        0.1,
        gt=0,
        le=1,
        description="a true difference of this size must be found in four of five such nights; with fewer searches "
        "or visitors the gate is inconclusive",
    )
    max_lost_in_reading: float = Field(
        0.01,
        ge=0,
        le=1,
        description="how much lower the hit rate@10 may be where the release itself answers the evaluation's searches",
    )
    min_index_recall: float = Field(0.95, ge=0, le=1, description="share of the exact 10 best that the index finds")
    max_open_seconds: float = Field(60.0, gt=0, description="time to open the release, without its model")
    max_bytes_per_photo: float = Field(100_000.0, gt=0, description="bytes of index and tables of the search, by photo")
    max_memory_mb: float = Field(
        32_768.0, gt=0, description="memory that a process takes to open and search the release, without its model, MiB"
    )
    max_latency_p99_milliseconds: float = Field(
        200.0, gt=0, description="99th percentile of single searches, words to photos"
    )
    max_index_bytes: int = Field(16_000_000_000, ge=1, description="size of all shards together")
    max_quarantined_share: float = Field(
        0.03,
        ge=0,
        le=1,
        description="share of any table's rows in quarantine, those of photos that are not there left out",
    )
    max_missing_image_share: float = Field(0.05, ge=0, le=1, description="share of the photos without an image")
    max_unseen_query_share: float | None = Field(
        0.9,
        ge=0,
        le=1,
        description="share of the searches with queries that training never had; more, and the log was normalised or "
        "encoded otherwise, or is too young",
    )
    max_unseen_country_share: float | None = Field(
        0.5, ge=0, le=1, description="share of the searches from countries that training never had"
    )
    max_conversion_drop: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="share by which the last week's conversions per day lie below the weeks before, or those of one of "
        "its days surely below what is usual for its weekday; more, and the log is cut short",
    )
    min_drift_p: float | None = Field(
        0.01,
        ge=0,
        le=1,
        description="how probable it must be that usual searches, photos and conversions are as unlike those before as "
        "the newest are; shared out among what is tested",
    )
    latency_query_count: int = Field(200, ge=10, description="searches that are timed")


class RetentionParams(Params):
    keep_count: int = Field(5, ge=1, description="releases of the latest nights that are kept")
    keep_days: int = Field(30, ge=0, le=36_500, description="releases made within so many days are kept")


class CleanUpParams(Params):
    keep_nights: int = Field(30, ge=1, description="latest nights whose current runs are kept")
    keep_days: int = Field(30, ge=0, le=36_500, description="runs made within so many days are kept")


class PublishReportParams(Params):
    cpu_hour_price: float = Field(default=0.04, ge=0, description="of one processor core, for the table of costs")
    gpu_hour_price: float = Field(default=2.5, ge=0, description="of one GPU")
    gb_month_price: float = Field(default=0.025, ge=0, description="of keeping 10^9 bytes for a month")
    currency: str = Field(default="USD", max_length=8, description="of the prices")
    map_picture_count: int = Field(
        default=600,
        ge=0,
        le=4000,
        description="photos of the map whose picture is shown: each adds about 1 KB to the page",
    )
