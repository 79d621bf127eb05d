"""What must hold for any way of cutting and any bytes: the same record, no exception, no endless loop, bounded memory.

`MESHSCRIBE_FUZZ_BYTES` sets how many mutated bytes are decoded (default: ten million).
"""

import os
import random
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import DEFAULT, Captured, Decoded, Limits, Tail, decode
from collector.decode.timing import ordered
from collector.decode.usage_names import FRACTIONS
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS

FUZZ_BYTES = int(os.environ.get("MESHSCRIBE_FUZZ_BYTES", "10000000"))
NAMES = sorted(CORPUS)
SMALL = Limits(
    decoded_bytes=4096, ratio_free=1024, json_bytes=2048, events=8, messages=4, choices=2, tool_calls=2, tensors=2, dimensions=2, parts=2,
    name_chars=16, error_chars=16, problems=3,
)  # fmt: skip


@given(st.sampled_from(NAMES), st.lists(st.integers(1, 90), min_size=1, max_size=40))
def test_any_split_into_chunks_gives_the_same_inference_and_usage(name, lengths):
    whole = decode(CORPUS[name])
    split = decode(t.chunked(CORPUS[name], lengths))
    assert (split.inference, split.usage, split.problems) == (whole.inference, whole.usage, whole.problems)


@given(st.sampled_from(NAMES), st.lists(st.integers(1, 90), min_size=1, max_size=40), st.randoms())
def test_the_order_in_which_chunks_are_told_does_not_matter(name, lengths, shuffler):
    captured = t.chunked(CORPUS[name], lengths)
    chunks = list(captured.chunks)
    shuffler.shuffle(chunks)
    assert decode(structs.replace(captured, chunks=chunks)) == decode(captured)
    assert ordered(chunks) == list(captured.chunks)


@given(st.sampled_from(NAMES), st.floats(0, 1))
def test_a_longer_capture_never_knows_less_text(name, share):
    """What a cut stream delivered is a beginning of what the whole one did."""
    captured = CORPUS[name]
    cut = structs.replace(captured, response_body=captured.response_body[: int(len(captured.response_body) * share)], response_whole=False)
    texts = {choice["index"]: choice.get("text", "") for choice in decode(captured).inference.get("choices", [])}
    for choice in decode(cut).inference.get("choices", []):
        assert texts[choice["index"]].startswith(choice.get("text", ""))


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1))
def test_a_capture_cut_anywhere_is_never_a_fault_of_the_decoder(name, asked, answered):
    captured = CORPUS[name]
    cut = structs.replace(
        captured,
        request_body=captured.request_body[: int(len(captured.request_body) * asked)],
        request_whole=False,
        response_body=captured.response_body[: int(len(captured.response_body) * answered)],
        response_whole=False,
    )
    check(decode(cut))


KEYS = (
    "model", "choices", "index", "delta", "message", "content", "text", "usage", "prompt_tokens", "error", "type", "response", "item",
    "output", "tool_calls", "function", "arguments", "name", "id", "inputs", "outputs", "instances", "shape", "datatype", "parameters",
    "details", "token", "generated_text", "meta_info", "object", "data", "output_index", "content_block",
    "done", "done_reason", "response", "thinking", "prompt_eval_count", "eval_count",
    "candidates", "parts", "finishReason", "usageMetadata", "promptTokenCount", "promptTokensDetails", "functionCall", "embeddings",
    "bytes", "metadata", "inputTokens", "cacheDetails", "contentBlockIndex", "toolUse", "stopReason", "outputs",
)  # fmt: skip
KINDS = (
    "message_start", "message_delta", "content_block_start", "content_block_delta", "content_block_stop", "response.created",
    "response.completed", "response.output_item.added", "response.function_call_arguments.delta", "transcript.text.delta", "error",
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


@given(st.sampled_from(NAMES), json_values, st.lists(json_values, max_size=6), st.sampled_from(KINDS), st.booleans())
def test_json_of_any_shape_is_never_a_fault_of_the_decoder(name, asked, answers, kind, streamed):
    like = CORPUS[name]
    answers = [answer | {"type": kind} if isinstance(answer, dict) else answer for answer in answers]
    body = t.sse(answers) if streamed else t.dumps(answers[0] if answers else None)
    captured = t.exchange(like.path, t.dumps(asked), body, method=like.method, response_headers=t.SSE if streamed else t.JSON)
    check(decode(captured))


@given(
    method=st.sampled_from(["GET", "POST", "", "x"]),
    path=st.text(max_size=40) | st.sampled_from([captured.path for captured in CORPUS.values()]),
    status=st.none() | st.integers(0, 999),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["content-type", "content-encoding", "grpc-encoding", "grpc-status", "grpc-message", "inference-header-content-length"]
            ),
            st.text(max_size=20) | st.sampled_from(["gzip", "br", "zstd", "deflate", "text/event-stream", "application/grpc", "4"]),
        ),
        max_size=6,
    ),
    asked=st.binary(max_size=200),
    answer=st.binary(max_size=200),
    chunks=st.lists(st.tuples(st.integers(-9, 300), st.integers(-9, 300), st.floats(0, 9)), max_size=9),
)
def test_nothing_at_all_is_a_fault_of_the_decoder(method, path, status, headers, asked, answer, chunks):
    captured = Captured(method, path, status, headers, asked, True, headers, headers, answer, True, chunks, 1.0)
    check(decode(captured))
    check(decode(captured, SMALL))


def check(decoded: Decoded) -> None:
    """A result keeps the record's rules whatever was decoded."""
    assert not [problem for problem in decoded.problems if problem.startswith("the decoder failed")]
    assert decoded.inference["protocol"]
    orjson.dumps([decoded.inference, decoded.usage, decoded.timing, decoded.problems])
    assert None not in decoded.inference.values()
    assert len(decoded.problems) <= DEFAULT.problems + 2
    for name, number in decoded.usage.items():
        if name == "other":
            assert 0 < len(number) <= 48
            assert all(type(value) in (int, float) for value in number.values())
        elif name != "conflicts":
            assert number["value"] >= 0
            assert type(number["value"]) is int or name in FRACTIONS


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One of the usual ways in which bytes go wrong."""
    if not data:
        return chance.randbytes(chance.randrange(64))
    out = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        at, length = chance.randrange(len(out) or 1), chance.choice((1, 1, 4, 32))
        kind = chance.randrange(6)
        if kind == 0:
            out[at : at + length] = chance.randbytes(length)
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length] * chance.choice((1, 2, 100))
        elif kind == 3:
            out[at:at] = chance.choice(
                (b"\n\n", b"\r\n", b'"', b"{", b"[", b"null", b"-1", b"1e999", b"\xff\xff\xff\xff", b"data: ", b"\\ud800")
            )
        elif kind == 4:
            out = out[:at]
        elif out:
            out[at] ^= 1 << chance.randrange(8)
        if not out:
            break
    return bytes(out)


def holed(captured: Captured, chance: random.Random) -> Captured:
    """The same with the middle of both bodies missing."""
    sides = {"request": captured.request_body, "response": captured.response_body}
    heads = {f"{side}_body": body[: chance.randrange(len(body) + 1)] for side, body in sides.items()}
    tails = {f"{side}_tail": Tail(9999, body[chance.randrange(len(body) + 1) :], chance.random() < 0.8) for side, body in sides.items()}
    return structs.replace(captured, **heads, **tails)


@pytest.mark.slow
@pytest.mark.timeout(max(300, FUZZ_BYTES // 50_000))
def test_mutated_transcripts_are_never_a_fault_of_the_decoder():
    chance = random.Random(FUZZ_BYTES)
    done = 0
    while done < FUZZ_BYTES:
        captured = CORPUS[chance.choice(NAMES)]
        lies = structs.replace(
            captured,
            path=captured.path if chance.random() < 0.9 else CORPUS[chance.choice(NAMES)].path,
            request_body=mutated(captured.request_body, chance),
            response_body=mutated(captured.response_body * chance.choice((1, 1, 20)), chance),
            request_whole=chance.random() < 0.5,
            response_whole=chance.random() < 0.5,
        )
        if chance.random() < 0.3:
            lies = holed(lies, chance)
        decoded = decode(t.chunked(lies, [chance.randrange(1, 200)]), chance.choice((DEFAULT, SMALL)))
        check(decoded)
        done += len(lies.request_body) + len(lies.response_body) + 1


HOSTILE = {
    "empty events": t.streamed([], done=False, response_whole=True).response_body + b"\n\n" * 4_000_000,
    "carriage returns": b"data: 1\r\n" + b"\r" * 2_000_000,
    "tiny events": b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n' * 150_000,
    "nested arrays": b"data: " + b"[" * 3_000_000 + b"\n\n",
    "empty lists": b'{"choices":[' + b"[]," * 1_000_000 + b"1]}",
    "one long string": b'{"model":"' + b"x" * 3_000_000 + b'"}',
    "open strings": b'{"a":"' + b'\\"' * 1_500_000,
    "commas cut": b'{"a":[' + b"1," * 1_000_000,
    "many choices": b'data: {"choices":[' + b",".join(b'{"index":%d,"delta":{"content":"a"}}' % i for i in range(50_000)) + b"]}\n\n",
    "many calls": b'data: {"choices":[{"delta":{"tool_calls":['
    + b",".join(b'{"index":%d,"id":"%d","function":{"name":"f"}}' % (i, i) for i in range(50_000))
    + b"]}}]}\n\n",
}
QUICK = ("carriage returns", "nested arrays", "one long string", "open strings", "commas cut")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in HOSTILE])
def test_hostile_bodies_stay_within_their_bound(name):
    captured = t.exchange(t.CHAT, t.ASKED, HOSTILE[name], response_whole="cut" not in name and "open" not in name)
    if HOSTILE[name].startswith((b"data", b"\n")):
        captured = structs.replace(captured, response_headers=t.SSE)
    tracemalloc.start()
    try:
        check(decode(captured))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < DEFAULT.decoded_bytes + 30 * DEFAULT.json_bytes


def test_many_grpc_frames_stay_within_their_bound():
    captured = structs.replace(CORPUS["v2 grpc stream"], response_body=bytes(5) * 1_000_000)
    check(decode(captured))
