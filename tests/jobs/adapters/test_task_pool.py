"""Work in tasks: the same results wherever they run, in their order, and how they were spread."""

from __future__ import annotations

import os
from operator import neg
from typing import TYPE_CHECKING

import pytest

from jobs.adapters.task_pool import LocalPool, SparkPool
from jobs.errors import BadInput, LostWork
from tests.errors import raises

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_spark_gives_each_result_in_order_and_says_how_tasks_were_spread(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "nightlens"):
        assert SparkPool(spark).each(neg, range(5)) == [0, -1, -2, -3, -4]
        assert SparkPool(spark).each(neg, []) == []
    assert ["5 tasks on 1 executors (5)" in message for message in caplog.messages] == [True]


def test_few_items_stay_in_this_process() -> None:
    assert LocalPool().each(lambda _: os.getpid(), [1, 2, 3]) == [os.getpid()] * 3


def test_what_a_user_can_act_on_comes_back_from_a_task(spark: SparkSession) -> None:
    def refuse(number: int) -> int:
        raise BadInput("stored_file_changed", "it changed", path=str(number))

    for pool in (LocalPool(), SparkPool(spark)):
        with raises(BadInput, "stored_file_changed", path="7"):
            pool.each(refuse, [7])


def test_a_process_that_is_killed_is_lost_work() -> None:
    pool = LocalPool()
    with raises(LostWork, "task_process_lost"):
        pool.each(os._exit, [1] * 4)
    pool.close()
