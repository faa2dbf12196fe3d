"""Telling people: every channel against a server on this machine, faults of them, settings, callbacks by hand."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.adapters import airflow_callbacks, notifications
from jobs.adapters.notifications import Message, send
from jobs.commands import main
from jobs.config.settings import NotifySettings, Settings
from jobs.errors import BadInput
from tests.errors import raises
from tests.listeners import mail_server, webhook

MESSAGE = Message("failed", "It\nfailed", "Why: ünknown", "http://airflow/log", "dag", "run", "task")


def notify(**values: str) -> NotifySettings:
    return NotifySettings.from_environment({f"NIGHTLENS_{name.upper()}": value for name, value in values.items()})


@pytest.fixture
def nobody() -> str:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_told_is_the_log_unless_something_else_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    assert send(notify(), MESSAGE) == []
    assert "Why: ünknown" in caplog.text
    assert "http://airflow/log" in caplog.text


def test_the_webhook_gets_every_field() -> None:
    with webhook() as (url, got):
        assert send(notify(notify="webhook", webhook_url=url), MESSAGE) == []
    (document,) = got
    assert document == {
        "event": "failed",
        "subject": "It\nfailed",
        "text": "Why: ünknown",
        "link": "http://airflow/log",
        "dag_id": "dag",
        "run_id": "run",
        "task_id": "task",
    }


def test_a_mail_goes_to_everybody_and_its_subject_is_one_line() -> None:
    with mail_server() as (place, got, commands):
        settings = notify(
            notify="email", smtp_url=f"smtp://ada:p%40ss@{place}", mail_from="n@x.org", mail_to="a@x.org, b@x.org"
        )
        assert send(settings, MESSAGE) == []
    (mail,) = got
    assert (mail["Subject"], mail["From"], mail["To"]) == ("It failed", "n@x.org", "a@x.org, b@x.org")
    assert mail.get_content().splitlines() == ["Why: ünknown", "", "http://airflow/log"]
    assert [command for command in commands if command.upper().startswith("RCPT")] == [
        "rcpt TO:<a@x.org>",
        "rcpt TO:<b@x.org>",
    ]
    assert any(command.startswith("AUTH PLAIN") for command in commands)


def test_no_password_travels_readable(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(notifications, "_LOOPBACK", ())
    with mail_server() as (place, got, commands):
        settings = notify(notify="email", smtp_url=f"smtp://ada:s3cret@{place}", mail_to="a@x.org")
        assert send(settings, MESSAGE) == ["email"]
    assert got == []
    assert not any(command.upper().startswith("AUTH") for command in commands)
    assert "offers no encryption" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_channel_that_fails_is_loud_keeps_its_secrets_and_stops_no_other(
    nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    with webhook(status=500) as (url, refused), mail_server() as (place, got, _):
        settings = notify(notify="webhook,email", webhook_url=url, smtp_url=f"smtp://{place}", mail_to="a@x.org")
        assert send(settings, MESSAGE) == ["webhook"]
    assert len(refused) == len(got) == 1
    settings = notify(notify="webhook", webhook_url=f"http://{nobody}/hook/s3cret")
    assert send(settings, MESSAGE) == ["webhook"]
    assert send(notify(notify="webhook", webhook_url="file:///etc/passwd"), MESSAGE) == ["webhook"]
    lost = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lost) == 3
    assert all(text.startswith("NOT SENT by webhook") and "Why: ünknown" in text for text in lost)
    assert "HTTP Error 500" in lost[0]
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"notify": "log,pigeon"}, "notify.1"),
        ({"notify": "email", "mail_to": "a@x.org"}, "NIGHTLENS_SMTP_URL"),
        ({"notify": "email", "smtp_url": "smtp://s3cret@x"}, "NIGHTLENS_MAIL_TO"),
        ({"notify": "webhook"}, "NIGHTLENS_WEBHOOK_URL"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_without_secrets(environ: dict[str, str], fault: str) -> None:
    with raises(BadInput, "bad_notify_settings") as caught:
        notify(**environ)
    assert fault in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_no_stage_fails_for_what_is_wrong_with_them(tmp_path: Path) -> None:
    environ = {"NIGHTLENS_STATE_DIR": str(tmp_path), "NIGHTLENS_NOTIFY": "pigeon", "NIGHTLENS_MAIL_TO": "a@x.org"}
    assert Settings.from_environment(environ).state_dir == tmp_path


def test_a_message_can_be_sent_on_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("NIGHTLENS_NOTIFY", "webhook")
    with webhook() as (url, got):
        monkeypatch.setenv("NIGHTLENS_WEBHOOK_URL", url)
        assert main.main(["try_notifiers"]) == 0
    assert got[0]["event"] == "trial"
    monkeypatch.setenv("NIGHTLENS_WEBHOOK_URL", f"http://{nobody}")
    assert main.main(["try_notifiers"]) == 2
    said = capsys.readouterr().err
    assert "BadInput [message_not_sent]: " in said
    assert "webhook" in said
    monkeypatch.setenv("NIGHTLENS_NOTIFY", "pigeon")
    assert main.main(["up"]) == 2  # said before anything is started


# -- callbacks ---------------------------------------------------------------------------------------------


def context(**more: Any) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="nightlens_nightly", run_id="r1", task_id="evaluate", log_url="http://airflow/log")
    return {"ti": ti, **more}


def test_a_task_that_was_killed_is_told_of_too(caplog: pytest.LogCaptureFixture) -> None:
    airflow_callbacks.task_failed(context())
    assert "nightlens_nightly failed in evaluate" in caplog.text
    assert "Run r1: it gave no reason: killed" in caplog.text


def test_no_callback_raises_whatever_is_wrong(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    airflow_callbacks.gate_judged(context())  # its ti cannot be asked for anything
    assert "NOT SENT: no message could be made for gate_judged" in caplog.text
    monkeypatch.setenv("NIGHTLENS_NOTIFY", "pigeon")
    airflow_callbacks.task_failed(context(exception=ValueError("too late")))
    assert "NOT SENT: settings of notifications" in caplog.text
    assert "Run r1: too late" in caplog.text
