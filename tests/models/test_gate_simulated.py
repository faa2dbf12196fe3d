"""The gate as a whole on made-up nights: how often it fails, passes or stays open, over effect and searches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters
from models.gates import FAIL, INCONCLUSIVE, PASS, Difference, judge
from tests.models.search_logs import Log, differences, zipf_log
from tests.models.test_gates import GOOD, LIMITS


def compared(value_Q: np.ndarray, log: Log, family: int = 1) -> Difference:
    """The difference that the evaluation hands to the gate: of two arms whose hits differ by these values."""
    arms = {"challenger": (value_Q[:, None] + 1) / 2, "champion": np.full((len(value_Q), 1), 0.5)}
    card = Scorecard.of_values({arm: 2 * hit for arm, hit in arms.items()}, Clusters.of(log.visitor_Q, log.query_Q))
    found = card.difference("challenger", "champion").among(family)
    value, low, high, detectable = (float(part[0]) for part in (found.value, found.low, found.high, found.detectable))
    return Difference(value, low, high, len(value_Q), detectable)


def night(random: np.random.Generator, searches: int, effect: float, countries: int = 60) -> str:
    """The gate's outcome where the challenger is `effect` better everywhere, in every country alike."""
    log = zipf_log(random, searches, 500)
    value_Q = differences(random, log, mean=effect, query_spread=0.05)
    share_C = 1 / np.arange(1, countries + 1)
    country_Q = random.choice(countries, searches, p=share_C / share_C.sum())[log.visitor_Q]  # of the visitor
    slices = {}
    for country in np.unique(country_Q):
        part = Log(log.visitor_Q[country_Q == country], log.query_Q[country_Q == country])
        slices["country", str(country)] = compared(value_Q[country_Q == country], part, countries)
    return judge(replace(GOOD, overall=compared(value_Q, log), segments=slices), LIMITS).outcome


def outcomes(searches: int, effect: float, nights: int) -> Counter[str]:
    random = np.random.default_rng(7)
    return Counter(night(random, searches, effect) for _ in range(nights))


@pytest.mark.parametrize("effect", [0.0, 0.02])
def test_slices_fail_few_nights_by_their_number(effect: float) -> None:
    assert outcomes(3000, effect, 30)[FAIL] <= 3


def test_a_handful_of_searches_never_passes() -> None:
    random = np.random.default_rng(8)
    for visitors, queries in ((1, 5), (5, 1), (5, 5)):
        log = Log(np.arange(5) % visitors, np.arange(5) % queries)
        evidence = replace(
            GOOD, overall=compared(np.ones(5), log), segments={("all", "all"): compared(np.ones(5), log)}
        )
        assert judge(evidence, LIMITS).outcome == INCONCLUSIVE
    assert night(random, 40, 0.2) != PASS
