"""Makes the framework's OpenAPI description say what the API does, and no more. Pure."""

from __future__ import annotations

import re
from typing import Any

from collector.audit.documents import model_schemas, record_schemas
from collector.audit.problems import MEDIA_TYPE

OpenApi = dict[str, Any]  # the framework's own type of a description, and of its parts
_REFERENCE = re.compile(r"'#/components/schemas/([^']+)'")


def tidy(description: OpenApi) -> None:
    """Changes it in place; doing so twice changes nothing more."""
    for path in description["paths"].values():
        for operation in path.values():
            _errors(operation)
            for parameter in operation.get("parameters", ()):
                _without_null(parameter)
    description["components"]["schemas"] |= {**model_schemas(), **record_schemas()}
    description["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    description["security"] = [{}, {"bearer": []}]  # {}: where nobody is asked, or a browser has logged in
    _drop_unused(description)


def _errors(operation: OpenApi) -> None:
    """They are sent as problem JSON only, and 400 is what the framework takes 422 for."""
    operation["responses"].pop("422", None)
    for response in operation["responses"].values():
        if MEDIA_TYPE in response.get("content", {}):
            response["content"].pop("application/json", None)


def _without_null(parameter: OpenApi) -> None:
    """A parameter may be absent; there is no way to write null in a URL."""
    schema = parameter["schema"]
    either = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(either) == 1:
        del schema["anyOf"]
        schema.update(either[0])


def _drop_unused(description: OpenApi) -> None:
    """Schemas of the types into which parameters are read mean nothing to a caller."""
    schemas = description["components"]["schemas"]
    used: set[str] = set()
    new = set(_REFERENCE.findall(str(description["paths"])))
    while new:
        used |= new
        new = {name for one in new for name in _REFERENCE.findall(str(schemas[one]))} - used
    for name in schemas.keys() - used:
        del schemas[name]
