"""Bodies that the service's own logger.mode leaves out, through correlate, decode, enrich and describe."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.correlate import Correlator, Limits
from collector.enrich.catalogue import Catalogue
from collector.enrich.version import ServiceVersion
from collector.messages.event import REQUEST_TYPE, RESPONSE_TYPE, USAGE_TYPE, Event
from collector.messages.exchange import Exchange
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.support.witnesses import T0, Tape, Told, Vm, log_message, parts

ASKED = b'{"model":"m","messages":[{"role":"user","content":"my secret question"}]}'
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "my secret answer"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
}
FAULT = {"error": {"message": "my secret answer is not JSON", "type": "invalid", "code": 400}}


def version(mode: str | None, since_us: int = 0, number: int = 1) -> ServiceVersion:
    return ServiceVersion("demo", "iris", "InferenceService", "u1", str(number), number, since_us, logger_mode=mode)


def told(setting: str, *versions: ServiceVersion, answer: dict[str, Any] = ANSWER, status: int = 200) -> tuple[dict[str, Any], list[Event]]:
    """The record and the events of one chat exchange that began at T0."""
    catalogue = Catalogue()
    for one in versions:
        catalogue.apply(one)
    exchange = Told(1, path="/v1/chat/completions", request=ASKED, response=(orjson.dumps(answer),), status=status)
    tape = Tape()
    tape.tap(Vm().seal(parts(exchange)))
    tape.log(log_message([exchange]))
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(catalogue, setting), True)
    [closed] = [c for entry in tape.entries for c in correlator.feed(entry) if isinstance(c.item, Exchange)]
    events = list(stages.output(closed.item, closed.place).events)
    return orjson.loads(events[0].data), events


def kinds(events: list[Event]) -> set[str]:
    return {name for name, type_ in (("request", REQUEST_TYPE), ("response", RESPONSE_TYPE)) if type_ in {e.type for e in events}}


def everything(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events)


@pytest.mark.parametrize(
    ("setting", "mode", "kept"),
    [
        ("honour", "request", {"request"}),
        ("honour", "response", {"response"}),
        ("honour", "all", {"request", "response"}),
        ("honour", None, {"request", "response"}),
        ("require", None, set()),
        ("require", "response", {"response"}),
        ("ignore", "request", {"request", "response"}),
    ],
)
def test_only_the_bodies_that_the_mode_wants_are_stored(setting: str, mode: str | None, kept: set[str]) -> None:
    record, events = told(setting, version(mode))
    assert kinds(events) == kept
    assert {side for side in ("request", "response") if "sha256" in record[side]["body"]} == kept
    assert (b"secret question" in everything(events)) == ("request" in kept)
    assert (b"secret answer" in everything(events)) == ("response" in kept)


def test_the_record_says_that_a_body_was_left_out_and_by_which_rule() -> None:
    record, _ = told("honour", version("request"))
    assert record["service"]["logger"] == {"mode": "request", "left_out": ["response"]}
    assert record["response"]["body"] == {
        "size": len(orjson.dumps(ANSWER)),
        "content_type": "application/json",
        "left_out": "logger.mode",
    }
    assert record["request"]["body"]["captured"] == len(ASKED)


def test_usage_and_what_is_counted_are_the_same_with_the_rule() -> None:
    (without, plain), (record, events) = told("ignore", version("request")), told("honour", version("request"))
    assert record["usage"] == without["usage"]
    assert record["timing"] == without["timing"]
    assert record["completeness"] == without["completeness"] == ["complete"]
    assert record["inference"]["choices"] == [{"index": 0, "role": "assistant", "finish_reason": "stop"}]
    assert [event.data for event in events if event.type == USAGE_TYPE] == [event.data for event in plain if event.type == USAGE_TYPE]


def test_an_error_keeps_its_type_and_loses_its_text() -> None:
    record, _ = told("honour", version("request"), answer=FAULT, status=400)
    assert record["inference"]["error"] == {"type": "invalid", "code": 400}


def test_the_version_at_the_requests_start_decides() -> None:
    before, after = version("request", T0 - 1), version("response", T0 + 1, 2)
    assert kinds(told("honour", before, after)[1]) == {"request"}


def test_of_an_unknown_service_require_stores_nothing() -> None:
    assert kinds(told("require")[1]) == set()
    assert kinds(told("honour")[1]) == {"request", "response"}
