"""What the evaluation says in a sentence: is the search better than what is live, and what are fresh counts worth."""

from __future__ import annotations

from jobs.config.params.arms import CHAMPION_ARM, HOURLY_COUNTS, NIGHTLY_COUNTS, RERANKED, TRENDING, ZERO_SHOT
from jobs.datasets.evaluation import PastFacts, TrendingFacts, VerdictFacts
from jobs.evaluation.arm_plan import Plan
from jobs.evaluation.ranked_arm import BASELINES
from models.evaluation.metrics import columns
from models.evaluation.scorecard import Scorecard
from models.gates import Difference

METRIC, CUTOFF = "hit_rate", 10
"""What the verdict is about."""
KNOWN_PAST, UNKNOWN_PAST = "known_past", "unknown_past"
"""The same search of somebody who took photos before: knowing these, and not."""


def rates(card: Scorecard) -> dict[str, float]:
    """Return every arm's value of the verdict's metric."""
    return {arm: card.value(arm, METRIC, CUTOFF) for arm in card.arms}


def rival(card: Scorecard, plan: Plan) -> str:
    """Return the arm shown beside the challenger: the champion, or else the strongest that ranks all by itself."""
    if CHAMPION_ARM in card.arms:
        return CHAMPION_ARM
    others = {arm: rate for arm, rate in rates(card).items() if arm not in (plan.challenger, *TRENDING, RERANKED)}
    return max(others, key=others.__getitem__)


def verdict(card: Scorecard, plan: Plan) -> VerdictFacts:
    """Return the challenger's difference to the champion, or to the zero-shot base where there is none to compare."""
    compared_with = CHAMPION_ARM if CHAMPION_ARM in card.arms else ZERO_SHOT
    less = _difference(card, plan.challenger, compared_with)
    value, low, high, detectable = less.value, less.low, less.high, less.detectable
    finding = "is better than" if low > 0 else "is worse than" if high < 0 else "is not shown to differ from"
    other = f"champion version {plan.champion_version}" if compared_with == CHAMPION_ARM else compared_with
    note = f" ({plan.champion_note})" if plan.champion_note else ""
    visitors, queries, _ = card.cluster_counts
    ours, theirs = (rates(card)[arm] for arm in (plan.challenger, compared_with))
    return VerdictFacts(
        challenger=plan.challenger,
        compared_with=compared_with,
        metric=METRIC,
        k=CUTOFF,
        difference=value,
        low=low,
        high=high,
        detectable=detectable,
        is_better=low > 0,
        counting={arm: _difference(card, plan.challenger, arm) for arm in BASELINES},
        sentence=(
            f"{plan.challenger} {finding} {other}{note}: hit rate@{CUTOFF} {ours:.3f} against {theirs:.3f}, "
            f"difference {value:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, {card.query_count} searches of "
            f"{visitors} visitors for {queries} queries; detectable was {detectable:.3f})."
        ),
    )


def trending(card: Scorecard, plan: Plan) -> TrendingFacts:
    """Return what counts that are an hour old at most are worth, or why that is not known."""
    if plan.reranker_note:
        return TrendingFacts(note=f"without a reranker a search uses no counts ({plan.reranker_note})")
    over_start, over_nightly = (_difference(card, HOURLY_COUNTS, arm) for arm in (RERANKED, NIGHTLY_COUNTS))
    return TrendingFacts(
        over_start=over_start,
        over_nightly=over_nightly,
        sentence=(
            f"With counts refreshed every hour instead of every day the hit rate@{CUTOFF} of the released search "
            f"changes by {_spell(over_nightly)}, instead of at the window's beginning by {_spell(over_start)}."
        ),
    )


def worth_of_past(card: Scorecard) -> PastFacts:
    """Return what it is worth to know what visitors took before, by a scorecard of the searches of those who did."""
    known, unknown = (card.value(arm, METRIC, CUTOFF) for arm in (KNOWN_PAST, UNKNOWN_PAST))
    gain = _difference(card, KNOWN_PAST, UNKNOWN_PAST)
    return PastFacts(
        search_count=card.query_count,
        hit_rate_at_10=known,
        hit_rate_at_10_without=unknown,
        gains={
            f"{METRIC}@{CUTOFF}": gain,
            f"mrr@{CUTOFF}": _difference(card, KNOWN_PAST, UNKNOWN_PAST, "mrr"),
        },
        sentence=(
            f"For {card.query_count} searches of visitors who took something before, the hit rate@{CUTOFF} is "
            f"{known:.3f}. It changes by {_spell(gain)} because the search knows what they took."
        ),
    )


def _spell(less: Difference) -> str:
    value, low, high = (100 * one for one in (less.value, less.low, less.high))
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def _difference(card: Scorecard, arm: str, baseline: str, metric: str = METRIC) -> Difference:
    found, column = card.difference(arm, baseline), columns().index((metric, CUTOFF))
    value, low, high, detectable = (
        float(one[column]) for one in (found.value, found.low, found.high, found.detectable)
    )
    return Difference(value, low, high, card.query_count, detectable)
