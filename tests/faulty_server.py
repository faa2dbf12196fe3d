"""A server of pictures with every fault, and pictures good and bad."""

from __future__ import annotations

import contextlib
import http.server
import io
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from PIL import Image

MAX_BYTES = 50_000
"""Clients of this server refuse a longer answer."""


def picture(color: tuple[int, int, int] = (200, 30, 30), kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(buffer, kind)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 5,000 x 5,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 5_000, 5_000, 1, 0, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(100))
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, body))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "404": (404, b"", {}),
    "403": (403, b"", {}),
    "tomorrow": (429, b"", {"retry_after": "86400"}),
    "huge": (200, picture() + bytes(MAX_BYTES), {}),
    "html": (200, b"<html>sign in first</html>", {"content_type": "image/jpeg"}),
    "half": (200, picture()[:-200], {}),
    "bomb": (200, bomb(), {}),
    "gzip": (200, zlib.compress(picture()), {"content_encoding": "gzip"}),
}
"""Status, body and headers of what is answered alike every time."""


class FaultyServer(http.server.ThreadingHTTPServer):
    """Answers by the first part of the path; notes every request and how many were under way at once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[str] = []
        self.times: dict[str, list[float]] = {}
        self.under_way = self.most_under_way = 0
        self.is_healed = False
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    def counts(self) -> Counter[str]:
        return Counter(path.split("?")[0].strip("/") for path in self.requests)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are what these tests are about


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        with self.server.lock:
            self.server.requests.append(self.path)
            self.server.times.setdefault(path, []).append(time.monotonic())
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        try:
            time.sleep(0.005)
            kind = path.split("/")[0]
            if kind in ANSWERS:
                status, body, headers = ANSWERS[kind]
                self.reply(status, body, **headers)
            else:
                getattr(self, f"answer_{kind}")(path)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"content-length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def is_first(self, path: str, count: int) -> bool:
        return len(self.server.times[path]) <= count

    def answer_ok(self, path: str) -> None:
        number = int(path.split("/")[1])
        self.reply(200, picture((number % 256, 50, 50)))

    def answer_500(self, path: str) -> None:
        self.reply(200, picture()) if self.server.is_healed else self.reply(500)

    def answer_busy(self, path: str) -> None:
        self.reply(429, retry_after="1") if self.is_first(path, 1) else self.reply(200, picture())

    def answer_overloaded(self, path: str) -> None:
        self.reply(503) if self.is_first(path, 2) else self.reply(200, picture())

    def answer_slow(self, path: str) -> None:
        time.sleep(1.5)
        self.reply(200, picture())

    def answer_drip(self, path: str) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(30):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def answer_truncated(self, path: str) -> None:
        self.reply(200, picture()[:100], content_length=str(len(picture())))
        self.close_connection = True

    def answer_hangup(self, path: str) -> None:
        if self.is_first(path, 1):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.reply(200, picture())

    def answer_endless(self, path: str) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")

    def answer_to(self, path: str) -> None:
        targets = {
            "ok": "/ok/7",
            "file": "file:///etc/passwd",
            "private": self.server.url("ok/1", "127.0.0.2"),
            "loop": "/to/loop",
            "login": self.server.url("ok/1", "user:pw@127.0.0.1"),
        }
        self.reply(302, location=targets[path.split("/")[1]])


@contextlib.contextmanager
def running_server() -> Iterator[FaultyServer]:
    """Run a server while the block does."""
    with FaultyServer() as faulty:
        thread = threading.Thread(target=faulty.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield faulty
        faulty.shutdown()
