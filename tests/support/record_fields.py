"""Holds a record against its type: every field known, of the type it says; and which fields of the type a record has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin, is_typeddict

import msgspec

from collector.messages.field import Described, fields
from collector.messages.record import Record


def faults(record: dict[str, Any]) -> list[str]:
    """What of this record its type does not know, or says otherwise."""
    return list(_faults(record, Record, ""))


def paths(record: dict[str, Any]) -> set[str]:
    """`request.body.size`, `inference.choices[].text`: what this record has."""
    return set(_paths(record, Record, ""))


def all_fields(kind: Any = Record, path: str = "") -> dict[str, Described]:
    """Every path that the type has, with its field."""
    found: dict[str, Described] = {}
    for field in fields(kind):
        below = f"{path}{field.name}"
        found[below] = field
        inner, many = _inner(field.kind)
        if inner is not None:
            found |= all_fields(inner, f"{below}{many}.")
    return found


@cache
def _kinds(kind: Any) -> dict[str, Any]:
    """The type's fields by their names: asked for with each of ten thousands of values."""
    return {field.name: field.kind for field in fields(kind)}


def _inner(kind: Any) -> tuple[Any, str]:
    """The TypedDict that a field holds, and `[]` if it holds many."""
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
        return (kind, "[]") if is_typeddict(kind) else (None, "")
    return (kind, "") if is_typeddict(kind) else (None, "")


def _faults(value: Any, kind: Any, path: str) -> Iterator[str]:
    inner, many = _inner(kind)
    if many and isinstance(value, list):
        for item in value:
            yield from _faults(item, inner, f"{path}[]")
    elif inner is not None and isinstance(value, dict):
        known = _kinds(inner)
        for name, item in value.items():
            below = f"{path}.{name}".lstrip(".")
            yield from _faults(item, known[name], below) if name in known else (f"{below}: not in the type",)
    elif not _fits(value, kind):
        yield f"{path}: {value!r} is no {kind}"


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(value == one and type(value) is type(one) for one in get_args(kind))
    if get_origin(kind) is list and get_origin(get_args(kind)[0]) is Literal:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return False
    return True


def _paths(value: Any, kind: Any, path: str) -> Iterator[str]:
    inner, many = _inner(kind)
    for item in value if many else [value]:
        if inner is not None:
            known = _kinds(inner)
            for name in known.keys() & item.keys():
                below = f"{path}.{name}".lstrip(".")
                yield below
                yield from _paths(item[name], known[name], f"{below}{_inner(known[name])[1]}")
