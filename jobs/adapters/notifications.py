"""Telling people what happened at night: a line in the log, an e-mail, a JSON document posted to an address.

Light on purpose: DAGs reach it through `jobs.adapters.airflow_callbacks`. A channel that fails is logged and named,
never raised: no night fails because nobody could be told. Passwords and addresses that carry them are never logged.
"""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from jobs.config.settings import NotifySettings
from jobs.errors import BadInput

log = logging.getLogger("nightlens.notify")

Event = Literal["failed", "gate", "approval", "late", "trial"]
_TIMEOUT_SECONDS = 15
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Message:
    """What is told. `link` is where to look; the webhook gets every field."""

    event: Event
    subject: str
    text: str
    link: str
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""


def send(settings: NotifySettings, message: Message) -> list[str]:
    """Send through every channel that the settings name; return those that failed, which are in the log with why."""
    failed: list[str] = []
    for name in settings.notify:
        try:
            CHANNELS[name](settings, message)
        except Exception as error:  # whatever a mail server or a network does
            failed.append(name)
            log.error("NOT SENT by %s (%s): %s\n%s", name, _why(error), message.subject, message.text)
    return failed


def _why(error: Exception) -> str:
    """Return an error in a line; no traceback, which may show the address that a message was sent to."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _log(settings: NotifySettings, message: Message) -> None:
    log.warning("%s\n%s\n%s", message.subject, message.text, message.link)


def _email(settings: NotifySettings, message: Message) -> None:
    assert settings.smtp_url is not None, "checked by the settings"
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.subject.split())
    mail["From"], mail["To"] = settings.mail_from, ", ".join(settings.mail_to)
    mail.set_content(f"{message.text}\n\n{message.link}\n")
    url = urlsplit(settings.smtp_url.get_secret_value())
    with _connected(url) as server:
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.send_message(mail)


def _connected(url: SplitResult) -> smtplib.SMTP:
    """Connect to a mail server, encrypted if it can; `BadInput` if a password would travel readable."""
    host, tls = url.hostname or "", ssl.create_default_context()
    if url.scheme not in ("smtp", "smtps") or not host:
        raise BadInput(
            "bad_address",
            "NIGHTLENS_SMTP_URL begins with smtp:// or smtps:// and names a host",
            setting="NIGHTLENS_SMTP_URL",
        )
    if url.scheme == "smtps":
        return smtplib.SMTP_SSL(host, url.port or 465, timeout=_TIMEOUT_SECONDS, context=tls)
    server = smtplib.SMTP(host, url.port or 587, timeout=_TIMEOUT_SECONDS)
    try:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=tls)
        elif url.username and host not in _LOOPBACK:
            raise BadInput("unencrypted_mail", f"{host} offers no encryption: no password is sent to it", host=host)
    except BaseException:
        server.close()
        raise
    return server


def _webhook(settings: NotifySettings, message: Message) -> None:
    assert settings.webhook_url is not None, "checked by the settings"
    url = settings.webhook_url.get_secret_value()
    if urlsplit(url).scheme not in ("http", "https"):
        raise BadInput(
            "bad_address", "NIGHTLENS_WEBHOOK_URL begins with https:// or http://", setting="NIGHTLENS_WEBHOOK_URL"
        )
    data = json.dumps(asdict(message)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "nightlens"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=_TIMEOUT_SECONDS) as answer:
        answer.read()


CHANNELS: dict[str, Callable[[NotifySettings, Message], None]] = {"log": _log, "email": _email, "webhook": _webhook}
