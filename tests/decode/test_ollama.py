"""Ollama's own API, as lines of JSON and as one, and what answers to its paths without being Ollama."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, Limits, Tail, decode
from collector.describe.hops import FREE
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS, OLLAMA_ASKED, OLLAMA_CHAT, OLLAMA_DONE, ollama_lines

COUNTS = {"prompt_tokens": 31, "cached_tokens": 30, "completion_tokens": 11}
DURATIONS = {"total_duration": 904_417_000, "load_duration": 51_000_000, "prompt_eval_duration": 8_000_000, "eval_duration": 83_000_000}


def reported(**counts):
    return {name: {"value": value, "provenance": "reported"} for name, value in counts.items()}


def chat(lines, asked=OLLAMA_ASKED, **more) -> Captured:
    return t.exchange("/api/chat", asked, t.lines(lines), **{"response_headers": t.LINES} | more)


def tailed(captured: Captured, kept: int, ended: bool = True) -> Captured:
    """Of the answer the first byte and the last few."""
    body = captured.response_body
    return structs.replace(
        captured, response_body=body[:1], response_whole=False, response_tail=Tail(len(body) - kept, body[-kept:], ended)
    )


def test_a_chat_is_put_together_from_its_lines():
    decoded = decode(CORPUS["ollama chat"])
    assert decoded.inference == {
        "protocol": "ollama",
        "operation": "chat",
        "model_requested": "qwen3:8b",
        "model_answered": "qwen3:8b",
        "streamed": True,
        "delivered_chunks": 4,
        "choices": [
            {
                "index": 0,
                "role": "assistant",
                "text": "Héllo",
                "reasoning": "hm ",
                "tool_calls": [{"id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'}],
                "finish_reason": "stop",
            }
        ],
    }
    assert decoded.usage == reported(**COUNTS) | {"other": DURATIONS}
    assert decoded.problems == []


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/chat", {"Model": "qwen3:8b", "Messages": [], "Stream": False}),
        ("/api/generate", {"MODEL": "qwen3:8b", "PROMPT": "x", "stream": False}),
        ("/api/chat", {"Model": "qwen3:8b", "Messages": [], "jsonrpc": "2.0", "method": "tools/call", "id": 1}),
        ("/api/chat", {"\u212aey": 1, "Model": "qwen3:8b", "Me\u017fsages": []}),
    ],
)
def test_names_of_members_count_in_any_case_as_they_do_for_the_server(path, asked):
    answer = {"model": "qwen3:8b", "response": "x", "message": {"content": "x"}, **OLLAMA_DONE}
    for captured in (t.exchange(path, asked, answer), t.exchange(path, asked, t.lines([answer]), response_headers=t.LINES)):
        decoded = decode(captured)
        assert (decoded.inference["protocol"], decoded.inference["model_requested"]) == ("ollama", "qwen3:8b")
        assert decoded.usage == reported(**COUNTS) | {"other": DURATIONS}


def test_a_stream_that_is_not_asked_for_is_told_in_any_case():
    for asked, streamed in (({"Stream": False}, False), ({"stream": False}, False), ({"STREAM": True}, True), ({}, True)):
        assert decode(t.exchange("/api/chat", {"Model": "m", "messages": []} | asked)).inference["streamed"] is streamed


def test_pictures_are_counted_in_any_case():
    asked = {"Model": "m", "Prompt": "x", "Images": ["a", "b"]}
    assert decode(t.exchange("/api/generate", asked, {"model": "m", **OLLAMA_DONE})).usage["images"]["value"] == 2


@pytest.mark.parametrize("asked", [{"x": 1}, {"jsonrpc": "2.0", "method": "tools/call", "id": 1}, [1]])
def test_an_answer_that_surely_is_one_is_not_overruled_by_what_was_asked(asked):
    assert decode(t.exchange("/api/chat", asked, {"model": "m", **OLLAMA_DONE})).usage["completion_tokens"]["value"] == 11


def test_an_answer_that_is_not_streamed():
    decoded = decode(CORPUS["ollama generate"])
    assert decoded.inference["choices"] == [{"index": 0, "text": "Hello", "finish_reason": "stop"}]
    assert (decoded.inference["operation"], decoded.inference["streamed"]) == ("generate", False)
    assert decoded.usage == reported(**COUNTS) | {"other": DURATIONS}


@pytest.mark.parametrize("absent", ["prompt_eval_count", "eval_count", "prompt_eval_cached_count"])
def test_a_count_that_is_left_out_is_not_known(absent):
    done = {key: value for key, value in OLLAMA_DONE.items() if key != absent}
    usage = decode(chat(ollama_lines({"content": "x"}, **done))).usage
    name = {"prompt_eval_count": "prompt_tokens", "eval_count": "completion_tokens", "prompt_eval_cached_count": "cached_tokens"}[absent]
    assert usage == reported(**{other: value for other, value in COUNTS.items() if other != name}) | {"other": DURATIONS}


def test_durations_alone_are_no_usage():
    done = {key: value for key, value in OLLAMA_DONE.items() if not key.endswith("_count")}
    assert decode(chat(ollama_lines({"content": "x"}, **done))).usage == {}


def test_a_stream_that_was_broken_off_has_its_text_and_no_usage():
    captured = chat(OLLAMA_CHAT[:2], response_whole=False)
    decoded = decode(captured)
    assert decoded.inference["choices"] == [{"index": 0, "role": "assistant", "text": "Hél", "reasoning": "hm "}]
    assert decoded.usage == {}


def test_embeddings():
    decoded = decode(CORPUS["ollama embed"])
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [2, 2]}]
    assert (decoded.inference["operation"], decoded.usage) == ("embeddings", reported(rows=2, prompt_tokens=4))
    older = decode(t.exchange("/api/embeddings", {"model": "m", "prompt": "a"}, {"embedding": [0.5, 1, 2]}))
    assert older.inference["outputs"] == [{"name": "embedding", "shape": [1, 3]}]
    assert (older.inference["protocol"], older.usage) == ("ollama", reported(rows=1))


def test_images_that_were_asked_about_are_counted():
    asked = {"model": "m", "messages": [{"role": "user", "content": "?", "images": ["aGk=", "aGk="]}]}
    assert decode(chat(OLLAMA_CHAT, asked)).usage["images"] == reported(images=2)["images"]
    asked = {"model": "m", "prompt": "?", "images": ["aGk="]}
    done = {"model": "m", "response": "x"} | OLLAMA_DONE
    assert decode(t.exchange("/api/generate", asked, done)).usage["images"] == reported(images=1)["images"]


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_putting_a_model_into_memory_is_free(reason):
    answer = {"model": "m", "created_at": "2026-10-01T10:00:00Z", "response": "", "done": True, "done_reason": reason}
    decoded = decode(t.exchange("/api/generate", {"model": "m", "keep_alive": 0}, answer))
    assert (decoded.inference["protocol"], decoded.inference["operation"], decoded.usage) == ("ollama", reason, {})
    assert reason in FREE


def test_errors():
    refused = decode(t.exchange("/api/chat", OLLAMA_ASKED, {"error": "model 'x' not found"}, status=404))
    assert (refused.inference["protocol"], refused.inference["error"]) == ("ollama", {"message": "model 'x' not found"})
    broken = decode(chat([*OLLAMA_CHAT[:2], {"error": "an error was encountered while running the model"}]))
    assert broken.inference["error"] == {"message": "an error was encountered while running the model"}
    assert (broken.inference["choices"][0]["text"], broken.usage) == ("Hél", {})


def test_what_was_asked_is_streamed_unless_it_says_otherwise():
    for asked, streamed in (({}, True), ({"stream": True}, True), ({"stream": False}, False)):
        assert decode(t.exchange("/api/chat", OLLAMA_ASKED | asked)).inference["streamed"] is streamed
    cut = t.exchange("/api/chat", t.dumps(OLLAMA_ASKED)[:-1], request_whole=False)
    assert "streamed" not in decode(cut).inference


@pytest.mark.parametrize(
    ("path", "asked", "answer", "headers"),
    [
        ("/api/chat", OLLAMA_ASKED, t.sse([{"type": "text-delta", "delta": "x"}]), t.SSE),
        ("/api/chat", OLLAMA_ASKED, b'0:"Hello"\n', [("content-type", "text/plain")]),
        ("/api/chat", OLLAMA_ASKED, {"reply": "x"}, t.JSON),
        ("/api/chat", {"messages": [], "id": "c1"}, {"done": True}, t.JSON),
        ("/api/generate", {"model": "m", "kind": "pdf"}, {"job": 1}, t.JSON),
        ("/api/generate", {"model": "m"}, b"", t.JSON),
        ("/api/embed", {"url": "https://example.com"}, {"html": ""}, t.JSON),
    ],
)
def test_applications_under_the_same_paths_are_not_ollama(path, asked, answer, headers):
    decoded = decode(t.exchange(path, asked, answer, response_headers=headers))
    assert (decoded.inference, decoded.usage) == ({"protocol": "unknown"}, {})


def test_other_servers_under_the_same_paths_stay_what_they_are():
    answer = {"generated_text": "x", "details": {"generated_tokens": 1}}
    assert decode(t.exchange("/api/generate", {"inputs": "x"}, answer)).inference["protocol"] == "tgi"
    vectors = {"data": [{"embedding": [1]}], "usage": t.tokens(1, 0)}
    assert decode(t.exchange("/api/embeddings", {"model": "m", "input": "x"}, vectors)).inference["protocol"] == "openai-embeddings"
    assert decode(t.exchange("/v1/chat/completions", t.ASKED, {"choices": []})).inference["protocol"] == "openai-chat"


@given(st.integers(1, len(t.lines(OLLAMA_CHAT)) - 1))
def test_the_end_alone_still_tells_usage(kept):
    whole, part = decode(CORPUS["ollama chat"]), decode(tailed(CORPUS["ollama chat"], kept))
    for name, number in part.usage.items():
        assert number == whole.usage[name] or name == "other"
    if kept >= len(t.dumps(OLLAMA_CHAT[-1])) + 1:
        assert part.usage == whole.usage
        assert part.inference["choices"][0]["finish_reason"] == "stop"


def test_a_last_line_whose_beginning_is_missing_still_tells_usage():
    last = {"model": "m", "response": "", "context": list(range(5000))} | OLLAMA_DONE
    captured = t.exchange(
        "/api/generate",
        {"model": "m", "prompt": "x"},
        t.lines([{"model": "m", "response": "a", "done": False}, last]),
        response_headers=t.LINES,
    )
    assert decode(tailed(captured, 1000)).usage == reported(**COUNTS) | {"other": DURATIONS}
    assert decode(tailed(captured, 1000, ended=False)).usage == {}


def test_of_more_lines_than_are_read_the_last_tell_usage():
    captured = chat(ollama_lines(*({"content": f"w{number} "} for number in range(200))))
    decoded = decode(captured, Limits(events=50))
    assert decoded.usage == reported(**COUNTS) | {"other": DURATIONS}
    assert "delivered_chunks" not in decoded.inference
    assert decoded.problems == ["more than 50 events: those between the first and the last are not read"]
    assert decode(captured).inference["delivered_chunks"] == 200
