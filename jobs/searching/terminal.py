"""Text in the cells of a terminal: cut to fit, and free of what would steer the terminal."""

from __future__ import annotations

import unicodedata

import wcwidth

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
    if wcwidth.width(clean) > cells:
        clean = wcwidth.clip(clean, 0, cells - 1).rstrip() + "…"
    return wcwidth.ljust(clean, cells)
