"""Facts of runs that tests make up: complete, though a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime

from jobs.datasets.features import SplitsFacts
from jobs.datasets.schema import Facts

Some = TypeVar("Some", bound=Facts)
_USUAL: dict[type[Facts], dict[str, Any]] = {SplitsFacts: {"shard_count": 1, "max_ranked_searches": 1_000_000}}
_DAYS = {AwareDatetime: datetime(2025, 12, 1, tzinfo=UTC), date: date(2025, 12, 1)}


def made(kind: type[Some], /, **told: Any) -> Some:
    """Return facts with the values told; other required fields are None, zero or empty, or as usual.

    >>> from jobs.datasets.features import LeakAuditFacts
    >>> made(LeakAuditFacts, check_count=7)
    LeakAuditFacts(check_count=7, violation_count=0)
    """
    told = _USUAL.get(kind, {}) | told
    left = {name: field for name, field in kind.model_fields.items() if field.is_required() and name not in told}
    return kind(**told, **{name: _nothing(field.annotation) for name, field in left.items()})


def _nothing(annotation: Any) -> Any:
    origin, parts = get_origin(annotation) or annotation, get_args(annotation)
    if origin in (Union, UnionType):
        return None if NoneType in parts else _nothing(parts[0])
    if origin is Literal:
        return parts[0]
    if origin in _DAYS:
        return _DAYS[origin]
    return made(origin) if issubclass(origin, Facts) else origin()
