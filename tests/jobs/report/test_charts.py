"""Charts: axes that cover their values, and marks and lines that lie where the values are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.report import charts


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(4, 10))
def test_ticks_are_few_round_and_cover_the_values(low: float, span: float, most: int) -> None:
    ticks = charts.nice_ticks(low, low + span, most)
    slack = 1e-6 * max(1.0, abs(low), span)  # less than a pixel
    assert 2 <= len(ticks) <= most
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    steps = {round((b - a) / (ticks[1] - ticks[0]), 4) for a, b in itertools.pairwise(ticks)}
    assert steps == {1.0}


def test_marks_lie_where_their_values_are() -> None:
    mark = charts.Mark(0.5, 0.25, 1.0, "arm-x", "circle", "half")
    chart = charts.dot_chart("k", "t", "d", [charts.DotRow("row", "50%", "", (mark,))], str, include=(0.0,))
    ends = chart.ticks[0].at, chart.ticks[-1].at
    assert chart.across.at(mark.value) == pytest.approx(sum(ends) / 2)
    assert chart.across.at(1.0) == ends[1]
    assert chart.across.at(0.25) == pytest.approx(ends[0] + (ends[1] - ends[0]) / 4)


def test_a_line_goes_through_its_points_and_marks_the_best() -> None:
    series = charts.Series("a", "arm-x", ((0.0, 0.0), (1.0, 1.0), (2.0, 0.5)), best=1)
    chart = charts.line_chart(
        "k", "t", "d", [series], x_ticks=[(0, "0"), (2, "2")], x_label="x", format_tick=str, format_value=str
    )
    assert chart.note(series, series.points[1]) == "a, 1: 1.0"
    middle, end = chart.down.at(1.0), chart.down.at(0.5)
    assert chart.down.at(0.0) == chart.axis_y
    assert chart.path(series) == f"M9,{chart.axis_y:g} L53.25,{middle:g} L97.5,{end:g}"
