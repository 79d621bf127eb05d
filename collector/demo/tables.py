"""What the demo prints: tables of what was recorded and of what was billed, at most 120 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from collector.demo.bills import Bill
from collector.demo.check import Verdict
from collector.demo.envoy_config import COST_CENTER
from collector.messages.record import Record

NONE = "–"


def recorded(verdicts: Sequence[Verdict]) -> Table:
    """One row for each request."""
    table = _table("What was recorded", "what", "service", "cost center", "model", "status")
    for column in ("tokens\nin, out", "first\ntoken ms", "ms"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("completeness")
    table.add_column("bodies", no_wrap=True)
    for verdict in verdicts:
        table.add_row(*_row(verdict))
    return table


def _row(verdict: Verdict) -> list[str]:
    record, sent = verdict.record or {}, verdict.sent
    service = record.get("service", {})
    status = str(record.get("response", {}).get("status", NONE))
    timing = [_milliseconds(value) for value in (record.get("timing", {}).get("first_token_ms"), record.get("duration_ms"))]
    flags = ", ".join(record.get("completeness", ["not recorded"]))
    bodies = "[red]differ[/]" if any("body" in fault for fault in verdict.faults) else "[green]equal[/]"
    named = [escape(text) for text in (service.get("name", NONE), service.get("annotations", {}).get(COST_CENTER, NONE), _model(record))]
    return [sent.call.what, *named, status, _counts(record), *timing, flags, bodies if record else NONE]


def _model(record: Record) -> str:
    inference = record.get("inference", {})
    return str(inference.get("model_answered") or inference.get("model_requested") or NONE)


def _counts(record: Record) -> str:
    return counts(
        {name: number["value"] for name, number in record.get("usage", {}).items() if isinstance(number, dict) and name != "other"}
    )


def counts(numbers: Mapping[str, int]) -> str:
    """Tokens in and out, or the first of what is counted in their place: `11, 20`, `2 rows`."""
    found = [str(numbers.get(name, NONE)) for name in ("prompt_tokens", "completion_tokens")]
    if found != [NONE, NONE]:
        return ", ".join(found)
    return next((f"{value} {name.rpartition('_')[2]}" for name, value in numbers.items()), NONE)


def _milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def billed(bills: Iterable[Bill]) -> Table:
    """One row for each bill."""
    table = _table("What was billed: the usage topic, read_committed", "service", "annotations", "model")
    table.add_column("tokens\nin, out", justify="right", no_wrap=True)
    for column in ("provenance", "billable\nhop", "exchange"):
        table.add_column(column, no_wrap=True)
    for bill in bills:
        texts = [escape(text) for text in (bill.service, _annotations(bill), bill.model or NONE)]
        table.add_row(*texts, counts(bill.numbers), bill.provenance or NONE, bill.rule.removesuffix("-hop"), bill.exchange)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def bill_line(bill: Bill) -> str:
    """A bill in one line."""
    told = counts(bill.numbers)
    shown = f"tokens {told}" if "," in told else told
    provenance = f" ({bill.provenance})" if bill.provenance else ""
    return escape(f"billed {bill.service} {_annotations(bill)} {bill.model or NONE} {shown}{provenance} {bill.rule} {bill.exchange}")


def totals(bills: Iterable[Bill]) -> str:
    """Tokens by cost center, in one line."""
    sums: dict[str, int] = {}
    for bill in bills:
        center = bill.annotations.get(COST_CENTER, "without cost center")
        sums[center] = sums.get(center, 0) + bill.numbers.get("total_tokens", 0)
    return escape(", ".join(f"cost center {center}: {tokens} tokens" for center, tokens in sorted(sums.items())))


def _annotations(bill: Bill) -> str:
    """Without the domain of their names."""
    return " ".join(f"{name.rpartition('/')[2]}={value}" for name, value in sorted(bill.annotations.items())) or NONE
