"""Params of validating the log, finding images, cutting windows, auditing and impressions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.config.params.base import Params

Protocol = Literal["windows", "80/20"]


WINDOWS: Protocol = "windows"


EIGHTY_TWENTY: Protocol = "80/20"


class ValidateLogsParams(Params):
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="stop if a larger share of any table's rows is quarantined"
    )
    max_critical_share: float = Field(
        0.02, ge=0, le=1, description="stop if a larger share of a table's rows breaks one critical rule"
    )
    max_without_photo_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="stop if a larger share of a table's rows names photos that the table of photos lacks, as removed "
        "ones do, or whose row there is quarantined",
    )
    bot_conversions_per_minute: int = Field(
        60, ge=2, description="more conversions of one visitor within a minute count as a bot's"
    )
    conversions_folder: str | None = Field(
        None, description="read conversions from this folder instead of the data set's own"
    )


class FetchImagesParams(Params):
    width: int = Field(512, ge=16, le=4096, description="width asked for in the image URL, pixels")
    concurrency: int = Field(16, ge=1, le=256, description="downloads at a time, in all tasks together")
    max_bytes: int = Field(30_000_000, ge=1, description="refuse a longer body")
    max_pixels: int = Field(100_000_000, ge=1, description="refuse a picture with more pixels when decoded")
    retry_count: int = Field(4, ge=0, le=20, description="further tries after 429, 5xx and broken connections")
    timeout_seconds: float = Field(30.0, gt=0)
    max_missing_share: float = Field(0.2, ge=0, le=1, description="stop if more photos end without an image")


class SplitTemporalParams(Params):
    protocol: Protocol = Field(
        WINDOWS,
        description="'windows' are cut by days; '80/20' tests on the last fifth of the conversions, among all photos",
    )
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=0.8,
        description="80/20: share of all conversions, the last before the test, kept from training for validation",
    )
    test_days: int = Field(7, ge=1, le=36_500, description="length of the test window, which ends with the run date")
    validation_days: int = Field(3, ge=1, le=36_500, description="length of the window before it, for early stopping")
    train_days: int = Field(365, ge=1, le=36_500, description="how far back training reaches")
    max_ranked_searches: int = Field(
        50_000, ge=1, description="test searches that are ranked, at most: beyond, all those of a sample of visitors"
    )
    shards: int = Field(
        8, ge=1, le=100_000, description="files by photo that training processes share out; more for a large log"
    )


class AuditLeaksParams(Params):
    max_size_ratio: float = Field(
        1.5,
        gt=1,
        description="stop if a table has more than so many times the rows that it had the last night, or fewer than "
        "one part in so many",
    )


class MeasureImpressionsParams(Params):
    place_count: int = Field(20, ge=1, le=1000, description="places of a list, from the first, that are told apart")
    resample_count: int = Field(
        200, ge=50, description="bootstrap resamples of visitors, for how often places are looked at"
    )
