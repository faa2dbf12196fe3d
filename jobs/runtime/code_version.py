"""The code version of a stage: a digest of the files that the stage can reach, so that a change elsewhere leaves it.

What a stage reaches:

- its own module, those of what it is handed, and every module they import, at the top or within a function; imports
  for type checking only do not count;
- the `__init__` of every package that a reached module lies in, since Python runs it first, and what that imports;
- a module whose name stands in quotes in a reached module: it is loaded by its name, as Spark's Python daemon is;
- every file that is not Python in the folder of a reached package, such as the report's templates and style sheet;
- a query or a suite whose name stands in quotes in a reached module, if a reached module also names its folder in
  quotes, as those that open `sql` and `great_expectations` do.

So a name put together at run time is not seen: write the names of modules, queries and suites out. A test proves that
each query and suite is reached by some stage.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

import grimp

import jobs

RESOURCE_FOLDERS = ("sql", "great_expectations")
"""Folders beside the packages whose files stages open."""

_ROOT = Path(jobs.__file__).resolve().parents[1]
_QUOTED = re.compile(r"""["']([\w.-]+)["']""")


def stage_version(module: str, *handed: str) -> str:
    """Return the digest (16 hex digits) of the paths and bytes of `stage_files`; independent of git and file times."""
    digest = hashlib.sha256()
    for path in stage_files(module, *handed):
        digest.update(path.as_posix().encode() + b"\0" + (_ROOT / path).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def stage_files(module: str, *handed: str) -> tuple[Path, ...]:
    """Return the files that a stage can reach, sorted, relative to the folder that holds `jobs`.

    `handed` are the modules of what the stage is called with, which it may import for its types only. Raises
    `ValueError` for a module that is not there.
    """
    reached: set[str] = set()
    files: set[Path] = set()
    quoted: set[str] = set()
    to_visit = [module, *handed]
    while to_visit:
        name = to_visit.pop()
        if name in reached:
            continue
        path = _path_of(name)
        names = set(_QUOTED.findall(path.read_text(encoding="utf-8")))
        reached.add(name)
        quoted |= names
        files.add(path)
        if path.name == "__init__.py":
            files |= _resources_in(path.parent)
        parent = name.rpartition(".")[0]
        loaded = {other for other in names & _imports().modules if "." in other}
        to_visit += _imports().find_modules_directly_imported_by(name) | loaded | ({parent} if parent else set())
    for folder in quoted.intersection(RESOURCE_FOLDERS):
        files |= {path for path in (_ROOT / folder).rglob("*") if path.is_file() and quoted & {path.stem, path.name}}
    return tuple(sorted(path.relative_to(_ROOT) for path in files))


@cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph("jobs", "models", exclude_type_checking_imports=True, cache_dir=None)


def _path_of(module: str) -> Path:
    """Return the file of a module, or `ValueError` if there is none."""
    folder = _ROOT.joinpath(*module.split("."))
    for path in (folder / "__init__.py", folder.with_suffix(".py")):
        if path.is_file():
            return path
    raise ValueError(f"no module {module} below {_ROOT}: the code version of a stage is made from its files")


def _resources_in(package: Path) -> set[Path]:
    """Return the files of a package that are not Python, with those of folders in it that are no packages."""
    found: set[Path] = set()
    for path in package.iterdir():
        if path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir() and not (path / "__init__.py").is_file():
            found |= _resources_in(path)
        elif path.is_file() and path.suffix != ".py":
            found.add(path)
    return found
