"""Responses over WebSockets and Realtime: each answer with its own usage, counted once, and the sum of all."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import DEFAULT, Captured, Decoded, Limits, Tail, decode
from tests.decode import transcripts as t
from tests.decode.socket_calls import (
    HEARD,
    REALTIME,
    SOCKETS,
    TRANSCRIBED,
    UPGRADE,
    answers,
    ask,
    begun,
    close,
    deflate,
    ended,
    frames,
    socket,
    tokens,
)
from tests.decode.test_properties import FUZZ_BYTES, check, json_values, mutated


def told(*events: Any, asked: int = 1, path: str = "/v1/responses", **more: Any) -> Decoded:
    return decode(socket(path, frames([ask()] * asked, mask=True), frames(events), **more))


def values(decoded: Decoded) -> dict[str, Any]:
    return {name: number["value"] for name, number in decoded.usage.items() if name not in ("other", "conflicts")}


def test_each_response_has_its_usage_and_the_call_their_sum():
    decoded = decode(SOCKETS["responses"])
    found = decoded.inference
    assert (found["protocol"], found["operation"], found["answer_count"], found["streamed"]) == ("openai-responses", "response", 3, True)
    assert [each["id"] for each in found["answers"]] == ["resp_0", "resp_1", "resp_2"]
    assert [each["usage"]["total_tokens"]["value"] for each in found["answers"]] == [103, 104, 105]
    assert values(decoded) == {
        "prompt_tokens": 303, "cached_tokens": 192, "completion_tokens": 9, "reasoning_tokens": 3, "total_tokens": 312,
    }  # fmt: skip
    assert decoded.classes == {"input_uncached": 111, "input_cached": 192, "output": 6, "reasoning": 3}
    assert sum(decoded.classes.values()) == 312
    assert (found["model_requested"], found["model_answered"], found["closed"]) == ("gpt-5", "gpt-5-1", {"by": "server", "code": 1000})
    assert [choice["text"] for choice in found["choices"]] == ["Answer 0", "Answer 1", "Answer 2"]
    assert (found["delivered_chunks"], decoded.untold, decoded.problems) == (9, None, [])
    assert "id" not in found


def test_a_connection_with_one_response_reads_as_any_call():
    found = decode(SOCKETS["one response"]).inference
    assert (found["id"], found["service_tier"], found["closed"]) == ("resp_0", "default", {"by": "server", "code": 1001, "reason": "bye"})


@pytest.mark.parametrize("packed", [None, deflate, lambda: deflate(False, 9)])
def test_five_hundred_responses_are_five_hundred_items(packed):
    asked, answered = (frames(m, mask, packed and packed()) for m, mask in (([ask()] * 500, True), (answers(500), False)))
    decoded = decode(socket("/v1/responses", asked, answered))
    items = decoded.inference["answers"]
    assert len({item["id"] for item in items}) == len(items) == decoded.inference["answer_count"] == 500
    assert sum(item["usage"]["total_tokens"]["value"] for item in items) == values(decoded)["total_tokens"] == sum(range(103, 603))
    assert sum(sum(item["usage_classes"].values()) for item in items) == sum(decoded.classes.values()) == sum(range(103, 603))


def test_beyond_a_number_of_responses_the_sum_holds_all():
    decoded = decode(SOCKETS["responses"], Limits(responses=2, choices=1))
    assert (len(decoded.inference["answers"]), decoded.inference["answer_count"]) == (2, 3)
    assert values(decoded)["total_tokens"] == 312
    assert decoded.problems == ["response body: of many or long answers of a WebSocket only the first are in `choices`"]


def test_the_end_of_a_response_counts_once_however_often_it_is_told():
    decoded = told(*answers(1), ended(0), *answers(1))
    assert decoded.inference["answer_count"] == 1
    assert values(decoded)["total_tokens"] == 103


def test_a_response_that_was_broken_off_says_so_beside_those_that_were_not():
    decoded = decode(SOCKETS["responses, broken off"])
    whole, broken = decoded.inference["answers"]
    assert (whole["finish_reason"], broken["usage_absent"], "usage" in broken) == ("completed", "aborted_before_usage", False)
    assert values(decoded)["total_tokens"] == 103
    assert decoded.untold is None
    assert decoded.inference["choices"][1]["text"] == "Answer 1"


@pytest.mark.parametrize(
    ("events", "asked", "more", "wanted"),
    [
        (begun(0), 1, {}, "aborted_before_usage"),
        ([], 1, {}, "aborted_before_usage"),
        (begun(0), 1, {"response_unseen": True}, "capture_limit"),
        ([], 1, {"response_unseen": True}, "capture_limit"),
        ([*begun(0), ended(0, usage={})], 1, {}, "not_told"),
        ([], 0, {}, None),
        ([{"type": "session.created"}], 0, {}, None),
        ([{"type": "error", "error": {"message": "no such model", "type": "invalid_request_error"}}], 1, {}, None),
        (answers(1), 1, {}, None),
        ([], 1, {"status": 403}, None),
    ],
)
def test_the_reason_for_no_usage_is(events, asked, more, wanted):
    assert told(*events, asked=asked, **more).untold == wanted


def test_an_error_is_told_where_nothing_was_answered():
    error = {"type": "error", "error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    assert told(error).inference["error"] == {"message": "slow down", "code": "rate_limit_exceeded"}
    assert "error" not in told(*answers(1), error).inference
    failed = told(*begun(0), {"type": "response.failed", "response": {"id": "resp_0", "status": "failed", "error": {"message": "oops"}}})
    assert failed.inference["error"] == {"message": "oops"}
    assert failed.inference["answers"][0]["finish_reason"] == "failed"


def test_where_both_closed_nobody_knows_who_began():
    decoded = decode(socket("/v1/responses", frames([ask()], mask=True) + close(1000, "", True), frames(answers(1)) + close(1000, "bye")))
    assert decoded.inference["closed"] == {"code": 1000, "reason": "bye"}


def test_what_differs_between_answers_is_told_with_each_only():
    decoded = told(*begun(0, "a"), ended(0, "a"), *begun(1, "b"), ended(1, "b"), asked=2)
    assert [each["model"] for each in decoded.inference["answers"]] == ["a", "b"]
    assert "model_answered" not in decoded.inference


def test_where_one_answer_tells_no_total_there_is_no_total():
    usage = tokens(5, 2)
    del usage["total_tokens"]
    decoded = told(*answers(1), *begun(1), ended(1, usage=usage))
    assert values(decoded) == {"prompt_tokens": 105, "cached_tokens": 64, "completion_tokens": 5, "reasoning_tokens": 2}
    assert sum(decoded.classes.values()) == 110


def test_where_the_tokens_of_one_do_not_add_up_none_are_told_by_what_they_cost():
    decoded = told(*answers(1), *begun(1), ended(1, usage={"input_tokens": 5, "output_tokens": 1, "total_tokens": 99}))
    assert (decoded.classes, "do not add up" in decoded.problems[0]) == ({}, True)
    assert decoded.inference["answers"][0]["usage_classes"]


def test_realtime_counts_responses_and_what_was_written_down():
    decoded = decode(SOCKETS["realtime"])
    found = decoded.inference
    assert (found["protocol"], found["model_requested"], found["answer_count"]) == ("openai-realtime", "gpt-realtime", 3)
    assert [(each["operation"], each["model"], each.get("finish_reason")) for each in found["answers"]] == [
        ("transcription", "whisper-1", None),
        ("response", "gpt-realtime", "completed"),
        ("response", "gpt-realtime", "turn_detected"),
    ]
    assert values(decoded)["total_tokens"] == 22 + 253 + 9
    assert found["choices"][1]["text"] == "Hello"
    assert found["choices"][1]["tool_calls"] == [{"id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'}]


def test_cached_sound_is_not_sound_and_cache_both():
    classes = decode(SOCKETS["realtime"]).inference["answers"][1]["usage_classes"]
    assert classes == {"input_cached": 74, "input_audio": 3, "input_image": 0, "input_uncached": 55, "output_audio": 91, "output": 30}
    assert sum(classes.values()) == HEARD["total_tokens"]


def test_of_sound_with_an_unknown_cache_nothing_is_told_by_what_it_costs():
    usage = HEARD | {"input_token_details": HEARD["input_token_details"] | {"cached_tokens_details": {"text_tokens": 1}}}
    assert "usage_classes" not in told({"type": "response.done", "response": {"id": "r", "usage": usage}}).inference["answers"][0]


def test_vllm_tells_transcriptions():
    decoded = decode(SOCKETS["realtime of vLLM"])
    assert [(each["operation"], each["model"]) for each in decoded.inference["answers"]] == [("transcription", "voxtral")] * 2
    assert values(decoded) == {"prompt_tokens": 60, "completion_tokens": 3, "total_tokens": 63}
    assert [choice["text"] for choice in decoded.inference["choices"]] == ["Hello", "you"]


def test_azure_names_the_deployment_in_the_query():
    events = frames([{"type": "response.done", "response": {"id": "r", "usage": tokens(1, 1)}}])
    decoded = decode(socket("/openai/realtime?api-version=2025-04-01&deployment=rt", b"", events))
    assert (decoded.inference["model_requested"], decoded.inference["answer_count"]) == ("rt", 1)


@pytest.mark.parametrize("path", ["/app/realtime", "/survey/responses", "/v1/realtime"])
def test_a_websocket_of_something_else_is_unknown(path):
    decoded = decode(socket(path, frames([{"event": "phx_join"}], mask=True), frames([{"event": "phx_reply", "type": "x"}])))
    assert (decoded.inference, decoded.untold) == ({"protocol": "unknown"}, "unknown_protocol")
    assert decode(socket("/app/realtime", b"", frames(REALTIME))).inference["answer_count"] == 3


def cut(captured: Captured, head: int, tail: int) -> Captured:
    """Of what the server sent the first and the last bytes."""
    data = captured.response_body
    behind = Tail(len(data) - tail, data[len(data) - tail :], False)
    return structs.replace(captured, response_body=data[:head], response_tail=behind, response_unseen=True)


def test_behind_a_gap_usage_is_read_and_what_is_missing_is_said():
    long = socket("/v1/responses", frames([ask()], mask=True), frames(answers(300)) + close())
    decoded = decode(cut(long, 10_200, 20_000))
    found = decoded.inference
    ids = [int(each["id"][5:]) for each in found["answers"] if "usage" in each]
    assert ids == sorted(set(ids))
    assert (ids[0], ids[-1], found["answers_unseen"]) == (0, 299, True)
    assert 20 < len(ids) < 100
    assert values(decoded)["total_tokens"] == sum(103 + number for number in ids)
    assert [each["usage_absent"] for each in found["answers"] if "usage" not in each] == ["capture_limit"]
    assert "delivered_chunks" not in found


def test_usage_of_a_last_response_that_is_longer_than_the_tail_is_read():
    end = ended(0)
    end["response"] = {"output": [{"type": "message", "content": [{"type": "output_text", "text": "x" * 50_000}]}], **end["response"]}
    end["response"]["output"] = [{"type": "message", "content": [{"type": "output_text", "text": "x" * 50_000}]}]
    long = socket("/v1/responses", frames([ask()], mask=True), frames([*begun(0), end]) + close())
    decoded = decode(cut(long, 300, 8_000))
    assert values(decoded)["total_tokens"] == 103
    assert decoded.inference["answers"][0]["usage_classes"]


def test_compressed_messages_behind_a_gap_that_cannot_be_read_are_a_reason():
    wire = frames(answers(200), packed=deflate())
    decoded = decode(cut(socket("/v1/responses", frames([ask()], mask=True), wire), 0, 1000))
    assert (decoded.untold, decoded.inference["answers_unseen"]) == ("capture_limit", True)
    assert any("compressed with what stands in bytes that are missing" in problem for problem in decoded.problems)


@given(st.integers(0, 12), st.integers(1, 6000), st.integers(1, 6000), st.sampled_from([None, (True, 15), (False, 9)]))
def test_whatever_is_missing_no_usage_is_made_up(count, head, tail, packed):
    whole = socket("/v1/responses", frames([ask()], mask=True), frames(answers(count), packed=packed and deflate(*packed)))
    size = len(whole.response_body)
    decoded = decode(cut(whole, min(head, size), min(tail, max(0, size - head))))
    ids = [each["id"] for each in decoded.inference.get("answers", []) if "id" in each]
    known = [each for each in decoded.inference.get("answers", []) if "usage" in each]
    assert len(set(ids)) == len(ids)
    assert all(each["usage"]["total_tokens"]["value"] == 103 + int(each.get("id", "resp_11")[5:]) for each in known if "id" in each)
    assert sum(each["usage"]["total_tokens"]["value"] for each in known) == values(decoded).get("total_tokens", 0)


@given(st.sampled_from(sorted(SOCKETS)), st.floats(0, 1), st.floats(0, 1))
def test_a_connection_that_is_cut_anywhere_is_never_a_fault(name, asked, answered):
    captured = SOCKETS[name]
    check(decode(structs.replace(
        captured,
        request_body=captured.request_body[: int(len(captured.request_body) * asked)],
        response_body=captured.response_body[: int(len(captured.response_body) * answered)],
    )))  # fmt: skip


KINDS = [str(event["type"]) for event in (*REALTIME, *TRANSCRIBED, *answers(1), ask())]


@given(st.lists(st.tuples(st.sampled_from([*KINDS, "error"]), json_values), max_size=8), st.sampled_from(["/v1/responses", "/v1/realtime"]))
def test_events_of_any_shape_are_never_a_fault(events, path):
    told = [value | {"type": kind} if isinstance(value, dict) else value for kind, value in events]
    told += [{"type": kind, key: value} for kind, value in events for key in ("response", "session", "usage")]
    check(decode(socket(path, frames(told, mask=True), frames(told))))


SHORT_TAILS = Limits(tail_bytes=64)


@pytest.mark.slow
def test_any_bytes_at_all_are_never_a_fault():
    chance, done = random.Random(3), 0
    kinds = list(SOCKETS.values())
    while done < FUZZ_BYTES // 4:
        of = chance.choice(kinds)
        body = mutated(of.response_body, chance)
        done += len(body) + len(of.request_body)
        at = chance.randrange(len(body) + 1)
        tail = Tail(at, body[at:], False) if chance.random() < 0.3 else None
        captured = structs.replace(
            of, request_body=mutated(of.request_body, chance), response_body=body[:at] if tail else body, response_tail=tail
        )
        check(decode(captured, DEFAULT if chance.random() < 0.5 else SHORT_TAILS))


def test_an_upgrade_that_was_refused_is_read_as_any_answer():
    decoded = decode(t.get("/v1/responses", {"error": {"message": "no key"}}, status=401, request_headers=UPGRADE))
    assert (decoded.inference["error"], decoded.untold) == ({"message": "no key"}, None)
