"""Features: what is not known is missing, and nothing of the future is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.rerank.candidates import VECTOR
from models.rerank.features import FEATURES, HISTORY, ORIENTATIONS, mask_history, orientation_match
from models.rerank.history import DAY, DEVICES, Events
from tests.models.rerank.world import COUNTRIES, Asked, World, joined

BY_VECTOR: dict[str, Any] = {"sources": (VECTOR,), "vector_count": 30}


def columns(asked: Asked) -> dict[str, np.ndarray]:
    matrix = np.concatenate([matrix for *_, matrix in asked.blocks()])
    return dict(zip(FEATURES, matrix.T, strict=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_planted_future_conversion_changes_no_feature(seed: int) -> None:
    plain = World.of(seed, photo_count=40, text_count=8, event_count=200, new_count=6)
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 200))
    future = Events(
        random.integers(0, 40, count),
        random.integers(0, 8, count),
        random.integers(0, COUNTRIES, count),
        random.integers(0, len(DEVICES), count),
        plain.cutoff + random.integers(0, 9 * DAY, count),
    )
    future.at[0] = plain.cutoff
    again = World.of(seed, photo_count=40, text_count=8, event_count=200, new_count=6)
    ours, theirs = (
        columns(plain.asked(30, **BY_VECTOR)),
        columns(again.asked(30, joined(again.events, future), **BY_VECTOR)),
    )
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    past = replace(future, at=future.at - 9 * DAY)
    once_more = World.of(seed, photo_count=40, text_count=8, event_count=200, new_count=6)
    changed = columns(once_more.asked(30, joined(plain.events, past), **BY_VECTOR))
    assert any((ours[name] != changed[name]).any() for name in HISTORY)
    assert not np.array_equal(ours["device_affinity"], changed["device_affinity"], equal_nan=True)
    for name in ("device", "orientation_match"):  # of the search itself
        np.testing.assert_array_equal(ours[name], changed[name])


def test_every_feature_equals_a_plain_count() -> None:
    world = World.of(3)
    asked_for = world.asked(20, vector_count=20)
    log, cutoff = world.events, world.cutoff
    checked = 0
    for _, searches, candidates, matrix in asked_for.blocks():
        for row, place, values in zip(candidates.row, candidates.place, matrix, strict=True):
            found = dict(zip(FEATURES, values, strict=True))
            text, country = searches.query[row], searches.country[row]
            match = asked_for.search.tables.keywords.scores(f"word{text}")
            assert found["keyword_score"] == pytest.approx(match[place])
            assert found["words"] == 1
            assert found["words_covered"] == (match[place] > 0)
            age = searches.asked_at[row] // DAY - world.available_at[place] // DAY
            assert age >= 0
            assert found["photo_age_days"] == age
            device = searches.device[row]
            np.testing.assert_equal(found["device"], np.float32(device if device >= 0 else np.nan))
            if world.available_at[place] >= cutoff:
                assert all(np.isnan(found[name]) for name in HISTORY)
                continue
            own = log.photo == place
            asked = own & (log.query == text)
            assert found["photo_conversions"] == pytest.approx(np.log1p(own.sum()), rel=1e-5)
            assert found["photo_conversions_7_days"] == pytest.approx(
                np.log1p((own & (cutoff - log.at <= 7 * DAY)).sum()), rel=1e-5
            )
            assert found["query_photo_conversions"] == pytest.approx(np.log1p(asked.sum()), rel=1e-5)
            assert found["query_country_conversions"] == pytest.approx(
                np.log1p((asked & (log.country == country)).sum()), rel=1e-5
            )
            assert found["query_photo_share"] == pytest.approx(asked.sum() / ((log.query == text).sum() + 5), rel=1e-5)
            assert np.isnan(found["device_affinity"]) == (device < 0)
            if device >= 0:
                share = ((log.device == device).sum() + 1) / ((log.device >= 0).sum() + 3)
                part = ((own & (log.device == device)).sum() + 5 * share) / ((own & (log.device >= 0)).sum() + 5)
                assert found["device_affinity"] == pytest.approx(np.log(part / share), rel=1e-4, abs=1e-5)
            checked += 1
    assert checked > 500


def test_a_query_nobody_has_asked_has_no_counts_but_the_photo_keeps_its_own() -> None:
    world = World.of(4)
    log = world.events
    unasked = int(world.asked(60).searches.query[0])
    kept = log.query != unasked
    events = Events(*(getattr(log, name)[kept] for name in Events.__dataclass_fields__))
    _, searches, candidates, matrix = next(iter(World.of(4).asked(60, events).blocks()))
    rows = np.isin(candidates.row, np.flatnonzero(searches.query == unasked))
    found = dict(zip(FEATURES, matrix[rows].T, strict=True))
    assert np.isnan(found["query_photo_conversions"]).all()
    assert np.isnan(found["query_photo_share"]).all()
    assert not np.isnan(found["photo_conversions"]).all()
    assert (found["query_conversions"] == 0).all()


ASPECTS = {1.5: "landscape", 0.66: "portrait", 1.0: "squarish"}


@given(st.lists(st.tuples(st.sampled_from((*ASPECTS, np.nan)), st.sampled_from((*ORIENTATIONS, None))), max_size=20))
def test_a_photo_fits_the_orientation_asked_for_or_not_or_there_is_nothing_to_say(
    cases: list[tuple[float, str | None]],
) -> None:
    numbers = [-1 if asked is None else ORIENTATIONS.index(asked) for _, asked in cases]
    found = orientation_match(np.array(numbers, np.int64), np.array([aspect for aspect, _ in cases], np.float64))
    for value, (aspect, asked) in zip(found, cases, strict=True):
        if asked is None or np.isnan(aspect):
            assert np.isnan(value)
        else:
            assert value == (ASPECTS[aspect] == asked)


def test_what_is_nearly_square_is_also_wide_or_high() -> None:
    aspect = np.array([1.09, 1.09, 1.11, 1 / 1.09, 1 / 1.09, 1 / 1.11])
    asked = ("landscape", "squarish", "squarish", "portrait", "squarish", "squarish")
    numbers = np.array([ORIENTATIONS.index(name) for name in asked])
    assert orientation_match(numbers, aspect).tolist() == [1, 1, 0, 1, 1, 0]


def test_a_country_without_past_conversions_has_none() -> None:
    asked = World.of(4).asked(60)
    elsewhere = replace(asked, searches=replace(asked.searches, country=np.full(60, -1)))
    found, there = columns(elsewhere), columns(asked)
    is_old = ~np.isnan(found["country_conversions"])
    assert (found["country_conversions"][is_old] == 0).all()
    assert np.nanmax(there["country_conversions"]) > 0
    assert (found["query_country_conversions"][found["query_country_conversions"] > 0]).size == 0
    assert (found["country_affinity"][is_old] <= 0).all()


def test_gaps_are_distances_to_the_best_of_the_search() -> None:
    found = columns(World.of(5).asked(20, vector_count=30))
    assert (found["vector_gap"][found["vector_rank"] == 1] == 0).all()
    named = ~np.isnan(found["vector_score"])
    assert 0 < named.mean() < 1
    assert (found["vector_gap"][named] >= 0).all()
    assert (np.isnan(found["vector_gap"]) == ~named).all()
    assert (np.isnan(found["vector_rank"]) == ~named).all()
    assert np.nanmax(found["keyword_share"]) == 1


def test_masked_rows_have_no_history_and_keep_the_rest() -> None:
    masked, again = (np.ones((4000, len(FEATURES)), dtype=np.float32) for _ in range(2))
    for matrix in (masked, again):
        mask_history(matrix, 0.25, seed=0)
    is_history = np.isin(FEATURES, HISTORY)
    lost = np.isnan(masked).any(axis=1)
    assert lost.mean() == pytest.approx(0.25, abs=0.03)
    assert np.isnan(masked[lost][:, is_history]).all()
    assert (masked[:, ~is_history] == 1).all()
    assert np.array_equal(masked, again, equal_nan=True)


def test_photos_without_dates_have_no_age_and_those_without_a_past_no_history() -> None:
    asked = World.of(5).asked(40, vector_count=30)
    undated = replace(asked.search.tables, photos=replace(asked.search.tables.photos, is_dated=False))
    found, dated = columns(replace(asked, search=replace(asked.search, tables=undated))), columns(asked)
    for name in ("photo_age_days", "photo_observed_days", "photo_daily_rate"):
        assert np.isnan(found[name]).all(), name
    is_known = dated["photo_conversions"] > 0
    np.testing.assert_array_equal(~np.isnan(found["photo_conversions"]), is_known)
    assert 0 < is_known.mean() < 1
    np.testing.assert_array_equal(found["vector_score"], dated["vector_score"])
