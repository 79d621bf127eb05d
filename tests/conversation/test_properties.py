"""What must hold for any bytes and any record: an answer that JSON can hold, bounded, and no exception."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from collector.conversation import room, timeline
from collector.conversation.stored import Side
from collector.conversation.telling import conversation, without_texts
from collector.messages.chunk_times import MOST, UNIT_US, pack, unpack
from collector.messages.plain import plain
from tests.conversation.kept import record_of, said
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS
from tests.decode.test_recordings import RECORDINGS, captured

PROTOCOLS = (
    "openai-chat", "openai-completions", "openai-responses", "openai-embeddings", "openai-rerank", "openai-audio", "openai-images",
    "anthropic-messages", "tgi", "ollama", "gemini", "bedrock", "kserve-v1", "kserve-v2", "kserve-v2-grpc", "mcp", "a2a", "unknown",
    None, 7,
)  # fmt: skip
MEMBERS = (
    "messages", "content", "role", "parts", "contents", "input", "inputs", "prompt", "text", "type", "tool_calls", "function", "arguments",
    "tool_use", "toolUse", "toolResult", "functionCall", "functionResponse", "image_url", "source", "data", "system", "systemInstruction",
    "tools", "jsonrpc", "id", "method", "params", "choices", "delta", "outputs", "shape", "datatype", "image", "images", "instances",
    "reasoningContent", "requests", "documents", "query", "output", "thinking", "tool_result", "function_call_output", "input_audio",
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=6) | st.sampled_from(MEMBERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=5),
    max_leaves=20,
)


def told_of(record: dict[str, Any], request: bytes, response: bytes) -> bytes:
    told = conversation(record, Side("request", request), Side("response", response))
    drawn = timeline.timeline(record, Side("response", response), None)
    assert "problems" not in told or not any(problem.startswith("not all could be read") for problem in told["problems"]), told["problems"]
    return orjson.dumps(plain([told, without_texts(told), drawn], []))


@given(st.sampled_from(PROTOCOLS), st.sampled_from(["infer", "chat", "", 3]), values, values, values)
def test_any_json_and_any_record_is_told(protocol: object, operation: object, asked: Any, answer: Any, inference: Any) -> None:
    record = {"inference": {**(inference if isinstance(inference, dict) else {}), "protocol": protocol, "operation": operation}}
    told_of(record, json.dumps(asked).encode(), json.dumps(answer).encode())


@given(values, st.dictionaries(st.sampled_from(("request", "response", "inference", "timing", "policy", "completeness", "usage")), values))
def test_a_record_of_any_shape_is_told(request: Any, record: dict[str, Any]) -> None:
    told_of(record, json.dumps(request).encode(), b"")


def test_any_damage_to_bodies_is_told() -> None:
    shuffled = random.Random(7)
    for name, whole in [*CORPUS.items(), *((name, captured(one)) for name, one in RECORDINGS.items())]:
        record = record_of(whole)
        for _ in range(4):
            request, response = bytearray(whole.request_body), bytearray(whole.response_body)
            for body in (request, response):
                for _ in range(3):
                    if body:
                        body[shuffled.randrange(len(body))] = shuffled.randrange(256)
            assert told_of(record, bytes(request), bytes(response[: shuffled.randrange(len(response) + 1)])), name


def test_a_prompt_of_a_million_parts_and_a_text_of_megabytes_are_cut_and_said() -> None:
    many = said(t.exchange(asked={"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 60_000}] * 2}))
    assert sum(len(message["parts"]) for message in many["messages"]) <= room.PARTS
    assert any("more parts than" in problem for problem in many["problems"])
    long = said(t.exchange(asked={"messages": [{"role": "user", "content": "a" * (3 << 20)}]}))
    (part,) = long["messages"][0]["parts"]
    assert (len(part["text"]), part["cut"]) == (room.ONE, True)
    deep = said(t.exchange(asked=b'{"messages":[{"role":"user","content":' + b"[" * 900 + b"]" * 900 + b"}]}"))
    assert len(orjson.dumps(deep)) < 1 << 16


chunks = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5000), st.integers(0, 10_000_000)), min_size=1, max_size=60)


@given(chunks)
def test_times_of_chunks_come_back_as_they_were_to_the_unit(found: list[tuple[int, int, int]]) -> None:
    placed, end = [], 0
    for jump, length, at in found:
        placed.append((end + jump, length, at))
        end += jump + length
    assert unpack(pack(placed)) == [(offset, length, at // UNIT_US * UNIT_US) for offset, length, at in placed]
    assert unpack(pack(placed, with_lengths=False)) == [(None, None, at // UNIT_US * UNIT_US) for _, _, at in placed]


def test_lengths_that_no_body_has_cost_the_lengths_alone() -> None:
    assert unpack(pack([(0, 1, 100), (1 << 64, 1, 200), (1 << 65, 5, 300)])) == [(None, None, 100), (None, None, 200), (None, None, 300)]


def test_of_too_many_chunks_neighbours_are_told_as_one() -> None:
    placed = [(10 * number, 10, 1000 * number) for number in range(3 * MOST)]
    kept = unpack(pack(placed))
    assert len(kept) <= MOST
    assert kept[0] == (0, 30, 2000)
    assert kept[-1][0] is not None
    assert kept[-1][1] is not None
    assert kept[-1][0] + kept[-1][1] == 30 * MOST
    assert len(pack(placed)) < 64 << 10


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: __import__("base64").b64encode(data).decode()))
def test_times_that_are_damaged_are_never_more_than_a_value_error(text: str) -> None:
    try:
        unpack(text)
    except ValueError:
        pass


def test_tools_that_are_too_many_are_cut_and_said() -> None:
    told = said(t.exchange(asked={"messages": [], "tools": [{"name": str(n)} for n in range(5000)]}))
    assert len(told["tools"]) < 5000
    assert any("tools" in problem for problem in told["problems"])
