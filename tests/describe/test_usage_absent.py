"""The record and the usage event say why there is no usage; of a call that nobody can read only where models are served."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from collector.correlate import Closed
from collector.decode.untold import is_any
from collector.enrich.catalogue import Catalogue
from collector.messages.completeness import Completeness
from collector.messages.event import EXCHANGE_TYPE, USAGE_TYPE, Place, Untold
from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from collector.messages.seen import Seen
from collector.messages.tap_pb2 import METADATA, NONE, REQUEST, REQUEST_RESPONSE
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.redact import Redactor, conceal
from collector.redact.rules import Rules
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.describe.test_any_exchange import HIDING, PLAIN, exchanges
from tests.support.records import WAYS

ASKED = t.dumps(t.ASKED)
ANSWER = t.sse(t.words("Hel", "lo"))
PREDICTOR = Node(
    "sidecar~10.0.0.1~llama.demo~demo.svc.cluster.local", namespace="demo", workload="llama", labels={"component": "predictor"}
)
ANYBODY = structs.replace(PREDICTOR, labels={})
LOG = AccessLog(method="POST", path=t.CHAT, status=200)


def exchange(node: Node = PREDICTOR, path: str = t.CHAT, level: int = REQUEST_RESPONSE, **more: Any) -> Exchange:
    """A chat that streamed, with its tap."""
    headers = [("content-type", "application/json")]
    tap = Tap(
        "vm", 1, level, "", Body(ASKED, len(ASKED)), Body(ANSWER, len(ANSWER)), ended=True, end_us=9, request_complete=True,
        request_headers=pack([(":method", "POST"), (":path", path), *headers]),
        response_headers=pack([(":status", "200"), ("content-type", "text/event-stream")]), response_complete=True,
    )  # fmt: skip
    return Exchange(Key(node.id, b"r", 1), 0, node, int(Completeness.COMPLETE), structs.replace(tap, **more), None)


def at_host(host: str, node: Node = PREDICTOR) -> Exchange:
    headers = [(":method", "POST"), (":path", t.CHAT), (":authority", host), ("content-type", "application/json")]
    return exchange(node, request_headers=pack(headers))


def said(one: Exchange, meaning: ExchangeMeaning = PLAIN) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record, and the usage event or nothing."""
    output = Stages(meaning, True).output(one, Place(1, 0))
    assert output.fault is None
    found = {event.type: orjson.loads(event.data) for event in output.events if event.type in (EXCHANGE_TYPE, USAGE_TYPE)}
    return found[EXCHANGE_TYPE], found.get(USAGE_TYPE, {})


def test_record_and_event_tell_the_same_reason() -> None:
    record, event = said(exchange())
    assert record["usage_absent"] == event["usage_absent"] == "not_asked"
    assert record["hop"]["billable"]


@pytest.mark.parametrize("way", WAYS)
def test_rules_and_settings_change_nothing_of_it(way: str) -> None:
    chosen = {name: value for name, value in WAYS[way].items() if name != "usage"}
    record, _ = said(exchange(), ExchangeMeaning.of(Settings.model_validate(chosen), Catalogue()))
    assert record["usage_absent"] == "not_asked"


def test_what_a_rule_withholds_is_counted_before() -> None:
    data = t.sse([*t.words("sk-0123456789ab", "cdef"), t.final(t.tokens(1, 2))])
    record, _ = said(exchange(response=Body(data, len(data))), HIDING)
    assert record["response"]["body"]["redacted"]
    assert "usage_absent" not in record


def test_bodies_that_rules_took_because_redaction_failed_are_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("collector.redact.stage.conceal", fail)
    record, event = said(exchange(), HIDING)
    assert (record["usage_absent"], event) == ("withheld", {})
    assert record["response"]["body"]["redacted"] == "all"


def test_the_only_number_that_a_rule_hides_is_withheld() -> None:
    answer = {"choices": [{"message": {"content": "a"}}], "usage": {"cost": 7}}
    captured = t.exchange(t.CHAT, {"messages": []}, answer)
    counted = conceal.conceal(captured, Rules(paths=["usage.cost", "choices[*].message.content"]), (False, False)).counted
    assert counted is not None
    assert (counted.usage, counted.untold) == ({}, "withheld")


def test_a_decoder_that_failed_without_rules_hides_what_was_captured() -> None:
    redacted = Redactor().redact(Seen(exchange()))
    _, decoded = Redactor().undecoded(redacted, "no")
    assert decoded.untold == "capture_limit"


@pytest.mark.parametrize("level", [NONE, METADATA, REQUEST])
@pytest.mark.parametrize("sent", [b"", ANSWER], ids=["as the filter does", "sent all the same"])
def test_what_the_level_leaves_out_is_hidden_by_the_capture(level: int, sent: bytes) -> None:
    more = {} if level == REQUEST else {"request": Body(b"", len(ASKED))}
    assert said(exchange(level=level, response=Body(sent, len(ANSWER)), **more))[0]["usage_absent"] == "capture_limit"


def test_a_preflight_is_billed_to_nobody() -> None:
    asked = pack([(":method", "OPTIONS"), (":path", t.CHAT)])
    record, event = said(exchange(request_headers=asked, request=Body(), response=Body(), response_headers=pack([(":status", "204")])))
    assert (record["hop"], event) == ({"role": "predictor", "billable": False, "rule": "not-billed"}, {})


def test_a_truncated_stream_is_hidden_by_the_limit_and_one_that_broke_off_is_not() -> None:
    part = t.sse(t.words("Hel"), done=False)
    cut = exchange(response=Body(part, 90_000, truncated=True), response_complete=True)
    assert said(cut)[0]["usage_absent"] == "capture_limit"
    assert said(exchange(response=Body(part, len(part)), response_complete=False))[0]["usage_absent"] == "aborted_before_usage"
    unknown = exchange(response=Body(part), response_complete=False, ended=False)
    assert said(unknown)[0]["usage_absent"] == "capture_limit"


@pytest.mark.parametrize(
    ("node", "path", "method", "status", "expected"),
    [
        (PREDICTOR, t.CHAT, "POST", 200, "capture_limit"),
        (PREDICTOR, "/other", "POST", 200, "capture_limit"),
        (PREDICTOR, "/metrics", "GET", 200, None),
        (PREDICTOR, "/tokenize", "POST", 200, None),
        (PREDICTOR, t.CHAT, "POST", 503, None),
        (ANYBODY, t.CHAT, "POST", 200, None),
    ],
)
def test_without_a_tap_the_workload_decides(node: Node, path: str, method: str, status: int, expected: str | None) -> None:
    log = structs.replace(LOG, path=path, method=method, status=status)
    record, _ = said(structs.replace(exchange(node), tap=None, access_log=log))
    assert record.get("usage_absent") == expected


@pytest.mark.parametrize(("node", "expected"), [(PREDICTOR, "unknown_protocol"), (ANYBODY, None)])
def test_a_call_that_nobody_can_read_has_a_reason_where_models_are_served(node: Node, expected: str | None) -> None:
    record, event = said(exchange(node, "/api/other"))
    assert (record.get("usage_absent"), event) == (expected, {})


GATEWAY = Node("router~10.0.0.1~gw.istio-system~istio-system.svc.cluster.local")


@pytest.mark.parametrize(
    ("one", "counted"),
    [
        (exchange(), Untold("demo/llama", "not_asked")),
        (structs.replace(exchange(), revision=1), None),
        (exchange(GATEWAY), None),
        (exchange(Node("sidecar~10.0.0.1~a.b~b")), Untold("unknown", "not_asked")),
        (exchange(response=Body(b"", 0), path="/v1/models"), Untold("demo/llama", "unknown_protocol")),
    ],
)
def test_a_call_is_counted_once_at_the_hop_that_is_billed(one: Exchange, counted: Untold | None) -> None:
    assert Stages(PLAIN, False).output(one, Place(1, 0)).untold == counted


@pytest.mark.parametrize(
    ("one", "counted"),
    [
        (at_host("llama.demo-shadow"), "demo/llama"),
        (structs.replace(at_host("llama.demo-shadow"), revision=1), None),
        (at_host("llama.demo-shadow", GATEWAY), None),
        (at_host("llama.demo"), None),
    ],
)
def test_a_copy_that_a_mirror_made_is_counted_once_and_its_usage_is_not_missed(one: Exchange, counted: str | None) -> None:
    output = Stages(PLAIN, False).output(one, Place(1, 0))
    assert output.mirrored == counted
    assert (output.untold is None) == (counted is not None or one.revision > 0 or one.node is GATEWAY)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(one=exchanges(), node=st.sampled_from([PREDICTOR, ANYBODY]), meaning=st.sampled_from([PLAIN, HIDING]))
def test_what_is_billable_has_a_number_or_one_reason(one: Exchange, node: Node, meaning: ExchangeMeaning) -> None:
    (output,) = Stages(meaning, True).outputs([Closed(Place(1, 0), structs.replace(one, node=node))])
    for event in output.events:
        if event.type in (EXCHANGE_TYPE, USAGE_TYPE):
            told = orjson.loads(event.data)
            usage, inference = told.get("usage", {}), told.get("inference", told)
            numbers = "other" in usage or is_any(usage.keys() - {"conflicts", "other"}, inference)
            assert not (numbers and "usage_absent" in told)
            if event.type == USAGE_TYPE and told["hop"]["billable"]:
                assert numbers != ("usage_absent" in told)
