"""How MLflow's library behaves in this project's processes. Light, so that it can run before mlflow is imported."""

from __future__ import annotations

from collections.abc import MutableMapping

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a model needs a few packages, not this project's lock file
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 14 seconds instead of 4 minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # each: two minutes for a server that hangs, not eight
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # with user and password in it
}


def configure_mlflow(environment: MutableMapping[str, str]) -> None:
    """Set what the user has not set; to be called before mlflow is imported, which reads some of it then."""
    for name, value in _SETTINGS.items():
        environment.setdefault(name, value)
