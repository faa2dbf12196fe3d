"""What a night says of its version in MLflow."""

from __future__ import annotations

from jobs.datasets.models import RegistrationFacts
from tests.made_up_facts import made_up


def words(**facts: object) -> str:
    return made_up(RegistrationFacts, model_name="m", version=1, mlflow_run_id="b2", **facts).in_words


def test_a_night_says_which_run_made_the_version_that_its_model_equals() -> None:
    assert words(version_run_id="b2", version_run_date="2025-12-28") == "model m version 1, run b2"
    assert words(version_run_id="", version_run_date="") == "model m version 1, run b2"  # of an older lake
    assert words(version_run_id="a1", version_run_date="2025-12-27") == (
        "model m version 1, made by run a1 of the night of 2025-12-27, whose model this night's equals; "
        "this night is run b2"
    )
