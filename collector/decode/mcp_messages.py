"""One JSON-RPC message as MCP's clients send it, as the record tells it."""

from collector.decode.json_rpc import NAMED
from collector.decode.values import Object, mapping, name
from collector.messages.mcp import McpMessage
from collector.messages.queries import without_query_secrets

VERSION_CHARS, METHOD_CHARS, _ID_CHARS = 32, 128, 128
_LARGEST_ID = 1 << 63


def told_message(message: Object) -> McpMessage:
    """What it is, and what it names; nothing of what it hands over."""
    told: McpMessage = {}
    method, identity = name(message.get("method"), METHOD_CHARS), id_of(message.get("id"))
    if "method" not in message:
        told["kind"] = "response"
    elif identity is None:
        told["kind"] = "notification"
    else:
        told["kind"] = "request"
    if method:
        told["method"] = method
    if identity is not None:
        told["id"] = identity
    params = mapping(message.get("params"))
    member = NAMED.get(method or "", "")
    if called := name(params.get(member)):
        told["name"] = without_query_secrets(called) if member == "uri" else called
    if method == "notifications/cancelled" and (cancelled := id_of(params.get("requestId"))) is not None:
        told["cancels"] = cancelled
    return told


def id_of(value: object) -> str | int | None:
    """JSON-RPC's id: a text or a whole number, each bounded; None for anything else."""
    if isinstance(value, str):
        return value if len(value) <= _ID_CHARS else None
    return value if type(value) is int and abs(value) < _LARGEST_ID else None
