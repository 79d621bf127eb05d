"""TEI over gRPC: tokens from the metadata of each answer, rows from what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import Captured, decode
from tests.decode import transcripts as t

GRPC = [("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


def metadata(tokens: int) -> bytes:
    return t.member(2, t.member(1, 12) + (t.member(2, tokens) if tokens else b"") + t.member(3, 5_000))


def embedded(tokens: int) -> bytes:
    return t.member(1, bytes(4 * 3)) + metadata(tokens)


def called(method: str, asked: Sequence[bytes], answers: Sequence[bytes], service: str = "Embed", **more: Any) -> Captured:
    told = {"request_headers": GRPC, "response_headers": GRPC, "response_trailers": OK} | more
    return t.exchange(f"/tei.v1.{service}/{method}", t.grpc(*asked), t.grpc(*answers), **told)


def numbers(captured: Captured) -> dict[str, Any]:
    return {name: number["value"] for name, number in decode(captured).usage.items()}


TEXT = t.member(1, "hello") + t.member(2, 1)


def test_an_embedding() -> None:
    decoded = decode(called("Embed", [TEXT], [embedded(9)]))
    assert decoded.inference == {
        "protocol": "tei", "operation": "embeddings", "streamed": False, "outputs": [{"name": "embedding", "shape": [1, 3]}],
    }  # fmt: skip
    assert (decoded.classes, decoded.problems, decoded.untold) == ({"input_uncached": 9}, [], None)
    assert numbers(called("Embed", [TEXT], [embedded(9)])) == {"rows": 1, "prompt_tokens": 9}


@pytest.mark.parametrize(("service", "method", "asked", "operation", "rows"), [
    ("Embed", "EmbedAll", [TEXT], "embeddings", 1),
    ("Embed", "EmbedSparse", [TEXT], "embeddings", 1),
    ("Predict", "Predict", [TEXT], "classify", 1),
    ("Predict", "PredictPair", [t.member(1, "a") + t.member(1, "b")], "classify", 1),
    ("Rerank", "Rerank", [t.member(1, "q") + t.member(2, "a") + t.member(2, "b") + t.member(3, 1)], "rerank", 2),
    ("Rerank", "RerankStream", [t.member(1, "q") + t.member(2, "a")] * 3, "rerank", 3),
])  # fmt: skip
def test_what_else_it_computes(service: str, method: str, asked: Sequence[bytes], operation: str, rows: int) -> None:
    captured = called(method, asked, [t.member(1, b"") + metadata(7)], service)
    assert (decode(captured).inference["operation"], decode(captured).inference["protocol"]) == (operation, "tei")
    assert numbers(captured) == {"rows": rows, "prompt_tokens": 7}


def test_the_answers_of_a_stream_are_added_up() -> None:
    captured = called("EmbedStream", [TEXT] * 3, [embedded(4), embedded(0), embedded(5)])
    assert numbers(captured) == {"rows": 3, "prompt_tokens": 9}
    assert decode(captured).inference["delivered_chunks"] == 3
    assert decode(captured).inference["outputs"] == [{"name": "embedding", "shape": [3, 3]}]


def test_of_a_stream_of_which_not_all_was_seen_no_part_is_told() -> None:
    whole = called("EmbedStream", [TEXT] * 2, [embedded(4), embedded(5)])
    cut = structs.replace(whole, response_body=whole.response_body[:-3], response_whole=False, response_unseen=True)
    assert numbers(cut) == {"rows": 2}


@pytest.mark.parametrize("answers", [[embedded(4), embedded(5) + b"\xff"], [embedded(4), t.member(2, b"\x10\xff")]])
@pytest.mark.parametrize("method", ["Embed", "EmbedStream"])
def test_of_answers_that_are_no_messages_no_part_is_told(method: str, answers: Sequence[bytes]) -> None:
    captured = called(method, [TEXT] * 2, answers[1:] if method == "Embed" else answers)
    assert numbers(captured) == {"rows": 2}
    assert [problem for problem in decode(captured).problems if problem.startswith("response body: not a protobuf message")]


def test_an_error_in_the_trailers_of_a_browsers_call_is_told() -> None:
    web = [("content-type", "application/grpc-web")]
    trailers = b"\x80" + len(said := b"grpc-status: 8\r\ngrpc-message: busy\r\n").to_bytes(4, "big") + said
    decoded = decode(structs.replace(called("Embed", [TEXT], [], response_headers=web, response_trailers=[]), response_body=trailers))
    assert decoded.inference["error"] == {"type": "RESOURCE_EXHAUSTED", "code": 8, "message": "busy"}


@pytest.mark.parametrize(("service", "method", "operation"), [
    ("Tokenize", "Tokenize", "tokenize"), ("Tokenize", "DecodeStream", "detokenize"), ("Info", "Info", "metadata"),
])  # fmt: skip
def test_what_makes_no_model_work_is_free(service: str, method: str, operation: str) -> None:
    decoded = decode(called(method, [TEXT], [metadata(7)], service))
    assert (decoded.inference, decoded.usage, decoded.untold) == ({"protocol": "tei", "operation": operation}, {}, None)


def test_a_refusal_is_an_error_and_uses_nothing() -> None:
    refused = called("Embed", [TEXT], [], response_trailers=[("grpc-status", "8"), ("grpc-message", "overloaded")])
    decoded = decode(refused)
    assert decoded.inference["error"] == {"code": 8, "type": "RESOURCE_EXHAUSTED", "message": "overloaded"}
    assert numbers(refused) == {"asked_rows": 1}
    assert decoded.untold is None


@given(st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_no_token_is_lost_or_made_up(tokens: list[int]) -> None:
    captured = called("EmbedStream", [TEXT] * len(tokens), list(map(embedded, tokens)))
    assert numbers(captured).get("prompt_tokens") == (sum(tokens) if tokens else None)
