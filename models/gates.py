"""The gate: whether a candidate may be proposed to go live. Pure: evidence and limits in, findings out.

What belongs here: the rules. Where the evidence comes from and what is done with a verdict is the caller's affair.
Differences are candidate less champion of one metric, as shares, with the ends of their paired 95 % intervals. A
figure that is missing or no number passes nowhere, and a comparison without one fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from models.limits import is_within

Outcome = Literal["pass", "fail", "inconclusive"]
Rule = Literal["superior", "parity"]
Champion = Literal["compared", "same", "left_out", "none"]
PASS: Outcome = "pass"
FAIL: Outcome = "fail"
INCONCLUSIVE: Outcome = "inconclusive"


@dataclass(frozen=True)
class Difference:
    """A paired difference of the primary metric on all queries, or on one slice of them.

    The interval of a slice is that of one of all slices. A true difference of the size `detectable` would have been
    found in four of five such nights.
    """

    value: float
    low: float
    high: float
    query_count: int
    detectable: float

    @property
    def is_measured(self) -> bool:
        """Whether searches were compared and all figures are numbers."""
        figures = (self.value, self.low, self.high, self.detectable)
        return self.query_count > 0 and not any(math.isnan(figure) for figure in figures)


@dataclass(frozen=True)
class LowDay:
    """The lowest of the last seven days: the share by which its conversions lie below what is usual, and how surely."""

    drop: float
    p_value: float


@dataclass(frozen=True)
class Drift:
    """What moved. `conversion_drop` is the share by which the last week's conversions lie below the weeks before.

    It is None, and so is `low_day`, if the log is too short to tell. `p_values` say by what was compared how probable
    it is that what is usual is as unlike what was before; `not_compared` of what there is nothing before, and why.
    """

    unseen_query_share: float
    unseen_country_share: float
    last_day_count: int
    conversion_drop: float | None
    low_day: LowDay | None
    p_values: Mapping[str, float]
    not_compared: Mapping[str, str]


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate. `segments` are the slices by (kind, name), `quarantined_shares` by table.

    In the latter, rows that are bad only for want of their photo are left out. `index_recall_low` is the lower end of
    the recall's interval.

    `champion` is "compared", "same" (model and reranker are the champion's: only index and tables are new), "left_out"
    (there is one that could not be compared fairly, `champion_note` says why), or "none". Differences are to the
    champion if it was compared, else to the model that was never trained on conversions. `counting` are the differences
    to each baseline that counts or matches words, over all queries. `lost_in_reading` is how much lower the primary
    metric is where the release's own reader answers the same searches.
    """

    champion: Champion
    champion_note: str
    overall: Difference
    segments: Mapping[tuple[str, str], Difference]
    counting: Mapping[str, Difference]
    lost_in_reading: float
    index_recall: float
    index_recall_low: float
    open_seconds: float
    bytes_per_photo: float
    memory_mb: float
    latency_p99_milliseconds: float
    index_bytes: int
    quarantined_shares: Mapping[str, float]
    missing_image_share: float
    drift: Drift


@dataclass(frozen=True)
class Limits:
    """What is asked of a candidate; see `judge`. What is None is not asked."""

    rule: Rule
    margin: float
    segment_margin: float
    must_beat_counting: bool
    max_detectable_difference: float
    max_lost_in_reading: float
    min_index_recall: float
    max_open_seconds: float
    max_bytes_per_photo: float
    max_memory_mb: float
    max_latency_p99_milliseconds: float
    max_index_bytes: int
    max_quarantined_share: float
    max_missing_image_share: float
    max_unseen_query_share: float | None
    max_unseen_country_share: float | None
    max_conversion_drop: float | None
    min_drift_p: float | None


@dataclass(frozen=True)
class Finding:
    """The result of one check: the figure that was found, the limit it was held against, and why in words."""

    check: str
    outcome: Outcome
    figure: str
    limit: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """All findings, and what they amount to: fail if any failed, else inconclusive if any is, else pass."""

    outcome: Outcome
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What stands in the way; empty if the gate is passed."""
        return tuple(finding.reason for finding in self.findings if finding.outcome != PASS)


def judge(evidence: Evidence, limits: Limits) -> Verdict:
    """Return the verdict on a candidate.

    - Against the champion: not worse by more than `margin` overall; by the rule "superior" also better. No slice may be
      surely worse by more than `segment_margin`: few searches show little, so a slice need not be shown to be as good.
    - Without a champion: better than the untrained model overall whatever the rule, and surely worse in no slice.
    - Whatever is compared: with so many searches that a difference of `max_detectable_difference` could be shown.
    - A champion that could not be compared: inconclusive. Its own model and reranker: nothing to compare.
    - Better than counting, if that is asked: surely better than every baseline that counts or matches words. All must
      be beaten, so none of the intervals needs to be wider for their number (an intersection-union test).
    - Always: what is lost in reading, index recall (with its interval), opening, latency, size, quarantined rows and
      missing images within their limits, and drift within those that are set, `min_drift_p` being shared out among what
      is tested (Bonferroni). What has nothing to be compared with passes, and says so. A last day without searches
      fails.

    Non-inferiority passes if the whole interval lies above -margin, fails if it lies below, and is inconclusive else.
    """
    findings = [
        *_compared(evidence, limits),
        *(_over_counting(evidence.counting) if limits.must_beat_counting else ()),
        *_measured(evidence, limits),
        *_drifted(evidence.drift, limits),
    ]
    outcomes = {finding.outcome for finding in findings}
    outcome = FAIL if FAIL in outcomes else INCONCLUSIVE if INCONCLUSIVE in outcomes else PASS
    return Verdict(outcome, tuple(findings))


def _compared(evidence: Evidence, limits: Limits) -> Iterable[Finding]:
    if evidence.champion == "same":
        says = "model and reranker are the champion's own; only the index and the tables are new"
        yield Finding("champion", PASS, "same search", "", says)
        return
    if evidence.champion == "left_out":
        yield Finding("champion", INCONCLUSIVE, "left out", "compared", evidence.champion_note)
        return
    if not evidence.overall.is_measured:
        yield _not_measured("overall")
    elif evidence.champion == "none":
        yield _superiority(evidence.overall, "the untrained model, as there is no champion")
    else:
        yield _non_inferiority("overall", evidence.overall, limits.margin)
        if limits.rule == "superior":
            yield _superiority(evidence.overall, "the champion")
    if evidence.overall.is_measured:
        yield _enough(evidence.overall, limits.max_detectable_difference)
    yield from _slices(evidence.segments, limits.segment_margin)


def _enough(overall: Difference, most: float) -> Finding:
    check, figure, limit = "detectable difference", f"{100 * overall.detectable:.2f} points", f"at most {100 * most:g}"
    if is_within(overall.detectable, most=most):
        says = f"a true difference of {figure} would be found in four of five nights of so many searches"
        return Finding(check, PASS, figure, limit, says)
    more = (overall.detectable / most) ** 2
    wanted = f", about {more:.1f} times as many" if is_within(more, most=1000) else ""
    return Finding(
        check,
        INCONCLUSIVE,
        figure,
        limit,
        f"{overall.query_count:,} searches are too few to judge by: only a difference of {figure} would be found, "
        f"{100 * most:g} points are to be. More searches, of more visitors and for more queries, are needed{wanted}",
    )


def _slices(segments: Mapping[tuple[str, str], Difference], margin: float) -> Iterable[Finding]:
    """Give a finding for each slice that is surely worse or was not measured; else one for all of them together."""
    check, limit = "slices", f"above {_points(-margin)}"
    if not segments:
        yield Finding(check, FAIL, "none", limit, "no slice of the searches was compared")
        return
    against = []
    for (kind, name), found in segments.items():
        where, figure = f"slice {kind} {name}", f"{_interval(found)}, {found.query_count:,} searches"
        if not found.is_measured:
            against.append(_not_measured(where))
        elif found.high < -margin:
            says = f"{where}: worse by more than the margin of {100 * margin:g} points ({figure})"
            against.append(Finding(where, FAIL, figure, limit, says))
    yield from against
    if not against:
        (kind, name), found = min(segments.items(), key=lambda item: item[1].high)
        figure = f"nearest to it {kind} {name}: {_interval(found)}"
        says = f"none of {len(segments)} slices is surely worse by more than {100 * margin:g} points"
        yield Finding(check, PASS, figure, limit, f"{says} ({figure}, {found.query_count:,} searches)")


def _not_measured(where: str) -> Finding:
    return Finding(where, FAIL, "no number", "a number", f"{where}: it was not measured")


def _over_counting(counting: Mapping[str, Difference]) -> Iterable[Finding]:
    """Give one finding on the baseline that is beaten least surely."""
    check, limit = "better than counting", "above 0"
    missing = [name for name, found in counting.items() if not found.is_measured]
    if missing or not counting:
        which = ", ".join(missing) or "every counting baseline"
        yield Finding(check, FAIL, "no number", limit, f"{check}: {which} was not compared")
        return
    name, found = min(counting.items(), key=lambda item: item[1].low)
    is_better = found.low > 0
    says = f"{'surely' if is_better else 'not surely'} better than {name} ({_interval(found)})"
    yield Finding(check, PASS if is_better else FAIL, f"{name}: {_interval(found)}", limit, f"{check}: {says}")


def _non_inferiority(where: str, found: Difference, margin: float) -> Finding:
    if found.low > -margin:
        outcome, says = PASS, "not worse by more than the margin"
    elif found.high < -margin:
        outcome, says = FAIL, "worse by more than the margin"
    else:
        outcome, says = INCONCLUSIVE, "too uncertain to exclude that it is worse by more than the margin"
    reason = f"{where}: {says} of {100 * margin:g} points ({_interval(found)}, {found.query_count:,} searches)"
    return Finding(f"non-inferiority {where}", outcome, _interval(found), f"above {_points(-margin)}", reason)


def _superiority(found: Difference, rival: str) -> Finding:
    if found.low > 0:
        outcome, says = PASS, "better than"
    elif found.high <= 0:
        outcome, says = FAIL, "not better than"
    else:
        outcome, says = INCONCLUSIVE, "not shown to be better than"
    return Finding("superiority overall", outcome, _interval(found), "above 0", f"{says} {rival} ({_interval(found)})")


def _measured(evidence: Evidence, limits: Limits) -> Iterable[Finding]:
    lost, lost_most = evidence.lost_in_reading, limits.max_lost_in_reading
    figure, limit = f"{100 * lost:.2f} points", f"at most {100 * lost_most:g} points"
    yield _limit("hit rate lost in reading", figure, limit, is_within(lost, most=lost_most))
    yield _recall(evidence, limits.min_index_recall)
    seconds, most = evidence.open_seconds, limits.max_open_seconds
    yield _limit("time to open", f"{seconds:.2f} s", f"at most {most:g} s", is_within(seconds, most=most))
    size, most = evidence.bytes_per_photo, limits.max_bytes_per_photo
    yield _limit("bytes a photo", f"{size:,.0f}", f"at most {most:,.0f}", is_within(size, most=most))
    memory, most = evidence.memory_mb, limits.max_memory_mb
    yield _limit("memory of a reader", f"{memory:,.0f} MiB", f"at most {most:,.0f} MiB", is_within(memory, most=most))
    latency, most = evidence.latency_p99_milliseconds, limits.max_latency_p99_milliseconds
    yield _limit("search latency p99", f"{latency:.2f} ms", f"at most {most:g} ms", is_within(latency, most=most))
    size, largest = evidence.index_bytes, limits.max_index_bytes
    yield _limit("index size", f"{size:,} bytes", f"at most {largest:,} bytes", is_within(size, least=1, most=largest))
    if not evidence.quarantined_shares:
        yield _limit("quarantined rows", "not measured", f"at most {limits.max_quarantined_share:.2%}", is_met=False)
    for table, share in evidence.quarantined_shares.items():
        yield _share(f"quarantined rows of {table}", share, limits.max_quarantined_share)
    yield _share("photos without an image", evidence.missing_image_share, limits.max_missing_image_share)


def _recall(evidence: Evidence, least: float) -> Finding:
    check, limit = "index recall@10", f"at least {least:g}"
    figure = f"{evidence.index_recall:.4f}, surely {evidence.index_recall_low:.4f} or more"
    if is_within(evidence.index_recall, least=least) and not is_within(evidence.index_recall_low, least=least):
        return Finding(check, INCONCLUSIVE, figure, limit, f"{check} is {figure}: too few queries to tell if {limit}")
    return _limit(check, figure, limit, is_within(evidence.index_recall, least=least))


def _drifted(drift: Drift, limits: Limits) -> Iterable[Finding]:
    if limits.max_unseen_query_share is not None:
        yield _share("searches with unseen queries", drift.unseen_query_share, limits.max_unseen_query_share)
    if limits.max_unseen_country_share is not None:
        yield _share("searches from unseen countries", drift.unseen_country_share, limits.max_unseen_country_share)
    last, most, day = drift.last_day_count, limits.max_conversion_drop, drift.low_day
    yield _limit("searches of the last day", f"{last:,}", "at least 1", is_within(last, least=1))
    least = None if limits.min_drift_p is None else limits.min_drift_p / (len(drift.p_values) + (day is not None) or 1)
    if most is not None:
        if drift.conversion_drop is None:
            yield _not_compared("drop of conversions per day", f"at most {most:.2%}", "the log is too short to tell")
        else:
            yield _share("drop of conversions per day", drift.conversion_drop, most)
        if day is None:
            yield _not_compared("drop of conversions on one day", f"at most {most:.2%}", "the log is too short to tell")
        elif least is not None:
            figure, limit = f"{day.drop:.2%}, p {day.p_value:.4f}", f"at most {most:.2%}, or p at least {least:.2g}"
            may_be_chance = is_within(day.drop) and is_within(day.p_value, least=least)
            is_met = is_within(day.drop, most=most) or may_be_chance
            yield _limit("drop of conversions on one day", figure, limit, is_met)
    if least is not None:
        limit = f"p at least {least:.2g}"
        for what, p_value in drift.p_values.items():
            yield _limit(f"likeness of {what}", f"p {p_value:.4f}", limit, is_within(p_value, least=least))
        for what, why in drift.not_compared.items():
            yield _not_compared(f"likeness of {what}", limit, why)


def _not_compared(check: str, limit: str, why: str) -> Finding:
    return Finding(check, PASS, "not compared", limit, f"{check}: {why}")


def _share(check: str, share: float, most: float) -> Finding:
    return _limit(check, f"{share:.2%}", f"at most {most:.2%}", is_within(share, most=most))


def _limit(check: str, figure: str, limit: str, is_met: bool) -> Finding:
    return Finding(check, PASS if is_met else FAIL, figure, limit, f"{check} is {figure}, {limit} is asked for")


def _interval(found: Difference) -> str:
    return f"{_points(found.value)}, {_points(found.low)} to {_points(found.high)} points"


def _points(share: float) -> str:
    """Return a share as percentage points with sign.

    >>> _points(-0.0123)
    '-1.23'
    """
    return f"{100 * share:+.2f}"
