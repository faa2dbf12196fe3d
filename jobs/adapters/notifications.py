"""Telling people what happened at night: a line in the log, and whatever apprise reaches.

Light on purpose: DAGs reach it through `jobs.adapters.airflow_callbacks`. A channel that fails is logged and named,
never raised: no night fails because nobody could be told. An address is a secret: what is logged is its kind, and its
host only where that is no secret itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jobs.config.settings import NotifySettings
from jobs.errors import BadInput

if TYPE_CHECKING:
    from apprise import NotifyBase

log = logging.getLogger("nightlens.notify")

Kind = Literal["info", "failure"]


@dataclass(frozen=True)
class Message:
    """What is told. `link` is where to look."""

    kind: Kind
    subject: str
    text: str
    link: str = ""


def send(settings: NotifySettings, message: Message) -> list[str]:
    """Log a message and send it through every channel; return those that failed."""
    log.warning("%s\n%s\n%s", message.subject, message.text, message.link)
    failed = []
    for name, channel in _channels(settings):
        told = {"title": message.subject, "body": f"{message.text}\n\n{message.link}", "notify_type": message.kind}
        try:
            with _apprise_is_silent():
                is_sent = channel is not None and channel.notify(**told)
        except Exception:  # whatever a server or a network does; its text may hold the address
            is_sent = False
        if not is_sent:
            failed.append(name)
            log.error("NOT SENT to %s: %s", name, message.subject)
    return failed


def check(settings: NotifySettings) -> None:
    """Raise `BadInput` if apprise does not know an address."""
    if unknown := [name for name, channel in _channels(settings) if channel is None]:
        raise BadInput(
            "bad_address",
            f"NIGHTLENS_NOTIFY_URLS: apprise does not know what to make of {', '.join(unknown)}",
            setting="NIGHTLENS_NOTIFY_URLS",
            addresses=unknown,
        )


def _channels(settings: NotifySettings) -> list[tuple[str, NotifyBase | None]]:
    """Return a channel for each address, or None, with its kind, and its host unless that may be a token."""
    addresses = settings.notify_urls.get_secret_value()
    if not addresses:
        return []
    import apprise
    from apprise.utils.parse import parse_urls

    found: list[tuple[str, NotifyBase | None]] = []
    with _apprise_is_silent():
        for place, url in enumerate(parse_urls(addresses), start=1):
            channel = apprise.Apprise.instantiate(url)
            if channel is None:
                name = f"address {place}"
            elif "host" in channel.template_tokens:
                name = f"{channel.service_name} at {channel.host}"
            else:
                name = str(channel.service_name)
            found.append((name, channel))
    return found


@contextmanager
def _apprise_is_silent() -> Iterator[None]:
    """Let nothing be logged: apprise, and the clients it uses, log addresses whole."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
