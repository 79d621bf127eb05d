"""The CloudEvents of an exchange and of a ledger window (CloudEvents 1.0).

An exchange gives one `meshscribe.exchange.v1` event and, for each body that was captured, one event as KServe's own logger sends it
(org.kubeflow.serving.inference.request and .response; kserve/kserve pkg/logger), but with an id of its own and the pair linked by the
extension `exchange`. Where an inference protocol was recognised, a `meshscribe.usage.v1` event follows (usage.py).
"""

from __future__ import annotations

from typing import Any

import orjson

from collector.describe.identity import event_id, exchange_id, uuid7
from collector.describe.record import Seen, build, timestamp
from collector.describe.usage import usage_event
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, Event, Output, Place
from collector.messages.exchange import Body, LedgerWindow, Node


def describe(seen: Seen, place: Place, decoded: dict[str, Any], service: dict[str, Any], with_usage: bool) -> Output:
    """The events of an exchange: its own first, then those of its bodies, then its usage.

    `with_usage`: False for a SQL sink, which does not store it: usage_event makes it again from the stored record.
    """
    exchange = seen.exchange
    identity = exchange_id(exchange.key)
    record = build(seen, identity, decoded, service)
    source = f"/proxy/{exchange.node.id}"
    namespace, name = owner(exchange.node, service)
    subject = f"{namespace}/{name}" if namespace and name else None
    own = Event(
        id=event_id(identity, "exchange", exchange.revision),
        type=EXCHANGE_TYPE,
        source=source,
        subject=subject,
        time_us=exchange.key.start_us,
        datacontenttype="application/json",
        data=orjson.dumps(record),
        extensions={"exchange": identity, "revision": exchange.revision},
        columns=_columns(seen, identity, namespace, name, record),
    )
    events = [own, *_payloads(seen, identity, source, subject, service)]
    usage = usage_event(record, source, subject, exchange.key.start_us) if with_usage else None
    if usage is not None:
        events.append(usage)
    return Output(place, tuple(events))


def owner(node: Node, service: dict[str, Any]) -> tuple[str | None, str | None]:
    """Namespace and name under which an exchange is filed: its service's, else its proxy's namespace and workload."""
    return service.get("namespace") or node.namespace or None, service.get("name") or node.workload or None


def describe_ledger(window: LedgerWindow, place: Place) -> Output:
    """The event of a ledger window."""
    node, counts = window.node, window.counts
    identity = uuid7(window.start_us // 1000, f"ledger\0{node.id}\0{window.start_us}\0{place.position}\0{place.ordinal}".encode())
    data = {
        "node": node.id,
        "namespace": node.namespace,
        "workload": node.workload,
        "window": {"start": timestamp(window.start_us), "seconds": window.window_us / 1_000_000},
        **counts,
        "dropped": window.dropped,
        "abandoned": window.abandoned,
    }
    columns = {
        "node": node.id,
        "namespace": node.namespace or None,
        "workload": node.workload or None,
        "window_us": window.window_us,
        "dropped": sum(window.dropped.values()),
        **{name: counts.get(name, 0) for name in ("announced", "received", "missing", "both", "tap_only", "access_log_only", "late")},
    }
    subject = f"{node.namespace}/{node.workload}" if node.namespace and node.workload else None
    event = Event(identity, LEDGER_TYPE, f"/proxy/{node.id}", subject, window.start_us, "application/json", orjson.dumps(data), {}, columns)
    return Output(place, (event,))


def _columns(seen: Seen, identity: str, namespace: str | None, name: str | None, record: dict[str, Any]) -> dict[str, Any]:
    exchange = seen.exchange
    inference = record.get("inference", {})
    return {
        "exchange": identity,
        "revision": exchange.revision,
        "duration_us": seen.duration_us,
        "namespace": namespace,
        "service": name,
        "node": exchange.node.id,
        "request_id": seen.request_id or None,
        "method": seen.method,
        "path": seen.path,
        "status": seen.status,
        "caller": record["caller"].get("principal"),
        "model": inference.get("model_requested"),
        "completeness": int(exchange.completeness),
        "request_bytes": record["request"]["body"].get("size"),
        "response_bytes": record["response"]["body"].get("size"),
    }


def _payloads(seen: Seen, identity: str, source: str, subject: str | None, service: dict[str, Any]) -> list[Event]:
    exchange = seen.exchange
    tap = exchange.tap
    if tap is None or not (tap.request.data or tap.response.data):
        return []
    extensions = _extensions(seen, identity, service)
    start = exchange.key.start_us
    found = []
    if tap.request.data:
        named = seen.request
        found.append(
            _payload("request", REQUEST_TYPE, start, tap.request, named, (identity, exchange.revision, source, subject), extensions)
        )
    if tap.response.data:
        named, end = seen.response, start + (seen.duration_us or 0)
        found.append(
            _payload("response", RESPONSE_TYPE, end, tap.response, named, (identity, exchange.revision, source, subject), extensions)
        )
    return found


def _payload(
    kind: str,
    type_: str,
    time_us: int,
    body: Body,
    named: dict[str, str],
    common: tuple[str, int, str, str | None],
    extensions: dict[str, str | int | bool],
) -> Event:
    identity, revision, source, subject = common
    content_type = named.get("content-type")
    columns = {
        "exchange": identity,
        "revision": revision,
        "content_type": content_type,
        "content_encoding": named.get("content-encoding"),
        "size": body.size,
    }
    return Event(event_id(identity, kind, revision), type_, source, subject, time_us, content_type, body.data, extensions, columns)


def _extensions(seen: Seen, identity: str, service: dict[str, Any]) -> dict[str, str | int | bool]:
    """KServe's extensions where known, and our link between the pair."""
    node = seen.exchange.node
    extensions: dict[str, str | int | bool] = {"exchange": identity, "revision": seen.exchange.revision}
    namespace, name = owner(node, service)
    if name:
        extensions["inferenceservicename"] = name
    if namespace:
        extensions["namespace"] = namespace
    component = service.get("component") or node.labels.get("component")
    if component:
        extensions["component"] = component
    if seen.request_id:
        extensions["requestid"] = seen.request_id
    if seen.status is not None:
        extensions["statuscode"] = seen.status
    if service.get("annotations"):
        extensions["annotations"] = orjson.dumps(service["annotations"]).decode()
    return extensions
