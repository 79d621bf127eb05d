"""Every number that was told is kept, once, wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.decode.usage import Told, Usage
from collector.decode.usage_names import USAGE, Names
from tests.decode import transcripts as t
from tests.decode.test_usage import cumulative, reported, stream

MESSAGES = "/v1/messages"
LARGEST = (1 << 63) - 1


def whole(usage: Any, path: str = t.CHAT, **more: Any) -> Any:
    return decode(t.exchange(path, {}, {"choices": [], "usage": usage, **more})).usage


def message(usage: dict[str, Any]) -> Any:
    return decode(t.exchange(MESSAGES, {}, {"type": "message", "content": [], "usage": usage}))


def test_cache_writes_are_kept_by_their_lifetime() -> None:
    writes = {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600}
    usage = message({"input_tokens": 10, "cache_creation_input_tokens": 1000, "cache_creation": writes}).usage
    assert usage["cache_creation_tokens"] == reported(1000)
    assert usage["cache_creation_5m_tokens"] == reported(400)
    assert usage["cache_creation_1h_tokens"] == reported(600)


def test_fees_for_each_request_are_kept() -> None:
    usage = message({"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2, "dig_requests": 1}}).usage
    assert usage == {
        "web_search_requests": reported(3),
        "web_fetch_requests": reported(2),
        "other": {"server_tool_use.dig_requests": 1},
    }


def test_what_has_no_name_is_kept_under_its_path() -> None:
    told = {"cost": 0.00123, "iterations": [{"input_tokens": 9}, {"input_tokens": 8}], "prompt_tokens_details": {"text_tokens": 4.0}}
    assert whole(told | {"is_byok": False, "speed": "fast", "nothing": None})["other"] == {
        "cost": 0.00123,
        "iterations.0.input_tokens": 9,
        "iterations.1.input_tokens": 8,
        "prompt_tokens_details.text_tokens": 4,
    }


def test_of_a_stream_the_last_present_value_of_each_is_kept() -> None:
    running = [t.delta({"content": "a"}, usage={"cost": 1, "queue_time": 0.5}), t.delta({"content": "b"}, usage={"cost": 2})]
    assert stream(*running, t.final({"prompt_tokens": 3, "cost": None}))["other"] == {"cost": 2, "queue_time": 0.5}


@pytest.mark.parametrize("name", ["what I wrote", "4111111111111111", "card4111111111111111", "a.b", "", "x" * 65, "é"])
def test_a_member_that_is_no_name_is_not_kept(name: str) -> None:
    assert whole({name: 5, "details": {name: 5}}) == {}


def test_other_numbers_are_bounded_and_it_is_said() -> None:
    decoded = decode(t.exchange(t.CHAT, {}, {"usage": {f"n_{chr(97 + i // 26)}_{chr(97 + i % 26)}": i for i in range(100)}}))
    assert len(decoded.usage["other"]) == 48
    assert [problem for problem in decoded.problems if "further numbers" in problem]


def test_what_is_too_deep_or_too_far_in_a_list_is_said() -> None:
    for told in ({"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, {"iterations": [{"n": 1}] * 9}):
        [problem] = decode(t.exchange(t.CHAT, {}, {"usage": told})).problems
        assert "too deep" in problem


def test_a_known_name_without_a_count_is_a_problem() -> None:
    decoded = decode(t.exchange(t.CHAT, {}, {"usage": {"prompt_tokens": "12", "prompt_tokens_details": {"cached_tokens": -1}}}))
    assert decoded.usage == {}
    [problem] = decoded.problems
    assert problem.endswith("no count: prompt_tokens, prompt_tokens_details.cached_tokens")


def test_whole_floats_are_counts_and_fractions_are_seconds_only() -> None:
    assert whole({"prompt_tokens": 42.0, "completion_tokens": 1.5, "prompt_audio_seconds": 8.47}) == {
        "prompt_tokens": reported(42),
        "audio_seconds": reported(8.47),
    }


@pytest.mark.parametrize("where", ["choice", "wrapper"])
def test_usage_that_stands_elsewhere_is_found(where: str) -> None:
    tokens = t.tokens(19, 13)
    more = {"usage": None} if where == "choice" else {"x_groq": {"id": "r", "usage": tokens}}
    last = t.delta({}, finish="stop") | more
    if where == "choice":
        last["choices"][0]["usage"] = tokens
    expected = {"prompt_tokens": reported(19), "completion_tokens": reported(13), "total_tokens": reported(32)}
    assert stream(*t.words("a"), last) == expected
    answer = {"choices": [{"index": 0, "message": {"content": "a"}, **({"usage": tokens} if where == "choice" else {})}], **more}
    assert decode(t.exchange(t.CHAT, {}, answer)).usage == expected


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_the_tier_that_served_is_told(path: str) -> None:
    served = decode(t.exchange(path, {"input": "x", "service_tier": "auto"}, {"service_tier": "flex", "output": []})).inference
    assert served["service_tier"] == "flex"
    assert "service_tier" not in decode(t.exchange(path, {"service_tier": "flex"}, {"output": []})).inference
    assert message({"input_tokens": 1, "service_tier": "priority"}).inference["service_tier"] == "priority"


def test_usage_beside_an_error_is_read() -> None:
    failed = t.delta({"content": ""}, finish="error", usage=t.tokens(10, 2)) | {"error": {"code": 502, "message": "gone"}}
    decoded = decode(t.streamed([*t.words("ye"), failed]))
    assert decoded.usage["completion_tokens"] == reported(2)
    assert decoded.inference["error"]["message"] == "gone"
    assert decoded.inference["choices"][0]["finish_reason"] == "error"


def test_a_total_that_falls_to_zero_leaves_the_one_above_it() -> None:
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 0, "output_tokens": 7}},
    ]
    usage = decode(t.streamed(events, MESSAGES, done=False)).usage
    assert usage["prompt_tokens"] == reported(25)
    assert usage["completion_tokens"] == cumulative(7)
    assert usage["conflicts"] == [{"name": "prompt_tokens", "values": [25, 0]}]


@pytest.mark.parametrize("path", [MESSAGES, "/v1/responses"])
def test_types_of_events_that_stand_in_the_event_line_alone(path: str) -> None:
    if path == MESSAGES:
        events = [
            ("message_start", {"message": {"usage": {"input_tokens": 10}}}),
            ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ]
    else:
        response = {"id": "r", "status": "completed", "usage": {"input_tokens": 10, "output_tokens": 5}}
        events = [("response.output_text.delta", {"delta": "yes"}), ("response.completed", {"response": response})]
    body = "".join(f"event: {name}\ndata: {json.dumps(event)}\n\n" for name, event in events).encode()
    usage = decode(t.exchange(path, {}, body, response_headers=t.SSE)).usage
    assert usage == {"prompt_tokens": reported(10), "completion_tokens": reported(5)}


@pytest.mark.parametrize(
    ("method", "path", "answer", "told"),
    [
        ("POST", "/v1/responses/compact", {"object": "response.compaction"}, True),
        ("GET", "/v1/responses/r", {"background": True, "status": "completed"}, True),
        ("POST", "/v1/responses/r/cancel", {"background": True, "status": "cancelled"}, True),
        ("GET", "/v1/responses/r", {"background": False, "status": "completed"}, False),
        ("GET", "/v1/responses/r", {"status": "completed"}, False),
    ],
)
def test_a_response_tells_usage_where_it_is_told_nowhere_else(method: str, path: str, answer: dict[str, Any], told: bool) -> None:
    asked = {"model": "m", "input": "x"} if method == "POST" else None
    decoded = decode(t.exchange(path, asked, {"id": "r", "output": [], "usage": {"input_tokens": 7}, **answer}, method=method))
    assert decoded.usage == ({"prompt_tokens": reported(7)} if told else {})
    assert "choices" not in decoded.inference


def paths(names: Names, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    return [
        found
        for key, known in names.items()
        for found in ([((*above, key), known)] if isinstance(known, str) else paths(known, (*above, key)))
    ]


@pytest.mark.parametrize(("path", "name"), paths(USAGE))
def test_every_alias_is_read(path: tuple[str, ...], name: str) -> None:
    usage: Any = 7
    for key in reversed(path):
        usage = {key: usage}
    assert whole(usage) == {name: reported(7)}


NAMES = st.from_regex(r"\A[a-z_]{1,12}\Z") | st.sampled_from([key for path, _ in paths(USAGE) for key in path])
NUMBERS = st.integers(-LARGEST, LARGEST) | st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.booleans()
OBJECTS = st.recursive(
    st.dictionaries(NAMES, NUMBERS, max_size=6), lambda inner: st.dictionaries(NAMES, inner | NUMBERS, max_size=6), max_leaves=6
)


def numbers(usage: dict[str, Any], depth: int = 5) -> list[Any]:
    found = []
    for value in usage.values():
        if isinstance(value, dict):
            found += numbers(value, depth - 1) if depth > 1 else []
        elif type(value) in (int, float) and abs(value) <= LARGEST:
            found.append(value)
    return found


@given(OBJECTS)
def test_no_number_is_dropped_without_a_word(told: dict[str, Any]) -> None:
    usage = Usage()
    usage.frame(told)
    found = usage.as_json()
    orjson.dumps(found)
    conflicts = [value for conflict in found.get("conflicts", ()) for value in conflict["values"]]
    kept = [number.value for number in usage.numbers.values()] + list(usage.other.values()) + conflicts
    assert [value for value in numbers(told) if value not in kept] == [] or usage.odd or usage.over or len(conflicts) >= 8


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(list(Told))), min_size=1, max_size=12))
def test_a_number_never_falls_to_zero_and_a_fall_is_never_silent_at_the_end(told: list[tuple[int, Told]]) -> None:
    usage = Usage()
    for value, when in told:
        usage.note("prompt_tokens", value, when)
    values = [value for value, _ in told]
    assert (usage.value("prompt_tokens") == 0) == (max(values) == 0)
    if values[-1] == 0 < max(values):
        assert "conflicts" in usage.as_json()


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_stream_that_retrieves_tells_usage_of_a_background_response_alone(background: bool, named: bool) -> None:
    response = {"id": "r", "status": "completed", "background": background, "output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}
    events = [{"type": "response.completed", "response": response}, *([] if named else [{"usage": {"input_tokens": 5}}])]
    decoded = decode(t.get("/v1/responses/r?stream=true", t.sse(events, False, named=named), response_headers=t.SSE))
    assert decoded.usage == ({"prompt_tokens": reported(1), "completion_tokens": reported(2)} if background else {})
