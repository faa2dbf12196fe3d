"""Where things are: lake, registry, Spark. Read from the environment once, by the command line."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from jobs.errors import BadInput

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PREFIX = "NIGHTLENS_"


class Settings(BaseModel):
    """Locations and credentials; frozen, unknown keys refused. Every field is `NIGHTLENS_<FIELD>` outside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state_dir: Path = Field(description="folder of everything Nightlens writes")
    lake_uri: str = Field(description="root of the lake: a folder, or an object store such as s3://bucket/lake")
    tracking_uri: str = Field(description="MLflow tracking and registry: sqlite:///file or http(s)://server")
    artifact_uri: str = Field(description="where MLflow keeps artifacts when the tracking URI is a database")
    report_dir: Path = Field(description="folder where reports are published")
    spark_master: str = "local[2]"
    spark_driver_memory: str = "3g"
    spark_conf: dict[str, str] = Field(default_factory=dict, description="further Spark settings, as JSON")
    pseudonym_key: SecretStr = Field(description="key of the visitor pseudonyms; keep it out of the lake")
    allow_private_addresses: bool = Field(
        False, description="let fetch_images read from private and loopback addresses"
    )

    @property
    def public_tracking_uri(self) -> str:
        """The tracking URI without user and password, for what is printed and kept."""
        parts = urlsplit(self.tracking_uri)
        if parts.password is None and parts.username is None:
            return self.tracking_uri
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read `NIGHTLENS_*`, with everything under `NIGHTLENS_STATE_DIR` (default: .nightlens in the project)."""
        given = _given(environ)
        known = [*cls.model_fields, *NotifySettings.model_fields]
        unknown = sorted(set(given) - set(known))
        if unknown:
            names = ", ".join(PREFIX + name.upper() for name in unknown)
            raise BadInput(
                "unknown_setting",
                f"unknown setting in the environment: {names}. Known: {', '.join(known)}",
                settings=[PREFIX + name.upper() for name in unknown],
            )
        given = {name: value for name, value in given.items() if name in cls.model_fields}
        state = Path(given.get("state_dir", str(PROJECT_ROOT / ".nightlens"))).absolute()
        values: dict[str, object] = {
            "state_dir": state,
            "lake_uri": str(state / "lake"),
            "tracking_uri": f"sqlite:///{state / 'mlflow.db'}",
            "artifact_uri": (state / "mlflow-artifacts").as_uri(),
            "report_dir": state / "reports",
        }
        values |= given
        if "spark_conf" in given:
            values["spark_conf"] = json.loads(given["spark_conf"])
        if "pseudonym_key" not in given:
            values["pseudonym_key"] = _own_pseudonym_key(state)
        return cls.model_validate(values)


class NotifySettings(BaseModel):
    """Who is told of what happens at night, and how. Apart from `Settings`: a fault in them is no fault of a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notify: tuple[Literal["log", "email", "webhook"], ...] = Field(default=("log",), description="comma-separated")
    smtp_url: SecretStr | None = Field(
        default=None, description="smtp://user:password@host:587, or smtps:// for TLS at once"
    )
    mail_from: str = "nightlens@localhost"
    mail_to: tuple[str, ...] = Field(default=(), description="comma-separated")
    webhook_url: SecretStr | None = Field(default=None, description="gets each message as JSON by POST")

    @model_validator(mode="after")
    def _are_complete(self) -> NotifySettings:
        if "email" in self.notify and (self.smtp_url is None or not self.mail_to):
            raise ValueError("e-mail needs NIGHTLENS_SMTP_URL and NIGHTLENS_MAIL_TO")
        if "webhook" in self.notify and self.webhook_url is None:
            raise ValueError("webhook needs NIGHTLENS_WEBHOOK_URL")
        return self

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> NotifySettings:
        """Read `NIGHTLENS_NOTIFY` and what belongs to it; `BadInput` says what is wrong, without the values."""
        given = {name: value for name, value in _given(environ).items() if name in cls.model_fields}
        lists = {
            name: [part.strip() for part in given[name].split(",")] for name in ("notify", "mail_to") if name in given
        }
        try:
            return cls.model_validate(given | lists)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'notify'}: {fault['msg']}" for fault in error.errors()
            )
            raise BadInput("bad_notify_settings", f"settings of notifications in the environment: {faults}") from None


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment says, by name of the field; what is empty is not said."""
    return {name[len(PREFIX) :].lower(): value for name, value in environ.items() if name.startswith(PREFIX) and value}


def _own_pseudonym_key(state_dir: Path) -> str:
    """Return the key kept in the state folder, made on first use and readable by the owner only."""
    path = state_dir / "secrets" / "pseudonym.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()
