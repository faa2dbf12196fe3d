"""A page taken apart, and a page of which only that is left which does not differ from run to run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

INLINE = {"bdi", "strong", "tspan", "code"}
VOID = {"meta", "img", "br", "link", "input", "hr"}
_VARYING = (
    (r"(?s)<style>.*?</style>", "<style></style>"),
    (r"data:image/(jpeg|webp);base64,[A-Za-z0-9+/=]+", r"data:image/\1;base64,"),
    (r"<dt>([a-z-]+|Python)</dt><dd>\d+\.\d+[^<]*</dd>", r"<dt>\1</dt><dd>version</dd>"),
    (r"\b([0-9a-f]{16}|[0-9a-f]{12})\b", "digest"),
    (r"/[^ <]*/dataset\b", "/dataset"),
    (r"\b\d+ B\b|\b[\d.]+ KiB\b", "size"),
)
"""What differs by machine: the style sheet (a file of its own), encoded pictures, versions, digests, paths, sizes."""


def normalised(html: str) -> str:
    """Return a page without what differs by machine and version."""
    for pattern, instead in _VARYING:
        html = re.sub(pattern, instead, html)
    return html


class Page(HTMLParser):
    """A page taken apart: tags with attributes, text by section, tables as rows of cell texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.sections: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._section = self._cell = ""
        self._rows: list[list[str]] = []
        self._caption: str | None = None
        self.feed(html)
        assert self._open == [], f"unclosed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if self._section and tag not in INLINE:
            self.sections[self._section] += " "
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = values["id"]
            self.sections[self._section] = ""
        elif tag == "table":
            self._rows = []
        elif tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag
        if tag in ("td", "th"):
            self._rows[-1].append(" ".join(self._cell.split()))
        elif tag == "caption":
            self.tables[f"{self._section}: {' '.join((self._caption or '').split())}"] = self._rows
            self._caption = None

    def handle_data(self, data: str) -> None:
        self._cell += data + " "
        if self._caption is not None:
            self._caption += data
        if self._section:
            self.sections[self._section] += data

    def text(self, section: str) -> str:
        return " ".join(self.sections[section].split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]
