"""Downloading from addresses that nobody vetted: what may be asked for, from whom, how often, and how much.

Knows nothing of photos or the lake. A URL comes from a data set, so it is hostile until shown otherwise: only
http(s), no credentials, and a connection only to an address that was checked right before (a name that
resolves to a private address is refused, on every hop of a redirect). httpcore is used directly because it
lets the connection be made by a backend of our own; proxies of the environment are not used for that reason.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

import httpcore
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

MAX_URL_LENGTH = 4096
MAX_REDIRECTS = 5
BACKOFF_SECONDS = 0.5  # before the first retry; doubles each time
MAX_BACKOFF_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 120.0  # a host that asks for more is left alone for the rest of the run
MAX_HOST_FAILURES = 200  # so many tries in a row came to nothing: the host is left alone
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = [("User-Agent", "nightlens/0.1"), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
PLAIN_URL = rf"^https?://{_LABEL}(\.{_LABEL})*(:[0-9]{{1,4}})?/[A-Za-z0-9/._~-]*$"
"""Pattern, of Python and of Rust, of URLs that `checked_url` takes and to which `sized_url` only adds its query."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Item = TypeVar("Item")
Result = TypeVar("Result")


class FetchError(Exception):
    """A download that came to nothing. `status` is missing, refused or failed; `reason` a short code."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class _TryLaterError(Exception):
    """A fault that may pass: 429, 5xx, a broken connection. `wait_seconds` is what the server asked for."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Limits:
    """What a download may take. `timeout_seconds` is for one try from the first byte to the last."""

    max_bytes: int
    timeout_seconds: float
    retry_count: int
    concurrency: int
    allow_private_addresses: bool
    seed: int


def sized_url(url: str, width: int) -> str:
    """Return an image URL that asks for `width` pixels and JPEG, as imgix and Unsplash understand it.

    Other parameters stay as they are; fit=max keeps small pictures from being enlarged.

    >>> sized_url("https://images.unsplash.com/photo-1?ixid=a%2Fb&w=9999", 512)
    'https://images.unsplash.com/photo-1?ixid=a%2Fb&w=512&fm=jpg&fit=max'
    """
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in ("w", "fm")]
    query = [*kept, ("w", str(width)), ("fm", "jpg")]
    if "fit" not in dict(kept):
        query.append(("fit", "max"))
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def checked_url(url: str) -> httpcore.URL:
    """Return the parts of a URL that may be asked for; `FetchError` (refused) says why another may not.

    The request is made from these parts, so no second parser can understand the text differently.
    """
    if len(url) > MAX_URL_LENGTH or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise FetchError("refused", "bad_url")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna")
        target = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*")
        query = quote(parts.query, safe="/%:=&?~+!$,;'@()*")
    except ValueError as error:  # a port out of range, half an IPv6 address, a label that is too long, a lone surrogate
        raise FetchError("refused", "bad_url") from error
    if parts.scheme not in ("http", "https"):
        raise FetchError("refused", "scheme_not_allowed")
    if "@" in parts.netloc:
        raise FetchError("refused", "credentials_in_url")
    if not host or "\\" in parts.netloc:
        raise FetchError("refused", "bad_url")
    target = f"{target}?{query}" if query else target
    return httpcore.URL(scheme=parts.scheme.encode(), host=host, port=port, target=target.encode())


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the public internet, also looking inside IPv6 that carries IPv4.

    >>> is_public("93.184.215.14"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if carried is None and ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
    return ip.is_global and not ip.is_multicast


class _Deadline(threading.local):
    """Until when this thread's request must be over, on the monotonic clock."""

    ends_at = float("inf")

    def left(self) -> float:
        seconds = self.ends_at - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the time for this request is over")
        return seconds


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every read and write ends with the request's deadline: dripping bytes do not help."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _CheckedBackend(httpcore.NetworkBackend):
    """Resolves a name, checks every address it has, and connects to one of the very addresses checked."""

    def __init__(self, allow_private_addresses: bool, deadline: _Deadline) -> None:
        self._allow_private_addresses, self._deadline = allow_private_addresses, deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port)
        if not self._allow_private_addresses and not all(map(is_public, addresses)):
            raise FetchError("refused", "private_address")
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):  # the next may answer
                return self._connect(address, port, self._deadline.left() / 2)
        return self._connect(addresses[-1], port, self._deadline.left())

    def _connect(self, address: str, port: int, timeout: float) -> httpcore.NetworkStream:
        return _DeadlineStream(self._plain.connect_tcp(address, port, timeout), self._deadline)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; `FetchError` (host_not_found) if it has none.

    Names under .invalid are never looked up (RFC 6761): a resolver may take seconds to say no.
    """
    if host.rstrip(".").endswith(".invalid"):
        raise FetchError("failed", "host_not_found")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise _TryLaterError("host_not_found") from error
        raise FetchError("failed", "host_not_found") from error
    except UnicodeError as error:
        raise FetchError("refused", "bad_url") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass
class _Host:
    """What is known of one host in this run. Shared by threads; every field is replaced whole."""

    closed_reason: str | None = None
    free_at: float = 0.0  # monotonic; nobody asks before
    failures_in_a_row: int = 0

    def wait_turn(self) -> None:
        """Sleep while the host asked to be left alone; raise if it is not asked again in this run."""
        while self.closed_reason is None and (seconds := self.free_at - time.monotonic()) > 0:
            time.sleep(min(seconds, 1.0))
        if self.closed_reason is not None:
            raise FetchError("failed", self.closed_reason)

    def note_failure(self, fault: _TryLaterError, retry_count: int) -> None:
        """Count a fault, and decide whether the host is asked again."""
        self.failures_in_a_row += 1
        limit = retry_count if fault.reason == "host_not_found" else MAX_HOST_FAILURES
        if self.failures_in_a_row > limit:
            self.closed_reason = fault.reason
        if fault.wait_seconds is not None:
            if fault.wait_seconds > MAX_RETRY_AFTER_SECONDS:
                self.closed_reason = "told_to_wait"
            self.free_at = max(self.free_at, time.monotonic() + fault.wait_seconds)


class Fetcher:
    """Downloads bodies within `limits`. Safe to use from `limits.concurrency` threads; close it at the end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadline = _Deadline()
        self._hosts: dict[bytes, _Host] = {}
        self._pool = httpcore.ConnectionPool(
            max_connections=limits.concurrency,
            max_keepalive_connections=limits.concurrency,
            keepalive_expiry=15.0,
            network_backend=_CheckedBackend(limits.allow_private_addresses, self._deadline),
        )

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def fetch(self, url: str) -> bytes:
        """Return the body behind `url`. Raises `FetchError`, after retries where the fault may pass."""
        chance = random.Random(f"{self._limits.seed}:{url}".encode("utf-8", "replace"))
        backoff = wait_exponential(multiplier=BACKOFF_SECONDS, max=MAX_BACKOFF_SECONDS)
        tries = Retrying(
            retry=retry_if_exception_type(_TryLaterError),
            stop=stop_after_attempt(self._limits.retry_count + 1),
            wait=lambda state: backoff(state) * chance.uniform(0.5, 1.5),
            reraise=True,
        )
        try:
            return tries(self._follow, url)
        except _TryLaterError as fault:
            raise FetchError("failed", fault.reason) from fault

    def _follow(self, url: str) -> bytes:
        """Return the body behind `url` and its redirects, each of which is checked like the first."""
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._ask(checked_url(url))
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
        raise FetchError("refused", "too_many_redirects")

    def _ask(self, url: httpcore.URL) -> bytes | str:
        """Make one request when the host allows; return its body, or the location it redirects to."""
        host = self._hosts.setdefault(url.host, _Host())
        host.wait_turn()
        self._deadline.ends_at = time.monotonic() + self._limits.timeout_seconds
        try:
            answer = self._exchange(url)
        except _TryLaterError as fault:
            host.note_failure(fault, self._limits.retry_count)
            raise
        except FetchError as error:
            if error.reason == "host_not_found":
                host.closed_reason = error.reason
            raise
        host.failures_in_a_row = 0
        return answer

    def _exchange(self, url: httpcore.URL) -> bytes | str:
        try:
            with self._pool.stream("GET", url, headers=HEADERS) as response:
                headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
                if response.status in REDIRECTS and "location" in headers:
                    return headers["location"]
                _check_status(response.status, headers)
                return self._body(response, headers)
        except httpcore.TimeoutException as error:
            raise _TryLaterError("timeout") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _TryLaterError("connection_broken") from error

    def _body(self, response: httpcore.Response, headers: dict[str, str]) -> bytes:
        limit = self._limits.max_bytes
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise FetchError("refused", "too_large")
        if headers.get("content-encoding", "identity") != "identity":  # not asked for; could unpack to any size
            raise FetchError("refused", "unexpected_encoding")
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > limit:
                raise FetchError("refused", "too_large")
        return bytes(body)


def _check_status(status: int, headers: dict[str, str]) -> None:
    if status == 200:
        return
    if status == 429:
        raise _TryLaterError("http_429", retry_after_seconds(headers) or BACKOFF_SECONDS)
    if status >= 500:
        raise _TryLaterError(f"http_{status}", retry_after_seconds(headers))
    raise FetchError("missing" if status in (404, 410) else "failed", f"http_{status}")


def retry_after_seconds(headers: dict[str, str]) -> float | None:
    """Return how long a server asks to wait, by seconds or by date (against the server's own clock).

    >>> retry_after_seconds({"retry-after": "7"})
    7.0
    >>> retry_after_seconds({"retry-after": "soon"})
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until, now = (email.utils.parsedate_to_datetime(value) for value in (text, headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # unreadable, or one of them without a time zone: as if it were not there
        return None


def each_completed(work: Callable[[Item], Result], items: Iterable[Item], concurrency: int) -> Iterator[Result]:
    """Give `work(item)` of every item as it is done, `concurrency` at a time, with few items in memory.

    The first exception of `work` is raised here, and no further item is begun.
    """
    with ThreadPoolExecutor(concurrency, thread_name_prefix="fetch") as pool:
        pending: set[Future[Result]] = set()
        try:
            for item in items:
                pending.add(pool.submit(work, item))
                if len(pending) >= 4 * concurrency:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            for future in as_completed(pending):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
