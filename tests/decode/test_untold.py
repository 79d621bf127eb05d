"""Of a call without usage exactly one reason is told, in the order that docs/decoding.md gives, and of no other call."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, Decoded, Tail, decode
from collector.decode.limits import DEFAULT
from collector.decode.route_table import CHAT, IMAGES
from collector.decode.untold import Signs, is_any, reason
from collector.messages.usage import UsageAbsence
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS
from tests.decode.test_properties import SMALL, holed, json_values, mutated

TEXT = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text()
NAMES = sorted(CORPUS)
ASKED = t.ASKED | {"stream_options": {"include_usage": True}}
HELLO = t.words("Hel", "lo")
FLAGS = (True, False)


def expected(signs: Signs) -> str:
    """The table, written another way: each reason with what must hold for it."""
    seen = signs.known and signs.read and not signs.withheld
    shown = seen and not (signs.unseen and not signs.ended)
    rules = {
        "withheld": signs.withheld,
        "unknown_protocol": not signs.known and not signs.withheld,
        "capture_limit": signs.known
        and not signs.withheld
        and (not signs.read or (signs.unseen and not signs.ended) or (signs.ended and signs.asked is None)),
        "aborted_before_usage": shown and not signs.ended,
        "not_asked": shown and signs.ended and signs.asked is False,
        "not_told": shown and signs.ended and signs.asked is True,
    }
    [found] = [name for name, holds in rules.items() if holds]
    return found


@pytest.mark.parametrize("signs", [Signs(*each) for each in itertools.product(*[FLAGS] * 5, (True, False, None))])
def test_every_combination_of_signs_gives_one_reason(signs: Signs) -> None:
    assert reason(signs) == expected(signs)


def test_the_page_tells_the_reasons_in_their_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \| ", TEXT.partition("## Why there is no usage")[2], re.MULTILINE)[1:7]) == get_args(UsageAbsence)


def stream(events: list[Any], asked: Any = ASKED, **more: Any) -> Captured:
    return t.streamed(events, asked=asked, **more)


TGI_STREAM = [{"index": 1, "token": {"id": 1, "text": "a", "special": False}, "generated_text": "a", "details": None}]
FAILED = {"error": {"message": "out of memory"}}
GEMINI = "/v1beta/models/g:generateContent"


def masked(query: str, header: str = "") -> Captured:
    headers = [*t.JSON, ("x-goog-fieldmask", header)] if header else t.JSON
    return t.exchange(GEMINI + query, {"contents": []}, {"candidates": []}, request_headers=headers)


CASES: dict[str, tuple[Captured, str | None]] = {
    "a stream that tells it": (stream([*HELLO, t.final(t.tokens(1, 2))]), None),
    "a stream without the option": (stream(HELLO, t.ASKED), "not_asked"),
    "a server that tells nothing though asked": (stream(HELLO), "not_told"),
    "asked for in every event": (stream(HELLO, t.ASKED | {"stream_options": {"continuous_usage_stats": True}}), "not_told"),
    "an answer at once": (t.exchange(t.CHAT, {"model": "m"}, {"choices": []}), "not_told"),
    "broken off": (stream(HELLO, done=False, response_whole=False), "aborted_before_usage"),
    "broken off and not asked for": (stream(HELLO, t.ASKED, done=False, response_whole=False), "aborted_before_usage"),
    "left at the end mark": (stream(HELLO, t.ASKED, response_whole=False), "not_asked"),
    "cut": (stream(HELLO, done=False, response_whole=False, response_unseen=True), "capture_limit"),
    "cut behind its end mark": (stream(HELLO, response_whole=False, response_unseen=True), "not_told"),
    "nothing captured": (t.exchange(t.CHAT, ASKED, response_whole=False, response_unseen=True), "capture_limit"),
    "left before there was a status": (t.exchange(t.CHAT, {"model": "m"}, status=None, response_whole=False), "aborted_before_usage"),
    "an error after a part": (stream([*HELLO, FAILED]), "aborted_before_usage"),
    "an error at once": (stream([FAILED]), None),
    "refused": (t.exchange(t.CHAT, ASKED, FAILED, status=429), None),
    "elsewhere": (t.exchange(t.CHAT, ASKED, status=307), None),
    "a request that was cut": (stream(HELLO, b'{"model":"m","messages":[', request_whole=False), "capture_limit"),
    "zeros": (t.exchange(t.CHAT, {"model": "m"}, {"choices": [], "usage": t.tokens(0, 0)}), None),
    "nulls": (t.exchange(t.CHAT, {"model": "m"}, {"choices": [], "usage": {"prompt_tokens": None}}), "not_told"),
    "only a cost": (t.exchange(t.CHAT, {"model": "m"}, {"choices": [], "usage": {"cost": 0.1}}), None),
    "a coding nobody knows": (
        t.exchange(t.CHAT, {"model": "m"}, b"\xfe\xed\xfa" * 99, response_headers=[*t.JSON, ("content-encoding", "lzw")]),
        "capture_limit",
    ),
    "TGI without details": (t.streamed(TGI_STREAM, "/generate_stream", {"inputs": "a"}, done=False), "not_asked"),
    "TGI with details": (t.streamed(TGI_STREAM, "/generate_stream", {"inputs": "a", "parameters": {"details": True}}), "not_told"),
    "SGLang": (t.exchange("/generate", {"text": "a"}, {"text": "b"}), "not_told"),
    "Gemini's usage left out by a mask": (masked("?fields=candidates"), "not_asked"),
    "left out by a mask of the system's": (masked("?x=1&%24fields=candidates%2FusageMetadata,responseId"), "not_asked"),
    "left out by a mask in a header": (masked("", "candidates.content"), "not_asked"),
    "left in by a mask": (masked("?fields=candidates%28content%29%2CusageMetadata%2FtotalTokenCount"), "not_told"),
    "left in by a mask of all": (masked("", "*"), "not_told"),
    "left in by one of two masks": (masked("?fields=candidates", "usage_metadata"), "not_told"),
    "more parameters than are looked at": (masked("?fields=candidates" + "&x=1" * 99), "not_told"),
    "no mask": (masked("?fields="), "not_told"),
    "a form that is not read": (
        t.exchange(f"{GEMINI}?$alt=proto", {"contents": []}, b"\n\x08\x12\x06",
                   response_headers=[("content-type", "application/x-protobuf")]),
        "capture_limit",
    ),
    "counted": (t.exchange("/v1/models/m:predict", {"instances": [1]}, {"predictions": [1]}), None),
    "counted in nothing": (t.exchange("/v1/models/m:predict", {"x": 1}, {"y": 1}), "not_told"),
    "counted in what was cut": (
        t.exchange("/v1/models/m:predict", b'{"instances":[1', b'{"predictions":[', request_whole=False, response_whole=False,
                   response_unseen=True),
        "capture_limit",
    ),
    "texts of KServe V2": (t.exchange("/v2/models/m/generate", {"text_input": "a"}, {"text_output": "b"}), "not_told"),
    "in the background": (
        t.exchange("/v1/responses", {"input": "a", "background": True}, {"object": "response", "status": "queued", "output": []}),
        "not_told",
    ),
    "a list": (t.get("/v1/models", {"object": "list", "data": []}), None),
    "counting tokens": (t.exchange("/v1/messages/count_tokens", {"model": "m", "messages": []}, {"input_tokens": 3}), None),
    "metrics": (t.get("/metrics", b"a 1"), None),
    "Ollama loads a model": (t.exchange("/api/chat", {"model": "m"}, {"done": True, "done_reason": "load", "model": "m"}), None),
    "no route": (t.exchange("/api/other", {"model": "m"}, {"done": True}), "unknown_protocol"),
    "no method of gRPC": (t.exchange("/inference.GRPCInferenceService/Other", b""), "unknown_protocol"),
    "a WebSocket": (t.get("/chat", status=101, request_headers=[("upgrade", "websocket")], response_whole=False), "unknown_protocol"),
    "a WebSocket on which nothing was asked": (
        t.get("/v1/responses", status=101, request_headers=[("upgrade", "websocket")], response_whole=False),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_reason_is(name: str) -> None:
    captured, wanted = CASES[name]
    decoded = decode(captured)
    assert decoded.untold == wanted, (decoded.inference, decoded.usage, decoded.problems)


def test_an_image_that_was_asked_about_is_not_what_was_done() -> None:
    asked = t.ASKED | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    decoded = decode(stream(HELLO, asked))
    assert decoded.usage["images"]["value"] == 1
    assert decoded.untold == "not_asked"
    assert is_any(["images"], {"protocol": IMAGES})
    assert not is_any(["images"], {"protocol": CHAT})


def test_an_estimate_is_nothing_that_was_told() -> None:
    decoded = decode(stream(HELLO, t.ASKED), estimator=lambda _, text: len(text))
    assert decoded.usage["completion_tokens"]["provenance"] == "estimated"
    assert decoded.untold == "not_asked"


@pytest.mark.parametrize(
    ("tail", "wanted"),
    [
        (Tail(90_000, t.sse(t.words("b")), True), "not_told"),
        (Tail(90_000, t.sse(t.words("b")), False), "not_told"),
        (Tail(90_000, t.sse(t.words("b"), done=False), False), "aborted_before_usage"),
        (Tail(90_000, t.sse([t.final(t.tokens(1, 2))]), True), None),
        (None, "capture_limit"),
    ],
)
def test_of_a_long_stream_its_end_decides(tail: Tail | None, wanted: str | None) -> None:
    long = stream(HELLO, done=False, response_whole=False, response_unseen=True, response_tail=tail)
    assert decode(long).untold == wanted


def test_the_end_of_a_long_encoded_stream_cannot_be_read() -> None:
    packed = t.encoded(stream(HELLO), "gzip", t.gzipped)
    tail = Tail(90_000, packed.response_body[-20:], True)
    long = structs.replace(packed, response_body=packed.response_body[:60], response_whole=False, response_unseen=True, response_tail=tail)
    assert decode(long).untold == "capture_limit"


def test_json_over_the_bound_is_not_read_whole() -> None:
    captured = t.exchange("/v1/models/m:predict", {"x": 1}, {"predictions": [1] * 4000})
    assert decode(captured, SMALL).untold == "capture_limit"


def check(captured: Captured, decoded: Decoded) -> None:
    """Whoever may have done something has numbers or one reason, and nobody has both."""
    route_is_known = decoded.inference["protocol"] != "unknown"
    numbers = [name for name in decoded.usage if name != "conflicts"]
    told = "other" in decoded.usage or is_any([name for name in numbers if name != "other"], decoded.inference)
    assert not (told and decoded.untold)
    assert decoded.untold is None or decoded.untold in get_args(UsageAbsence)
    assert decoded.untold != "withheld"
    refused = captured.status is not None and not (200 <= captured.status < 300 or captured.status == 101)
    if refused:
        assert decoded.untold is None
    elif route_is_known and "error" not in decoded.inference and decoded.inference.get("operation") in GENERATING:
        assert told != (decoded.untold is not None)


GENERATING = frozenset((
    "chat", "completion", "response", "compact", "embeddings", "pooling", "classify", "rerank", "score", "transcription", "translation",
    "speech", "image", "messages", "generate", "generate_stream", "infer", "infer_stream", "explain", "predict", "regress",
))  # fmt: skip


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans(), st.none() | st.sampled_from([200, 204, 500]))
def test_a_capture_cut_anywhere_has_numbers_or_one_reason(
    name: str, asked: float, answered: float, whole: bool, unseen: bool, status: int | None
) -> None:
    like = CORPUS[name]
    cut = structs.replace(
        like, request_body=like.request_body[: int(len(like.request_body) * asked)], request_whole=asked == 1, response_unseen=unseen,
        response_body=like.response_body[: int(len(like.response_body) * answered)], response_whole=whole, status=status,
    )  # fmt: skip
    check(cut, decode(cut))


@given(st.sampled_from(NAMES), st.randoms(use_true_random=False), st.booleans())
def test_bytes_gone_wrong_have_numbers_or_one_reason(name: str, chance: random.Random, gap: bool) -> None:
    like = CORPUS[name]
    wrong = structs.replace(like, request_body=mutated(like.request_body, chance), response_body=mutated(like.response_body, chance))
    wrong = holed(wrong, chance) if gap else wrong
    for limits in (DEFAULT, SMALL):
        check(wrong, decode(wrong, limits))


@given(st.sampled_from(NAMES), json_values, st.lists(json_values, max_size=4), st.booleans())
def test_json_of_any_shape_has_numbers_or_one_reason(name: str, asked: Any, answers: list[Any], streamed: bool) -> None:
    like = CORPUS[name]
    body = t.sse(answers) if streamed else t.dumps(answers[0] if answers else None)
    captured = t.exchange(like.path, t.dumps(asked), body, method=like.method, response_headers=t.SSE if streamed else t.JSON)
    check(captured, decode(captured))


@pytest.mark.parametrize("path", ["/mcp", "/tools"])
def test_mcp_is_no_inference(path: str) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a"}}
    decoded = decode(t.exchange(path, asked, {"jsonrpc": "2.0", "id": 1, "result": {}}))
    assert (decoded.inference["protocol"], decoded.untold) == ("mcp", None)
