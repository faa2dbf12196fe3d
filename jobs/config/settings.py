"""Where things are: lake, registry, Spark. Read from the environment once, by the command line."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from jobs.errors import BadInput

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PREFIX = "NIGHTLENS_"


class _Settings(BaseSettings):
    """Base of the settings: frozen, unknown keys refused. Every field is `NIGHTLENS_<FIELD>` outside."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is handed over, and nothing from the environment of the process."""
        return (init_settings,)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read `NIGHTLENS_*`; what is empty is not set. `BadInput` names what cannot be, without a secret's value."""
        source = EnvSettingsSource(cls)
        source.env_vars = {name.lower(): value for name, value in environ.items() if value}
        given = source()
        try:
            return cls(**given)
        except ValidationError as error:
            faults = {str(fault["loc"][0]): fault["msg"] for fault in error.errors() if fault["loc"][0] in given}
            told = [
                f"{PREFIX}{name.upper()}: {fault}{f', found {given[name]!r}' if cls.model_fields[name].repr else ''}"
                for name, fault in faults.items()
            ]
            raise BadInput(
                "bad_setting", "; ".join(told), settings=[PREFIX + name.upper() for name in faults]
            ) from None


def _spark_conf(given: Any) -> Any:
    return json.loads(given) if isinstance(given, str) else given


class Settings(_Settings):
    """Locations and credentials. What is not given lies under `state_dir`."""

    state_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        PROJECT_ROOT / ".nightlens", description="folder of everything Nightlens writes"
    )
    lake_uri: str = Field(
        default_factory=lambda given: str(given["state_dir"] / "lake"),
        description="root of the lake: a folder, or an object store such as s3://bucket/lake",
    )
    tracking_uri: str = Field(
        default_factory=lambda given: f"sqlite:///{given['state_dir'] / 'mlflow.db'}",
        description="MLflow tracking and registry: sqlite:///file or http(s)://server",
    )
    artifact_uri: str = Field(
        default_factory=lambda given: (given["state_dir"] / "mlflow-artifacts").as_uri(),
        description="where MLflow keeps artifacts when the tracking URI is a database",
    )
    report_dir: Path = Field(
        default_factory=lambda given: given["state_dir"] / "reports", description="folder where reports are published"
    )
    spark_master: str = "local[2]"
    spark_driver_memory: str = "3g"
    spark_conf: Annotated[dict[str, str], NoDecode, BeforeValidator(_spark_conf)] = Field(
        default_factory=dict, description="further Spark settings, as JSON", repr=False
    )
    pseudonym_key: SecretStr = Field(
        default_factory=lambda given: _own_pseudonym_key(given["state_dir"]),
        description="key of the visitor pseudonyms; keep it out of the lake",
    )
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
        """Read `NIGHTLENS_*` as `_Settings` does; `BadInput` names a setting that nothing reads."""
        known = [PREFIX + name.upper() for name in (*cls.model_fields, *NotifySettings.model_fields)]
        if unknown := sorted(
            name for name in environ if name.startswith(PREFIX) and environ[name] and name.upper() not in known
        ):
            raise BadInput(
                "unknown_setting",
                f"unknown setting in the environment: {', '.join(unknown)}. Known: {', '.join(known)}",
                settings=unknown,
            )
        return super().from_environment(environ)


class NotifySettings(_Settings):
    """Who is told of what happens at night. Apart from `Settings`: a fault in them is no fault of a stage."""

    notify_urls: SecretStr = Field(
        SecretStr(""),
        description="addresses in the form of apprise, with commas or spaces; the log gets all in any case",
    )


def _own_pseudonym_key(state_dir: Path) -> SecretStr:
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
    return SecretStr(path.read_text())
