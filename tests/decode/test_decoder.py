"""The decoder as a whole: a fault in a protocol module loses nothing else and tells nothing of a body."""

import gzip

import pytest

from collector.decode import Limits, decode, openai_chat
from tests.decode import transcripts as t
from tests.decode.corpus import CONVERSE_ASKED, CONVERSE_PATH


def test_a_fault_in_a_protocol_module_is_a_problem_not_an_exception(monkeypatch):
    def faulty(reading):
        reading.inference["model_requested"] = "llama"
        raise KeyError("a secret of the body")

    monkeypatch.setattr(openai_chat, "read_request", faulty)
    decoded = decode(t.by_event(t.streamed(t.words("a"))))
    assert decoded.inference["model_requested"] == "llama"
    assert decoded.timing["chunks"] == 2
    assert decoded.problems == ["the decoder failed: KeyError in chat"]


def test_problems_tell_nothing_of_a_body():
    secret = b'{"password": hunter2}'
    captured = t.exchange(t.CHAT, secret, t.sse([secret.decode()]), response_headers=t.SSE)
    assert decode(captured).problems
    assert "hunter2" not in str(decode(captured).problems)


def test_both_bodies_are_unpacked():
    captured = t.exchange(
        t.CHAT,
        gzip.compress(t.dumps({"model": "llama"})),
        gzip.compress(t.dumps({"model": "base"})),
        request_headers=[("content-encoding", "gzip")],
        response_headers=[("content-encoding", "x-gzip")],
    )
    inference = decode(captured).inference
    assert (inference["model_requested"], inference["model_answered"]) == ("llama", "base")


def test_content_encodings_over_several_header_lines_are_stacked():
    body = gzip.compress(gzip.compress(t.dumps({"model": "base"})))
    captured = t.exchange(t.CHAT, {}, body, response_headers=[("content-encoding", "gzip"), ("content-encoding", "gzip")])
    assert decode(captured).inference["model_answered"] == "base"


def test_damaged_encodings_are_told_by_side():
    captured = t.exchange(
        t.CHAT,
        b"\xffnot gzip",
        b"\xffnot br",
        request_headers=[("content-encoding", "gzip")],
        response_headers=[("content-encoding", "br")],
    )
    problems = decode(captured).problems
    assert problems[0].startswith("request body: the encoded bytes are damaged")
    assert problems[1].startswith("response body: the encoded bytes are damaged")


def test_an_empty_body_with_a_content_encoding_is_no_problem():
    captured = t.exchange(t.CHAT, {}, b"", status=304, response_headers=[("content-encoding", "gzip")])
    assert decode(captured).problems == []


def test_json_over_the_limit_is_told():
    decoded = decode(t.exchange(t.CHAT, {"model": "m" * 99}, {}), Limits(json_bytes=50))
    assert decoded.problems == ["request body: JSON of 111 bytes is over the limit of 50"]


def test_problems_are_bounded():
    bodies = [t.grpc(bytes((0x2A, length))) for length in range(1, 100)]
    captured = t.exchange("/inference.GRPCInferenceService/ModelInfer", b"".join(bodies), b"")
    assert len(decode(captured).problems) == Limits().problems


def test_names_over_the_limit_are_left_out():
    inference = decode(t.exchange(t.CHAT, {"model": "m" * 2000}, {"model": 7})).inference
    assert "model_requested" not in inference
    assert "model_answered" not in inference


_TOOL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
_ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
_MANY = 1100
LONG = {
    "converse": t.exchange(CONVERSE_PATH, CONVERSE_ASKED, {"output": {"message": {"content": [{"text": "a"}] * _MANY}}}),
    "converse stream": t.exchange(
        CONVERSE_PATH + "-stream", CONVERSE_ASKED,
        t.messages(*(("contentBlockStart", {"contentBlockIndex": n, "start": {"toolUse": {"name": "f"}}}) for n in range(_MANY))),
        response_headers=t.AWS,
    ),
    "messages": t.exchange("/v1/messages", _ASKED, {"type": "message", "stop_reason": "end_turn", "content": [_TOOL] * _MANY}),
    "messages stream": t.streamed(
        [{"type": "content_block_start", "index": n, "content_block": _TOOL} for n in range(_MANY)], "/v1/messages",
        _ASKED, done=False,
    ),
    "responses": t.exchange("/v1/responses", {"model": "m", "input": "a"}, {"object": "response", "output": [_CALL] * _MANY}),
    "responses stream": t.streamed(
        [{"type": "response.output_item.added", "output_index": n, "item": _CALL} for n in range(_MANY)], "/v1/responses",
        {"model": "m", "input": "a"}, done=False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_content_that_is_left_out_is_said(name):
    what = "tool calls" if name.endswith("stream") else "content blocks"
    assert decode(LONG[name]).problems == [f"more than 1024 {what}: the rest is not read"]


def test_a_text_behind_more_tool_calls_than_are_kept_is_read():
    tools = [{"type": "content_block_start", "index": n, "content_block": _TOOL} for n in range(_MANY)]
    said = [
        {"type": "content_block_start", "index": _MANY, "content_block": {"type": "text", "text": "He"}},
        {"type": "content_block_delta", "index": _MANY, "delta": {"type": "text_delta", "text": "llo"}},
    ]
    decoded = decode(t.streamed([*tools, *said], "/v1/messages", _ASKED, done=False))
    assert decoded.inference["choices"][0]["text"] == "Hello"


def test_a_problem_is_said_once():
    calls = [{"tool_calls": [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": "{}"}}]} for n in range(1100)]
    decoded = decode(t.streamed([*map(t.delta, calls), t.delta({}, finish="stop", usage={"prompt_tokens": "12"})]))
    assert [problem.partition(":")[0] for problem in decoded.problems] == ["more than 1024 tool calls", "response body"]
