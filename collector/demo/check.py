"""The check: every request sent is one exchange, complete, of its service, with both bodies as client and server saw them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collector.demo.audit import Audit, Json
from collector.demo.envoy_config import COST_CENTER, COST_CENTERS
from collector.demo.traffic import Sent
from collector.messages.record import Record

ServerView = Callable[[str], Json]  # request id -> what GET /seen/ID of the model server tells; empty: not seen


@dataclass(frozen=True)
class Verdict:
    """What was recorded of one request. `faults` is empty if all is as it must be."""

    sent: Sent
    record: Record | None
    faults: tuple[str, ...]


def await_recorded(audit: Audit, sent: Sequence[Sent], seconds: float, alive: Callable[[], None]) -> None:
    """Wait until each request is recorded and complete, or the time is over: then the check tells what is wrong. Raises as `alive` does."""
    deadline = time.monotonic() + seconds
    waiting = {one.request_id for one in sent}
    while waiting and time.monotonic() < deadline:
        alive()
        waiting = {request_id for request_id in waiting if not _whole(audit, request_id)}
        if waiting:
            time.sleep(0.1)


def _whole(audit: Audit, request_id: str) -> bool:
    return any(record["completeness"] == ["complete"] for record in audit.exchanges(request_id=request_id))


def check(audit: Audit, sent: Sequence[Sent], server: ServerView) -> list[Verdict]:
    """One verdict for each request."""
    return [_check(audit, one, server(one.request_id)) for one in sent]


def _check(audit: Audit, sent: Sent, seen: Json) -> Verdict:
    records = list(audit.exchanges(request_id=sent.request_id))
    if len(records) != 1:
        return Verdict(sent, records[0] if records else None, (f"{len(records)} exchanges instead of one",))
    record = audit.record(records[0]["id"])
    request, response = (audit.body(record["id"], direction) for direction in ("request", "response"))
    faults = [
        *_differs("completeness", record["completeness"], ["complete"]),
        *_differs("status", record.get("response", {}).get("status"), sent.status),
        *_differs("service", record.get("service", {}).get("name"), sent.call.service),
        *_differs("cost center", _cost_center(record), COST_CENTERS[sent.call.service]),
        *_differs("request body (client)", _digest(request), _digest(sent.call.body)),
        *_differs("response body (client)", _digest(response), _digest(sent.answer)),
        *_differs("request body (server)", _digest(request), seen.get("request_sha256")),
        *_differs("response body (server)", _digest(response), seen.get("answer_sha256")),
        *(["the authorization header was stored"] if "not-to-be-stored" in str(record) else []),
    ]
    return Verdict(sent, record, tuple(faults))


def _cost_center(record: Record) -> str | None:
    return record.get("service", {}).get("annotations", {}).get(COST_CENTER)


def _differs(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: {found}, expected {expected}"]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
