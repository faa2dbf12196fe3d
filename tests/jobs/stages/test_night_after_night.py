"""validate_logs, night after night: only what is new is read, and each night is as if it were the first."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from jobs.adapters import task_pool
from jobs.adapters.expectations import Inspector
from jobs.config.params.ingest import ValidateLogsParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.errors import BadInput, LostWork
from jobs.housekeeping.forget_visitor import forget
from jobs.housekeeping.orphaned_files import remove_from_stores
from jobs.ingest import find_source, judging, kept_rows, nightly_rules
from jobs.ingest.forgotten import forgotten_list
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import validate_logs
from tests.conftest import context_in
from tests.errors import raises
from tests.jobs.layout_files import COLUMNS, LayoutFiles, add_conversion_faults, add_other_faults, photo_id, visitor

pytestmark = pytest.mark.integration

DAY = date(2025, 12, 3)
LOOSE = ValidateLogsParams(
    max_bad_share=0.9, max_critical_share=0.9, max_without_photo_share=0.9, bot_conversions_per_minute=3
)
TABLES = (*COLUMNS, "quarantine", "repairs")


class Nights:
    """Nights of one lake; `read` lists the stretches that were read, by table and line."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self.read = home, list[tuple[str, int]]()
        patch.setattr(validate_logs, "find_source", partial(find_source, unit_bytes=2000))
        patch.setattr(task_pool, "_WORTH_A_PROCESS", 10**6)
        patch.setattr(judging, "keep_unit", self._keep)

    def _keep(self, *arguments: object) -> kept_rows.UnitFacts:
        unit = arguments[-1]
        assert isinstance(unit, kept_rows.Unit)
        self.read.append((unit.part.table, unit.first_line))
        return kept_rows.keep_unit(*arguments)  # type: ignore[arg-type]

    def context(self, day: date = DAY, lake: str = "lake", **changes: object) -> RunContext:
        ctx = context_in(self.home / lake, dataset_uri=str(self.home / "data"), run_date=day)
        return ctx.model_copy(update={"settings": ctx.settings.model_copy(update=changes)})

    def run(
        self, files: LayoutFiles, day: date = DAY, params: ValidateLogsParams = LOOSE, **changes: object
    ) -> dict[str, pl.DataFrame]:
        """Run a night, hold it against a first night of another lake, and return its tables."""
        files.write(self.home / "data")
        self.read.clear()
        ctx = self.context(day, **changes)
        manifest = run_stage(ctx, "validate_logs", params)
        read = list(self.read)
        alone = self.context(day, f"first-{day}-{len(list(self.home.iterdir()))}", **changes)
        first = run_stage(alone, "validate_logs", params)
        found = tables(ctx, manifest)
        for name, rows in tables(alone, first).items():
            assert found[name].equals(rows), name
        facts = [one.facts | {"new_rows": None} for one in (manifest, first)]
        assert facts[0] == facts[1]
        self.read = read
        return found


def tables(ctx: RunContext, manifest: Manifest) -> dict[str, pl.DataFrame]:
    return {name: ctx.lake.read_table(manifest, name) for name in TABLES}


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(tmp_path, monkeypatch)


def log_of(count: int) -> LayoutFiles:
    return LayoutFiles(days=2, conversions_per_day=count)


def test_of_a_log_that_grows_only_its_end_is_read(nights: Nights) -> None:
    files = log_of(60)
    nights.run(files)
    whole = len(nights.read)
    assert whole == len(set(nights.read)) > 10
    nights.run(files, DAY + timedelta(days=1))
    assert nights.read == []
    before = files.line_count("conversions")
    for second in range(3):
        files.add("conversions", converted_at=f"2025-12-03 10:00:0{second}")
    files.add("conversions", "bad_country", conversion_country="XX")
    nights.run(files, DAY + timedelta(days=2))
    assert len(nights.read) == 1
    assert nights.read[0][0] == "conversions"
    manifest = nights.context(DAY + timedelta(days=2)).read(VALIDATED)
    last = manifest.facts["counts"]["conversions"]["input"] - nights.read[0][1] + 2
    assert manifest.facts["new_rows"] == dict.fromkeys(COLUMNS, 0) | {"conversions": last}
    assert last < before


def test_a_late_row_makes_a_burst_of_rows_of_earlier_nights(nights: Nights) -> None:
    files = log_of(60)
    files.add("conversions", converted_at="2025-12-02 12:00:00", anonymous_user_id=visitor(900))
    for number in range(2):
        files.add("conversions", converted_at=f"2025-12-02 12:00:1{number}", anonymous_user_id=visitor(900))
    for number in range(40):
        files.add("conversions", converted_at=f"2025-12-02 13:00:{number:02}")
    assert nights.run(files)["quarantine"].is_empty()
    files.add("conversions", converted_at="2025-12-02 12:00:59", anonymous_user_id=visitor(900))
    found = nights.run(files, DAY + timedelta(days=1))["quarantine"]
    assert found["reasons"].to_list() == [["bot_burst"]] * 4
    assert found["record"].null_count() == 0
    assert len(nights.read) == 1


def test_rows_whose_photo_has_come_since_are_taken_in(nights: Nights) -> None:
    files = log_of(60)
    late = photo_id(30)
    for number in range(4):
        files.add("conversions", photo_id=late, converted_at=f"2025-12-02 12:{number:02}:00")
    found = nights.run(files)
    assert found["quarantine"]["reasons"].to_list() == [["unknown_photo_id"]] * 4
    files.add("photos", photo_submitted_at="2025-12-02 12:01:30")
    found = nights.run(files, DAY + timedelta(days=1))
    assert found["quarantine"]["reasons"].to_list() == [["before_photo_was_submitted"]] * 2
    assert (found["conversions"]["photo_id"] == late).sum() == 2
    assert {table for table, _ in nights.read} == {"photos"}


def test_a_new_file_a_day_is_read_alone(nights: Nights) -> None:
    files, folder = log_of(60), nights.home / "data" / "conversions"
    header, *rows = files.lines.pop("conversions")
    folder.mkdir(parents=True)
    (folder / "2025-12-01.tsv").write_bytes(header + b"".join(rows[1:]))
    nights.run(files)
    (folder / "2025-12-02.tsv").write_bytes(header + rows[0])
    found = nights.run(files, DAY + timedelta(days=1))["conversions"]
    assert nights.read == [("conversions", 2)]
    assert found["source_file"].unique(maintain_order=True).to_list() == [
        "conversions/2025-12-01.tsv",
        "conversions/2025-12-02.tsv",
    ]
    assert len(found) == len(rows)


def test_of_a_new_dump_that_begins_with_the_old_bytes_only_the_end_is_read(nights: Nights) -> None:
    files = log_of(60)
    nights.run(files)
    for second in range(40):
        files.add("conversions", converted_at=f"2025-12-03 10:00:{second:02}")
    files.write(nights.home / "data")
    (nights.home / "data" / "conversions.tsv000").rename(nights.home / "data" / "conversions.csv")
    nights.read.clear()
    ctx = nights.context(DAY + timedelta(days=1))
    manifest = run_stage(ctx, "validate_logs", LOOSE)
    assert 1 <= len(nights.read) <= 3
    found = tables(ctx, manifest)["conversions"]
    assert set(found["source_file"]) == {"conversions.csv"}
    assert found["source_line"].to_list() == list(range(2, 2 + 160))


@pytest.mark.parametrize("what", ["key", "rule", "type"])
def test_what_reading_depends_on_reads_everything_again_and_says_so(
    nights: Nights, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = log_of(20)
    nights.run(files)
    whole, changes = len(nights.read), {}
    if what == "key":
        changes = {"pseudonym_key": SecretStr("another")}
    elif what == "rule":
        load = kept_rows.load_rules
        stricter = lambda table, given: [r for r in load(table, given) if r.reason != "overlong_keyword"]  # noqa: E731
        monkeypatch.setattr(kept_rows, "load_rules", stricter)
    else:
        (nights.home / "data" / "dataset.toml").write_text("[conversions]\ntypes = { download = 3 }\n")
    with caplog.at_level(logging.INFO, "nightlens.progress"):
        found = nights.run(files, DAY + timedelta(days=1), **changes)
    conversions = [one for one in nights.read if one[0] == "conversions"]
    assert len(nights.read) == whole if what == "key" else len(conversions) > 1
    said = {"key": "the pseudonym key changed", "rule": "the rules changed", "type": "the rules changed"}[what]
    assert said in caplog.text
    assert set(found["conversions"]["weight"]) == ({3.0} if what == "type" else {1.0})


def test_a_forgotten_visitor_leaves_the_kept_rows_too(nights: Nights) -> None:
    files = log_of(60)
    nights.run(files)
    ctx = nights.context()
    key = b"test-key"
    forget(ctx.lake, visitor(5), partial(pseudonym, key=key), datetime(2026, 1, 1))
    who = pseudonym(visitor(5), key)
    assert not any(who.encode() in path.read_bytes() for path in Path(ctx.lake.root, "store", "rows").rglob("*.json"))
    for path in Path(ctx.lake.root, "store").rglob("*.parquet"):
        rows = pl.read_parquet(path)
        assert "visitor_id" not in rows.columns or who not in rows["visitor_id"].to_list(), path
    manifest = run_stage(nights.context(DAY + timedelta(days=1)), "validate_logs", LOOSE)
    again = tables(ctx, manifest)
    assert again["quarantine"]["reasons"].to_list() == [["forgotten"]] * 2  # a conversion and an impression
    assert who not in again["conversions"]["visitor_id"].to_list()
    assert manifest.facts["counts"]["conversions"]["input"] == 120
    for run in ctx.lake.manifests(VALIDATED):
        tables(ctx, run)  # every file is, byte for byte, the one that its manifest names


def test_a_visitor_who_is_forgotten_while_the_log_is_read_is_not_kept(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = nights.context()
    log_of(20).write(nights.home / "data")
    inspect = Inspector.inspect

    def forget_meanwhile(*arguments: object, **named: object) -> object:
        forgotten_list(ctx.lake).put(f"{pseudonym(visitor(5), b'test-key')}.json", b"{}")
        return inspect(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Inspector, "inspect", forget_meanwhile)
    with raises(LostWork, "forgotten_meanwhile"):
        run_stage(ctx, "validate_logs", LOOSE)
    assert [path for path in Path(ctx.lake.root, "store", "rows").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("at", range(0, 40, 13))
def test_killed_anywhere_and_run_again_it_ends_in_the_same_run(
    nights: Nights, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = log_of(30)
    files.add("conversions", "bad_country", conversion_country="XX")
    files.write(nights.home / "data")
    put, count = kept_rows.Store.put, iter(range(10**6))

    def put_or_die(store: kept_rows.Store, name: str, data: bytes) -> None:
        if next(count) == at:
            raise KeyboardInterrupt
        put(store, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(kept_rows.Store, "put", put_or_die)
        with pytest.raises(KeyboardInterrupt):
            run_stage(nights.context(), "validate_logs", LOOSE)
    nights.run(files)


@pytest.mark.parametrize("ending", [".parquet", ".sample.parquet", ".json"])
def test_a_cut_file_of_the_store_is_named_and_made_anew_once_it_is_gone(nights: Nights, ending: str) -> None:
    files = log_of(10)
    files.write(nights.home / "data")
    ctx = nights.context()
    run_stage(ctx, "validate_logs", LOOSE)
    folder = Path(ctx.lake.root, "store", "settled" if ending == ".json" else "rows", "conversions")
    path = next(path for path in folder.iterdir() if path.name.partition(".")[2] == ending[1:])
    path.write_bytes(path.read_bytes()[:-20])
    with raises(BadInput, "stored_part_damaged", path=str(path)):
        run_stage(nights.context(DAY + timedelta(days=1)), "validate_logs", LOOSE)
    path.unlink()
    nights.run(files, DAY + timedelta(days=1))


def test_a_file_of_an_outcome_that_was_cut_is_made_anew(nights: Nights) -> None:
    files = log_of(30)
    nights.run(files)
    path = next(Path(nights.context().lake.root, "store", "settled", "conversions").glob("*.conversions.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    nights.run(files, DAY + timedelta(days=1))
    assert path.read_bytes() == whole


def test_what_no_night_needs_is_removed(nights: Nights) -> None:
    files = log_of(60)
    nights.run(files)
    lake = nights.context().lake
    store = Path(lake.root, "store")
    kept = {path for path in store.rglob("*") if path.is_file()}
    files.add("conversions", converted_at="2025-12-03 10:00:00")
    nights.run(files, DAY + timedelta(days=1))
    both = {path for path in store.rglob("*") if path.is_file()}
    assert both > kept
    later = datetime.now().astimezone() + timedelta(days=1)
    assert remove_from_stores(lake, [], later - timedelta(days=2)) == []
    first = next(run for run in lake.manifests(VALIDATED) if run.partition["run_date"] == DAY.isoformat())
    assert remove_from_stores(lake, [first.reference], later)
    left = {path for path in store.rglob("*") if path.is_file()}
    assert left < both
    nights.run(files, DAY + timedelta(days=2))
    assert nights.read == []


def test_great_expectations_and_polars_agree_on_every_row_of_every_fault(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is shown all rows: it raises if one of them is judged otherwise."""
    files = LayoutFiles()
    add_conversion_faults(files)
    add_other_faults(files)
    for module, name in ((kept_rows, "_FAILING_SAMPLED"), (kept_rows, "_GOOD_SAMPLED"), (nightly_rules, "_SAMPLED")):
        monkeypatch.setattr(module, name, 10**6)
    monkeypatch.setattr(nightly_rules, "SAMPLE_COUNT", 10**6)
    seen: dict[str, tuple[int, list[int]]] = {}
    inspect = Inspector.inspect

    def watched(inspector: Inspector, table: str, *arguments: object) -> object:
        _, sample, failed, *_ = arguments
        assert isinstance(sample, pl.DataFrame)
        assert isinstance(failed, pl.DataFrame)
        seen[table] = (len(sample), failed.sum().row(0))  # type: ignore[assignment]
        return inspect(inspector, table, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Inspector, "inspect", watched)
    files.write(nights.home / "data")
    manifest = run_stage(nights.context(), "validate_logs", LOOSE)
    for table in COLUMNS:
        counts = manifest.facts["counts"][table]
        assert seen[table][0] >= counts["input"] - counts["unreadable"]
        assert all(seen[table][1]) or table in ("photos", "conversions", "collections", "hidden"), table


@pytest.mark.spark
def test_spark_gives_the_same_files(nights: Nights, spark: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "keep_unit", kept_rows.keep_unit)
    files = LayoutFiles()
    add_conversion_faults(files)
    add_other_faults(files)
    files.write(nights.home / "data")
    found = [
        run_stage(nights.context(lake=str(rows), spark_from_rows=rows), "validate_logs", LOOSE) for rows in (1, 10**9)
    ]
    for name, table in found[0].tables.items():
        assert [info.sha256 for info in table.files] == [info.sha256 for info in found[1].tables[name].files], name
    assert found[0].digest == found[1].digest
