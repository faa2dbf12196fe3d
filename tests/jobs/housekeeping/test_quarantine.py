"""`nightlens quarantine`: which night's bad rows it shows, their counts and rows, on a terminal and into a pipe."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from jobs.commands import main
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.errors import MissingInput
from jobs.housekeeping.quarantine import read_quarantine, render_table, render_tsv
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

ROWS = [
    ("photos", "photos.tsv000", 7, ["null_photo_id"], "\thttps://x"),
    ("photos", "photos.tsv000", 3, ["null_photo_id", "bad_url"], "\tnone"),
    ("colors", "colors.tsv000", 9, ["bad_url"], "a\nb\x1b[31m"),
]


def bad_rows(rows: list[tuple[str, str, int, list[str], str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["table", "source_file", "source_line", "reasons", "record"], orient="row")


def commit(ctx: RunContext, rows: list[tuple[str, str, int, list[str], str]] = ROWS) -> None:
    commit_tables(ctx, VALIDATED, {"quarantine": bad_rows(rows)})


def refuse(ctx: RunContext, run_id: str, at: int | None = None) -> None:
    """Leave what `validate_logs` leaves of a night that it refuses."""
    store = ctx.lake.store("rejected", run_id)
    store.put("validation.json", json.dumps({"run_date": ctx.run_date.isoformat()}).encode())
    folder = Path(store.folder) / "quarantine"
    folder.mkdir()
    bad_rows([("keywords", "keywords.tsv000", 2, ["unknown_photo"], "z")]).write_parquet(folder / "part-0.parquet")
    if at is not None:
        os.utime(Path(store.folder) / "validation.json", (at, at))


def test_bad_rows_are_counted_by_table_and_reason_and_shown_in_the_order_of_their_files(
    make_context: Contexts,
) -> None:
    ctx = make_context()
    commit(ctx)
    found = read_quarantine(ctx.lake, None, "", "", 2)
    assert list(found.counts.iter_rows()) == [
        ("photos", "null_photo_id", 2),
        ("colors", "bad_url", 1),
        ("photos", "bad_url", 1),
    ]
    assert (found.row_count, found.rows["source_line"].to_list()) == (3, [9, 3])
    assert found.rows["reasons"].to_list() == [["bad_url"], ["null_photo_id", "bad_url"]]


def test_only_rows_of_a_table_and_a_reason(make_context: Contexts) -> None:
    ctx = make_context()
    commit(ctx)
    found = read_quarantine(ctx.lake, None, "photos", "bad_url", 20)
    assert found.rows["source_line"].to_list() == [3]
    with raises(MissingInput, "not_in_quarantine", table="photos", reason="no_such") as caught:
        read_quarantine(ctx.lake, None, "photos", "no_such", 20)
    assert "photos null_photo_id" in str(caught.value)


def test_the_latest_night_counts_also_if_validation_refused_it(make_context: Contexts) -> None:
    first, second = make_context(), make_context(run_date=date(2025, 12, 29))
    commit(first)
    refuse(second, "f00d")
    assert read_quarantine(second.lake, None, "", "", 20).rows["table"].to_list() == ["keywords"]
    assert "2025-12-29 (refused by validation" in read_quarantine(second.lake, None, "", "", 20).heading
    assert read_quarantine(second.lake, first.run_date, "", "", 20).row_count == 3
    with raises(MissingInput, "night_not_validated", run_date=date(2025, 12, 1)) as caught:
        read_quarantine(second.lake, date(2025, 12, 1), "", "", 20)
    assert "2025-12-28, 2025-12-29" in str(caught.value)


@pytest.mark.parametrize(("at", "expected"), [(1, 3), (4_000_000_000, 1)])
def test_of_one_night_the_last_try_counts(make_context: Contexts, at: int, expected: int) -> None:
    ctx = make_context()
    commit(ctx)
    refuse(ctx, "f00d", at)
    assert read_quarantine(ctx.lake, None, "", "", 20).row_count == expected


def test_a_night_without_bad_rows_says_so(make_context: Contexts) -> None:
    ctx = make_context()
    commit(ctx, [])
    assert render_table(read_quarantine(ctx.lake, None, "", "", 20), 80).endswith("rows in quarantine: 0")


def test_a_terminal_gets_tables_that_steer_nothing(make_context: Contexts) -> None:
    ctx = make_context()
    commit(ctx)
    lines = render_table(read_quarantine(ctx.lake, None, "", "", 2), 80).splitlines()
    assert lines[3].split() == ["photos", "null_photo_id", "2"]
    assert lines[7].startswith("the first 2 of 3 rows; --limit 3")
    assert "\x1b" not in "".join(lines)


def test_a_pipe_gets_tab_separated_text(make_context: Contexts, capsys: pytest.CaptureFixture[str]) -> None:
    ctx = make_context()
    commit(ctx)
    counts, rows = render_tsv(read_quarantine(ctx.lake, None, "", "", 20)).split("\n\n")
    assert counts.splitlines()[:2] == ["table\treason\trows", "photos\tnull_photo_id\t2"]
    assert rows.splitlines()[:2] == [
        "table\tfile\tline\treasons\trecord",
        "colors\tcolors.tsv000\t9\tbad_url\ta\\nb\\x1b[31m",
    ]
    assert rows.splitlines()[2].split("\t")[3:] == ["null_photo_id, bad_url", "\\tnone"]


def test_the_command_writes_rows_to_stdout_and_the_heading_beside(
    make_context: Contexts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = make_context()
    commit(ctx)
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(ctx.settings.state_dir))
    assert main.main(["quarantine", "--catalogue", ctx.catalogue, "--table", "colors"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].split("\t")[:3] == ["colors", "colors.tsv000", "9"]
    assert "rows in quarantine: 1" in said.err
    assert main.main(["quarantine", "--catalogue", "elsewhere"]) == 2
    assert "MissingInput [no_such_catalogue]" in capsys.readouterr().err
