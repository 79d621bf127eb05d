"""Bodies longer than what the tap captures, at its default settings, through the real filter: their usage is known to the last token."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from collector.demo.audit import Record
from tests.mesh import long_answers
from tests.mesh.harness import new_id
from tests.mesh.two_hops import TwoHops

pytest_plugins = ["tests.mesh.shared"]
pytestmark = pytest.mark.mesh

LIMIT, TAIL = 1 << 20, 16 << 10
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
CUT = {"response_truncated"}
Call = Callable[..., tuple[Record, bytes]]


@pytest.fixture(scope="module")
def call(two_hops: TwoHops) -> Call:
    """Posts JSON through a listener; gives the record and the whole answer."""

    def post(path: str, asked: dict[str, Any], *flags: str, listener: str = "tapped", **headers: str) -> tuple[Record, bytes]:
        request_id = new_id()
        with httpx.Client(base_url=two_hops.url(listener), trust_env=False, timeout=120) as client:
            answer = client.post(path, json=asked, headers={"x-request-id": request_id, **headers})
        answer.raise_for_status()
        return two_hops.exchange(request_id, *flags, listener=listener), answer.content

    return post


def usage(record: Record) -> dict[str, int]:
    return {name: told["value"] for name, told in record["usage"].items() if "value" in told}


def has_hole(body: dict[str, Any], size: int) -> bool:
    """Whether the record says what is missing of a body of so many bytes, and nothing else is."""
    return bool(
        body["size"] == size
        and body["gaps"] == [[LIMIT, size - LIMIT - TAIL]]
        and (body["captured"], body["truncated"]) == (LIMIT + TAIL, True)
    )


def test_a_stream_of_6000_tokens(two_hops: TwoHops, call: Call) -> None:
    asked = {"model": "long-6000", "stream_options": {"include_usage": True}, **ASKED}
    record, answer = call("/v1/chat/completions", asked, *CUT)
    assert len(answer) > LIMIT + TAIL
    assert usage(record) == {"prompt_tokens": 12, "completion_tokens": 6000, "total_tokens": 6012, "cached_tokens": 5}
    assert {told["provenance"] for told in record["usage"].values()} == {"reported"}
    [choice] = record["inference"]["choices"]
    assert (choice["finish_reason"], record["inference"]["model_answered"]) == ("length", "llama")
    assert choice["text"] in "".join(f" word{number}" for number in range(6000))
    assert "tokens_per_s" not in record["timing"]
    assert has_hole(record["response"]["body"], len(answer))
    assert two_hops.bodies(record)[1] == answer[:LIMIT] + answer[-TAIL:]


def test_a_long_answer_of_messages(call: Call) -> None:
    record, answer = call("/v1/messages", {"model": "long-6000", "max_tokens": 6000, **ASKED}, *CUT)
    assert len(answer) > LIMIT + TAIL
    assert usage(record) == {"prompt_tokens": 12, "completion_tokens": 6000, "cached_tokens": 3}
    assert record["inference"]["choices"][0]["finish_reason"] == "max_tokens"


def test_a_long_answer_of_responses(call: Call) -> None:
    record, answer = call("/v1/responses", {"model": "long-6000", "input": "hi", "stream": True}, *CUT)
    assert len(answer) > LIMIT + TAIL
    assert usage(record) == {"prompt_tokens": 12, "completion_tokens": 6000, "total_tokens": 6012, "reasoning_tokens": 9}


def test_a_batch_of_embeddings(call: Call) -> None:
    asked = {"model": "many", "input": [f"text {number}" for number in range(long_answers.VECTORS)]}
    record, answer = call("/v1/embeddings", asked, *CUT)
    assert usage(record) == {"rows": 200, "prompt_tokens": 4321, "total_tokens": 4321}
    assert record["inference"]["model_answered"] == "bge"
    assert "outputs" not in record["inference"], "how many vectors came is not known"
    assert has_hole(record["response"]["body"], len(answer))


def test_a_picture_of_2_mib_before_the_model(two_hops: TwoHops, call: Call) -> None:
    picture = base64.b64encode(random.Random(1).randbytes(2 << 20)).decode()
    parts = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}, {"type": "text", "text": "what?"}]
    asked = {"messages": [{"role": "user", "content": parts}], "model": "sees"}
    record, _ = call("/v1/chat/completions", asked, "request_truncated")
    assert record["inference"]["model_requested"] == "sees"
    assert usage(record) == {"prompt_tokens": 3210, "completion_tokens": 7, "total_tokens": 3217}
    assert record["request"]["body"]["captured"] == LIMIT + TAIL


def test_a_body_a_little_longer_than_the_limit_is_whole(two_hops: TwoHops, call: Call) -> None:
    asked = {"model": "sees", "messages": [{"role": "user", "content": "x" * (LIMIT + 1_000)}]}
    record, _ = call("/v1/chat/completions", asked, "complete")
    body = record["request"]["body"]
    assert (body["captured"], "gaps" in body, "truncated" in body) == (body["size"], False, False)
    assert len(two_hops.bodies(record)[0]) == body["size"] > LIMIT


def test_the_end_of_an_encoded_answer_is_not_read_and_said_so(call: Call) -> None:
    asked = {"model": "many", "input": [f"text {number}" for number in range(long_answers.VECTORS)]}
    record, _ = call("/v1/embeddings", asked, *CUT, listener="gzip", **{"accept-encoding": "gzip"})
    assert record["response"]["body"]["encoding"] == "gzip"
    assert any("its end is encoded" in problem for problem in record["problems"])
    assert usage(record) == {"rows": 200}


def test_counts_in_headers_arrive_and_tokens_do_not(call: Call) -> None:
    record, _ = call("/generate", {"inputs": "is it?"}, "complete")
    assert usage(record) == {"prompt_tokens": 11, "completion_tokens": 3}
    headers = dict(record["response"]["headers"])
    assert (headers["x-time-per-token"], headers["x-session-token"]) == ("20", "[redacted]")
