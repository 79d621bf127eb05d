"""What must hold for MCP's calls whatever is sent: no fault, the same however it is cut into chunks, and everything bounded."""

from __future__ import annotations

import os
import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import DEFAULT, Decoded, decode
from collector.decode.mcp import BATCH
from tests.decode import mcp_calls as m
from tests.decode import transcripts as t
from tests.decode.test_properties import SMALL, check, holed, mutated

FUZZ_BYTES = int(os.environ.get("MESHSCRIBE_FUZZ_BYTES", "3000000"))
NAMES = sorted(m.CALLS)
KEYS = (
    "jsonrpc", "id", "method", "params", "result", "error", "name", "uri", "arguments", "_meta", "traceparent", "requestId", "taskId",
    "code", "message", "isError", "resultType", "content", "text", "protocolVersion", "io.modelcontextprotocol/protocolVersion",
)  # fmt: skip
TEXTS = (
    "2.0", "tools/call", "initialize", "ping", "notifications/cancelled", "notifications/progress", "prompts/get", "resources/read",
    "message/send", "tasks/get", "input_required", m.META["traceparent"], "2026-07-28", "[redacted]", "",
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TEXTS) | st.text(max_size=8)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6), max_leaves=20
)
messages = st.fixed_dictionaries({"jsonrpc": st.just("2.0")}, optional=dict.fromkeys(KEYS[1:6], anything))
bodies = messages | st.lists(messages | anything, max_size=5) | anything
headers = st.lists(
    st.tuples(
        st.sampled_from(["mcp-method", "mcp-name", "mcp-session-id", "mcp-protocol-version", "mcp-param-x", "accept", "a2a-version"]),
        st.sampled_from([*TEXTS, "text/event-stream", "=?base64?w6Q=?="]) | st.text(max_size=20),
    ),
    max_size=5,
)


def held(value: Any) -> int:
    """How many characters of texts are in it."""
    if isinstance(value, dict):
        return sum(map(held, value.values()))
    return sum(map(held, value)) if isinstance(value, list) else len(str(value))


def check_mcp(decoded: Decoded) -> None:
    check(decoded)
    inference = decoded.inference
    assert ("mcp" in inference) is (inference["protocol"] == "mcp")
    if inference["protocol"] not in ("mcp", "a2a"):
        return
    assert (decoded.usage, "choices" in inference, "streamed" in inference) == ({}, False, False)
    if inference["protocol"] == "mcp":
        assert held(inference["mcp"]) <= (BATCH + 1) * 3 * DEFAULT.name_chars
        assert len(inference["mcp"].get("batch", [])) <= BATCH
        assert all(inference["mcp"].get(name, 0) >= 0 for name in ("notifications", "progress", "requests"))


@given(bodies, st.lists(bodies, max_size=5), headers, st.sampled_from(["POST", "GET", "DELETE", "PUT"]), st.booleans(), st.booleans())
def test_json_of_any_shape_is_never_a_fault(asked: Any, answers: list[Any], told: Any, method: str, streamed: bool, whole: bool) -> None:
    body = t.sse(answers) if streamed else t.dumps(answers[0]) if answers else b""
    kind = t.SSE if streamed else t.JSON
    for path in ("/mcp", "/x", "/v1/messages"):
        captured = t.exchange(path, t.dumps(asked), body, method=method, request_headers=told, response_headers=kind, response_whole=whole)
        check_mcp(decode(captured))
        check_mcp(decode(captured, SMALL))


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_a_cut_anywhere_and_any_chunks_tell_nothing_that_the_whole_does_not(
    name: str, asked: float, answered: float, lengths: list[int]
) -> None:
    captured = m.CALLS[name]
    cut = structs.replace(
        captured,
        request_body=captured.request_body[: int(len(captured.request_body) * asked)],
        request_whole=asked == 1,
        response_body=captured.response_body[: int(len(captured.response_body) * answered)],
        response_whole=answered == 1,
    )
    decoded = decode(cut)
    check_mcp(decoded)
    split = decode(t.chunked(cut, lengths))
    assert (split.inference, split.problems) == (decoded.inference, decoded.problems)
    whole = decode(captured).inference
    if decoded.inference["protocol"] == whole["protocol"] == "mcp":
        found = decoded.inference["mcp"]
        assert found.get("result") in (None, whole["mcp"].get("result"))
        assert found.get("progress", 0) <= whole["mcp"].get("progress", 0)
        assert found.get("name") in (None, whole["mcp"].get("name"))


@given(st.sampled_from(NAMES), st.sampled_from(["gzip", "none"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_encodings_and_line_ends_change_nothing(name: str, coding: str, newline: str) -> None:
    captured = m.CALLS[name]
    if captured.response_headers == t.SSE:
        captured = structs.replace(captured, response_body=captured.response_body.replace(b"\n", newline.encode()))
    packed = t.encoded(captured, "gzip", t.gzipped) if coding == "gzip" and captured.response_body else captured
    assert decode(packed).inference == decode(m.CALLS[name]).inference


@pytest.mark.slow
@pytest.mark.timeout(max(300, FUZZ_BYTES // 20_000))
def test_any_mutation_is_never_a_fault() -> None:
    chance = random.Random(FUZZ_BYTES)
    done = 0
    while done < FUZZ_BYTES:
        captured = m.CALLS[chance.choice(NAMES)]
        lies = structs.replace(
            captured,
            path=chance.choice((captured.path, "/mcp", "/v1/messages", "/")),
            request_body=mutated(captured.request_body, chance),
            response_body=mutated(captured.response_body * chance.choice((1, 1, 20)), chance),
            request_whole=chance.random() < 0.5,
            response_whole=chance.random() < 0.5,
        )
        if chance.random() < 0.3:
            lies = holed(lies, chance)
        check_mcp(decode(t.chunked(lies, [chance.randrange(1, 200)]), chance.choice((DEFAULT, SMALL))))
        done += len(lies.request_body) + len(lies.response_body) + 1


@pytest.mark.parametrize(
    "answer",
    [
        b"data: [" + b"{}," * 300_000 + b"{}]\n\n",
        b'data: {"jsonrpc":"2.0","id":3}\n\n' * 100_000,
        b"data: " + b"[" * 2_000_000 + b"\n\n",
        b'{"jsonrpc":"2.0","id":3,"result":{"content":[' + b"{}," * 300_000 + b"{}]}}",
    ],
    ids=["a long batch", "many answers", "nested", "a long result"],
)
def test_hostile_answers_stay_within_their_bound(answer: bytes) -> None:
    decoded = decode(m.posted(m.call(), answer, response_headers=t.SSE if answer.startswith(b"data") else t.JSON))
    check_mcp(decoded)
    assert len(orjson.dumps(decoded.inference)) < 10_000
