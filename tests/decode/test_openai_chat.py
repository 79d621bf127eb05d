"""Chat Completions: what is put together equals what a non-streamed call would have returned."""

import pytest

from collector.decode import Limits, decode
from tests.decode import transcripts as t


def choice(events, **more):
    return decode(t.streamed(events, **more)).inference["choices"][0]


def test_an_answer_that_is_not_streamed():
    message = {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    answer = {
        "id": "x",
        "model": "base",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": {"content": []}}],
    }
    decoded = decode(t.exchange(t.CHAT, {"model": "alias", "messages": []}, answer))
    assert decoded.inference == {
        "protocol": "openai-chat",
        "operation": "chat",
        "model_requested": "alias",
        "model_answered": "base",
        "id": "x",
        "streamed": False,
        "choices": [
            {
                "index": 0,
                "role": "assistant",
                "text": "Hello",
                "reasoning": "hm",
                "tool_calls": [{"id": "c1", "name": "f", "arguments": "{}"}],
                "finish_reason": "tool_calls",
                "logprobs": True,
            }
        ],
    }
    assert decoded.problems == []


def test_streamed_pieces_are_put_together():
    events = [t.delta({"role": "assistant", "content": ""}), *t.words("Hel", "lo", " 😀"), t.delta({}, finish="stop")]
    assert choice(events) == {"index": 0, "role": "assistant", "text": "Hello 😀", "finish_reason": "stop"}


def test_pieces_with_quotes_escapes_and_control_characters_are_kept():
    pieces = ["plain", 'a "quoted"', "back\\slash", "line\nfeed", "\u0000", "\u2028", " ", "end"]
    assert choice(t.words(*pieces))["text"] == "".join(pieces)


def test_n_choices_interleaved_in_any_order():
    events = [t.delta({"content": piece}, index) for index, piece in ((1, "b1"), (0, "a1"), (1, "b2"), (0, "a2"), (2, "c1"))]
    events += [t.delta({}, index, finish=reason) for index, reason in ((2, "length"), (0, "stop"), (1, "stop"))]
    choices = decode(t.streamed(events, asked=t.ASKED | {"n": 3})).inference["choices"]
    assert [(c["index"], c["text"], c["finish_reason"]) for c in choices] == [(0, "a1a2", "stop"), (1, "b1b2", "stop"), (2, "c1", "length")]


def test_two_choices_in_one_event():
    event = {"model": "m", "choices": [{"index": i, "delta": {"content": c}} for i, c in enumerate("xy")]}
    choices = decode(t.streamed([event, event])).inference["choices"]
    assert [c["text"] for c in choices] == ["xx", "yy"]


def test_text_never_sent_differs_from_empty_text():
    assert "text" not in choice([t.delta({"role": "assistant", "content": None}), t.delta({}, finish="stop")])
    assert choice([t.delta({"role": "assistant", "content": ""}), t.delta({}, finish="stop")])["text"] == ""


def test_tool_call_fragments_are_joined_by_index():
    events = [
        t.delta(t.tool(0, "", "call_a", "weather")),
        t.delta(t.tool(0, '{"city"')),
        t.delta(t.tool(1, "", "call_b", "time")),
        t.delta(t.tool(0, ':"Oslo"}')),
        t.delta(t.tool(1, "{}")),
    ]
    assert choice(events)["tool_calls"] == [
        {"id": "call_a", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"id": "call_b", "name": "time", "arguments": "{}"},
    ]


def test_a_tool_call_id_that_repeats_with_a_null_name_is_the_same_call():
    events = [t.delta(t.tool(0, "{", "call_a", "f")), t.delta(t.tool(0, "}", "call_a"))]
    assert choice(events)["tool_calls"] == [{"id": "call_a", "name": "f", "arguments": "{}"}]


def test_whole_calls_that_share_an_index_are_two_calls():
    events = [t.delta(t.tool(0, "{}", "call_a", "f")), t.delta(t.tool(0, "[]", "call_b", "g"))]
    assert [call["id"] for call in choice(events)["tool_calls"]] == ["call_a", "call_b"]


def test_calls_without_an_index_begin_with_their_name():
    events = [t.delta(t.tool(None, "{", "a", "f")), t.delta(t.tool(None, "}")), t.delta(t.tool(None, "[]", "b", "g"))]
    assert [call["arguments"] for call in choice(events)["tool_calls"]] == ["{}", "[]"]


def test_the_last_argument_fragment_shares_its_event_with_the_finish_reason():
    events = [t.delta(t.tool(0, "{", "call_a", "f")), t.delta(t.tool(0, "}"), finish="tool_calls")]
    got = choice(events)
    assert (got["tool_calls"][0]["arguments"], got["finish_reason"]) == ("{}", "tool_calls")


def test_the_older_function_call_is_a_tool_call_without_an_id():
    events = [t.delta({"function_call": {"name": "f", "arguments": ""}}), t.delta({"function_call": {"arguments": "{}"}})]
    assert choice(events)["tool_calls"] == [{"name": "f", "arguments": "{}"}]


def test_refusals_are_kept_apart_from_text():
    got = choice([t.delta({"refusal": "I ca"}), t.delta({"refusal": "n't"})])
    assert got["refusal"] == "I can't"
    assert "text" not in got


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_content_under_either_name(key):
    got = choice([t.delta({key: "let me"}), t.delta({key: " think"}), *t.words("42")])
    assert (got["reasoning"], got["text"]) == ("let me think", "42")


def test_reasoning_sent_under_both_names_counts_once():
    assert choice([t.delta({"reasoning_content": "a", "reasoning": "a"})])["reasoning"] == "a"


def test_logprobs_are_told_present_not_stored():
    event = t.delta({"content": "a"})
    event["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -1}]}
    assert choice([event])["logprobs"] is True
    assert "logprobs" not in choice(t.words("a"))


def test_content_as_a_list_of_parts():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "ok"}]
    got = choice([t.delta({"content": parts})])
    assert (got["text"], got["reasoning"]) == ("ok", "hm")


@pytest.mark.parametrize("reason", ["remote_decode", "cache_threshold"])
def test_finish_reasons_outside_the_standard_are_kept(reason):
    assert choice([t.delta({}, finish=reason)])["finish_reason"] == reason


def test_a_cancelled_stream_keeps_what_was_delivered():
    whole = t.streamed([*t.words("one ", "two ", "three"), t.final(t.tokens(3, 3))])
    body = whole.response_body
    cut = t.exchange(t.CHAT, t.ASKED, body[: body.index(b"three") + 2], response_headers=t.SSE, response_whole=False)
    decoded = decode(cut)
    assert decoded.inference["choices"] == [{"index": 0, "text": "one two "}]
    assert decoded.inference["delivered_chunks"] == 2
    assert decoded.usage == {}
    assert decoded.problems == []


def test_a_200_with_an_error_object_in_the_stream():
    decoded = decode(t.streamed([*t.words("a"), {"error": {"message": "overloaded", "type": "server_error", "code": 503, "param": None}}]))
    assert decoded.inference["error"] == {"message": "overloaded", "type": "server_error", "code": 503}
    assert decoded.inference["choices"][0]["text"] == "a"


def test_an_error_of_status_200_declared_as_a_stream_but_sent_as_json():
    decoded = decode(t.exchange(t.CHAT, t.ASKED, {"object": "error", "message": "no", "code": 400}, response_headers=t.SSE))
    assert decoded.inference["error"] == {"message": "no", "code": 400}
    assert decoded.inference["streamed"] is False


def test_a_stream_without_a_content_type_is_recognised():
    assert decode(t.streamed(t.words("a", "b"), response_headers=[])).inference["choices"][0]["text"] == "ab"


def test_a_stream_that_is_declared_as_json_is_recognised():
    decoded = decode(t.streamed([*t.words("a", "b"), t.final(t.tokens(9, 2))], response_headers=t.JSON))
    assert decoded.inference["choices"][0]["text"] == "ab"
    assert decoded.usage["completion_tokens"]["value"] == 2
    assert decoded.problems == []


def test_an_ndjson_stream():
    body = b"".join(t.dumps(event) + b"\n" for event in t.words("a", "b"))
    decoded = decode(t.exchange(t.CHAT, t.ASKED, body, response_headers=[("content-type", "application/x-ndjson")]))
    assert decoded.inference["choices"][0]["text"] == "ab"
    assert decoded.inference["delivered_chunks"] == 2


def test_the_wish_to_stream_is_told_where_there_is_no_answer():
    assert decode(t.exchange(t.CHAT, t.ASKED, b"", status=None)).inference["streamed"] is True


def test_a_model_alias_is_answered_under_the_base_name():
    decoded = decode(t.streamed(t.words("a"), asked={"model": "alias", "stream": True}))
    assert (decoded.inference["model_requested"], decoded.inference["model_answered"]) == ("alias", "llama")


def test_of_duplicate_keys_the_last_wins():
    asked = b'{"model":"cheap","messages":[],"model":"dear"}'
    assert decode(t.exchange(t.CHAT, asked, {})).inference["model_requested"] == "dear"


def test_json_is_read_without_a_json_content_type():
    decoded = decode(t.exchange(t.CHAT, {"model": "llama"}, {}, request_headers=[("content-type", "text/plain")]))
    assert decoded.inference["model_requested"] == "llama"


def test_rendering_generates_nothing():
    decoded = decode(t.exchange("/v1/chat/completions/render", {"model": "llama"}, {"prompt_token_ids": [1], "usage": t.tokens(1, 1)}))
    assert decoded.inference == {"protocol": "openai-chat", "operation": "render", "model_requested": "llama"}
    assert decoded.usage == {}


def test_images_in_the_request_are_counted():
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    asked = {"model": "v", "messages": [{"role": "user", "content": content}, {"role": "user", "content": content}]}
    assert decode(t.exchange(t.CHAT, asked, {})).usage == {"images": {"value": 2, "provenance": "reported"}}


def test_a_cut_request_keeps_the_members_that_came_whole():
    asked = t.dumps({"model": "llama", "stream": True, "messages": [{"role": "user", "content": "x" * 100}]})
    decoded = decode(t.exchange(t.CHAT, asked[:60], b"", request_whole=False))
    assert decoded.inference["model_requested"] == "llama"
    assert decoded.problems == []


def test_a_whole_request_that_is_not_json_is_a_problem():
    decoded = decode(t.exchange(t.CHAT, b'{"model": llama}', {}))
    assert decoded.problems[0].startswith("request body: not JSON")
    assert "model_requested" not in decoded.inference


def test_choices_beyond_the_limit_are_left_out_and_told():
    events = [t.delta({"content": "x"}, index) for index in range(5)]
    decoded = decode(t.streamed(events, asked=t.ASKED | {"n": 5}), Limits(choices=3))
    assert len(decoded.inference["choices"]) == 3
    assert decoded.problems == ["more than 3 choices: the rest is not read"]


def test_tool_calls_beyond_the_limit_are_left_out_and_told():
    decoded = decode(t.streamed([t.delta(t.tool(i, "{}", f"c{i}", "f")) for i in range(5)]), Limits(tool_calls=2))
    assert len(decoded.inference["choices"][0]["tool_calls"]) == 2
    assert "more than 2 tool calls" in decoded.problems[0]


def test_an_event_that_is_not_json_is_a_problem_and_the_rest_is_read():
    decoded = decode(t.streamed(["{broken", *t.words("a")]))
    assert decoded.inference["choices"][0]["text"] == "a"
    assert len(decoded.problems) == 1


@pytest.mark.parametrize("junk", [None, 1, "x", [], [1], {"choices": 1}, {"choices": [1, None]}, {"choices": [{"delta": 1, "index": []}]}])
def test_json_of_an_unexpected_shape_is_not_content(junk):
    for captured in (t.exchange(t.CHAT, junk, junk), t.streamed([junk, *t.words("a")], asked=junk)):
        assert not any("decoder failed" in problem for problem in decode(captured).problems)
