"""Bedrock: Converse and Invoke, streamed or not."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, Limits, Tail, decode
from tests.decode import transcripts as t
from tests.decode.corpus import CONVERSE, CONVERSE_ASKED, CONVERSE_PATH, CONVERSED, CORPUS, INVOKE_ASKED, INVOKED

USAGE = {
    "prompt_tokens": 18,
    "completion_tokens": 30,
    "total_tokens": 7558,
    "cached_tokens": 8,
    "cache_creation_tokens": 7502,
    "cache_creation_5m_tokens": 7502,
}
STREAM = CONVERSE_PATH + "-stream"
INVOKE = "/model/m/invoke"
INVOKE_STREAM = INVOKE + "-with-response-stream"


def told(decoded) -> dict[str, int]:
    return {name: number["value"] for name, number in decoded.usage.items() if name not in ("conflicts", "other")}


def invoked(answer, asked=INVOKE_ASKED, **headers: str):
    given = [*t.JSON, *((f"x-amzn-bedrock-{name.replace('_', '-')}", value) for name, value in headers.items())]
    return decode(t.exchange(INVOKE, asked, answer, response_headers=given))


def streamed(body: bytes, path: str = STREAM, asked=CONVERSE_ASKED, **more) -> Captured:
    return t.exchange(path, asked, body, **{"response_headers": t.AWS} | more)


def holed(captured: Captured, head: int, kept: int, ended: bool = True) -> Captured:
    body = captured.response_body
    tail = Tail(len(body) - kept, body[-kept:], ended)
    return structs.replace(captured, response_body=body[:head], response_whole=False, response_tail=tail)


@pytest.mark.parametrize("name", ["converse", "converse stream"])
def test_a_stream_says_what_a_whole_answer_does(name):
    decoded = decode(CORPUS[name])
    is_stream = name == "converse stream"
    assert decoded.inference.pop("delivered_chunks", None) == (6 if is_stream else None)
    assert decoded.inference.pop("id", None) == ("b-1" if is_stream else None)
    assert decoded.inference == {
        "protocol": "bedrock",
        "operation": "chat",
        "model_requested": "us.amazon.nova-pro-v1:0",
        "service_tier": "flex",
        "streamed": is_stream,
        "choices": [
            {
                "index": 0,
                "role": "assistant",
                "text": "Héllo",
                "reasoning": "hm ",
                "tool_calls": [{"id": "t1", "name": "weather", "arguments": '{"city":"Oslo"}'}],
                "finish_reason": "tool_use",
            }
        ],
    }
    assert told(decoded) == USAGE
    assert {number["provenance"] for number in decoded.usage.values()} == {"reported"}
    assert decoded.problems == []


def test_the_model_is_that_of_the_path_whatever_form_its_name_has():
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123%3Ainference-profile%2Fus.meta.llama3"
    decoded = decode(t.exchange(f"/bedrock/model/{arn}/converse", CONVERSE_ASKED, CONVERSED))
    assert decoded.inference["model_requested"] == "arn:aws:bedrock:us-east-1:123:inference-profile/us.meta.llama3"
    routed = CONVERSED | {"trace": {"promptRouter": {"invokedModelId": "anthropic.claude-haiku"}}}
    assert decode(t.exchange(CONVERSE_PATH, CONVERSE_ASKED, routed)).inference["model_answered"] == "anthropic.claude-haiku"


def test_usage_comes_behind_the_stop_of_the_message():
    cut = streamed(t.messages(*CONVERSE[:-1]), response_whole=False)
    assert decode(cut).usage == {}
    assert decode(cut).inference["choices"][0]["finish_reason"] == "tool_use"


def test_an_exception_ends_a_stream():
    thrown = t.message("", {"message": "Too many tokens"}, message_type="exception", exception_type="throttlingException")
    decoded = decode(streamed(t.messages(*CONVERSE[:4]) + thrown))
    assert decoded.inference["error"] == {"message": "Too many tokens", "type": "throttlingException"}
    assert (decoded.inference["choices"][0]["text"], decoded.usage) == ("Hél", {})


def test_a_refusal_says_why():
    headers = [*t.JSON, ("x-amzn-errortype", "ValidationException:http://internal.amazon.com/coral/")]
    decoded = decode(t.exchange(STREAM, CONVERSE_ASKED, {"message": "no such model"}, status=400, response_headers=headers))
    assert decoded.inference["error"] == {"message": "no such model", "type": "ValidationException"}
    assert decoded.usage == {}


def test_what_was_asked_is_streamed_by_its_path():
    for path, is_stream in ((CONVERSE_PATH, False), (STREAM, True), (INVOKE, False), (INVOKE_STREAM, True)):
        assert decode(t.exchange(path, CONVERSE_ASKED)).inference["streamed"] is is_stream


def test_images_that_were_asked_about_are_counted():
    image = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    asked = {"messages": [{"role": "user", "content": [image, {"text": "?"}, image]}]}
    assert decode(t.exchange(CONVERSE_PATH, asked, CONVERSED)).usage["images"] == {"value": 2, "provenance": "reported"}


def test_counting_tokens_is_free():
    decoded = decode(t.exchange("/model/m/count-tokens", {"input": {"converse": CONVERSE_ASKED}}, {"inputTokens": 9}))
    assert (decoded.inference["operation"], decoded.usage) == ("count_tokens", {})


def test_an_invoked_model_answers_in_its_own_stream_and_the_last_event_has_the_metrics():
    decoded = decode(CORPUS["invoke stream"])
    assert decoded.inference == {
        "protocol": "bedrock",
        "operation": "invoke",
        "model_requested": "anthropic.claude",
        "model_answered": "claude",
        "id": "msg_1",
        "streamed": True,
        "delivered_chunks": 5,
        "choices": [
            {
                "index": 0,
                "role": "assistant",
                "text": "Hello there",
                "tool_calls": [{"id": "tu_1", "name": "f", "arguments": '{"a":1}'}],
                "finish_reason": "tool_use",
            }
        ],
    }
    assert told(decoded) == {"prompt_tokens": 9, "completion_tokens": 15}
    assert decoded.usage["other"] == {"invocationLatency": 300, "firstByteLatency": 200}


METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 2, "cacheReadInputTokenCount": 4}}
OWN_STREAMS = {
    "meta": [
        {"generation": "Hel", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": None},
        {"generation": "lo", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": "stop"} | METRICS,
    ],
    "mistral": [
        {"outputs": [{"text": "Hel", "stop_reason": None}]},
        {"outputs": [{"text": "lo", "stop_reason": "stop"}]} | METRICS,
    ],
    "titan": [{"outputText": "Hel", "index": 0}, {"outputText": "lo", "index": 0, "completionReason": "stop"} | METRICS],
    "openai": [*t.words("Hel", "lo"), t.delta({}, finish="stop") | METRICS],
    "nova": [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hel"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "lo"}}},
        {"messageStop": {"stopReason": "stop"}},
        {"metadata": {"usage": {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokenCount": 4}}} | METRICS,
    ],
}


@pytest.mark.parametrize("name", OWN_STREAMS)
def test_streams_of_other_models_are_read_too(name):
    captured = streamed(t.chunks_of(OWN_STREAMS[name]), INVOKE_STREAM, {"prompt": "hi"})
    decoded = decode(captured)
    [choice] = decoded.inference["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Hello", "stop")
    assert told(decoded) == {"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4}
    assert decoded.inference["delivered_chunks"] == 2
    part = decode(holed(captured, 20, len(t.chunks_of(OWN_STREAMS[name][-1:]))))
    assert told(part) == told(decoded)


OWN_ANSWERS = {
    "anthropic": {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    "meta": {"generation": "Hello", "stop_reason": "stop"},
    "mistral": {"outputs": [{"text": "Hello", "stop_reason": "stop"}]},
    "titan": {"results": [{"outputText": "Hello", "tokenCount": 2, "completionReason": "FINISH"}], "inputTextTokenCount": 5},
    "openai": {"choices": [{"index": 0, "message": {"content": "Hello"}}]},
    "nova": {"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}, "stopReason": "end_turn"},
}


@pytest.mark.parametrize("name", OWN_ANSWERS)
def test_the_tokens_of_an_invoked_model_stand_in_headers(name):
    counts = {"input_token_count": "5", "output_token_count": "2", "cache_read_input_token_count": "0", "service_tier": "priority"}
    decoded = invoked(OWN_ANSWERS[name], **counts)
    assert decoded.inference["choices"][0]["text"] == "Hello"
    assert decoded.inference["service_tier"] == "priority"
    assert told(decoded) == {"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 0}


def test_what_the_body_tells_itself_holds():
    answer = OWN_ANSWERS["anthropic"] | {"usage": {"input_tokens": 7, "output_tokens": 3}}
    assert told(invoked(answer, input_token_count="5", output_token_count="3")) == {"prompt_tokens": 7, "completion_tokens": 3}


@pytest.mark.parametrize("value", ["", "-1", "1.5", "９", "9" * 19, "many"])
def test_a_header_that_is_no_count_is_none(value):
    assert told(invoked(OWN_ANSWERS["meta"], input_token_count=value)) == {}


OPENAIS = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "prompt_tokens_details": {"cached_tokens": 80}}
WITHIN = {"input_uncached": 20, "input_cached": 80, "output": 10}


@pytest.mark.parametrize("usage", [OPENAIS, OPENAIS | {"total_tokens": None}, t.tokens(100, 10, cached_tokens=80)])
def test_cached_tokens_are_within_the_prompt_where_openais_form_tells_them(usage):
    whole = t.exchange(INVOKE, INVOKE_ASKED, {"choices": [{"index": 0, "message": {"content": "x" * 5000}}], "usage": usage})
    stream = streamed(t.chunks_of([*t.words("Hel", "lo"), t.final(usage)]), INVOKE_STREAM)
    for captured in (whole, holed(whole, 200, 1000), stream, holed(stream, 20, len(t.chunks_of([t.final(usage)])))):
        decoded = decode(captured)
        assert (decoded.classes, decoded.problems) == (WITHIN, [])


def test_there_are_no_classes_where_both_openais_form_and_aws_tell_of_caches():
    answer = {"choices": [{"index": 0, "message": {"content": "Hello"}}], "usage": t.tokens(100, 10)}
    decoded = invoked(answer, cache_read_input_token_count="80")
    assert (told(decoded)["cached_tokens"], decoded.classes) == (80, {})
    assert invoked(answer, cache_read_input_token_count="0").classes == {"input_uncached": 100, "input_cached": 0, "output": 10}
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 100, "outputTokenCount": 10, "cacheReadInputTokenCount": 80}}
    assert decode(streamed(t.chunks_of([*t.words("Hello"), t.final(OPENAIS) | metrics]), INVOKE_STREAM)).classes == {}
    alone = decode(streamed(t.chunks_of([*t.words("Hello"), t.delta({}, finish="stop") | metrics]), INVOKE_STREAM))
    assert alone.classes == {"input_uncached": 100, "input_cached": 80, "output": 10}


def test_embeddings():
    decoded = invoked({"embedding": [0.5, 1, 2], "inputTextTokenCount": 3}, {"inputText": "a"})
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [1, 3]}]
    assert told(decoded) == {"prompt_tokens": 3}
    several = invoked({"embeddings": {"float": [[1, 2], [3, 4]]}}, {"texts": ["a", "b"]}, input_token_count="2")
    assert several.inference["outputs"] == [{"name": "embedding", "shape": [2, 2]}]


@pytest.mark.parametrize(
    ("path", "asked", "answer"),
    [
        ("/model/golf/invoke", {"speed": 3}, {"ok": True}),
        ("/model/golf/converse", b"a=1", b"hello"),
        ("/model/golf/invoke", {"jsonrpc": "2.0", "inputs": []}, {"jsonrpc": "2.0"}),
        ("/model/golf/invoke", None, b""),
    ],
)
def test_services_under_the_same_paths_are_not_bedrock(path, asked, answer):
    assert decode(t.exchange(path, asked, answer)).inference == {"protocol": "unknown"}


def test_a_call_that_aws_signed_is_bedrock_whatever_was_asked():
    signed = [("x-amz-date", "20261001T100000Z")]
    assert decode(t.exchange(INVOKE, b"", b"", request_headers=signed)).inference["protocol"] == "bedrock"


@pytest.mark.parametrize("name", ["converse stream", "invoke stream"])
@given(data=st.data())
def test_the_end_alone_still_tells_usage(name, data):
    captured = CORPUS[name]
    kept = data.draw(st.integers(1, len(captured.response_body) - 1))
    whole, part = decode(captured), decode(holed(captured, data.draw(st.integers(12, 300)), kept))
    last = t.message(*CONVERSE[-1]) if name == "converse stream" else t.chunks_of(INVOKED[-1:])
    if kept >= len(last):
        assert told(part) == told(whole)
    for number, value in told(part).items():
        assert value == told(whole)[number] or number == "completion_tokens"
    assert part.problems == []
    assert "delivered_chunks" not in part.inference


def test_a_whole_answer_is_read_from_its_end():
    long = CONVERSED | {"output": {"message": {"role": "assistant", "content": [{"text": "x" * 5000}]}}}
    part = decode(holed(t.exchange(CONVERSE_PATH, CONVERSE_ASKED, long), 200, 1000))
    assert told(part) == USAGE
    assert part.inference["choices"][0]["finish_reason"] == "tool_use"
    message = OWN_ANSWERS["anthropic"] | {"content": [{"text": "x" * 5000}], "stop_reason": "end_turn", "usage": {"input_tokens": 7}}
    part = decode(holed(t.exchange(INVOKE, INVOKE_ASKED, message), 100, 1000))
    assert told(part) == {"prompt_tokens": 7}


def test_a_damaged_message_is_left_out_and_told():
    body = bytearray(t.messages(*CONVERSE))
    body[len(t.messages(*CONVERSE[:3])) + 90] ^= 1
    decoded = decode(streamed(bytes(body)))
    assert decoded.inference["choices"][0]["text"] == "lo"
    assert told(decoded) == USAGE
    assert "delivered_chunks" not in decoded.inference
    assert decoded.problems == ["response body: a message with a wrong checksum is not read"]


def test_a_chunk_that_is_not_in_base64_is_a_problem():
    body = t.messages(("chunk", {"bytes": "!"}), ("chunk", {"bytes": base64.b64encode(b"{").decode()}), ("chunk", {}))
    decoded = decode(streamed(body, INVOKE_STREAM))
    assert decoded.usage == {}
    assert decoded.problems[0] == "response body: a chunk that is not in base64"
    assert len(decoded.problems) == 2


def test_of_more_messages_than_are_read_the_last_tell_usage():
    pieces = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}})] * 200
    decoded = decode(streamed(t.messages(*pieces, *CONVERSE[-2:])), Limits(events=50))
    assert told(decoded) == USAGE
    assert "delivered_chunks" not in decoded.inference
    assert decoded.problems == ["more than 50 events: those between the first and the last are not read"]
