"""The CloudEvents of an exchange and of a ledger window (CloudEvents 1.0).

An exchange gives one `meshscribe.exchange.v1` event and, for each body that was captured, one as KServe's logger sends it (payloads.py).
Where an inference protocol was recognised, a `meshscribe.usage.v1` event follows (usage.py).
"""

from __future__ import annotations

import orjson

from collector.describe.hops import DEFAULT, Billing, Once
from collector.describe.identity import event_id, exchange_id, owner, uuid7
from collector.describe.payloads import payload_events
from collector.describe.record import build
from collector.describe.told_before import with_told_before
from collector.describe.usage import usage_event
from collector.messages import ledger_data
from collector.messages.captured import Decoded
from collector.messages.columns import ExchangeColumns
from collector.messages.completeness import GOES_ON
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, Event, Output, Place, Untold
from collector.messages.exchange import Fault, LedgerWindow
from collector.messages.marks import marks, numbers
from collector.messages.plain import json_bytes, plain
from collector.messages.record import Record
from collector.messages.redacted import Redacted
from collector.messages.service import Service
from collector.messages.usage_counts import annotations_text, usage_text

_new = tuple.__new__  # makes a named tuple past its own Python function, in half the time
_NOBODYS = "unknown"  # in place of a service where namespace or name is not known


def describe(
    seen: Redacted,
    place: Place,
    decoded: Decoded,
    service: Service,
    with_usage: bool,
    billing: Billing = DEFAULT,
    answers: Once | None = None,
) -> Output:
    """The events of an exchange: its own first, then those of its bodies, then its usage.

    `with_usage`: False for a SQL sink, which does not store it: usage_event makes it again from the stored record. `answers`: which were
    billed before; see hops.py.
    """
    exchange = seen.exchange
    identity = exchange_id(exchange.key)
    if answers is not None and (exchange.lost or exchange.revision or exchange.completeness & GOES_ON):
        decoded = with_told_before(answers.before, exchange, identity, decoded)
    made = build(seen, identity, decoded, service, billing, answers)
    if exchange.interim:
        _without_bodies(made)
    record, data = _encoded(made)
    source = f"/proxy/{exchange.node.id}"
    namespace, name = owner(exchange.node, service)
    subject = f"{namespace}/{name}" if namespace and name else None
    own = (
        event_id(identity, "exchange", exchange.revision),
        EXCHANGE_TYPE,
        source,
        subject,
        seen.start_us,
        "application/json",
        data,
        {"exchange": identity, "revision": exchange.revision},
        _columns(seen, identity, namespace, name, record),
    )
    events = [_new(Event, own)] if exchange.interim else [_new(Event, own), *payload_events(seen, identity, service)]
    usage = usage_event(record, source, subject, seen.start_us) if with_usage else None
    if usage is not None:
        events.append(usage)
    if record["hop"]["rule"] == "mirrored":
        return Output(place, tuple(events), mirrored=(subject or _NOBODYS) if exchange.revision == 0 else None)
    untold = _untold(record, subject or _NOBODYS, billing) if "usage_absent" in record else None
    return _new(Output, (place, tuple(events), None, untold, None))


def _without_bodies(record: Record) -> None:
    """What is told while it is open has no bodies yet: they would be stored again each time."""
    for body in (record["request"]["body"], record["response"]["body"]):
        body.pop("href", None)
        body.pop("sha256", None)


def _untold(record: Record, service: str, billing: Billing) -> Untold | None:
    """Once for each call: by its first revision, at the hop that is billed if usage is told."""
    counts = record["revision"] == 0 and record["hop"]["role"] in billing.roles
    return Untold(service, record["usage_absent"]) if counts else None


def _encoded(record: Record) -> tuple[Record, bytes]:
    """The record and its JSON. A number or text in it that JSON cannot hold is left out, and said."""
    try:
        return record, json_bytes(record)
    except orjson.JSONEncodeError:
        problems: list[str] = []
        told: Record = plain(record, problems)
        told["problems"] = [*told.get("problems", ()), *(f"the record: {problem}" for problem in problems)]
        return told, json_bytes(told)


def describe_fault(fault: Fault, place: Place) -> Output:
    """The fault, with a window of the ledger that has no length and counts it under its proxy."""
    window = LedgerWindow(fault.node, fault.at_us, 0, {}, {}, {}, malformed={f"dead_letter_{fault.stage}": 1})
    return Output(place, describe_ledger(window, place).events, fault)


def describe_ledger(window: LedgerWindow, place: Place) -> Output:
    """The event of a ledger window."""
    node = window.node
    identity = uuid7(window.start_us // 1000, f"ledger\0{node.id}\0{window.start_us}\0{place.position}\0{place.ordinal}".encode())
    said = ledger_data.data(window)
    subject = f"{node.namespace}/{node.workload}" if node.namespace and node.workload else None
    event = Event(
        identity,
        LEDGER_TYPE,
        f"/proxy/{node.id}",
        subject,
        window.start_us,
        "application/json",
        json_bytes(said),
        {},
        ledger_data.columns(said),
    )
    return Output(place, (event,))


def _columns(seen: Redacted, identity: str, namespace: str | None, name: str | None, record: Record) -> ExchangeColumns:
    exchange = seen.exchange
    inference = record.get("inference", {})
    tokens, first_token_us = numbers(record)
    columns = (
        identity,
        exchange.revision,
        seen.duration_us,
        namespace,
        name,
        exchange.node.id,
        seen.request_id or None,
        seen.method,
        seen.path,
        seen.status,
        record["caller"].get("principal"),
        inference.get("model_requested"),
        int(exchange.completeness),
        record["request"]["body"].get("size"),
        record["response"]["body"].get("size"),
        record["caller"].get("consumer"),
        record["caller"].get("user"),
        inference.get("protocol"),
        annotations_text(record),
        int(record["hop"]["billable"]),
        usage_text(record),
        tokens,
        first_token_us,
        marks(record),
    )
    return _new(ExchangeColumns, columns)
