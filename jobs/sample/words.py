"""The words of people: for every label, its words in six languages (words.json).

A label is a pair (facet, name), such as ("kind", "cat") or ("place", "lisbon"). Facets in `HIDDEN` cannot be seen in
the picture. The first word of a label is the usual one.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

Label = tuple[str, str]
Lexicon = dict[Label, dict[str, list[str]]]

HIDDEN = ("place", "occasion", "season", "theme", "brand")


@cache
def lexicon() -> Lexicon:
    """Return the words of every label by language."""
    raw = json.loads((Path(__file__).parent / "words.json").read_text(encoding="utf-8"))
    languages = raw.pop("languages")
    return {
        (facet, name): {language: entry.split("|") for language, entry in zip(languages, by_language, strict=True)}
        for facet, names in raw.items()
        for name, by_language in names.items()
    }


def names(facet: str) -> list[str]:
    """Return the labels of a facet, in the order of the file."""
    return [name for known, name in lexicon() if known == facet]
