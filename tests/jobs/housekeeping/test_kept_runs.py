"""What is kept, as a pure function: all that kept runs need, and the same when it is asked again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from jobs.config.params.release import CleanUpParams
from jobs.datasets.features import SPLITS
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.models import SEARCH_MODELS, RegistrationFacts
from jobs.datasets.releases import GATE, RELEASE, ReleaseName
from jobs.datasets.reports import REPORT
from jobs.datasets.schema import Dataset
from jobs.housekeeping.clean_up import kept, kept_versions, needs
from jobs.lake.manifest import FileInfo, Manifest
from jobs.releasing.ledger import Entry, State
from tests import made_up_facts

NOW = datetime(2026, 6, 1, tzinfo=UTC)
unhurried = how(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made_up(
    number: int, dataset: Dataset, day: int, age_days: int, inputs: dict[str, str], links: list[str]
) -> Manifest:
    """Return a manifest that needs others, with one file of its own."""
    partition = {"run_date": date(2025, 12, day).isoformat()}
    own = f"{dataset.layer}/{dataset.name}/run_date={partition['run_date']}/run_id={number:04x}"
    files = {str(place): f"{folder}/0a/files/{place}" for place, folder in enumerate([own, *links])}
    return Manifest(
        dataset=dataset.name,
        layer=dataset.layer,
        partition=partition,
        run_id=f"{number:04x}",
        identity={},
        input_runs=inputs,
        tables={},
        files={name: FileInfo(path=path, byte_count=1, sha256="") for name, path in files.items()},
        facts={},
        night="",
        git_version="",
        started_at=NOW - timedelta(days=age_days),
        duration_seconds=0,
    )


@st.composite
def lakes(draw: st.DrawFn) -> tuple[list[Manifest], set[str]]:
    """Draw runs, each made from and linking to earlier ones or to some that are gone, and which are current."""
    manifests: list[Manifest] = []
    for number in range(draw(st.integers(0, 14))):
        known = st.sampled_from([*(manifest.reference for manifest in manifests), "clean/x/run_date=1/run_id=gone"])
        others = draw(st.lists(known, max_size=3))
        dataset = draw(st.sampled_from([SPLITS, SEARCH_MODELS, PHOTO_INDEX, RELEASE, GATE, REPORT]))
        inputs = {f"i{place}": reference for place, reference in enumerate(others[:2])}
        if dataset is GATE and (releases := [one for one in manifests if one.dataset == RELEASE.name]):
            inputs["release"] = draw(st.sampled_from(releases)).reference
        day, age = draw(st.integers(1, 6)), draw(st.integers(0, 60))
        manifests.append(made_up(number, dataset, day, age, inputs, others[2:]))
    pointed = draw(st.sets(st.sampled_from([one.reference for one in manifests]))) if manifests else set()
    return manifests, pointed


PARAMS = st.builds(CleanUpParams, keep_nights=st.integers(1, 4), keep_days=st.integers(0, 40))


@unhurried
@given(lakes(), PARAMS)
def test_nothing_reachable_from_what_is_kept_is_removed(
    lake: tuple[list[Manifest], set[str]], params: CleanUpParams
) -> None:
    manifests, pointed = lake
    known = {manifest.reference: manifest for manifest in manifests}
    keep = kept(manifests, pointed, params, NOW)
    assert keep <= set(known)
    for reference in keep:
        assert needs(known[reference]) & set(known) <= keep


@unhurried
@given(lakes(), PARAMS)
def test_kept_are_releases_recent_runs_current_runs_of_late_nights_and_what_judged_a_release(
    lake: tuple[list[Manifest], set[str]], params: CleanUpParams
) -> None:
    manifests, pointed = lake
    keep = kept(manifests, pointed, params, NOW)
    nights = sorted({manifest.partition["run_date"] for manifest in manifests})[-params.keep_nights :]
    for manifest in manifests:
        is_current = manifest.reference in pointed and manifest.partition["run_date"] in nights
        is_recent = NOW - manifest.started_at <= timedelta(days=params.keep_days)
        if is_current or is_recent or manifest.dataset == RELEASE.name or "release" in manifest.input_runs:
            assert manifest.reference in keep


@unhurried
@given(lakes(), PARAMS)
def test_a_second_time_nothing_is_removed(lake: tuple[list[Manifest], set[str]], params: CleanUpParams) -> None:
    manifests, pointed = lake
    keep = kept(manifests, pointed, params, NOW)
    left = [manifest for manifest in manifests if manifest.reference in keep]
    assert kept(left, pointed & keep, params, NOW) == keep


@unhurried
@given(lakes(), PARAMS, st.integers(0, 3), st.integers(0, 30))
def test_who_asks_for_more_to_be_kept_keeps_no_less(
    lake: tuple[list[Manifest], set[str]], params: CleanUpParams, nights: int, days: int
) -> None:
    manifests, pointed = lake
    more = CleanUpParams(keep_nights=params.keep_nights + nights, keep_days=params.keep_days + days)
    assert kept(manifests, pointed, params, NOW) <= kept(manifests, pointed, more, NOW)


def test_versions_with_an_alias_in_the_ledger_or_of_a_kept_night_are_kept() -> None:
    one, two = (ReleaseName(run_date=date(2025, 12, n), run_id=f"r{n}", version=n) for n in (1, 2))
    told: dict[str, Any] = {"at": NOW, "by": "a", "reason": "", "after_night": None, "previous_sha256": ""}
    entries = [
        Entry(kind="promoted", version=1, release=one, number=1, state=State(champion=1, release=one), **told),
        Entry(
            kind="promoted",
            version=2,
            release=two,
            number=2,
            state=State(champion=2, release=two, earlier=(one,)),
            **told,
        ),
        Entry(kind="moved_outside", version=7, release=two, number=3, state=State(champion=7, release=two), **told),
    ]
    registered = made_up_facts.made_up(RegistrationFacts, version=5)
    registration = made_up(1, REPORT, 1, 0, {}, []).model_copy(update={"facts": registered.as_json()})
    assert kept_versions(entries, [registration], {9}) == {1, 2, 7, 5, 9}
    assert kept_versions([], [], set()) == set()
