"""MCP's calls are known at any path, by bodies or headers alone; no other call is taken for one, and none hides in it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from msgspec import structs

from collector.decode import Captured, Limits, decode
from collector.decode.mcp import BATCH
from collector.messages.inference import Inference
from tests.decode import mcp_calls as m
from tests.decode import transcripts as t

CALLED = {"told_by": "body", "kind": "request", "method": "tools/call", "name": "weather", "id": 3}
UNKNOWN = {"protocol": "unknown"}


def told(captured: Captured) -> Inference:
    decoded = decode(captured)
    assert (decoded.usage, decoded.problems) == ({}, [])
    return decoded.inference


def mcp(captured: Captured) -> dict[str, Any]:
    inference = told(captured)
    assert inference["protocol"] == "mcp"
    return dict(inference["mcp"])


@pytest.mark.parametrize(
    "path", ["/mcp", "/", "/ns/server/mcp/", "/tools", "/messages/?session_id=1", "/v1/messages", "/v1/responses", "/score"]
)
def test_a_call_is_known_at_any_path(path: str) -> None:
    inference = told(m.posted(m.call(), m.result({"content": []}), path))
    assert inference == {"protocol": "mcp", "operation": "tools/call", "mcp": {**CALLED, "result": "ok"}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mcp initialize", {"method": "initialize", "protocol_version": "2025-06-18", "result": "ok", "id": 0}),
        ("mcp initialized", {"kind": "notification", "method": "notifications/initialized", "protocol_version": "2025-06-18"}),
        ("mcp call", {"result": "ok", "trace_id": m.TRACE, "span_id": "00f067aa0ba902b7"}),
        ("mcp call in a stream", {"result": "tool_error", "notifications": 2, "progress": 2, "requests": 1}),
        ("mcp refusal", {"method": "prompts/get", "name": "greet", "id": "a", "result": "error"}),
        ("mcp answer of the client", {"kind": "response", "id": "s-1"}),
        ("mcp cancellation", {"kind": "notification", "method": "notifications/cancelled", "cancels": 3}),
        ("mcp stream", {"kind": "stream", "notifications": 1, "progress": 0, "requests": 1}),
        ("mcp end", {"kind": "end", "told_by": "headers"}),
        ("mcp modern", {"name": "weather", "protocol_version": "2026-07-28", "trace_id": m.TRACE, "result": "ok"}),
        ("mcp asks for more", {"result": "input_required"}),
        ("mcp headers alone", {"told_by": "headers", "kind": "request", "method": "resources/read", "name": "file:///ä"}),
        ("mcp of 2024", CALLED),
        ("mcp stream of 2024", {"kind": "stream", "notifications": 0, "progress": 0, "requests": 0}),
    ],
)
def test_what_it_was_is_told(name: str, expected: dict[str, Any]) -> None:
    found = mcp(m.CALLS[name])
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("name", ["mcp initialize", "mcp call", "mcp end", "mcp stream"])
def test_a_session_is_the_same_at_each_of_its_calls_and_its_id_is_not_told(name: str) -> None:
    session = mcp(m.CALLS[name])["session"]
    assert session == mcp(m.CALLS["mcp call in a stream"])["session"]
    assert session.startswith("sha256:")
    assert "1868a90c" not in repr(decode(m.CALLS[name]))


@pytest.mark.parametrize(
    "order", [["jsonrpc", "id", "method", "params"], ["method", "params", "jsonrpc", "id"], ["params", "jsonrpc", "method", "id"]]
)
def test_a_call_is_known_in_whatever_order_its_members_stand(order: list[str]) -> None:
    long = m.call(arguments={"text": "x" * 50_000})
    ordered = {name: long[name] for name in order}
    for asked in (ordered, [ordered, ordered]):
        assert told(m.posted(asked, path="/api"))["protocol"] == "mcp"


def test_a_session_that_the_proxy_hid_is_told_as_far_as_it_tells_it() -> None:
    hashed = f"hmac-sha256:{'0a' * 16}"
    assert mcp(m.posted(m.call(), request_headers=[("mcp-session-id", hashed)]))["session"] == hashed
    assert "session" not in mcp(m.posted(m.call(), request_headers=[("mcp-session-id", "[redacted]")]))


def test_each_message_of_a_batch_has_its_own_result() -> None:
    assert mcp(m.CALLS["mcp batch"])["batch"] == [
        {"kind": "request", "method": "tools/call", "id": 3, "name": "weather", "result": "ok"},
        {"kind": "request", "method": "resources/read", "id": 4, "name": "file:///a", "result": "error"},
        {"kind": "notification", "method": "notifications/cancelled", "cancels": 2},
    ]
    answer = t.sse([[m.result({}), m.failure(-1, "no", 4)]], done=False)
    streamed = structs.replace(m.CALLS["mcp batch"], response_body=answer, response_headers=t.SSE)
    assert mcp(streamed)["batch"] == mcp(m.CALLS["mcp batch"])["batch"]


def test_of_a_batch_no_more_is_told_than_its_bound() -> None:
    decoded = decode(m.posted([m.call()] * (BATCH + 9)))
    assert len(decoded.inference["mcp"]["batch"]) == BATCH
    assert decoded.problems == [f"request body: more than {BATCH} messages in a batch: the rest is not read"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (m.failure(-32602, "Unknown tool"), {"code": -32602, "message": "Unknown tool"}),
        (m.failure(-32700, "Parse error", None), {"code": -32700, "message": "Parse error"}),
        (m.result(m.BAD_TOOL), {"type": "tool_error", "message": "no such city"}),
        (m.result({"isError": True, "content": 7}), {"type": "tool_error"}),
    ],
)
def test_errors_that_hide_in_status_200_are_told(answer: Any, error: dict[str, Any]) -> None:
    for captured in (m.posted(m.call(), answer), m.streamed(m.call(), m.PROGRESS, answer)):
        inference = told(captured)
        assert inference["error"] == error
        assert inference["mcp"]["result"] == ("tool_error" if "type" in error else "error")


def test_an_error_of_http_is_told_too() -> None:
    assert told(m.posted(m.call(), b"upstream connect error", status=503))["error"] == {"message": "upstream connect error"}
    refused = m.posted(m.notification("notifications/initialized"), m.failure(-32600, "Bad Request", None), status=400)
    assert told(refused)["error"] == {"message": "Bad Request", "code": -32600}


def test_an_answer_to_another_request_is_not_this_ones() -> None:
    assert "result" not in mcp(m.streamed(m.call(), m.result({}, 4)))
    assert "result" not in mcp(m.streamed(m.call(), m.result({}, "3")))
    assert mcp(m.streamed(m.call(), m.result({}, 4), m.failure(-1, "no")))["result"] == "error"


def test_whether_a_tool_failed_is_not_known_of_an_answer_that_was_cut() -> None:
    answer = t.dumps(m.result({"content": [{"type": "text", "text": "x" * 100}], "isError": True}))
    for end, result in ((len(answer) - 60, None), (len(answer), "tool_error")):
        assert mcp(m.posted(m.call(), answer[:end], response_whole=False)).get("result") == result
    stream = m.CALLS["mcp call in a stream"]
    cut = mcp(structs.replace(stream, response_body=stream.response_body[:-10], response_whole=False))
    assert (cut.get("result"), cut["progress"]) == (None, 2)


@pytest.mark.parametrize(
    ("method", "asked", "headers"),
    [
        ("POST", m.request("eth_call"), []),
        ("POST", m.request("ping"), []),
        ("POST", m.request("initialize", {"processId": 7}), []),
        ("POST", m.result({}), []),
        ("POST", {"jsonrpc": "1.0", "method": "tools/call"}, []),
        ("POST", {"method": "tools/call", "params": {"name": "f"}}, []),
        ("POST", {"jsonrpc": "2.0", "method": 7}, []),
        ("POST", [], []),
        ("POST", [[m.call()]], []),
        ("POST", {"items": [1]}, [("mcp-method", "tools/call")]),
        ("POST", b"grant_type=authorization_code", [("mcp-protocol-version", "2025-06-18")]),
        ("POST", None, [("mcp-protocol-version", "2025-06-18"), ("content-type", "application/x-www-form-urlencoded")]),
        ("GET", None, [("mcp-protocol-version", "2025-06-18"), ("accept", "*/*")]),
        ("GET", None, [("accept", "text/event-stream")]),
        ("DELETE", None, []),
        ("OPTIONS", None, [("mcp-session-id", "1")]),
        ("PUT", m.call(), []),
    ],
)  # fmt: skip
def test_other_calls_are_none(method: str, asked: Any, headers: list[tuple[str, str]]) -> None:
    assert told(t.exchange("/api", asked, b"", method=method, request_headers=headers)) == UNKNOWN


@pytest.mark.parametrize(
    "first", [b"data: {}", b"data: hi", b"event: endpoint\ndata: x", b"data: " + t.dumps(m.notification("room/joined"))]
)
def test_a_stream_of_another_service_is_none(first: bytes) -> None:
    assert told(t.get("/events", first + b"\n\n", response_headers=t.SSE)) == UNKNOWN


@pytest.mark.parametrize("asked", [m.request("ping"), m.result({}), m.request("x/y"), m.notification("x")])
def test_what_others_say_too_is_mcps_where_headers_or_the_path_say_so(asked: Any) -> None:
    for captured in (m.posted(asked), m.posted(asked, path="/api", request_headers=m.SESSION)):
        assert mcp(captured)["told_by"] == "body"
    assert told(m.posted(asked, path="/api")) == UNKNOWN


def test_a_method_that_is_not_known_is_no_operation() -> None:
    assert "operation" not in told(m.posted(m.request("x/y")))
    assert "operation" not in told(m.posted(None, request_headers=m.modern("x/y")))
    assert mcp(m.posted(None, request_headers=m.modern("x/y")))["method"] == "x/y"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_no_caller_makes_a_model_call_free_by_speaking_like_mcp(path: str) -> None:
    asked = {"model": "m", "messages": [], "max_tokens": 5, "prompt": "x", "input": "x"}
    usage = {"prompt_tokens": 3, "input_tokens": 3, "completion_tokens": 2, "output_tokens": 2}
    answer = {"type": "message", "choices": [], "data": [], "stop_reason": "x", "usage": usage}
    disguised = asked | m.call()
    plain = decode(t.exchange(path, asked, answer))
    for captured in (
        t.exchange(path, disguised, answer),
        t.exchange(path, asked, answer, request_headers=m.modern("tools/call", "f")),
        t.exchange(path, disguised, answer, request_headers=m.SESSION),
    ):
        decoded = decode(captured)
        assert (decoded.usage, decoded.inference["protocol"]) == (plain.usage, plain.inference["protocol"])
        assert decoded.usage


HEADERS = [m.modern("tools/call", "f"), m.SESSION, [("mcp-method", "x")]]
CUT = b'{"padding":"' + b"x" * 999


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("path", ["/", "/invocations", "/custom"])
def test_headers_that_any_caller_can_write_take_no_reason_from_a_call(path: str, headers: list[tuple[str, str]]) -> None:
    """Its body was cut, longer than what is read, or not captured."""
    for asked, limits in ((CUT, Limits()), (t.dumps({"padding": "x" * 999}), Limits(json_bytes=100)), (b"", Limits())):
        captured = m.posted(asked, {"answer": 1}, path, request_headers=headers, request_whole=asked.endswith(b"}"))
        decoded = decode(captured, limits)
        if asked or ("mcp-method", "x") in headers:
            assert decoded.inference["protocol"] == "mcp"
        assert decoded.untold == ("unknown_protocol" if path == "/custom" else "capture_limit")


@pytest.mark.parametrize("headers", HEADERS)
def test_headers_need_no_reason_where_the_path_or_the_answer_bears_them_out(headers: list[tuple[str, str]]) -> None:
    session = [*t.JSON, ("mcp-session-id", "s")]
    for captured in (
        m.posted(CUT, {"answer": 1}, request_headers=headers, request_whole=False),
        m.posted(CUT, {"answer": 1}, "/api", request_headers=headers, request_whole=False, response_headers=session),
        m.posted(CUT, m.result({}), "/api", request_headers=headers, request_whole=False),
        m.streamed(CUT, m.PROGRESS, m.result({}), path="/api", request_headers=headers, request_whole=False),
    ):
        decoded = decode(captured)
        assert (decoded.inference["protocol"], decoded.untold) == ("mcp", None)


@pytest.mark.parametrize("headers", HEADERS)
def test_a_websocket_is_none_of_its_streams(headers: list[tuple[str, str]]) -> None:
    upgrade = [*headers, ("upgrade", "websocket"), ("accept", "text/event-stream")]
    for path in ("/v1/realtime", "/mcp", "/v1/responses"):
        decoded = decode(t.get(path, request_headers=upgrade, status=101))
        assert decoded.inference["protocol"] != "mcp"
        assert decoded.untold == ("unknown_protocol" if path == "/mcp" else None)  # nothing was asked of the others


@pytest.mark.parametrize(
    ("asked", "headers", "inference"),
    [
        (m.request("message/send"), [], {"protocol": "a2a", "operation": "message/send"}),
        (m.request("SendStreamingMessage"), [], {"protocol": "a2a", "operation": "SendStreamingMessage"}),
        (m.request("tasks/get", {"id": "t-1"}), [], {"protocol": "a2a", "operation": "tasks/get"}),
        (m.request("x"), [("a2a-version", "1.0")], {"protocol": "a2a"}),
        (m.request("tasks/get", {}), [], UNKNOWN),
    ],
)
def test_a2a_is_not_mcp(asked: Any, headers: list[tuple[str, str]], inference: dict[str, Any]) -> None:
    found = told(t.exchange("/agent", asked, m.result({}), request_headers=headers))
    assert found.pop("a2a", {"binding": "jsonrpc"})["binding"] == "jsonrpc"
    assert found == inference
    if asked["method"] in ("message/send", "SendStreamingMessage"):
        assert told(t.exchange("/mcp", asked, m.result({}), request_headers=m.SESSION)) == inference | {"a2a": {"binding": "jsonrpc"}}


def test_mcps_tasks_are_known_by_their_member() -> None:
    assert told(t.exchange("/agent", m.request("tasks/get", {"taskId": "t-1"})))["operation"] == "tasks/get"


def test_headers_that_tell_something_else_than_the_body_are_a_problem_and_the_body_holds() -> None:
    for headers in (m.modern("tools/list"), m.modern("tools/call", "delete_all")):
        decoded = decode(m.posted(m.call(), request_headers=headers))
        assert [problem.startswith("the header mcp-") for problem in decoded.problems] == [True]
        assert (decoded.inference["mcp"]["method"], decoded.inference["mcp"]["name"]) == ("tools/call", "weather")
    for mark in ("[redacted]", "[redacted:0123456789abcdef]", f"hmac-sha256:{'a' * 32}"):
        assert mcp(m.posted(m.call(), request_headers=m.modern(mark, mark)))["name"] == "weather"
        assert "name" not in mcp(m.posted(None, request_headers=m.modern(mark, mark)))


URI, BARE = "https://h/x?api_key=s3cr3t&v=1", "https://h/x?api_key=[redacted]&v=1"


@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "resources/unsubscribe"])
def test_a_resources_uri_is_told_without_the_secrets_of_its_query(method: str) -> None:
    asked = m.request(method, {"uri": URI})
    assert mcp(m.posted(asked))["name"] == BARE
    assert [one["name"] for one in mcp(m.posted([asked, m.call()], [m.result({})]))["batch"]] == [BARE, "weather"]
    for header in (URI, BARE, f"=?base64?{b64encode(URI.encode()).decode()}?="):
        assert mcp(m.posted(None, request_headers=m.modern(method, header)))["name"] == BARE
        assert mcp(m.posted(asked, request_headers=m.modern(method, header)))["name"] == BARE


def test_a_header_in_which_the_filter_hid_another_parameter_tells_nothing_else_than_the_body() -> None:
    asked = m.request("resources/read", {"uri": "https://h/x?note=s3cr3t"})
    headers = m.modern("resources/read", "https://h/x?note=[redacted]")
    assert mcp(m.posted(asked, request_headers=headers))["told_by"] == "body"


def test_a_tools_name_is_no_uri() -> None:
    assert mcp(m.posted(m.call("ask?key=s3cr3t"), request_headers=m.modern("tools/call", "ask?key=s3cr3t")))["name"] == "ask?key=s3cr3t"


@pytest.mark.parametrize("encoded", ["=?base64?!?=", "=?base64?/w==?=", "=?base64?abc?=", "", "=?base64??="])
def test_a_name_that_cannot_be_read_is_absent(encoded: str) -> None:
    assert "name" not in mcp(m.posted(None, request_headers=[*m.modern("tools/call"), ("mcp-name", encoded)]))


def test_a_request_that_was_cut_is_told_by_its_headers() -> None:
    cut = t.dumps({"method": "tools/call", "params": {"arguments": {"a": "x" * 99}}})[:60]
    found = mcp(m.posted(cut, request_whole=False, request_headers=m.modern("tools/call", "weather")))
    assert (found["told_by"], found["method"], found["name"]) == ("headers", "tools/call", "weather")
    assert told(t.exchange("/api", cut, request_whole=False)) == UNKNOWN


def test_what_callers_write_is_bounded() -> None:
    long = "x" * 5000
    asked = m.request("tools/call", {"name": long, "_meta": {"traceparent": long}}, long)
    found = mcp(m.posted(asked, m.failure(-1, long), request_headers=[("mcp-protocol-version", long), ("mcp-session-id", long)]))
    assert set(found) == {"told_by", "kind", "method", "session"}
    for identity in (True, 1.5, [], 1 << 70):
        assert "id" not in decode(m.posted(m.call() | {"id": identity})).inference["mcp"]


def test_of_a_stream_with_more_events_than_are_read_nothing_is_counted() -> None:
    decoded = decode(m.streamed(m.call(), *[m.PROGRESS] * 90, m.result({})), Limits(events=8))
    assert decoded.inference["mcp"].get("progress") is None
    assert decoded.inference["mcp"]["result"] == "ok"
    assert decoded.problems == ["more than 8 events: those between the first and the last are not read"]
