"""The gate's rules: what passes, what fails, what stays open, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.gates import FAIL, INCONCLUSIVE, PASS, Difference, Drift, Evidence, Limits, LowDay, judge

LIMITS = Limits(
    rule="superior",
    margin=0.01,
    segment_margin=0.05,
    must_beat_counting=True,
    max_lost_in_reading=0.01,
    max_detectable_difference=0.1,
    min_index_recall=0.95,
    max_open_seconds=2.0,
    max_bytes_per_photo=2000.0,
    max_memory_mb=500.0,
    max_latency_p99_milliseconds=100.0,
    max_index_bytes=1000,
    max_quarantined_share=0.03,
    max_missing_image_share=0.05,
    max_unseen_query_share=0.9,
    max_unseen_country_share=0.5,
    max_conversion_drop=0.5,
    min_drift_p=0.03,
)
BETTER = Difference(0.02, 0.011, 0.03, 5000, 0.013)
STILL = Drift(
    unseen_query_share=0.9,
    unseen_country_share=0.5,
    last_day_count=1,
    conversion_drop=-0.2,
    low_day=LowDay(0.9, 0.01),
    p_values={"searches": 0.01, "photos": 0.7},
    not_compared={},
)
GOOD = Evidence(
    champion="compared",
    champion_note="",
    overall=BETTER,
    segments={("country", "GB"): Difference(0.01, -0.02, 0.04, 800, 0.05)},
    counting={"popularity": replace(BETTER, low=0.4), "most_converted": BETTER},
    lost_in_reading=0.01,
    index_recall=0.99,
    index_recall_low=0.98,
    open_seconds=2.0,
    bytes_per_photo=2000.0,
    memory_mb=500.0,
    latency_p99_milliseconds=12.5,
    index_bytes=1000,
    quarantined_shares={"photos": 0.0, "conversions": 0.03},
    missing_image_share=0.05,
    drift=STILL,
)


def outcomes(evidence: Evidence, limits: Limits = LIMITS) -> dict[str, str]:
    return {finding.check: finding.outcome for finding in judge(evidence, limits).findings}


def test_a_good_candidate_passes_and_nothing_stands_in_its_way() -> None:
    verdict = judge(GOOD, LIMITS)
    assert verdict.outcome == PASS
    assert verdict.reasons == ()
    assert [finding.check for finding in verdict.findings] == [
        "non-inferiority overall",
        "superiority overall",
        "detectable difference",
        "slices",
        "better than counting",
        "hit rate lost in reading",
        "index recall@10",
        "time to open",
        "bytes a photo",
        "memory of a reader",
        "search latency p99",
        "index size",
        "quarantined rows of photos",
        "quarantined rows of conversions",
        "photos without an image",
        "searches with unseen queries",
        "searches from unseen countries",
        "searches of the last day",
        "drop of conversions per day",
        "drop of conversions on one day",
        "likeness of searches",
        "likeness of photos",
    ]


@pytest.mark.parametrize(
    ("low", "high", "inferiority", "superiority"),
    [
        (0.001, 0.02, PASS, PASS),
        (0.0, 0.02, PASS, INCONCLUSIVE),
        (-0.009, 0.001, PASS, INCONCLUSIVE),
        (-0.009, 0.0, PASS, FAIL),
        (-0.01, 0.02, INCONCLUSIVE, INCONCLUSIVE),
        (-0.03, -0.01, INCONCLUSIVE, FAIL),
        (-0.03, -0.0101, FAIL, FAIL),
    ],
)
def test_intervals_against_margin_and_zero(low: float, high: float, inferiority: str, superiority: str) -> None:
    evidence = replace(GOOD, overall=replace(BETTER, value=(low + high) / 2, low=low, high=high))
    found = outcomes(evidence)
    assert (found["non-inferiority overall"], found["superiority overall"]) == (inferiority, superiority)
    by_parity = outcomes(evidence, replace(LIMITS, rule="parity"))
    assert "superiority overall" not in by_parity
    assert by_parity["non-inferiority overall"] == inferiority


def test_a_slice_that_is_worse_fails_even_if_all_together_are_better() -> None:
    bad = Difference(-0.09, -0.12, -0.06, 400, 0.04)
    verdict = judge(replace(GOOD, segments={("photo_age", "new"): bad}), LIMITS)
    assert verdict.outcome == FAIL
    assert verdict.reasons == (
        "slice photo_age new: worse by more than the margin of 5 points (-9.00, -12.00 to -6.00 points, 400 searches)",
    )


def test_a_slice_need_not_be_shown_to_be_as_good() -> None:
    unsure = {
        ("country", "DE"): Difference(-0.02, -0.4, 0.4, 30, 0.6),
        ("country", "FR"): Difference(0, -0.1, 0.1, 300, 0.2),
    }
    verdict = judge(replace(GOOD, segments=unsure), LIMITS)
    assert verdict.outcome == PASS
    (finding,) = (one for one in verdict.findings if one.check == "slices")
    assert finding.reason.startswith(
        "none of 2 slices is surely worse by more than 5 points (nearest to it country FR: "
    )


@pytest.mark.parametrize("rule", ["superior", "parity"])
@pytest.mark.parametrize("champion", ["compared", "none"])
def test_so_few_searches_that_little_could_be_shown_leave_it_open(rule: Any, champion: Any) -> None:
    few = replace(BETTER, value=0.9, low=0.5, high=1.0, query_count=7, detectable=0.4)
    verdict = judge(replace(GOOD, overall=few, champion=champion), replace(LIMITS, rule=rule))
    assert verdict.outcome == INCONCLUSIVE
    assert verdict.reasons == (
        "7 searches are too few to judge by: only a difference of 40.00 points would be found, 10 points are to be. "
        "More searches, of more visitors and for more queries, are needed, about 16.0 times as many",
    )


NAN = float("nan")
NOTHING = Difference(NAN, NAN, NAN, 0, NAN)


@pytest.mark.parametrize(
    "change",
    [
        {"lost_in_reading": NAN},
        {"index_recall": NAN},
        {"index_recall_low": NAN},
        {"index_recall": 1.0, "index_recall_low": 0.5},  # of one query
        {"open_seconds": NAN},
        {"bytes_per_photo": NAN},
        {"memory_mb": NAN},
        {"latency_p99_milliseconds": NAN},
        {"index_bytes": 0},
        {"quarantined_shares": {}},
        {"quarantined_shares": {"photos": NAN}},
        {"missing_image_share": NAN},
        {"drift": replace(STILL, unseen_query_share=NAN)},
        {"drift": replace(STILL, unseen_country_share=NAN)},
        {"drift": replace(STILL, conversion_drop=NAN)},
        {"drift": replace(STILL, low_day=LowDay(NAN, NAN))},
        {"drift": replace(STILL, p_values={"photos": NAN})},
    ],
    ids=str,
)
def test_what_is_missing_or_no_number_passes_nowhere(change: dict[str, Any]) -> None:
    for rule in ("superior", "parity"):
        verdict = judge(replace(GOOD, **change), replace(LIMITS, rule=rule))
        assert verdict.outcome != PASS
        assert verdict.reasons


@pytest.mark.parametrize(
    "change",
    [
        {"overall": NOTHING},
        {"overall": replace(BETTER, low=NAN)},
        {"overall": replace(BETTER, detectable=NAN)},
        {"overall": replace(BETTER, query_count=0)},
        {"overall": NOTHING, "champion": "none"},
        {"segments": {}},
        {"segments": {("country", "GB"): NOTHING}},
        {"segments": {("country", "GB"): replace(BETTER, high=NAN)}},
        {"segments": {("country", "GB"): replace(BETTER, query_count=0)}},
        {"counting": {}},
        {"counting": {"popularity": BETTER, "most_converted": NOTHING}},
        {"counting": {"popularity": NOTHING}, "champion": "same"},
    ],
    ids=str,
)
def test_a_comparison_without_a_figure_fails(change: dict[str, Any]) -> None:
    for rule in ("superior", "parity"):
        verdict = judge(replace(GOOD, **change), replace(LIMITS, rule=rule))
        assert verdict.outcome == FAIL
        assert verdict.reasons


@pytest.mark.parametrize("champion", ["compared", "same", "none", "left_out"])
@pytest.mark.parametrize("low", [0.0, -0.01])
def test_whoever_is_champion_the_candidate_must_surely_beat_every_counting_baseline(champion: Any, low: float) -> None:
    close = {"popularity": BETTER, "most_converted": replace(BETTER, value=0.01, low=low)}
    evidence = replace(GOOD, counting=close, champion=champion)
    verdict = judge(evidence, LIMITS)
    assert verdict.outcome == FAIL
    (finding,) = (one for one in verdict.findings if one.check == "better than counting")
    assert finding.outcome == FAIL
    assert finding.figure.startswith("most_converted: +1.00, ")
    not_asked = judge(evidence, replace(LIMITS, must_beat_counting=False))
    assert "better than counting" not in {one.check for one in not_asked.findings}
    assert not_asked.outcome == (INCONCLUSIVE if champion == "left_out" else PASS)


def test_without_a_champion_the_candidate_must_beat_the_untrained_model_by_any_rule() -> None:
    first = replace(GOOD, champion="none")
    assert judge(first, LIMITS).outcome == PASS
    worse = replace(first, overall=replace(BETTER, value=-0.02, low=-0.03, high=-0.01))
    for rule in ("superior", "parity"):
        verdict = judge(worse, replace(LIMITS, rule=rule))
        assert verdict.outcome == FAIL
        assert verdict.reasons[0].startswith("not better than the untrained model, as there is no champion")


def test_a_champion_that_could_not_be_compared_leaves_it_open() -> None:
    verdict = judge(replace(GOOD, champion="left_out", champion_note="it has seen answers"), LIMITS)
    assert verdict.outcome == INCONCLUSIVE
    assert verdict.reasons == ("it has seen answers",)


def test_the_champions_own_model_is_judged_by_its_index_alone() -> None:
    same = replace(GOOD, champion="same", overall=replace(BETTER, value=0.0, low=0.0, high=0.0))
    assert judge(same, LIMITS).outcome == PASS
    assert judge(replace(same, index_recall=0.9), LIMITS).outcome == FAIL


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"lost_in_reading": 0.0101}, "hit rate lost in reading"),
        ({"index_recall": 0.9499}, "index recall@10"),
        ({"index_recall": float("nan")}, "index recall@10"),
        ({"open_seconds": 2.01}, "time to open"),
        ({"bytes_per_photo": 2000.1}, "bytes a photo"),
        ({"memory_mb": 500.1}, "memory of a reader"),
        ({"latency_p99_milliseconds": 100.1}, "search latency p99"),
        ({"index_bytes": 1001}, "index size"),
        ({"quarantined_shares": {"photos": 0.031}}, "quarantined rows of photos"),
        ({"missing_image_share": 0.0501}, "photos without an image"),
        ({"drift": replace(STILL, unseen_query_share=0.901)}, "searches with unseen queries is 90.10%, at most 90.00%"),
        ({"drift": replace(STILL, unseen_country_share=0.51)}, "searches from unseen countries is 51.00%"),
        ({"drift": replace(STILL, conversion_drop=0.6)}, "drop of conversions per day is 60.00%"),
        ({"drift": replace(STILL, last_day_count=0)}, "searches of the last day is 0, at least 1"),
        ({"drift": replace(STILL, low_day=LowDay(0.51, 0.009))}, "drop of conversions on one day is 51.00%, p 0.0090"),
        ({"drift": replace(STILL, p_values={"searches": 0.9, "photos": 0.009})}, "likeness of photos is p 0.0090"),
    ],
)
def test_every_limit_fails_the_gate_by_itself(change: dict[str, Any], check: str) -> None:
    verdict = judge(replace(GOOD, **change), LIMITS)
    assert verdict.outcome == FAIL
    (reason,) = verdict.reasons
    assert reason.startswith(check)


def test_a_day_is_low_if_it_is_far_below_and_surely_so() -> None:
    for day in (LowDay(0.5, 0.0), LowDay(1.0, 0.01)):
        assert judge(replace(GOOD, drift=replace(STILL, low_day=day)), LIMITS).outcome == PASS


def test_what_is_tested_shares_the_limit_among_it() -> None:
    """Three tests at .03 ask .01 of each, one asks .03: nights without drift fail as seldom, however many there are."""
    alone = replace(STILL, low_day=None, p_values={"searches": 0.029})
    assert judge(replace(GOOD, drift=alone), LIMITS).outcome == FAIL
    assert judge(replace(GOOD, drift=replace(alone, p_values={"searches": 0.03})), LIMITS).outcome == PASS


@pytest.mark.parametrize(
    "change",
    [
        {"unseen_query_share": float("nan")},
        {"unseen_country_share": float("nan")},
        {"last_day_count": float("nan")},
        {"conversion_drop": float("nan")},
        {"low_day": LowDay(float("nan"), 1.0)},
        {"low_day": LowDay(0.9, float("nan"))},
        {"p_values": {"searches": float("nan"), "photos": 1.0}},
    ],
)
def test_what_is_no_number_never_passes(change: dict[str, Any]) -> None:
    assert judge(replace(GOOD, drift=replace(STILL, **change)), LIMITS).outcome == FAIL


def test_what_has_nothing_to_be_compared_with_passes_and_says_so() -> None:
    first = Drift(0.1, 0.0, 5, None, None, {}, {"searches": "the log is young"})
    verdict = judge(replace(GOOD, drift=first), LIMITS)
    assert verdict.outcome == PASS
    found = {finding.check: (finding.figure, finding.reason) for finding in verdict.findings}
    assert found["likeness of searches"] == ("not compared", "likeness of searches: the log is young")
    assert found["drop of conversions per day"][0] == found["drop of conversions on one day"][0] == "not compared"


def test_a_limit_that_is_not_set_is_not_checked() -> None:
    names = ("max_unseen_query_share", "max_unseen_country_share", "max_conversion_drop", "min_drift_p")
    unlimited = replace(LIMITS, **dict.fromkeys(names))
    far = Drift(1.0, 1.0, 1, 1.0, LowDay(1.0, 0.0), {"photos": 0.0}, {"searches": "and more"})
    verdict = judge(replace(GOOD, drift=far), unlimited)
    assert verdict.outcome == PASS
    assert len(verdict.findings) == 16


shares = st.floats(-1, 1)


@given(st.lists(st.tuples(shares, shares, shares), min_size=1, max_size=6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_margin_never_makes_a_verdict_worse(
    ends: list[tuple[float, float, float]], one: float, other: float
) -> None:
    found = [Difference(sorted(e)[1], min(e), max(e), 500, 0.1) for e in ends]
    evidence = replace(GOOD, overall=found[0], segments={("s", str(i)): d for i, d in enumerate(found)})
    order = {FAIL: 0, INCONCLUSIVE: 1, PASS: 2}
    narrow, wide = sorted((one, other))
    ranks = [
        order[judge(evidence, replace(LIMITS, rule="parity", margin=m, segment_margin=m)).outcome]
        for m in (narrow, wide)
    ]
    assert ranks[0] <= ranks[1]


@given(shares, shares, shares)
def test_the_verdict_is_that_of_the_worst_finding(a: float, b: float, c: float) -> None:
    low, value, high = sorted((a, b, c))
    verdict = judge(replace(GOOD, overall=replace(BETTER, value=value, low=low, high=high)), LIMITS)
    found = {finding.outcome for finding in verdict.findings}
    assert verdict.outcome == (FAIL if FAIL in found else INCONCLUSIVE if INCONCLUSIVE in found else PASS)
    assert (verdict.reasons == ()) == (verdict.outcome == PASS)
