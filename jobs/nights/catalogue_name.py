"""Names made from other names."""

from __future__ import annotations

import re

from jobs.errors import BadInput


def catalogue_name(dataset: str) -> str:
    """Return a catalogue name made from a folder's name.

    >>> catalogue_name("/data/Unsplash Lite 1.4.0/")
    'unsplash-lite-1-4-0'
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", dataset.rstrip("/").rsplit("/", 1)[-1].lower()).strip("-_")
    if not name:
        raise BadInput(
            "no_catalogue_name",
            f"no catalogue name can be made from {dataset!r}: give one with --catalogue",
            dataset=dataset,
        )
    return name[:63]
