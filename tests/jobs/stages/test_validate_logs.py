"""validate_logs: every fault is caught by its name or mended, nothing else is touched, and the counts add up."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from jobs.config.params.ingest import ValidateLogsParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.ingest import find_source
from jobs.ingest.rows import pseudonym
from jobs.ingest.rules import load_suite
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import validate_logs
from models.text import normalise_query
from tests.conftest import Contexts, context_in
from tests.errors import raises
from tests.jobs.layout_files import COLUMNS, LayoutFiles, add_conversion_faults, add_other_faults, visitor

pytestmark = pytest.mark.integration

DAY = date(2025, 12, 3)
PARAMS = ValidateLogsParams(max_bad_share=0.9, max_critical_share=0.5)


@dataclass
class Night:
    files: LayoutFiles
    ctx: RunContext
    manifest: Manifest

    def table(self, name: str) -> pl.DataFrame:
        return self.ctx.lake.read_table(self.manifest, name)


@pytest.fixture(scope="module")
def files() -> LayoutFiles:
    made = LayoutFiles()
    add_conversion_faults(made)
    add_other_faults(made)
    return made


@pytest.fixture(scope="module")
def night(files: LayoutFiles, tmp_path_factory: pytest.TempPathFactory) -> Night:
    home = tmp_path_factory.mktemp("validate")
    ctx = context_in(home, dataset_uri=str(files.write(home / "data")), run_date=DAY)
    return Night(files, ctx, run_stage(ctx, "validate_logs", PARAMS))


def no_engine(*_: object) -> None:
    raise AssertionError("a query was to be run")


@pytest.mark.parametrize("table", COLUMNS)
def test_every_bad_row_is_quarantined_with_exactly_its_reasons(night: Night, table: str) -> None:
    rows = night.table("quarantine").filter(pl.col("table") == table)
    found = {(row["source_line"], row["line_count"]): row["reasons"] for row in rows.to_dicts()}
    assert found == night.files.expected[table]
    assert set(rows["source_file"]) == {f"{table}.tsv000"}


def test_every_repair_is_recorded_and_the_row_goes_on(night: Night) -> None:
    for (table,), repairs in night.table("repairs").partition_by("table", as_dict=True).items():
        assert dict(repairs.select("source_line", "repair").iter_rows()) == night.files.repairs[str(table)]
    assert set(night.table("repairs")["table"]) == {"conversions", "impressions"}
    mended = {what: line for line, what in night.files.repairs["conversions"].items()}
    clean = {row["source_line"]: row for row in night.table("conversions").to_dicts()}
    assert clean[mended["lowercase_country"]]["country"] == "US"
    assert clean[mended["quoted_newline"]]["query_raw"] == 'a "very" long quoted query'
    assert clean[mended["quoted_tab"]]["query_raw"] == "one tab"
    assert clean[mended["carriage_return"]]["position"] is not None


TIMES = {
    "2025-12-02T10:11+0100": datetime(2025, 12, 2, 9, 11, tzinfo=UTC),
    "1764670272123": datetime(2025, 12, 2, 10, 11, 12, 123_000, tzinfo=UTC),
    "20251202T101112Z": datetime(2025, 12, 2, 10, 11, 12, tzinfo=UTC),
}


def test_no_good_row_is_touched(night: Night) -> None:
    clean = night.table("conversions")
    assert clean["source_line"].to_list() == night.files.good["conversions"]
    lines = night.files.data("conversions").split(b"\n")
    key = b"test-key"
    for row in clean.to_dicts():
        if row["source_line"] in night.files.repairs["conversions"]:
            continue
        at, kind, words, photo, who, country, device, orientation, ordering, position = (
            lines[row["source_line"] - 1].decode().split("\t")
        )
        assert row == {
            "converted_at": TIMES.get(at) or datetime.fromisoformat(at).replace(tzinfo=UTC),
            "conversion_type": kind,
            "weight": 1.0,
            "query": normalise_query(words),
            "query_raw": words,
            "photo_id": photo,
            "visitor_id": pseudonym(who, key),
            "country": country,
            "device_type": device,
            "orientation_filter": orientation,
            "ordering": ordering,
            "position": int(position) if re.fullmatch(r"[1-9]\d*", position) else None,
            "source_file": "conversions.tsv000",
            "source_line": row["source_line"],
        }


def test_the_other_tables_keep_their_good_rows_in_their_order(night: Night) -> None:
    for table in ("photos", "keywords", "collections", "colors", "hidden"):
        lines = night.files.data(table).split(b"\n")
        expected = [lines[line - 1].split(b"\t")[0].decode() for line in night.files.good[table]]
        assert night.table(table)["photo_id"].to_list() == expected
    photo = night.table("photos").row(0, named=True)
    assert photo["submitted_at"] == datetime(2025, 10, 1, tzinfo=UTC)
    assert (photo["width"], photo["is_featured"], photo["photographer"], photo["ai_description"]) == (
        72,
        False,
        "ann",
        None,
    )
    assert night.table("keywords").row(0) == ("photo000000", "word 0", 0.975, False)


def test_impressions_keep_what_was_shown_to_whom_and_what_they_did(night: Night) -> None:
    clean = night.table("impressions")
    assert len(clean) == len(night.files.good["impressions"])
    assert clean.row(1, named=True) == {
        "shown_at": datetime(2025, 12, 2, 8, 1, tzinfo=UTC),
        "visitor_id": pseudonym(visitor(1), b"test-key"),
        "query_id": pseudonym(f"query_id {visitor(70_000)}", b"test-key"),
        "query": None,
        "query_photo_id": None,
        "photo_id": "photo000001",
        "position": 2,
        "interaction": "click",
        "country": "DE",
        "arm": "current",
        "dwell_seconds": 4.5,
    }
    assert clean["query_id"].head(7).n_unique() == 3  # lists stay together
    assert clean["interaction"].value_counts().rows_by_key("interaction", unique=True).keys() == {"shown", "click"}
    last = clean.row(-1, named=True)
    assert [last[name] for name in ("country", "dwell_seconds", "arm", "query", "position")] == [None] * 4 + [3]
    assert clean["query_photo_id"].drop_nulls().to_list() == ["photo000002"]


def test_counts_add_up_to_the_input(night: Night) -> None:
    quarantined = dict(night.table("quarantine")["table"].value_counts().iter_rows())
    for table in COLUMNS:
        counts = night.manifest.facts["counts"][table]
        assert counts["input"] == night.files.record_count(table)
        assert counts["clean"] == night.manifest.row_counts[table]
        assert counts["quarantined"] == quarantined[table] == len(night.files.expected[table])
        assert counts["clean"] + counts["quarantined"] == counts["input"]
        assert counts["repaired"] == len(night.files.repairs[table])


def test_every_expectation_fails_for_some_row_and_its_reason_is_tested(night: Night) -> None:
    report = json.loads(night.ctx.lake.read_file(night.manifest, "validation.json"))["tables"]
    for table in COLUMNS:
        rules = report[table]["expectations"]
        assert len(rules) == len(load_suite(table)["expectations"])
        untested = [(r["reason"], r["column"]) for r in rules if not r["failed_count"] and r["severity"] != "warn"]
        assert untested == [], table
        named = {reason for reasons in night.files.expected[table].values() for reason in reasons}
        assert {r["reason"] for r in rules if r["severity"] != "warn"} <= named


def test_a_warning_is_reported_and_quarantines_nothing(night: Night) -> None:
    warnings = night.manifest.facts["warnings"]["photos"]
    assert warnings["null_image_url"] == 3
    assert warnings["image_url_is_not_http"] == 3
    assert night.table("photos")["image_url"].null_count() == 3
    assert night.manifest.facts["warnings"]["conversions"] == {
        "malformed_position": 4,
        "unknown_conversion_type": 3,
        "unknown_device_type": 1,
        "unknown_ordering": 1,
        "unknown_orientation": 1,
    }
    assert "it's" in night.table("conversions")["conversion_type"].to_list()
    assert night.table("conversions")["position"].null_count() == 5


def test_no_byte_of_what_is_written_holds_a_visitor_id(night: Night) -> None:
    ids = {line.split(b"\t")[4] for line in night.files.data("conversions").split(b"\n") if line.count(b"\t") == 9}
    needles = {one for one in ids if len(one) == 36}
    needles |= {visitor(number).encode() for number in (991, 992, 993, *range(70_000, 70_010))}
    assert len(needles) > 200
    texts = [path.read_bytes() for path in night.ctx.settings.state_dir.rglob("*") if path.is_file()]
    texts += [night.table(table).write_json().encode() for table in night.manifest.tables]
    assert len(texts) > 15
    for text in texts:
        assert not any(needle in text for needle in needles)
    records = night.table("quarantine").filter(pl.col("table") == "conversions")
    hidden = records.filter(pl.col("reasons").list.contains("misplaced_user_id"))["record"].to_list()
    assert pseudonym(visitor(991), b"test-key") in hidden[0]
    assert pseudonym(visitor(992), b"test-key") in hidden[1]


def test_the_quarantine_keeps_the_record_where_its_columns_are_known(night: Night) -> None:
    rows = night.table("quarantine").filter(pl.col("table") == "conversions")
    unreadable = {"blank_line", "embedded_tab", "embedded_newline", "too_few_columns", "too_many_columns"}
    unreadable.add("unbalanced_quote")
    for row in rows.to_dicts():
        assert (row["record"] is None) == bool(unreadable & set(row["reasons"])), row["reasons"]
    foreign = rows.filter(pl.col("reasons").list.contains("bad_country")).row(0, named=True)
    line = night.files.data("conversions").split(b"\n")[foreign["source_line"] - 1].decode()
    values = line.split("\t")
    assert foreign["record"] == line.replace(values[4], pseudonym(values[4], b"test-key"))


def test_the_data_docs_say_what_was_found(night: Night) -> None:
    index = night.ctx.lake.read_file(night.manifest, "data_docs/index.html").decode()
    page = night.ctx.lake.read_file(night.manifest, "data_docs/conversions.html").decode()
    assert "bot_burst" in index
    assert "fridge" in page
    assert night.manifest.facts["data_docs"] in night.manifest.files


@pytest.mark.slow
def test_the_same_rows_cut_otherwise_are_the_same_rows(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate_logs, "find_source", partial(find_source, unit_bytes=8000))
    assert len(validate_logs.find_source(night.ctx.dataset_uri).units("conversions")) > 3
    ctx = context_in(tmp_path, dataset_uri=night.ctx.dataset_uri, run_date=DAY)
    again = run_stage(ctx, "validate_logs", PARAMS)
    for name in (*COLUMNS, "quarantine", "repairs"):
        assert ctx.lake.read_table(again, name).equals(night.table(name)), name
    found = [manifest.facts | {"data_docs": ""} for manifest in (again, night.manifest)]
    assert found[0] == found[1]


def test_a_rerun_starts_nothing(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate_logs, "query_engine", no_engine)
    assert run_stage(night.ctx, "validate_logs", PARAMS) == night.manifest


@pytest.mark.parametrize("what", ["key", "row"])
def test_another_key_or_another_row_is_another_run(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(validate_logs, "query_engine", no_engine)
    settings = night.ctx.settings
    folder = Path(night.ctx.dataset_uri)
    if what == "key":
        settings = settings.model_copy(update={"pseudonym_key": SecretStr("another")})
    else:
        night.files.write(folder := tmp_path / "data")
        with (folder / "colors.tsv000").open("ab") as file:
            file.write(b"\n")
    with pytest.raises(AssertionError, match="a query was to be run"):
        run_stage(
            night.ctx.model_copy(update={"settings": settings, "dataset_uri": str(folder)}), "validate_logs", PARAMS
        )


@pytest.mark.parametrize(
    ("limits", "figures"),
    [
        (
            {"max_bad_share": 0.2},
            (
                "15 of 45",
                "33.3% in all",
                "20.0%",
                "malformed_photo_id 15 (first 'photo\\u200b0' in photos.tsv000, line 32)",
            ),
        ),
        ({"max_bad_share": 0.9, "max_critical_share": 0.1}, ("malformed_photo_id 33.3%, allowed are 10.0%",)),
    ],
)
def test_too_many_bad_rows_stop_the_run_and_the_evidence_is_kept(
    tmp_path: Path, limits: dict[str, float], figures: tuple[str, ...]
) -> None:
    files = LayoutFiles(days=1, conversions_per_day=5)
    for number in range(15):
        files.add("photos", "malformed_photo_id", photo_id=f"photo\u200b{number}")
    ctx = context_in(tmp_path, dataset_uri=str(files.write(tmp_path / "data")), run_date=DAY)
    with raises(GateFailed, "too_many_bad_rows", tables=["photos"]) as failure:
        run_stage(ctx, "validate_logs", ValidateLogsParams(**limits))
    assert all(figure in str(failure.value) for figure in figures)
    assert "great_expectations/photos.json" in str(failure.value)
    evidence = next(Path(ctx.lake.root).glob("store/rejected/*"))
    assert str(evidence) in str(failure.value)
    assert pl.read_parquet(evidence / "quarantine" / "*.parquet").height == 15
    assert (evidence / "data_docs" / "index.html").exists()
    assert json.loads((evidence / "validation.json").read_text())["tables"]["photos"]["bad_share"] == pytest.approx(
        1 / 3
    )
    with pytest.raises(MissingInput):
        ctx.read(VALIDATED)


def without_photos(files: LayoutFiles, count: int) -> LayoutFiles:
    """Take the rows of the first photos away."""
    del files.lines["photos"][1 : 1 + count]
    return files


def test_removed_photos_do_not_stop_a_night(tmp_path: Path) -> None:
    files = without_photos(LayoutFiles(days=2, conversions_per_day=60), 3)
    ctx = context_in(tmp_path, dataset_uri=str(files.write(tmp_path / "data")), run_date=DAY)
    manifest = run_stage(ctx, "validate_logs", ValidateLogsParams())
    counts = manifest.facts["counts"]["conversions"]
    assert (counts["input"], counts["quarantined"], counts["without_photo"]) == (120, 12, 12)
    assert manifest.facts["bad_share"]["conversions"] == 0
    assert manifest.facts["reasons"]["conversions"] == {"unknown_photo_id": 12}


def test_a_table_of_photos_that_lost_its_half_stops_a_night_and_says_what_was_there(tmp_path: Path) -> None:
    files = LayoutFiles(days=2, conversions_per_day=60)
    first = context_in(tmp_path, dataset_uri=str(files.write(tmp_path / "data")), run_date=DAY - timedelta(days=1))
    run_stage(first, "validate_logs", ValidateLogsParams())
    without_photos(files, 15).write(tmp_path / "data")
    second = first.model_copy(update={"run_date": DAY, "run_id": "second"})
    with raises(GateFailed, "too_many_bad_rows") as failure:
        run_stage(second, "validate_logs", ValidateLogsParams())
    said = str(failure.value)
    assert "unknown_photo_id 50.0%, allowed are 20.0%" in said
    assert (
        f"name 15 photos that the table of photos lacks. 15 of them were there on the night of {first.run_date}" in said
    )
    run_stage(second, "validate_logs", ValidateLogsParams(max_without_photo_share=0.6))


IDS = (
    "SKU 12/7",
    "108775015",
    "0108775015",
    "8e4a6c1e-58a2-4c3d-9a55-0d0c2f6a7b11",
    "\u00c4-1",
    "../../etc",
    "\U0001f680",
)


def test_a_sites_own_ids_stay_as_they_are(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=10)
    for name in IDS:
        files.add("photos", photo_id=name)
        files.add("keywords", photo_id=name)
        files.add("conversions", photo_id=name)
    ctx = context_in(tmp_path, dataset_uri=str(files.write(tmp_path / "data")), run_date=DAY)
    manifest = run_stage(ctx, "validate_logs", ValidateLogsParams())
    for table in ("photos", "keywords", "conversions"):
        assert tuple(ctx.lake.read_table(manifest, table)["photo_id"].tail(len(IDS))) == IDS
        assert manifest.facts["counts"][table]["quarantined"] == 0


def test_a_site_names_its_types_devices_and_orderings(tmp_path: Path) -> None:
    files = LayoutFiles(days=1, conversions_per_day=10)
    for kind in ("purchase", "add_to_cart", "wish"):
        files.add("conversions", conversion_type=kind, device_type="app", search_ordering="price: low first")
    folder = files.write(tmp_path / "data")
    (folder / "dataset.toml").write_text(
        "[conversions]\ntypes = { download = 1, purchase = 3, add_to_cart = 0.5 }\n"
        'devices = ["app", "desktop", "mobile", "tablet"]\norderings = ["popular", "recent", "price: low first"]\n'
    )
    ctx = context_in(tmp_path, dataset_uri=str(folder), run_date=DAY)
    manifest = run_stage(ctx, "validate_logs", ValidateLogsParams())
    assert manifest.facts["warnings"]["conversions"] == {"unknown_conversion_type": 1}
    found = ctx.lake.read_table(manifest, "conversions").tail(3)
    assert found["conversion_type"].to_list() == ["purchase", "add_to_cart", "wish"]
    assert found["weight"].to_list() == [3, 0.5, 1]


def test_a_first_version_data_set_with_a_days_drop(tmp_path: Path, make_context: Contexts) -> None:
    """Version 1.0 has fewer columns and tables; conversions of one day lie in a folder of their own, in two parts."""
    old = {
        "photos": ("photo_id", "photo_url", "photo_image_url", "photo_submitted_at", "photo_featured"),
        "conversions": COLUMNS["conversions"][:6],
    }
    files = LayoutFiles(days=1, conversions_per_day=4)
    folder, drop = tmp_path / "data", tmp_path / "drop"
    folder.mkdir()
    drop.mkdir()
    for table, columns in old.items():
        rows = [line.decode().rstrip("\n").split("\t") for line in files.lines[table]]
        kept = [",".join(row[COLUMNS[table].index(column)] for column in columns) for row in rows]
        if table == "photos":
            (folder / "photos.csv").write_text("\r\n".join(kept) + "\r\n")
        else:
            (drop / "conversions.tsv000").write_text("\n".join(kept[:3]).replace(",", "\t"))
            (drop / "conversions.tsv001").write_text("\n".join([kept[0], *kept[3:]]).replace(",", "\t") + "\n")
    ctx = make_context(dataset_uri=str(folder))
    manifest = run_stage(ctx, "validate_logs", ValidateLogsParams(conversions_folder=str(drop)))
    assert manifest.facts["dataset_version"] == "1.0"
    assert manifest.row_counts == {
        "photos": 30,
        "conversions": 4,
        "keywords": 0,
        "collections": 0,
        "colors": 0,
        "hidden": 0,
        "impressions": 0,
        "quarantine": 0,
        "repairs": 0,
        "units": 3,
    }
    conversions = ctx.lake.read_table(manifest, "conversions")
    assert conversions.select("source_file", "source_line").rows() == [
        ("conversions.tsv000", 2),
        ("conversions.tsv000", 3),
        ("conversions.tsv001", 2),
        ("conversions.tsv001", 3),
    ]
    assert conversions["device_type"].null_count() == conversions["position"].null_count() == 4
    assert manifest.facts["missing_columns"]["conversions"] == list(COLUMNS["conversions"][6:])


def test_a_missing_column_is_named_before_anything_starts(
    tmp_path: Path, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate_logs, "query_engine", no_engine)
    files = LayoutFiles(days=1, conversions_per_day=1)
    folder = files.write(tmp_path / "data")
    path = folder / "conversions.tsv000"
    path.write_bytes(path.read_bytes().replace(b"conversion_country", b"country"))
    with raises(BadInput, "missing_columns", path=str(path), columns=["conversion_country"]):
        run_stage(make_context(dataset_uri=str(folder)), "validate_logs", PARAMS)
