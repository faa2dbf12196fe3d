"""The code version of a stage: what it is made from, and which stages a change in the source makes again."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.commands.stage_command import make_context
from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.context import RunContext
from jobs.lake.catalogue import Lake
from jobs.report.html_page import render_page
from jobs.runtime import code_version
from jobs.runtime.code_version import RESOURCE_FOLDERS, stage_files, stage_version
from jobs.stages.registry import ALL, StageSpec
from models.rerank import learning

NO_STAGE_READS = {"jobs/sample/drawing/things.txt", "jobs/sample/words.json"}
"""What only a tool reads."""
_HEAVY = ("torch", "pyspark", "mlflow", "great_expectations", "faiss", "airflow", "polars")
_PRINT_VERSIONS = f"""
import json, sys
from jobs.runtime.code_version import stage_version
from jobs.stages.registry import ALL
versions = {{s.name: stage_version(s.module, s.params.__module__, {RunContext.__module__!r}) for s in ALL.values()}}
print(json.dumps(versions))
assert not sys.modules.keys() & set({_HEAVY!r})
"""
_PRINT_IMPORTED = """
import importlib, json, sys
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("jobs", "models")]:
        del sys.modules[name]
    importlib.import_module(module)
    files = [sys.modules[name].__file__ for name in sys.modules if name.partition(".")[0] in ("jobs", "models")]
    print(json.dumps(files))
"""


def python(root: Path, code: str, *arguments: str) -> str:
    """Run code in a process that finds the packages below `root`; return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def handed(stage: StageSpec) -> tuple[str, str]:
    return stage.params.__module__, RunContext.__module__


def relative(path: str | Path) -> str:
    return Path(path).relative_to(PROJECT_ROOT).as_posix()


@pytest.fixture(scope="module")
def files_of() -> dict[str, set[str]]:
    """Every stage's files."""
    return {
        stage.name: {path.as_posix() for path in stage_files(stage.module, *handed(stage))} for stage in ALL.values()
    }


# --- a project of a few files


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    sources = {
        "jobs/__init__.py": "",
        "jobs/stage.py": """
            from typing import TYPE_CHECKING
            from models.room import thing
            if TYPE_CHECKING:
                from jobs.only_a_type import Type
            QUERY, SUITE = "count_rows", 'photos'
            def run() -> None:
                import jobs.lazy
                from jobs.opener import open_query
                load("jobs.daemon")
        """,
        "jobs/lazy.py": "",
        "jobs/opener.py": "FOLDER = ROOT / 'sql'",
        "jobs/daemon.py": "import jobs.deeper.worker",
        "jobs/deeper/__init__.py": "import jobs.loaded_by_package",
        "jobs/deeper/worker.py": "",
        "jobs/deeper/beside.py": "",
        "jobs/deeper/page.css": "",
        "jobs/deeper/icons/star.svg": "",
        "jobs/deeper/.hidden": "",
        "jobs/loaded_by_package.py": "",
        "jobs/handed_in.py": "import jobs.behind",
        "jobs/behind.py": "",
        "jobs/only_a_type.py": "",
        "jobs/other_stage.py": "import models.elsewhere",
        "jobs/other/__init__.py": "",
        "jobs/other/other.css": "",
        "models/__init__.py": "",
        "models/room/__init__.py": "",
        "models/room/thing.py": "",
        "models/elsewhere.py": "",
        "sql/count_rows.sql": "",
        "sql/other_query.sql": "",
        "great_expectations/photos.json": "",  # named, but nothing that is reached opens the folder
    }
    for name, text in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(inspect.cleandoc(text))
    (tmp_path / "jobs" / "runtime").mkdir()
    for module in (code_version, sys.modules["jobs.runtime"]):
        shutil.copy(inspect.getfile(module), tmp_path / "jobs" / "runtime")
    return tmp_path


def test_a_stage_reaches_imports_packages_named_modules_and_their_files(small_project: Path) -> None:
    code = """
from jobs.runtime.code_version import stage_files
print(*(path.as_posix() for path in stage_files("jobs.stage", "jobs.handed_in")))
"""
    assert python(small_project, code).split() == [
        "jobs/__init__.py",
        "jobs/behind.py",
        "jobs/daemon.py",
        "jobs/deeper/__init__.py",
        "jobs/deeper/icons/star.svg",
        "jobs/deeper/page.css",
        "jobs/deeper/worker.py",
        "jobs/handed_in.py",
        "jobs/lazy.py",
        "jobs/loaded_by_package.py",
        "jobs/opener.py",
        "jobs/stage.py",
        "models/__init__.py",
        "models/room/__init__.py",
        "models/room/thing.py",
        "sql/count_rows.sql",
    ]


def test_the_version_follows_bytes_and_names_of_these_files_only(small_project: Path) -> None:
    code = "from jobs.runtime.code_version import stage_version; print(stage_version('jobs.stage'))"
    first = python(small_project, code)
    assert re.fullmatch(r"[0-9a-f]{16}\n", first)
    (small_project / "jobs" / "other_stage.py").write_text("x = 1\n")
    os.utime(small_project / "jobs" / "stage.py", (0, 0))
    assert python(small_project, code) == first
    (small_project / "jobs" / "deeper" / "page.css").write_text("a {}\n")
    second = python(small_project, code)
    assert second != first
    (small_project / "jobs" / "deeper" / "page.css").rename(small_project / "jobs" / "deeper" / "pages.css")
    assert python(small_project, code) not in {first, second}


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no module jobs\.no_such_stage"):
        stage_version("jobs.no_such_stage")


# --- this project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, to be changed."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("jobs", "models", *RESOURCE_FOLDERS):
        shutil.copytree(PROJECT_ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture(scope="module")
def versions(project: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(python(project, _PRINT_VERSIONS))
    return found


RERANKING = {
    *("snapshot_champion", "measure_live", "train_reranker", "evaluate", "make_release", "register_model"),
    *("gate_release", "rank_next_day"),
}


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        (relative(inspect.getfile(render_page)).replace("html_page.py", "style.css"), {"publish_report"}),
        (relative(inspect.getfile(learning)), RERANKING),
        (relative(inspect.getfile(Lake)), set(ALL)),
        (relative(inspect.getfile(code_version)), {"validate_logs"}),  # it asks what reads rows
    ],
    ids=["style sheet", "reranker", "lake", "what digests the code"],
)
def test_a_change_makes_again_what_can_reach_it(
    project: Path, versions: dict[str, str], changed: str, stages: set[str]
) -> None:
    path = project / changed
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        after = json.loads(python(project, _PRINT_VERSIONS))
    finally:
        path.write_bytes(before)
    assert {stage for stage in ALL if after[stage] != versions[stage]} == stages


def test_every_file_of_the_reranker_belongs_to_reranking_only(files_of: dict[str, set[str]]) -> None:
    of_learning = {stage for stage, files in files_of.items() if relative(Path(inspect.getfile(learning))) in files}
    assert of_learning == RERANKING
    for path in Path(inspect.getfile(learning)).parent.glob("*.py"):
        assert {stage for stage, files in files_of.items() if relative(path) in files} <= RERANKING


def test_every_query_suite_and_resource_belongs_to_a_stage(files_of: dict[str, set[str]]) -> None:
    there = {
        relative(path)
        for folder in ("jobs", "models", *RESOURCE_FOLDERS)
        for path in (PROJECT_ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert there - set().union(*files_of.values()) == NO_STAGE_READS


def test_queries_and_suites_belong_to_the_stages_that_run_them(files_of: dict[str, set[str]]) -> None:
    for path in [*PROJECT_ROOT.glob("great_expectations/*"), *PROJECT_ROOT.glob("sql/judge_*")]:
        assert [stage for stage, files in files_of.items() if relative(path) in files] == ["validate_logs"]
    runs = {stage: sorted(Path(f).stem for f in files if f.startswith("sql/")) for stage, files in files_of.items()}
    for stage, prefix in (("split_temporal", "split_"), ("audit_leaks", "audit_")):
        queries = {path.stem for path in PROJECT_ROOT.glob(f"sql/{prefix}*")}
        assert queries <= set(runs[stage])
    assert runs["embed_photos"] == ["choose_exemplars", "images_to_embed", "photo_features", "photos_without_vector"]
    assert runs["build_index"] == ["photos_per_day", "photos_with_days"]
    assert runs["train_search"] == runs["evaluate"] == runs["publish_report"] == []


def test_stages_reach_no_other_stage(files_of: dict[str, set[str]]) -> None:
    own = {stage.name: relative(PROJECT_ROOT.joinpath(*stage.module.split("."))) + ".py" for stage in ALL.values()}
    for stage, files in files_of.items():
        assert files & set(own.values()) == {own[stage]}


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("validate_logs", "jobs.ingest.settled_units"),
        ("embed_photos", "jobs.embedding.worker_daemon"),
        ("embed_queries", "jobs.embedding.workers"),
        ("register_model", "models.serving"),
    ],
)
def test_modules_that_are_loaded_by_name_count(files_of: dict[str, set[str]], stage: str, module: str) -> None:
    assert module.replace(".", "/") + ".py" in files_of[stage]


def test_what_is_kept_of_a_log_is_of_the_code_that_reads_and_settles_it() -> None:
    [named] = {
        name
        for module in ("jobs/stages/validate_logs.py", "jobs/releasing/refresh_counts.py")
        for name in re.findall(r'stage_version\("(.+?)"\)', PROJECT_ROOT.joinpath(module).read_text())
    }
    parts = ("kept_rows", "settled_units", "rows", "columns", "records", "times", "parquet_files", "text_files")
    assert {Path(f"jobs/ingest/{part}.py") for part in parts} <= set(stage_files(named))


def test_names_of_modules_and_folders_are_written_out() -> None:
    paths = [path for folder in ("jobs", "models") for path in (PROJECT_ROOT / folder).rglob("*.py")]
    sources = {path: path.read_text() for path in paths}
    put_together = {path for path, text in sources.items() if re.search(r"""\bf["'](jobs|models)\.""", text)}
    assert put_together == {Path(inspect.getfile(StageSpec))}  # a stage's own name, which stages do not reach
    opened = {name for text in sources.values() for name in re.findall(r"PROJECT_ROOT / \"(.+?)\"", text)}
    assert opened - {".nightlens", "dags", "models"} == set(RESOURCE_FOLDERS)


def test_every_python_file_is_known_by_its_imports() -> None:
    """Grimp passes over folders without `__init__.py` and over names with dots."""
    paths = [path for folder in ("jobs", "models") for path in (PROJECT_ROOT / folder).rglob("*.py")]
    names = {relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in paths}
    assert names == code_version._imports().modules


@pytest.mark.slow
def test_what_python_loads_with_a_stage_is_in_its_version(files_of: dict[str, set[str]]) -> None:
    loaded = python(PROJECT_ROOT, _PRINT_IMPORTED, *(stage.module for stage in ALL.values())).splitlines()
    for stage, line in zip(ALL, loaded, strict=True):
        assert set(map(relative, json.loads(line))) <= files_of[stage]


@pytest.mark.parametrize("name", ["validate_logs", "fetch_images", "train_variant"])
def test_the_command_line_records_the_version_of_the_stage(name: str, settings: Settings) -> None:
    night: dict[str, Any] = {"dataset": "d", "catalogue": "c", "run_date": "2025-12-28", "run_id": "r", "seed": 1}
    context = make_context(settings, ALL[name], **night)
    assert context.code_version == stage_version(ALL[name].module, *handed(ALL[name]))
