"""The queries on the contact sheet: of every kind, from every country, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.examples import Example, choose_examples

COUNTRIES = ("US", "JP", "DE")


def candidates(count: int, seed: int = 0) -> list[Example]:
    random = np.random.default_rng(seed)
    return [
        Example(
            row=row,
            text=f"query {row}",
            country=str(random.choice(COUNTRIES, p=[0.9, 0.05, 0.05])),
            is_failure=bool(random.random() < 0.2),
            is_new_photo=bool(random.random() < 0.2),
        )
        for row in range(count)
    ]


def test_every_kind_and_every_country_is_shown() -> None:
    chosen = choose_examples(candidates(500), 12)
    assert [example.kind for example in chosen] == ["plain"] * 6 + ["new"] * 3 + ["failure"] * 3
    assert sorted(example.country for example in chosen) == sorted(COUNTRIES * 4)
    assert len({example.row for example in chosen}) == 12


def test_the_choice_is_stable() -> None:
    given = candidates(200)
    assert choose_examples(given[::-1], 9) == choose_examples(given, 9)


@pytest.mark.parametrize(("available", "wanted"), [(0, 4), (3, 8), (50, 1), (50, 3)])
def test_as_many_as_there_are_and_no_more(available: int, wanted: int) -> None:
    assert len(choose_examples(candidates(available), wanted)) == min(available, wanted)


def test_others_fill_up_where_a_kind_is_missing() -> None:
    only_failures = [Example(row, str(row), "US", is_failure=True, is_new_photo=False) for row in range(20)]
    assert len(choose_examples(only_failures, 8)) == 8
