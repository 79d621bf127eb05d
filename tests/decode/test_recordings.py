"""What is decoded equals what the clients' own libraries parsed, for recorded traffic (recordings/README.md)."""

import base64
import json
from pathlib import Path

import pytest

from collector.decode import Captured, Decoded, decode
from tests.decode import transcripts as t

RECORDINGS = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "recordings").glob("*.json"))}


def captured(record) -> Captured:
    return Captured(
        method=record["method"],
        path=record["path"],
        status=record["status"],
        request_headers=[tuple(pair) for pair in record["request_headers"]],
        request_body=base64.b64decode(record["request_body"]),
        request_whole=True,
        response_headers=[tuple(pair) for pair in record["response_headers"]],
        response_trailers=[tuple(pair) for pair in record["response_trailers"]],
        response_body=base64.b64decode(record["response_body"]),
        response_whole=True,
        chunks=[tuple(chunk) for chunk in record["chunks"]],
    )


def parsed(decoded: Decoded, record, expected):
    """The decoded values of what the client told."""
    told = dict(expected)
    inference = dict(decoded.inference)
    if "usage" in told:
        inference["usage"] = {name: decoded.usage.get(name, {}).get("value") for name in told["usage"]}
    if "has_error" in told:
        inference["has_error"] = bool(inference["error"]["message"])
    if "error" in told:
        inference["error"] = {name: inference["error"].get(name) for name in told["error"]}
    inference["status"] = record["status"]
    return {name: inference.get(name) for name in told}


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_client_parsed_the_same(name):
    record = RECORDINGS[name]
    decoded = decode(captured(record))
    assert parsed(decoded, record, record["expected"]) == record["expected"]
    assert decoded.problems == []


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_in_other_chunks_decodes_the_same(name):
    whole = captured(RECORDINGS[name])
    for length in (1, 7, 100, 10_000):
        split = decode(t.chunked(whole, [length]))
        assert (split.inference, split.usage) == (decode(whole).inference, decode(whole).usage)


@pytest.mark.parametrize("name", [name for name, record in RECORDINGS.items() if record["expected"].get("streamed") or "-stream" in name])
def test_streams_have_a_first_token_and_gaps(name):
    timing = decode(captured(RECORDINGS[name])).timing
    assert timing["first_byte_ms"] <= timing["first_token_ms"]
    assert timing["inter_token_ms"]["p50"] <= timing["inter_token_ms"]["max"]


def test_there_are_recordings_of_every_kind():
    kinds = {name.split("-")[0] for name in RECORDINGS}
    assert kinds == {"openai", "anthropic", "kserve", "mlserver"}
