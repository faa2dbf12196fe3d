"""Params of the ablation, of the comparison of retraining, and of the backtest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from jobs.config.params.arms import AS_TRAINED, COMPARED, FULL, VARIANTS, ZERO_SHOT
from jobs.config.params.base import Params
from jobs.config.params.training import TrainRerankerParams, TrainSearchParams


class TrainVariantParams(TrainSearchParams):
    variant: str = Field(FULL, description=f"{ZERO_SHOT}, {AS_TRAINED}, or of {', '.join(VARIANTS)}")
    repeat: int = Field(0, ge=0, description="number of the repetition; each has a seed of its own")

    @field_validator("processes")
    @classmethod
    def _is_one(cls, processes: int) -> int:
        if processes != 1:
            raise ValueError("a variant is trained in one process")
        return processes

    @field_validator("variant")
    @classmethod
    def _is_known(cls, variant: str) -> str:
        if variant not in (ZERO_SHOT, AS_TRAINED, *VARIANTS):
            raise ValueError(f"unknown variant {variant}; there are {ZERO_SHOT}, {AS_TRAINED}, {', '.join(VARIANTS)}")
        return variant


class CompareVariantsParams(Params):
    variants: tuple[str, ...] = Field(COMPARED, description=f"in the order of the table; {FULL} is one of them")
    repeats: int = Field(5, ge=2, description="repetitions of each variant that is trained, with other seeds")

    @field_validator("variants")
    @classmethod
    def _can_be_compared(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [variant for variant in variants if variant not in COMPARED]:
            raise ValueError(f"unknown variant {', '.join(unknown)}; there are {', '.join(COMPARED)}")
        if FULL not in variants or len(set(variants)) < len(variants):
            raise ValueError(f"name each variant once; they are compared with {FULL}: name it too")
        return variants


class CompareRetrainingParams(Params):
    nights: int = Field(10, ge=2, description="consecutive nights, the last of them the run date")


class RankNextDayParams(TrainRerankerParams):
    when_too_few: Literal["fail"] = Field("fail", description="a release without a reranker is not compared")
    held_back_days: int = Field(
        7, ge=1, description="days that a night tests on, which its tower and its reranker have not seen"
    )


class CompareBacktestParams(Params):
    nights: int = Field(7, ge=1, description="consecutive days that ask, the last of them the run date")
