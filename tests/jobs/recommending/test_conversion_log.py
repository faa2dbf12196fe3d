"""Reading the log file by file: all rows of the visitors in question, as numbers, and which visitors teach methods."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.context import RunContext
from jobs.datasets.evaluation import SampleFacts
from jobs.datasets.features import SPLITS
from jobs.errors import BadInput
from jobs.recommending.conversion_log import count_visitors, name_visitors, read_log, read_visitor
from jobs.recommending.inputs import choose_visitors
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.night_of_tastes import HAD, IDS, TEST_START, VISITORS, Night


@pytest.fixture
def night(make_context: Contexts) -> Night:
    return Night(make_context())


def counts(visitors: dict[int, int], within: set[int]) -> pl.DataFrame:
    """Return visitors by their conversions before the window, and who came in it."""
    rows = [(visitor, before, int(visitor in within)) for visitor, before in visitors.items()]
    return pl.DataFrame(rows, schema=["visitor", "before", "within"], orient="row")


def params(most: int, asked: int = 5000) -> EvaluateRecommendersParams:
    return EvaluateRecommendersParams(max_learning_conversions=most, max_visitor_count=asked)


def test_visitors_are_counted_over_all_files(night: Night) -> None:
    context = night.commit()
    found = count_visitors(context.lake, context.read(SPLITS))
    before = np.bincount([visitor for visitor, _ in night.past], minlength=VISITORS)
    within = np.bincount([visitor for visitor, _ in night.test], minlength=VISITORS)
    assert found.select("visitor", "before", "within").rows() == [
        (visitor, before[visitor], within[visitor]) for visitor in range(VISITORS)
    ]
    last = TEST_START + timedelta(minutes=len(night.test) - 1)
    assert found["last_at"].max() == last.timestamp() * 1e6


def read(context: RunContext, numbers: list[int], ids: list[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    visitors = pl.DataFrame({"visitor": numbers}, schema={"visitor": pl.Int64}).with_row_index("place")
    return read_log(context.lake, context.read(SPLITS), pl.Series(ids), visitors)


def test_the_log_holds_all_that_some_visitors_took(night: Night) -> None:
    context = night.commit()
    rows, countries = read(context, [5, 1], IDS)
    took = [
        (place, item) for place, visitor in enumerate((5, 1)) for v, item in night.past + night.test if v == visitor
    ]
    assert sorted(rows.select("place", "item").rows()) == sorted(took)
    assert {countries[code] for code in rows.filter(place=0)["country"]} == {"GB"}
    assert {countries[code] for code in rows.filter(place=1)["country"]} == {"JP"}
    assert read(context, [], IDS)[0].is_empty()
    assert name_visitors(context.lake, context.read(SPLITS), np.array([5, 1, 5])).to_list() == ["v05", "v01", "v05"]
    own = read_visitor(context.lake, context.read(SPLITS), "v05")
    assert sorted(own["photo_id"]) == sorted(IDS[item] for place, item in took if place == 0)


def test_a_conversion_of_a_photo_that_is_not_there_is_refused(night: Night) -> None:
    context = night.commit()
    gone = next(item for visitor, item in night.past if visitor == 3)
    with raises(BadInput, "photos_outside_corpus", photo_id=IDS[gone]):
        read(context, [3], [name for name in IDS if name != IDS[gone]])


def test_all_are_learned_from_where_the_log_is_small_enough() -> None:
    some = counts(dict.fromkeys(range(50), 2), within={3})
    visitors, sample = choose_visitors(some, params(100))
    assert sample is None
    assert sorted(visitors["visitor"]) == list(range(50))


def test_of_a_larger_log_a_sample_keeps_whole_visitors_and_whoever_is_asked() -> None:
    some = counts({visitor: 1 + visitor % 5 for visitor in range(200)}, within=set(range(0, 200, 2)))
    everybody, _ = choose_visitors(some, params(10_000))
    visitors, sample = choose_visitors(some, params(60, asked=40))
    assert sample is not None
    learners = everybody["visitor"].head(sample.visitor_count)
    assert visitors["visitor"].head(sample.visitor_count).to_list() == learners.to_list()
    before = some.filter(pl.col("visitor").is_in(learners.implode()))["before"].sum()
    assert sample == SampleFacts(
        visitor_count=len(learners), visitor_total=200, conversion_count=before, conversion_total=600
    )
    assert 55 < before <= 60
    asked = [visitor for visitor in everybody["visitor"] if visitor % 2 == 0]
    assert [visitor for visitor in visitors["visitor"] if visitor % 2 == 0] == asked[:40]


def test_a_sample_of_tomorrow_takes_visitors_of_today_in_their_order() -> None:
    today, tomorrow = (counts(dict.fromkeys(range(count), 2), within=set()) for count in (100, 130))
    (old, first), (new, second) = (choose_visitors(some, params(60)) for some in (today, tomorrow))
    assert (first is None, second is None) == (False, False)
    known = [visitor for visitor in new["visitor"] if visitor < 100]
    assert 10 < len(known) < len(new)
    assert known == old["visitor"].to_list()[: len(known)]


def test_a_visitor_with_more_than_all_may_have_is_learned_from_alone() -> None:
    _, sample = choose_visitors(counts({4: 9, 7: 9}, within=set()), params(3))
    assert sample is not None
    assert (sample.visitor_count, sample.conversion_count) == (1, 9)


def test_whoever_is_not_learned_from_still_has_a_history(night: Night) -> None:
    context = night.commit()
    some = count_visitors(context.lake, context.read(SPLITS))
    visitors, sample = choose_visitors(some, params(3 * HAD))
    assert sample is not None
    assert sample.visitor_count in (3, 4)  # one of them may be the one without a past
    assert len(visitors) == VISITORS
