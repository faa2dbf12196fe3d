"""MLflow out of reach: refused, hanging or failing half-way, every command ends soon, says so, and can be run again."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs.adapters import mlflow_registry
from jobs.context import RunContext
from jobs.datasets.models import REGISTRATION
from jobs.errors import LostWork
from jobs.releasing.ledger import Ledger
from jobs.releasing.published_pointer import read_pointer
from tests.conftest import Contexts
from tests.drills.conftest import Call
from tests.released import Registry, commit_release, commit_releases

COMMANDS = {
    "snapshot_champion": (),
    "register_model": (),
    "promote": ("--version", "1", "--reason", "better"),
    "rollback": ("--reason", "worse"),
}


@contextmanager
def refusing() -> Iterator[str]:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def hanging() -> Iterator[str]:
    """A server that takes every call and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def answering(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """A server that answers with the status and the body that are given for a path."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status == 200 else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = reply

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def failing() -> AbstractContextManager[str]:
    """A server that answers the first question and then has nothing behind it any more."""
    first = "experiments/search"
    return answering(
        lambda path: (200, b'{"experiments": []}') if path.endswith(first) else (502, b"<html>bad gateway</html>")
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("server", [refusing, hanging, failing])
def test_a_command_ends_soon_says_where_and_commits_nothing(
    make_context: Contexts, call: Call, monkeypatch: pytest.MonkeyPatch, server: Any, command: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    context = make_context()
    commit_release(context, is_registered=False)
    before = set(Path(context.lake.root).rglob("manifest.json"))
    with server() as address:
        monkeypatch.setenv("NIGHTLENS_TRACKING_URI", f"http://ops:planted-password@{address}")
        begun = time.monotonic()
        ended = call(command, *COMMANDS[command])
        assert time.monotonic() - begun < 60
    assert (ended.status, ended.code) == (1, "mlflow_out_of_reach"), ended.said
    assert f"http://{address}" in ended.said
    assert "planted-password" not in ended.said
    assert set(Path(context.lake.root).rglob("manifest.json")) == before
    assert Ledger(context.lake).entries() == []


def test_patience_with_a_server_is_minutes_not_hours() -> None:
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() * (1 + MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()) <= 120


def test_a_password_that_is_refused_is_not_tried_again(make_context: Contexts, call: Call, monkeypatch: Any) -> None:
    with answering(lambda path: (401, b"")) as address:
        monkeypatch.setenv("NIGHTLENS_TRACKING_URI", f"http://ops:planted-password@{address}")
        ended = call("snapshot_champion")
    assert (ended.status, ended.code) == (2, "mlflow_refused"), ended.said
    assert "planted-password" not in ended.said


def test_a_promotion_that_lost_mlflow_half_way_is_finished_by_the_next(
    make_context: Contexts, registry: Registry, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context()
    commit_releases(make_context, (28, 29))
    assert call("promote", "--version", "1", "--reason", "better").status == 0

    def lose(*_: Any) -> None:
        raise LostWork("mlflow_out_of_reach", "MLflow at http://127.0.0.1:5000 cannot be used: gone")

    with monkeypatch.context() as patched:
        patched.setattr(mlflow_registry, "move_champion", lose)
        ended = call("promote", "--version", "2", "--reason", "better still")
    assert ended.status == 1
    pointer = read_pointer(context.lake)
    assert pointer is not None
    assert (registry.champion, pointer.entry) == (1, 1)  # decided, not yet done: readers have the old one, whole
    ended = call("promote", "--version", "2", "--reason", "better still")
    assert ended.status == 0
    assert "is version 2 already" in ended.said
    pointer = read_pointer(context.lake)
    assert pointer is not None
    assert (registry.champion, pointer.entry) == (2, 2)
    assert len(Ledger(context.lake).entries()) == 2


@pytest.mark.parametrize(
    "fault",
    [LostWork("mlflow_out_of_reach", "MLflow at http://h cannot be used"), OSError(28, "No space left on device")],
)
def test_a_rollback_that_was_cut_off_says_how_to_finish_it_and_not_to_go_back_twice(
    make_context: Contexts, registry: Registry, call: Call, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    context = make_context()
    commit_releases(make_context, (27, 28, 29))
    for version in (1, 2, 3):
        assert call("promote", "--version", str(version), "--reason", "better").status == 0

    def lose(*_: Any) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(mlflow_registry, "move_champion", lose)
        ended = call("rollback", "--reason", "worse")
    assert (ended.status, ended.code) == (1, "unfinished_rollback")
    command = re.search(r"nightlens (promote .*) --reason WHY", ended.said)
    assert command is not None
    options = command[1].split()
    assert options[:3] == ["promote", "--catalogue", "test"]
    assert "is version 2 already" in call("promote", *options[3:], "--reason", "finish it").said
    pointer = read_pointer(context.lake)
    assert pointer is not None
    assert pointer.release is not None
    assert (registry.champion, pointer.release.version, pointer.entry) == (2, 2, 4)


def test_a_night_goes_on_once_mlflow_is_back(tracked: RunContext, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    commit_release(tracked, is_registered=False)
    with monkeypatch.context() as away, refusing() as address:
        away.setenv("NIGHTLENS_TRACKING_URI", f"http://{address}")
        assert call("snapshot_champion").status == 1
        assert call("register_model").status == 1
    assert call("snapshot_champion").status == 0
    assert call("register_model").status == 0
    assert tracked.read(REGISTRATION).facts["version"] == 1
