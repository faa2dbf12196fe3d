"""Pages that need nothing else: template and style inline, escaping on, no script; written whole or not at all."""

from __future__ import annotations

import uuid
from functools import cache
from inspect import isfunction
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jobs.report import formats, names
from models.evaluation.segments import RISING_LEAST, RISING_TIMES

FOLDER = Path(__file__).resolve().parent


def render_page(template: str, **values: Any) -> str:
    """Return a page. Text of users and data is escaped by the template; the style sheet is the project's own."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    return _environment().get_template(template).render(style=style, **values)


@cache
def _environment() -> Environment:
    """Return the environment of all templates, which keeps each as compiled; what `formats` has are filters too."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    spellings = {name: spell for name, spell in vars(formats).items() if isfunction(spell)}
    environment.filters |= spellings
    environment.globals |= spellings | {"names": names, "rising_least": RISING_LEAST, "rising_times": RISING_TIMES}
    return environment


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, unless it is the same already."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    fresh.write_bytes(data)
    fresh.replace(path)
