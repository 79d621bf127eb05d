"""Bodies of which the beginning and the end are known: what the end tells is read, and nothing that it does not tell."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, Decoded, Limits, Tail, decode, trailing
from collector.decode.trailing import trailing_members
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS

WANTED = frozenset(("model", "usage"))
NAMES = sorted(CORPUS)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["usage", "model", "a", 'q"', "b\\"]), inner, max_size=4),
    max_leaves=12,
)


def holed(captured: Captured, head: int, start: int, ended: bool = True) -> Captured:
    """The exchange with the response's bytes between these offsets missing."""
    body = captured.response_body
    tail = Tail(start, body[start:], ended) if start < len(body) else None
    return structs.replace(captured, response_body=body[:head], response_whole=False, response_tail=tail)


def told(decoded: Decoded) -> dict[str, int]:
    return {name: number["value"] for name, number in decoded.usage.items() if name not in ("conflicts", "other")}


@given(st.dictionaries(st.sampled_from(["usage", "model", "x", "y"]), values, min_size=1), st.booleans(), st.booleans(), st.data())
def test_members_are_those_of_the_outermost_object(value: dict[str, Any], spaced: bool, ascii_only: bool, data: st.DataObject) -> None:
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=ascii_only).encode()
    cut = data.draw(st.integers(0, len(text)))
    found = trailing_members(text[cut:], WANTED)
    assert not found or all(value[name] == told for name, told in found[0].items())
    if cut == 0:
        assert found == [{name: value[name] for name in WANTED & set(value)}]


@given(st.binary(max_size=300) | st.text('{}[]",:\\ u"usage"1', max_size=200).map(str.encode))
def test_no_bytes_are_too_much(data: bytes) -> None:
    assert isinstance(trailing_members(data + b"}", WANTED), list)


@pytest.mark.parametrize("text", [b"}" * 300_000, b'"' * 300_000 + b"}", b'\\"' * 150_000 + b'"}', b"[" * 150_000 + b"]" * 150_000 + b"}",
                                  b'{"usage":' * 40_000 + b"1" + b"}" * 40_000, b'"usage":1,' * 30_000 + b'"a":1}'])  # fmt: skip
def test_work_grows_with_the_text_and_no_faster(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    work = 0

    def counted(function: Callable[..., Any], cost: Callable[..., int]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            nonlocal work
            work += cost(*args)
            return function(*args)

        return called

    monkeypatch.setattr(trailing, "_take", counted(trailing._take, lambda *_: 1))
    monkeypatch.setattr(trailing, "loads", counted(trailing.loads, len))
    half = text[len(text) // 2 :]
    for part in (half, text):
        before, work = work, 0
        trailing_members(part, WANTED)
    assert 0 < work <= max(2.1 * before, 5000)


def test_what_only_looks_like_a_member_is_none() -> None:
    inside = rb"it said \"usage\":{\"prompt_tokens\":9}"
    assert trailing_members(inside + rb'"},"usage":{"prompt_tokens":1}}', WANTED) == [{"usage": {"prompt_tokens": 1}}, {}]
    assert trailing_members(rb'"a":{"usage":{"prompt_tokens":9}}}', WANTED) == [{}]
    assert trailing_members(rb'"usage":{"prompt_tokens":9}', WANTED) == [{}]
    assert trailing_members(rb'usage":1,"model":"m","model":"n"}', WANTED) == [{"model": "n"}]
    assert trailing_members(rb'[{"usage":1}]', WANTED) == []


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1))
def test_what_is_told_of_a_body_with_a_hole_is_told_of_the_whole_one(name: str, first: float, second: float) -> None:
    captured = CORPUS[name]
    size = len(captured.response_body)
    head, start = sorted((int(size * first), int(size * second)))
    whole, part = decode(captured), decode(holed(captured, head, start, captured.response_whole))
    for number, found in part.usage.items():
        if number.endswith("_tokens") and "reported" == found["provenance"] == whole.usage.get(number, {}).get("provenance"):
            assert found == whole.usage[number]
    if "model_answered" in part.inference:
        assert part.inference["model_answered"] == whole.inference["model_answered"]


PIECE = {"choices": [{"index": 0, "text": " w"}]}
LAST = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
STREAMS = {
    "chat": t.streamed([*t.words(*(f" w{n}" for n in range(200))), t.delta({}, finish="length"), t.final(t.tokens(3, 200))]),
    "completions": t.streamed([*[PIECE] * 200, LAST, t.final(t.tokens(3, 200))], "/v1/completions"),
}


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_the_end_of_a_stream_tells_usage_and_why_it_ended_and_no_text(name: str) -> None:
    captured = STREAMS[name]
    size = len(captured.response_body)
    whole, part = decode(captured), decode(holed(captured, 2000, size - 1500))
    assert part.usage == whole.usage
    [choice], [all_of_it] = part.inference["choices"], whole.inference["choices"]
    assert choice["finish_reason"] == all_of_it["finish_reason"]
    assert all_of_it["text"].startswith(choice["text"])
    assert len(choice["text"]) < len(all_of_it["text"]) / 2


def test_a_stream_whose_tail_does_not_reach_a_whole_event_tells_nothing() -> None:
    captured = STREAMS["chat"]
    size = len(captured.response_body)
    part = decode(holed(captured, 2000, size - 10))
    assert part.usage == {}
    assert "finish_reason" not in part.inference["choices"][0]


def test_parts_that_passed_are_not_counted_where_the_middle_is_missing() -> None:
    captured = STREAMS["chat"]
    assert decode(captured).inference["delivered_chunks"] == 200
    assert "delivered_chunks" not in decode(holed(captured, 2000, len(captured.response_body) - 1500)).inference


def test_running_totals_in_the_head_and_the_final_ones_behind_the_hole() -> None:
    events = [word | {"usage": t.tokens(3, n)} for n, word in enumerate(t.words(*"abcdefgh" * 20), 1)]
    captured = t.streamed([*events, t.delta({}, finish="stop"), t.final(t.tokens(3, 160))])
    part = decode(holed(captured, 3000, len(captured.response_body) - 700))
    assert told(part) == {"prompt_tokens": 3, "completion_tokens": 160, "total_tokens": 163}
    assert "conflicts" not in part.usage


def test_embeddings_tell_usage_and_no_shape() -> None:
    data = [{"object": "embedding", "index": n, "embedding": [0.25] * 50} for n in range(50)]
    captured = t.exchange("/v1/embeddings", {"model": "m", "input": ["a"] * 50}, {"data": data, "model": "bge", "usage": t.tokens(9, 0)})
    part = decode(holed(captured, 1000, len(captured.response_body) - 300))
    assert told(part)["prompt_tokens"] == 9
    assert part.inference["model_answered"] == "bge"
    assert "outputs" not in part.inference


def test_an_answer_that_was_broken_off_tells_nothing_by_its_last_bytes() -> None:
    answer = t.dumps({"choices": [{"message": {"content": "x" * 500 + ' "usage":{"prompt_tokens":9}}'}}]})
    cut = answer[: answer.index(b"9}}") + 3]
    captured = t.exchange(answer=cut, response_whole=False, asked={"model": "m"})
    assert decode(holed(captured, 100, len(cut) - 40, ended=False)).usage == {}


def test_a_model_behind_the_hole_is_the_one_that_was_asked_for() -> None:
    asked = t.dumps({"messages": [{"role": "user", "content": "x" * 5000}], "model": "behind"})
    captured = t.exchange(asked=asked[:1000], request_whole=False, request_tail=Tail(4000, asked[4000:], True))
    assert decode(captured).inference["model_requested"] == "behind"


def test_a_last_event_of_responses_without_its_beginning() -> None:
    usage = {"input_tokens": 4, "output_tokens": 500, "total_tokens": 504}
    whole = {
        "id": "resp_1",
        "status": "completed",
        "model": "gpt",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "y" * 9000}]}],
    }
    events = [
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt"}},
        {"type": "response.completed", "response": whole | {"usage": usage}},
    ]
    captured = t.exchange("/v1/responses", {"model": "m", "stream": True}, t.sse(events, done=False, named=True), response_headers=t.SSE)
    assert told(decode(holed(captured, 300, len(captured.response_body) - 900))) == {
        "prompt_tokens": 4,
        "completion_tokens": 500,
        "total_tokens": 504,
    }


def test_pictures_tell_usage_and_are_not_counted() -> None:
    answer = {"created": 1, "data": [{"b64_json": "A" * 900}, {"b64_json": "B" * 900}], "usage": {"input_tokens": 4, "output_tokens": 50}}
    captured = t.exchange("/v1/images/generations", {"model": "m", "prompt": "p"}, answer)
    assert told(decode(holed(captured, 1000, len(captured.response_body) - 200))) == {"prompt_tokens": 4, "completion_tokens": 50}
    events = [{"type": "image_generation.completed", **answer["data"][0], "usage": answer["usage"]}]
    for many, head in ((1, 500), (3, 1500)):
        streamed = t.exchange("/v1/images/generations", {"model": "m"}, t.sse(events * many, False, named=True), response_headers=t.SSE)
        part = decode(holed(streamed, head, len(streamed.response_body) - 200))
        assert told(part) == {"prompt_tokens": 4, "completion_tokens": 50}


def test_the_end_of_an_encoded_body_is_not_guessed() -> None:
    captured = STREAMS["chat"]
    packed = gzip.compress(captured.response_body)
    part = structs.replace(captured, response_body=packed, response_headers=[*t.SSE, ("content-encoding", "gzip")])
    decoded = decode(holed(part, 200, len(packed) - 50))
    assert decoded.usage == {}
    assert any("its end is encoded" in problem for problem in decoded.problems)


def test_a_json_object_over_its_bound_is_not_given_up() -> None:
    answer = t.dumps({"choices": [{"message": {"content": "x" * 5000}}], "model": "m", "usage": t.tokens(3, 4)})
    decoded = decode(t.exchange(asked={"model": "m"}, answer=answer), Limits(json_bytes=2048, tail_bytes=512))
    assert told(decoded) == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_calls_that_report_no_usage_report_none_by_their_end() -> None:
    answer = t.dumps({"id": "x", "output": [{"content": "y" * 3000}], "usage": t.tokens(3, 4)})
    captured = t.get("/v1/responses/resp_1", answer)
    assert decode(holed(captured, 500, len(answer) - 200)).usage == {}


def test_long_speech_and_transcriptions_tell_usage() -> None:
    usage = {"input_tokens": 5, "output_tokens": 100, "total_tokens": 105}
    events = [*[{"type": "speech.audio.delta", "audio": "A" * 2000}] * 5, {"type": "speech.audio.done", "usage": usage}]
    spoken = t.exchange("/v1/audio/speech", {"model": "m", "input": "x"}, t.sse(events, False), response_headers=t.SSE)
    part = decode(holed(spoken, 3000, len(spoken.response_body) - 1000))
    assert told(part) == {"prompt_tokens": 5, "completion_tokens": 100, "total_tokens": 105, "input_characters": 1}
    verbose = {"text": "x" * 5000, "words": [{"word": "a"}] * 300, "usage": {"type": "duration", "seconds": 61}}
    written = t.exchange("/v1/audio/transcriptions", b"", verbose)
    assert told(decode(holed(written, 3000, len(written.response_body) - 500))) == {"audio_seconds": 61}
    chunks = [*t.words(*"abcdefgh" * 20), t.final(t.tokens(3, 160))]
    streamed = t.streamed(chunks, "/v1/audio/transcriptions", b"")
    assert told(decode(holed(streamed, 3000, len(streamed.response_body) - 700)))["completion_tokens"] == 160


@pytest.mark.parametrize(
    "answer",
    [
        {"generated_text": "x" * 5000, "details": {"finish_reason": "length", "generated_tokens": 7, "input_length": 3}},
        {"text": "x" * 5000, "meta_info": {"finish_reason": {"type": "length"}, "completion_tokens": 7, "prompt_tokens": 3}},
    ],
)
def test_texts_tell_details_and_why_they_ended(answer: dict[str, Any]) -> None:
    captured = t.exchange("/generate", {"inputs": "x"}, answer)
    part = decode(holed(captured, 1000, len(captured.response_body) - 500))
    assert told(part) == {"prompt_tokens": 3, "completion_tokens": 7}
    assert part.inference["choices"] == [{"index": 0, "finish_reason": "length"}]


def test_a_model_behind_the_hole_is_not_that_of_a_deployment() -> None:
    asked = t.dumps({"messages": [{"role": "user", "content": "x" * 5000}], "model": "other"})
    path = "/openai/deployments/gpt/chat/completions"
    captured = t.exchange(path, asked[:1000], request_whole=False, request_tail=Tail(4000, asked[4000:], True))
    assert decode(captured).inference["model_requested"] == "gpt"


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/model/dear/converse", "messages"),
        ("/model/dear/invoke", "messages"),
        ("/v1beta/models/dear:generateContent", "contents"),
        ("/v1/projects/p/publishers/anthropic/models/dear:rawPredict", "messages"),
    ],
)
def test_a_model_that_a_body_adds_is_not_that_of_the_path(path: str, member: str) -> None:
    asked = t.dumps({member: [{"role": "user", "content": [{"text": "x" * 5000}]}], "inferenceConfig": {}, "model": "cheap"})
    long = t.exchange(path, asked[:1000], request_whole=False, request_tail=Tail(4000, asked[4000:], True))
    told = [decode(captured).inference for captured in (long, t.exchange(path, asked))]
    assert [(one["protocol"] != "unknown", one["model_requested"]) for one in told] == [(True, "dear")] * 2


def test_the_end_of_events_that_were_declared_as_lines_is_read_as_events() -> None:
    captured = t.exchange(t.CHAT, t.ASKED, STREAMS["chat"].response_body, response_headers=t.LINES)
    whole, part = decode(captured), decode(holed(captured, 0, len(captured.response_body) - 1500))
    assert part.usage == whole.usage
    assert part.problems == []


def test_a_list_of_answers_of_which_some_are_missing_tells_no_counts() -> None:
    captured = CORPUS["llama.cpp batch"]
    size = len(captured.response_body)
    part = decode(holed(captured, size // 2, size, captured.response_whole))
    assert "completion_tokens" not in part.usage
    assert part.inference["choices"][0]["text"] == "Hi"
