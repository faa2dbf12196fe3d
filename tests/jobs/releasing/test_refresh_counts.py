"""refresh_counts: what a log has since the night is judged as a night judges it, and counted once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from jobs.commands import main
from jobs.config.params.ingest import ValidateLogsParams
from jobs.config.params.release import MakeReleaseParams
from jobs.config.params.training import TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.models import RERANKER
from jobs.errors import GateFailed, LostWork, MissingInput
from jobs.housekeeping.forget_visitor import forget
from jobs.housekeeping.quarantine import find_evidence
from jobs.ingest.row_limits import HOURLY
from jobs.ingest.rows import pseudonym
from jobs.nights.stage_runner import run_stage
from jobs.releasing import fresh_counts, refresh_counts
from jobs.releasing.promotion import promote
from jobs.releasing.reader import OpenRelease, ReleaseReader
from jobs.releasing.refresh_counts import refresh
from models.keyword_match import token_ids
from tests.conftest import context_in
from tests.errors import raises
from tests.jobs.layout_files import LayoutFiles, photo_id, visitor
from tests.registered import commit_night, make_model
from tests.released import (
    BY,
    Registry,
    commit_index,
    commit_order,
    commit_recommendation,
    commit_registration,
    night,
)
from tests.tiny_reranker import tiny_reranker
from tests.validated_lake import commit_tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.integration]
PHOTOS = [photo_id(number) for number in range(8)]  # of thirty that the log knows
PARAMS = ValidateLogsParams(max_without_photo_share=0.2)
FRESH = "2025-12-29 1{}:00:00"
"""After the made-up release's night, which ends with the 28th."""


@dataclass
class Site:
    context: RunContext
    files: LayoutFiles

    def add(self, hour: int, **changes: str) -> None:
        """Add a good conversion on the day after the night."""
        given = {"photo_id": PHOTOS[0], "keyword": "zebra", "conversion_country": "NZ"}
        self.files.add("conversions", converted_at=FRESH.format(hour), **(given | changes))

    def refresh(self) -> str:
        self.files.write(Path(self.context.dataset_uri))
        return refresh(self.context.settings, self.context.lake, self.context.dataset_uri)

    @property
    def release(self) -> OpenRelease:
        return ReleaseReader(self.context.lake).current

    def counted(self, query: str = "zebra") -> dict[str, int]:
        """Return how often photos were converted for a query."""
        tables = self.release.live.catalogue.tables
        (number,) = np.flatnonzero(tables.queries == token_ids([query])[0])
        keys, sums = tables.history.by_query_photo.keys, tables.history.by_query_photo.sums[:, 0]
        query_N, place_N = np.divmod(keys, tables.history.photo_count)
        names = self.release.live.catalogue.names[place_N[query_N == number]]
        return dict(zip((bytes(name).decode() for name in names), sums[query_N == number].astype(int), strict=True))


@pytest.fixture
def site(spark: SparkSession, tmp_path: Path, registry: Registry) -> Site:
    """A site whose night of 1 December is published, of eight photos of its log, with an order that has counts."""
    files = LayoutFiles(days=28, conversions_per_day=10)  # the day after a log's last is let pass
    context = context_in(tmp_path, dataset_uri=str(files.write(tmp_path / "data")), run_date=night(1))
    photos = pl.DataFrame({"photo_id": [photo_id(number) for number in range(30)]})
    clean = {
        "photos": photos.with_columns(submitted_at=datetime(2025, 10, 1, tzinfo=UTC)),
        "conversions": pl.DataFrame({"visitor_id": [pseudonym(visitor(0), b"test-key")]}),
    }
    counts = {"conversions": {"input": 280, "clean": 280, "quarantined": 0, "unreadable": 0, "repaired": 0}}
    commit_tables(context, VALIDATED, clean, params=PARAMS, facts={"counts": counts})
    commit_night(context, 0, photo_ids=PHOTOS)
    commit_order(context)
    order = {"reranker/0.txt": tiny_reranker().encode()}
    commit_tables(
        context,
        RERANKER,
        params=TrainRerankerParams(),
        facts={"note": "", "base_arm": "finetuned_country_keywords"},
        files=order,
    )
    commit_recommendation(context, [*PHOTOS, "p0"])
    commit_index(context, make_model("finetuned_country_keywords").digest, PHOTOS)
    run_stage(context, "make_release", MakeReleaseParams())
    commit_registration(context, 1, 0)
    promote(context.settings, "test", 1, **BY)
    return Site(context, files)


def test_what_came_since_the_night_is_counted_once(site: Site) -> None:
    lake, before, reader = site.context.lake, site.release, ReleaseReader(site.context.lake)
    for hour in (0, 1):
        site.add(hour, anonymous_user_id=visitor(1))  # the same visitor: once
    site.add(2, anonymous_user_id=visitor(2), conversion_country="nz")  # a small letter is mended, as in a night
    site.add(2, photo_id=PHOTOS[3], anonymous_user_id=visitor(2))
    site.add(3, photo_id=photo_id(20))  # the night knew it, its index did not
    site.add(3, photo_id="nosuchphoto")
    site.add(3, conversion_country="XX")  # bad
    site.files.add("conversions", converted_at="2025-12-28 23:00:00", photo_id=PHOTOS[0], keyword="zebra")  # late
    assert "3 conversions since its night" in (told := site.refresh())
    assert "Left out are 2 conversions" in told
    assert "2 more are bad" in told  # the country, and the photo that nobody knows
    assert site.counted() == {PHOTOS[0]: 2, PHOTOS[3]: 1}
    assert "NZ" in site.release.live.catalogue.tables.countries
    assert site.release.counts_until == datetime(2025, 12, 29, 12, tzinfo=UTC)
    assert before.counts_until == datetime(2025, 12, 29, tzinfo=UTC)
    assert reader.refresh()
    assert "Nothing new" in site.refresh()
    assert reader.refresh() is False

    fresh_counts.remove_but(lake, [])  # damaged: they are made again, although nothing is new
    assert site.release.counts is None
    assert "3 conversions since its night" in site.refresh()
    names = [fresh_counts.current(lake).name]
    site.add(4)
    site.refresh()
    names.append(fresh_counts.current(lake).name)
    assert site.counted() == {PHOTOS[0]: 3, PHOTOS[3]: 1}
    assert lake.store("published", fresh_counts.FOLDER).names() == sorted(names)
    site.add(5)
    site.refresh()
    assert names[0] not in lake.store("published", fresh_counts.FOLDER).names()  # only those before are kept


def test_a_log_with_too_many_bad_rows_changes_nothing_and_leaves_evidence(site: Site) -> None:
    for number in range(40):
        site.add(1, conversion_country="XX", anonymous_user_id=visitor(900 + number))
    with raises(GateFailed, "too_many_bad_rows", tables=["conversions"]):
        site.refresh()
    assert site.release.counts is None
    assert "validation.json" in site.context.lake.store("rejected", HOURLY).names()
    with raises(MissingInput, "night_not_validated", run_date=night(2)):
        find_evidence(site.context.lake, night(2))  # it is of no night
    assert find_evidence(site.context.lake, None).manifest is not None


def test_a_log_that_ends_before_what_was_counted_changes_nothing(site: Site) -> None:
    site.add(0, anonymous_user_id=visitor(1))
    whole = len(site.files.lines["conversions"])
    site.add(4, anonymous_user_id=visitor(2))
    site.refresh()
    for left in (whole, whole - 1):  # without the latest conversion, and without any since the night
        del site.files.lines["conversions"][left:]
        with raises(GateFailed, "log_shrank", until="2025-12-29T14:00:00+00:00"):
            site.refresh()
        assert site.counted() == {PHOTOS[0]: 2}


def test_a_forgotten_visitor_is_counted_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    known = visitor(0)  # of the night's log too
    site.add(0, anonymous_user_id=known)
    site.add(1, anonymous_user_id=visitor(77_777))
    site.refresh()
    assert site.counted() == {PHOTOS[0]: 2}
    lake = site.context.lake
    forget(lake, known, lambda one: pseudonym(one, b"test-key"), site.context.started_at)
    assert site.release.counts is None  # until they are made again
    assert lake.store("published", fresh_counts.FOLDER).names() == []
    site.refresh()
    assert site.counted() == {PHOTOS[0]: 1}
    asked = iter([["somebody"]])
    monkeypatch.setattr(refresh_counts, "forgotten", lambda lake: next(asked, []))  # taken off the list: a new reading
    with raises(LostWork, "forgotten_meanwhile"):
        site.refresh()
    assert site.release.counts is None


def test_the_command_says_what_is_missing_and_what_was_done(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = site.context.settings
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("NIGHTLENS_PSEUDONYM_KEY", "test-key")
    arguments = ["refresh_counts", "--dataset", site.context.dataset_uri, "--catalogue"]
    assert main.main([*arguments, "test"]) == 0
    assert capsys.readouterr().out.startswith("Nothing new: the release 2025-12-01/")
    assert main.main([*arguments, "other"]) == 2
    assert "[no_such_catalogue]" in capsys.readouterr().err


def test_without_a_release_there_is_nothing_to_count_for(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    commit_tables(context, VALIDATED)
    with raises(MissingInput, "nothing_published"):
        refresh(context.settings, context.lake, context.dataset_uri)
