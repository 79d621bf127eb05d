"""The facts of a record that CSV and Parquet have a column for: a flat form for spreadsheets and data frames. The record has more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["text", "integer", "number", "boolean", "moment"]
Value = str | int | float | bool
LARGEST = (1 << 63) - 1


class Fact(NamedTuple):
    """A column. `path`: where the record has it; of a list of texts, all of them with a space between."""

    name: str
    path: tuple[str, ...]
    kind: Kind = "text"


def _usage(name: str) -> Fact:
    return Fact(name, ("usage", name, "value"), "integer")


FACTS = (
    Fact("id", ("id",)),
    Fact("revision", ("revision",), "integer"),
    Fact("start", ("start",), "moment"),
    Fact("duration_ms", ("duration_ms",), "number"),
    Fact("namespace", ("service", "namespace")),
    Fact("service", ("service", "name")),
    Fact("component", ("service", "component")),
    Fact("proxy_node", ("proxy", "node")),
    Fact("proxy_namespace", ("proxy", "namespace")),
    Fact("proxy_workload", ("proxy", "workload")),
    Fact("role", ("hop", "role")),
    Fact("billable", ("hop", "billable"), "boolean"),
    Fact("rule", ("hop", "rule")),
    Fact("caller", ("caller", "principal")),
    Fact("caller_address", ("caller", "address")),
    Fact("consumer", ("caller", "consumer")),
    Fact("user", ("caller", "user")),
    Fact("agent", ("caller", "agent")),
    Fact("session", ("caller", "session")),
    Fact("call_id", ("call_id",)),
    Fact("request_id", ("request", "id")),
    Fact("trace_id", ("trace", "trace_id")),
    Fact("method", ("request", "method")),
    Fact("authority", ("request", "authority")),
    Fact("path", ("request", "path")),
    Fact("status", ("response", "status"), "integer"),
    Fact("flags", ("response", "flags")),
    Fact("protocol", ("inference", "protocol")),
    Fact("operation", ("inference", "operation")),
    Fact("model_requested", ("inference", "model_requested")),
    Fact("model_answered", ("inference", "model_answered")),
    Fact("streamed", ("inference", "streamed"), "boolean"),
    Fact("finish_reasons", ("inference", "choices", "finish_reason")),
    _usage("prompt_tokens"),
    _usage("completion_tokens"),
    _usage("total_tokens"),
    _usage("cached_tokens"),
    _usage("reasoning_tokens"),
    Fact("usage_absent", ("usage_absent",)),
    Fact("first_byte_ms", ("timing", "first_byte_ms"), "number"),
    Fact("first_token_ms", ("timing", "first_token_ms"), "number"),
    Fact("request_bytes", ("request", "body", "size"), "integer"),
    Fact("response_bytes", ("response", "body", "size"), "integer"),
    Fact("completeness", ("completeness",)),
    Fact("damaged", ("damaged",), "boolean"),
)


def facts(record: Mapping[str, object]) -> list[Value | None]:
    """The record's, in the order of FACTS. None: it has none, or nothing of the kind that the column has."""
    return [_of_kind(_found(record, fact.path), fact.kind) for fact in FACTS]


def _found(value: object, path: tuple[str, ...]) -> object:
    for depth, name in enumerate(path):
        if isinstance(value, list):
            return [found for one in value if (found := _found(one, path[depth:])) is not None]
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _of_kind(value: object, kind: Kind) -> Value | None:
    if isinstance(value, bool):
        return value if kind == "boolean" else None
    if isinstance(value, int):
        fits = kind == "number" or (kind == "integer" and -LARGEST <= value <= LARGEST)
        return value if fits else None
    if isinstance(value, float):
        return value if kind == "number" else None
    if isinstance(value, list) and kind == "text":
        return " ".join(str(one) for one in value) or None
    return value if isinstance(value, str) and kind in ("text", "moment") else None
