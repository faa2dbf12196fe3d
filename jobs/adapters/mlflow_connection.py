"""The connection to MLflow: settings, the database, the client, and errors in the user's terms."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow.exceptions import MlflowException

from jobs.config.settings import Settings
from jobs.errors import LostWork, NightlensError

P = ParamSpec("P")


R = TypeVar("R")


_PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}
"""What MLflow calls a server that is down, hangs or is overloaded."""


def ensure_database(settings: Settings) -> None:
    """Make the tracking database if there is none, one process at a time.

    Raises `LostWork` if a server cannot be reached, `NightlensError` if MLflow fails otherwise. Two processes that
    first touch a new SQLite database at once would leave it broken for good.
    """
    uri = settings.tracking_uri
    with exclusive_lock(settings):
        try:
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            use(uri).search_experiments(max_results=1)
        except Exception as error:  # MLflow passes on the errors of whichever database or HTTP library it uses
            raise _unusable(settings, error) from None  # its text may hold the password


def _unusable(settings: Settings, error: Exception) -> NightlensError:
    """Return what to tell of a failure of MLflow: one line, without user and password."""
    text = str(error).strip() or type(error).__name__
    told = [line for line in text.splitlines() if not line.startswith("(raised as a result of")]  # SQLAlchemy's preface
    reason = (told or [text])[0].rstrip(".")
    credentials = urlsplit(settings.tracking_uri).netloc.rpartition("@")[0]
    if credentials:
        reason = reason.replace(f"{credentials}@", "").replace(credentials, "***")
    is_server = settings.tracking_uri.startswith("http")
    is_passing = error.error_code in _PASSING if isinstance(error, MlflowException) and is_server else is_server
    todo = (
        "the server runs and answers (`make up`)" if is_server else "the database can be written (room, owner, mount)"
    )
    message = (
        f"MLflow at {settings.public_tracking_uri} cannot be used: {reason}. Check that {todo}, and "
        f"NIGHTLENS_TRACKING_URI; then run the same command again."
    )
    if is_passing or "database or disk is full" in text or "is locked" in text:
        return LostWork("mlflow_out_of_reach", message, uri=settings.public_tracking_uri)
    return NightlensError("mlflow_refused", message, uri=settings.public_tracking_uri)


def translate_mlflow_errors(function: Callable[Concatenate[Settings, P], R]) -> Callable[Concatenate[Settings, P], R]:
    """Let a function that speaks to MLflow fail as `_unusable` says if MLflow does, also in the middle."""

    @wraps(function)
    def speaking(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(settings, *args, **kwargs)
        except (MlflowException, requests.RequestException) as error:
            raise _unusable(settings, error) from None

    return speaking


@contextmanager
def exclusive_lock(settings: Settings) -> Iterator[None]:
    """Let one process of this state folder at a time into the block."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with (settings.state_dir / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def use(uri: str) -> mlflow.MlflowClient:
    """Point MLflow at a store or server and return a client of it."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def client_of(settings: Settings) -> mlflow.MlflowClient:
    """Return a client of the settings' store or server, whose database is there afterwards."""
    ensure_database(settings)
    return use(settings.tracking_uri)


def model_name(catalogue: str) -> str:
    """Return the name of a catalogue's experiment and registered model."""
    return f"nightlens-{catalogue}"
