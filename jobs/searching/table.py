"""Results as a table for a terminal, its columns aligned in any script."""

from __future__ import annotations

from itertools import zip_longest

from rich.cells import cell_len

from jobs.runtime.terminal import fit, printable
from jobs.searching.results import Hit, Results

MARK = "*"
_WORDS = range(12, 61)
"""How many cells a description may have."""


def render_table(results: Results, width: int, with_reasons: bool = False) -> str:
    """Return the table; descriptions share what is left of `width` cells."""
    hits = [hit for side in results.sides for hit in side.hits]
    ids = max([5, *(cell_len(printable(hit.photo.photo_id)) for hit in hits)])
    around = len(_cells(" ", "", " 0.000", "")) + ids
    words = min(max(_WORDS.start, (width - 3) // len(results.sides) - 2 - around), _WORDS.stop - 1)
    header = _cells(" ", fit("photo", ids), " score", fit("description", words))

    def of(hit: Hit | None) -> str:
        if hit is None:
            return " " * (around + words)
        mark = MARK if hit.is_only_here else " "
        grouped = f"(+{len(hit.alike)}) " if hit.alike else ""
        return _cells(mark, fit(hit.photo.photo_id, ids), f"{hit.score:6.3f}", fit(grouped + hit.photo.alt, words))

    rows = zip_longest(*(side.hits for side in results.sides))
    lines = [
        _asked(results),
        *results.notes,
        *(f"The same picture in the {side.role}: {_listed(side.same)}." for side in results.sides if side.same),
        "",
        _line("", ["  " + fit(f"{side.role} {side.label}", around + words - 2) for side in results.sides]),
        _line("#", [header] * len(results.sides)),
        *(_line(str(place), [of(hit) for hit in row]) for place, row in enumerate(rows, start=1)),
        "",
        results.summary + (f"; {MARK} marks what only one shows" if len(results.sides) > 1 else ""),
        *(["(+n): so many near duplicates are grouped with the photo"] if any(hit.alike for hit in hits) else []),
        *(_reasons(results) if with_reasons else []),
    ]
    return "\n".join(lines)


def _reasons(results: Results) -> list[str]:
    """Return why each photo is there; nothing of a search with a picture, where closeness alone decides."""
    lines = []
    for side in results.sides:
        if any(hit.why for hit in side.hits):
            lines += ["", f"Why, in the {side.role}:"]
            lines += [f"{hit.place:3}  {printable(hit.photo.photo_id)}: {hit.why}" for hit in side.hits]
    return lines


def _asked(results: Results) -> str:
    query = results.query
    kind = "picture" if query.photo_id is None else "photo"
    what = f"“{printable(query.title)}”" if query.is_words else f"{kind} {printable(query.title)}"
    return f"{what}{f' from {query.country}' if query.country else ''} in {results.catalogue}"


def _listed(photo_ids: tuple[str, ...]) -> str:
    return ", ".join(map(printable, photo_ids))


def _cells(*cells: str) -> str:
    mark, photo, score, words = cells
    return f"{mark} {photo}  {score}  {words}"


def _line(place: str, blocks: list[str]) -> str:
    return "  ".join([place.rjust(3), *blocks]).rstrip()
