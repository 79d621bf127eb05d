"""JSON schemas of what answers hold, made from the types of records (messages/field.py), for the OpenAPI description. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from collector.messages.field import fields, held_by

REFERENCE = "#/components/schemas/{name}"


def reference(kind: type) -> dict[str, str]:
    """The schema that stands for this type wherever it occurs."""
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def schemas(*kinds: type) -> dict[str, dict[str, Any]]:
    """By name, those of these types and of all that they hold. A field that is never absent is required."""
    _, found = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    for kind in {held for one in kinds for held in held_by(one)}:
        schema, known = found[kind.__name__], fields(kind)
        schema["properties"] = {field.name: schema["properties"][field.name] for field in known}
        if always := [field.name for field in known if not field.absent]:
            schema["required"] = always
    return found
