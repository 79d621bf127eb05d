"""However deep a body is nested, its usage is told; what cannot be written again is left out and named."""

from __future__ import annotations

from typing import Any

import pytest

from collector.decode import Decoded, decode
from collector.decode.route_table import CHAT, RESPONSES
from tests.decode import transcripts as t

MESSAGES = {"model": "m", "messages": [], "max_tokens": 5}
LEFT_OUT = "arguments of a tool call that are nested too deep to be written again are left out"


def nested(levels: int) -> bytes:
    """Arguments with arrays in each other."""
    return b'{"a":' + b"[" * levels + b"]" * levels + b"}"


def counts(tokens: dict[str, Any]) -> list[int]:
    return [tokens[name]["value"] for name in ("prompt_tokens", "completion_tokens")]


def answers() -> dict[str, tuple[str, Any, bytes]]:
    """Of each protocol that has tools: path, request, and an answer with DEEP as a tool's arguments."""
    call = b'{"id":"1","name":"t","input":DEEP,"arguments":DEEP,"args":DEEP}'
    message = b'{"type":"message","id":"a","content":[{"type":"tool_use",' + call[1:] + b"],"
    return {
        "messages": (
            "/v1/messages", MESSAGES, message + b'"stop_reason":"tool_use","usage":{"input_tokens":10,"output_tokens":600}}',
        ),
        "bedrock converse": (
            "/model/m/converse", {"messages": []},
            b'{"output":{"message":{"role":"assistant","content":[{"toolUse":' + call + b'}]}},'
            b'"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":600,"totalTokens":610}}',
        ),
        "bedrock invoke": (
            "/model/m/invoke", {"messages": []}, message + b'"usage":{"input_tokens":10,"output_tokens":600}}',
        ),
        "ollama": (
            "/api/chat", {"model": "m", "messages": [], "stream": False},
            b'{"model":"m","message":{"role":"assistant","tool_calls":[{"function":' + call
            + b'}]},"done":true,"done_reason":"stop","prompt_eval_count":10,"eval_count":600}',
        ),
        "gemini": (
            "/v1beta/models/g:generateContent", {"contents": []},
            b'{"candidates":[{"content":{"parts":[{"functionCall":' + call + b'}]}}],'
            b'"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":600,"totalTokenCount":610}}',
        ),
        CHAT: (
            t.CHAT, {"model": "m", "messages": []},
            b'{"choices":[{"index":0,"message":{"tool_calls":[{"id":"1","function":' + call + b'}]}}],'
            b'"usage":{"prompt_tokens":10,"completion_tokens":600}}',
        ),
        RESPONSES: (
            "/v1/responses", {"model": "m", "input": "x"},
            b'{"output":[{"type":"function_call",' + call[1:] + b'],"usage":{"input_tokens":10,"output_tokens":600}}',
        ),
    }  # fmt: skip


ANSWERS = answers()


@pytest.mark.parametrize("name", ANSWERS)
def test_arguments_too_deep_to_be_written_again_cost_no_usage(name: str) -> None:
    path, asked, answer = ANSWERS[name]
    decoded = decode(t.exchange(path, asked, answer.replace(b"DEEP", nested(300))))
    assert (counts(decoded.usage), decoded.untold) == ([10, 600], None)
    assert decoded.problems == [LEFT_OUT]
    [call] = decoded.inference["choices"][0]["tool_calls"]
    assert (call["name"], call["arguments"]) == ("t", "")


@pytest.mark.parametrize("name", ANSWERS)
def test_of_an_answer_too_deep_to_be_read_the_end_tells_usage(name: str) -> None:
    path, asked, answer = ANSWERS[name]
    decoded = decode(t.exchange(path, asked, answer.replace(b"DEEP", nested(1100))))
    assert (counts(decoded.usage), decoded.untold) == ([10, 600], None)
    assert [problem.startswith("response body: not JSON") for problem in decoded.problems] == [True]


def test_of_an_answer_too_deep_to_be_read_that_tells_no_usage_the_limit_is_the_reason() -> None:
    path, asked, answer = ANSWERS["ollama"]
    untold = answer.replace(b"DEEP", nested(1100)).replace(b"eval_count", b"x")
    assert decode(t.exchange(path, asked, untold)).untold == "capture_limit"


TOLD = b'{"promptTokenCount":10,"candidatesTokenCount":600}}'
ELEMENT = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"t","args":DEEP}}]}}],"usageMetadata":' + TOLD


def at_depth(frames: int, element: bytes) -> Decoded:
    """As decoded with so many calls on the stack."""
    return (
        at_depth(frames - 1, element) if frames else decode(t.exchange("/v1beta/models/g:streamGenerateContent", {}, b"[" + element + b"]"))
    )


@pytest.mark.parametrize("levels", [200, 850, 950, 1000, 1100])
def test_what_is_read_of_a_growing_array_does_not_depend_on_the_stack(levels: int) -> None:
    for element in (ELEMENT, ELEMENT.replace(b"DEEP", b'{"b":NaN,"c":DEEP}')):
        shallow, deep = (at_depth(frames, element.replace(b"DEEP", nested(levels))) for frames in (0, 200))
        assert (shallow.usage, shallow.problems, shallow.inference) == (deep.usage, deep.problems, deep.inference)
        assert counts(shallow.usage) == [10, 600]


@pytest.mark.parametrize("name", ANSWERS)
def test_arguments_as_deep_as_json_is_written_are_told(name: str) -> None:
    path, asked, answer = ANSWERS[name]
    decoded = decode(t.exchange(path, asked, answer.replace(b"DEEP", nested(200))))
    assert (counts(decoded.usage), decoded.problems) == ([10, 600], [])
    assert decoded.inference["choices"][0]["tool_calls"][0]["arguments"] == nested(200).decode()
