"""The command line: help, errors without tracebacks, the versions it records, settings from the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from open_clip import list_pretrained

from jobs.adapters import local_services
from jobs.commands import main, stage_command
from jobs.config.params.arms import COMPARED, FINETUNED, FULL
from jobs.config.params.presets import PRESETS
from jobs.config.settings import Settings
from jobs.errors import BadInput, LostWork
from jobs.nights import dag_runner, night_plan
from jobs.nights.night_plan import NightPlan
from jobs.stages.registry import ALL, STAGES, command, stage_params
from tests.command_line import parse_stage
from tests.errors import raises

LADDER = "finetuned,finetuned_country,finetuned_country_keywords"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(tmp_path / "state"))


def test_help_lists_every_stage_and_tool(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    text = capsys.readouterr().out
    panels = {"Run": "nightly", "Review": "promote", "Look up": "ledger", "Tidy": "forget", "Stages": "validate_logs"}
    found = re.findall(r"^[│╭]─? (Look up|\w+)(?= ─|  )", text, re.MULTILINE)
    for panel, command_name in panels.items():
        assert found.index(panel) < found.index(command_name)
    assert [name for name in found if name in panels] == list(panels)
    assert [name for name in found if name in ALL] == list(ALL)


def test_a_stage_without_its_input_says_which_stage_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main.main(["audit_leaks", "--dataset", str(tmp_path), "--catalogue", "c", "--run-date", "2025-12-28"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert status == 2
    assert error.startswith("nightlens audit_leaks: MissingInput [stage_not_run]: ")


@pytest.mark.integration
def test_threads_that_wait_do_not_spin_for_long_and_torch_is_loaded_late_enough_to_hear_of_it(tmp_path: Path) -> None:
    stage = ["audit_leaks", "--dataset", str(tmp_path), "--catalogue", "c", "--run-date", "2025-12-28"]
    code = f"from jobs.commands.main import main; main({stage}); import torch"
    for given, expected in (({}, "3000"), ({"GOMP_SPINCOUNT": "17"}, "17")):
        environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
        told = environment | given | {"OMP_DISPLAY_ENV": "VERBOSE"}
        done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
        assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr


def test_what_may_succeed_on_another_try_has_another_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object, **__: object) -> None:
        raise LostWork("machine_lost", "a machine went away")

    monkeypatch.setattr(stage_command, "make_context", lose)
    assert main.main(["audit_leaks", "--dataset", str(tmp_path), "--run-date", "2025-12-28"]) == 1


def test_a_bad_parameter_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", str(tmp_path), "--run-date", "2025-12-28", "--catalogue", "c"]
    assert main.main(["split_temporal", *options, "--test-days", "0"]) == 2
    said = capsys.readouterr().err
    assert "BadInput [bad_parameters]: " in said
    assert "test_days" in said


@pytest.mark.parametrize(
    ("preset", "given", "expected"),
    [
        ("small", "", ("windows", 0.1)),
        ("small", "80/20", ("80/20", 0.1)),
        ("unsplash-lite", "", ("80/20", 0.0)),
        ("unsplash-lite", "windows", ("windows", 0.0)),
    ],
)
def test_a_protocol_that_is_given_goes_before_the_presets(preset: str, given: str, expected: tuple[str, float]) -> None:
    line = command("split_temporal", {"dataset": "d", "run_date": "2025-12-28", "preset": preset}, {"protocol": given})
    params = parse_stage(line)[2]
    assert (params.protocol, params.validation_share) == expected
    assert parse_stage([*line, "--validation-share", "0"])[2].validation_share == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", (FINETUNED, FULL)), (LADDER, tuple(LADDER.split(",")))],
)
def test_arms_that_are_given_go_before_the_presets(given: str, expected: tuple[str, ...]) -> None:
    line = command("train_search", {"dataset": "d", "run_date": "2025-12-28", "preset": "tiny"}, {"arms": given})
    params = parse_stage(line)[2]
    assert (params.arms, params.epochs) == (expected, 1)  # all else is the preset's


def test_a_night_hands_its_choices_and_limits_to_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    confs: list[dict[str, str | None]] = []
    monkeypatch.setattr(dag_runner, "_run_in_process", lambda settings, dag_id, conf: confs.append(conf))
    monkeypatch.setattr(dag_runner.local_services, "running_services", lambda settings: None)
    monkeypatch.setattr(dag_runner, "summarise", lambda settings, plan: "")
    monkeypatch.setattr(local_services, "prepare_airflow", lambda settings, environment: None)
    plan = NightPlan(dataset="d", catalogue="c", preset="tiny", run_date=date(2025, 12, 28))
    monkeypatch.setattr(night_plan, "plan_night", lambda settings, **given: plan)
    for more in ([], ["--protocol", "80/20", "--retrain", "never", "--arms", LADDER, "--max-bad-share", "0.1"]):
        assert main.main(["nightly", *more]) == 0
    assert [(conf["retrain"], conf["protocol"]) for conf in confs] == [("incremental", None), ("never", "80/20")]
    assert [conf["arms"] for conf in confs] == [[], LADDER.split(",")]
    assert [conf["max_bad_share"] for conf in confs] == [None, 0.1]
    assert main.main(["nightly", "--protocol", "70/30"]) == 2
    assert main.main(["nightly", "--max-missing-share", "20"]) == 2
    assert len(confs) == 2


@pytest.mark.parametrize("arms", ["finetuned,no_such_arm", "finetuned,finetuned", "zero_shot"])
def test_arms_that_cannot_be_trained_are_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arms: str
) -> None:
    monkeypatch.setattr(local_services, "prepare_airflow", lambda *_: pytest.fail("the night began"))
    assert main.main(["nightly", "--arms", arms]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "BadInput [bad_parameters]: parameters of nightly: arms: " in said


def test_an_ablation_that_cannot_be_compared_is_refused_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    for more, name in (
        (["--variants", "softmax"], FULL),
        (["--variants", f"{FULL},mse"], "mse"),
        (["--repeats", "1"], "repeats"),
        (["--epochs", "0"], "epochs"),
    ):
        assert main.main(["ablation", *more]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "BadInput [bad_parameters]: " in said
        assert name in said


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], (COMPARED, 5, None)),
        (["--variants", f"{FULL},softmax", "--repeats", "2", "--epochs", "2"], ((FULL, "softmax"), 2, 2)),
    ],
)
def test_an_ablation_is_handed_its_variants(
    monkeypatch: pytest.MonkeyPatch, more: list[str], expected: tuple[object, ...]
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(dag_runner, "run_ablation", lambda settings, *given: calls.append(given))
    plan = NightPlan(dataset="d", catalogue="c", preset="tiny", run_date=date(2025, 12, 28))
    monkeypatch.setattr(night_plan, "plan_night", lambda settings, **given: plan)
    assert main.main(["ablation", *more]) == 0
    assert calls == [(plan, *expected)]


@pytest.mark.parametrize("stage", list(STAGES))
def test_help_of_a_stage_describes_its_parameters(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([stage, "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in text for name in ("run_date", *STAGES[stage].params.model_fields))


@pytest.mark.parametrize("arguments", [["no_such"], ["ledger"], ["up", "--mlflow-port", "x"], ["down", "--no-such"]])
def test_a_wrong_call_is_one_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nightlens {arguments[0]}: BadInput [wrong_usage]: ")


def test_an_interrupted_command_has_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_services, "stop_services", interrupt)
    assert main.main(["down"]) == 130


def test_the_preset_of_the_published_table_is_its_setting() -> None:
    split, search = stage_params("split_temporal", "unsplash-lite"), stage_params("train_search", "unsplash-lite")
    assert (split.protocol, split.validation_share) == ("80/20", 0)
    assert stage_params("train_base", "unsplash-lite").source == "ViT-B-16-SigLIP/webli"
    assert (search.epochs, search.batch_size, search.arms) == (1, 128, (FINETUNED, FULL))


@pytest.mark.parametrize("preset", [p for p in PRESETS if stage_params("train_base", p).source != "tiny"])
def test_a_preset_of_a_pretrained_model_names_one_that_open_clip_has(preset: str) -> None:
    architecture, tag = PRESETS[preset]["train_base"]["source"].split("/")
    assert (architecture, tag) in list_pretrained()


@pytest.mark.parametrize("preset", [p for p in PRESETS if p not in ("tiny", "thorough")])
def test_a_base_trained_here_is_fine_tuned_with_the_softmax_and_a_pretrained_one_as_it_was_made(preset: str) -> None:
    is_trained_here = stage_params("train_base", preset).source == "tiny"
    for stage in ("train_search", "train_variant"):
        assert stage_params(stage, preset).loss == ("softmax" if is_trained_here else "sigmoid")


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_fills_every_stage(preset: str) -> None:
    assert set(PRESETS[preset]) <= set(STAGES)
    for stage in STAGES:
        assert stage_params(stage, preset)
    with raises(BadInput, "no_such_preset", preset="no-such-preset"):
        stage_params("evaluate", "no-such-preset")


def test_settings_come_from_the_environment_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    environ = {"NIGHTLENS_STATE_DIR": str(tmp_path), "NIGHTLENS_SPARK_CONF": '{"spark.executor.cores": "2"}'}
    settings = Settings.from_environment(environ | {"NIGHTLENS_LAKE_URI": "s3://bucket/lake"})
    assert settings.lake_uri == "s3://bucket/lake"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings.spark_conf == {"spark.executor.cores": "2"}
    with raises(BadInput, "unknown_setting", settings=["NIGHTLENS_LAKE_URL"]):
        Settings.from_environment(environ | {"NIGHTLENS_LAKE_URL": "x"})


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [("ALLOW_PRIVATE_ADDRESSES", "maybe", "'maybe'"), ("SPARK_CONF", "{s3cret", ""), ("SPARK_CONF", '["s3cret"]', "")],
)
def test_a_wrong_setting_is_named_with_what_was_found_but_no_secret(name: str, value: str, found: str) -> None:
    with raises(BadInput, "bad_setting", settings=[f"NIGHTLENS_{name}"]) as caught:
        Settings.from_environment({f"NIGHTLENS_{name}": value})
    assert found in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_pseudonym_key_is_made_once_private_and_never_shown(tmp_path: Path) -> None:
    environ = {"NIGHTLENS_STATE_DIR": str(tmp_path)}
    first, second = Settings.from_environment(environ), Settings.from_environment(environ)
    key = first.pseudonym_key.get_secret_value()
    assert len(key) == 64
    assert second.pseudonym_key.get_secret_value() == key
    assert key not in repr(first)
    path = tmp_path / "secrets" / "pseudonym.key"
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
