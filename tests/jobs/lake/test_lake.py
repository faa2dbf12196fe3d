"""The lake's promises: whole or not at all, immutable, same work once, wrong data refused."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.config.params.ingest import SplitTemporalParams
from jobs.context import RunContext
from jobs.datasets.schema import Dataset, Facts, Table
from jobs.errors import BadInput, MissingInput, NightlensError
from jobs.lake.catalogue import Lake
from jobs.lake.staged_run import StagedRun
from tests.conftest import Contexts
from tests.errors import raises

THINGS = Dataset(
    "things",
    "clean",
    (
        Table("rows", pa.schema([("n", pa.int64())])),
        Table("extras", pa.schema([("tags", pa.list_(pa.string()))]), may_be_empty=True),
    ),
)

PARAMS = SplitTemporalParams()
ROWS = pl.DataFrame({"n": [3, 1, 2]})
EXTRAS = pl.DataFrame({"tags": [["a", "b"]]})


class Found(Facts):
    """Facts of the things."""

    fact: int


def fill(staged: StagedRun, rows: pl.DataFrame = ROWS) -> None:
    staged.write_table("rows", rows)
    staged.write_table("extras", EXTRAS)


def commit(context: RunContext, rows: pl.DataFrame = ROWS, **params: int) -> str:
    staged = context.begin(THINGS, PARAMS.model_copy(update=params), {})
    if staged.manifest is None:
        fill(staged, rows)
        staged.write_file("notes/a.txt", b"hello")
        staged.commit(Found(fact=1))
    return staged.run_id


def test_a_committed_run_reads_back(make_context: Contexts) -> None:
    context = make_context()
    commit(context)
    manifest = context.read(THINGS)
    assert context.lake.read_table(manifest, "rows")["n"].to_list() == [3, 1, 2]
    assert context.lake.read_file(manifest, "notes/a.txt") == b"hello"
    assert manifest.row_counts == {"rows": 3, "extras": 1}
    assert manifest.facts == {"fact": 1}
    with context.lake.local_folder(manifest, "notes") as folder:
        assert (folder / "a.txt").read_bytes() == b"hello"


def test_the_same_work_is_done_once_and_other_params_are_another_run(make_context: Contexts) -> None:
    context = make_context()
    first = commit(context)
    assert context.begin(THINGS, PARAMS, {}).manifest is not None
    second = commit(context, test_days=9)
    assert second != first
    assert context.read(THINGS).run_id == second
    commit(context)
    assert context.read(THINGS).run_id == first  # no new run, but the pointer follows what was asked for last


@pytest.mark.parametrize("change", [{"code_version": "other"}, {"seed": 1}])
def test_other_code_or_seed_is_another_run(make_context: Contexts, change: dict[str, object]) -> None:
    commit(make_context())
    assert make_context(**change).begin(THINGS, PARAMS, {}).manifest is None


def test_nothing_exists_before_the_commit(make_context: Contexts) -> None:
    context = make_context()
    staged = context.begin(THINGS, PARAMS, {})
    staged.write_table("rows", ROWS)
    with raises(MissingInput, "stage_not_run", dataset="things"):
        context.read(THINGS)
    with raises(NightlensError, "table_not_written", table="things.extras"):
        staged.commit()
    with pytest.raises(MissingInput):
        context.read(THINGS)


def test_an_empty_table_is_refused_unless_declared(make_context: Contexts) -> None:
    staged = make_context().begin(THINGS, PARAMS, {})
    staged.write_table("rows", ROWS.clear())
    staged.write_table("extras", EXTRAS.clear())
    with raises(MissingInput, "table_came_out_empty", table="things.rows"):
        staged.commit()


def test_another_schema_is_refused(make_context: Contexts) -> None:
    staged = make_context().begin(THINGS, PARAMS, {})
    with raises(NightlensError, "undeclared_schema", table="things.rows"):
        staged.write_table("rows", ROWS.rename({"n": "m"}))
    with pytest.raises(pa.ArrowInvalid):
        staged.write_table("rows", pl.DataFrame({"n": ["x"]}))


def test_two_writers_of_one_run_do_not_mix(make_context: Contexts) -> None:
    context = make_context()
    first, second = context.begin(THINGS, PARAMS, {}), context.begin(THINGS, PARAMS, {})
    for staged, value in ((first, 1), (second, 2)):
        fill(staged, pl.DataFrame({"n": [value]}))
    winner = first.commit()
    assert second.commit() == winner
    assert context.lake.read_table(context.read(THINGS), "rows")["n"].to_list() == [1]


def test_a_damaged_manifest_is_named(make_context: Contexts) -> None:
    context = make_context()
    run_id = commit(context)
    path = f"{context.lake.root}/clean/things/run_date=2025-12-28/run_id={run_id}/manifest.json"
    context.lake.put(path, b'{"dataset": "things"')
    with raises(BadInput, "damaged_manifest", path=path):
        context.read(THINGS)


def test_linked_files_and_tables_are_not_copied(make_context: Contexts) -> None:
    context = make_context()
    commit(context)
    older = context.read(THINGS)
    staged = context.begin(THINGS, PARAMS, {"older": older})
    staged.link_table(older, "rows")
    staged.link_table(older, "extras")
    staged.link_files(older, "notes", "old-notes")
    newer = staged.commit()
    assert newer.run_id != older.run_id
    assert newer.files["old-notes/a.txt"] == older.files["notes/a.txt"]
    with context.lake.local_folder(newer, "old-notes") as folder:
        assert (folder / "a.txt").read_bytes() == b"hello"
    assert context.lake.read_table(newer, "rows")["n"].to_list() == [3, 1, 2]


def test_the_digest_is_of_content_not_of_names(make_context: Contexts) -> None:
    first, second = make_context(), make_context(catalogue="other", run_id="later")
    commit(first)
    commit(second)
    assert first.read(THINGS).digest == second.read(THINGS).digest
    commit(second, ROWS.reverse(), test_days=9)
    assert first.read(THINGS).digest != second.read(THINGS).digest


def test_the_digest_is_not_of_what_a_process_writes_into_the_footer(make_context: Contexts) -> None:
    """Java's order of a column's encodings differs from process to process; a rerun has to be the same run."""
    manifests = []
    for writer in ("one", "two"):
        context = make_context(catalogue=writer)
        staged = context.begin(THINGS, PARAMS, {})
        folder = Path(staged.table_folder("rows"))
        folder.mkdir(parents=True)
        table = pa.table({"n": [3, 1, 2]}).replace_schema_metadata({"writer": writer})
        pq.write_table(table, folder / "part.parquet")
        staged.write_table("extras", EXTRAS)
        manifests.append(staged.commit())
    first, second = (manifest.tables["rows"].files[0] for manifest in manifests)
    assert first.sha256 != second.sha256
    assert first.pages_sha256 == second.pages_sha256
    assert manifests[0].digest == manifests[1].digest


def test_a_store_lists_only_committed_parts(make_context: Contexts) -> None:
    store = make_context().lake.store("vectors", "model-a")
    assert store.names() == []
    assert store.get("a.bin") is None
    store.put("a.bin", b"1")
    store.put("b.txt", b"2")
    assert store.names(".bin") == ["a.bin"]
    assert store.get("a.bin") == b"1"
    store.clear()
    assert store.names() == []


def test_an_object_store_works_like_a_folder(make_context: Contexts, settings: object) -> None:
    memory = make_context().settings.model_copy(update={"lake_uri": "memory://lake-test"})
    context = make_context(settings=memory)
    commit(context)
    manifest = context.read(THINGS)
    assert context.lake.read_table(manifest, "rows")["n"].to_list() == [3, 1, 2]
    with context.lake.local_folder(manifest, "notes") as folder:
        assert (folder / "a.txt").read_bytes() == b"hello"
    staged = context.begin(THINGS, PARAMS, {"older": manifest})
    fill(staged)
    with staged.local_folder("made") as folder:
        (folder / "b.txt").write_bytes(b"made")
    assert context.lake.read_file(staged.commit(), "made/b.txt") == b"made"


class Crash(Exception):
    """Stands for a process that dies."""


@pytest.mark.parametrize("puts_before_crash", range(6))
def test_a_crash_at_any_write_leaves_the_old_run_or_the_new_one(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch, puts_before_crash: int
) -> None:
    context = make_context()
    commit(context)
    old = context.read(THINGS)
    put, count = Lake.put, 0

    def dying_put(lake: Lake, path: str, data: bytes) -> None:
        nonlocal count
        if count == puts_before_crash:
            raise Crash
        count += 1
        put(lake, path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "put", dying_put)
        try:
            commit(context, ROWS.reverse(), test_days=9)
        except Crash:
            assert context.read(THINGS) == old
    commit(context, ROWS.reverse(), test_days=9)
    new = context.read(THINGS)
    assert context.lake.read_table(new, "rows")["n"].to_list() == [2, 1, 3]
    assert new.params["test_days"] == 9
    assert context.lake.find(THINGS, context.partition, old.run_id) == old


def test_files_of_several_runs_are_one_folder_of_links(make_context: Contexts) -> None:
    context = make_context()
    commit(context)
    first = context.read(THINGS)
    staged = context.begin(THINGS, PARAMS.model_copy(update={"test_days": 9}), {})
    fill(staged)
    staged.write_file("notes/b.txt", b"new")
    staged.link_file(first, "notes/a.txt")
    second = staged.commit()
    assert second.files["notes/a.txt"] == first.files["notes/a.txt"]
    with context.lake.local_folder(second, "notes") as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.txt": b"hello", "b.txt": b"new"}
        assert all(path.is_symlink() for path in folder.iterdir())
    with raises(MissingInput, "not_in_run", name="notes/c.txt"):
        staged.link_file(first, "notes/c.txt")


def test_what_a_worker_puts_is_whole_or_not_there(make_context: Contexts) -> None:
    staged = make_context().begin(THINGS, PARAMS, {})
    place = pickle.loads(pickle.dumps(staged.worker_output))
    with contextlib.suppress(ZeroDivisionError), place.folder("parts") as folder:
        (folder / "a").write_bytes(b"half")
        raise ZeroDivisionError
    assert not staged.lake.fs.exists(place.path("parts/a"))
    for content in (b"first try", b"second try"):
        with place.folder("parts") as folder:
            (folder / "a").write_bytes(content)
    assert place.read(place.path("parts/a")) == b"second try"
    fill(staged)
    manifest = staged.commit()
    assert list(manifest.files) == ["parts/a"]
