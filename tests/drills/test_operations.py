"""The run book says what the code says: every error text that it quotes is in the source, every command exists."""

from __future__ import annotations

import ast
import re

from jobs.commands.main import app
from jobs.config.settings import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs" / "OPERATIONS.md").read_text()
ELSEWHERE = {"-9", "RequestTimeTooSkewed", "Permission denied", "Operation not permitted", "Input/output error"}
ELSEWHERE |= {"Lost executor", "Read-only file system", "dmesg | grep -i killed", "database or disk is full"}
"""Words of the operating system and of other programs."""


def spoken() -> list[str]:
    """Return every text in the source, with … for what is filled in."""
    found = [" ".join(path.read_text(encoding="utf-8").split()) for path in (PROJECT_ROOT / "jobs").rglob("*.j2")]
    for folder in ("jobs", "models", "dags"):
        for path in sorted((PROJECT_ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                    found.append("".join(map(str, parts)))
    return found


def fragments(quoted: str) -> list[str]:
    """Return what is fixed in a quoted error text: what … and the names of files stand between."""
    parts = re.split(r"…|-9|config\.json|identity\.json|model\.safetensors", " ".join(quoted.split()))
    return [part for part in (part.strip(" .:,()") for part in parts) if part]


def test_every_error_text_of_the_run_book_is_in_the_source() -> None:
    texts = spoken()
    symptoms = re.findall(r"- \*\*Symptom\*\*:(.*?)\n- \*\*", TEXT, flags=re.DOTALL)
    assert len(symptoms) >= 20
    quoted = {text for symptom in symptoms for text in re.findall(r"`([^`]+)`", symptom)} - ELSEWHERE
    missing = [one for text in quoted for one in fragments(text) if not any(one in said for said in texts)]
    assert missing == []


def test_every_command_of_the_run_book_exists() -> None:
    known = {command.name for command in app.registered_commands}
    commands = set(re.findall(r"`nightlens ([a-z]\w+)", TEXT))
    assert len(commands) > 5
    assert commands <= known


def test_every_drill_has_an_entry_and_the_readme_leads_here() -> None:
    for heading in ("Killed", "Disk full", "Lake read-only", "The clock", "MLflow cannot", "manifest.json", "Two"):
        assert f"### {heading}" in TEXT, heading
    assert "docs/OPERATIONS.md" in (PROJECT_ROOT / "README.md").read_text()
