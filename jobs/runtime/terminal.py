"""Text and tables in the cells of a terminal: cut to fit, and free of what would steer the terminal."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_JOINER = "\u200d"
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Return a text in one line without control characters, or marks that turn the direction of what follows.

    >>> printable("a\x1b[31m\n\tb\u202ec")
    'a [31m bc'
    """
    kept = []
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        if kind != "Cf" or char == _JOINER:
            kept.append(" " if kind in _CONTROL else char)
    return " ".join("".join(kept).split())


def fit(text: str, cells: int) -> str:
    """Return a text in exactly so many cells: filled up with spaces, or cut, with an ellipsis as its last sign.

    >>> fit("cat", 5), fit("a black cat", 5), fit("黒い猫", 4)
    ('cat  ', 'a bl…', '黒… ')
    """
    clean = printable(text)
    if cell_len(clean) > cells:
        clean = set_cell_size(clean, cells - 1).rstrip() + "…"
    return set_cell_size(clean, cells)


def table_lines(columns: Iterable[Column], rows: Iterable[Iterable[str]], width: int) -> list[str]:
    """Return a plain table, a line for each row below its header. A column is cut unless it is `no_wrap`."""
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(printable(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as text:
        console.print(table)
    return [line.rstrip() for line in text.get().splitlines()]
