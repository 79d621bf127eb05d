"""Events with chosen values, as no pipeline need have made them: what a test of a sink writes. tests/support/outputs.py has real ones."""

from __future__ import annotations

import json
from typing import Any

from collector.describe.identity import event_id, uuid7
from collector.messages import ledger
from collector.messages.columns import ExchangeColumns, LedgerColumns, PayloadColumns
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, REQUEST_TYPE, RESPONSE_TYPE, Event, Output, Place

NOW_US = 1_763_800_000_123_456  # 2025-11-22T08:26:40.123456Z
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
NODE = "sidecar~10.0.0.7~llama-predictor-0.prod~prod.svc.cluster.local"
JOURNAL = "0192aaaa-0000-7000-8000-000000000001"


def identity(start_us: int, salt: str = "") -> str:
    """The id of the exchange that began then."""
    return uuid7(start_us // 1000, f"{start_us}{salt}".encode())


def exchange(
    place: Place,
    start_us: int = NOW_US,
    *,
    salt: str = "",
    revision: int = 0,
    request: bytes = b"",
    response: bytes = b"",
    data: bytes | None = None,
    **columns: Any,
) -> Output:
    """An exchange with its payloads. The response ends two days after the request began."""
    of = _columns(identity(start_us, salt), revision, len(request), len(response))._replace(**columns)
    name, subject = of.exchange, f"{of.namespace}/{of.service}"
    source = f"/proxy/{of.node}"
    extensions: dict[str, str | int | bool] = {"exchange": name, "revision": revision}
    record = data if data is not None else json.dumps({"id": name, "revision": revision}).encode()
    events = [
        Event(event_id(name, "exchange", revision), EXCHANGE_TYPE, source, subject, start_us, "application/json", record, extensions, of)
    ]
    bodies = (("request", REQUEST_TYPE, request, start_us), ("response", RESPONSE_TYPE, response, start_us + 2 * DAY_US))
    for kind, type_, body, time_us in bodies:
        if body:
            named = PayloadColumns(name, revision, "application/json", None, len(body))
            events.append(
                Event(event_id(name, kind, revision), type_, source, subject, time_us, "application/json", body, extensions, named)
            )
    return Output(place, tuple(events))


def _columns(name: str, revision: int, request_bytes: int, response_bytes: int) -> ExchangeColumns:
    return ExchangeColumns(
        exchange=name,
        revision=revision,
        duration_us=12_500,
        namespace="prod",
        service="llama",
        node=NODE,
        request_id=f"req-{name}",
        method="POST",
        path="/v1/chat/completions",
        status=200,
        caller="spiffe://cluster.local/ns/app/sa/web",
        model="llama-3",
        completeness=1,
        request_bytes=request_bytes,
        response_bytes=response_bytes,
    )


def window(place: Place, start_us: int = NOW_US, node: str = NODE, **counts: int) -> Output:
    """A ledger window."""
    numbers = dict.fromkeys((*ledger.COUNTS, *ledger.BY_REASON, "cured"), 0)
    numbers |= {name: number for name, number in counts.items() if name in LedgerColumns._fields}
    of = {"node": node, "sender": "", "namespace": "prod", "workload": "llama", "window_us": 60 * SECOND_US}
    columns = LedgerColumns(**{**of, "away_from_us": None, "away_to_us": None, **numbers})
    name = uuid7(start_us // 1000, f"ledger{node}{start_us}{place}".encode())
    event = Event(name, LEDGER_TYPE, f"/proxy/{node}", None, start_us, "application/json", json.dumps(counts).encode(), {}, columns)
    return Output(place, (event,))


def exchanges(count: int, first: int = 1, start_us: int = NOW_US, **more: Any) -> list[Output]:
    """One exchange a position, a millisecond apart."""
    return [exchange(Place(first + n, 0), start_us + (first + n) * 1000, salt=str(first + n), **more) for n in range(count)]
