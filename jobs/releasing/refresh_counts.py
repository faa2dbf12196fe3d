"""`nightlens refresh_counts`: count the conversions since the published release's night for its searches.

The rows pass the rules, limits and names of a night. Only what is new of the log is read; rules about several rows are
asked of all, since a row's verdict needs its neighbours. Only conversions from the release's `counts_until` on count,
one per visitor, query, country and photo as in a night's splits. Rows of before it that come in late are the next
night's. Nothing of the release changes.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from jobs.adapters.query_engine import Frame, QueryEngine, query_engine
from jobs.config.params.ingest import ValidateLogsParams
from jobs.config.settings import Settings
from jobs.datasets.clean import VALIDATED, ValidatedFacts
from jobs.errors import GateFailed, LostWork, NightlensError
from jobs.ingest import Source, find_source
from jobs.ingest.forgotten import forgotten
from jobs.ingest.row_limits import HOURLY, check_limits, min_shares
from jobs.ingest.rows import pseudonym
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, fingerprint
from jobs.releasing import fresh_counts
from jobs.releasing.fresh_counts import CountsPointer
from jobs.releasing.reader import OpenRelease, ReleaseReader
from jobs.reranking.tables import conversions_of
from jobs.runtime.code_version import stage_version
from models.windows import END_OF_TIME

if TYPE_CHECKING:
    from jobs.ingest.judged_table import JudgedTable

log = logging.getLogger("nightlens.progress")


def refresh(settings: Settings, lake: Lake, dataset: str) -> str:
    """Count what the log of `dataset` has since the published release's night; return one line on what was done.

    Raises `MissingInput` if nothing is published or the log is not there, `GateFailed` if too many of its rows are bad,
    `LostWork` if a visitor was forgotten meanwhile. Nothing is swapped then.
    """
    published, release = ReleaseReader(lake).published
    if release.live.reranker is None:
        fresh_counts.drop_counts(lake)
        return f"The release {release.name} orders photos by their vectors alone: it uses no counts."
    found = _Log.find(settings, lake, dataset, release)
    source = fingerprint({"log": found.identity, "release": published.digest})
    before = fresh_counts.current(lake)
    if before is not None and before.source == source and _is_whole(lake, before):
        return f"Nothing new: the release {release.name} counts until {_spell(before.until)}, as before."
    rows, unknown_count, bad_count = found.read(settings, lake, release)
    catalogue = release.live.catalogue
    place = catalogue.places(rows["photo_id"].to_list())
    unknown_count += int((place < 0).sum())
    rows, place = rows.filter(place >= 0), place[place >= 0]
    left_out = f"Left out are {unknown_count:,} conversions of photos that it does not have."
    if bad_count:
        left_out += f" Of the log's rows {bad_count:,} more are bad than on its night."
    until: datetime = rows["converted_at"].max() if len(rows) else release.counts_until  # type: ignore[assignment]
    _check_end(until, before, release)
    if not len(rows):
        fresh_counts.drop_counts(lake)
        return f"Nothing new: the release {release.name} counts until {_spell(release.counts_until)}. {left_out}"
    counts = catalogue.tables.counts.plus(conversions_of(rows, place), catalogue.tables.photos.available_at)
    name = fresh_counts.new_name(release.name, until, uuid.uuid4().hex[:8])
    pointer = CountsPointer(
        release=release.name,
        digest=published.digest,
        name=name,
        files=fresh_counts.write_counts(lake, name, counts),
        until=until,
        conversion_count=len(rows),
        source=source,
    )
    _swap(lake, pointer, before, found.forgotten)
    added = f"{len(rows):,} conversions since its night"
    return f"The release {release.name} now counts until {_spell(until)}: {added}. {left_out}"


def _check_end(until: datetime, before: CountsPointer | None, release: OpenRelease) -> None:
    """Raise `GateFailed` if the log ends before what was counted of it already: an export broke."""
    if before is None or before.release != release.name or until >= before.until:
        return
    raise GateFailed(
        "log_shrank",
        f"the last good conversion is of {_spell(until)} or before, but {before.conversion_count:,} until "
        f"{_spell(before.until)} were counted already. Nothing was swapped. Look whether the export is whole. If those "
        f"are to be forgotten, delete store/published/{fresh_counts.POINTER} of the catalogue and run refresh_counts "
        f"again.",
        until=before.until.isoformat(),
    )


def _is_whole(lake: Lake, pointer: CountsPointer) -> bool:
    try:
        fresh_counts.open_counts(lake, pointer)
    except (OSError, NightlensError):
        return False
    return True


def _swap(lake: Lake, pointer: CountsPointer, before: CountsPointer | None, left_out: list[str]) -> None:
    """Let readers follow, and remove what nobody can be opening any more: all but these and those before them."""
    fresh_counts.point_to(lake, pointer)
    if forgotten(lake) != left_out:  # `forget` puts its visitor on the list before it drops counts
        fresh_counts.drop_counts(lake)
        raise LostWork(
            "forgotten_meanwhile", "a visitor was forgotten while conversions were counted: run refresh_counts again"
        )
    is_of_it = before is not None and before.release == pointer.release
    fresh_counts.remove_but(lake, [pointer.name, *([before.name] if before is not None and is_of_it else [])])


def _spell(until: datetime) -> str:
    return f"{until:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class _Log:
    """A log as it lies there, and what it is judged by: what the release's night was."""

    source: Source
    validated: Manifest
    params: ValidateLogsParams
    key: bytes
    forgotten: list[str]

    @classmethod
    def find(cls, settings: Settings, lake: Lake, dataset: str, release: OpenRelease) -> _Log:
        validated = lake.by_reference(release.description["runs"]["validated"]["reference"])
        params = ValidateLogsParams.model_validate(validated.params)
        source = find_source(dataset, params.conversions_folder, tables=("conversions",))
        return cls(source, validated, params, settings.pseudonym_key.get_secret_value().encode(), forgotten(lake))

    @property
    def identity(self) -> dict[str, object]:
        """What tells it from others."""
        return {"files": self.source.digests, "key": pseudonym("", self.key), "forgotten": self.forgotten}

    def read(self, settings: Settings, lake: Lake, release: OpenRelease) -> tuple[pl.DataFrame, int, int]:
        """Return the good conversions since the release's night, and how many others name a photo it did not have.

        The last is how many more rows of the whole log are bad than on the release's night.
        """
        log.info("reading the log, for the conversions since %s", _spell(release.counts_until))
        from jobs.adapters.expectations import Inspector
        from jobs.ingest.judging import Judge

        as_of = datetime.fromisoformat(release.description["as_of"])
        with query_engine(settings, HOURLY, self.source.row_count) as engine:
            judge = Judge(
                engine=engine,
                lake=lake,
                inspector=Inspector(f"{lake.catalogue} {HOURLY}", as_of),
                source=self.source,
                key=self.key,
                burst_limit=self.params.bot_conversions_per_minute,
                min_shares=min_shares(self.params),
                version=stage_version("jobs.ingest.settled_units"),
                forgotten=self.forgotten,
            )
            photos = engine.table(lake, self.validated, "photos")
            known = engine.select(photos, "photo_id", "submitted_at", "TRUE AS is_clean")
            judged = judge.judge("conversions", known)
            check_limits(lake, release.name.run_date, HOURLY, self.params, [judged])
            lake.store("rejected", HOURLY).clear()  # of an earlier hour
            before = ValidatedFacts.of(self.validated).counts["conversions"]
            rows, unknown_count = _since(engine, lake, release.counts_until, judged, photos)
        return rows, unknown_count, max(judged.counts.quarantined - before.quarantined, 0)


def _since(
    engine: QueryEngine, lake: Lake, start: datetime, judged: JudgedTable, photos: Frame
) -> tuple[pl.DataFrame, int]:
    """Return the good conversions since `start`, and how many others are bad only for the photo that they name."""
    unknown = judged.without_photo.filter(pl.col("converted_at") >= start)
    views = {
        "conversions": engine.files(_files(lake, judged), VALIDATED.table("conversions").schema.names),
        "photos": photos,
    }
    views["visitors"] = engine.run("number_visitors", views)
    rows = engine.run("split_window", views, window_start=start, window_end=END_OF_TIME)
    columns = ("query", "country", "photo_id", "device_type", "converted_at")
    return engine.collect(engine.select(rows, *columns)), len(unknown)


def _files(lake: Lake, judged: JudgedTable) -> list[str]:
    return [lake.uri(f"{lake.root}/{info.path}") for info in judged.files["conversions"]]
