"""Anthropic Messages."""

from collector.decode import decode
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS

PATH = "/v1/messages"


def reported(value):
    return {"value": value, "provenance": "reported"}


def message(usage, **more):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage} | more


def start(usage):
    return {"type": "message_start", "message": message(usage)}


def end(usage):
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def stream(*events, **more):
    return decode(t.streamed(events, PATH, {"model": "claude", "stream": True}, done=False, named=True, **more))


def test_an_answer_that_is_not_streamed():
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "tu_1", "name": "f", "input": {"a": 1}},
    ]
    usage = {"input_tokens": 9, "output_tokens": 15, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
    decoded = decode(t.exchange(PATH, {"model": "claude"}, message(usage, content=content, stop_reason="tool_use")))
    assert decoded.inference["choices"] == [
        {
            "index": 0,
            "role": "assistant",
            "text": "Hello",
            "reasoning": "hm",
            "tool_calls": [{"id": "tu_1", "name": "f", "arguments": '{"a":1}'}],
            "finish_reason": "tool_use",
        }
    ]
    assert decoded.usage == {
        "prompt_tokens": reported(9),
        "completion_tokens": reported(15),
        "cached_tokens": reported(4),
        "cache_creation_tokens": reported(0),
    }


def test_a_stream_is_put_together_without_an_end_mark():
    choice = decode(CORPUS["messages stream"]).inference["choices"][0]
    assert choice["text"] == "Hello there"
    assert choice["tool_calls"] == [{"id": "tu_1", "name": "f", "arguments": '{"a":1}'}]


def test_usage_over_two_events_is_not_summed_and_has_no_total():
    usage = stream(start({"input_tokens": 25, "output_tokens": 1}), end({"output_tokens": 15})).usage
    assert usage == {"prompt_tokens": reported(25), "completion_tokens": {"value": 15, "provenance": "last_cumulative"}}


def test_a_cancelled_stream_keeps_its_first_numbers():
    usage = stream(start({"input_tokens": 25, "output_tokens": 1}), response_whole=False).usage
    assert usage == {"prompt_tokens": reported(25), "completion_tokens": {"value": 1, "provenance": "last_cumulative"}}


def test_input_that_grew_by_tools_on_the_server_is_no_conflict():
    usage = stream(start({"input_tokens": 25, "output_tokens": 1}), end({"input_tokens": 900, "output_tokens": 15})).usage
    assert usage["prompt_tokens"] == {"value": 900, "provenance": "last_cumulative"}
    assert "conflicts" not in usage


def test_an_error_event():
    decoded = stream(start({"input_tokens": 1}), {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert decoded.inference["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_tool_input_that_was_cut_is_kept_as_it_came():
    decoded = stream(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a": '}},
    )
    assert decoded.inference["choices"][0]["tool_calls"][0]["arguments"] == '{"a": '


def test_thinking_is_reasoning():
    decoded = stream(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "xyz"}},
    )
    assert decoded.inference["choices"][0]["reasoning"] == "hm"
    assert decoded.inference["delivered_chunks"] == 1


def test_counting_tokens_generates_nothing():
    decoded = decode(t.exchange("/v1/messages/count_tokens", {"model": "claude"}, {"input_tokens": 14}))
    assert (decoded.inference["operation"], decoded.usage) == ("count_tokens", {})


def test_two_tools_whose_input_interleaves():
    begun = [
        {"type": "content_block_start", "index": i, "content_block": {"type": "tool_use", "id": f"t{i}", "name": "f", "input": {}}}
        for i in (0, 1)
    ]
    pieces = ((0, '{"a":'), (1, '{"b":'), (0, "1}"), (1, "2}"))
    deltas = [{"type": "content_block_delta", "index": i, "delta": {"type": "input_json_delta", "partial_json": x}} for i, x in pieces]
    calls = stream(*begun, *deltas).inference["choices"][0]["tool_calls"]
    assert [call["arguments"] for call in calls] == ['{"a":1}', '{"b":2}']


def test_vertex_ai_passes_it_on():
    path = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet@20250514"
    asked = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    decoded = decode(t.exchange(path + ":rawPredict", asked, message({"input_tokens": 3, "output_tokens": 2})))
    assert (decoded.inference["protocol"], decoded.inference["operation"]) == ("anthropic-messages", "messages")
    assert (decoded.inference["model_requested"], decoded.inference["model_answered"]) == ("claude-sonnet@20250514", "claude")
    assert decoded.usage == {"prompt_tokens": reported(3), "completion_tokens": reported(2)}
    events = CORPUS["messages stream"].response_body
    streamed = decode(t.exchange(path + ":streamRawPredict", asked, events, response_headers=t.SSE))
    assert streamed.usage == decode(CORPUS["messages stream"]).usage
    counting = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/count-tokens:rawPredict"
    counted = decode(t.exchange(counting, asked | {"model": "claude"}, {"input_tokens": 3}))
    assert (counted.inference["operation"], counted.usage) == ("count_tokens", {})
