"""The champion moves when it is told to, to a version there is, and says from where."""

from __future__ import annotations

import json
import re
import shlex
from datetime import date
from typing import Any

import psutil
import pytest

from jobs.adapters import local_services, mlflow_models, mlflow_registry, mlflow_runs
from jobs.config.params.arms import FULL
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.models import RegistrationFacts
from jobs.errors import BadInput, MissingInput
from jobs.releasing import promotion
from jobs.releasing.ledger import Ledger
from jobs.releasing.promotion import promote
from jobs.releasing.rollback import rollback
from tests.conftest import Contexts
from tests.errors import raises
from tests.made_up_facts import made_up
from tests.released import BY, register_release


def champion(context: RunContext) -> int | None:
    version = mlflow_registry.resolve_alias(context.settings, "test", mlflow_registry.CHAMPION)
    return None if version is None else version.number


def test_the_champion_moves_by_promotion_alone(tracked: RunContext, make_context: Contexts) -> None:
    settings = tracked.settings
    with raises(BadInput, "no_such_model", model="nightlens-test"):
        promote(settings, "test", 1, **BY)

    facts = []
    for seed, context in enumerate((tracked, make_context(run_date=date(2025, 12, 29)))):
        facts.append(RegistrationFacts.of(register_release(context, seed)))
    assert champion(tracked) is None
    mlflow_runs.log_evaluation(settings, facts[0], FULL, {f"{FULL}/hit_rate_at_10": 0.5})

    first = f"version 1 (2025-12-28, {FULL}, hit rate@10 0.5000)"
    second = f"version 2 (2025-12-29, {FULL})"
    text = promote(settings, "test", "1", **BY)
    assert text.startswith(f"The champion of nightlens-test is now {first}; there was none. Published is the release")
    assert champion(tracked) == 1
    assert promote(settings, "test", 1, **BY).startswith("The champion of nightlens-test is version 1 already")
    text = promote(settings, "test", 2, **BY)
    assert text.startswith(f"The champion of nightlens-test is now {second}; it was version 1.")
    assert champion(tracked) == 2

    for unknown in ("7", "latest", "-1", "1.0", ""):
        with raises(BadInput, "no_such_version", model="nightlens-test", version=unknown) as caught:
            promote(settings, "test", unknown, **BY)
        assert str(caught.value).splitlines()[1:] == [f"  {first}", f"  {second}"]
    assert champion(tracked) == 2
    rollback(settings, "test", **BY)
    assert champion(tracked) == 1
    mlflow_registry.set_alias(settings, mlflow_registry.find_version(settings, "test", 2), mlflow_registry.CHAMPION)
    with raises(BadInput, "nothing_to_go_back_to", catalogue="test"):
        rollback(settings, "test", **BY)
    assert [entry.kind for entry in Ledger(tracked.lake).entries()] == [
        *("promoted", "promoted", "rolled_back", "moved_outside")
    ]
    mlflow_registry.move_champion(settings, "test", None)
    assert champion(tracked) is None
    with raises(MissingInput, "no_such_version", model="nightlens-test", version=9):
        mlflow_registry.find_version(settings, "test", 9)


def test_a_version_that_never_passed_its_check_is_refused(tracked: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.delattr(mlflow_models, "load_version")
        with pytest.raises(AttributeError):
            register_release(tracked)
    with raises(BadInput, "version_not_checked", version=1):
        promote(tracked.settings, "test", 1, **BY)
    assert champion(tracked) is None


# -- where the reviewer finds a version in MLflow ----------------------------------------------------------


def registration(settings: Settings, run_page: str = "/#/experiments/1/runs/abc") -> dict[str, Any]:
    facts = {"model_name": "nightlens-test", "version": 3, "mlflow_run_id": "abc", "run_page": run_page}
    return made_up(RegistrationFacts, tracking_uri=settings.public_tracking_uri, **facts)


def record_services(settings: Settings, tracking_uri: str, created: float) -> None:
    """Write down, as `make up` does, that this process is the MLflow server of a store."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    process = {"name": "mlflow", "pid": psutil.Process().pid, "created": created}
    record = {"processes": [process], "mlflow_port": 5017, "tracking_uri": tracking_uri}
    local_services._services_file(settings).write_text(json.dumps(record))


def test_a_version_is_linked_to_where_make_up_shows_its_store(settings: Settings) -> None:
    record_services(settings, settings.tracking_uri, psutil.Process().create_time())
    assert promotion._in_mlflow(settings, registration(settings)) == (
        "nightlens-test version 3: http://127.0.0.1:5017/#/models/nightlens-test/versions/3, "
        "the night's run: http://127.0.0.1:5017/#/experiments/1/runs/abc"
    )


def test_the_report_is_linked_to_where_mlflow_serves_it_and_else_its_file_is_named(settings: Settings) -> None:
    file = settings.report_dir / "test" / "2025-12-28.html"
    ours = registration(settings)
    assert promotion._report(settings, ours, file) == f"the file `{file}`"
    record_services(settings, settings.tracking_uri, psutil.Process().create_time())
    page = "#/experiments/1/runs/abc/artifacts/report.html"
    assert promotion._report(settings, ours, file) == f"http://127.0.0.1:5017/{page}"
    server = settings.model_copy(update={"tracking_uri": "http://ada:secret@mlflow:5000/"})
    elsewhere = registration(server, "http://mlflow:5000/#/experiments/1/runs/abc")
    assert promotion._report(server, elsewhere, file) == f"http://mlflow:5000/{page}"
    database = registration(settings.model_copy(update={"tracking_uri": "postgresql://db/mlflow"}))
    assert promotion._report(settings, database, file) == f"the file `{file}`"


@pytest.mark.parametrize("is_of_another_store", [False, True])
def test_without_a_server_of_the_store_the_command_that_opens_it_is_shown(
    settings: Settings, is_of_another_store: bool
) -> None:
    now = psutil.Process().create_time()
    if is_of_another_store:
        record_services(settings, "sqlite:////elsewhere.db", now)
    else:  # it ended, and another process has its number
        record_services(settings, settings.tracking_uri, now - 1000)
    text = promotion._in_mlflow(settings, registration(settings))
    assert "http" not in text
    assert "/#/" not in text
    assert f"version 3, run abc, in the store `{settings.tracking_uri}`" in text
    (line,) = re.findall(r"start one with `(.*)`$", text)
    command = shlex.split(line)
    assert command[:2] == ["mlflow", "server"]
    assert command[command.index("--backend-store-uri") + 1] == settings.tracking_uri
    assert command[command.index("--artifacts-destination") + 1] == settings.artifact_uri


def test_a_server_is_linked_to_by_itself_and_no_password_is_shown(settings: Settings) -> None:
    server = settings.model_copy(update={"tracking_uri": "http://ada:secret@mlflow:5000/"})
    text = promotion._in_mlflow(server, registration(server, "http://mlflow:5000/#/experiments/1/runs/abc"))
    address = "http://mlflow:5000/#/models/nightlens-test/versions/3"
    assert text.startswith(f"nightlens-test version 3: {address}, the night's run: ")
    database = settings.model_copy(update={"tracking_uri": "postgresql://ada:secret@db/mlflow"})
    text = promotion._in_mlflow(database, registration(database))
    assert "--backend-store-uri postgresql://db/mlflow" in text
    assert "secret" not in text
    moved = promotion._in_mlflow(settings, registration(database))
    assert f"`postgresql://db/mlflow`, which is not the one of these settings: `{settings.tracking_uri}`" in moved
