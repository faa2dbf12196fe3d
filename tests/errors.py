"""What tests say of errors: type, code and the things named, never prose."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def raises(kind: type[Exception], code: str, **named: object) -> Iterator[Any]:
    """Expect an error of a type and code that names, among others, these things."""
    with pytest.raises(kind) as caught:
        yield caught
    error: Any = caught.value
    assert (error.code, {name: error.named.get(name) for name in named}) == (code, named)
