"""Which protocol a JSON-RPC call speaks: MCP (modelcontextprotocol.io) or A2A. Both are asked at any path, so the bodies and headers tell.

Only calls that no other protocol claims come here: what a caller adds to a right request makes no MCP of it. Other services speak JSON-RPC
too; a method that only they have, or that many have (`ping`), is MCP only where its headers or the path `/mcp` say so.
"""

from dataclasses import replace

from collector.decode.reading import Headers, Reading
from collector.decode.route_table import A2A, MCP
from collector.decode.routes import NOWHERE, Route, method_of
from collector.decode.sse import Event
from collector.decode.values import Object, mapping, objects, text

METHOD, NAME, VERSION, SESSION = "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id"
NOTIFICATIONS = "notifications/"
BATCH = 64  # messages of one body that are looked at
# Method, and the members of its params that name what is asked for.
NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
}
_SHARED = frozenset(("initialize", "ping", "tasks/get", "tasks/cancel", "tasks/list"))  # other protocols have them too
METHODS = _SHARED | frozenset((
    *NAMED, "tools/list", "prompts/list", "resources/list", "resources/templates/list", "completion/complete", "logging/setLevel",
    "sampling/createMessage", "elicitation/create", "roots/list", "tasks/result", "tasks/update", "server/discover",
    "subscriptions/listen", "messages/listen", "notifications/initialized", "notifications/cancelled", "notifications/progress",
    "notifications/message", "notifications/roots/list_changed", "notifications/tools/list_changed",
    "notifications/prompts/list_changed", "notifications/resources/list_changed", "notifications/resources/updated",
    "notifications/tasks/status", "notifications/elicitation/complete",
))  # fmt: skip
# A2A 0.3 and 1.0; what has a slash and is MCP's too is told apart by its params.
_A2A_TASKS = frozenset(("tasks/get", "tasks/cancel"))
_A2A = frozenset((
    "message/send", "message/stream", "tasks/resubscribe", "agent/getAuthenticatedExtendedCard",
    *(f"tasks/pushNotificationConfig/{verb}" for verb in ("set", "get", "list", "delete")),
    "SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask", "SubscribeToTask", "GetExtendedAgentCard",
    *(f"{verb}TaskPushNotificationConfig" for verb in ("Create", "Get", "List", "Delete")), "ListTaskPushNotificationConfigs",
    "GetAgentCard", "TaskSubscription",
))  # fmt: skip
A2A_VERSION = "a2a-version"
A2A_METHODS = _A2A | _A2A_TASKS
_MEMBER = b'"jsonrpc"'
_NEAR = 512  # bytes
_NO_STREAM = (b"", b"{", b"[", b"<")
_EVENTS = "text/event-stream"


def find(reading: Reading, at_home: bool = False) -> Route:
    """The route of a call that no other protocol claims; NOWHERE if it is none of these. `at_home`: its path is MCP's usual one."""
    headers, method = reading.request.headers, method_of(reading.captured.method, reading.request.headers)
    told = METHOD in headers or VERSION in headers or SESSION in headers or SESSION in reading.response.headers
    if method == "POST":
        if reading.request.data:
            return _posted(reading, told, at_home)
        return _by_headers(reading, at_home) if told and _may_be(headers) else NOWHERE
    if method == "GET":  # not one that asks for a WebSocket, in which a model may answer
        # What looks for a server's OAuth metadata tells its version of MCP too.
        listens = SESSION in headers or ((told or at_home) and _EVENTS in headers.get("accept", ""))
        return Route(MCP, "listen", "mcp") if listens or _is_stream(reading) else NOWHERE
    return Route(MCP, "end_session", "mcp") if method == "DELETE" and SESSION in headers else NOWHERE


def messages(body: object) -> list[Object]:
    """The JSON-RPC messages of a body, of a batch the first ones; none if it is something else."""
    found = objects(body[: BATCH + 1]) if isinstance(body, list) else [body] if isinstance(body, dict) else []
    return found if all(map(_is_message, found)) else []


def _posted(reading: Reading, told: bool, at_home: bool) -> Route:
    """The route of a POST with a body. `told`: headers say that it is MCP's."""
    request = reading.request
    asked = messages(reading.asked) if _may_hold(request.data) and request.starts_as_json else []
    if not asked:
        # A request may be cut before it tells whether it is JSON-RPC.
        is_open = request.starts_as_json and (not request.whole or len(request.data) > reading.limits.json_bytes)
        return _by_headers(reading, at_home) if is_open and (told or at_home) else NOWHERE
    told |= at_home
    operation = text(asked[0].get("method")) if len(asked) == 1 else None
    if _is_a2a(reading, asked[0], told):
        return Route(A2A, operation if operation in A2A_METHODS else "", "a2a")
    return _mcp(operation) if told or any(map(_is_mcp, asked)) else NOWHERE


def _by_headers(reading: Reading, at_home: bool) -> Route:
    """The route of a POST whose body does not tell. What callers write in headers is a claim, if neither path nor answer bear it out."""
    route = _mcp(reading.request.headers.get(METHOD))
    return route if at_home or SESSION in reading.response.headers or _is_answered(reading) else replace(route, claimed=True)


def _is_answered(reading: Reading) -> bool:
    """Whether the answer, or the first event of one, is of JSON-RPC."""
    response = reading.response
    if response.is_streamed:
        event = _first_message(reading, next(response.frames(1), None))
        return event is not None
    return _may_hold(response.data) and response.starts_as_json and bool(messages(reading.answer))


def _may_hold(body: bytes) -> bool:
    """Whether the member `jsonrpc` is near an end of the body: of a message's members only `params` or `result` are long."""
    return _MEMBER in body[:_NEAR] or _MEMBER in body[-_NEAR:]


def _mcp(method: str | None) -> Route:
    """Only methods that are known are operations: what callers write there may be something that rules hide."""
    return Route(MCP, method if method in METHODS else "", "mcp")


def _may_be(headers: Headers) -> bool:
    """Whether a POST whose body is not known may be MCP's, and no other that its clients send."""
    return METHOD in headers or ("json" in headers.get("content-type", "json") and _EVENTS in headers.get("accept", _EVENTS))


def _is_message(value: Object) -> bool:
    return value.get("jsonrpc") == "2.0" and (isinstance(value.get("method"), str) or "result" in value or "error" in value)


def _is_mcp(message: Object) -> bool:
    method, params = text(message.get("method")), mapping(message.get("params"))
    if method == "initialize":
        return isinstance(params.get("protocolVersion"), str)
    return method in METHODS and (method not in _SHARED or isinstance(params.get("taskId"), str))


def _is_a2a(reading: Reading, message: Object, told: bool) -> bool:
    method = text(message.get("method"))
    if method in _A2A_TASKS:
        return not told and isinstance(mapping(message.get("params")).get("id"), str)
    return method in _A2A or (not told and A2A_VERSION in reading.request.headers)


def _is_stream(reading: Reading) -> bool:
    """Whether the answer is a stream of MCP's messages. That of 2024 begins with the event `endpoint`."""
    response = reading.response
    if response.data[:1] in _NO_STREAM:  # most answers are known by their first byte
        return False
    first = next(response.frames(1), None) if response.is_streamed else None
    if first is None:
        return False
    if first[0] == b"endpoint":
        return first[1].startswith((b"/", b"http"))
    event = _first_message(reading, first)
    return event is not None and _is_mcp(event)


def _first_message(reading: Reading, first: Event | None) -> Object | None:
    """The message of JSON-RPC that a stream's first event holds."""
    event = reading.event(first[1]) if first is not None and _MEMBER in first[1] else None
    return event if event is not None and _is_message(event) else None
