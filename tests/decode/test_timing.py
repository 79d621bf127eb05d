"""Timing from chunk times."""

import zlib

import pytest
from msgspec import structs

from collector.decode import decode
from collector.decode.timing import arrivals, between
from tests.decode import transcripts as t

EVENTS = [t.delta({"role": "assistant", "content": ""}), *t.words("a", "b", "c", "d"), t.delta({}, finish="stop"), t.final(t.tokens(3, 9))]


def test_first_token_is_the_first_event_with_content():
    timing = decode(t.by_event(t.streamed(EVENTS), start=0.1, gap=0.02)).timing
    assert timing["first_byte_ms"] == 100.0
    assert timing["first_token_ms"] == 120.0
    assert timing["chunks"] == 8
    assert timing["inter_token_ms"] == {"p50": 20.0, "p95": 20.0, "max": 20.0}
    assert timing["stall_count"] == 0


@pytest.mark.parametrize("piece", [{"reasoning_content": "hm"}, t.tool(0, "{", "c", "f"), {"refusal": "no"}])
def test_reasoning_tool_calls_and_refusals_are_content(piece):
    timing = decode(t.by_event(t.streamed([t.delta({"role": "assistant"}), t.delta(piece)]))).timing
    assert timing["first_token_ms"] == 110.0


def test_an_event_happened_when_its_last_byte_came():
    body = t.sse(t.words("a", "b"), done=False)
    first = body.index(b"\n\n") + 2
    captured = t.streamed(t.words("a", "b"), done=False)
    chunks = [(0, first - 1, 0.1), (first - 1, 3, 0.2), (first + 2, len(body) - first - 2, 0.5)]
    timing = decode(structs.replace(captured, chunks=chunks)).timing
    assert (timing["first_byte_ms"], timing["first_token_ms"]) == (100.0, 200.0)
    assert timing["inter_token_ms"]["max"] == 300.0


def test_several_events_in_one_chunk_have_no_gap():
    timing = decode(t.chunked(t.streamed(EVENTS), [100_000])).timing
    assert timing["inter_token_ms"] == {"p50": 0.0, "p95": 0.0, "max": 0.0}
    assert "tokens_per_s" not in timing


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_timing_goes_through_the_content_encoding(coding):
    import brotli

    packer = zlib.compressobj(wbits=31) if coding == "gzip" else brotli.Compressor()
    pack = packer.compress if coding == "gzip" else packer.process
    events = [t.sse([event], done=False) for event in EVENTS]
    pieces = [pack(event) + (packer.flush(zlib.Z_SYNC_FLUSH) if coding == "gzip" else packer.flush()) for event in events]
    captured = t.encoded(t.streamed(EVENTS), coding, lambda _: b"".join(pieces))
    timing = decode(t.chunked(captured, [len(piece) for piece in pieces], start=0.1, gap=0.02)).timing
    assert timing["first_token_ms"] == 120.0
    assert timing["inter_token_ms"] == {"p50": 20.0, "p95": 20.0, "max": 20.0}


def test_stalls_are_gaps_of_more_than_a_second():
    captured = t.by_event(t.streamed(t.words("a", "b", "c", "d"), done=False))
    moments = [0.1, 0.2, 1.3, 2.2]
    chunks = [(offset, length, moment) for (offset, length, _), moment in zip(captured.chunks, moments, strict=True)]
    assert decode(structs.replace(captured, chunks=chunks)).timing["stall_count"] == 1


def test_the_pace_is_known_only_with_the_tokens():
    timed = t.by_event(t.streamed(EVENTS), start=0.0, gap=0.5)
    assert decode(timed).timing["tokens_per_s"] == round((9 - 1) / 1.5, 3)
    assert "tokens_per_s" not in decode(t.by_event(t.streamed(EVENTS[:-1]))).timing


def test_an_answer_that_is_not_streamed_has_no_tokens_in_time():
    answer = {"choices": [{"index": 0, "message": {"content": "x"}}], "usage": t.tokens(1, 5)}
    timing = decode(t.chunked(t.exchange(t.CHAT, {}, answer, duration=0.25), [10])).timing
    assert set(timing) == {"first_byte_ms", "chunks", "duration_ms"}
    assert timing["duration_ms"] == 250.0


def test_without_chunks_only_what_others_told_is_known():
    assert decode(t.streamed(EVENTS)).timing == {}
    assert decode(t.streamed(EVENTS, duration=1.5, upstream_first_byte=0.2)).timing == {
        "duration_ms": 1500.0,
        "upstream_first_byte_ms": 200.0,
    }


def test_chunks_beyond_the_captured_body_still_count():
    captured = t.by_event(t.streamed(EVENTS))
    cut = structs.replace(captured, response_body=captured.response_body[:400], response_whole=False)
    assert decode(cut).timing["chunks"] == 8


def test_empty_chunks_are_not_the_first_byte():
    captured = t.streamed(t.words("a"), done=False)
    size = len(captured.response_body)
    timing = decode(structs.replace(captured, chunks=[(0, 0, 0.1), (0, size, 0.3), (size, 0, 0.9)])).timing
    assert (timing["first_byte_ms"], timing["chunks"]) == (300.0, 1)


def test_a_gap_in_the_chunks_leaves_later_events_with_their_own_time():
    captured = t.by_event(t.streamed(t.words("a", "b", "c"), done=False))
    timing = decode(structs.replace(captured, chunks=[captured.chunks[0], captured.chunks[2]])).timing
    assert timing["first_token_ms"] == 100.0
    assert timing["inter_token_ms"]["max"] == 20.0


def test_grpc_stream_answers_are_timed():
    answers = [t.grpc(t.member(2, t.infer_response([t.proto_tensor("y", "INT64", [1])]))) for _ in range(3)]
    headers = [("content-type", "application/grpc")]
    captured = t.exchange("/inference.GRPCInferenceService/ModelStreamInfer", b"", b"".join(answers), response_headers=headers)
    timing = decode(t.chunked(captured, [len(answers[0])])).timing
    assert timing["first_token_ms"] == 100.0
    assert timing["inter_token_ms"]["p50"] == 10.0


def test_percentiles_are_by_nearest_rank():
    moments = [float(sum(range(number + 1))) for number in range(21)]  # gaps 1 to 20 seconds
    told, stalls = between(moments, 18.5)
    assert told == {"p50": 10_000.0, "p95": 19_000.0, "max": 20_000.0}
    assert stalls == 2


def test_offsets_that_never_came_have_no_time():
    assert arrivals([5, 10, 11], [5, 10], [0.1, 0.2]) == [0.1, 0.2]


def test_an_event_left_open_happened_with_the_last_chunk():
    body = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}'
    captured = t.exchange(t.CHAT, {}, body, response_headers=t.SSE, chunks=[(0, 49, 0.1), (49, 20, 0.2), (69, len(body) - 69, 0.3)])
    timing = decode(captured).timing
    assert timing["inter_token_ms"]["max"] == 200.0
