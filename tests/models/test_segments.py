"""Which slice a query belongs to: cuts that part no equals, scripts of real queries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import segments as s
from models.text import normalise_query


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_the_head_is_at_most_half_of_the_past_and_the_torso_up_to_nine_tenths(counts: list[int]) -> None:
    cuts = s.FrequencyCuts.of(counts)
    names = np.array([cuts.name(count) for count in counts])
    total = np.array(counts)
    assert total[names == "head"].sum() <= 0.5 * total.sum()
    assert total[names != "tail"].sum() <= 0.9 * total.sum()
    assert cuts.name(0) == "tail"
    assert 1 <= cuts.torso_min_count <= cuts.head_min_count
    for low, high in (("tail", "torso"), ("torso", "head")):  # the next lower group would have been too much
        if (names == low).any():
            group = total[names == low].max()
            share = {"tail": 0.9, "torso": 0.5}[low]
            assert total[total >= group].sum() > share * total.sum(), (low, high)


def test_without_repetition_or_past_all_queries_are_tail() -> None:
    for counts in ([], [1, 1, 1, 1]):
        cuts = s.FrequencyCuts.of(counts)
        assert {cuts.name(count) for count in (0, *counts)} == {"tail"}


@pytest.mark.parametrize(
    ("query", "script"),
    [
        ("cat 2024", "latin"),
        ("ＣＡＴ", "latin"),
        ("страница cat", "cyrillic"),
        ("γάτα", "greek"),
        ("قطة", "arabic"),
        ("חתול", "hebrew"),
        ("बिल्ली", "devanagari"),
        ("แมว", "thai"),
        ("黑猫", "han"),
        ("ネコ", "japanese"),
        ("黒猫がいる", "japanese"),
        ("iphone ケース", "latin"),
        ("고양이", "korean"),
        ("❤ 100%", "no letters"),
        ("", "no letters"),
        ("\U000f0000", "no letters"),
    ],
)
def test_the_script_of_a_query(query: str, script: str) -> None:
    assert s.script_of(normalise_query(query)) == script


@given(st.text())
def test_every_text_has_a_script(text: str) -> None:
    script = s.script_of(text)
    assert script
    assert script == script.lower()
