"""A record without what was asked and answered, for who may see that calls happened and not what was said in them. Pure.

Numbers and fixed words stay. Of every field that can hold a text of whoever called or answered it is written down here whether it stays:
one that is not is left out (and fails tests/access/test_texts.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, is_typeddict

import msgspec

from collector.messages.field import fields
from collector.messages.inference import A2a, AnswerChoice, ErrorDetails, Inference, RecordedAnswer, RecordedTensor, SocketClose, ToolCall
from collector.messages.mcp import Mcp, McpMessage
from collector.messages.record import Caller, Policy, Proxy, Record, RecordedBody, RecordedHop, RecordedRequest, RecordedResponse, Trace
from collector.messages.record import Upstream as RecordedUpstream
from collector.messages.service import Service, ServiceLogger, ServiceModel
from collector.messages.usage import RecordedUsage

HIDDEN = "[hidden]"  # stands for a value, where the name of what had it stays
HEADERS = frozenset(
    (
        ":authority",
        ":method",
        ":scheme",
        ":status",
        "accept",
        "accept-encoding",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "grpc-encoding",
        "grpc-status",
        "grpc-timeout",
        "retry-after",
        "server",
        "te",
        "traceparent",
        "transfer-encoding",
        "user-agent",
        "x-envoy-upstream-service-time",
        "x-request-id",
    )
)

_SAID = {"kind", "method", "id", "cancels"}  # of a message of MCP; its name may be the address of what was read
SHOWN: dict[type, set[str]] = {
    Record: {"id", "why", "call_id", "start", "start_told"},
    Proxy: {"node", "cluster", "namespace", "workload", "name", "address"},
    Service: {"namespace", "name", "kind", "uid", "resource_version", "annotations", "labels", "component", "reason"},
    ServiceModel: {"name", "format", "runtime", "storage_uri"},
    ServiceLogger: {"metadata_headers"},
    RecordedHop: {"rule"},
    Caller: {"principal", "consumer", "address", "user_agent", "user", "agent", "session"},
    Trace: {"trace_id", "span_id", "baggage"},
    RecordedRequest: {"id", "method", "scheme", "authority"},
    RecordedResponse: {"flags", "details", "upstream_failure", "termination"},
    RecordedBody: {"content_type", "encoding"},
    Inference: {
        "operation",
        "model_requested",
        "model_answered",
        "model_version_requested",
        "model_version_answered",
        "id",
        "service_tier",
    },
    AnswerChoice: {"role", "finish_reason"},
    RecordedAnswer: {"operation", "id", "model", "service_tier", "finish_reason"},
    ToolCall: {"id", "name"},
    RecordedTensor: {"name", "datatype", "content_type"},
    ErrorDetails: {"type", "code"},
    Mcp: {*_SAID, "protocol_version", "session", "trace_id", "span_id"},
    McpMessage: _SAID,
    A2a: {"protocol_version", "task_id", "context_id"},
    Policy: {"rule"},
    RecordedUsage: {"other"},  # numbers, by the names of who told them
    RecordedUpstream: {"cluster", "address", "route"},
}
LEFT_OUT: dict[type, set[str]] = {
    Record: {"problems"},  # some quote what they could not read
    RecordedBody: {"sha256", "href"},  # who guesses a text would see that he is right
    AnswerChoice: {"text", "reasoning", "refusal"},
    SocketClose: {"reason"},
    ToolCall: {"arguments"},
    RecordedTensor: {"filename"},
    ErrorDetails: {"message", "param"},
    Mcp: {"name"},
    McpMessage: {"name"},
}

Rule = Callable[[object], object]


def _headers(pairs: object) -> object:
    """The names, and the values of HEADERS."""
    if not isinstance(pairs, Iterable):
        raise TypeError("headers are pairs")
    return [[name, _header(name, value)] for name, value in pairs]


def _header(name: str, value: str) -> str:
    if name == ":path":
        return _path(value)
    return value if name in HEADERS else HIDDEN


def _path(path: object) -> str:
    """A query may hold what is asked."""
    if not isinstance(path, str):
        raise TypeError("a path is a text")
    before, mark, _ = path.partition("?")
    return before + mark + HIDDEN if mark else path


CHANGED: dict[type, dict[str, Rule]] = {
    RecordedRequest: {"path": _path, "headers": _headers, "trailers": _headers},
    RecordedResponse: {"headers": _headers, "trailers": _headers},
}


def without_texts(record: bytes) -> bytes:
    """The record as JSON again. Nothing of what cannot be read stays."""
    try:
        return msgspec.json.encode(_RECORD(msgspec.json.decode(record)))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError, AttributeError):
        return b"{}"


def classified(kind: type) -> set[str]:
    """The fields of this type of which it is written down whether they stay."""
    return SHOWN.get(kind, set()) | LEFT_OUT.get(kind, set()) | CHANGED.get(kind, {}).keys()


def can_hold_text(kind: object) -> bool:
    """Whether a field of this type can hold a text that is not of a fixed few."""
    if get_origin(kind) is Annotated:
        return can_hold_text(get_args(kind)[0])
    if get_origin(kind) is Literal or kind in (int, float, bool):
        return False
    if get_origin(kind) in (list, tuple, Union, UnionType):
        return any(can_hold_text(part) for part in get_args(kind))
    return True


def _rule(owner: type, name: str, kind: object) -> Rule | None:
    """What becomes of this field's value; None: it is left out."""
    if rule := CHANGED.get(owner, {}).get(name):
        return rule
    if is_typeddict(kind):
        assert isinstance(kind, type)
        return _members(kind)
    parts = get_args(kind)
    if get_origin(kind) is list and is_typeddict(parts[0]):
        return _each(_members(parts[0]))
    return _same if name in SHOWN.get(owner, ()) or not can_hold_text(kind) else None


def _members(kind: type) -> Rule:
    found = {field.name: _rule(kind, field.name, field.kind) for field in fields(kind)}
    rules: Mapping[str, Rule] = {name: rule for name, rule in found.items() if rule is not None}

    def members(value: object) -> object:
        if not isinstance(value, dict):
            raise TypeError(f"a {kind.__name__} has members")
        return {name: rules[name](member) for name, member in value.items() if name in rules}

    return members


def _each(rule: Rule) -> Rule:
    def each(values: object) -> object:
        if not isinstance(values, Iterable):
            raise TypeError("values of a list are expected")
        return [rule(value) for value in values]

    return each


def _same(value: object) -> object:
    return value


_RECORD = _members(Record)
