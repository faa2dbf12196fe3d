"""Make docker/.env, the secrets of the deployment, or those that it lacks."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent


def fernet_key() -> str:
    """Return 32 random bytes as Airflow's Fernet wants them."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


MADE: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(16),
    "AWS_ACCESS_KEY_ID": lambda: secrets.token_hex(10),
    "AWS_SECRET_ACCESS_KEY": lambda: secrets.token_hex(20),
    "NIGHTLENS_PSEUDONYM_KEY": lambda: secrets.token_hex(32),
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "AIRFLOW_FERNET_KEY": fernet_key,
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_hex(32),
    "AIRFLOW_SECRET_KEY": lambda: secrets.token_hex(32),
}


def make(folder: Path) -> None:
    """Write what is missing, readable by the owner only; what is there stays, or nothing could be read any more."""
    environment = folder / ".env"
    lines = environment.read_text().splitlines() if environment.exists() else []
    known = {line.split("=", 1)[0] for line in lines}
    lines += [f"{name}={made()}" for name, made in MADE.items() if name not in known]
    environment.touch(mode=0o600)
    environment.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    make(HERE)
    print(f"Secrets, Airflow's password for admin among them: {HERE / '.env'}")
