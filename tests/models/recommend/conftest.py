"""The world of two tastes, made once."""

from __future__ import annotations

import pytest

from tests.models.recommend.tastes import Tastes, world


@pytest.fixture(scope="session")
def tastes() -> Tastes:
    return world()
