"""Settings from the environment: `~`, odd names of folders, and for each wrong value one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs.commands import main
from jobs.config.places import place
from jobs.config.settings import NotifySettings, Settings
from jobs.errors import BadInput
from tests.errors import raises

WRONG = [
    ("state_dir", "~no-such-user/x", "no such user"),
    ("state_dir", "/proc/nightlens", "/proc/nightlens"),
    ("lake_uri", "gs://bucket/lake", "gcsfs"),
    ("lake_uri", "abfs://container@account/lake", "adlfs"),
    ("lake_uri", "elsewhere://lake", "elsewhere://"),
    ("lake_uri", "s3://", "s3://bucket/lake"),
    ("tracking_uri", "/a/folder", "sqlite:///file"),
    ("tracking_uri", "elsewhere://ada:s3cret@host", "sqlite:///file"),
    ("artifact_uri", "elsewhere://bucket", "expected a folder"),
    ("report_dir", "~no-such-user/x", "no such user"),
    ("spark_master", "lokal[2]", "local[2]"),
    ("spark_driver_memory", "lots", "3g"),
    ("spark_driver_memory", "3", "3g"),
    ("query_memory_mb", "16", "256"),
    ("spark_conf", "spark.ui.enabled=s3cret", "JSON object"),
    ("spark_conf", '["s3cret"]', "JSON object"),
    ("spark_conf", '{"spark.ui.enabled": false}', "JSON object"),
    ("spark_from_rows", "many", "integer"),
    ("spark_from_rows", "0", "greater than or equal to 1"),
    ("allow_private_addresses", "maybe", "true or false"),
]
RIGHT = {
    "state_dir": "/tmp",
    "lake_uri": "s3://bucket/lake",
    "tracking_uri": "postgresql+psycopg2://ada:pw@host/mlflow",
    "artifact_uri": "mlflow-artifacts:/",
    "report_dir": "/tmp/reports",
    "spark_master": "local-cluster[2, 1, 1024]",
    "spark_driver_memory": "512m",
    "spark_conf": '{"spark.executor.cores": "2"}',
    "query_memory_mb": "512",
    "pseudonym_key": "any text",
    "spark_from_rows": "1000000",
    "allow_private_addresses": "1",
}


@pytest.mark.parametrize(("field", "value", "said"), WRONG)
def test_a_wrong_setting_ends_in_one_line_that_names_it_and_what_is_expected(
    field: str,
    value: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = f"NIGHTLENS_{field.upper()}"
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    assert main.main(["plan_night"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nightlens plan_night: BadInput [bad_setting]: {name}: ")
    assert said in line
    assert "s3cret" not in line
    assert not (tmp_path / "sample").exists()  # no work was begun


def test_every_setting_is_tried_with_a_wrong_value_unless_any_text_will_do() -> None:
    assert {field for field, _, _ in WRONG} == Settings.model_fields.keys() - {"pseudonym_key"}
    assert list(NotifySettings.model_fields) == ["notify_urls"]  # `nightlens try_notifiers` tries it


def test_right_values_of_every_setting_are_taken() -> None:
    assert RIGHT.keys() == Settings.model_fields.keys()
    settings = Settings.from_environment({f"NIGHTLENS_{name.upper()}": value for name, value in RIGHT.items()})
    assert (settings.spark_master, settings.artifact_uri) == (RIGHT["spark_master"], RIGHT["artifact_uri"])
    assert settings.pseudonym_key == SecretStr("any text")
    assert settings.allow_private_addresses


def test_a_tilde_in_a_path_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"LAKE_URI": "~/lake", "REPORT_DIR": "~/pages", "TRACKING_URI": "sqlite:///~/m.db", "ARTIFACT_URI": "~/a"}
    settings = Settings.from_environment(
        {"NIGHTLENS_STATE_DIR": "~/x"} | {f"NIGHTLENS_{name}": value for name, value in given.items()}
    )
    assert (settings.state_dir, settings.report_dir) == (tmp_path / "x", tmp_path / "pages")
    assert settings.lake_uri == str(tmp_path / "lake")
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/m.db"
    assert settings.artifact_uri == f"file://{tmp_path}/a"


def test_a_tilde_in_the_path_of_a_flag_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main.main(["convert_catalogue", "--mapping=~/no-such.toml", "--out=~/out"]) == 2
    assert str(tmp_path / "no-such.toml") in capsys.readouterr().err
    assert main.main(["convert_catalogue", "--mapping=~no-such-user/a", "--out=~/out"]) == 2
    assert "BadInput [wrong_usage]: --mapping: " in capsys.readouterr().err


def test_a_data_set_that_no_library_here_opens_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(tmp_path))
    for command in (["plan_night"], ["validate_logs", "--run-date", "2025-12-28", "--catalogue", "c"]):
        assert main.main([*command, "--dataset", "gs://bucket/data"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "BadInput [bad_dataset_address]: " in line
        assert "gcsfs" in line


def test_a_lake_without_credentials_is_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("NIGHTLENS_LAKE_URI", "s3://bucket/lake")
    assert main.main(["plan_night"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("nightlens plan_night: NightlensError [object_store_refused]: ")
    assert "NIGHTLENS_LAKE_URI" in line
    assert "(s3://bucket/lake" in line
    assert not (tmp_path / "state" / "sample").exists()


@pytest.mark.parametrize("name", ["100%", "a b", "it's", 'a "b"', "a#b", "Größe 黒", "a%20b"])
def test_odd_names_of_folders_stay_as_they_are(name: str, tmp_path: Path) -> None:
    assert place(str(tmp_path / name)) == str(tmp_path / name)
    settings = Settings.from_environment({"NIGHTLENS_STATE_DIR": str(tmp_path / name)})
    assert settings.lake_uri == str(tmp_path / name / "lake")


def test_a_lake_of_no_known_kind_is_refused() -> None:
    with raises(BadInput, "bad_setting", settings=["NIGHTLENS_LAKE_URI"]):
        Settings.from_environment({"NIGHTLENS_LAKE_URI": "elsewhere://lake"})
