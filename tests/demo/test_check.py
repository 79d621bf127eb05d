"""The demo's check finds every way in which a record can differ from what was sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from collector.demo.check import await_recorded, check
from collector.demo.child import ChildError
from collector.demo.traffic import Call, Sent

SENT = Sent(Call("echo", "POST", "/echo", b"question"), "id-1", 200, b"answer")
SEEN = {"request_sha256": hashlib.sha256(b"question").hexdigest(), "answer_sha256": hashlib.sha256(b"answer").hexdigest()}

IRIS = {"name": "iris", "annotations": {"billing.example.com/cost-center": "1001"}}


class Audit:
    """Answers as the audit API would for one request."""

    def __init__(
        self, times: int = 1, flags: tuple[str, ...] = ("complete",), status: int = 200, service: dict[str, Any] = IRIS, **bodies: bytes
    ) -> None:
        self._records = [{"id": "e", "completeness": list(flags), "response": {"status": status}, "service": service}] * times
        self._bodies = {"request": b"question", "response": b"answer", **bodies}

    def exchanges(self, **_: Any) -> Iterator[dict[str, Any]]:
        return iter(self._records)

    def record(self, _: str) -> dict[str, Any]:
        return self._records[0]

    def body(self, _: str, direction: str) -> bytes:
        return self._bodies[direction]


def faults(audit: Any, seen: dict[str, Any] = SEEN) -> tuple[str, ...]:
    return check(audit, [SENT], lambda _: seen)[0].faults


def test_an_exact_record_has_no_fault() -> None:
    assert faults(Audit()) == ()


@pytest.mark.parametrize(
    ("audit", "fault"),
    [
        (Audit(times=0), "0 exchanges"),
        (Audit(times=2), "2 exchanges"),
        (Audit(flags=("access_log_missing",)), "completeness"),
        (Audit(status=500), "status"),
        (Audit(service={**IRIS, "name": "chat"}), "service"),
        (Audit(service={"name": "iris"}), "cost center"),
        (Audit(request=b"questioN"), "request body (client)"),
        (Audit(response=b""), "response body (client)"),
    ],
)
def test_a_difference_is_a_fault(audit: Any, fault: str) -> None:
    assert fault in "; ".join(faults(audit))


def test_what_the_server_saw_counts_too() -> None:
    assert "response body (server)" in "; ".join(faults(Audit(), {**SEEN, "answer_sha256": "0"}))


def test_a_part_that_ends_ends_the_waiting() -> None:
    def dead() -> None:
        raise ChildError("the collector ended")

    with pytest.raises(ChildError):
        await_recorded(Audit(times=0), [SENT], 60, dead)  # type: ignore[arg-type]
