"""Where things are: lake, registry, Spark. Read from the environment once, by the command line."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from jobs.config.places import absolute, place
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
        except OSError as error:
            raise BadInput(
                "bad_setting",
                f"{PREFIX}STATE_DIR: the state folder cannot be used: {error.filename}: {error.strerror}. Expected is "
                f"a folder that this user may write.",
                settings=[f"{PREFIX}STATE_DIR"],
            ) from error
        except ValidationError as error:
            faults = {str(fault["loc"][0]): _expected(fault) for fault in error.errors() if fault["loc"][0] in given}
            told = [
                f"{PREFIX}{name.upper()}: {fault}{f', found {given[name]!r}' if cls.model_fields[name].repr else ''}"
                for name, fault in faults.items()
            ]
            raise BadInput(
                "bad_setting", "; ".join(told), settings=[PREFIX + name.upper() for name in faults]
            ) from None


def _expected(fault: Mapping[str, Any]) -> str:
    if fault["type"].startswith("bool"):
        return "expected true or false"
    return str(fault["msg"]).removeprefix("Value error, ")


_SPARK_CONF = 'expected a JSON object of texts, such as {"spark.executor.cores": "2"}'
_MASTER = re.compile(r"local(-cluster)?(\[[\d*, ]+\])?|(spark|k8s)://\S+|yarn")
_MEMORY = re.compile(r"[1-9]\d*[kmgt]b?", re.IGNORECASE)
_STORES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")  # the databases also with +driver
_ARTIFACTS = ("file", "s3", "gs", "wasbs", "abfss", "hdfs", "sftp", "mlflow-artifacts", "http", "https")
_DATABASE_FILE = "sqlite:///"


def _spark_conf(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        conf = json.loads(given)
    except ValueError:
        raise ValueError(_SPARK_CONF) from None  # its text may hold a secret
    if not isinstance(conf, dict) or not all(isinstance(value, str) for value in conf.values()):
        raise ValueError(_SPARK_CONF)
    return conf


def _spark_master(text: str) -> str:
    if not _MASTER.fullmatch(text):
        raise ValueError("expected local[2], spark://host:7077, yarn or k8s://address")
    return text


def _spark_memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise ValueError("expected a number with its unit, such as 3g or 512m")
    return text


def _tracking_uri(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if not separator or scheme.partition("+")[0] not in _STORES:
        raise ValueError("expected sqlite:///file, http(s)://server or a database such as postgresql://host/name")
    if not text.startswith(_DATABASE_FILE):
        return text
    return _DATABASE_FILE + str(absolute(Path(text.removeprefix(_DATABASE_FILE))))


def _artifact_uri(text: str) -> str:
    scheme, separator, _ = text.partition(":/")
    if not separator:
        return absolute(Path(text)).as_uri()
    if scheme not in _ARTIFACTS:
        raise ValueError(f"expected a folder or an address that begins with one of {', '.join(_ARTIFACTS)}")
    return text


class Settings(_Settings):
    """Locations and credentials. What is not given lies under `state_dir`."""

    state_dir: Annotated[Path, AfterValidator(absolute)] = Field(
        PROJECT_ROOT / ".nightlens", description="folder of everything Nightlens writes"
    )
    lake_uri: Annotated[str, AfterValidator(place)] = Field(
        default_factory=lambda given: str(given["state_dir"] / "lake"),
        description="root of the lake: a folder, or an object store such as s3://bucket/lake",
    )
    tracking_uri: Annotated[str, AfterValidator(_tracking_uri)] = Field(
        default_factory=lambda given: f"sqlite:///{given['state_dir'] / 'mlflow.db'}",
        description="MLflow tracking and registry: sqlite:///file or http(s)://server",
        repr=False,  # may hold a password
    )
    artifact_uri: Annotated[str, AfterValidator(_artifact_uri)] = Field(
        default_factory=lambda given: (given["state_dir"] / "mlflow-artifacts").as_uri(),
        description="where MLflow keeps artifacts when the tracking URI is a database",
    )
    report_dir: Annotated[Path, AfterValidator(absolute)] = Field(
        default_factory=lambda given: given["state_dir"] / "reports", description="folder where reports are published"
    )
    spark_master: Annotated[str, AfterValidator(_spark_master)] = "local[2]"
    spark_driver_memory: Annotated[str, AfterValidator(_spark_memory)] = "3g"
    spark_conf: Annotated[dict[str, str], NoDecode, BeforeValidator(_spark_conf)] = Field(
        default_factory=dict, description="further Spark settings, as JSON", repr=False
    )
    spark_from_rows: int = Field(
        50_000_000,
        ge=1,
        description="tables of so many rows together are for Spark; a stage queries smaller ones in its own process",
    )
    query_memory_mb: int = Field(
        2048, ge=256, description="memory (MiB) of queries outside Spark; what does not fit goes to temporary files"
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
