"""Text in the cells of a terminal: how many it takes, cut to fit, and free of what would steer the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_JOINER, _EMOJI_FORM = "\u200d", "\ufe0f"
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}
_ZERO_WIDTH = {"Mn", "Me", "Cf"}
_SKIN_TONES = range(0x1F3FB, 0x1F400)


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


def cell_count(text: str) -> int:
    """Return how many cells a printable text takes, as terminals count them.

    >>> cell_count("cat"), cell_count("猫"), cell_count("नमस्ते"), cell_count("👩🏽‍🚀"), cell_count("❤️")
    (3, 2, 4, 2, 2)
    """
    return sum(count for _, count in _clusters(text))


def fit(text: str, cells: int) -> str:
    """Return a text in exactly so many cells: filled up with spaces, or cut, with an ellipsis as its last sign.

    >>> fit("cat", 5), fit("a black cat", 5), fit("黒い猫", 4)
    ('cat  ', 'a bl…', '黒… ')
    """
    clean = printable(text)
    if cell_count(clean) > cells:
        kept, room = "", cells - 1
        for cluster, count in _clusters(clean):
            if count > room:
                break
            kept, room = kept + cluster, room - count
        clean = kept + "…"
    return clean + " " * (cells - cell_count(clean))


def _clusters(text: str) -> Iterator[tuple[str, int]]:
    """Yield what is drawn together, with the cells it takes: a character and the marks and joined signs after it."""
    cluster, cells = "", 0
    for char in text:
        is_joined = cluster.endswith(_JOINER) or (cluster and ord(char) in _SKIN_TONES)
        if cluster and (is_joined or unicodedata.category(char) in _ZERO_WIDTH):
            cluster += char
            cells = 2 if char == _EMOJI_FORM else cells
            continue
        if cluster:
            yield cluster, cells
        cluster, cells = char, 2 if unicodedata.east_asian_width(char) in "WF" else 1
    if cluster:
        yield cluster, cells
