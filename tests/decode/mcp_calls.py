"""Exchanges of MCP of every kind, by name: both eras, and what clients of the one of 2024 post."""

from __future__ import annotations

from typing import Any

from collector.decode import Captured
from tests.decode import transcripts as t

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
META = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "progressToken": 1}
SESSION = [*t.JSON, ("mcp-session-id", "1868a90c-5f3b"), ("mcp-protocol-version", "2025-06-18")]
ACCEPT = ("accept", "application/json, text/event-stream")
BAD_TOOL = {"content": [{"type": "text", "text": "no such city"}], "isError": True}


def request(method: str, params: Any = None, identity: Any = 3) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params or {}}


def notification(method: str, params: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params or {}}


def result(of: Any, identity: Any = 3) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": of}


def failure(code: int, message: str, identity: Any = 3) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}


def call(name: str = "weather", **more: Any) -> dict[str, Any]:
    return request("tools/call", {"name": name, "arguments": {"city": "Oslo"}, **more})


def modern(method: str, name: str | None = None, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The headers of 2026-07-28."""
    named = [("mcp-name", name)] if name else []
    return [*t.JSON, ACCEPT, ("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), *named, *more]


def posted(asked: Any, answer: Any = b"", path: str = "/mcp", **more: Any) -> Captured:
    return t.exchange(path, asked, answer, **more)


def streamed(asked: Any, *events: Any, **more: Any) -> Captured:
    return posted(asked, t.sse(events, done=False), **{"response_headers": t.SSE} | more)


PROGRESS = notification("notifications/progress", {"progressToken": 1, "progress": 1})
LIST_CHANGED = notification("notifications/tools/list_changed")
SAMPLING = request("sampling/createMessage", {}, "s-1")
CALLS: dict[str, Captured] = {
    "mcp initialize": posted(
        request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}, 0),
        result({"protocolVersion": "2025-06-18", "serverInfo": {"name": "s", "version": "2"}}, 0),
        response_headers=[*t.JSON, ("mcp-session-id", "1868a90c-5f3b")],
    ),
    "mcp initialized": posted(notification("notifications/initialized"), b"", status=202, request_headers=SESSION, response_headers=[]),
    "mcp call": posted(call(_meta=META), result({"content": [], "isError": False}), request_headers=SESSION),
    "mcp call in a stream": streamed(call(), PROGRESS, PROGRESS, SAMPLING, result(BAD_TOOL), request_headers=SESSION),
    "mcp refusal": posted(request("prompts/get", {"name": "greet"}, "a"), failure(-32602, "Unknown prompt", "a")),
    "mcp answer of the client": posted(result({"role": "assistant"}, "s-1"), b"", status=202, request_headers=SESSION),
    "mcp cancellation": posted(notification("notifications/cancelled", {"requestId": 3, "reason": "user"}), b"", status=202),
    "mcp batch": posted(
        [call(), request("resources/read", {"uri": "file:///a"}, 4), notification("notifications/cancelled", {"requestId": 2})],
        [result({}), failure(-32002, "Resource not found", 4)],
    ),
    "mcp stream": t.get(
        "/mcp", t.sse([LIST_CHANGED, SAMPLING], done=False), response_whole=False,
        request_headers=[*SESSION, ACCEPT], response_headers=t.SSE,
    ),
    "mcp end": t.exchange("/mcp", None, b"", method="DELETE", request_headers=SESSION, response_headers=[]),
    "mcp modern": posted(
        call(_meta=META | {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}),
        result({"resultType": "complete", "content": []}),
        request_headers=modern("tools/call", "weather", ("mcp-param-city", "Oslo")),
    ),
    "mcp asks for more": posted(
        call(), result({"resultType": "input_required", "inputRequests": {}}), request_headers=modern("tools/call", "weather")
    ),
    "mcp headers alone": posted(None, b"", request_headers=modern("resources/read", "=?base64?ZmlsZTovLy/DpA==?=")),
    "mcp of 2024": posted(
        call(), b"Accepted", "/messages/?session_id=dba2cd61", status=202, response_headers=[("content-type", "text/plain")]
    ),
    "mcp stream of 2024": t.get(
        "/sse", b"event: endpoint\ndata: /messages/?session_id=dba2cd61\n\nevent: message\ndata: " + t.dumps(result({})) + b"\n\n",
        response_headers=t.SSE,
    ),
    "a2a": posted(request("message/send", {"message": {"role": "user"}}), result({"kind": "task"}), "/agent"),
}  # fmt: skip
