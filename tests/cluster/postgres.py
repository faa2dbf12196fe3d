"""A PostgreSQL server of the test's own, on the loopback, in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2

from tests.cluster.processes import Processes

LOOPBACK = "127.0.0.1"


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs: the PATH's, else the newest where Debian keeps them."""
    candidates = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))[::-1]
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


def start_postgres(processes: Processes, programs: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Make a database cluster in `folder` with the user that `environment` names as the image's does; start it."""
    (folder / "password").write_text(environment["POSTGRES_PASSWORD"])
    how: dict[str, Any] = {"cwd": folder} | _owner()
    if "user" in how:
        for path in (folder, folder / "password"):
            os.chown(path, how["user"], how["group"])
    initdb = [str(programs / "initdb"), "--pgdata", "data", "--username", environment["POSTGRES_USER"]]
    initdb += ["--auth", "scram-sha-256", "--pwfile", "password", "--no-sync", "--encoding", "UTF8", "--locale", "C"]
    processes.start("initdb", initdb, environment, **how)
    processes.wait_for_end("initdb")
    server = [str(programs / "postgres"), "-D", "data", "-h", LOOPBACK, "-p", environment["PGPORT"], "-k", ""]
    # with this signal it does not wait for its clients
    processes.start("postgres", [*server, "-c", "fsync=off"], environment, signal.SIGINT, **how)


def make_databases(environment: Mapping[str, str], statements: str) -> None:
    """Make the database that `environment` names, and what an image's initial statements make."""
    connection = psycopg2.connect(
        host=LOOPBACK,
        port=environment["PGPORT"],
        user=environment["POSTGRES_USER"],
        password=environment["POSTGRES_PASSWORD"],
        dbname="postgres",
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {environment['POSTGRES_DB']}")
        cursor.execute(statements)
    connection.close()


def _owner() -> dict[str, Any]:
    """Return as whom to run it: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = accounts.get("postgres") or accounts["nobody"]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
