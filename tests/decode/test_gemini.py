"""Gemini, of Google AI and of Vertex AI: one answer, a stream of events, and an array that grows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, Limits, Tail, decode
from collector.decode.growing import Elements
from collector.decode.trailing import trailing_elements
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS, GEMINI, GEMINI_ARRAY, GEMINI_ASKED, GEMINI_PATH, gemini

STREAMS = ["gemini stream", "gemini array"]
COUNTS = {
    "prompt_tokens": 9,
    "cached_tokens": 4,
    "completion_tokens": 8,
    "reasoning_tokens": 21,
    "tool_prompt_tokens": 3,
    "total_tokens": 41,
    "prompt_audio_tokens": 3,
}


def told(decoded) -> dict[str, int]:
    return {name: number["value"] for name, number in decoded.usage.items() if name not in ("conflicts", "other")}


def array(events, **more) -> Captured:
    return t.exchange(GEMINI_PATH + ":streamGenerateContent", GEMINI_ASKED, events, **more)


def holed(captured: Captured, head: int, kept: int, ended: bool = True) -> Captured:
    body = captured.response_body
    tail = Tail(len(body) - kept, body[-kept:], ended)
    return structs.replace(captured, response_body=body[:head], response_whole=False, response_tail=tail)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_put_together_and_its_last_present_numbers_count(name):
    decoded = decode(CORPUS[name])
    assert decoded.inference == {
        "protocol": "gemini",
        "operation": "generate_stream",
        "model_requested": "gemini-2.5-flash",
        "model_answered": "gemini-2.5-flash-001",
        "id": "r-1",
        "service_tier": "ON_DEMAND",
        "streamed": True,
        "delivered_chunks": 4,
        "choices": [
            {
                "index": 0,
                "role": "model",
                "text": "Héllo",
                "reasoning": "hm ",
                "tool_calls": [{"id": "f1", "name": "weather", "arguments": '{"city":"Oslo"}'}],
                "finish_reason": "STOP",
            }
        ],
    }
    assert told(decoded) == COUNTS
    assert decoded.usage["other"] == {"promptTokensDetails.TEXT": 6}
    assert decoded.usage["prompt_tokens"]["provenance"] == "last_cumulative"
    assert decoded.usage["tool_prompt_tokens"]["provenance"] == "reported"
    assert "conflicts" not in decoded.usage
    assert decoded.problems == []


def test_an_answer_that_is_not_streamed():
    decoded = decode(CORPUS["gemini"])
    assert (decoded.inference["operation"], decoded.inference["streamed"]) == ("generate", False)
    assert told(decoded) == {name: value for name, value in COUNTS.items() if name != "cached_tokens"}
    assert {number["provenance"] for name, number in decoded.usage.items() if name != "other"} == {"reported"}


def test_enums_as_numbers_mean_what_their_names_do():
    """Callers ask for them by `$alt=json;enum-encoding=int`."""
    kinds = ("TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
    counts = {"promptTokenCount": 31, "candidatesTokenCount": 5, "totalTokenCount": 36}
    answers = [
        gemini({"text": "a"}, finish=finish, **counts, promptTokensDetails=[{"modality": kind, "tokenCount": 2**n} for n, kind in told])
        for finish, told in (("MAX_TOKENS", enumerate(kinds)), (2, enumerate(range(1, 6))))
    ]
    named, numbered = (decode(t.exchange(GEMINI_PATH + ":generateContent", GEMINI_ASKED, answer)) for answer in answers)
    assert numbered == named
    assert numbered.classes == {"input_uncached": 21, "input_image": 2, "input_audio": 8, "output": 5}
    assert numbered.inference["choices"][0]["finish_reason"] == "MAX_TOKENS"


def test_a_number_that_names_no_reason_still_ends_a_stream():
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 5}
    events = [gemini({"text": "a"}, finish=finish, **counts) for finish in (0, 99)]
    running, ended = (decode(array([event])) for event in events)
    assert running.usage["completion_tokens"]["provenance"] == "last_cumulative"
    assert ended.usage["completion_tokens"]["provenance"] == "reported"
    assert "finish_reason" not in ended.inference["choices"][0]


@pytest.mark.parametrize(
    "entry",
    [{"modality": 6, "tokenCount": 3}, {"modality": True, "tokenCount": 3}, {"tokenCount": 3}, {"modality": ["AUDIO"], "tokenCount": 3}, 3],
)
def test_tokens_of_a_modality_that_cannot_be_read_are_in_no_class(entry):
    text = {"modality": "TEXT", "tokenCount": 1}
    for entries in ([text, entry], [text] * 8 + [entry]):
        answer = gemini({"text": "a"}, promptTokenCount=9, candidatesTokenCount=5, totalTokenCount=14, promptTokensDetails=entries)
        decoded = decode(t.exchange(GEMINI_PATH + ":generateContent", GEMINI_ASKED, answer))
        assert told(decoded) == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        assert (decoded.classes, decoded.problems) == ({}, ["response body: promptTokensDetails tells of a modality that is not known"])
    nothing = gemini({"text": "a"}, promptTokenCount=9, candidatesTokenCount=5, promptTokensDetails=[{"modality": 6, "tokenCount": 0}])
    assert decode(t.exchange(GEMINI_PATH + ":generateContent", GEMINI_ASKED, nothing)).problems == []


def test_several_candidates_are_kept_apart():
    event = gemini({"text": "a"}, finish="STOP", promptTokenCount=1, candidatesTokenCount=2)
    event["candidates"].append({"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS"})
    choices = decode(t.exchange(GEMINI_PATH + ":generateContent", GEMINI_ASKED, event)).inference["choices"]
    assert [(each["index"], each["text"], each["finish_reason"]) for each in choices] == [(0, "a", "STOP"), (1, "b", "MAX_TOKENS")]


def test_a_prompt_that_was_blocked_says_why_and_what_it_cost():
    answer = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}
    decoded = decode(t.exchange(GEMINI_PATH + ":generateContent", GEMINI_ASKED, answer))
    assert decoded.inference["choices"] == [{"index": 0, "finish_reason": "SAFETY"}]
    assert told(decoded) == {"prompt_tokens": 4, "total_tokens": 4}


@pytest.mark.parametrize("path", ["/v1beta/models/m", "/v1beta/tunedModels/m", "/v1/projects/p/locations/l/endpoints/m", "/gw/models/m"])
def test_the_model_that_is_asked_stands_in_the_path(path):
    assert decode(t.exchange(path + ":generateContent", GEMINI_ASKED)).inference["model_requested"] == "m"
    counted = decode(t.exchange(path + "%3AcountTokens", GEMINI_ASKED, {"totalTokens": 9, "cachedContentTokenCount": 2}))
    assert (counted.inference["operation"], counted.usage) == ("count_tokens", {})
    assert decode(t.get(path + ":generateContent")).inference == {"protocol": "unknown"}


def test_embeddings():
    decoded = decode(CORPUS["gemini embeddings"])
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [2, 3]}]
    assert told(decoded) == {"rows": 2, "prompt_tokens": 4}
    one = decode(t.exchange("/v1beta/models/e:embedContent", {"content": {"parts": [{"text": "a"}]}}, {"embedding": {"values": [1, 2]}}))
    assert one.inference["outputs"] == [{"name": "embedding", "shape": [1, 2]}]
    assert told(one) == {"rows": 1}


def test_images_that_were_asked_about_are_counted():
    parts = [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}, {"file_data": {"mime_type": "image/jpeg", "file_uri": "gs://x"}},
             {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}]  # fmt: skip
    decoded = decode(t.exchange(GEMINI_PATH + ":generateContent", {"contents": [{"parts": parts}]}, GEMINI[-1]))
    assert decoded.usage["images"] == {"value": 2, "provenance": "reported"}


ERROR = {"error": {"code": 429, "message": "Resource exhausted.", "status": "RESOURCE_EXHAUSTED", "details": []}}


@pytest.mark.parametrize("answer", [ERROR, [ERROR]], ids=["object", "array"])
def test_a_refusal_says_why(answer):
    decoded = decode(array(answer, status=429))
    assert decoded.inference["error"] == {"code": 429, "message": "Resource exhausted.", "type": "RESOURCE_EXHAUSTED"}
    assert decoded.inference["streamed"] is False
    assert decoded.usage == {}


def test_an_error_in_a_stream_keeps_what_came_before_it():
    for captured in (array([GEMINI[1], ERROR]), t.streamed([GEMINI[1], ERROR], GEMINI_PATH + ":streamGenerateContent", done=False)):
        decoded = decode(captured)
        assert decoded.inference["error"]["type"] == "RESOURCE_EXHAUSTED"
        assert decoded.inference["choices"][0]["text"] == "Hél"
        assert told(decoded)["completion_tokens"] == 1


def test_a_number_that_falls_at_the_end_is_the_last_one():
    events = [gemini({"text": "a"}, promptTokenCount=2), gemini({"text": "b"}, finish="STOP", promptTokenCount=1, candidatesTokenCount=10)]
    decoded = decode(array(events))
    assert told(decoded) == {"prompt_tokens": 1, "completion_tokens": 10}


def test_every_event_may_say_that_it_is_the_last():
    events = [gemini({"text": "a"}, finish="STOP", candidatesTokenCount=count) for count in (3, 7, 12)]
    decoded = decode(array(events))
    assert decoded.usage == {"completion_tokens": {"value": 12, "provenance": "last_cumulative"}}


@given(st.integers(0, len(GEMINI_ARRAY)), st.lists(st.integers(1, 200), min_size=1, max_size=9))
def test_of_an_array_that_was_cut_the_elements_that_came_are_read(at, lengths):
    body = GEMINI_ARRAY[:at]
    cut = structs.replace(CORPUS["gemini array"], response_body=body, response_whole=False)
    decoded = decode(t.chunked(cut, lengths))
    came = [end for _, end in Elements(GEMINI_ARRAY, 1 << 20, 99) if end <= at]
    assert decoded.inference.get("delivered_chunks", 0) == len(came)
    assert decoded.problems == []
    if came:
        assert told(decoded)["total_tokens"] == GEMINI[len(came) - 1]["usageMetadata"]["totalTokenCount"]
    else:
        assert decoded.usage == {}


def test_an_element_has_come_when_its_last_byte_has():
    body = b'[{"a":"\xc3\xa9}"}\n,\r\n{"b":' + b"9" * 5000 + b"} ]"
    elements = Elements(body, 1 << 20, 9)
    assert [end for _, end in elements] == [12, len(body) - 2]
    assert elements.closed
    captured = t.chunked(CORPUS["gemini array"], [100])
    ends = [end for _, end in Elements(GEMINI_ARRAY, 1 << 20, 9)]
    assert decode(captured).timing["first_token_ms"] == pytest.approx(1000 * (0.1 + 0.01 * ((ends[0] - 1) // 100)))


@given(st.binary(max_size=99) | st.text('[]{}",:\\ 1a\n', max_size=99).map(str.encode), st.integers(0, 99), st.integers(0, 9))
def test_any_bytes_are_looked_through_once(data, most, limit):
    elements = Elements(b"[" + data, most, limit)
    found = list(elements)
    assert len(found) <= limit
    assert all(text == (b"[" + data)[end - len(text) : end] for text, end in found)
    assert isinstance(trailing_elements(data + b"]", frozenset("a")), tuple)


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"[" + b"[" * 3_000_000, b"[" + b'{"a":' * 700_000, b"[" + b"{}," * 900_000, b"[" + b" ," * 2_000_000])
def test_hostile_arrays_stay_within_their_bounds(body):
    decoded = decode(array(body, response_whole=False))
    assert decoded.usage == {}
    assert not [problem for problem in decoded.problems if "failed" in problem]


def test_an_array_that_is_none_is_a_problem():
    for body in (b"[1,2]", b'[{"candidates":[]},', b'[{"candidates":[]} x'):
        assert decode(array(body)).problems == [
            "response body: not JSON: an array without an end, or with something else than objects in it"
        ]


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_the_end_alone_still_tells_usage(name, data):
    captured = CORPUS[name]
    kept = data.draw(st.integers(1, len(captured.response_body) - 1))
    part = decode(holed(captured, data.draw(st.integers(1, 9)), kept))
    last = GEMINI[-1]["usageMetadata"]
    if kept > len(json.dumps(GEMINI[-1], indent=2)) + 10:
        assert part.inference["choices"][0]["finish_reason"] == "STOP"
        assert "text" not in part.inference["choices"][0]
        assert told(part) | {"cached_tokens": 4} == COUNTS
    for number, value in told(part).items():
        assert number == "cached_tokens" or value in (COUNTS[number], last["totalTokenCount"])


def test_a_number_that_only_an_event_before_the_last_has_is_read_of_the_end_too():
    events = [gemini({"text": "x" * 4000}, promptTokenCount=1), gemini({"text": "a"}, cachedContentTokenCount=4), GEMINI[-1]]
    captured = array(events)
    assert told(decode(holed(captured, 100, 1000))) == COUNTS


def test_an_array_over_the_bound_of_json_is_read_at_its_ends():
    captured = array([*[GEMINI[1]] * 200, gemini({"text": "y" * 1000}, promptTokenCount=9, cachedContentTokenCount=4), GEMINI[-1]])
    decoded = decode(captured, Limits(json_bytes=4096, tail_bytes=2048))
    assert told(decoded) == COUNTS
    assert "delivered_chunks" not in decoded.inference
    assert [problem for problem in decoded.problems if "only the beginning and the end are read" in problem]


def test_a_broken_off_array_with_a_hole_tells_nothing_of_its_end():
    assert told(decode(holed(CORPUS["gemini array"], 1, 60, ended=False))) == {}
