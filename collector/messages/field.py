"""What is said of each field of a record beside its type: docs/record.md and the API's OpenAPI description are made of it.

The types of records are `TypedDict`s whose fields are `Annotated` with this. It costs nothing where records are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, get_args, get_type_hints, is_typeddict

import msgspec
from msgspec import Meta

DAMAGED = "the record is damaged"
NO_TAP = "there was no tap"
REFERENCE = "#/components/schemas/{name}"


class Described(NamedTuple):
    """A field as its type describes it. `kind` is its type; the others as in `field`."""

    name: str
    kind: object
    meaning: str
    by: str
    absent: str
    example: object
    unit: str


def field(meaning: str, by: str, absent: str = "", example: object = None, unit: str = "") -> Meta:
    """`by`: who told it. `absent`: when the field is absent; empty: never. `example`: as JSON; None for what has fields of its own."""
    said = {"meaning": meaning, "by": by, "absent": absent, "example": example, "unit": unit}
    return Meta(description=f"{meaning} Unit: {unit}." if unit else meaning, examples=None if example is None else [example], extra=said)


def fields(of: type) -> list[Described]:
    """The fields of a TypedDict, in their order."""
    return [_described(name, hint) for name, hint in get_type_hints(of, include_extras=True).items()]


def held_by(kind: object) -> Iterator[type]:
    """The TypedDicts in a type, itself included, in the order of their fields."""
    if isinstance(kind, type) and is_typeddict(kind):
        yield kind
        parts = tuple(inner.kind for inner in fields(kind))
    else:
        parts = get_args(kind)
    for part in parts:
        yield from held_by(part)


def _described(name: str, hint: object) -> Described:
    kind, about = get_args(hint)
    return Described(name, kind, **about.extra)


def reference(kind: type) -> dict[str, str]:
    """The schema that stands for this type wherever it occurs."""
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def schemas(*kinds: type) -> dict[str, dict[str, object]]:
    """By name, the JSON schemas of these types and of all that they hold. A field that is never absent is required."""
    _, found = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    for kind in {held for one in kinds for held in held_by(one)}:
        schema, known = found[kind.__name__], fields(kind)
        schema["properties"] = {one.name: schema["properties"][one.name] for one in known}
        if always := [one.name for one in known if not one.absent]:
            schema["required"] = always
    return found
