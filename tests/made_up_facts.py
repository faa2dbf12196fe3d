"""Facts of made-up runs: what a test does not care about is filled with the dullest value of its type."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import AwareDatetime

from jobs.datasets.features import SplitsFacts
from jobs.datasets.schema import Facts

F = TypeVar("F", bound=Facts)
_USUAL: dict[type[Facts], dict[str, Any]] = {SplitsFacts: {"shard_count": 1, "max_ranked_searches": 1_000_000}}
_WITHOUT_ZERO: dict[Any, Any] = {AwareDatetime: datetime(1970, 1, 1, tzinfo=UTC), date: date(1970, 1, 1)}


def made_up(kind: type[F], /, **known: Any) -> F:
    """Return facts of a kind: what is `known`, at any depth, and for all else "", 0, 1970, nothing or None.

    Splits are in one shard, and all searches are ranked.

    >>> from jobs.datasets.embeddings import QueryEmbeddingsFacts
    >>> made_up(QueryEmbeddingsFacts, arms={"full": {"model_digest": "m1"}}).arms["full"].uses_country
    False
    """
    return kind.model_validate(_filled(kind, known))


def _filled(kind: type[Facts], known: dict[str, Any]) -> dict[str, Any]:
    known = _USUAL.get(kind, {}) | known
    fields = {name: field for name, field in kind.model_fields.items() if field.is_required() or name in known}
    values = {
        name: _value(field.annotation, known[name]) if name in known else _dullest(field.annotation)
        for name, field in fields.items()
    }
    return known | values


def _value(annotation: Any, known: Any) -> Any:
    """Return what is known with what it lacks: facts, alone, by name or in a row."""
    for inner in (annotation, *get_args(annotation)):
        if not (isinstance(inner, type) and issubclass(inner, Facts)):
            continue
        if isinstance(known, dict):
            is_by_name = get_origin(annotation) is dict
            return {name: _filled(inner, one) for name, one in known.items()} if is_by_name else _filled(inner, known)
        if isinstance(known, list | tuple):
            return [_filled(inner, one) if isinstance(one, dict) else one for one in known]
    return known


def _dullest(annotation: Any) -> Any:
    arguments = get_args(annotation)
    if type(None) in arguments:
        return None
    if get_origin(annotation) is Literal:
        return arguments[0]
    if annotation in _WITHOUT_ZERO:
        return _WITHOUT_ZERO[annotation]
    kind = get_origin(annotation) or annotation
    return _filled(kind, {}) if issubclass(kind, Facts) else kind()
