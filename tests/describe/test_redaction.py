"""What the settings' rules hide is in no byte of any event, whatever way it came in; and what they do not hide stays."""

from __future__ import annotations

import gzip
import hashlib
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.messages import tap_pb2
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.describe.telling import all_bytes, described, payload, record, usage
from tests.describe.test_usage_event import ANSWER, VALIDATOR
from tests.support.witnesses import Told

SECRET = "sk-0123456789abcdef"
SETTINGS = Settings(redaction={"paths": ["user"], "patterns": ["sk-[0-9a-f]{16}"]})
ASKED = json.dumps({"model": "llama", "stream": True, "user": "jane", "messages": [{"role": "user", "content": f"keep {SECRET}"}]}).encode()


def stream(*pieces: str) -> bytes:
    return t.sse([*t.words(*pieces), t.delta({}, finish="stop"), t.final(t.tokens(9, 3))])


def chat(response: tuple[bytes, ...], **more: Any) -> Told:
    return Told(1, path=t.CHAT, request=ASKED, response=response, **more)


@given(st.lists(st.integers(1, 18), max_size=4), st.lists(st.integers(1, 90), min_size=1, max_size=6), st.booleans())
def test_whatever_the_chunking_the_secret_is_in_no_event(cuts: list[int], lengths: list[int], packed: bool) -> None:
    ends = [0, *sorted(cuts), len(SECRET)]
    body = stream("it is ", *(SECRET[start:stop] for start, stop in pairwise(ends)), ".")
    body = gzip.compress(body) if packed else body
    chunks, at = [], 0
    while at < len(body):
        length = lengths[len(chunks) % len(lengths)]
        chunks.append(body[at : at + length])
        at += length
    encoding = [("content-encoding", "gzip")] if packed else []
    events = described(SETTINGS, chat(tuple(chunks)), answered=[*t.SSE, *encoding], pieces=2)
    assert SECRET.encode() not in all_bytes(events)
    assert b"jane" not in all_bytes(events)
    told = record(events)
    assert told["inference"]["choices"][0]["text"] == "it is [redacted]."
    assert (told["request"]["body"]["redacted"], told["response"]["body"]["redacted"]) == ("part", "part")
    assert usage(events)["usage"]["completion_tokens"] == {"value": 3, "provenance": "reported"}


def test_usage_and_timing_are_the_same_with_and_without_rules() -> None:
    told = chat(tuple(stream("a ", SECRET[:4], SECRET[4:]).partition(b"\n\n")))
    plain, hidden = (described(settings, told, answered=t.SSE, pieces=2) for settings in (Settings(), SETTINGS))
    assert usage(plain) == usage(hidden)
    assert record(plain)["timing"] == record(hidden)["timing"]
    VALIDATOR.validate(usage(hidden))


def test_the_record_speaks_of_the_bytes_that_are_stored() -> None:
    told = chat((gzip.compress(ANSWER.replace(b"Hello", SECRET.encode())),))
    events = described(SETTINGS, told, answered=[("content-type", "application/json"), ("content-encoding", "gzip")])
    body, stored = record(events)["response"]["body"], payload(events, "response")
    assert body["sha256"] == hashlib.sha256(stored.data).hexdigest()
    assert (body["size"], body["encoding"], body["captured"]) == (len(told.response_body), "gzip", len(stored.data))
    assert (stored.columns.content_encoding, stored.columns.size) == (None, None)
    assert stored.extensions["redacted"] == "part"
    assert json.loads(stored.data)["choices"][0]["message"]["content"] == "[redacted]"


def test_a_body_of_which_a_part_was_lost_is_withheld() -> None:
    body = stream("it is ", SECRET)
    events = described(SETTINGS, chat((body[:10], body[10:])), answered=t.SSE, pieces=2, lost=1)
    assert SECRET.encode() not in all_bytes(events)
    told = record(events)
    assert (told["response"]["body"]["redacted"], payload(events, "response").data) == ("all", b"")
    assert "response body: withheld: not all of it was captured" in told["problems"]
    assert told["response"]["body"]["gaps"]


def test_an_exchange_without_anything_to_hide_is_told_as_ever() -> None:
    told = Told(1, path=t.CHAT, request=b'{ "model": "llama" }', response=(ANSWER,))
    assert described(SETTINGS, told) == described(Settings(), told)


def test_an_error_that_quotes_the_request_is_redacted_in_grpcs_trailers_too() -> None:
    told = Told(1, path="/inference.GRPCInferenceService/ModelInfer", request=b"", response=())
    grpc = [("content-type", "application/grpc"), ("grpc-status", "3"), ("grpc-message", f"no%20{SECRET}")]
    events = described(SETTINGS, told, answered=grpc)
    assert SECRET.encode() not in all_bytes(events)
    assert record(events)["inference"]["error"]["type"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("level", [tap_pb2.NONE, tap_pb2.METADATA, tap_pb2.REQUEST])
def test_what_a_level_leaves_out_is_not_called_redacted(level: int) -> None:
    events = described(SETTINGS, chat((stream(SECRET),), level=level), answered=t.SSE)
    assert SECRET.encode() not in all_bytes(events)
    assert "redacted" not in record(events)["response"]["body"]


def test_litellm_16336_the_text_of_a_call_is_stored_nowhere_if_paths_hide_it() -> None:
    """BerriAI/litellm#16336: redaction was on, and the text was stored all the same; #9664 streams, #39387 failures."""
    paths = ["messages[*].content", "choices[*].message.content", "choices[*].delta.content", "error.message"]
    failure = b'{"error":{"message":"Hello Jane, you ask too much"}}'
    for response, kind in ((stream("Hello ", "Jane"), t.SSE), (ANSWER, t.JSON), (failure, t.JSON)):
        events = described(Settings(redaction={"paths": paths}), chat((response,)), answered=kind)
        assert not [word for word in (b"keep", b"Hello", b"Jane") if word in all_bytes(events)]
