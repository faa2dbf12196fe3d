"""Telling people: every channel against a server on this machine, faults of them, settings, callbacks by hand."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.adapters import airflow_callbacks, notifications
from jobs.adapters.notifications import Message, check, send
from jobs.commands import main
from jobs.config.settings import NotifySettings, Settings
from jobs.errors import BadInput
from tests.errors import raises
from tests.listeners import mail_server, webhook

MESSAGE = Message("failure", "It failed", "Why: ünknown", "http://airflow/log")


def notify(urls: str = "") -> NotifySettings:
    return NotifySettings.from_environment({"NIGHTLENS_NOTIFY_URLS": urls})


@pytest.fixture
def nobody() -> str:
    """A host and port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that any logger says, those of apprise and of its clients too."""
    caplog.set_level(logging.DEBUG)
    for name in ("apprise", "urllib3", "requests", "smtplib"):
        caplog.set_level(logging.DEBUG, logger=name)
        logging.getLogger(name).addHandler(caplog.handler)
    return caplog


def test_told_is_the_log_in_any_case(caplog: pytest.LogCaptureFixture) -> None:
    with webhook() as (url, got):
        for urls in ("", url):
            caplog.clear()
            assert send(notify(urls), MESSAGE) == []
            assert "Why: ünknown" in caplog.text
            assert "http://airflow/log" in caplog.text
    (document,) = got
    assert (document["type"], document["title"]) == ("failure", "It failed")
    assert document["message"].splitlines() == ["Why: ünknown", "", "http://airflow/log"]


def test_a_mail_goes_to_everybody() -> None:
    with mail_server() as (place, got, commands):
        url = f"mailto://ada:p%40ss@{place}?from=n@x.org&to=a@x.org,b@x.org&format=text"
        assert send(notify(url), MESSAGE) == []
    assert [(mail["Subject"], "n@x.org" in mail["From"]) for mail in got] == [("It failed", True)] * 2
    assert all("Why: ünknown" in mail.get_content() for mail in got)
    assert sorted(command.lower() for command in commands if command.upper().startswith("RCPT")) == [
        "rcpt to:<a@x.org>",
        "rcpt to:<b@x.org>",
    ]
    assert any(command.startswith("AUTH PLAIN") for command in commands)


def test_a_channel_that_fails_is_named_keeps_its_secrets_and_stops_no_other(
    nobody: str, everything_logged: pytest.LogCaptureFixture
) -> None:
    secrets = ("s3cret", "pa55", "123456789")
    with webhook(status=500) as (refusing, refused), webhook() as (url, got):
        telegram = "tgram://123456789:s3cret_s3cret_s3cret/12315544?cto=0.01"
        urls = f"{refusing}, json://ada:pa55@{nobody}/hook/s3cret?retry=0 nonsense://s3cret/pa55 {url}"
        assert send(notify(urls), MESSAGE) == ["JSON at 127.0.0.1", "JSON at 127.0.0.1", "address 3"]
        assert len(refused) == len(got) == 1
    (name, channel), *_ = notifications._channels(notify(telegram))
    assert (name, channel is None) == ("Telegram", False)
    lost = [record.getMessage() for record in everything_logged.records if record.levelno == logging.ERROR]
    assert [text.startswith("NOT SENT to ") for text in lost] == [True] * 3
    assert not [secret for secret in secrets if secret in everything_logged.text]
    logging.getLogger("apprise").error("heard again")
    assert "heard again" in everything_logged.text


def test_an_address_that_is_none_is_said_by_its_place(everything_logged: pytest.LogCaptureFixture) -> None:
    with raises(BadInput, "bad_address", addresses=["address 2"]) as caught:
        check(notify("json://host pigeon://s3cret"))
    assert "s3cret" not in str(caught.value) + everything_logged.text
    check(notify("json://ada:pa55@host"))


def test_settings_never_show_the_addresses(tmp_path: Path) -> None:
    assert "s3cret" not in repr(notify("json://s3cret"))
    environ = {"NIGHTLENS_STATE_DIR": str(tmp_path), "NIGHTLENS_NOTIFY_URLS": "pigeon"}
    assert Settings.from_environment(environ).state_dir == tmp_path  # no stage fails for what is wrong with them


def test_a_message_can_be_sent_on_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(tmp_path))
    with webhook() as (url, got):
        monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", url)
        assert main.main(["try_notifiers"]) == 0
    assert got[0]["type"] == "info"
    monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", f"json://{nobody}")
    assert main.main(["try_notifiers"]) == 2
    assert "BadInput [message_not_sent]: " in capsys.readouterr().err
    monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", "pigeon")
    assert main.main(["up"]) == 2  # said before anything is started
    assert "BadInput [bad_address]: " in capsys.readouterr().err


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
    monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", "pigeon")
    airflow_callbacks.task_failed(context(exception=ValueError("too late")))
    assert "NOT SENT to address 1" in caplog.text
    assert "Run r1: too late" in caplog.text
