"""Our payload events against those that KServe's own agent sent for the same traffic (kserve-capture.txt: bytes of its HTTP posts)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from collector.correlate import Correlator, Limits
from collector.describe import describe
from collector.messages.captured import Decoded
from collector.messages.event import Event, Place
from collector.messages.exchange import Exchange
from collector.messages.headers import pack
from tests.support.traffic import plainly
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

CAPTURE = Path(__file__).with_name("kserve-capture.txt")
SERVICE = {
    "namespace": "demo",
    "name": "iris",
    "component": "predictor",
    "annotations": {"team": "risk", "cost-center": "42"},
    "logger": {"mode": "all", "metadata_headers": ["X-User", "X-Request-Id", "Authorization"]},
}
# Set by the transport, or different on purpose: ids are unique, times are those of this test, secrets are redacted.
ELSEWHERE = {"ce-id", "ce-time", "ce-recordedtime", "ce-specversion", "content-type", "ce-metadata"}


class Posted(NamedTuple):
    headers: dict[str, str]
    body: bytes


def posted() -> list[Posted]:
    found = []
    for block in CAPTURE.read_bytes().replace(b"\r\n", b"\n").split(b"\n-----"):
        head, _, body = block.lstrip(b"\n").partition(b"\n\n")
        lines = head.decode("latin-1").split("\n")[1:]
        named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if "ce-type" in named:
            found.append(Posted(named, body))
    return found


def pairs() -> list[tuple[Posted, Posted]]:
    """Requests with their responses: KServe gives both the same id."""
    by_id: dict[str, dict[str, Posted]] = {}
    for one in posted():
        by_id.setdefault(one.headers["ce-id"], {})[one.headers["ce-type"].rpartition(".")[2]] = one
    return [(both["request"], both["response"]) for both in by_id.values() if len(both) == 2]


def ours(request: Posted, response: Posted, status: int = 200) -> tuple[Event, ...]:
    """The events of the same exchange through our stages."""
    told = Told(1, request=request.body, response=(response.body,), status=status)
    [part] = parts(told)
    sent = [(":path", told.path), ("content-type", request.headers.get("content-type", ""))]
    user = "ann" if "X-User" in request.headers["ce-metadata"] else ""
    sent += [("x-user", user), ("authorization", "[redacted]")] if user else []
    part.request_headers.map = pack([pair for pair in sent if pair[1]])
    batch = Vm().seal([part])
    batch.node.name = "iris-predictor-0001"
    tape = Tape()
    tape.tap(batch)
    tape.log(log_message([told]))
    correlator = Correlator(Limits())
    [exchange] = [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]
    return describe(plainly(exchange), Place(1, 0), Decoded(), SERVICE, False).events[1:]


def headers_of(event: Event) -> dict[str, str]:
    """As the binary HTTP binding spells an event's attributes."""
    told = {f"ce-{name}": str(value) for name, value in event.extensions.items()}
    return told | {"ce-type": event.type, "ce-source": event.source, "ce-id": event.id}


def test_the_capture_holds_pairs() -> None:
    assert len(pairs()) >= 8


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair[0].headers["ce-metadata"][:40])
def test_type_source_extensions_and_bytes_are_kserves(pair: tuple[Posted, Posted]) -> None:
    events = ours(*pair)
    assert len(events) == 2
    for event, theirs in zip(events, pair, strict=True):
        told = headers_of(event)
        expected = {name: value for name, value in theirs.headers.items() if name.startswith("ce-") and name not in ELSEWHERE}
        assert {name: told.get(name) for name in expected} == expected
        assert event.data == theirs.body


def test_ids_are_unique_and_the_pair_is_linked() -> None:
    request, response = ours(*pairs()[0])
    assert request.id != response.id
    assert request.extensions["exchange"] == response.extensions["exchange"]


def test_metadata_holds_the_headers_that_the_service_names_and_no_secret() -> None:
    request, _ = ours(*pairs()[0])
    assert request.extensions["metadata"] == '{"Authorization":["[redacted]"],"X-User":["ann"]}'


def test_each_event_has_its_own_messages_content_type() -> None:
    pair = next(p for p in pairs() if p[0].headers.get("content-type") == "application/octet-stream")
    request, response = ours(*pair)
    assert request.datacontenttype == "application/octet-stream"
    assert response.datacontenttype == "application/json"


def test_errors_are_told_too() -> None:
    request, response = pairs()[0]
    events = ours(request, response._replace(body=b'{"error":"overloaded"}'), status=503)
    assert [e.extensions["statuscode"] for e in events] == [503, 503]
    assert events[1].data == b'{"error":"overloaded"}'
