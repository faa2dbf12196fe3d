"""A temporary Airflow home, set before Airflow is imported by any test of this folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

DAGS = Path(__file__).resolve().parents[2] / "dags"

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="nightlens-airflow-")
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] = "False"
