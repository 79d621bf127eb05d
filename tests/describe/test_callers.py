"""Who called, and who says so: the access log where it tells, else the tap; where they differ, the record says it."""

from __future__ import annotations

from typing import Any

import pytest

from collector.describe.record import build
from collector.messages.captured import Decoded
from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.tap_pb2 import REQUEST_RESPONSE
from tests.support.traffic import plainly
from tests.support.witnesses import NODE, T0

ONE, TWO = "spiffe://cluster.local/ns/clients/sa/one", "spiffe://cluster.local/ns/clients/sa/two"


def record(tap: str | None, log: str | None) -> dict[str, Any]:
    """Of an exchange whose witnesses tell these principals. None: there is no such witness."""
    told = None if tap is None else Tap("vm", 1, REQUEST_RESPONSE, "", Body(), Body(), principal=tap)
    logged = None if log is None else AccessLog(principal=log)
    return build(plainly(Exchange(Key(NODE, b"id", T0), 0, Node(NODE), 0, told, logged)), "an-id", Decoded(), {})


@pytest.mark.parametrize(
    ("tap", "log", "caller"),
    [
        (ONE, None, {"principal": ONE, "principal_by": "tap"}),
        (ONE, "", {"principal": ONE, "principal_by": "tap"}),
        (None, ONE, {"principal": ONE, "principal_by": "access_log"}),
        ("", ONE, {"principal": ONE, "principal_by": "access_log"}),
        (ONE, ONE, {"principal": ONE, "principal_by": "access_log"}),
        (ONE, TWO, {"principal": TWO, "principal_by": "access_log"}),
        ("", "", {}),
        ("", None, {}),
    ],
)
def test_the_better_witness_that_tells_is_named(tap: str | None, log: str | None, caller: dict[str, str]) -> None:
    told = record(tap, log)
    assert told["caller"] == caller
    assert ("problems" in told) == (bool(tap and log) and tap != log)


def test_a_disagreement_is_a_problem_that_names_the_other() -> None:
    assert record(ONE, TWO)["problems"] == [f"the tap names another caller than the access log: {ONE}"]
