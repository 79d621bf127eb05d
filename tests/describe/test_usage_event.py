"""The usage event against its published schema, and what makes it safe to bill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from collector.correlate import Correlator, Limits
from collector.describe.hops import role
from collector.describe.usage import usage_event
from collector.enrich.catalogue import Catalogue
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE, Event, Output, Place
from collector.messages.exchange import AccessLog, Exchange, Key, Node
from collector.messages.headers import pack
from collector.messages.times import timestamp
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/usage-event.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

CHAT = b'{"model":"llama","messages":[{"role":"user","content":"hi"}]}'
ANSWER = (
    b'{"id":"c1","object":"chat.completion","model":"llama","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}'
)


def output(response: bytes = ANSWER, path: str = "/v1/chat/completions", late: bool = False) -> list[Output]:
    told = Told(1, path=path, request=CHAT, response=(response,))
    [part] = parts(told)
    part.request_headers.map = pack([(":method", "POST"), (":path", path), ("content-type", "application/json")])
    tape = Tape()
    tape.tap(Vm().seal([part]))
    if late:
        tape.tick(11)
    tape.log(log_message([told]))
    correlator, stages = Correlator(Limits()), Stages(ExchangeMeaning(Catalogue()), True)
    return [stages.output(closed.item, Place(1, 0)) for entry in tape.entries for closed in correlator.feed(entry)]


def usage(made: Output) -> Event:
    [event] = [e for e in made.events if e.type == USAGE_TYPE]
    return event


def data(made: Output) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(usage(made).data)
    return found


def test_it_says_what_was_reported_and_fits_its_schema() -> None:
    [made] = output()
    told = data(made)
    VALIDATOR.validate(told)
    assert told["usage"]["completion_tokens"] == {"value": 2, "provenance": "reported"}
    assert (told["model_requested"], told["protocol"]) == ("llama", "openai-chat")
    assert told["hop"] == {"role": "predictor", "billable": True, "rule": "predictor-hop"}
    assert usage(made).extensions["billable"] is True


def test_unknown_usage_is_absent_and_not_zero() -> None:
    [made] = output(b'{"id":"c1","choices":[],"usage":null}')
    told = data(made)
    VALIDATOR.validate(told)
    assert "completion_tokens" not in told["usage"]


def test_a_revision_supersedes_by_exchange_and_revision_and_has_an_id_of_its_own() -> None:
    first, second = output(late=True)
    assert data(first)["exchange"] == data(second)["exchange"]
    assert (data(first)["revision"], data(second)["revision"]) == (0, 1)
    assert usage(first).id != usage(second).id
    VALIDATOR.validate(data(second))


def test_traffic_without_an_inference_protocol_gives_no_usage_event() -> None:
    [made] = output(b"<html></html>", "/index.html")
    assert USAGE_TYPE not in [e.type for e in made.events]


def test_it_can_be_made_again_from_the_stored_record_byte_for_byte() -> None:
    [made] = output()
    exchange = made.events[0]
    again = usage_event(orjson.loads(exchange.data), exchange.source, exchange.subject, exchange.time_us)
    assert again == usage(made)


def seen_at(node: str, labels: dict[str, str], cluster: str = "inbound|8080||") -> Exchange:
    return Exchange(Key("n", b"", 0), 0, Node(node, labels=labels), 1, None, AccessLog(upstream_cluster=cluster))


@pytest.mark.parametrize(
    ("expected", "exchange", "service"),
    [
        ("gateway", seen_at("router~1~gw", {}, "outbound|80||x"), {}),
        ("waypoint", seen_at("waypoint~1~w", {}, "inbound-vip|80|http|x"), {}),
        ("client", seen_at("sidecar~1~c", {}, "outbound|80||llama-predictor.models.svc.cluster.local"), {}),
        ("transformer", seen_at("sidecar~1~t", {"component": "transformer"}), {}),
        ("predictor", seen_at("sidecar~1~p", {"component": "predictor"}), {}),
        ("prefill", seen_at("sidecar~1~p", {"llm-d.ai/role": "prefill"}), {"kind": "LLMInferenceService"}),
        ("decode", seen_at("sidecar~1~p", {"llm-d.ai/role": "decode"}), {"kind": "LLMInferenceService"}),
        ("serving", seen_at("sidecar~1~p", {}), {"kind": "LLMInferenceService"}),
        ("server", seen_at("sidecar~1~p", {"app": "plain"}), {}),
    ],
)
def test_the_role_of_a_hop_comes_from_its_own_proxy(expected: str, exchange: Exchange, service: dict[str, Any]) -> None:
    assert role(exchange, service) == expected


def test_a_suspect_start_is_flagged_in_record_and_usage_and_both_tell_the_arrival() -> None:
    told = Told(1, path="/v1/chat/completions", request=CHAT, response=(ANSWER,), start_us=253_402_300_800_000_000)
    [part] = parts(told)
    part.request_headers.map = pack([(":method", "POST"), (":path", told.path), ("content-type", "application/json")])
    tape = Tape()
    arrived = tape.tap(Vm().seal([part])).received_at
    tape.log(log_message([told]))
    correlator = Correlator(Limits())
    [closed] = [one for entry in tape.entries for one in correlator.feed(entry)]
    [made] = Stages(ExchangeMeaning(Catalogue()), True).outputs([closed])
    record, usage = (json.loads(event.data) for event in made.events if event.type in (EXCHANGE_TYPE, USAGE_TYPE))
    VALIDATOR.validate(usage)
    assert record["start_told"] == "9999-12-31T23:59:59.999999Z"
    assert record["clock_suspect"] is usage["clock_suspect"] is True
    assert record["start"] == usage["start"] == timestamp(arrived)
