"""Folders and addresses that a person gives: `~` is the home folder, what no library here opens is refused."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from fsspec.registry import known_implementations

_WRITTEN = "a folder, or an address such as s3://bucket/lake"


def expanded(path: Path) -> Path:
    """Return a path with `~` as the home folder; `ValueError` if that is not known.

    >>> expanded(Path("a%20b/~c"))
    PosixPath('a%20b/~c')
    """
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~name of a user who is not there
        raise ValueError(f"{path}: there is no such user, or the user has no home folder") from error


def absolute(path: Path) -> Path:
    """Return a path from the root on, with `~` as the home folder; `ValueError` if that is not known."""
    return expanded(path).absolute()


def place(text: str) -> str:
    """Return a folder as an absolute path, or the address of an object store as it is.

    Raises `ValueError` for an address of an unknown kind, or whose library is not installed.

    >>> place("/data/../a b#"), place("memory://lake")
    ('/data/../a b#', 'memory://lake')
    """
    kind, separator, rest = text.partition("://")
    if not separator:
        return str(absolute(Path(text)))
    if kind not in known_implementations:
        raise ValueError(f"expected {_WRITTEN}; {kind}:// is unknown")
    library = str(known_implementations[kind]["class"]).partition(".")[0]
    if find_spec(library) is None:
        raise ValueError(
            f"{kind}:// needs the Python library {library}, which is not installed here; expected {_WRITTEN}"
        )
    urlsplit(text)  # refuses a bracket that is not closed
    if not rest.strip("/"):
        raise ValueError(f"expected {_WRITTEN}; {text} names none")
    return text
