"""An exchange whose answer was longer than what the tap captures: what is stored, and how each witness of the hole tells it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.messages.event import Event
from collector.messages.exchange import Exchange
from collector.messages.headers import pack
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.describe.telling import all_bytes, payload, record, usage
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

HEAD, TAIL = 1500, 700
SECRET = "tell nobody"
BODY = t.sse([*t.words(*[f"{SECRET} "] * 60), t.delta({}, finish="stop"), t.final(t.tokens(9, 60))])
HOLE = [HEAD, len(BODY) - HEAD - TAIL]


def events(**redaction: Any) -> tuple[Event, ...]:
    told = Told(1, path=t.CHAT, request=t.dumps(t.ASKED), response=(BODY,))
    [part] = parts(told)
    part.request_headers.map = pack([(":method", "POST"), (":path", t.CHAT), ("content-type", "application/json")])
    part.response_headers.map = pack([(":status", "200"), *t.SSE])
    for run in part.runs:
        run.data = run.data[:HEAD]
    part.response_tail.offset, part.response_tail.data = len(BODY) - TAIL, BODY[-TAIL:]
    tape = Tape()
    tape.tap(Vm().seal([part]))
    tape.log(log_message([told]))
    tape.tick(11)
    settings = Settings(redaction=redaction) if redaction else Settings()
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning.of(settings, Catalogue()), True)
    [closed] = [c for entry in tape.entries for c in correlator.feed(entry) if isinstance(c.item, Exchange)]
    return stages.output(closed.item, closed.place).events


def test_both_ends_are_stored_and_the_hole_is_told_in_the_record_and_on_the_payload() -> None:
    made = events()
    body = record(made)["response"]["body"]
    assert (body["size"], body["captured"], body["truncated"], body["gaps"]) == (len(BODY), HEAD + TAIL, True, [HOLE])
    assert record(made)["completeness"] == ["response_truncated"]
    assert payload(made, "response").data == BODY[:HEAD] + BODY[-TAIL:]
    assert payload(made, "response").extensions["gaps"] == f"{HOLE[0]}+{HOLE[1]}"
    assert "gaps" not in payload(made, "request").extensions


def test_usage_is_billed_from_the_tail() -> None:
    assert usage(events())["usage"]["completion_tokens"] == {"value": 60, "provenance": "reported"}


@pytest.mark.parametrize("redaction", [{"paths": ["choices[*].delta.content"]}, {"patterns": [SECRET]}])
def test_with_rules_the_numbers_are_told_and_nothing_of_the_body_is(redaction: dict[str, Any]) -> None:
    made = events(**redaction)
    assert SECRET.encode() not in all_bytes(made)
    assert payload(made, "response").data == b""
    assert "gaps" not in payload(made, "response").extensions
    assert record(made)["response"]["body"]["gaps"] == [HOLE]
    assert usage(made)["usage"] == usage(events())["usage"]
    assert orjson.loads(json.dumps(record(made)))["response"]["body"]["redacted"] == "all"
