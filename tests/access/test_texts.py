"""A record without texts: nothing of what was asked and answered is in it, and no field is forgotten."""

from __future__ import annotations

import json

import pytest

from collector.access.texts import LEFT_OUT, can_hold_text, classified, without_texts
from collector.messages.field import fields, held_by
from collector.messages.record import Record
from tests.support.record_fields import faults

SECRET = "the patient's name is Ada"


def kinds() -> list[type]:
    return list(dict.fromkeys(held_by(Record)))


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_of_every_field_that_can_hold_a_text_it_is_written_down_whether_it_stays(kind: type) -> None:
    open_fields = {field.name for field in fields(kind) if can_hold_text(field.kind) and not list(held_by(field.kind))}
    assert open_fields <= classified(kind)


@pytest.mark.parametrize("kind", LEFT_OUT, ids=lambda kind: kind.__name__)
def test_what_is_left_out_is_described_as_what_may_be_absent(kind: type) -> None:
    assert [field.name for field in fields(kind) if field.name in LEFT_OUT[kind] and not field.absent] == []


def full() -> dict[str, object]:
    return {
        "id": "019e8a1c-5b00-7c11-a2b3-0242ac120002",
        "revision": 0,
        "proxy": {"node": "n", "namespace": "shop"},
        "service": {"namespace": "shop", "name": "llama", "annotations": {"team": "a"}, "matched_by": "node_labels"},
        "request": {
            "path": f"/v1/chat?q={SECRET}",
            "headers": [[":path", f"/v1/chat?q={SECRET}"], ["content-type", "application/json"], ["x-note", SECRET]],
            "trailers": [["x-note", SECRET]],
            "body": {"size": 3, "sha256": SECRET, "href": f"/v1/exchanges/{SECRET}"},
        },
        "response": {"status": 200, "headers": [["grpc-message", SECRET], ["grpc-status", "0"]], "body": {}},
        "inference": {
            "protocol": "openai-chat",
            "model_requested": "llama",
            "choices": [
                {
                    "index": 0,
                    "role": "assistant",
                    "text": SECRET,
                    "reasoning": SECRET,
                    "refusal": SECRET,
                    "tool_calls": [{"id": "c", "name": "weather", "arguments": SECRET}],
                    "finish_reason": "stop",
                }
            ],
            "inputs": [{"name": "file", "filename": SECRET, "size": 4}],
            "error": {"message": SECRET, "type": "E", "code": 404, "param": SECRET},
            "mcp": {"told_by": "body", "kind": "batch", "name": SECRET, "batch": [{"kind": "request", "name": SECRET, "method": "m"}]},
        },
        "usage": {"prompt_tokens": {"value": 4, "provenance": "reported"}},
        "timing": {"first_byte_ms": 1.5},
        "completeness": ["complete"],
        "problems": [SECRET],
        "a field of tomorrow": SECRET,
    }


def test_nothing_that_was_said_is_left() -> None:
    masked = without_texts(json.dumps(full()).encode())
    assert SECRET.encode() not in masked


def test_what_happened_and_what_it_cost_stays() -> None:
    masked = json.loads(without_texts(json.dumps(full()).encode()))
    assert masked["usage"] == {"prompt_tokens": {"value": 4, "provenance": "reported"}}
    assert masked["inference"]["choices"] == [
        {"index": 0, "role": "assistant", "tool_calls": [{"id": "c", "name": "weather"}], "finish_reason": "stop"}
    ]
    assert masked["request"]["path"] == "/v1/chat?[hidden]"
    assert masked["request"]["headers"] == [[":path", "/v1/chat?[hidden]"], ["content-type", "application/json"], ["x-note", "[hidden]"]]
    assert masked["inference"]["error"] == {"type": "E", "code": 404}
    assert not faults(masked)


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"request": 5}', b'{"request": {"headers": [5]}}', b"\xff"])
def test_nothing_of_a_record_that_cannot_be_read_stays(damaged: bytes) -> None:
    assert without_texts(damaged) == b"{}"
