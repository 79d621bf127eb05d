"""The stream of an answer: each event has its time, waits and stalls are found, and the end is told."""

from __future__ import annotations

import gzip

import pytest
from msgspec import structs

from collector.conversation.stored import Side
from collector.conversation.timeline import timeline
from tests.conversation.kept import drawn, record_of
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS


def test_each_event_has_the_time_at_which_its_last_byte_came() -> None:
    told = drawn(t.by_event(t.streamed(t.words("Os", "lo")), start=0.1, gap=0.01))
    contents = [(event["text"], event["at_ms"]) for event in told["events"] if event["kind"] == "text"]
    assert contents == [("Os", pytest.approx(contents[0][1])), ("lo", pytest.approx(contents[0][1] + 10))]
    assert [part["at_ms"] for part in told["parts"]] == pytest.approx([100 + 10 * n for n in range(len(told["parts"]))])
    assert sum(event["length"] for event in told["events"]) == len(t.streamed(t.words("Os", "lo")).response_body)


def test_a_long_wait_is_a_stall_and_the_usual_ones_are_not() -> None:
    captured = t.by_event(t.streamed(t.words(*"abcdefgh")), start=0.1, gap=0.02)
    late = [(offset, length, at + (1.0 if number >= 4 else 0)) for number, (offset, length, at) in enumerate(captured.chunks)]
    told = drawn(structs.replace(captured, chunks=late))
    (stall,) = told["stalls"]
    assert stall["to_ms"] - stall["from_ms"] == pytest.approx(1020, abs=1)
    assert told["gaps"]["median_ms"] == pytest.approx(20, abs=0.2)


def test_of_a_compressed_stream_events_have_their_times_too() -> None:
    plain = t.streamed(t.words("Os", "lo"))
    body = gzip.compress(plain.response_body)
    captured = structs.replace(plain, response_body=body, response_headers=[*t.SSE, ("content-encoding", "gzip")])
    told = drawn(t.chunked(captured, [len(body) // 2 + 1]))
    assert all("at_ms" in event for event in told["events"])
    assert "".join(event.get("text", "") for event in told["events"]) == "Oslo"


def test_the_pieces_of_every_streamed_protocol_make_its_answer() -> None:
    for name, captured in CORPUS.items():
        record = record_of(captured)
        choices = record["inference"].get("choices", [])
        if record["inference"].get("streamed") is not True or len(choices) != 1:
            continue
        told = drawn(captured)
        for kind, member in (("text", "text"), ("reasoning", "reasoning")):
            pieces = "".join(event.get("text", "") for event in told["events"] if event["kind"] == kind)
            assert pieces == choices[0].get(member, "") or name == "gemini array", (name, kind)  # that is one JSON text, not events


def test_when_the_client_left_is_a_moment() -> None:
    told = drawn(t.by_event(t.streamed(t.words("Os"))), completeness=["client_aborted"], duration_ms=412.5)
    assert told["moments"][-1] == {"what": "client_left", "at_ms": 412.5}
    assert [moment["what"] for moment in told["moments"]][:2] == ["first_byte", "first_token"]


def test_without_stored_times_the_events_are_told_in_their_order() -> None:
    captured = t.by_event(t.streamed(t.words("Os", "lo")))
    told = timeline(record_of(captured), Side("response", captured.response_body), None)
    assert [event["text"] for event in told["events"] if event["kind"] == "text"] == ["Os", "lo"]
    assert not any("at_ms" in event for event in told["events"])
    assert told["missing"] == ["The times of the answer's chunks are not stored."]


def test_without_the_right_no_text_is_in_it() -> None:
    captured = t.by_event(t.streamed(t.words("s3cret")))
    assert "s3cret" in str(timeline(record_of(captured), Side("response", captured.response_body), None))
    assert "s3cret" not in str(timeline(record_of(captured), Side("response", captured.response_body), None, with_texts=False))


def test_damaged_times_are_said_and_cost_nothing_else() -> None:
    captured = t.streamed(t.words("Os"))
    for damaged in ("%%%", "AAAA", "eJwDAAAAAAE="):
        told = timeline(record_of(captured), Side("response", captured.response_body), damaged)
        assert told["problems"][0].startswith("the times of chunks are damaged")
        assert told["events"]
