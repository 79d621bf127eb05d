"""The demo's tables say what was recorded and billed, and nothing of it is cut at 120 columns."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from collector.demo import tables
from collector.demo.bills import Bill
from collector.demo.check import Verdict
from collector.demo.envoy_config import COST_CENTER
from collector.demo.traffic import CALLS, Sent

EXCHANGE = "01a2031b-0d35-79b7-a15a-4fd981f8ddc8"
RECORD: dict[str, Any] = {
    "service": {"name": "chat", "annotations": {COST_CENTER: "2002"}},
    "inference": {"model_answered": "overloaded"},
    "usage": {
        "prompt_tokens": {"value": 1234, "provenance": "reported"},
        "completion_tokens": {"value": 56789, "provenance": "reported"},
    },
    "timing": {"first_token_ms": 12345.67},
    "duration_ms": 54321.9,
    "response": {"status": 200},
    "completeness": ["complete"],
}
BILL = Bill(
    EXCHANGE, 0, "demo/chat", "overloaded", {"prompt_tokens": 1, "total_tokens": 7}, "reported", "predictor-hop", {COST_CENTER: "2002"}
)


def printed(table: Table) -> str:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_every_request_is_a_row_with_annotation_model_tokens_and_first_token_time() -> None:
    text = printed(tables.recorded([Verdict(Sent(call, "id", 200, b""), RECORD, ()) for call in CALLS]))
    assert "…" not in text
    [row] = [line.split() for line in text.splitlines() if "chat, streamed" in line]
    assert row == ["chat,", "streamed", "chat", "2002", "overloaded", "200", "1234,", "56789", "12345.7", "54321.9", "complete", "equal"]


def test_what_is_not_known_is_a_dash() -> None:
    [row] = [
        line.split()
        for line in printed(tables.recorded([Verdict(Sent(CALLS[0], "id", 200, b""), None, ())])).splitlines()
        if "recorded" in line
    ][1:]
    assert row == ["chat", "–", "–", "–", "–", "–", "–", "–", "not", "recorded", "–"]


def test_a_bill_is_a_row_with_the_whole_exchange_id() -> None:
    text = printed(tables.billed([BILL]))
    assert "…" not in text
    assert text.splitlines()[-2].split() == ["demo/chat", "cost-center=2002", "overloaded", "1,", "–", "reported", "predictor", EXCHANGE]


def test_a_bill_is_a_line() -> None:
    line = tables.bill_line(BILL._replace(model="", annotations={"a/x": "[red]"}))
    assert Console().render_str(line).plain == f"billed demo/chat x=[red] – tokens 1, – (reported) predictor-hop {EXCHANGE}"


def test_totals_are_by_cost_center() -> None:
    other = BILL._replace(annotations={}, numbers={})
    assert tables.totals([BILL, BILL, other]) == "cost center 2002: 14 tokens, cost center without cost center: 0 tokens"


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({}, "–"),
        ({"rows": 2, "output_rows": 3}, "2 rows"),
        ({"input_tensors": 1}, "1 tensors"),
        ({"prompt_tokens": 0}, "0, –"),
        ({"prompt_tokens": 3, "completion_tokens": 4, "rows": 1}, "3, 4"),
    ],
)
def test_counts_are_tokens_or_what_is_counted_in_their_place(numbers: dict[str, int], shown: str) -> None:
    assert tables.counts(numbers) == shown
