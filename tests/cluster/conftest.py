"""Fixtures of the deployment's parts: started for a module, their logs below its temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.sample import SampleSize, make_sample
from tests.cluster.compose import Deployment
from tests.cluster.postgres import find_postgres

MANY_PHOTOS = SampleSize(photo_count=400, conversion_count=3000)
"""So many photos that embedding them is many tasks."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of the preset `tiny`."""
    folder = tmp_path_factory.mktemp("data") / "catalogue"
    make_sample(folder, MANY_PHOTOS)
    return folder


@pytest.fixture(scope="module")
def deployment(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The whole deployment, up and ready."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("no PostgreSQL here: install its server (Debian: postgresql), or put initdb on the PATH")
    made = Deployment(tmp_path_factory.mktemp("cluster"), sample, "tiny", programs)
    try:
        made.start()
        yield made
    finally:
        made.stop()
