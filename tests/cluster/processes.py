"""Processes of a test: each in a group of its own with a log, and whatever they have started is ended with them."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

_MARK = "CLUSTER_TEST"


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on, each another."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Processes:
    """Starts, awaits and ends processes; their logs are `<name>.log` in a folder."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(parents=True)
        self._mark = secrets.token_hex(8)
        self._started: dict[str, psutil.Popen] = {}
        self._stop_signals: dict[str, signal.Signals] = {}

    def start(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
        **how: Any,
    ) -> None:
        """Start a process; what it starts carries its mark in the environment, wherever it goes."""
        with self.log(name).open("ab") as log:
            self._started[name] = psutil.Popen(
                command,
                env={**environment, _MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **how,
            )
        self._stop_signals[name] = stop_signal

    def log(self, name: str) -> Path:
        """Return where the output of a process goes."""
        return self._logs / f"{name}.log"

    def wait_until(self, name: str, is_so: Callable[[], bool], limit_seconds: float = 240) -> None:
        """Wait for something that a process brings about; if that ends before, or takes too long, show its log."""
        deadline = time.monotonic() + limit_seconds
        while not is_so():
            status = self._started[name].poll()
            if status is not None or time.monotonic() > deadline:
                how = "is not up yet" if status is None else f"ended with status {status}"
                raise AssertionError(f"{name} {how}:\n{self.log(name).read_text(errors='replace')[-5000:]}")
            time.sleep(1)

    def wait_for_end(self, name: str, limit_seconds: float = 240) -> None:
        """Wait for a process that is to succeed."""
        status = self._started[name].wait(limit_seconds)
        assert status == 0, f"{name} ended with status {status}:\n{self.log(name).read_text(errors='replace')[-5000:]}"

    def commands(self, name: str) -> list[str]:
        """Return the command lines of a process and of everything it has started."""
        found = []
        for member in self._members(name):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # ended by itself
                found.append(" ".join(member.cmdline()))
        return found

    def _members(self, name: str) -> list[psutil.Process]:
        return [self._started[name], *self._started[name].children(recursive=True)]

    def kill(self, name: str) -> list[str]:
        """Kill a process and everything it has started, at once; return their command lines."""
        members, commands = self._members(name), self.commands(name)
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGSTOP)  # none notices the end of another
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        _, alive = psutil.wait_procs(members, timeout=30)
        assert not alive
        return commands

    def all(self) -> Iterator[psutil.Process]:
        """Yield every process that was started, directly or not, and still runs."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
            except psutil.Error:
                continue

    def stop(self) -> None:
        """End all, the latest first; what has not ended after some seconds is killed."""
        for name, process in reversed(self._started.items()):
            if process.poll() is None:
                os.killpg(process.pid, self._stop_signals[name])
        psutil.wait_procs(list(self._started.values()), timeout=15)
        for process in (*self.all(), *self._started.values()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs([*self._started.values(), *self.all()], timeout=15)
        assert not alive, f"still running: {alive}"
