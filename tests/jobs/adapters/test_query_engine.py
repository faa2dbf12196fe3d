"""The two engines: the same files from the same rows, whatever batches they come in and wherever the lake is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.adapters import parquet_parts
from jobs.adapters.duckdb_engine import duckdb_engine
from jobs.adapters.parquet_parts import SHARD, write_part, write_shards
from jobs.adapters.query_engine import QueryEngine, query_engine
from jobs.config.params.base import Params
from jobs.config.params.ingest import EIGHTY_TWENTY, AuditLeaksParams, MeasureImpressionsParams, SplitTemporalParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.schema import I64, STR, Dataset, Table, schema
from jobs.errors import NightlensError
from jobs.lake.files import LakeFiles
from jobs.nights.stage_runner import run_stage
from jobs.runtime.error_translation import explain
from tests.conftest import Contexts, context_in, make_settings
from tests.validated_lake import commit_tables

NUMBERS = Dataset("numbers", "clean", (Table("rows", schema(name=STR, number=I64), may_be_empty=True),))
ROWS = pl.DataFrame({"name": [f"n{number % 7}" for number in range(50)], "number": range(50), "more": 1})


def shuffled_night(ctx: RunContext, random: Random) -> dict[str, pl.DataFrame]:
    """Return validated tables with repetitions, instants and nulls that tie, in any order."""
    photos = [(f"p{number}", ctx.as_of - timedelta(days=random.randrange(-1, 60)), None) for number in range(12)]
    instants = [ctx.as_of - timedelta(hours=random.randrange(1, 24 * 20)) for _ in range(25)]
    rows = [
        {
            "visitor_id": f"v{random.randrange(3)}",
            "query": random.choice(["cat", "кот"]),
            "country": random.choice(["GB", "US"]),
            "photo_id": f"p{random.randrange(9)}",
            "converted_at": random.choice(instants),
            "weight": random.choice([None, 0.1, 1.0, 3.0]),
            "device_type": random.choice([None, "mobile", "tablet"]),
            "orientation_filter": random.choice([None, "all"]),
            "position": random.choice([None, 1, 12]),
            "source_file": "conversions.tsv000",
            "source_line": line,
        }
        for line in range(300)
    ]
    random.shuffle(rows)
    keywords = [(f"p{random.randrange(13)}", random.choice("abc"), random.choice([None, 0.1, 0.9])) for _ in range(60)]
    return {
        "photos": pl.DataFrame(photos, schema=["photo_id", "submitted_at", "description"], orient="row"),
        "conversions": pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("position").cast(pl.Int32)),
        "keywords": pl.DataFrame(keywords, schema=["photo_id", "keyword", "confidence"], orient="row"),
    }


@pytest.mark.spark
@pytest.mark.integration
@pytest.mark.parametrize(
    "params",
    [
        SplitTemporalParams(test_days=4, validation_days=2, train_days=12, shards=3),
        SplitTemporalParams(protocol=EIGHTY_TWENTY, validation_share=0.1, shards=3),
    ],
    ids=["windows", "80/20"],
)
def test_a_night_is_the_same_bytes_by_both_engines(spark: object, tmp_path: Path, params: SplitTemporalParams) -> None:
    found = []
    for engine, spark_from_rows in (("duckdb", 10_000), ("spark", 1)):
        ctx = context_in(tmp_path, settings=make_settings(tmp_path / engine, spark_from_rows=spark_from_rows))
        commit_tables(ctx, VALIDATED, shuffled_night(ctx, Random(params.protocol)))
        splits = run_stage(ctx, "split_temporal", params)
        run_stage(ctx, "measure_impressions", MeasureImpressionsParams())
        audit = run_stage(ctx, "audit_leaks", AuditLeaksParams())
        digests = {
            (table, Path(info.path).name): info.sha256
            for run in (splits, audit)
            for table, written in run.tables.items()
            for info in written.files
        }
        found.append((digests, splits.facts, audit.facts))
        assert splits.row_counts["train"] > 21
    assert found[0] == found[1]


ENGINES = pytest.mark.parametrize("name", ["duckdb", pytest.param("spark", marks=pytest.mark.spark)])


@pytest.fixture
def one_engine(name: str, request: pytest.FixtureRequest, settings: Settings) -> Iterator[QueryEngine]:
    if name == "spark":
        request.getfixturevalue("spark")
    from_rows = {"spark": 1, "duckdb": 2}[name]
    with query_engine(settings.model_copy(update={"spark_from_rows": from_rows}), "test", 1) as engine:
        yield engine


@ENGINES
def test_files_are_numbered_as_listed_and_may_be_listed_twice(one_engine: QueryEngine, tmp_path: Path) -> None:
    folder = tmp_path / "run_id=1 [it's]"  # neither a column nor a pattern
    folder.mkdir()
    paths = [str(folder / f"{number}.parquet") for number in range(2)]
    for number, path in enumerate(paths):
        pl.DataFrame({"left_out": 1, "letter": ["a" * number, None]}).write_parquet(path)
    found = one_engine.collect(one_engine.files([paths[1], paths[0], paths[1]], ["letter"]))
    assert found.schema == {"letter": pl.String, "unit": pl.Int32}
    assert set(found.rows()) == {("a", 0), (None, 0), ("", 1), (None, 1), ("a", 2), (None, 2)}
    assert len(found) == 6


@ENGINES
def test_frames_are_selected_united_and_kept(one_engine: QueryEngine) -> None:
    rows = one_engine.frame(ROWS)
    counted = one_engine.select(rows, "name", "CAST(number AS STRING) AS text", "XXHASH64(name, number) AS digest")
    both = one_engine.keep(one_engine.union([counted, counted]))
    found = one_engine.collect(both)
    assert sorted(found["text"].cast(pl.Int64)) == sorted([*range(50), *range(50)])
    assert found["digest"].n_unique() == 50
    total = one_engine.collect(one_engine.select(both, "COUNT(*) AS all_rows", "COUNT_IF(name = 'n1') AS some_rows"))
    assert total.schema == {"all_rows": pl.Int64, "some_rows": pl.Int64}
    assert total.row(0) == (100, 14)


@ENGINES
@pytest.mark.parametrize("place", ["folder", "object store"])
def test_a_written_table_is_cut_by_a_column_and_ordered(
    one_engine: QueryEngine, settings: Settings, make_context: Contexts, place: str, name: str
) -> None:
    if place == "object store" and name == "spark":
        pytest.skip("Spark's workers share no memory: an S3 server shows it, in tests/jobs/lake")
    lake_uri = settings.lake_uri if place == "folder" else f"memory://{settings.lake_uri}"
    ctx = make_context(settings=settings.model_copy(update={"lake_uri": lake_uri}))
    staged = ctx.begin(NUMBERS, Params(), {}, {"rows": "some"})
    one_engine.write(one_engine.frame(ROWS.sample(fraction=1, shuffle=True)), staged, "rows", 3, "name", ["number"])
    manifest = staged.commit()
    found = ctx.lake.read_shards(manifest, "rows")
    assert found.group_by("name").agg(pl.col("shard").n_unique())["shard"].to_list() == [1] * 7
    assert found.select("number").rows() == found.sort("shard", "number").select("number").rows()
    assert found.drop("shard").sort("number").equals(ROWS.drop("more"))
    again = one_engine.collect(one_engine.table(ctx.lake, manifest, "rows"))
    assert again.sort("number").equals(ROWS.drop("more"))


@ENGINES
def test_no_rows_are_one_empty_file(one_engine: QueryEngine, make_context: Contexts) -> None:
    ctx = make_context()
    staged = ctx.begin(NUMBERS, Params(), {}, {"rows": "none"})
    one_engine.write(one_engine.frame(ROWS.clear()), staged, "rows", 3, "name", ["number"])
    manifest = staged.commit()
    assert [info.row_count for info in manifest.tables["rows"].files] == [0]
    assert one_engine.collect(one_engine.table(ctx.lake, manifest, "rows")).height == 0


def test_how_rows_are_cut_into_batches_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_parts, "_ROWS_PER_GROUP", 8)
    rows = ROWS.select("name", "number", pl.col("number").floordiv(30).alias(SHARD)).to_arrow()
    lake, written = LakeFiles(str(tmp_path), "lake"), set()
    for batch_rows in (1, 3, 8, 20, 50):
        folder = f"{lake.root}/{batch_rows}"
        batches = rows.to_batches(max_chunksize=batch_rows)
        assert write_shards(batches, lake, folder, NUMBERS.table("rows").schema) == 50
        paths = sorted(Path(folder).iterdir())
        assert [path.name for path in paths] == ["part-00000.parquet", "part-00001.parquet"]
        metadata = pq.read_metadata(paths[0])
        assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [8, 8, 8, 6]
        written.add(tuple(path.read_bytes() for path in paths))
    assert len(written) == 1


def test_a_part_that_fails_is_not_there(tmp_path: Path) -> None:
    lake = LakeFiles(str(tmp_path), "lake")
    rows = ROWS.select("name", number=pl.lit("no number")).to_arrow()
    with pytest.raises(pa.ArrowInvalid):
        write_part(rows.to_batches(), lake, f"{lake.root}/part.parquet", NUMBERS.table("rows").schema)
    assert list(Path(lake.root).iterdir()) == []


def test_what_does_not_fit_into_memory_goes_to_files_that_are_removed(settings: Settings) -> None:
    with duckdb_engine(settings.model_copy(update={"query_memory_mb": 24})) as engine:
        numbers = engine.select(engine.frame(pl.DataFrame({"n": range(4)})), "n", "EXPLODE(SEQUENCE(1, 250000)) AS m")
        texts = engine.keep(engine.select(numbers, "MD5(CAST(250000 * n + m AS STRING)) AS text"))
        assert list((settings.state_dir / "queries").glob("*/*"))
        assert engine.collect(engine.select(texts, "COUNT(DISTINCT text) AS text_count")).item() == 1_000_000
    assert list((settings.state_dir / "queries").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_no_other_folder(settings: Settings) -> None:
    folder = settings.state_dir / "queries"
    with duckdb_engine(settings):
        (in_use,) = folder.glob("*.lock")
        in_use.with_suffix("").mkdir()
        (folder / "killed").mkdir()
        (folder / "killed.lock").touch()
        with duckdb_engine(settings):
            assert not (folder / "killed").exists()
            assert in_use.with_suffix("").exists()
    assert list(folder.iterdir()) == []


def test_a_query_without_room_says_what_to_do(settings: Settings) -> None:
    with duckdb_engine(settings.model_copy(update={"query_memory_mb": 1})) as engine:
        rows = engine.select(engine.frame(ROWS), "MD5(name) AS text", "EXPLODE(SEQUENCE(1, 20000)) AS n")
        with pytest.raises(Exception, match="Out of Memory") as caught:
            engine.keep(rows)
    error = explain(caught.value, [])
    assert isinstance(error, NightlensError)
    assert error.code == "query_out_of_memory"


def test_temporary_files_without_room_are_a_full_disk(settings: Settings) -> None:
    with duckdb_engine(settings.model_copy(update={"query_memory_mb": 24})) as engine:
        engine._connection.execute("SET max_temp_directory_size = '1MiB'")
        rows = engine.select(engine.frame(ROWS), "name", "EXPLODE(SEQUENCE(1, 20000)) AS n")
        with pytest.raises(Exception, match="Out of Memory") as caught:
            engine.keep(engine.select(rows, "MD5(CONCAT(name, CAST(n AS STRING))) AS text"))
    error = explain(caught.value, [])
    assert error is not None
    assert error.code == "disk_full"
