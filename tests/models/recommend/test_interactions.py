"""Histories are those of the log, whatever its order, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recommend.interactions import NONE, Interactions, ItemFeatures
from models.search.keywords import RaggedKeywords
from tests.models.recommend.tastes import log_of

VISITORS, ITEMS, AS_OF = 5, 7, 1000.0
Row = tuple[int, int, float, float]
rows = st.lists(
    st.tuples(
        st.integers(0, VISITORS - 1),
        st.integers(0, ITEMS - 1),
        st.integers(0, 999).map(float),
        st.sampled_from([-1.0, 0.5, 2.0]),
    ),
    max_size=30,
)


def of(log: list[Row], as_of: float = AS_OF) -> Interactions:
    columns = ([row[column] for row in log] for column in range(4))
    return log_of(*columns, np.arange(VISITORS) - 1, ITEMS, as_of)


def plain(log: Interactions) -> list[list[tuple[int, float, float]]]:
    found = []
    for visitor in range(log.visitor_count):
        rows = log.history(visitor)
        columns = (log.item_N[rows].tolist(), log.at_N[rows].tolist(), log.weight_N[rows].tolist())
        found.append(list(zip(*columns, strict=True)))
    return found


def expected(log: list[Row]) -> list[list[tuple[int, float, float]]]:
    ordered = sorted(log, key=lambda row: (row[2], row[1]))
    return [[row[1:] for row in ordered if row[0] == visitor] for visitor in range(VISITORS)]


@given(rows, st.randoms())
def test_histories_are_in_time_order_whatever_the_order_of_the_log(log: list[Row], random) -> None:
    distinct = list({row[:3]: row for row in log}.values())
    shuffled = random.sample(distinct, len(distinct))
    assert plain(of(shuffled)) == plain(of(distinct)) == expected(distinct)


@given(rows, st.integers(1, 1000).map(float))
def test_an_instant_cuts_every_history(log: list[Row], cutoff: float) -> None:
    distinct = list({row[:3]: row for row in log}.values())
    cut = of(distinct).before(cutoff)
    assert plain(cut) == expected([row for row in distinct if row[2] < cutoff])
    assert cut.as_of == cutoff


@given(rows)
def test_liked_is_what_has_a_positive_weight(log: list[Row]) -> None:
    assert plain(of(log).liked()) == [[row for row in history if row[2] > 0] for history in plain(of(log))]


@given(rows, st.lists(st.integers(0, VISITORS - 1)))
def test_taken_visitors_keep_history_country_and_name(log: list[Row], visitors: list[int]) -> None:
    taken = of(log).take(np.array(visitors, np.int64))
    assert plain(taken) == [plain(of(log))[visitor] for visitor in visitors]
    assert taken.visitor_V.tolist() == visitors
    assert taken.country_V.tolist() == [visitor - 1 for visitor in visitors]


@given(rows, st.integers(1, 6))
def test_the_last_items_of_each_history(log: list[Row], length: int) -> None:
    expected_VL = [
        ([item for item, _, _ in history][-length:] + [NONE] * length)[:length] for history in plain(of(log))
    ]
    assert of(log).last(length).tolist() == expected_VL


@given(rows)
def test_the_matrix_sums_what_is_there_twice(log: list[Row]) -> None:
    expected_VI = np.zeros((VISITORS, ITEMS))
    for visitor, item, _, weight in log:
        expected_VI[visitor, item] += weight
    histories = of(log)
    weights = histories.weight_N.copy()
    np.testing.assert_allclose(histories.matrix(histories.weight_N).toarray(), expected_VI)
    np.testing.assert_array_equal(histories.weight_N, weights)


def test_weights_halve_by_age_from_the_latest() -> None:
    day = 86_400.0
    log = of([(1, 0, 0.0, 1.0), (1, 1, 2 * day, 1.0), (1, 2, 3 * day, 1.0), (3, 0, day, 1.0)], as_of=9 * day)
    assert log.decayed(half_life_days=1.0).tolist() == [0.125, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, 7, 0.0, 1.0), "items 7 to 7"),
        ((5, 0, 0.0, 1.0), "visitors 5 to 5"),
        ((0, 0, 1000.0, 1.0), "as_of=1000.0"),
        ((0, 0, float("nan"), 1.0), "as_of"),
        ((0, 0, 0.0, 0.0), "weight"),
        ((0, 0, 0.0, float("nan")), "weight"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of([row])


def test_arrays_that_do_not_fit_are_refused() -> None:
    good = of([(0, 1, 5.0, 1.0), (0, 2, 6.0, 1.0), (2, 1, 3.0, 1.0)])
    arguments = {name: getattr(good, name) for name in Interactions.__dataclass_fields__}
    faults = {
        "item_N": (good.item_N.astype(np.int32), "item_N"),
        "at_N": (np.array([6.0, 5.0, 3.0]), "time order"),
        "weight_N": (good.weight_N[:2], "2 weights"),
        "start_V1": (np.array([0, 2, 1, 3, 3, 3]), "start_V1"),
        "country_V": (good.country_V[:2], "2 countries"),
        "visitor_V": (good.visitor_V[:2], "2 names"),
    }
    for name, (array, message) in faults.items():
        with pytest.raises(ValueError, match=message):
            Interactions(**(arguments | {name: array}))
    with pytest.raises(ValueError, match="country -2"):
        Interactions(**(arguments | {"country_V": np.full(5, -2, np.int32)}))


def test_features_that_do_not_fit_are_refused() -> None:
    unit = np.eye(3, dtype=np.float32)
    one_each = RaggedKeywords(np.array([0, 1, 1]), np.ones(3, np.float32), np.arange(4))
    with pytest.raises(ValueError, match="image_ID"):
        ItemFeatures(unit.astype(np.float64))
    with pytest.raises(ValueError, match="image_ID"):
        ItemFeatures(2 * unit)
    with pytest.raises(ValueError, match="text_IE"):
        ItemFeatures(unit, unit[:2])
    with pytest.raises(ValueError, match=r"keywords .*3 .*2"):
        ItemFeatures(unit[:2], None, one_each, 2)
    with pytest.raises(ValueError, match="keywords 0 to 1"):
        ItemFeatures(unit, None, one_each, 1)


def test_content_is_half_image_and_half_text_where_both_are_there() -> None:
    image = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], np.float32)
    text = np.array([[0, 1], [0, 0], [0, 1], [0, 0]], np.float32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        ItemFeatures(image, text).content(), [[half, 0, 0, half], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], atol=1e-7
    )
