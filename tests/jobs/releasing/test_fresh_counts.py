"""Fresh counts beside a release: readers follow them, of one release and whole, and do without where they cannot."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from jobs.lake.catalogue import Lake
from jobs.releasing import fresh_counts
from jobs.releasing.promotion import promote
from jobs.releasing.reader import OpenRelease, ReleaseReader
from models.keyword_match import token_ids
from tests.conftest import Contexts, make_settings
from tests.fresh_counts import UNTIL, write_fresh_counts
from tests.released import BY, Registry, commit_release, commit_releases, night

OWN = datetime(2025, 12, 29, tzinfo=UTC)
"""Until when the made-up releases count themselves."""


@pytest.fixture
def lake(make_context: Contexts, registry: Registry) -> Lake:
    """A lake with two releases, the first of which is published."""
    commit_releases(make_context, range(1, 3))
    context = make_context()
    promote(context.settings, "test", 1, **BY)
    return context.lake


def counted(release: OpenRelease) -> float:
    return float(release.live.catalogue.tables.history.photo_sums[:, 0].sum())


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.levelno == logging.WARNING for record in caplog.records)


def test_a_reader_follows_counts_and_keeps_the_release(lake: Lake) -> None:
    reader = ReleaseReader(lake)
    before = reader.current
    assert (counted(before), before.counts, before.counts_until, reader.refresh()) == (0, None, OWN, False)
    write_fresh_counts(lake, 5)
    assert reader.refresh()
    assert (counted(reader.current), reader.current.counts_until) == (5, UNTIL)
    assert counted(before) == 0  # what was taken for a request stays as it was
    assert reader.current.live.index is before.live.index
    tables = reader.current.live.catalogue.tables
    assert tables.queries.tolist() == token_ids(["zebra"]).tolist()
    assert tables.countries.tolist() == ["NZ"]
    assert tables.history.cutoff == before.live.catalogue.tables.history.cutoff
    assert not tables.history.photo_sums.flags.writeable  # mapped, not read
    assert reader.refresh() is False
    write_fresh_counts(lake, 7)
    assert (reader.refresh(), counted(reader.current)) == (True, 7)
    assert counted(ReleaseReader(lake).current) == 7
    fresh_counts.drop_counts(lake)
    assert (reader.refresh(), counted(reader.current), reader.current.counts_until) == (True, 0, OWN)


def test_counts_of_another_release_or_content_are_not_taken(lake: Lake, make_context: Contexts) -> None:
    settings, reader = make_context().settings, ReleaseReader(lake)
    first = reader.published
    write_fresh_counts(lake, 5)
    promote(settings, "test", 2, **BY)
    assert reader.refresh()
    assert (counted(reader.current), reader.current.counts) == (0, None)
    assert counted(ReleaseReader(lake).current) == 0
    write_fresh_counts(lake, 3, first)  # by a refresh that began before the promotion
    assert (reader.refresh(), counted(reader.current)) == (False, 0)
    pointer, release = reader.published
    write_fresh_counts(lake, 4, (pointer.model_copy(update={"digest": "other"}), release))
    assert (reader.refresh(), counted(reader.current)) == (False, 0)
    write_fresh_counts(lake, 6)
    assert (reader.refresh(), counted(reader.current)) == (True, 6)


@pytest.mark.parametrize("fault", ["changed", "gone", "pointer", "photos"])
def test_damaged_counts_break_no_reading_and_are_told_once(
    lake: Lake, fault: str, caplog: pytest.LogCaptureFixture, make_context: Contexts, registry: Registry
) -> None:
    reader = ReleaseReader(lake)
    if fault == "photos":  # of a release that has more
        commit_release(make_context(run_date=night(3)), version=3, seed=3, photos=12)
        registry.add(3, 3)
        published = reader.published
        promote(make_context().settings, "test", 3, **BY)
        more = ReleaseReader(lake).published[1]
        promote(make_context().settings, "test", 1, **BY)
        reader = ReleaseReader(lake)
        made = write_fresh_counts(lake, 5, (published[0], more))
        fresh_counts.point_to(lake, made.model_copy(update={"release": published[1].name}))
    else:
        made = write_fresh_counts(lake, 5)
    path = Path(lake.root) / made.files["arrays.bin"].path
    if fault == "changed":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif fault == "gone":
        path.unlink()
    elif fault == "pointer":
        Path(fresh_counts.published(lake).folder, fresh_counts.POINTER).write_bytes(b'{"release": 1')
    for _ in range(3):
        assert reader.refresh() is False
    assert (counted(reader.current), reader.current.counts_until) == (0, OWN)
    assert warnings(caplog) == 1
    write_fresh_counts(lake, 6, reader.published)
    assert (reader.refresh(), counted(reader.current), warnings(caplog)) == (True, 6, 1)


def test_a_refresh_that_finds_them_damaged_goes_back_to_the_releases_own(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    write_fresh_counts(lake, 5)
    reader = ReleaseReader(lake)
    assert counted(reader.current) == 5
    made = write_fresh_counts(lake, 9)
    fresh_counts.remove_but(lake, [])
    assert made.name not in lake.store("published", fresh_counts.FOLDER).names()
    assert (reader.refresh(), counted(reader.current), warnings(caplog)) == (True, 0, 1)


def test_counts_that_are_replaced_while_they_are_opened_are_no_fault(
    lake: Lake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, published = ReleaseReader(lake), ReleaseReader(lake).published
    write_fresh_counts(lake, 5)
    verify, calls = Lake.verify, []

    def slow(self: Lake, info: object) -> None:
        if not calls:
            calls.append(info)
            made = write_fresh_counts(self, 8, published)
            fresh_counts.remove_but(self, [made.name])
        verify(self, info)  # type: ignore[arg-type]

    monkeypatch.setattr(Lake, "verify", slow)
    assert (reader.refresh(), counted(reader.current), warnings(caplog)) == (True, 8, 0)


def test_all_of_it_works_on_an_object_store(tmp_path: Path, make_context: Contexts, registry: Registry) -> None:
    settings = make_settings(tmp_path / "remote", lake_uri=f"memory://{tmp_path.name}/lake")
    context = make_context(settings=settings, run_date=night(1))
    commit_release(context)
    promote(settings, "test", 1, **BY)
    reader = ReleaseReader(context.lake)
    first = write_fresh_counts(context.lake, 5)
    assert (reader.refresh(), counted(reader.current)) == (True, 5)
    second = write_fresh_counts(context.lake, 6)
    fresh_counts.remove_but(context.lake, [second.name])
    assert context.lake.store("published", fresh_counts.FOLDER).names() == [second.name] != [first.name]
    assert (reader.refresh(), counted(reader.current)) == (True, 6)
    assert np.isfinite(reader.current.live.catalogue.tables.history.country_share).all()
