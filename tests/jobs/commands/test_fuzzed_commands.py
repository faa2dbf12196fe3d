"""Any command with any values: it does what it was asked, or says in one line why not. Never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.adapters.notifications import check
from jobs.commands.main import app, main
from jobs.config.settings import NotifySettings, Settings
from jobs.errors import BadInput
from tests.command_line import parse
from tests.fuzzing import LONG, ODD_TEXTS, QUICK

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
STARTING = {"up", "down", "try_notifiers", "nightly", "ablation", "retraining", "backtest", "make_sample", "plan_night"}
"""Commands that start services or nights, or make the sample where no data set is named: they are only parsed."""
WITH_MLFLOW = {"open_review", "promote", "reject", "rollback", "clean_up"}
"""Commands that make MLflow's database first, which takes a while."""
QUICK_COMMANDS = sorted(COMMANDS.keys() - STARTING - WITH_MLFLOW)
SETTINGS = sorted(f"NIGHTLENS_{name.upper()}" for name in (*Settings.model_fields, *NotifySettings.model_fields))
ERROR = re.compile(r"nightlens(?: .*)?: (\w+) \[\w+\]: ")
USUAL = {"--run-date": "2025-12-28", "--catalogue": "cat", "--dataset": "nowhere"}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a file and a folder of odd content; settings point below it."""
    folder, before = tmp_path_factory.mktemp("commands"), Path.cwd()
    (folder / "a").mkdir()
    (folder / "file").write_bytes(b"\xff\x00[[source]]\n")
    os.chdir(folder)
    yield folder
    os.chdir(before)


@st.composite
def calls(draw: st.DrawFn, names: list[str]) -> list[str]:
    """A command with some of its options, most of them with odd values."""
    name = draw(st.sampled_from(names))
    arguments = [name]
    for parameter in COMMANDS[name].params:
        flag = next((one for one in parameter.opts if one.startswith("--")), None)
        is_needed = parameter.required or flag == "--dataset"
        if flag == "--help" or draw(st.integers(0, 99)) >= (97 if is_needed else 15):
            continue
        value = draw(st.sampled_from([*ODD_TEXTS, "file", "a", *[USUAL.get(flag or "", "x")] * len(ODD_TEXTS)]))
        if flag == "--dataset" and value in ("", "sample"):
            value = "nowhere"  # these stand for the sample, which would be made
        if getattr(parameter, "is_flag", False):
            arguments.append(str(flag))
        else:
            arguments += [value] if flag is None else [f"{flag}={value}"]
    return arguments


def run(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command in this process; return its status and what it said to stderr."""
    said, kept = io.StringIO(), dict(os.environ)
    os.environ.update(environment)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            return main(arguments), said.getvalue()
    finally:
        os.environ.clear()
        os.environ.update(kept)


def check_said(arguments: list[str], status: int, said: str) -> None:
    lines = said.splitlines()
    assert status in (0, 1, 2), arguments
    assert "Traceback" not in said, arguments
    told = [found[1] for line in lines if (found := ERROR.match(line))]
    assert len(told) == (status != 0), (arguments, said)


def check_call(folder: Path, arguments: list[str], **environment: str) -> None:
    status, said = run(arguments, {"NIGHTLENS_STATE_DIR": str(folder / "state")} | environment)
    check_said(arguments, status, said)


@settings(QUICK)
@given(arguments=calls(QUICK_COMMANDS))
def test_any_call_ends_in_one_line(folder: Path, arguments: list[str]) -> None:
    check_call(folder, arguments)


@pytest.mark.integration
@settings(LONG)
@given(arguments=calls(sorted(COMMANDS.keys() - STARTING)))
def test_any_of_many_calls_ends_in_one_line(folder: Path, arguments: list[str]) -> None:
    check_call(folder, arguments)


@settings(QUICK)
@given(arguments=calls(sorted(STARTING)))
def test_any_call_of_a_command_that_starts_something_is_parsed_or_refused(arguments: list[str]) -> None:
    with contextlib.suppress(typer.TyperException):
        name, _ = parse(arguments)
        assert name == arguments[0]


ASKING = [
    ["ledger", "--catalogue", "cat"],
    ["forget", "--catalogue", "cat", "--visitor", "x"],
    ["lineage", "photo", "x", "--catalogue", "cat", "--run-date", "2025-12-28"],
    ["audit_leaks", "--dataset", "x", "--run-date", "2025-12-28", "--catalogue", "cat"],
]


@settings(QUICK)
@given(st.sampled_from(SETTINGS), st.sampled_from([*ODD_TEXTS, "file", "file/below", "a", '{"a": 1}']), st.data())
def test_any_setting_ends_in_one_line(folder: Path, name: str, value: str, data: st.DataObject) -> None:
    check_call(folder, data.draw(st.sampled_from(ASKING)), **{name: value})


@settings(QUICK)
@given(st.sampled_from([*ODD_TEXTS, "json://[", "tgram://x", "mailto://", "::", "json://u:p@h:x"]))
def test_any_address_of_a_message_is_taken_or_refused_by_a_code(address: str) -> None:
    with contextlib.suppress(BadInput):
        check(NotifySettings.from_environment({"NIGHTLENS_NOTIFY_URLS": address}))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["measure_impressions", "--dataset=1", "--run-date=2025-12-28", "--catalogue=../up"], "bad_catalogue_name"),
        (["lineage", "photo", "x", "--run-date=2025-12-28", "--catalogue=../up"], "bad_catalogue_name"),
        (["check_report", "--dataset=a", "--run-date=2025-12-28", "--catalogue=Up"], "bad_catalogue_name"),
        (["ledger", "--catalogue=nobody"], "no_such_catalogue"),
        (["collect_releases", "--catalogue=nobody"], "no_such_catalogue"),
        (["collect_releases", "--catalogue=cat", "--keep-days=99999999999999999999"], "bad_parameters"),
        (["audit_leaks", "--dataset=1", "--run-date=9999-12-31", "--catalogue=cat"], "not_a_date"),
        (["convert_catalogue", f"--mapping={'a' * 5000}", "--out=x"], "unusable_path"),
        (["check_report", f"--dataset={'a' * 5000}", "--run-date=2025-12-28"], "unusable_path"),
        (["check_report", "--dataset=foo://x", "--catalogue=cat"], "bad_dataset_address"),
        (["forget", "--catalogue=cat", "--visitor=\udcff"], "not_utf8"),
        (["search", "--catalogue=cat", "cat\udcff"], "not_utf8"),
    ],
)
def test_what_once_ended_in_a_traceback_has_a_code(folder: Path, arguments: list[str], code: str) -> None:
    status, said = run(arguments, {"NIGHTLENS_STATE_DIR": str(folder / "state")})
    assert status == 2
    assert f" [{code}]: " in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIGHTLENS_STATE_DIR", "/dev/null"),
        ("NIGHTLENS_STATE_DIR", "/" + "a" * 5000),
        ("NIGHTLENS_LAKE_URI", "foo://x"),
        ("NIGHTLENS_LAKE_URI", "http://["),
        ("NIGHTLENS_LAKE_URI", "gs://x"),
    ],
)
def test_a_setting_that_names_no_place_has_a_code(folder: Path, name: str, value: str) -> None:
    status, said = run(ASKING[1], {"NIGHTLENS_STATE_DIR": str(folder / "state"), name: value})
    assert status == 2
    assert f" [bad_setting]: {name}" in said.splitlines()[-1]
