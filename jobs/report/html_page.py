"""Pages that need nothing else: template and style inline, escaping on, no script; written whole or not at all."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).resolve().parent


def render_page(template: str, **values: Any) -> str:
    """Return a page. Text of users and data is escaped by the template; the style sheet is the project's own."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    return _environment().get_template(template).render(style=style, **values)


@cache
def _environment() -> Environment:
    """Return the environment of all templates, which keeps each as compiled."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, unless it is the same already."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    fresh.write_bytes(data)
    fresh.replace(path)
