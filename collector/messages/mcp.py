"""`inference.mcp` in a record: what an exchange of the Model Context Protocol was. Decode makes it (decode/mcp.py)."""

from typing import Annotated, Literal, TypedDict

from collector.messages.field import field

KindName = Literal["request", "notification", "response", "batch", "stream", "end"]
ResultName = Literal["ok", "error", "tool_error", "input_required"]

_ASKED, _ANSWERED = "the request", "the answer"
_STREAM = "counted in the answer"
_NO_STREAM = "the answer is no stream, or not all of it that passed was captured and read"


class McpMessage(TypedDict, total=False):
    """One JSON-RPC message that the client sent."""

    kind: Annotated[
        KindName,
        field(
            "`request`, `notification`, `response` (the client answers the server), `batch` of these; `stream`: the client listens; "
            "`end`: it ends its session.",
            "the body; where it was not captured, method and headers",
            "the body was not captured, and no header tells the method",
            "request",
        ),
    ]
    method: Annotated[str, field("JSON-RPC's method.", "the body, else header `mcp-method`", "it is no request, or not told", "tools/call")]
    name: Annotated[
        str,
        field(
            "The tool, the prompt, or the resource's URI without secrets in its query.",
            "the body, else header `mcp-name`",
            "the method has none, or it was not told",
            "get_weather",
        ),
    ]
    id: Annotated[str | int, field("JSON-RPC's id, which the client chose.", _ASKED, "it has none, or its body was not captured", 3)]
    cancels: Annotated[str | int, field("The id of the request that is called off.", _ASKED, "it calls off nothing", 3)]
    result: Annotated[
        ResultName,
        field(
            "How a request was answered: `ok`, `error` (JSON-RPC's), `tool_error` (the tool failed: `isError`), `input_required`.",
            _ANSWERED,
            "no answer to it was seen, or its end was not",
            "ok",
        ),
    ]


class Mcp(McpMessage, total=False):
    """An exchange of the Model Context Protocol."""

    told_by: Annotated[Literal["body", "headers"], field("Who told the message.", "Meshscribe", "", "body")]
    batch: Annotated[list[McpMessage], field("The messages of a batch, at most 64.", _ASKED, "it is no batch")]
    protocol_version: Annotated[
        str,
        field(
            "MCP's version.", "the answer to `initialize`, else header `mcp-protocol-version`, else the request", "not told", "2026-07-28"
        ),
    ]
    session: Annotated[
        str,
        field(
            "The session, by a hash of its id.",
            "header `mcp-session-id` of the request, else of the answer",
            "there is none, or the proxy redacted it",
            "sha256:5d41402abc4b2a76b9719d911017c592",
        ),
    ]
    trace_id: Annotated[
        str,
        field(
            "The trace that the message names: that of the model call for which the tool is called.",
            "`_meta.traceparent`",
            "there is no valid one",
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ),
    ]
    span_id: Annotated[str, field("The span in it.", "`_meta.traceparent`", "there is no valid one", "00f067aa0ba902b7")]
    notifications: Annotated[int, field("Notifications that the server sent in a stream.", _STREAM, _NO_STREAM, 3, "messages")]
    progress: Annotated[int, field("Those of them that tell progress.", _STREAM, _NO_STREAM, 2, "messages")]
    requests: Annotated[int, field("Requests of the server in a stream (sampling, …).", _STREAM, _NO_STREAM, 1, "messages")]
