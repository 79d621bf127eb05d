"""One bill for each billable exchange, however often and in whatever order its usage events come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.demo.bills import Bills, billable

TOKENS = {"total_tokens": {"value": 7, "provenance": "reported"}}


def usage(exchange: str = "x", revision: int = 0, billed: bool = True, **more: Any) -> bytes:
    hop = {"role": "predictor", "billable": billed, "rule": "predictor-hop"}
    return json.dumps({"exchange": exchange, "revision": revision, "hop": hop, "usage": TOKENS, **more}).encode()


def record(exchange: str = "x", billed: bool = True, protocol: str = "openai-chat", **more: Any) -> dict[str, Any]:
    return {"id": exchange, "hop": {"billable": billed}, "inference": {"protocol": protocol}, "usage": TOKENS, **more}


def test_a_bill_says_what_the_event_says() -> None:
    bill = Bills().take("e", usage(namespace="demo", service="iris", model_requested="m", annotations={"a": "b"}))
    assert bill is not None
    assert bill._asdict() == {
        "exchange": "x",
        "revision": 0,
        "service": "demo/iris",
        "model": "m",
        "numbers": {"total_tokens": 7},
        "provenance": "reported",
        "rule": "predictor-hop",
        "annotations": {"a": "b"},
    }


def test_a_repeated_event_is_not_billed_again_and_is_told() -> None:
    bills = Bills()
    assert bills.take("e", usage()) is not None
    assert bills.take("e", usage()) is None
    assert bills.faults(billable([record()])) == ["event e was delivered 2 times"]


def test_a_later_revision_replaces_the_bill_and_an_earlier_one_does_not() -> None:
    bills = Bills()
    for event, revision in (("a", 1), ("b", 0), ("c", 2)):
        bills.take(event, usage(revision=revision))
    assert [bill.revision for bill in bills.by_exchange.values()] == [2]
    assert bills.faults(billable([record()])) == []


def test_what_a_revision_says_is_not_billable_is_not_billed_any_more() -> None:
    bills = Bills()
    bills.take("a", usage())
    bills.take("b", usage(revision=1, billed=False))
    assert not bills.by_exchange


def test_other_hops_and_what_is_no_inference_are_not_to_be_billed() -> None:
    assert list(billable([record("a"), record("b", billed=False), record("c", protocol="unknown"), {"id": "d"}])) == ["a"]


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([record("x"), record("y")], "exchange y was not billed"),
        ([], "exchange x was billed and is not billable"),
        ([record("x", usage={})], "exchange x: billed {'total_tokens': 7}, recorded {}"),
    ],
)
def test_a_difference_from_the_records_is_a_fault(records: list[dict[str, Any]], fault: str) -> None:
    bills = Bills()
    bills.take("e", usage("x"))
    assert bills.faults(billable(records)) == [fault]


def test_numbers_in_conflict_are_no_number() -> None:
    bill = Bills().take("e", usage(usage={**TOKENS, "conflicts": [{"name": "total_tokens", "values": [7, 8]}]}))
    assert bill is not None
    assert bill.numbers == {"total_tokens": 7}
