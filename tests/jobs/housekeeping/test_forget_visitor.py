"""Forgetting a visitor: every trace goes, the others' rows stay, manifests fit their files, and it can be run again."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from jobs.config.params.base import Params
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import SPLITS
from jobs.datasets.reports import REPORT
from jobs.errors import MissingInput, NightlensError
from jobs.housekeeping.forget_visitor import forget
from jobs.ingest.forgotten import forgotten
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.tables import ALL_WINDOWS, read_taken
from models.rerank.live import Taken
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

WHO, RAW, OTHER = "a" * 32, "0a1b2c3d-0000-4000-8000-000000000001", "b" * 32
PHOTOS = pl.DataFrame({"photo_id": ["p"]})
IMPRESSIONS = pl.DataFrame({"visitor_id": [OTHER, WHO], "photo_id": "p"})
CONVERSIONS = pl.DataFrame({"visitor_id": [WHO, OTHER, WHO, None], "query": ["cat", "cat", "dog", "sky"]})


def hide(visitor: str) -> str:
    return WHO if visitor == RAW else hashlib.sha256(visitor.encode()).hexdigest()[:32]


@pytest.fixture
def ctx(make_context: Contexts) -> RunContext:
    return make_context()


def fill(ctx: RunContext) -> dict[str, Manifest]:
    """Commit a log with a bad row of the visitor, splits, an evaluation, a page, a failed night, and vectors."""
    record = [f"2025\tdownload\tcat\t{WHO}", f"2025\tdownload\tdog\t{OTHER}"]
    validated = {
        "photos": PHOTOS,
        "conversions": CONVERSIONS,
        "impressions": IMPRESSIONS,
        "quarantine": pl.DataFrame({"table": "conversions", "record": record}),
    }
    found = {"validated": commit_tables(ctx, VALIDATED, validated)}
    inputs = {"validated": found["validated"]}
    rows = CONVERSIONS.head(3).with_columns(photo_id=pl.lit("p"), converted_at=ctx.as_of - timedelta(days=1))
    splits = {"photos": PHOTOS} | dict.fromkeys(("train", "validation", "test"), rows)
    splits["photo_keywords"] = PHOTOS.with_columns(keyword=pl.lit("cat"))
    found["splits"] = commit_tables(ctx, SPLITS, splits, inputs=inputs)
    staged = ctx.begin(REPORT, Params(), inputs)
    staged.write_file("report.html", f"<p>{OTHER}</p><p>{WHO}</p>".encode())
    found["report"] = staged.commit()
    ctx.lake.store("rejected", "x").put("part.parquet", parquet(CONVERSIONS))
    ctx.lake.store("photo_vectors", "model").put(
        "part.parquet", parquet(pl.DataFrame({"key": ["k"], "vector": [[1.0]]}))
    )
    return found


def parquet(frame: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


def traces(lake: Lake, *names: str) -> list[Path]:
    """Files that hold one of the names, looked for in another way: Parquet as rows, all else as bytes."""
    found = []
    for path in Path(lake.root).rglob("*"):
        if path.is_file() and "store/forgotten/" not in str(path):
            text = str(pl.read_parquet(path).to_dicts()) if path.suffix == ".parquet" else path.read_text()
            found += [path for name in names if name in text]
    return found


def pasts(ctx: RunContext, splits: Manifest) -> dict[str, tuple[Taken, ...]]:
    """What a search by these visitors is told of what they took."""
    return read_taken(ctx.lake, splits, ALL_WINDOWS, ctx.as_of, [WHO, OTHER])


def test_every_trace_goes_and_all_else_stays(ctx: RunContext) -> None:
    before = fill(ctx)
    assert len(traces(ctx.lake, WHO)) == 8
    assert {who: len(past) for who, past in pasts(ctx, before["splits"]).items()} == {WHO: 6, OTHER: 3}
    vectors = ctx.lake.store("photo_vectors", "model").get("part.parquet")
    receipt = forget(ctx.lake, RAW, hide, ctx.started_at)
    assert traces(ctx.lake, WHO, RAW) == []
    assert sum(receipt.removed_rows.values()) == 2 + 1 + 1 + 3 * 2 + 2
    assert [name.rsplit("/", 1)[1] for name in receipt.changed_files] == ["report.html"]
    after = {name: ctx.read(named(name)) for name in before}
    assert ctx.lake.read_table(after["validated"], "conversions")["visitor_id"].to_list() == [OTHER, None]
    assert ctx.lake.read_table(after["validated"], "impressions")["visitor_id"].to_list() == [OTHER]
    assert ctx.lake.read_table(after["splits"], "train")["visitor_id"].to_list() == [OTHER]
    assert ctx.lake.read_file(after["report"], "report.html") == f"<p>{OTHER}</p><p>[forgotten]</p>".encode()
    assert ctx.lake.store("photo_vectors", "model").get("part.parquet") == vectors
    assert after["splits"].row_counts["train"] == 1
    assert {who: len(past) for who, past in pasts(ctx, after["splits"]).items()} == {OTHER: 3}
    assert after["splits"].digest != before["splits"].digest
    assert "none holds the visitor" in receipt.text()


def test_manifests_say_what_their_files_are_now(ctx: RunContext) -> None:
    fill(ctx)
    forget(ctx.lake, RAW, hide, ctx.started_at)
    for name in ("validated", "splits", "report"):
        manifest = ctx.read(named(name))
        for table in manifest.tables.values():
            for info in table.files:
                assert ctx.lake.measure(f"{ctx.lake.root}/{info.path}", info.row_count) == info
            assert table.row_count == sum(info.row_count or 0 for info in table.files)
        for info in manifest.files.values():
            assert ctx.lake.measure(f"{ctx.lake.root}/{info.path}", None) == info


def test_one_that_was_cut_short_is_ended_by_running_it_again(ctx: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ctx)
    count = 0
    put = Lake.put

    def fail_later(self: Lake, path: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > 4:
            raise OSError("no space left on device")
        put(self, path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "put", fail_later)
        with pytest.raises(OSError, match="no space"):
            forget(ctx.lake, RAW, hide, ctx.started_at)
    assert forgotten(ctx.lake) == [WHO]
    forget(ctx.lake, RAW, hide, ctx.started_at)
    assert traces(ctx.lake, WHO) == []
    splits = ctx.read(SPLITS)
    assert splits.row_counts["train"] == len(ctx.lake.read_table(splits, "train")) == 1
    assert sum(forget(ctx.lake, RAW, hide, ctx.started_at).removed_rows.values()) == 0


@pytest.mark.parametrize("key", [RAW, [[WHO]]])
def test_a_trace_that_cannot_be_removed_is_named(ctx: RunContext, key: object) -> None:
    fill(ctx)
    names = pl.DataFrame({"key": key, "vector": [[1.0]]})
    ctx.lake.store("photo_vectors", "model").put("named.parquet", parquet(names))
    with raises(NightlensError, "visitor_still_there", files=["store/photo_vectors/model/named.parquet"]):
        forget(ctx.lake, RAW, hide, ctx.started_at)


@pytest.mark.parametrize(
    ("mistyped", "alike"),
    [(f"{RAW} ", [RAW]), (RAW.upper(), [RAW]), (f" '{RAW.upper()}'\n", [RAW]), (RAW[:-1] + "2", [])],
)
def test_a_visitor_who_is_nowhere_is_not_proved_to_be_forgotten(
    ctx: RunContext, mistyped: str, alike: list[str]
) -> None:
    fill(ctx)
    before = traces(ctx.lake, WHO)
    with raises(MissingInput, "no_such_visitor", visitor=mistyped, alike=alike):
        forget(ctx.lake, mistyped, hide, ctx.started_at)
    assert traces(ctx.lake, WHO) == before
    assert forgotten(ctx.lake) == []
