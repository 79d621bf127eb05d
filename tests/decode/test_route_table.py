"""The table of routes is true: of every row one call, its method alone, what generates, and the page that shows it."""

import re

import pytest

from collector.decode import decode
from collector.decode.decoder import _HANDLERS
from collector.decode.route_table import TABLE, WEBSOCKET, Row
from collector.decode.routes import NOWHERE, find, method_of
from collector.describe.hops import FREE
from tests.decode import transcripts as t
from tests.support.route_page import PAGE, table, written

METHODS = {"GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PRI", WEBSOCKET}
NAMES = {"{model}": "a/b", "{name}": "a/b", "{version}": "3", "{id}": "x-1"}


def path(row: Row) -> str:
    shape = re.sub(r"\{\w+\}", lambda match: NAMES[match[0]], row.shape)
    return shape[1:] if shape.startswith("^") else f"/ns/prefix{shape}"


def named(row: Row) -> str:
    return f"{row.method} {row.shape}"


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_a_row_is_found_by_its_path(row):
    route = find(row.method, path(row))
    assert (route.protocol, route.operation, route.handler) == (row.protocol, row.operation, row.handler)
    assert (route.generates, route.bodies) == (row.generates, row.bodies)
    assert route.model == ("a/b" if "{model}" in row.shape or "{name}" in row.shape else None)
    assert route.version == ("3" if "{version}" in row.shape else None)


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_percent_encoding_doubled_slashes_and_queries_change_nothing(row):
    if not row.shape.startswith("^/inference."):
        odd = path(row).replace("/", "//").replace(":", "%3A") + "/?api-version=1"
        assert find(row.method, odd) == find(row.method, path(row))


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_of_a_path_only_the_methods_in_the_table_are_calls(row):
    known = {other.method for other in TABLE if path(row).endswith(path(other).removeprefix("/ns/prefix"))}
    for method in METHODS - known:
        assert find(method, path(row)) is NOWHERE


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_only_what_generates_is_billed_and_has_usage(row):
    if row.operation:
        assert row.generates == (row.operation not in FREE)


@pytest.mark.parametrize("row", [row for row in TABLE if row.generates], ids=named)
def test_no_other_method_than_post_generates(row):
    for method in ("OPTIONS", "GET", "HEAD", "PUT"):
        decoded = decode(t.exchange(path(row), {"model": "m", "input": "x"}, {"detail": "Method Not Allowed"}, method=method, status=405))
        assert decoded.usage == {}
        assert decoded.inference.get("operation") in (None, "list", "retrieve")


def test_every_handler_is_there():
    assert {row.handler for row in TABLE} - {None} == set(_HANDLERS)


def test_no_row_is_there_twice():
    assert len({(row.method, row.shape) for row in TABLE}) == len(TABLE)


def test_the_page_shows_the_table():
    assert written(PAGE.read_text()) == PAGE.read_text(), "run python -m tests.support.route_page"
    assert table().count("\n") > 50


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {}, "GET"),
        ("HEAD", {}, "GET"),
        ("GET", {"upgrade": "WebSocket"}, WEBSOCKET),
        ("GET", {"upgrade": "h2c"}, "GET"),
        ("POST", {"upgrade": "websocket"}, "POST"),
        ("CONNECT", {":protocol": "websocket"}, WEBSOCKET),
        ("CONNECT", {}, "CONNECT"),
    ],
)
def test_an_upgrade_is_a_method_of_its_own(method, headers, expected):
    assert method_of(method, headers) == expected


def test_responses_over_a_websocket_list_nothing():
    upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")]
    decoded = decode(t.get("/v1/responses", status=101, request_headers=upgrade))
    found = decoded.inference
    assert (found["protocol"], found["operation"], found["answer_count"]) == ("openai-responses", "response", 0)
    assert (decoded.usage, decoded.problems) == ({}, [])
    assert decode(t.get("/v1/models", request_headers=upgrade)).inference == {"protocol": "unknown"}


@pytest.mark.parametrize("operation", ["chat/completions", "completions", "embeddings", "responses"])
def test_a_deployment_in_the_path_is_the_model_asked(operation):
    given = {"messages": [], "prompt": "x", "input": "x"}
    for asked in (given, given | {"model": "other"}, None):
        inference = decode(t.exchange(f"/openai/deployments/gpt%2D4o/{operation}?api-version=1", asked, {})).inference
        assert (inference["protocol"], inference["model_requested"]) == (find("POST", f"/v1/{operation}").protocol, "gpt-4o")


def test_a_deployment_stands_right_before_the_operation():
    for path, model in (
        ("/openai/deployments/prod/extensions/chat/completions", "prod"),
        ("/deployments/prod/v1/chat/completions", "llama"),
        ("/deployments/prod/openai/deployments/gpt/chat/completions", "gpt"),
    ):
        assert decode(t.exchange(path, {"model": "llama", "messages": []}, {})).inference["model_requested"] == model


def test_a_chat_batch_is_a_chat():
    choices = [{"index": i, "message": {"content": text}, "finish_reason": "stop"} for i, text in enumerate(("a", "b"))]
    decoded = decode(
        t.exchange("/v1/chat/completions/batch", {"model": "m", "messages": [[], []]}, {"choices": choices, "usage": t.tokens(4, 2)})
    )
    assert decoded.inference["operation"] == "chat"
    assert [choice["text"] for choice in decoded.inference["choices"]] == ["a", "b"]
    assert decoded.usage["total_tokens"] == {"value": 6, "provenance": "reported"}


def test_a_long_path_of_repetitions_is_looked_through_once():
    assert find("POST", "/v2/models/" * 6000 + "infer").operation == "infer"
    assert find("POST", "/v1/models/" * 6000 + "x").protocol == "unknown"
    assert find("GET", "/v1/models/a/versions/" * 6000 + ":").protocol == "unknown"
